"""What every end-to-end test needs: TAP, processes that are waited for by their own words, logs.

A test module defines functions whose names start with `test_`, and ends with `harness.main(globals())`.
Each gets a Case: a temporary directory and the processes it started, ended and checked afterwards.
"""
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from signal import SIGTERM  # inside Process, `signal` is its method

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("O", os.path.join(ROOT, "build"))
PATIENCE = 30  # seconds that anything may take on a loaded machine


class Skip(Exception):
    pass


class Process:
    """A program whose output is read as it comes; nothing is ever waited for by sleeping."""

    def __init__(self, argv, cwd, stdin=False, env=None):
        self.argv = argv
        self.out = b""
        self.err = b""
        self.popen = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self.popen.pid
        self.open = [self.popen.stdout, self.popen.stderr]
        for f in self.open:
            os.set_blocking(f.fileno(), False)

    def _pump(self, seconds):
        ready, _, _ = select.select(self.open, [], [], max(0, seconds))
        for f in ready:
            data = f.read(1 << 20)
            if data == b"":
                self.open.remove(f)
            elif data and f is self.popen.stdout:
                self.out += data
            elif data:
                self.err += data

    def wait_for(self, pattern, where="err", seconds=PATIENCE, after=0):
        """Until the pattern stands in what the program said (from byte `after` on); the match."""
        end = time.monotonic() + seconds
        while True:
            match = re.compile(pattern.encode(), re.M).search(getattr(self, where), after)
            if match:
                return match
            if not self.open or time.monotonic() > end:
                raise AssertionError(f"{self.argv[0]} never said {pattern!r}; it said:\n"
                                     f"{self.out[-2000:].decode(errors='replace')}\n"
                                     f"{self.err[-4000:].decode(errors='replace')}")
            self._pump(min(0.5, end - time.monotonic()))

    def line(self, text):
        """Writes a line to the program's standard input."""
        self.popen.stdin.write(text.encode() if isinstance(text, str) else text)
        self.popen.stdin.write(b"\n")
        self.popen.stdin.flush()

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, seconds=PATIENCE):
        """Until it ends; the exit status (negative = by that signal)."""
        if self.popen.stdin:
            try:
                self.popen.stdin.close()
            except BrokenPipeError:
                pass
        end = time.monotonic() + seconds
        while self.open:
            if time.monotonic() > end:
                raise AssertionError(f"{self.argv[0]} did not end; it said:\n{self.err[-4000:].decode(errors='replace')}")
            self._pump(min(0.5, end - time.monotonic()))
        return self.popen.wait(max(0.1, end - time.monotonic()))

    def stop(self, number=SIGTERM, seconds=PATIENCE):
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.wait(seconds)

    def text(self):
        return self.out.decode(errors="replace")


class Case:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="case-", dir=os.path.join(BUILD, "tests"))
        self.processes = []

    def path(self, name):
        return os.path.join(self.dir, name)

    def start(self, *argv, stdin=False, env=None):
        argv = [os.path.join(BUILD, argv[0]) if "/" not in argv[0] else argv[0], *argv[1:]]
        p = Process(argv, self.dir, stdin, env)
        self.processes.append(p)
        return p

    def run(self, *argv, status=0, env=None):
        """Runs to the end; the process. The exit status must be `status` (None: any)."""
        p = self.start(*argv, env=env)
        got = p.wait()
        if status is not None and got != status:
            raise AssertionError(f"{argv} ended with {got}, not {status}:\n{p.text()[-2000:]}\n{p.err.decode(errors='replace')[-4000:]}")
        return p

    def close(self, keep):
        for p in reversed(self.processes):
            if p.popen.poll() is None:
                p.popen.send_signal(signal.SIGCONT)
                p.popen.kill()
                p.popen.wait()
            for f in (p.popen.stdin, p.popen.stdout, p.popen.stderr):
                try:
                    if f:
                        f.close()
                except BrokenPipeError:
                    pass
        if keep:
            print(f"# kept {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def check(case, path, *args, status=0):
    """What `outspan check` makes of a session file, as JSON; it must end with `status`."""
    return json.loads(case.run("outspan", "check", "--json", *args, path, status=status).text())


def check_accepts(session, **explained):
    """Nothing is wrong in the session, and this much is explained: process_exited=1, or as many as come by chance: ...=None."""
    found = check(session.case, session.path)
    assert found["genuine"] == 0 and found["operations"] and not found["not_in_catalogue"], found
    causes = {cause.replace(" ", "_"): n for cause, n in found["explained"].items() if n}
    assert causes == {cause: causes.get(cause) if n is None else n for cause, n in explained.items() if n or cause in causes}, found
    for operation, status in session.accepted():
        note(f"{operation} {status}")


# ---- what check accepted, for tests/conformance.py: a file per test program ----------------------------

ACCEPTED = os.path.join(BUILD, "tests", "accepted")
ALL_RAN = "all ran"


def notes_of(program):
    """Of a test program, the file that holds a line OPERATION STATUS for each that was accepted, and at last ALL_RAN."""
    return os.path.join(ACCEPTED, os.path.relpath(os.path.abspath(program), os.path.join(ROOT, "tests")).replace(os.sep, "-"))


def note(line):
    os.makedirs(ACCEPTED, exist_ok=True)
    with open(notes_of(sys.argv[0]), "a", encoding="utf-8") as f:
        f.write(line + "\n")


def forget_notes():
    if os.path.exists(notes_of(sys.argv[0])):
        os.unlink(notes_of(sys.argv[0]))


def main(names):
    tests = [(n, f) for n, f in names.items() if n.startswith("test_") and (len(sys.argv) < 2 or n in sys.argv[1:])]
    os.makedirs(os.path.join(BUILD, "tests"), exist_ok=True)
    print(f"1..{len(tests)}", flush=True)
    failed = skipped = 0
    if len(sys.argv) < 2:
        forget_notes()
    for number, (name, function) in enumerate(tests, 1):
        title = name[5:].replace("_", " ")
        case = Case()
        ok = False
        try:
            function(case)
            ok = True
            print(f"ok {number} - {title}", flush=True)
        except Skip as e:
            ok = True
            skipped += 1
            print(f"ok {number} - {title} # SKIP {e}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {title}")
            print("# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
        finally:
            case.close(keep=not ok)
    if len(sys.argv) < 2 and not failed + skipped and os.path.exists(notes_of(sys.argv[0])):
        note(ALL_RAN)
    sys.exit(1 if failed else 0)
