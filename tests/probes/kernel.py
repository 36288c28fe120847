#!/usr/bin/env python3
"""The kernel side and the loader on real processes. Prints TAP; needs root and BPF.

usage: kernel.py [BUILD_DIR] [TEST...]

hits.c records, ticker.c is recorded and does what it is told line by line, so that every count is
known beforehand. Waiting is for an answer or a line of output, never for time.
"""
import contextlib
import ctypes
import os
import platform
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
WORK = f"{OUT}/tests/probes/kernel"
CATALOGUE = f"{HERE}/ticker.yaml"
OWN = ["tick__begun", "tick__passed", "tick__ended"]
PATIENCE = 30


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options)


def build():
    os.chdir(f"{HERE}/../..")
    os.makedirs(f"{WORK}/include", exist_ok=True)
    libraries = [f"{OUT}/lib/{x}.a" for x in ("user", "store", "probes", "base")]
    # (a relative O: the Makefile's rules know the targets by it)
    relative = os.path.relpath(OUT)
    run("make", "-s", f"O={relative}", f"{relative}/outspan-generate", f"{relative}/gen/outspan/op.h",
        *[os.path.relpath(x) for x in libraries])
    header = run(f"{OUT}/outspan-generate", "header", CATALOGUE).stdout
    with open(f"{WORK}/include/ticker.h", "w") as f:
        f.write(header)
    os.makedirs(f"{WORK}/include/outspan", exist_ok=True)
    for name in os.listdir("probes"):
        if re.fullmatch(r"op(_\w+)?\.h", name):
            shutil.copy(f"probes/{name}", f"{WORK}/include/outspan/")
    flags = ["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-D_GNU_SOURCE"]
    pkg = run("pkg-config", "--libs", "libbpf", "libelf", "zlib", "yaml-0.1", "libcrypto", "jansson", "sqlite3").stdout.split()
    run("gcc", *flags, "-I.", f"-I{OUT}", f"-I{OUT}/gen", f"{HERE}/hits.c", *libraries, *pkg, "-o", f"{WORK}/hits")
    run("gcc", *flags, f"-I{WORK}/include", f"{HERE}/ticker.c", "-o", f"{WORK}/ticker", "-lpthread", "-ldl")
    run("gcc", *flags, f"-I{WORK}/include", "-fPIC", "-shared", "-DLIBRARY", f"{HERE}/ticker.c", "-o", f"{WORK}/libticker.so")


started = []  # processes of the test that runs


def end_all():
    """A test that failed half-way leaves nothing running."""
    while started:
        p = started.pop()
        p.kill()
        p.wait()


class Talker:
    """A process whose lines of output are waited for."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        self.pid = self.process.pid
        self.lines, self.rest = [], b""
        started.append(self.process)

    def read_line(self):
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            if not ready:
                raise AssertionError(f"{self.process.args} says nothing more; so far: {self.lines[-5:]}")
            got = os.read(self.process.stdout.fileno(), 65536)
            if not got:
                raise EOFError(f"{self.process.args} ended; so far: {self.lines[-5:]}")
            self.rest += got
        line, self.rest = self.rest.split(b"\n", 1)
        self.lines.append(line.decode())
        return self.lines[-1]

    def read_available(self):
        while b"\n" in self.rest or select.select([self.process.stdout], [], [], 0)[0]:
            self.read_line()

    def wait_for(self, pattern, since=0):
        for line in self.lines[since:]:
            found = re.match(pattern, line)
            if found:
                return found
        while True:
            found = re.match(pattern, self.read_line())
            if found:
                return found

    def rest_of_output(self):
        with contextlib.suppress(EOFError):
            while True:
                self.read_line()
        return self.process.wait(PATIENCE)


class Target(Talker):
    def __init__(self, path=None, *arguments, prefix=()):
        super().__init__([*prefix, path or f"{WORK}/ticker", *arguments])
        self.pid = int(self.wait_for(r"ready (\d+)")[1])

    def tell(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def ask(self, line):
        self.tell(line)
        return self.read_line()

    def end(self):
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


class Hits(Talker):
    def __init__(self, *arguments, quiet=True, catalogue=CATALOGUE, ready=True):
        command = [f"{WORK}/hits", *(["-q"] if quiet else []), "-c", catalogue, *arguments]
        super().__init__(command, stderr=subprocess.PIPE)
        if ready:
            self.wait_for(r"ready")

    def stop(self):
        """Detaches; the counts by (slot, point) -> {hits, stored, ...}."""
        self.process.send_signal(signal.SIGTERM)
        code = self.rest_of_output()
        self.said = self.process.stderr.read().decode()
        assert code == 0, f"hits: exit {code}: {self.said}"
        self.counts = {}
        for line in self.lines:
            found = re.match(r"count (\d+) (\S+) (.*)", line)
            if found:
                self.counts[int(found[1]), found[2]] = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", found[3])}
        assert "books closed" in self.lines, self.lines[-20:]
        return self.counts

    def total(self, point, field="stored"):
        return sum(c[field] for (_, p), c in self.counts.items() if p == point)

    def expect(self, n, points=OWN):
        for p in points:
            assert self.total(p, "hits") == n and self.total(p) == n, f"{p}: {self.counts}, expected {n}"

    def stats(self):
        return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", next(x for x in self.lines if x.startswith("stats")))}


@contextlib.contextmanager
def target(*arguments, **options):
    t = Target(*arguments, **options)
    try:
        yield t
    finally:
        t.process.kill()
        t.process.wait()


def semaphores(pid, path):
    """Values of all semaphores of the file in the process, through its memory."""
    notes = run("readelf", "-nW", path).stdout
    addresses = sorted({int(x, 16) for x in re.findall(r"Semaphore: (0x[0-9a-f]+)", notes)} - {0})
    real = os.path.realpath(path)
    with open(f"/proc/{pid}/maps") as f:
        base = min(int(line.split("-")[0], 16) for line in f if line.rstrip().removesuffix(" (deleted)").endswith(real))
    with open(f"/proc/{pid}/mem", "rb") as mem:
        values = []
        for a in addresses:
            mem.seek(base + a)
            values.append(int.from_bytes(mem.read(2), "little"))
    return values


def words(pid, path):
    """{probe: (those who trap, those who have it carried)} of our own points, by the notes' semaphores."""
    notes = run("readelf", "-nW", path).stdout
    real, found = os.path.realpath(path), {}
    with open(f"/proc/{pid}/maps") as f:
        base = min(int(line.split("-")[0], 16) for line in f if line.rstrip().endswith(real))
    with open(f"/proc/{pid}/mem", "rb") as mem:
        for probe, at in re.findall(r"Provider: ticker\s+Name: (\S+)\s.*\s.*Semaphore: (0x[0-9a-f]+)", notes):
            mem.seek(base + int(at, 16))
            word = int.from_bytes(mem.read(4), "little")
            found[probe.removeprefix("tick__")] = (word & 0xffff, word >> 16)
    return found


