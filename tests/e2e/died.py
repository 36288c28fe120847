#!/usr/bin/python3
"""Operations whose process dies or hangs, in the default form: the session has the steps that nothing
brought, and `show` says where they stopped. Prints TAP; needs root."""
import os
import signal

import harness
import stream

HELD = "60s"  # longer than any test takes


class Held:
    """A publish that hangs: its subscriber handles it for a minute, the broadcaster waits as long."""

    def __init__(self, case, *options):
        self.case = case
        self.system = stream.System(case, "--read-timeout", HELD)
        self.fast, self.slow = self.system.subscriber("news"), self.system.subscriber("slow", args=("--handler-delay", HELD))
        self.news, self.publisher = self.system.publisher("news", lines=True), self.system.publisher("slow", "--retries", "1", "--read-timeout", HELD, lines=True)
        self.recorder = stream.Recorder(case, "f.db", *options, pids=self.system.pids())
        stream.publish(self.news, "before")
        self.publisher.process.line("held")
        self.slow.connected()
        for i in range(3):  # what the broadcaster does behind the delivery it has sent
            stream.publish(self.news, str(i))

    def shown(self):
        """{operation or nested span: as `show --json` has it} of the publish that hangs, with all its steps."""
        for line in stream.outspan_json(self.case, "ls", "--json", self.recorder.file):
            if line["root"] == "publish slow":
                spans = stream.outspan_json(self.case, "show", "--json", self.recorder.file, line["trace_id"])
                return {s["operation"] if s["span_id"].endswith("0000") else s["name"].split()[0]: s for s in spans}
        return {}

    def text(self):
        traces = stream.outspan_json(self.case, "ls", "--json", self.recorder.file)
        held, = [t["trace_id"] for t in traces if t["root"] == "publish slow"]
        return self.case.run("outspan", "show", self.recorder.file, held).text()

    def check_rest(self, session):
        session.check_books()
        assert session.lost() == 0, session.losses
        for p in self.system.publishes():
            if p["topic"] == "news":
                stream.check_complete(session, self.system, p)


def names(span):
    return [e["name"] for e in span["events"]]


def check_sent(spans):
    """The publisher has sent and waits for the answer."""
    assert names(spans["notify"]) == stream.STEPS["notify"], spans["notify"]
    assert names(spans["attempt"]) == ["sending_request"], spans["attempt"]


def check_delivering(spans):
    """The broadcaster has sent the message on, and waits for that answer."""
    assert names(spans["handle_notify"]) == stream.STEPS["handle_notify"][:3], spans["handle_notify"]
    assert names(spans["deliver"]) == stream.STEPS["deliver"][:2], spans["deliver"]


def kill_publisher(case, number):
    held = Held(case)
    assert held.publisher.stop(number) == -number
    session = held.recorder.stop()
    spans = held.shown()
    check_sent(spans)
    halt = spans["notify"]["halt"]
    assert (halt["kind"], halt["after"], halt["exit_code"] & 127) == ("died", "sending_request", number), halt
    assert spans["notify"]["marks"] == ["incomplete"], spans["notify"]
    assert f"died after sending_request (killed by signal {int(number)})" in held.text(), held.text()
    assert abs(spans["notify"]["end_ns"] - halt["after_ns"] - halt["silent_ns"]) < 1e6, "it ends when the process does"
    held.check_rest(session)


def test_a_publisher_killed_in_a_publish_leaves_its_steps(case):
    kill_publisher(case, signal.SIGKILL)


def test_a_publisher_that_crashes_in_a_publish_leaves_its_steps(case):
    kill_publisher(case, signal.SIGSEGV)


def test_a_publisher_that_aborts_in_a_publish_leaves_its_steps(case):
    kill_publisher(case, signal.SIGABRT)


