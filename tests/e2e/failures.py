#!/usr/bin/env python3
"""What outspan says and returns when something is wrong: 1 failed, 2 usage, 3 not permitted or not
supported here; and that what was recorded until then is safe.
"""
import ctypes
import json
import os
import platform
import re
import shutil
import signal
import sqlite3
import stat
import struct
import subprocess

import harness
import pubsub

NOBODY = 65534
CAPABILITIES = ["bpf", "perfmon", "sys_ptrace", "checkpoint_restore", "lease", "dac_read_search"]
SYSCALLS = {"x86_64": (0xC000003E, 321, 298), "aarch64": (0xC00000B7, 280, 241)}  # architecture, bpf, perf_event_open
COMMANDS = ["probes", "record", "replay", "ls", "show", "deliveries", "losses", "export", "doctor"]
ENOSYS = 38


def said(process):
    return process.err.decode()


def refused(case, status, pattern, *argv, env=None):
    """The command ends with this status, says this in one line of its own, and prints no data."""
    p = case.run(*argv, status=status, env=env)
    assert re.search(pattern, said(p)), (pattern, said(p))
    assert p.out == b"", p.out
    return p


def recording(case, *argv, file="session.db"):
    return ["outspan", "record", "-o", case.path(file), *argv]


def sleeper(case):
    """A process without sites, and one that cannot end by itself."""
    return case.start("/bin/cat", stdin=True)


# ---- a small program of known points ---------------------------------------------------------------

TICKER = os.path.join(harness.ROOT, "tests", "probes", "ticker")


def build_ticker(case, name="ticker", header=None, op_stub=None):
    """tests/probes/ticker.c, with what these make of its generated header and of op_stub.h."""
    include = case.path(name + ".include")
    shutil.copytree(os.path.join(harness.BUILD, "gen", "outspan"), os.path.join(include, "outspan"))
    generate = os.path.join(harness.BUILD, "outspan-generate")
    text = subprocess.run([generate, "header", TICKER + ".yaml"], check=True, capture_output=True, text=True).stdout
    with open(os.path.join(include, "ticker.h"), "w") as f:
        f.write(header(text) if header else text)
    if op_stub:
        path = os.path.join(include, "outspan", "op_stub.h")
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(op_stub(text))
    subprocess.run(["gcc", "-O2", "-std=gnu11", "-D_GNU_SOURCE", "-I", include, TICKER + ".c", "-o", case.path(name),
                    "-lpthread", "-ldl"], check=True, capture_output=True)
    return case.path(name)


def start_ticker(case, path):
    p = case.start(path, stdin=True)
    p.wait_for(r"^ready \d+$", "out")
    return p


def tick(ticker, times):
    at = len(ticker.out)
    ticker.line(f"tick {times}")
    ticker.wait_for(r"^0$", "out", after=at)


def start_recording(case, *argv, file="session.db"):
    p = case.start(*recording(case, *argv, file=file))
    p.wait_for(r"^ready: ")
    return p


def stored(path):
    """{point: hits}, of the session's books."""
    db = sqlite3.connect(path)
    try:
        return dict(db.execute("SELECT probe, sum(hits) FROM losses GROUP BY probe"))
    finally:
        db.close()


# ---- who may ---------------------------------------------------------------------------------------


def run_as_nobody(case, capabilities, *argv):
    """outspan as uid 65534 with these capabilities; through a descriptor, for its path may be closed to others."""
    with open(os.path.join(harness.BUILD, "outspan"), "rb") as f:
        caps = ",".join(["-all"] + ["+" + c for c in capabilities])
        return subprocess.run(
            ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--inh-caps", caps,
             "--ambient-caps", caps, f"/proc/self/fd/{f.fileno()}", *argv],
            pass_fds=[f.fileno()], cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=harness.PATIENCE)


def open_directory(case, name="open"):
    """Anybody may write here, if he gets so far."""
    path = case.path(name)
    os.mkdir(path)
    os.chmod(path, 0o777)
    return path