def uprobe_event(path, offset, semaphore=0):
    """Another tracer: a perf event on a site. Closing the descriptor ends it."""
    kind = int(open("/sys/bus/event_source/devices/uprobe/type").read())
    name = ctypes.create_string_buffer(path.encode())
    attr = bytearray(128)
    for at, size, value in ((0, 4, kind), (4, 4, 128), (8, 8, semaphore << 32), (56, 8, ctypes.addressof(name)), (64, 8, offset)):
        attr[at:at + size] = value.to_bytes(size, "little")
    number = {"x86_64": 298, "aarch64": 241}[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(number, (ctypes.c_char * 128).from_buffer(attr), -1, 0, -1, 8)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "perf_event_open")
    return fd


# ---- tests ----


def a_running_program_is_attached_and_its_values_arrive():
    with target() as t:
        h = Hits(f"pid:{t.pid}", quiet=False)
        assert h.lines[-1] == "ready 6 1", h.lines
        t.ask("tick 3")
        t.ask("plain 12")
        h.stop()
        h.expect(3)
        h.expect(12, ["start", "stop"])
        begun = [x for x in h.lines if x.startswith("tick__begun")]
        assert re.search(r"sequence=0 number=0 value=2 0200000000000000" "0600000006000000" "7469636b20320000$", begun[2]), begun
        passed = [x for x in h.lines if x.startswith("tick__passed")]
        assert re.search(r"data=0 .*sequence=1 number=1 value=6 $", passed[2]), passed
        start = [x for x in h.lines if x.startswith("start")]
        assert start[7].endswith("value=-7 7:abcdefg") and start[8].endswith("value=-8 8:abcdefgh"), start
        assert start[9].endswith("value=-9 9:abcdefghi"), f"a cut text has one byte more than its max: {start[9]}"
        stop = [x for x in h.lines if x.startswith("stop")]
        assert stop[11].endswith("value=11 11:0123456789a value=-5000000011"), stop[11]


def lengths_beyond_the_maximum_are_told():
    with target() as t:
        h = Hits(f"pid:{t.pid}", quiet=False)
        t.ask("plain 21")
        h.stop()
        stop = [x for x in h.lines if x.startswith("stop")]
        assert stop[20].endswith("value=20 16:0123456789abcdef value=-5000000020"), stop[20]


def four_threads_and_eight_processes_are_counted_exactly():
    with target() as t:
        h = Hits(f"pid:{t.pid}")
        t.ask("threads 4 20000")
        t.ask("procs 8 5000")
        h.stop()
        h.expect(4 * 20000 + 8 * 5000)
        assert len({slot for slot, _ in h.counts}) == 9, h.counts


def carried_steps_come_with_the_end_of_their_operation():
    with target() as t:
        h = Hits("-m", "light", f"pid:{t.pid}", quiet=False)
        t.ask("tick 3")
        h.stop()
        h.expect(3, ["tick__ended"])
        assert not any(h.total(p, "hits") for p in ("tick__begun", "tick__passed")), h.counts
        carried = [re.match(r"carried (\S+) pid=\d+ op=(\w+) sequence=(\d)", x) for x in h.lines]
        carried = [m for m in carried if m]
        assert [(m[1], m[3]) for m in carried] == [("tick__begun", "0"), ("tick__passed", "1")] * 3, h.lines
        assert len({m[2] for m in carried}) == 3, "one operation each"
        ended = [x for x in h.lines if x.startswith("tick__ended")]
        assert all("sequence=2 number=2" in x for x in ended), ended


def a_step_of_a_site_that_traps_is_copied_and_comes_again():
    with target() as t:
        h = Hits(f"pid:{t.pid}", quiet=False)
        t.ask("tick 1")
        h.stop()
        h.expect(1)
        said = [x.split()[:2] for x in h.lines if x.startswith("tick__") or x.startswith("copied")]
        assert [x[0] for x in said] == ["tick__begun", "tick__passed", "copied", "copied", "tick__ended"] or \
            [x[0] for x in said] == ["tick__begun", "tick__passed", "tick__ended", "copied", "copied"], said
        assert not any(x.startswith("carried") for x in h.lines)


