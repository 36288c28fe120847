#!/usr/bin/env python3
"""What a command line tool must do from the first day: end in good order, own its files, write
nothing that steers a terminal, stop when nobody reads, and leave nothing behind.
"""
import datetime
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import time

import harness
import pubsub

OUTSPAN = os.path.join(harness.BUILD, "outspan")
SOMEBODY = 65534
SUMMARY = r"^recorded (\d+) steps of (\d+) operations: (\d+) spans, (\d+) links, (\d+) traces\n" \
    r"overhead: (\d+) hits in the targets \(\w+ form\), about [1-9]\d+ ns each; outspan used [\d.]+ m?s of processor time in [\d.]+ m?s, \d+ wake-ups\n" \
    r"(?:  process \d+ +\d+ hits  slowed down by about \d+\.\d\d %\n)*losses: none$"

# Topics that try to steer a terminal, forge a line, or are no text at all.
HOSTILE = [b"red/\x1b[31mred", b"title/\x1b]0;owned\x07", b"two\nlines", b"cr\rback\x08\x08", b"c1/\xc2\x9b31m", b"bidi/\xe2\x80\xaegnp",
           b"bytes/\xff\xfe\x80", b"half/\xe2\x82", b"nul-less\x01\x7f", b"fair/\xc3\xa4\xe2\x82\xac", b"back\\slash \"quoted\" 'so'"]


def said(process):
    return process.err.decode()


def escape(topic):
    """A topic as the programs' logs write it: their own code, checked against this one."""
    out = ""
    while topic:
        for size in (1, 2, 3, 4):
            try:
                text = topic[:size].decode("utf-8")
            except UnicodeDecodeError:
                continue
            break
        else:
            text, size = None, 1
        hidden = text is None or ord(text) < 0x20 or 0x7f <= ord(text) < 0xa0 or text in "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
        out += "".join(f"\\x{b:02x}" for b in topic[:size]) if hidden else "\\\\" if text == "\\" else text
        topic = topic[size:]
    return out


def start_recording(case, programs, *args, file="session.db", env=None):
    pids = [word for p in programs for word in ("-p", str(p.pid))]
    p = case.start("outspan", "record", "-o", case.path(file), *pids, *args, env=env)
    p.wait_for(r"^ready: ")
    return p


def notify(case, broadcaster, topic, *args, log="notify.log"):
    """One run of psp-notify, started while everything is recorded; what its log says."""
    case.run("psp-notify", "--broadcaster", broadcaster.url, "--log", case.path(log), "-q", *args, topic, "text")


def header(path):
    with open(path, "rb") as f:
        return f.read(100)


def check_clean_file(case, file="session.db"):
    """One plain file, in no write-ahead mode, that a reader without any right beside it may open."""
    path = case.path(file)
    beside = [n for n in os.listdir(case.dir) if n.startswith(file) and n != file]
    assert not beside, beside
    assert header(path)[18:20] == b"\1\1", "the header still says WAL"
    db = sqlite3.connect(f"file:{path}?mode=ro&immutable=0", uri=True)
    try:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        db.close()


def check_stored(case, published, file="session.db"):
    """A trace for each message of the publisher's log, no more."""
    session = pubsub.Session(case, case.path(file))
    ids = [pubsub.identifier(t.only("attempt")) for t in session.with_root("publish")]
    assert sorted(ids) == sorted(p["identifier"] for p in published), (ids, published)
    session.check_no_loss()
    return session


# ---- ends ------------------------------------------------------------------------------------------


def check_end(case, pair, recorder, published, how):
    assert recorder.wait() == 0, (how, said(recorder))
    summary = re.search(SUMMARY, said(recorder), re.M)
    assert summary, (how, said(recorder))
    assert recorder.out == b"", (how, recorder.out)
    check_clean_file(case)
    session = check_stored(case, published)
    assert int(summary[3]) == sum(len(t.spans) for t in session.traces) and int(summary[5]) == len(session.traces), (how, summary[0])
    assert int(summary[1]) == sum(hits for hits, _, _ in session.hits().values()), (how, summary[0])
    # By default every operation traps at its end, and at its first step if it waits for a peer.
    taken = sum(len(t.find("receive ")) for t in session.traces)
    assert int(summary[6]) == 2 * int(summary[2]) - taken, (how, summary[0])


def check_signal(case, number):
    pair = pubsub.Pair(case, [["--exact", "a/b"]], auth=[])
    recorder = start_recording(case, pair.programs)
    published = pair.publish(3)
    recorder.signal(number)
    check_end(case, pair, recorder, published, number)
    pair.publish(2)  # they run on, unrecorded
    pair.stop()


