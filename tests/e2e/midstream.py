#!/usr/bin/python3
"""Attaching in the middle of a stream, and stopping in it: what was seen whole is whole, the rest
says that it is not. Prints TAP; needs root and BPF."""
import harness
import stream


def split(publishes, recorder):
    """Publishes that surely lie within the recording, and those that surely do not."""
    inside = [p for p in publishes if int(p["begin"]) > recorder.ready_at and int(p["end"]) < recorder.stopped_at]
    never = [p for p in publishes if int(p["end"]) < recorder.began or int(p["begin"]) > recorder.ended_at]
    cut = [p for p in publishes if int(p["begin"]) < recorder.began and int(p["end"]) > recorder.ready_at
           or int(p["begin"]) < recorder.stopped_at and int(p["end"]) > recorder.ended_at]
    return inside, never, cut


def check_inside_is_complete(session, system, inside):
    for p in inside:
        stream.check_complete(session, system, p)


def check_nothing_else_is_complete(session, system, recorder, publishes):
    """A whole trace without a mark is a publish that began and ended while the recorder ran."""
    known = {p["identifier"]: p for p in publishes}
    for spans in session.traces.values():
        if stream.marks(spans):
            continue
        ids = [s["attributes"].get(stream.MESSAGE_ID) for s in spans if s["kind_name"] == "attempt"]
        assert len(ids) == 1 and ids[0] in known, f"unmarked, but no publish of the log: {spans}"
        p = known[ids[0]]
        assert not stream.missing(session, system, p), (p, stream.missing(session, system, p))
        assert int(p["begin"]) > recorder.began and int(p["end"]) < recorder.ended_at, (p, recorder.began, recorder.ended_at)


def test_a_stream_is_whole_from_ready_to_the_stop(case):
    system = stream.System(case)
    for _ in range(2):
        system.subscriber("news")
    publisher = system.publisher("news", "x", "--numbered", "--count", "2000", "--rate", "250")
    stream.wait_until(lambda: len(publisher.log("publish")) > 30, "the stream flows")
    recorder = stream.Recorder(case, "f.db", pids=system.pids())
    seen = len(publisher.log("publish"))
    stream.wait_until(lambda: len(publisher.log("publish")) > seen + 300, "it flows on")
    session = recorder.stop()
    seen = len(publisher.log("publish"))
    stream.wait_until(lambda: len(publisher.log("publish")) > seen + 10, "and on")
    publisher.process.signal(15)
    publisher.process.wait()
    publishes = system.publishes()
    inside, never, _ = split(publishes, recorder)
    assert len(inside) >= 290 and len(never) >= 40, (len(inside), len(never))
    session.check_books()
    assert session.lost() == 0, session.losses
    check_inside_is_complete(session, system, inside)
    check_nothing_else_is_complete(session, system, recorder, publishes)
    for p in never:
        assert not session.of(p["identifier"]), p
    assert harness.check(case, session.path)["genuine"] == 0
    print(f"# {len(publishes)} published, {len(inside)} between ready and the stop")


def test_operations_under_way_at_attach_began_before_it_and_at_stop_are_incomplete(case):
    """A slow subscriber holds one publish across the attach, a second one another across the stop."""
    system = stream.System(case)
    system.subscriber("fast")
    fast = system.publisher("fast", lines=True)
    slow = [system.subscriber(topic, args=("--handler-delay", "2500ms")) for topic in ("early", "late")]
    held = [system.publisher(topic, lines=True) for topic in ("early", "late")]
    held[0].process.line("held over the attach")
    held_by(slow[0], fast)
    recorder = stream.Recorder(case, "f.db", "--immediate", pids=system.pids())  # a delivery's begin does not trap otherwise
    for i in range(5):
        stream.publish(fast, f"within {i}")
    held[0].process.wait_for(r"^published ", "out")
    held[1].process.line("held over the stop")
    held_by(slow[1], fast)
    session = recorder.stop()
    held[1].process.wait_for(r"^published ", "out")
    stream.publish(fast, "after")
    publishes = system.publishes()
    inside, never, cut = split(publishes, recorder)
    assert [len(inside), len(never), [p["topic"] for p in cut]] == [7, 3, ["early", "late"]], (publishes, recorder.__dict__)
    session.check_books()
    check_inside_is_complete(session, system, inside)
    check_nothing_else_is_complete(session, system, recorder, publishes)
    for early, late in ((held[0], held[1]), (slow[0], slow[1])):
        before, after = tops(session, pid=early.pid), tops(session, pid=late.pid)
        assert ["began before attach" in s["marks"] for s in before] == [True], before
        assert len(after) == 1 and "began before attach" not in after[0]["marks"], after
        assert "incomplete" in after[0]["marks"] and "may be cut" in after[0]["marks"], after
    handled = [s["marks"] for s in tops(session, pid=system.broadcaster.pid) if s["marks"]]
    assert sorted("began before attach" in m for m in handled) == [False, True], handled
    assert session.of(cut[0]["identifier"]) == [], "its identifier passed before the attach"
    checked = harness.check(case, session.path)
    # of the publisher, the broadcaster and the subscriber each: one that had begun, one that had not ended
    missing, open_ = ([f for f in checked["findings"] if f["kind"] == kind] for kind in ("missing", "never ended"))
    assert checked["genuine"] == 0 and len(open_) == 3 and len(missing) == 3, checked["findings"]
    assert stream.marks(session.of(cut[1]["identifier"])) >= {"incomplete", "may be cut"}
    system.stop()


def tops(session, pid):
    """The operations of a process: its spans that lie in no other span of it."""
    mine = {s["span_id"] for s in session.spans if s["pid"] == pid}
    return [s for s in session.spans if s["pid"] == pid and s["parent_id"] not in mine]


def held_by(slow, fast):
    """The slow subscriber has the message: its connection is there, and others have gone by since."""
    slow.connected()
    stream.publish(fast, "going by")
    stream.publish(fast, "going by")


def test_a_recording_of_one_process_holds_that_process_alone(case):
    system = stream.System(case)
    system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", pids=[system.broadcaster.pid])
    for i in range(7):
        stream.publish(publisher, str(i))
    session = recorder.stop()
    session.check_books()
    assert {s["pid"] for s in session.spans} == {system.broadcaster.pid}
    ids = [p["identifier"] for p in system.publishes()]
    assert sorted(s["attributes"][stream.MESSAGE_ID] for s in session.find("handle_notify")) == sorted(ids)
    assert session.hits(system.broadcaster.pid) == stream.expected_hits(system.broadcaster)
    system.stop()


if __name__ == "__main__":
    harness.main(globals())