def a_full_block_spills_and_every_step_comes_once():
    with target() as t:
        for form in ("light", "immediate"):
            h = Hits("-m", form, f"pid:{t.pid}", quiet=False)
            t.ask("long 1000")
            h.stop()
            spills = [x for x in h.lines if x.startswith("spill")]
            assert len(spills) > 10, h.lines[:40]
            seen = [int(m[1]) for m in (re.match(r"(?:carried|copied) .* sequence=(\d+)", x) for x in h.lines) if m]
            assert seen == list(range(1001)), f"{form}: {seen[:10]} ... {seen[-3:]}"
            h.expect(1, ["tick__ended"])
            assert not any(p == "tick__spill" for _, p in h.counts), "a spill is no hit"
            assert h.total("tick__passed", "hits") == (1000 if form == "immediate" else 0), h.counts


def lost_flushes_and_spills_count_every_step_they_carried():
    """Nobody drains: what comes and what is lost together are what the program did."""
    with target() as t:
        for form, ring in (("light", "65536"), ("immediate", "65536"), ("light", "16384")):
            h = Hits("-m", form, "-r", ring, f"pid:{t.pid}")
            os.kill(h.pid, signal.SIGSTOP)
            t.ask("threads 2 5000")
            t.ask("long 4000")
            os.kill(h.pid, signal.SIGCONT)
            h.stop()
            for p, n in (("tick__begun", 10001), ("tick__passed", 14000), ("tick__ended", 10001)):
                hits = h.total(p, "hits") + h.total(p, "carried")
                assert hits == n, f"{form}: {p}: {hits}, not {n}: {h.counts}"
                assert h.total(p, "ring_full") > 0 and not h.total(p, "steps_unknown"), h.counts


def process_random(pid):
    """What ids are made of in the process: struct outspan_process of probes/op_process.h, by its symbol."""
    path = f"{WORK}/ticker"
    symbol = int(re.search(r"^(\w+) \w outspan_process_1$", run("nm", path).stdout, re.M)[1], 16)
    with open(f"/proc/{pid}/maps") as f:
        base = min(int(line.split("-")[0], 16) for line in f if line.rstrip().endswith(os.path.realpath(path)))
    with open(f"/proc/{pid}/mem", "rb") as mem:
        mem.seek(base + symbol)
        return [int.from_bytes(mem.read(8), "little") for _ in range(2)]


def is_sampled(random, op_id, n):
    """The definition, a second time: a hash of the trace id as it lies on the wire."""
    words = [int.from_bytes(w.to_bytes(8, "big"), "little") for w in (random, op_id)]
    h = (words[0] * 0x9e3779b97f4a7c15 ^ words[1]) % 2**64
    for factor in (0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53):
        h = (h ^ h >> 33) * factor % 2**64
    return h >> 32 < 2**32 // n


def a_sample_is_what_the_hash_of_the_trace_says():
    with target() as t:
        base, random = process_random(t.pid)
        for form, n, first in (("light", 7, 1), ("default", 3, 2001), ("immediate", 2, 4001)):
            h = Hits("-m", form, "-s", str(n), f"pid:{t.pid}", quiet=False)
            t.ask("tick 2000")
            h.stop()
            ids = [(base + i * 65536) % 2**64 for i in range(first, first + 2000)]
            kept = {i for i in ids if is_sampled(random, i, n)}
            assert 2000 / n * 0.7 < len(kept) < 2000 / n * 1.4, len(kept)
            for p in OWN:
                got = [int(m[1], 16) for m in (re.match(rf"(?:carried )?{p} .*op=(\w+) ", x) for x in h.lines) if m]
                assert len(got) == len(kept) and set(got) == kept, (form, p, len(got), len(kept))
                assert h.total(p, "sampled") == 2000 - len(kept) and not h.total(p, "ring_full"), h.counts


def a_sample_leaves_out_what_a_full_block_spills_too():
    with target() as t:
        h = Hits("-m", "light", "-s", "1000000000", f"pid:{t.pid}")
        t.ask("long 1000")
        t.ask("plain 5")
        h.stop()
        for p, n in (("tick__begun", 1), ("tick__passed", 1000), ("tick__ended", 1)):
            assert h.total(p, "sampled") == n and not h.total(p), h.counts
        h.expect(5, ["start", "stop"])


def perf_events_count_exactly_too():
    with target() as t:
        h = Hits("-f", "perf", f"pid:{t.pid}")
        t.ask("threads 4 2000")
        t.ask("procs 4 500")
        h.stop()
        h.expect(4 * 2000 + 4 * 500)
        assert semaphores(t.pid, f"{WORK}/ticker").count(0) == 6


def losses_of_a_full_ring_close_the_books():
    with target() as t:
        h = Hits("-r", "65536", f"pid:{t.pid}")
        os.kill(h.pid, signal.SIGSTOP)
        t.ask("threads 2 5000")
        os.kill(h.pid, signal.SIGCONT)
        h.stop()
        for p in OWN:
            assert h.total(p, "hits") == 10000 and h.total(p, "ring_full") > 0, h.counts
            assert h.total(p) + h.total(p, "ring_full") == 10000, h.counts