def test_interrupt_ends_a_recording_in_good_order(case):
    check_signal(case, signal.SIGINT)


def test_termination_ends_a_recording_in_good_order(case):
    check_signal(case, signal.SIGTERM)


def test_a_closed_terminal_ends_a_recording_in_good_order(case):
    check_signal(case, signal.SIGHUP)


def test_a_recording_for_a_time_ends_by_itself_and_not_before(case):
    pair = pubsub.Pair(case, [["--exact", "a/b"]], auth=[])
    began = time.monotonic()
    recorder = start_recording(case, pair.programs, "--for", "1500ms")
    published = pair.publish(3)
    check_end(case, pair, recorder, published, "--for")
    assert time.monotonic() - began >= 1.5
    pair.stop()


def test_the_end_of_all_targets_ends_a_recording(case):
    pair = pubsub.Pair(case, [["--exact", "a/b"]], auth=[])
    recorder = start_recording(case, pair.programs)
    published = pair.publish(3)
    pair.stop()
    check_end(case, pair, recorder, published, "exit")


def test_the_end_of_the_command_that_was_started_ends_a_recording(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    log = case.path("notify.log")
    p = case.run("outspan", "record", "-o", case.path("session.db"), "--", os.path.join(harness.BUILD, "psp-notify"),
                 "--broadcaster", broadcaster.url, "--log", log, "--count", "3", "a/b", "text")
    assert re.search(SUMMARY, said(p), re.M) and len(p.text().splitlines()) == 3, (said(p), p.text())
    check_clean_file(case)
    with open(log) as f:
        ids = re.findall(r"^publish identifier=(\w+)", f.read(), re.M)
    check_stored(case, [{"identifier": i} for i in ids])
    assert len(ids) == 3


def test_the_recorder_goes_before_others_and_the_command_it_starts_does_not(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    recorder = start_recording(case, [broadcaster])
    assert os.getpriority(os.PRIO_PROCESS, recorder.pid) == -20
    assert os.getpriority(os.PRIO_PROCESS, broadcaster.pid) == os.getpriority(os.PRIO_PROCESS, 0)
    assert recorder.stop(signal.SIGINT) == 0, said(recorder)
    started = case.run("outspan", "record", "-o", case.path("command.db"), "--", "nice").text()  # it says its own
    assert started == f"{os.getpriority(os.PRIO_PROCESS, 0)}\n", started


def test_ready_is_told_on_stderr_and_to_a_service_manager(case):
    pair = pubsub.Pair(case, [["--exact", "a/b"]], auth=[])
    for address, name in ((case.path("notify.socket"), case.path("notify.socket")), (f"\0outspan-{os.getpid()}", f"@outspan-{os.getpid()}")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(address)
            manager.settimeout(harness.PATIENCE)
            recorder = start_recording(case, pair.programs, "--overwrite", env=dict(os.environ, NOTIFY_SOCKET=name))
            line = re.search(r"^ready: (\d+) sites, 3 processes$", said(recorder), re.M)
            assert line and int(line[1]) > 0, said(recorder)
            assert manager.recv(1000).decode().splitlines() == ["READY=1", "STATUS=" + line[0]]
            assert recorder.stop(signal.SIGINT) == 0
    recorder = start_recording(case, pair.programs, "--overwrite", env=dict(os.environ, NOTIFY_SOCKET="/no/such/socket"))
    assert recorder.stop(signal.SIGINT) == 0
    pair.stop()


# ---- who reads -------------------------------------------------------------------------------------


def record_many(case, count):
    """A session of so many traces, without subscribers."""
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    recorder = start_recording(case, [broadcaster])
    notify(case, broadcaster, "a/b", "--count", str(count))
    assert recorder.stop(signal.SIGINT) == 0, said(recorder)
    return case.path("session.db")


def commands(file):
    return [["ls", file], ["ls", "--json", file], ["show", "-v", file, "last"], ["show", "--json", file, "last"], ["export", file],
            ["probes", os.path.join(harness.BUILD, "psp-broadcaster")],
            ["probes", "--json", os.path.join(harness.BUILD, "psp-broadcaster")]]


def test_a_reader_that_goes_away_ends_output_without_noise(case):
    file = record_many(case, 1500)
    for argv in commands(file):
        if argv[0] == "show":
            continue  # shorter than what a pipe holds
        whole = case.run("outspan", *argv).out
        reader, writer = os.pipe()
        p = subprocess.Popen([OUTSPAN, *argv], stdout=writer, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        os.close(writer)
        assert os.read(reader, 10)
        os.close(reader)
        noise = p.communicate(timeout=harness.PATIENCE)[1]
        assert noise == b"" and p.returncode in (0, 1), (argv, p.returncode, noise)
        assert p.returncode == 1 or len(whole) <= 65536, (argv, len(whole))
    script = '"$1" ls "$2" | head -1; exit "${PIPESTATUS[1]}"'
    p = case.run("/bin/bash", "-c", script, "bash", OUTSPAN, file)
    assert p.err == b"" and re.fullmatch(r"ID +START.*\n", p.text()), (p.out, p.err)


def test_a_full_stdout_ends_with_1_and_says_why(case):
    file = record_many(case, 3)
    for argv in [*commands(file), ["doctor"], ["doctor", "--json"], ["--help"], ["ls", "--help"], ["--version"]]:
        with open("/dev/full", "w") as full:
            p = subprocess.run([OUTSPAN, *argv], stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=harness.PATIENCE)
        assert p.returncode == 1, (argv, p)
        assert b"No space left on device" in p.stderr, (argv, p.stderr)


# ---- what a terminal is shown -----------------------------------------------------------------------


def run_on_terminal(case, *argv, env=None, until=None):
    """What a terminal of 100 columns gets from the command, as bytes; stderr and stdout together."""
    master, slave = pty.openpty()
    p = subprocess.Popen([OUTSPAN, *argv], stdin=slave, stdout=slave, stderr=slave, cwd=case.dir, env=env, start_new_session=True)
    os.close(slave)
    shown = b""
    end = time.monotonic() + harness.PATIENCE
    try:
        while select.select([master], [], [], max(0, end - time.monotonic()))[0]:
            try:
                data = os.read(master, 65536)
            except OSError:  # the other side is closed
                break
            shown += data
            if until and re.search(until, shown):
                p.send_signal(signal.SIGINT)
                until = None
        assert p.wait(harness.PATIENCE) == 0, (argv, p.returncode, shown)
    finally:
        os.close(master)
        if p.poll() is None:
            p.kill()
            p.wait()
    return shown.replace(b"\r\n", b"\n")


def check_harmless(shown, own=rb"\x1b\[[0-9;]*m"):
    """Printable UTF-8 in lines, but for the colours that are outspan's own."""
    text = re.sub(own, b"", shown).decode("utf-8")
    bad = [c for c in text if c != "\n" and (not c.isprintable() or c in "\u202e\u200f")]
    assert not bad, (bad, text)
    return text


def record_hostile(case):
    """A message on each hostile topic, sent by a program of a hostile name."""
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    subscribers = [pubsub.start_subscriber(case, broadcaster, "--glob", "*", auth=[])]
    name = os.fsencode(case.path("")) + b"\x1b[2J\xffpsp"
    shutil.copy(os.path.join(harness.BUILD, "psp-notify"), name)
    recorder = start_recording(case, [broadcaster, *subscribers], "-e", os.fsdecode(name))
    for i, topic in enumerate(HOSTILE):
        p = subprocess.run([name, b"--broadcaster", broadcaster.url.encode(), b"--log", os.fsencode(case.path("notify.log")), b"-q", topic, b"text"],
                           capture_output=True, stdin=subprocess.DEVNULL, timeout=harness.PATIENCE)
        assert p.returncode == 0, (topic, p)
    assert recorder.stop(signal.SIGINT) == 0, said(recorder)
    check_harmless(recorder.err)
    assert subscribers[0].stop() == 0
    with open(case.path("notify.log")) as f:
        log = [dict(w.split("=", 1) for w in line.split()[1:]) for line in f if line.startswith("publish ")]
    assert [e["topic"] for e in log] == [escape(t).replace(" ", "\\x20") for t in HOSTILE], "the test's own escape"
    return case.path("session.db"), log


def test_hostile_topics_and_names_reach_no_terminal(case):
    file, log = record_hostile(case)
    listed = check_harmless(run_on_terminal(case, "ls", file)).splitlines()[1:]
    by_id, names = {}, []
    for line in case.run("outspan", "ls", "--json", file).text().splitlines():
        trace = json.loads(line)
        spans = [json.loads(l) for l in case.run("outspan", "show", "--json", file, trace["trace_id"]).text().splitlines()]
        by_id.update({s["attributes"]["messaging.message.id"]: (trace, spans) for s in spans if s["name"].startswith("attempt")})
    for topic, entry in zip(HOSTILE, log):
        trace, spans = by_id[entry["identifier"]]
        assert trace["root"] == "publish " + escape(topic), (trace["root"], topic)
        line, = [l for l in listed if l.startswith(trace["trace_id"][:12])]
        assert "  publish " in line, line
        shown = check_harmless(run_on_terminal(case, "show", "-v", file, trace["trace_id"]))
        assert "publish " + escape(topic) in shown.splitlines()[1], (topic, shown)
        assert max(map(len, shown.splitlines())) <= 100, shown
        root, = [s for s in spans if s["parent_id"] is None]
        value = root["attributes"]["messaging.destination.name"]
        try:
            assert value == topic.decode(), (value, topic)
        except UnicodeDecodeError:  # bytes are hexadecimal
            assert value == topic.hex(), (value, topic)
        names.append(root["process"]["exe"])
    # One that ended before the recorder looked has no name.
    assert any(names) and all("\\x1b[2J\\xffpsp" in n for n in names if n), names
    assert len(listed) >= len(HOSTILE)


def test_json_and_exports_hold_no_control_character(case):
    file, _ = record_hostile(case)
    last = json.loads(case.run("outspan", "ls", "--json", file).text().splitlines()[0])["trace_id"]
    for argv in (["ls", "--json", file], ["show", "--json", file, last], ["export", file]):
        out = case.run("outspan", *argv).out
        assert re.fullmatch(rb"[\n\x20-\x7e]*", out), [m for m in re.findall(rb"[^\n\x20-\x7e]", out)]
        [json.loads(l) for l in ([out] if argv[0] == "export" else out.splitlines())]


def test_hostile_bystanders_are_named_harmlessly(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    name = os.fsencode(case.path("")) + b"\x1b[31m\xffhi"
    os.link(os.path.join(harness.BUILD, "psp-broadcaster"), name)
    bystander = case.start(os.fsdecode(name), "--listen", "127.0.0.1:0")
    bystander.wait_for(r"^ready: ")
    recorder = start_recording(case, [broadcaster])
    shown = check_harmless(recorder.err)
    assert re.search(rf"^\\x1b\[31m\\xffhi \({bystander.pid}\) runs the same binary", shown, re.M), shown
    assert recorder.stop(signal.SIGINT) == 0
    assert bystander.stop() == 0
    check_harmless(run_on_terminal(case, "probes", "-p", str(broadcaster.pid)))


def test_colour_is_for_terminals_and_for_who_wants_it(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    recorder = start_recording(case, [broadcaster])
    notify(case, broadcaster, "a/b")
    assert recorder.stop(signal.SIGINT) == 0
    file = case.path("session.db")
    plain = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    for argv in (["ls", file], ["show", "-v", file, "last"]):
        assert b"\x1b[" in run_on_terminal(case, *argv, env=dict(plain, TERM="xterm")), argv
        assert b"\x1b[" in run_on_terminal(case, *argv, env=dict(plain, TERM="xterm", NO_COLOR="")), argv
        assert b"\x1b" not in run_on_terminal(case, *argv, env=dict(plain, TERM="xterm", NO_COLOR="1")), argv
        assert b"\x1b" not in run_on_terminal(case, *argv, "--color=never", env=dict(plain, TERM="xterm")), argv
        assert b"\x1b" not in case.run("outspan", *argv, env=plain).out, argv
        coloured = case.run("outspan", *argv, "--color=always", env=plain).out
        assert b"\x1b[" in coloured and re.sub(rb"\x1b\[[0-9;]*m", b"", coloured) == case.run("outspan", *argv).out, argv
        case.run("outspan", *argv, "--color=mauve", status=2)


def test_progress_is_shown_on_a_terminal_only_and_wiped_at_the_end(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    argv = ["record", "-p", str(broadcaster.pid), "-o", case.path("a.db")]
    shown = run_on_terminal(case, *argv, until=rb"\d+ steps +\d+ operations +\d+ open +\d+ lost")
    check_harmless(shown.replace(b"\r", b""), own=rb"\x1b\[K|\^C")
    assert re.search(rb"\r\x1b\[Krecorded \d+ steps", shown), shown
    p = case.run("outspan", "record", "-p", str(broadcaster.pid), "-o", case.path("b.db"), "--for", "1200ms")
    assert b"\x1b" not in p.err and b"\r" not in p.err and b" open " not in p.err, p.err


def test_times_are_local_with_their_offset_or_utc(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    recorder = start_recording(case, [broadcaster])
    notify(case, broadcaster, "a/b")
    assert recorder.stop(signal.SIGINT) == 0
    entry, = broadcaster.log("notify")
    began = datetime.datetime.fromtimestamp(int(entry["begin"]) / 1e9, datetime.timezone.utc)
    file = case.path("session.db")
    zone = dict(os.environ, TZ="XST-5:30")
    for argv in (["ls", file], ["show", file, "last"]):
        for options, env, offset in (([], zone, "+05:30"), (["--utc"], zone, "Z"), ([], dict(os.environ, TZ="UTC"), "+00:00")):
            found = re.search(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+)(Z|[+-]\d\d:\d\d)", case.run("outspan", *argv, *options, env=env).text())
            assert found and found[2] == offset, (argv, options, found)
            shown = datetime.datetime.fromisoformat((found[1] + "000")[:26] + found[2].replace("Z", "+00:00"))
            assert abs((shown - began).total_seconds()) < 0.1, (shown, began)
    for argv in (["ls", "--json", file], ["show", "--json", file, "last"]):
        start = json.loads(case.run("outspan", *argv, env=zone).text().splitlines()[0])["start_ns"]
        assert abs(start - int(entry["begin"])) < 100_000_000, (argv, start, entry)


def test_numbers_and_texts_ignore_the_locale(case):
    file = record_many(case, 3)
    for argv in (["ls", file], ["show", "-v", file, "last"]):
        first = case.run("outspan", *argv, env=dict(os.environ, LC_ALL="C")).out
        for locale in ("C.UTF-8", "de_DE.UTF-8", "tr_TR.UTF-8"):
            assert case.run("outspan", *argv, env=dict(os.environ, LC_ALL=locale)).out == first, (argv, locale)


# ---- files -----------------------------------------------------------------------------------------


def check_mine(path, uid=SOMEBODY):
    info = os.stat(path)
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (uid, uid, 0o600), (path, info)


def test_under_sudo_what_is_written_belongs_to_who_called_it(case):
    pair = pubsub.Pair(case, [["--exact", "a/b"]], auth=[])
    sudo = dict(os.environ, SUDO_UID=str(SOMEBODY), SUDO_GID=str(SOMEBODY))
    before = os.umask(0)
    try:
        recorder = start_recording(case, pair.programs, "--raw", case.path("session.raw"), env=sudo)
    finally:
        os.umask(before)
    pair.publish(3)
    for name in ("session.db", "session.db-wal", "session.db-shm", "session.raw"):
        check_mine(case.path(name))
    assert recorder.stop(signal.SIGINT) == 0
    check_mine(case.path("session.db"))
    check_mine(case.path("session.raw"))
    case.run("outspan", "replay", case.path("session.raw"), "-o", case.path("again.db"), env=sudo)
    check_mine(case.path("again.db"))
    recorder = start_recording(case, pair.programs, file="own.db", env={k: v for k, v in os.environ.items() if not k.startswith("SUDO_")})
    assert recorder.stop(signal.SIGINT) == 0
    check_mine(case.path("own.db"), os.getuid())
    pair.stop()


def test_the_default_name_tells_the_time_in_utc(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    p = case.run("outspan", "record", "-p", str(broadcaster.pid), "--for", "100ms", env=dict(os.environ, TZ="XST-5:30"))
    after = datetime.datetime.now(datetime.timezone.utc)
    name, = [n for n in os.listdir(case.dir) if n.startswith("outspan-")]
    found = re.fullmatch(r"outspan-(\d{8}T\d{6}Z)\.db", name)
    assert found and f"session: {name}" in said(p), (name, said(p))
    at = datetime.datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    assert before <= at <= after, (before, at, after)


def test_nothing_is_pinned_or_left_beside_the_session(case):
    def pinned():
        return sorted(os.path.join(d, n) for d, _, names in os.walk("/sys/fs/bpf") for n in names)

    def shared():
        return {d: set(os.listdir(d)) for d in ("/dev/shm", "/run", "/var/tmp")}
    pair = pubsub.Pair(case, [["--exact", "a/b"]], auth=[])
    mine, before, elsewhere = set(os.listdir(case.dir)), pinned(), shared()
    recorder = start_recording(case, pair.programs)
    pair.publish(3)
    assert pinned() == before, "pinned while recording"
    assert recorder.stop(signal.SIGINT) == 0
    assert pinned() == before and shared() == elsewhere
    assert set(os.listdir(case.dir)) - mine == {"session.db"}
    pair.stop()


if __name__ == "__main__":
    harness.main(globals())
