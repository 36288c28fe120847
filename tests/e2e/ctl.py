#!/usr/bin/python3
"""Orders to a running recorder: what it tells of itself, how it is stopped, who may, and that
nobody can hold it up. Prints TAP; needs root and BPF."""
import json
import os
import re
import signal
import socket
import subprocess

import harness
import stream


def ctl(case, *words, status=0):
    return case.run("outspan", "ctl", *words, status=status)


def figures(case, *words):
    return json.loads(ctl(case, *words, "status", "--json").text())


def names():
    """The recorders' sockets of this machine: {pid: name}."""
    with open("/proc/net/unix", encoding="ascii", errors="replace") as f:
        found = [w[7] for w in map(str.split, f) if len(w) > 7 and w[7].startswith("@outspan/") and w[3] == "00010000"]
    return {int(n.split("/")[1]): n for n in found}


def dial(recorder):
    s = socket.socket(socket.AF_UNIX)
    s.connect("\0" + names()[recorder.pid][1:])
    s.settimeout(harness.PATIENCE)
    return s


def ask(recorder, *words):
    """As outspan ctl does, without a process for each."""
    with dial(recorder) as s, s.makefile("r") as answers:
        s.sendall(json.dumps(words).encode() + b"\n")
        return json.loads(answers.readline())


def stored(recorder, publisher, text):
    """Publishes, and waits until the recorder has all of it."""
    before = ask(recorder, "status")["traces"]
    p = stream.publish(publisher, text)

    def is_there():
        now = ask(recorder, "status")
        return now["traces"] > before and not now["open"]
    stream.wait_until(is_there, "the message is recorded")
    return p


def test_status_tells_what_the_recorder_has_done(case):
    system = stream.System(case)
    for _ in range(2):
        system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", pids=system.pids())
    before = figures(case, recorder.file)
    assert before["steps"] == 0 and before["lost"] == 0 and before["losses"] == {}, before
    assert before["session"] == recorder.file and before["pid"] == recorder.pid, before
    assert before["sites"] == recorder.sites and before["processes"] == recorder.processes == 4, before
    for i in range(23):
        stream.publish(publisher, f"message {i}")
    programs = [system.broadcaster, *system.subscribers, publisher]

    def all_steps():
        hits = sum(sum(stream.expected_hits(p).values()) for p in programs)
        now = figures(case, recorder.file)
        return now["steps"] == hits and now["open"] == 0 and now
    now = stream.wait_until(all_steps, "every step of the logs is in the status")
    assert now["traces"] == 23 and now["operations"] == 23 * 4 and now["spans"] == 23 * 9, now
    assert now["lost"] == 0 and now["recording_ns"] > before["recording_ns"] and now["cpu_ns"] >= before["cpu_ns"], now
    ring = now["ring_bytes"]
    assert 0 <= now["ring_used_bytes"] <= ring and 1 << 20 <= ring <= 64 << 20, now
    hits = sum(sum(stream.expected_hits(p).values()) for p in programs)
    assert now["operations"] <= now["hits"] <= hits and set(now["slow_down_percent"]) == {str(p.pid) for p in programs}, now
    assert all(0 < x < 100 for x in now["slow_down_percent"].values()), now
    text = ctl(case, "-p", str(recorder.pid), "status").text()
    for line in (f"session          {recorder.file}", "level            detail", f"steps            {now['steps']}"):
        assert line in text.splitlines(), text
    session = recorder.stop()
    session.check_books()
    assert len(session.traces) == 23 and session.settings["ring_bytes"] == str(ring)
    assert ctl(case, recorder.file, "status", status=1).err.decode() == f"error: no recorder is writing {recorder.file}\n"
    system.stop()


def test_status_tells_what_is_left_out_on_request(case):
    system = stream.System(case)
    publisher = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", "--sample", "1/4", "--limit", "5/s:topic", "--overhead", "50%", pids=system.pids())
    now = figures(case, recorder.file)
    assert (now["sample"], now["limit"], now["limit_crowded"], now["overhead_limit_percent"]) == ("1/4", "5/s:topic", 0, 50), now
    recorder.stop()
    # the recorder decides, so that it knows at once: whole messages are left out, none is lost
    recorder = stream.Recorder(case, "g.db", "--limit", "1/s:topic", pids=system.pids())

    def some_left_out():
        stream.publish(publisher, "one more")
        found = figures(case, recorder.file)
        return found["left_out"] and found
    now = stream.wait_until(some_left_out, "the limit leaves something out")
    assert now["left_out_by"] == {"limited": now["left_out"]}, now
    assert (now["lost"], now["losses"], now["lost_per_s"], now["not_needed"]) == (0, {}, 0, 0), now
    text = ctl(case, recorder.file, "status").text()
    assert re.search(r"^lost +0\nleft_out +\d+\n  limited +\d+\nnot_needed +0$", text, re.M), text
    session = recorder.stop()
    session.check_books()
    said = case.run("outspan", "losses", recorder.file).text()
    left_out = sum(r["lost"] for r in session.losses)
    assert said.startswith("no step is missing: ") and f"; left out as asked: {left_out}\n" in said, said
    assert f" stored + {left_out} left out as asked + 0 lost: closes" in said, said
    assert re.search(r"^limited +%d  left out on request" % left_out, said, re.M), said
    told = recorder.process.err.decode()
    assert "losses: none" in told and f"left out as asked: {left_out} steps" in told, told
    system.stop()