def a_drain_is_bounded():
    with target() as t:
        h = Hits("-b", "7", f"pid:{t.pid}")
        t.ask("tick 1000")
        h.stop()
        h.expect(1000)


def the_last_record_of_every_burst_arrives_without_another():
    worst = 0
    with target() as t:
        h = Hits(f"pid:{t.pid}", quiet=False)
        for burst in range(60):
            t.ask(f"tick {1 + burst % 5}")
            answered, seen = time.monotonic(), len(h.lines)
            h.wait_for(rf"tick__ended .*value={burst % 5} ", since=seen)
            worst = max(worst, time.monotonic() - answered)
            if burst % 3 == 0:
                time.sleep(0.02)  # so that the recorder falls asleep between some of them
        h.stop()
    print(f"# from the last hit to its line: at most {worst * 1000:.1f} ms")
    assert worst < 1, worst


def records_tell_losses_by_ordinal_and_count():
    with target() as t:
        h = Hits("-r", "65536", f"pid:{t.pid}", quiet=False)
        os.kill(h.pid, signal.SIGSTOP)
        t.ask("tick 1000")
        os.kill(h.pid, signal.SIGCONT)
        # The ring holds about 500 records: a later one shows that they were drained.
        while not any(re.match(r"tick__ended .*ordinal=1\d\d\d ", x) for x in h.lines):
            t.ask("tick 1")
            h.read_available()
        t.ask("tick 1")
        h.stop()
        records = [re.match(r"(\S+) .*ordinal=(\d+) lost=(\d+) ", x) for x in h.lines]
        for p in OWN:
            ordinals = [int(r[2]) for r in records if r and r[1] == p]
            assert ordinals == sorted(set(ordinals)), p
            assert h.total(p, "hits") - len(ordinals) == h.total(p, "ring_full") > 0, (p, h.counts)
        last = [r for r in records if r][-1]
        assert int(last[3]) == sum(h.total(p, "ring_full") for p in OWN), (last[0], h.counts)


def a_forked_copy_is_marked():
    with target() as t:
        h = Hits(f"pid:{t.pid}", quiet=False)
        child = t.ask("forked")
        h.stop()
        flags = {re.search(r"pid=(\d+)", x)[1]: re.search(r"flags=(\d)", x)[1] for x in h.lines if x.startswith("tick__ended")}
        assert flags == {child: "3", str(t.pid): "2"}, flags


def children_are_members_from_their_first_hit_and_their_ends_are_told():
    with target() as t:
        h = Hits(f"pid:{t.pid}")
        for _ in range(50):
            t.ask("procs 2 1")
        h.stop()
        h.expect(100)
        forks = [x for x in h.lines if x.startswith("fork")]
        assert len(forks) == 100 and all(f"site=1 exec=0 value={t.pid}" in x for x in forks), forks
        assert len([x for x in h.lines if x.startswith("exit")]) == 100


def children_are_left_out_on_request():
    with target() as t:
        h = Hits("-n", f"pid:{t.pid}")
        t.ask("procs 2 10")
        t.ask("tick 5")
        h.stop()
        h.expect(5)
        assert h.stats()["strangers"] == 60, h.stats()


def the_exit_code_is_told():
    with target() as t:
        h = Hits(f"pid:{t.pid}")
        t.process.kill()
        h.wait_for(rf"exit pid={t.pid} slot=1 site=0 exec=0 value=9$")
        h.stop()


def exec_is_a_new_process_of_the_same_pid():
    with target() as t:
        h = Hits(f"pid:{t.pid}")
        t.ask("tick 7")
        t.tell(f"exec {WORK}/ticker again 100")
        t.wait_for(r"ready", since=len(t.lines))
        t.ask("tick 1")
        found = h.wait_for(rf"exec pid={t.pid} slot=(\d+) site=1 exec=1")
        h.wait_for(rf"looked pid={t.pid} known=6")
        h.stop()
        slot = int(found[1])
        assert h.counts[1, "tick__begun"]["hits"] == 7 and h.counts[slot, "tick__begun"]["hits"] == 101, h.counts


def a_new_binary_after_exec_is_attached():
    other = f"{WORK}/other"
    shutil.copy(f"{WORK}/ticker", other)
    with target() as t:
        h = Hits(f"pid:{t.pid}")
        t.tell(f"exec {other} other")
        t.wait_for(r"ready", since=len(t.lines))
        delay = int(h.wait_for(rf"looked pid={t.pid} known=6 fresh=1 delay_us=(\d+)")[1])
        t.ask("tick 10")
        h.stop()
        h.expect(10)
        print(f"# exec to attached: {delay / 1000:.1f} ms")


def objects_loaded_later_are_attached():
    with target() as t:
        h = Hits(f"pid:{t.pid}")
        assert t.ask(f"load {WORK}/libticker.so") == "0"
        delay = int(h.wait_for(rf"looked pid={t.pid} known=10 fresh=1 delay_us=(\d+)")[1])
        t.ask("call 11")
        t.ask("tick 2")
        h.stop()
        h.expect(13)
        print(f"# dlopen to attached: {delay / 1000:.1f} ms")


def a_deleted_binary_is_attached():
    path = f"{WORK}/deleted"
    shutil.copy(f"{WORK}/ticker", path)
    with target(path) as t:
        os.unlink(path)
        h = Hits(f"pid:{t.pid}")
        t.ask("tick 4")
        h.stop()
        h.expect(4)