def test_a_user_without_privileges_is_told_what_is_missing(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    file = os.path.join(open_directory(case), "x.db")
    for target in (["-p", str(broadcaster.pid)], ["--all"], ["--comm", "psp-broadcaster"]):
        p = run_as_nobody(case, [], "record", "-o", file, "--for", "1s", *target)
        assert p.returncode == 3, (target, p)
        assert "run as root" in p.stderr and all("cap_" + c in p.stderr for c in CAPABILITIES), (target, p.stderr)
    p = run_as_nobody(case, [], "probes", "-p", str(broadcaster.pid))
    assert p.returncode == 3 and "cap_sys_ptrace" in p.stderr and not p.stdout, p
    p = run_as_nobody(case, [], "doctor", "--json")
    verdicts = {c["check"]: c for c in map(json.loads, p.stdout.splitlines())}
    assert p.returncode == 3 and verdicts["user"]["verdict"] == "fail", p
    assert all("cap_" + c in verdicts["user"]["detail"] for c in CAPABILITIES), verdicts["user"]
    assert not os.path.exists(file)


def test_each_missing_capability_is_named_alone(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    directory = open_directory(case)
    for missing in CAPABILITIES:
        file = os.path.join(directory, missing + ".db")
        p = run_as_nobody(case, [c for c in CAPABILITIES if c != missing], "record", "-o", file, "--for", "100ms", "-p",
                          str(broadcaster.pid))
        if missing == "lease":  # does without, and says what that means
            assert p.returncode == 0 and "no lease on" in p.stderr and os.path.exists(file), p
            continue
        named = re.search(r"(\S+) missing: .* - run as root, or grant the capabilities", p.stderr)
        assert p.returncode == 3 and named and named[1] == "cap_" + missing, (missing, p.stderr)
        assert not os.path.exists(file), missing


def test_with_the_named_capabilities_another_user_records_processes_of_root(case):
    pair = pubsub.Pair(case, [["--exact", "a/b"]], auth=[])
    directory = open_directory(case)
    file = os.path.join(directory, "x.db")
    recorder = run_as_nobody(case, CAPABILITIES, "record", "-o", file, "--for", "100ms", "-p", str(pair.broadcaster.pid))
    assert recorder.returncode == 0 and re.search(r"^ready: [1-9]\d* sites, 1 process$", recorder.stderr, re.M), recorder
    info = os.stat(file)
    assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (NOBODY, 0o600), info
    pair.stop()


# ---- targets ---------------------------------------------------------------------------------------


def test_no_such_process(case):
    gone = sleeper(case)
    gone.stop(signal.SIGKILL)
    for argv in (recording(case, "-p", str(gone.pid)), ["outspan", "probes", "-p", str(gone.pid)]):
        refused(case, 1, rf"^error: .*process {gone.pid}: No such process$", *argv)
    assert not os.path.exists(case.path("session.db"))


def test_a_process_and_a_file_without_sites(case):
    plain = sleeper(case)
    refused(case, 1, rf"^error: process {plain.pid} \(cat\) has no trace points that a loaded catalogue knows",
            *recording(case, "-p", str(plain.pid)))
    refused(case, 1, r"^error: /bin/cat has no trace points that a loaded catalogue knows", *recording(case, "-e", "/bin/cat"))
    refused(case, 1, r"none: No such file", *recording(case, "-e", case.path("none")))
    refused(case, 1, r"name the program itself", *recording(case, "-e", os.path.join(harness.ROOT, "README.md")))
    refused(case, 1, r"^error: no process named no-such-name has trace points", *recording(case, "--comm", "no-such-name"))
    refused(case, 1, r"no trace points", "outspan", "probes", "-p", str(plain.pid))
    refused(case, 1, r"no trace points", "outspan", "probes", "/bin/cat")
    assert not os.path.exists(case.path("session.db"))


def test_a_command_that_cannot_be_run(case):
    refused(case, 1, r"^error: run /no/such/program: No such file", *recording(case, "--", "/no/such/program"))
    assert not os.path.exists(case.path("session.db"))


def test_a_recording_without_any_site_says_so(case):
    p = case.run(*recording(case, "--", "/bin/true"))
    assert re.search(r"^warning: none of the targets has trace points that a loaded catalogue knows", said(p), re.M), said(p)


def test_a_target_that_exits_while_attaching_is_no_harm_to_the_others(case):
    stays = start_ticker(case, build_ticker(case))
    took = []
    for round_ in range(8):
        goes = start_ticker(case, case.path("ticker"))
        file = f"round{round_}.db"
        p = case.start(*recording(case, "--catalogue", TICKER + ".yaml", "-p", str(goes.pid), "-p", str(stays.pid), file=file))
        # at eight moments from the very beginning to `ready`, by what the recorder has done so far
        moment = [None, r"libelf", r"ticker", r"anon_inode:bpf-map", r"anon_inode:bpf-prog", r"\.db", r"bpf_link", "ready"][round_]
        if moment == "ready":
            p.wait_for(r"^ready: ")
        elif moment:
            wait_for_open(p, moment)
        goes.stop(signal.SIGKILL)
        if re.search(rb"^ready: ", p.err, re.M) or p.popen.poll() is None and became_ready(p):
            tick(stays, 3)
            assert p.stop(signal.SIGINT) == 0, said(p)
            assert stored(case.path(file)).get("tick__begun", 0) == 3, said(p)
            took.append("recorded")
        else:
            assert p.wait() == 1, said(p)
            assert re.search(rf"^error: process {goes.pid}: No such process$", said(p), re.M), said(p)
            assert not os.path.exists(case.path(file))
            took.append("refused")
    assert took[-1] == "recorded", took
    tick(stays, 1)


def became_ready(process):
    try:
        process.wait_for(r"^ready: ")
        return True
    except AssertionError:
        return False


def wait_for_open(process, pattern):
    """Until one of its descriptors or mappings is such a file, or it is ready or has ended."""
    while process.popen.poll() is None and b"\nready: " not in b"\n" + process.err:
        try:
            links = [os.readlink(f"/proc/{process.pid}/fd/{n}") for n in os.listdir(f"/proc/{process.pid}/fd")]
            with open(f"/proc/{process.pid}/maps") as f:
                links += f.read().splitlines()
        except OSError:
            links = []
        if any(re.search(pattern, link) for link in links):
            return
        process._pump(0)


# ---- what does not fit together ----------------------------------------------------------------------


def change_digest(point):
    def change(text):
        """Another signature of one point: its digest stands last in its OUTSPAN_SITE."""
        found = re.search(rf'"ticker",\s*"{point}",\s*(0x[0-9a-f]+)', text)
        return text.replace(found[1], f"0x{int(found[1], 16) ^ 1:x}")
    return change


def check_refused_point(case, ticker, point, why, *options):
    """All but that point are recorded."""
    recorder = start_recording(case, "--catalogue", TICKER + ".yaml", "-p", str(ticker.pid), *options)
    tick(ticker, 5)
    assert recorder.stop(signal.SIGINT) == 0, said(recorder)
    warnings = re.findall(r"^warning: (\S+) in \S+ is not traced: (.*)$", said(recorder), re.M)
    assert [w[0] for w in warnings] == [f"ticker:{point}"] and why in warnings[0][1], said(recorder)
    hits = stored(case.path("session.db"))
    assert {p: hits.get(p, 0) for p in ("tick__begun", "tick__passed", "tick__ended")} == \
        {p: 0 if p == point else 5 for p in ("tick__begun", "tick__passed", "tick__ended")}, hits


def test_a_point_with_another_signature_is_refused_by_name(case):
    ticker = start_ticker(case, build_ticker(case, header=change_digest("tick__passed")))
    check_refused_point(case, ticker, "tick__passed", "other arguments than the catalogue says")


def test_a_program_of_another_abi_is_refused_by_name(case):
    path = build_ticker(case, op_stub=lambda text: text.replace('997: .4byte 2,"', '997: .4byte 3,"'))
    ticker = start_ticker(case, path)
    recorder = start_recording(case, "--catalogue", TICKER + ".yaml", "-p", str(ticker.pid))
    tick(ticker, 5)
    assert recorder.stop(signal.SIGINT) == 0, said(recorder)
    for point in ("tick__begun", "tick__passed", "tick__ended"):
        assert re.search(rf"^warning: ticker:{point} in \S+ is not traced: .*another ABI", said(recorder), re.M), said(recorder)
    assert not any(p.startswith("tick__") for p in stored(case.path("session.db")))
    p = case.run("outspan", "probes", "--catalogue", TICKER + ".yaml", path)
    assert p.text().count("not traceable: it was built with another ABI") >= 3, p.text()


def hold_uprobe(path, offset):
    """What perf and bpftrace do: a probe there, without the semaphore. Its descriptor."""
    with open("/sys/bus/event_source/devices/uprobe/type") as f:
        kind = int(f.read())
    name = ctypes.create_string_buffer(path.encode())
    attr = struct.pack("<IIQQQQQIIQQ", kind, 128, 0, 1, 0, 0, 0, 0, 0, ctypes.addressof(name), offset).ljust(128, b"\0")
    fd = ctypes.CDLL(None, use_errno=True).syscall(SYSCALLS[platform.machine()][2], attr, -1, 0, -1, 8)
    if fd < 0:
        raise harness.Skip(f"no uprobe events here: {os.strerror(ctypes.get_errno())}")
    return fd


def site_offset(path, probe):
    """The file offset of a site, by readelf: its address less that of its segment."""
    def readelf(option):
        return subprocess.run(["readelf", option, path], check=True, capture_output=True, text=True).stdout
    address = int(re.search(rf"Name: {probe}\s+Location: (0x[0-9a-f]+)", readelf("-nW"))[1], 16)
    for f in map(str.split, readelf("-lW").splitlines()):
        if f and f[0] == "LOAD" and int(f[2], 16) <= address < int(f[2], 16) + int(f[4], 16):
            return address - int(f[2], 16) + int(f[1], 16)
    raise AssertionError(probe)


def test_a_site_held_by_another_tracer_is_named_and_the_others_attached(case):
    path = build_ticker(case)
    ticker = start_ticker(case, path)
    fd = hold_uprobe(path, site_offset(path, "tick__passed"))
    try:
        check_refused_point(case, ticker, "tick__passed", "another tracer", "--immediate")
    finally:
        os.close(fd)


CATALOGUE_ERRORS = [
    # what is wrong, the good line, the bad one, what the message names
    ("unknown key", "    kind: INTERNAL\n", "    kinds: INTERNAL\n", "kinds"),
    ("unknown state", "        passed: Running\n", "        passed: Walking\n", "Walking"),
    ("unknown type", "      passed: {level: detail, args: {n: u64}}\n", "      passed: {level: detail, args: {n: u63}}\n",
     "operations.tick.points.passed.args.n"),
    ("no YAML", "    states:\n", "    states: ]\n", ""),
]


def test_an_error_in_a_catalogue_is_told_with_file_line_and_key(case):
    with open(TICKER + ".yaml") as f:
        good = f.readlines()
    for what, right, wrong, named in CATALOGUE_ERRORS:
        at = good.index(right)
        with open(case.path("bad.yaml"), "w") as f:
            f.writelines(good[:at] + [wrong] + good[at + 1:])
        for argv in (recording(case, "--catalogue", case.path("bad.yaml"), "--all"),
                     ["outspan", "probes", "--catalogue", case.path("bad.yaml"), "--all"]):
            p = refused(case, 1, "", *argv)
            found = re.search(rf"^error: {re.escape(case.path('bad.yaml'))}:(\d+): (.*)$", said(p), re.M)
            assert found and int(found[1]) == at + 1 and named in found[2], (what, at + 1, said(p))
    refused(case, 1, r"No such file", *recording(case, "--catalogue", case.path("none.yaml"), "--all"))
    assert not os.path.exists(case.path("session.db"))


# ---- files -------------------------------------------------------------------------------------------


def test_a_full_disk_ends_the_recording_with_what_was_stored_safe(case):
    pair = pubsub.Pair(case, [["--exact", "a/b"]], auth=[])
    script = ('mount -t tmpfs -o size=1536k tmpfs "$1" && "$2" record -p "$3" -p "$4" -o "$1/full.db"; '
              'echo "status $?"; cp "$1"/full.db* "$5"')
    os.mkdir(case.path("disk"))
    os.mkdir(case.path("copy"))
    recorder = case.start("/usr/bin/unshare", "-m", "sh", "-c", script, "sh", case.path("disk"),
                          os.path.join(harness.BUILD, "outspan"), str(pair.broadcaster.pid), str(pair.publisher.pid),
                          case.path("copy"))
    recorder.wait_for(r"^ready: ")
    published = []
    while not re.search(rb"status", recorder.out):
        published += pair.publish(10)
        assert len(published) < 5000, "the disk was never full"
        recorder._pump(0)
    recorder.wait()
    assert re.search(rb"^status 1$", recorder.out, re.M), recorder.out
    lines = said(recorder).splitlines()
    assert any(re.match(r"error: .*full\.db: .* - free some space; what was written before is safe", l) for l in lines), lines
    assert any("full.db holds what was recorded until this failed" in l for l in lines), lines
    pair.publish(3)  # the programs go on
    session = pubsub.Session(case, case.path("copy/full.db"))
    assert session.sql("PRAGMA integrity_check") == [("ok",)]
    topics = [t.line["root"] for t in session.traces]
    # Of the message under way at the cut the publisher's side had not ended yet.
    assert 0 < len(topics) <= len(published) and topics.count("publish a/b") >= len(topics) - 1, topics
    assert set(topics) <= {"publish a/b", "handle a/b"}, topics
    by_log = {p["identifier"] for p in published}
    for t in session.traces[:5]:
        assert pubsub.identifier(t.only("attempt")) in by_log, t
    pair.stop()


def test_a_directory_that_cannot_be_written(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    os.mkdir(case.path("fixed"))
    p = case.run("/usr/bin/unshare", "-m", "sh", "-c", 'mount -t tmpfs -o ro tmpfs "$1" && exec "$2" record -p "$3" -o "$1/x.db"',
                 "sh", case.path("fixed"), os.path.join(harness.BUILD, "outspan"), str(broadcaster.pid), status=1)
    assert re.search(r"^error: \S+/fixed/x\.db: Read-only file system - choose a directory that you may write to$", said(p), re.M), said(p)
    os.chmod(case.path("fixed"), 0o755)
    got = run_as_nobody(case, CAPABILITIES, "record", "-p", str(broadcaster.pid), "-o", case.path("fixed/x.db"))
    assert got.returncode == 3 and re.search(r"x\.db: Permission denied - choose a directory", got.stderr), got
    refused(case, 1, r"none/x\.db: No such file or directory - the directory must exist",
            *recording(case, "-p", str(broadcaster.pid), file="none/x.db"))


def small_session(case, name="small.db"):
    case.run("outspan", "record", "-o", case.path(name), "--", "/bin/true")
    return case.path(name)


def readers(file):
    return [["outspan", "ls", file], ["outspan", "ls", "--json", file], ["outspan", "show", file, "last"],
            ["outspan", "deliveries", file], ["outspan", "losses", file], ["outspan", "export", file]]


def test_a_session_of_a_newer_version_is_refused_with_both_versions(case):
    file = small_session(case)
    db = sqlite3.connect(file)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.execute(f"PRAGMA user_version = {version + 6}")
    db.commit()
    db.close()
    for argv in readers(file):
        refused(case, 3, rf"small\.db: session format {version + 6}, this outspan reads up to {version} - ", *argv)


def test_what_is_no_session_is_told_as_what_it_is(case):
    with open(case.path("text"), "w") as f:
        f.write("just a text of more than a hundred characters " * 4)
    open(case.path("empty"), "w").close()
    db = sqlite3.connect(case.path("other.db"))
    db.execute("CREATE TABLE t(x)")
    db.commit()
    db.close()
    for name, words in (("text", "not a session file"), ("empty", "is empty, not a session file"),
                        ("other.db", "an SQLite database, but not a session file"), (".", "not a regular file"),
                        ("none", "No such file")):
        for argv in readers(case.path(name)):
            refused(case, 1, words, *argv)
    refused(case, 1, r"text: ", "outspan", "replay", case.path("text"), "-o", case.path("new.db"))
    assert not os.path.exists(case.path("new.db"))


def test_a_trace_that_is_not_there(case):
    file = small_session(case)
    refused(case, 1, r"no traces", "outspan", "show", file, "last")
    refused(case, 1, r"outspan ls shows the ids", "outspan", "show", file, "0123456789ab")
    refused(case, 2, r"trace .*#", "outspan", "show", file, "#x")


def test_an_existing_file_is_kept_unless_told_otherwise(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    file = small_session(case, "session.db")
    with open(file, "rb") as f:
        before = f.read()
    refused(case, 1, r"^error: \S*session\.db: exists already - choose another name or use --overwrite$",
            *recording(case, "-p", str(broadcaster.pid)))
    with open(file, "rb") as f:
        assert f.read() == before
    case.run(*recording(case, "-p", str(broadcaster.pid), "--overwrite", "--for", "100ms"))
    assert ("psp-broadcaster",) in pubsub.Session(case, file).sql("SELECT comm FROM process")
    with open(case.path("diary"), "w") as f:
        f.write("dear diary " * 20)
    refused(case, 1, r"diary: exists and is not a session file - it is not replaced",
            *recording(case, "-p", str(broadcaster.pid), "--overwrite", file="diary"))
    with open(case.path("diary")) as f:
        assert f.read() == "dear diary " * 20


def test_a_session_that_is_being_recorded_is_not_overwritten(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    first = pubsub.Recorder(case, [broadcaster])
    refused(case, 1, rf"session\.db: in use by process {first.process.pid} - it is not replaced",
            *recording(case, "-p", str(broadcaster.pid), "--overwrite"))
    first.stop()


# ---- this kernel ---------------------------------------------------------------------------------------


def test_a_kernel_without_btf_is_named(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    os.mkdir(case.path("none"))
    hide = 'mount --bind "$1" /sys/kernel/btf && shift && exec "$@"'
    outspan = os.path.join(harness.BUILD, "outspan")

    def hidden(*argv, status):
        return case.run("/usr/bin/unshare", "-m", "sh", "-c", hide, "sh", case.path("none"), outspan, *argv, status=status)

    p = hidden("record", "-p", str(broadcaster.pid), "-o", case.path("x.db"), status=3)
    assert re.search(r"^error: .*no /sys/kernel/btf/vmlinux.* - boot one with CONFIG_DEBUG_INFO_BTF=y$", said(p), re.M), said(p)
    assert not os.path.exists(case.path("x.db"))
    p = hidden("doctor", "--json", status=3)
    checks = {c["check"]: c for c in map(json.loads, p.text().splitlines())}
    assert checks["btf"]["verdict"] == "fail" and "CONFIG_DEBUG_INFO_BTF" in checks["btf"]["hint"], checks["btf"]


# Runs a command for which the system call bpf() does not exist.
WITHOUT_BPF = """
import ctypes, os, struct, sys
arch, number = {arch}, {number}
def op(code, jt, jf, k): return struct.pack("<HBBI", code, jt, jf, k)
program = ctypes.create_string_buffer(op(0x20, 0, 0, 4) + op(0x15, 0, 3, arch) + op(0x20, 0, 0, 0) + op(0x15, 0, 1, number) +
                                      op(6, 0, 0, 0x50000 | {errno}) + op(6, 0, 0, 0x7fff0000))
fprog = struct.pack("<HxxxxxxQ", 6, ctypes.addressof(program))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, fprog, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_kernel_without_a_needed_feature_is_named(case):
    broadcaster = pubsub.start_broadcaster(case, auth=[])
    arch, bpf, _ = SYSCALLS[platform.machine()]
    launcher = WITHOUT_BPF.format(arch=arch, number=bpf, errno=ENOSYS)
    outspan = os.path.join(harness.BUILD, "outspan")
    p = case.run("/usr/bin/python3", "-c", launcher, outspan, "record", "-p", str(broadcaster.pid), "-o", case.path("x.db"), status=3)
    assert re.search(rf"^error: load BPF programs on Linux {re.escape(platform.release())}: .* - see outspan doctor$", said(p), re.M), said(p)
    assert not os.path.exists(case.path("x.db"))
    p = case.run("/usr/bin/python3", "-c", launcher, outspan, "doctor", status=3)
    assert re.search(r"^fail +ring buffer ", p.text(), re.M) and re.search(r"^fail +BPF programs", p.text(), re.M), p.text()


def test_doctor_finds_nothing_wrong_here(case):
    p = case.run("outspan", "doctor")
    assert not re.search(r"^fail", p.text(), re.M) and len(p.text().splitlines()) >= 10, p.text()


# ---- usage -----------------------------------------------------------------------------------------------


def test_wrong_usage_is_told_on_stderr_and_ends_with_2(case):
    wrong = [[], ["recrod"], ["record"], ["record", "-p", "0"], ["record", "-p", "12x"], ["record", "--for", "3x", "--all"],
             ["record", "--level", "loud", "--all"], ["record", "--ring-size", "65", "--all"], ["probes"],
             ["probes", "-p", "-1"], ["ls"], ["ls", "a", "b"], ["ls", "--limit", "many", "a"], ["show", "a"],
             ["show", "a", "b", "c"], ["deliveries"], ["losses"], ["losses", "--process", "x", "a"], ["export"], ["replay"], ["replay", "x.raw"], ["doctor", "please"]]
    wrong += [[c, "--no-such-option"] for c in COMMANDS]
    for argv in wrong:
        p = refused(case, 2, r"\S", "outspan", *argv)
        assert len(said(p).splitlines()) <= 2 or not argv, (argv, said(p))


def test_help_is_data_and_ends_with_three_examples(case):
    for argv in [["--help"], *([c, "--help"] for c in COMMANDS)]:
        p = case.run("outspan", *argv)
        assert p.err == b"", (argv, p.err)
        examples = re.split(r"^(?:Examples:|.*Three to start with:)$", p.text(), flags=re.M)[1]
        assert len([l for l in examples.splitlines() if re.match(r" +(sudo )?outspan ", l) or "curl" in l]) >= 3, (argv, p.text())
        assert max(map(len, p.text().splitlines())) <= 100, argv


if __name__ == "__main__":
    harness.main(globals())
