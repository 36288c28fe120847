"""What every part of the suite needs: a place of its own, the workload program, figures, tables.

The suite runs in a mount namespace of its own, so that what peers need (tracefs, LTTng's and their
shared memory's places) is there and is gone when it ends.
"""
import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PATIENCE = 120  # seconds that any answer may take
PRIVATE = {"/sys/kernel/tracing": "tracefs", "/run/lttng": "tmpfs", "/dev/shm": "tmpfs"}


class Skip(Exception):
    """Something cannot run here; the text says why."""


def enter_private_namespace():
    """Runs this program again where mounts are nobody else's, and mounts what peers need."""
    if os.environ.get("BENCH_PRIVATE") != "1":
        os.environ["BENCH_PRIVATE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    for place, kind in PRIVATE.items():
        if kind == "tmpfs":
            os.makedirs(place, exist_ok=True)
        subprocess.run(["mount", "-t", kind, "none", place], stderr=subprocess.DEVNULL, check=False)


class Suite:
    """Where things are, how long parts may take, and the figures so far."""

    def __init__(self, build, quick):
        self.build, self.quick = os.path.abspath(build), quick
        os.makedirs(self.build, exist_ok=True)
        self.dir = tempfile.mkdtemp(prefix="bench-", dir=self.build)
        self.rounds = 2 if quick else 3
        self.figures, self.notes = {}, []
        self.said, self.details = {}, {}

    def path(self, name):
        return os.path.join(self.dir, name)

    def program(self, name):
        return os.path.join(self.build, name)

    def seconds(self, quick, full):
        return quick if self.quick else full

    def note(self, text):
        """What a reader must know of the figures: also why one is missing."""
        if text not in self.notes:
            self.notes.append(text)
            say(f"note: {text}")

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- processes -----------------------------------------------------------------------------------

def die_with_parent():
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: nothing stays behind


running = []  # what was started and has not been waited for


def start(argv, cpu=None, env=None, **streams):
    def prepare():
        die_with_parent()
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
    streams.setdefault("stdin", subprocess.DEVNULL)
    p = subprocess.Popen(argv, env=env, preexec_fn=prepare, **streams)
    running.append(p)
    return p


@contextlib.contextmanager
def all_ended(keep=()):
    """Whatever goes wrong within, no process that was started there stays."""
    before = list(running)
    try:
        yield
    finally:
        for p in [p for p in running if p not in before and p not in keep]:
            finish(p, 9)


def read_line(p, f):
    """The next line of a pipe of p; Skip if none comes."""
    ready, _, _ = select.select([f], [], [], PATIENCE)
    line = f.readline() if ready else b""
    if not line:
        raise Skip(f"{os.path.basename(p.args[0])} said nothing more")
    return line.decode(errors="replace")


def wait_for_line(p, f, pattern):
    said = []
    while True:
        try:
            said.append(read_line(p, f))
        except Skip as e:
            raise Skip(f"{e}: {' '.join(said)[-300:].strip()}") from e
        found = re.search(pattern, said[-1])
        if found:
            return found


def is_alive(p):
    """Without reaping it: finish() wants its CPU time."""
    return os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def cpu_ns(pid):
    """CPU time so far, to the ns, of the process's first thread: of all for programs of one."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0])


def finish(p, number=None):
    """Ends it (by the signal), or waits for its end; the CPU ns of its whole life."""
    if number is not None:
        os.kill(p.pid, number)
    _, status, usage = os.wait4(p.pid, 0)
    running.remove(p)
    p.returncode = os.waitstatus_to_exitcode(status)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


class App:
    """The workload program of one variant; cpu = where it runs, None = anywhere."""

    def __init__(self, suite, variant, work=1024, cpu=0):
        path = suite.program(f"bench/message-{variant}")
        if not os.path.exists(path):
            raise Skip(f"{os.path.basename(path)} was not built")
        env = dict(os.environ, BENCH_QUEUE_DB=suite.path(f"queue-{time.monotonic_ns()}.db"), HOME=suite.dir, LTTNG_HOME=suite.dir)
        self.path = path
        self.p = start([path, str(work)], cpu, env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.pid = int(wait_for_line(self.p, self.p.stdout, r"^ready (\d+)")[1])

    def go(self, messages, rate=0):
        self.p.stdin.write(f"run {messages} {rate}\n".encode())

    def result(self):
        r = json.loads(read_line(self.p, self.p.stdout))
        if r["wrong"]:
            raise Skip(f"{self.path}: {r['wrong']} wrong messages")
        return r

    def run(self, messages, rate=0):
        self.go(messages, rate)
        return self.result()

    def close(self):
        """Ends it; what it said last, if anything."""
        self.p.stdin.close()
        rest = self.p.stdout.read().decode()
        finish(self.p)
        self.p.stdout.close()
        return json.loads(rest) if rest else {}


# ---- figures -------------------------------------------------------------------------------------

class Figure(list):
    """One value per round. None in none of them."""

    def median(self):
        return statistics.median(self) if self else None

    def over(self, other):
        """Ratio round by round: within one run."""
        return Figure(a / b for a, b in zip(self, other) if b)

    def minus(self, other):
        return Figure(a - b for a, b in zip(self, other))

    def by(self, number):
        return Figure(a / number for a in self)

    def text(self, digits=1):
        """Median and range on one line."""
        return " ".join(self.cell(digits)).replace(" ", " (") + ")" if len(self) > 1 else self.cell(digits)[0]

    def cell(self, digits=0):
        """Median, and range for the line below it."""
        if not self:
            return "-", ""
        median, least, most = (f"{x:,.{digits}f}" for x in (self.median(), min(self), max(self)))
        return median, f"{least}..{most}" if len(self) > 1 else ""


def print_table(title, heads, rows):
    """Columns as wide as needed, the first to the left; one blank line before. A cell that is a pair has a second line."""
    lines = [[str(h) for h in heads]]
    for row in rows:
        pairs = [c if isinstance(c, tuple) else (str(c), "") for c in row]
        lines += [[c[i] for c in pairs] for i in (0, 1) if i == 0 or any(c[1] for c in pairs)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    print(f"\n{title}")
    for line in lines:
        text = line[0].ljust(widths[0]) + "".join("  " + c.rjust(w) for c, w in zip(line[1:], widths[1:]))
        print("  " + text.rstrip())


def in_turn(number, things):
    """Every other round the other way round: what comes first is not always the same."""
    return list(things) if number % 2 == 0 else list(things)[::-1]


def machine(suite):
    def first(path, pattern):
        with open(path, encoding="ascii", errors="replace") as f:
            found = re.search(pattern, f.read(), re.M)
        return found[1].strip() if found else "unknown"

    def version(*argv):
        try:
            return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()[0].strip()
        except (OSError, IndexError):
            return "not installed"
    def of_cpu(cpu, path):
        try:
            return first(f"/sys/devices/system/cpu/cpu{cpu}/{path}", r"(.*)")
        except OSError:
            return "unknown"
    caches = {of_cpu(0, f"cache/index{i}/level"): of_cpu(0, f"cache/index{i}/size") for i in (2, 3)}
    doctor = subprocess.run([suite.program("outspan"), "doctor"], capture_output=True, text=True, check=False).stdout
    form = re.search(r"^\w+ +attaching to a running process +(.*)", doctor, re.M)
    return {
        "cpu": first("/proc/cpuinfo", r"^model name\s*: (.*)"), "cpus": os.cpu_count(), "kernel": os.uname().release,
        "l2": caches.get("2", "unknown"), "l3": caches.get("3", "unknown"),
        "cpus_of_first_core": of_cpu(0, "topology/thread_siblings_list"), "cpus_of_first_l3": of_cpu(0, "cache/index3/shared_cpu_list"),
        "attach_form": form[1] if form else "unknown", "load_before": os.getloadavg()[0],
        "lttng": version("lttng", "--version"), "bpftrace": version("bpftrace", "--version"), "perf": version("perf", "--version"),
    }