def a_binary_renamed_over_is_attached_as_it_runs():
    path = f"{WORK}/renamed"
    shutil.copy(f"{WORK}/ticker", path)
    with target(path) as t:
        shutil.copy("/bin/true", f"{path}.new")
        os.rename(f"{path}.new", path)
        h = Hits(f"pid:{t.pid}")
        t.ask("tick 4")
        h.stop()
        h.expect(4)


def a_binary_of_another_mount_namespace_is_attached():
    place = f"{WORK}/elsewhere"
    os.makedirs(place, exist_ok=True)
    script = f"mount -t tmpfs none {place} && cp {WORK}/ticker {place}/hidden && exec {place}/hidden"
    with target("-c", script, prefix=("unshare", "-m", "sh")) as t:
        assert not os.path.exists(f"{place}/hidden")
        h = Hits(f"pid:{t.pid}")
        t.ask("tick 6")
        h.stop()
        h.expect(6)


@contextlib.contextmanager
def overlay():
    """A mounted overlay whose lower folder holds the program as `prog`; None if there are none here."""
    place = tempfile.mkdtemp(dir="/tmp")
    mounted = []
    try:
        run("mount", "-t", "tmpfs", "none", place)
        mounted.append(place)
        for name in ("low", "up", "scratch", "all"):
            os.mkdir(f"{place}/{name}")
        shutil.copy(f"{WORK}/ticker", f"{place}/low/prog")
        options = f"lowerdir={place}/low,upperdir={place}/up,workdir={place}/scratch"
        r = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, f"{place}/all"], capture_output=True)
        if r.returncode == 0:
            mounted.append(f"{place}/all")
        yield f"{place}/all" if r.returncode == 0 else None
    finally:
        for m in reversed(mounted):
            run("umount", m)
        os.rmdir(place)


def a_binary_on_an_overlay_is_attached():
    with overlay() as place:
        if not place:
            return "no overlay file system here"
        with target(f"{place}/prog") as t:
            h = Hits(f"pid:{t.pid}")
            t.ask("tick 3")
            h.stop()
            h.expect(3)
            assert not any(x.startswith("unarmed") for x in h.lines), h.lines
            t.end()


def a_copied_up_binary_is_traced_or_said_not_to_be():
    with overlay() as place:
        if not place:
            return "no overlay file system here"
        with target(f"{place}/prog") as t:
            os.utime(f"{place}/prog")
            h = Hits(f"pid:{t.pid}")
            t.ask("tick 3")
            h.stop()
            unarmed = any(x.startswith(f"unarmed pid={t.pid} sites=6") and "another copy of the file" in x for x in h.lines)
            traced = h.total("tick__begun") == 3
            assert unarmed != traced, h.lines
            print(f"# copied up: {'said to be unarmed' if unarmed else 'traced'}")
            t.end()


def overwriting_in_place_waits_for_the_recorder_and_harms_nobody():
    path = f"{WORK}/overwritten"
    for old in (path, f"{path}.v2"):
        if os.path.exists(old):
            os.unlink(old)
    shutil.copy(f"{WORK}/ticker", path)
    flags = ["-O0", "-g", "-std=gnu11", "-D_GNU_SOURCE"]
    run("gcc", *flags, f"-I{WORK}/include", f"{HERE}/ticker.c", "-o", f"{path}.v2", "-lpthread", "-ldl")
    h = Hits(f"path:{path}")
    with target(path) as t:
        t.ask("tick 2")
        t.end()
    began = time.monotonic()
    run("cp", f"{path}.v2", path)
    took = time.monotonic() - began
    h.wait_for(rf"detached {path}")
    with target(path) as t:
        assert t.ask("tick 1") == "0"
        h.wait_for(rf"reattached {path} known=\d+")
        t.ask("tick 5")
        assert t.end() == 0
    h.stop()
    assert 7 <= h.total("tick__begun") <= 8, h.counts
    assert took < 5, f"the writer waited {took:.1f} s"


def a_binary_that_a_strict_process_runs_is_refused():
    """There the kernel answers the reading of the CPU counter with a signal."""
    with target() as t:
        child = t.ask("strict")
        for who in (["-p", str(t.pid)], ["-p", child], ["-e", f"{WORK}/ticker"]):
            r = subprocess.run([f"{OUT}/outspan", "record", "--catalogue", CATALOGUE, *who, "-o", f"{WORK}/strict.db", "--overwrite",
                                "--for", "1s"], capture_output=True, text=True, timeout=60, check=False)
            assert "seccomp's strict mode" in r.stderr, r.stderr
        h = subprocess.Popen([f"{OUT}/outspan", "record", "--catalogue", CATALOGUE, "-p", str(t.pid), "-o", f"{WORK}/strict.db",
                              "--overwrite"], stderr=subprocess.PIPE, text=True)
        started.append(h)
        while not h.stderr.readline().startswith("ready:"):
            pass
        assert t.ask("release") == "0", "it was killed"
        h.send_signal(signal.SIGINT)
        h.communicate(timeout=PATIENCE)
    os.unlink(f"{WORK}/strict.db")


def semaphores_are_zero_after_a_clean_stop():
    with target() as t:
        child = int(t.ask("hold"))
        h = Hits(f"pid:{t.pid}")
        grandchild = int(t.ask("hold"))
        with target() as later:
            during = semaphores(t.pid, f"{WORK}/ticker")
            assert during == [1] * 6, during
            assert semaphores(later.pid, f"{WORK}/ticker") == [1] * 6
            h.stop()
            for pid in (t.pid, child, grandchild, later.pid):
                assert semaphores(pid, f"{WORK}/ticker") == [0] * 6, pid
            t.ask("tick 3")
            t.ask("plain 3")