def test_a_broadcaster_killed_in_its_fan_out_leaves_its_steps(case):
    held = Held(case)
    assert held.system.broadcaster.stop(signal.SIGKILL) == -signal.SIGKILL
    held.publisher.process.wait_for(r"^failed ", "out")
    session = held.recorder.stop()
    spans = held.shown()
    check_delivering(spans)
    halt = spans["handle_notify"]["halt"]
    assert (halt["kind"], halt["after"], halt["exit_code"]) == ("died", "sending_receive", signal.SIGKILL), halt
    assert "died after sending_receive (killed by signal 9)" in held.text()
    assert spans["notify"]["status"] == "error" and "halt" not in spans["notify"], spans["notify"]
    held.check_rest(session)


def test_what_hangs_is_shown_while_it_hangs_and_at_the_end(case):
    held = Held(case)
    os.kill(held.system.broadcaster.pid, signal.SIGSTOP)

    def is_shown():
        spans = held.shown()
        return spans if spans.get("notify", {}).get("halt", {}).get("silent_ns", 0) > 5e9 and \
            spans.get("handle_notify", {}).get("halt", {}).get("silent_ns", 0) > 5e9 else None
    spans = stream.wait_until(is_shown, "the session tells of what hangs")
    check_sent(spans)
    check_delivering(spans)
    for kind, step in (("notify", "sending_request"), ("handle_notify", "sending_receive")):
        assert (spans[kind]["halt"]["kind"], spans[kind]["halt"]["after"]) == ("open", step), spans[kind]
        assert spans[kind]["halt"]["next"] == ["network_error", "response_received"], spans[kind]
    assert "next: network_error, the subscriber could not be reached" in held.text(), held.text()
    assert "no step since sending_receive, " in held.text() and " so far" in held.text(), held.text()
    session = held.recorder.stop()
    os.kill(held.system.broadcaster.pid, signal.SIGCONT)
    spans = held.shown()
    check_sent(spans)
    check_delivering(spans)
    assert "when the recording ended" in held.text(), held.text()
    held.check_rest(session)
    stream.check_untouched(*held.system.pids())


def test_what_is_under_way_at_the_stop_has_its_steps(case):
    """It has not hung for long enough to be looked into: the stop does."""
    held = Held(case)
    session = held.recorder.stop()
    spans = held.shown()
    check_sent(spans)
    check_delivering(spans)
    held.check_rest(session)
    stream.check_untouched(*held.system.pids())


def test_the_session_of_a_killed_recorder_has_the_last_known_step(case):
    held = Held(case)
    stream.wait_until(lambda: names(held.shown().get("attempt", {"events": []})) and
                      names(held.shown().get("deliver", {"events": []})), "both are looked into")
    held.recorder.process.stop(signal.SIGKILL)
    spans = held.shown()
    check_sent(spans)
    check_delivering(spans)
    session = stream.Session(held.recorder.file)
    session.check_books()
    assert held.text().count("no step since ") == 2, held.text()
    stream.check_untouched(*held.system.pids())


def test_what_was_looked_into_and_ends_after_all_is_there_once(case):
    held = Held(case, "--raw", case.path("f.raw"))
    stream.wait_until(lambda: names(held.shown().get("attempt", {"events": []})), "it is looked into")
    held.slow.stop(signal.SIGKILL)  # its delivery fails, and the publish ends
    held.publisher.process.wait_for(r"^published ", "out")
    session = held.recorder.stop()
    spans = held.shown()
    assert names(spans["notify"]) == stream.STEPS["notify"] and names(spans["attempt"]) == stream.STEPS["attempt"], spans
    assert spans["notify"]["status"] == "ok" and not spans["notify"]["marks"], spans["notify"]
    assert names(spans["handle_notify"]) == stream.STEPS["handle_notify"], spans["handle_notify"]
    assert spans["handle_notify"]["status"] == "ok" and "incomplete" not in spans["handle_notify"]["marks"], spans["handle_notify"]
    held.check_rest(session)
    # a replay has the same inputs
    case.run("outspan", "replay", case.path("f.raw"), "-o", case.path("again.db"))
    again = stream.Session(case.path("again.db"))
    again.check_books()
    told, told_again = (sorted((s["span_id"], s["steps"], s["marks"], s["start_ns"], s["end_ns"]) for s in x.spans) for x in (session, again))
    assert told == told_again


if __name__ == "__main__":
    harness.main(globals())
