"""(g) The real pair: psp-broadcaster with three subscribers under as much HTTP load as eight publishers make, untraced,
with points that nobody looks at, and traced. Only the broadcaster differs: the others are built without points."""
import glob
import os
import re
import signal
import subprocess

from suite import Figure, Skip, all_ended, cpu_ns, finish, in_turn, print_table, say, start, wait_for_line
from tracers import Nobody, Outspan, forms

PUBLISHERS, SUBSCRIBERS = 8, 3


class Broadcaster:
    """A broadcaster and its subscribers; looks like a program to be traced."""

    def __init__(self, s, build):
        self.s, self.others = s, s.program("noprobes")
        self.p, ready = self.begin(os.path.join(build, "psp-broadcaster"), "--listen", "127.0.0.1:0")
        self.pid, self.url = self.p.pid, f"http://127.0.0.1:{ready['port']}"
        self.subscribers = [self.begin(os.path.join(self.others, "psp-subscriber"), "--broadcaster", self.url, "--exact", "bench",
                                       "--quiet")[0] for _ in range(SUBSCRIBERS)]

    @staticmethod
    def begin(*argv):
        p = start(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0)
        said = wait_for_line(p, p.stderr, r"^ready: (.*)")[1]
        return p, dict(w.split("=", 1) for w in said.split() if "=" in w)

    def load(self, messages):
        """All publishers at once: messages/s, the broadcaster's CPU us per message, p99 in us."""
        log = self.s.path("publisher")
        argv = [os.path.join(self.others, "psp-notify"), "--broadcaster", self.url, "--quiet", "--count", str(messages)]
        before = cpu_ns(self.pid)
        publishers = [start([*argv, "--log", f"{log}{i}.log", "bench", "x" * 100], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                      for i in range(PUBLISHERS)]
        for p in publishers:
            finish(p)
        cpu = cpu_ns(self.pid) - before
        if any(p.returncode for p in publishers):
            raise Skip("a publisher failed")
        times = sorted(publishes(f"{log}*.log"))
        first, last = min(b for b, _ in times), max(e for _, e in times)
        took = sorted(e - b for b, e in times)
        return len(times) / (last - first) * 1e9, cpu / len(times) / 1e3, took[len(took) * 99 // 100] / 1e3

    def close(self):
        for p in [*self.subscribers, self.p]:
            os.kill(p.pid, signal.SIGTERM)
            p.stderr.read()
            finish(p)
            p.stderr.close()


def publishes(pattern):
    """(begin, end) of every publish in the publishers' own logs, wall ns; the logs are used up."""
    for path in glob.glob(pattern):
        with open(path, encoding="ascii") as f:
            for line in f:
                found = re.match(r"publish .* begin=(\d+) end=(\d+) ", line)
                if found:
                    yield int(found[1]), int(found[2])
        os.unlink(path)


def cases(s):
    """(title, build of the broadcaster, tracer)"""
    immediate = next(t.flags for t in forms(s) if t.title == "outspan immediate")
    found = [("built without points", s.program("noprobes"), Nobody(s)), ("points, nobody looks", s.build, Nobody(s)),
             ("essential", s.build, Outspan(s, "essential", "--level", "essential")), ("detail", s.build, Outspan(s, "detail"))]
    return [*found, ("immediate", s.build, Outspan(s, "at each step", *immediate))] if immediate else found


def one(s, build, tracer, messages):
    with all_ended():
        b = Broadcaster(s, build)
        b.load(messages // 10)
        tracer.start(b)
        result = b.load(messages)
        told = tracer.stop()
        b.close()
    return (*result, told.get("lost", 0))


def run(s):
    s.broadcaster = {}
    for number in range(s.seconds(4, 5)):
        for title, build, tracer in in_turn(number, cases(s)):
            say(f"broadcaster: round {number + 1}: {title}")
            try:
                result = one(s, build, tracer, s.seconds(500, 1500))
            except Skip as e:
                s.note(f"broadcaster, {title}: {e}")
                continue
            s.broadcaster.setdefault(title, []).append(result)
    s.details["broadcaster"] = s.broadcaster


def show(s):
    def figure(title, i):
        return Figure(r[i] for r in s.broadcaster[title])
    base, rows = "built without points", []
    for title, _, _ in cases(s):
        if title in s.broadcaster:
            rows.append([title, figure(title, 0).cell(), figure(title, 0).over(figure(base, 0)).cell(3), figure(title, 1).cell(1),
                         figure(title, 1).over(figure(base, 1)).cell(3), figure(title, 2).cell(), int(sum(figure(title, 3)))])
    print_table(f"(g) psp-broadcaster, {SUBSCRIBERS} subscribers, {PUBLISHERS} publishers as fast as they are answered",
                ["broadcaster", "messages/s", "ratio", "CPU us/message", "ratio", "p99 us", "lost"], rows)