def semaphores_are_zero_after_the_recorder_was_killed():
    with target() as t:
        h = Hits(f"pid:{t.pid}")
        child = int(t.ask("hold"))
        assert semaphores(child, f"{WORK}/ticker") == [1] * 6
        h.process.kill()
        h.process.wait()
        for pid in (t.pid, child):
            assert semaphores(pid, f"{WORK}/ticker") == [0] * 6, pid
        assert t.ask("tick 100") == "0"
        h = Hits(f"pid:{t.pid}")
        t.ask("tick 3")
        h.stop()
        h.expect(3)


def a_clash_with_another_tracer_is_named_and_the_rest_is_attached():
    with target() as t:
        fd = uprobe_event(f"{WORK}/ticker", site_offset("tick__passed"))
        try:
            h = Hits(f"pid:{t.pid}")
            t.ask("tick 5")
            h.stop()
        finally:
            os.close(fd)
        assert "ticker:tick__passed" in h.said and "another tracer" in h.said, h.said
        assert h.said.count("is not traced") == 1, h.said
        h.expect(5, ["tick__begun", "tick__ended"])
        assert h.total("tick__passed") == 0
        assert "attached=5 refused=1" in " ".join(h.lines), h.lines


def site_offset(probe):
    """File offset of a site: its address less that of its segment."""
    notes = run("readelf", "-nW", f"{WORK}/ticker").stdout
    address = int(re.search(rf"Name: {probe}\s+Location: (0x[0-9a-f]+)", notes)[1], 16)
    for line in run("readelf", "-lW", f"{WORK}/ticker").stdout.splitlines():
        f = line.split()
        if f and f[0] == "LOAD" and int(f[2], 16) <= address < int(f[2], 16) + int(f[4], 16):
            return address - int(f[2], 16) + int(f[1], 16)
    raise AssertionError(probe)


def two_recorders_at_once_each_see_everything():
    with target() as t:
        a = Hits(f"pid:{t.pid}")
        b = Hits(f"pid:{t.pid}")
        t.ask("tick 50")
        a.stop()
        assert semaphores(t.pid, f"{WORK}/ticker") == [1] * 6, "the other recorder's are gone"
        t.ask("tick 20")
        b.stop()
        a.expect(50)
        b.expect(70)
        assert semaphores(t.pid, f"{WORK}/ticker") == [0] * 6


def bystanders_are_listed_and_not_recorded():
    with target() as t, target() as other:
        h = Hits(f"pid:{t.pid}")
        assert f"bystander pid={other.pid}" in h.lines, h.lines
        other.ask("tick 9")
        t.ask("tick 4")
        h.stop()
        h.expect(4)
        assert h.stats()["strangers"] == 27, h.stats()


def a_path_admits_processes_that_start_later():
    with target() as t:
        h = Hits(f"path:{WORK}/ticker")
        assert h.lines[-1] == "ready 6 1", h.lines
        with target() as later:
            later.ask("tick 6")
            t.ask("tick 4")
            h.stop()
        h.expect(10)
        assert len({slot for slot, _ in h.counts}) == 2, h.counts


def a_name_finds_processes():
    with target() as t:
        h = Hits("comm:ticker")
        assert f"member pid={t.pid} slot=1" in h.lines, h.lines
        t.ask("tick 2")
        h.stop()
        h.expect(2)


def all_processes_with_known_points_are_found():
    with target() as t, target() as other:
        h = Hits("all:")
        members = {int(x[1]) for x in (re.match(r"member pid=(\d+)", line) for line in h.lines) if x}
        assert {t.pid, other.pid} <= members, members
        t.ask("tick 3")
        other.ask("tick 4")
        h.stop()
        h.expect(7)


def with_all_a_new_program_is_attached_when_it_starts():
    new = f"{WORK}/started_later"
    shutil.copy(f"{WORK}/ticker", new)
    os.utime(new, (1, 1))
    with target() as first:
        h = Hits("all:")
        assert f"attached {new}" not in " ".join(h.lines)
        with target(new) as t:
            h.wait_for(rf"exec pid={t.pid} slot=0 site=0 exec=0")
            delay = int(h.wait_for(rf"looked pid={t.pid} known=6 fresh=1 delay_us=(\d+)")[1])
            t.ask("tick 5")
            first.ask("tick 2")
            h.stop()
        h.expect(7)
        print(f"# start to attached: {delay / 1000:.1f} ms")


def hundreds(t, h, count, ticks):
    """So many hundred children of t, one hundred after the other, with h awake."""
    for _ in range(count):
        seen = len(h.lines)
        t.ask(f"procs 100 {ticks}")
        for _ in range(100):
            seen = h.lines.index(h.wait_for(r"exit ", since=seen).string, seen) + 1


def processes_beyond_the_table_are_counted():
    with target() as t:
        h = Hits("-r", str(1 << 24), f"pid:{t.pid}")
        hundreds(t, h, 42, 1)
        h.stop()
        beyond = 1 + 4200 - 4095
        assert h.total("tick__begun", "hits") == 4200 and h.total("tick__begun", "table_full") == beyond, (
            h.counts[0, "tick__begun"], beyond)
        assert h.total("tick__begun") == 4200 - beyond