def test_stop_returns_when_the_session_is_whole(case):
    system = stream.System(case)
    publisher = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", pids=system.pids())
    for i in range(7):
        stream.publish(publisher, f"message {i}")
    recorder.stopped_at = 0
    ctl(case, recorder.file, "stop")
    session = stream.Session(recorder.file)
    session.check_books()
    assert "ended" in session.settings and len(session.traces) == 7
    recorder.end()
    assert recorder.pid not in names()
    system.stop()


def test_only_root_and_the_recording_user_may_order(case):
    system = stream.System(case)
    recorder = stream.Recorder(case, "f.db", pids=system.pids())
    outspan = os.path.join(harness.BUILD, "outspan")

    def as_user(uid):
        return subprocess.run([outspan, "ctl", "-p", str(recorder.pid), "stop"], user=uid, group=uid, extra_groups=[],
                              capture_output=True, text=True, timeout=harness.PATIENCE)
    stranger = as_user(65534)
    assert stranger.returncode == 3 and "only root and the user who records" in stranger.stderr, stranger
    # not by our own client's manners either
    code = """if True:
        import os, socket, sys
        os.setgid(65534)
        os.setuid(65534)
        s = socket.socket(socket.AF_UNIX)
        s.connect("\\0" + sys.argv[1])
        try:
            s.sendall(b'["stop"]\\n')
        except BrokenPipeError:
            pass  # it did not even wait for the order
        print(s.recv(4096).decode())"""
    raw = subprocess.run(["python3", "-c", code, names()[recorder.pid][1:]], capture_output=True, text=True,
                         timeout=harness.PATIENCE)
    assert "only root and the user who records" in raw.stdout, raw
    assert recorder.process.popen.poll() is None
    assert figures(case, recorder.file)["pid"] == recorder.pid
    recorder.stop()
    system.stop()


def test_the_user_behind_sudo_may_order(case):
    system = stream.System(case)
    recorder = stream.Recorder.__new__(stream.Recorder)
    recorder.case, recorder.file = case, case.path("f.db")
    recorder.process = case.start("outspan", "record", "-p", str(system.broadcaster.pid), "-o", recorder.file,
                                  env=dict(os.environ, SUDO_UID="65534", SUDO_GID="65534"))
    recorder.pid = recorder.process.pid
    recorder.ready()
    got = subprocess.run([os.path.join(harness.BUILD, "outspan"), "ctl", "-p", str(recorder.pid), "status", "--json"],
                         user=65534, group=65534, extra_groups=[], capture_output=True, text=True, timeout=harness.PATIENCE)
    assert got.returncode == 0 and json.loads(got.stdout)["pid"] == recorder.pid, got
    recorder.stop()
    system.stop()


def test_stuck_clients_cannot_hold_it_up(case):
    system = stream.System(case)
    system.subscriber("news")
    publisher = system.publisher("news", lines=True)
    recorder = stream.Recorder(case, "f.db", pids=system.pids())
    stuck = [dial(recorder) for _ in range(20)]
    for s in stuck[::2]:
        try:
            s.sendall(b'["stat')
        except BrokenPipeError:
            pass  # one of the oldest: ended already
    for i in range(23):
        stream.publish(publisher, f"message {i}")
    assert figures(case, recorder.file)["pid"] == recorder.pid
    garbage = dial(recorder)
    garbage.sendall(b"\x00\xff{" * 5000 + b"\n")
    assert b'"error"' in garbage.recv(4096)
    session = recorder.stop()
    session.check_books()
    for p in system.publishes():
        stream.check_complete(session, system, p)
    for s in stuck:
        assert s.recv(1) == b"", "a client outlived its recorder"
        s.close()
    system.stop()


def test_of_several_recorders_one_must_be_chosen(case):
    system = stream.System(case)
    first = stream.Recorder(case, "first.db", pids=system.pids())
    second = stream.Recorder(case, "second.db", pids=system.pids())
    many = ctl(case, "status", status=1).err.decode()
    assert f"  {first.pid}\n" in many and f"  {second.pid}\n" in many, many
    for r in (first, second):
        assert figures(case, r.file)["pid"] == figures(case, "-p", str(r.pid))["pid"] == r.pid
    assert "no recorder that writes" in ctl(case, "-p", str(first.pid), second.file, "status", status=1).err.decode()
    os.kill(second.pid, signal.SIGKILL)
    assert second.process.wait() == -signal.SIGKILL
    assert second.pid not in names(), "nothing is left of a killed recorder"
    ctl(case, first.file, "stop")
    first.end()
    system.stop()


def test_what_is_no_order_is_a_usage_error(case):
    for words in ([], ["no-such-order"], ["x.db", "no-such-order"], ["status", "more"], ["-p", "x", "status"]):
        said = ctl(case, *words, status=2).err.decode()
        assert "outspan ctl" in said, said
    assert "No such file" in ctl(case, case.path("absent.db"), "status", status=1).err.decode()


if __name__ == "__main__":
    harness.main(globals())