def the_books_close_for_each_of_more_processes_than_the_first_counters_are_for():
    children = 2500
    with target() as t:
        h = Hits("-r", str(1 << 24), f"pid:{t.pid}")
        hundreds(t, h, children // 100, 3)
        h.stop()
        assert {slot for slot, _ in h.counts} == set(range(2, children + 2)), sorted({slot for slot, _ in h.counts})
        wrong = {at: c for at, c in h.counts.items() if c["hits"] != 3 or c["stored"] != 3}
        assert len(h.counts) == 3 * children and not wrong, wrong


def children_that_hit_before_there_are_counters_for_them_are_counted_apart():
    strips, children = 2048, 2200
    with target() as t:
        h = Hits("-r", str(1 << 24), f"pid:{t.pid}")
        t.ask("tick 1")
        os.kill(h.pid, signal.SIGSTOP)
        for _ in range(children // 100):
            t.ask("procs 100 1")
        os.kill(h.pid, signal.SIGCONT)
        h.wait_for(rf"exit pid=\d+ slot={children + 1} ")
        t.ask("procs 10 2")
        h.stop()
        beyond = children - (strips - 2)  # slot 0 has one, and the parent
        for p in OWN:
            assert h.total(p, "hits") == 1 + children + 20 and h.total(p) == 1 + children + 20 - beyond, (p, h.total(p))
            assert h.counts[0, p]["hits"] == h.counts[0, p]["table_full"] == beyond, h.counts[0, p]
        late = {slot: c["stored"] for (slot, p), c in h.counts.items() if p == OWN[0] and slot > children + 1}
        assert late == {slot: 2 for slot in range(children + 2, children + 12)}, late


def another_signature_is_refused_by_name():
    text = open(CATALOGUE).read().replace("text: {type: str, max: 64}", "text: {type: str, max: 63}")
    with open(f"{WORK}/changed.yaml", "w") as f:
        f.write(text)
    with target() as t:
        h = Hits(f"pid:{t.pid}", catalogue=f"{WORK}/changed.yaml")
        t.ask("tick 3")
        h.stop()
        assert "ticker:tick__begun" in h.said and "other arguments than the catalogue says" in h.said, h.said
        h.expect(3, ["tick__passed", "tick__ended"])


def the_level_says_what_traps():
    with target() as t:
        h = Hits("-l", "essential", f"pid:{t.pid}")
        t.ask("tick 3")
        h.stop()
        h.expect(3, ["tick__begun", "tick__ended"])
        assert h.total("tick__passed", "hits") == 0


TRAPS, CARRIED, BOTH, OFF = (1, 0), (0, 1), (1, 1), (0, 0)


def each_form_raises_its_half_of_the_words():
    ends = {"ended": TRAPS}
    with target() as t:
        for form, level, rest in (("light", "debug", {"begun": CARRIED, "passed": CARRIED}),
                                  ("default", "debug", {"begun": TRAPS, "passed": CARRIED}),
                                  ("immediate", "debug", {"begun": TRAPS, "passed": TRAPS}),
                                  ("light", "essential", {"begun": CARRIED, "passed": OFF}),
                                  ("default", "essential", {"begun": TRAPS, "passed": OFF})):
            h = Hits("-m", form, "-l", level, f"pid:{t.pid}")
            got = words(t.pid, f"{WORK}/ticker")
            assert {k: got[k] for k in (*ends, *rest)} == {**ends, **rest}, (form, level, got)
            assert not any(x.startswith("unarmed") for x in h.lines), h.lines
            t.ask("tick 7")
            h.stop()
            trapped = {p: h.total(f"tick__{p}", "hits") for p in ("begun", "passed", "ended")}
            assert trapped == {p: 7 if {**ends, **rest}[p] == TRAPS else 0 for p in trapped}, (form, level, trapped)
            assert set(words(t.pid, f"{WORK}/ticker").values()) == {OFF}


def recorders_of_different_forms_share_the_words():
    with target() as t:
        light = Hits("-m", "light", "-l", "debug", f"pid:{t.pid}")
        immediate = Hits("-m", "immediate", "-l", "essential", f"pid:{t.pid}")
        got = words(t.pid, f"{WORK}/ticker")
        assert {k: got[k] for k in ("begun", "passed", "ended")} == {"begun": BOTH, "passed": CARRIED, "ended": TRAPS}, got
        t.ask("tick 11")
        light.stop()
        got = words(t.pid, f"{WORK}/ticker")
        assert {k: got[k] for k in ("begun", "passed", "ended")} == {"begun": TRAPS, "passed": OFF, "ended": TRAPS}, got
        t.ask("tick 2")
        immediate.stop()
        assert light.total("tick__ended", "hits") == 11 and light.total("tick__begun", "hits") == 0
        assert immediate.total("tick__ended", "hits") == 13 and immediate.total("tick__begun", "hits") == 13
        assert set(words(t.pid, f"{WORK}/ticker").values()) == {OFF}


def probes_tells_who_traps_and_who_has_it_carried():
    if not os.path.exists(f"{OUT}/outspan"):
        return "the program is not built"
    with target() as t:
        h = Hits("-m", "light", "-l", "debug", f"pid:{t.pid}")
        other = Hits("-m", "immediate", "-l", "debug", f"pid:{t.pid}")
        command = [f"{OUT}/outspan", "probes", "-p", str(t.pid), "--catalogue", CATALOGUE, "--json"]
        begun, = [x for x in run(*command).stdout.splitlines() if "tick__begun" in x]
        assert '"wanted":true,"semaphore":1,"carry":1' in begun, begun
        other.stop()
        begun, = [x for x in run(*command).stdout.splitlines() if "tick__begun" in x]
        assert '"wanted":true,"semaphore":0,"carry":1' in begun, begun
        h.stop()


def attaching_while_points_are_passed_harms_nothing():
    with target() as t:
        t.tell("spin")
        t.wait_for("spinning")
        for _ in range(10):
            h = Hits(f"pid:{t.pid}")
            h.stop()
        assert int(t.ask("tick 0")) > 0
        assert semaphores(t.pid, f"{WORK}/ticker") == [0] * 6


def refusals_say_what_failed_and_what_to_do():
    def refused(*command):
        r = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert r.returncode == 1, r
        return r.stderr

    hits = f"{WORK}/hits"
    gone = Target()
    gone.end()
    assert "No such process" in refused(hits, "-c", CATALOGUE, f"pid:{gone.pid}")
    assert "no trace points that a loaded catalogue knows" in refused(hits, "-c", CATALOGUE, f"pid:{os.getpid()}")
    assert "No such file" in refused(hits, "-c", CATALOGUE, f"path:{WORK}/nothing")
    assert "name the program itself" in refused(hits, "-c", CATALOGUE, f"path:{CATALOGUE}")
    assert "no process named nobody" in refused(hits, "-c", CATALOGUE, "comm:nobody")
    assert "power of two" in refused(hits, "-r", "5000", "-c", CATALOGUE, "all:")
    with target() as t:
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        shutil.copy(hits, "/tmp/outspan-test-hits")
        shutil.copy(CATALOGUE, "/tmp/outspan-test.yaml")
        try:
            said = refused(*nobody, "/tmp/outspan-test-hits", "-c", "/tmp/outspan-test.yaml", f"path:{WORK}/ticker")
        finally:
            os.unlink("/tmp/outspan-test-hits")
            os.unlink("/tmp/outspan-test.yaml")
        assert "cap_bpf" in said or "Permission denied" in said, said
        said = refused("unshare", "-p", "-f", "--mount-proc", hits, "-c", CATALOGUE, f"path:{WORK}/ticker")
        assert "pid namespace" in said and "--pid=host" in said, said


def doctor_finds_nothing_wrong_here():
    if not os.path.exists(f"{OUT}/outspan"):
        return "the program is not built"
    r = subprocess.run([f"{OUT}/outspan", "doctor", "--json"], capture_output=True, text=True)
    assert r.returncode == 0 and '"fail"' not in r.stdout, r
    verdicts = "the kernel refuses to put a probe on it|a probe there [a-z' ]+|a child passed it and forked unharmed"
    no_op = re.search(rf'"detail":"of (1 byte|10 bytes); 10 bytes: ({verdicts}); 5 bytes \(not used\): ({verdicts})"', r.stdout)
    assert no_op and (no_op[1] == "10 bytes") == (no_op[2] == "a child passed it and forked unharmed"), r.stdout
    print(f"# no-op of 10 bytes: {no_op[2]}; of 5 bytes: {no_op[3]}")
    shutil.copy(f"{OUT}/outspan", "/tmp/outspan-test-doctor")
    try:
        r = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/tmp/outspan-test-doctor", "doctor"],
                           capture_output=True, text=True)
    finally:
        os.unlink("/tmp/outspan-test-doctor")
    assert r.returncode == 3 and "cap_bpf" in r.stdout, r


def probes_says_what_is_wanted():
    if not os.path.exists(f"{OUT}/outspan"):
        return "the program is not built"
    with target() as t:
        command = [f"{OUT}/outspan", "probes", "-p", str(t.pid), "--catalogue", CATALOGUE, "--json"]
        off = run(*command).stdout.splitlines()
        assert len(off) == 6 and all('"wanted":false,"semaphore":0' in x for x in off), off
        h = Hits("-l", "essential", f"pid:{t.pid}")
        on = run(*command).stdout.splitlines()
        h.stop()
        wanted = [x for x in on if '"wanted":true,"semaphore":1' in x]
        assert len(wanted) == 5 and not any("tick__passed" in x for x in wanted), on


TESTS = [f for f in list(globals().values()) if callable(f) and getattr(f, "__module__", None) == "__main__"
         and f.__name__.count("_") >= 2 and not f.__name__.startswith("_") and f.__code__.co_argcount == 0]


def main():
    if os.geteuid() != 0:
        print("not root")
        return 77
    build()
    chosen = [t for t in TESTS if len(sys.argv) < 3 or t.__name__ in sys.argv[2:]]
    print(f"1..{len(chosen)}")
    failed = False
    for n, test in enumerate(chosen, 1):
        try:
            try:
                skipped = test()
            finally:
                end_all()
            print(f"ok {n} - {test.__name__}" + (f" # SKIP {skipped}" if skipped else ""), flush=True)
        except Exception as e:  # a test that broke is a test that failed
            failed = True
            where = e.__traceback__
            while where.tb_next and "kernel.py" in where.tb_next.tb_frame.f_code.co_filename:
                where = where.tb_next
            print(f"not ok {n} - {test.__name__}\n# line {where.tb_lineno}: {type(e).__name__}: {str(e)[:2000]}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
