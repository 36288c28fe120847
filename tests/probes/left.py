#!/usr/bin/env python3
"""What a dying process leaves in its blocks, brought by the kernel side. Prints TAP; needs root and BPF.

usage: left.py [BUILD_DIR] [TEST...]

Targets, recorder and waiting are those of kernel.py: ticker.c says the ids of the operations that
it has left open, and how many steps each has is what it was told.
"""
import re
import signal
import sys

import kernel
from kernel import Hits, Target


def open_operation(t, verb, steps):
    """The id of an operation that now has `steps` steps and does not end."""
    return re.match(r"([0-9a-f]+) 0$", t.ask(f"{verb} {steps - 1}"))[1]


def lefts(h):
    """(operation, next sequence, its steps) of each record, in the order in which they came."""
    found = (re.match(r"left pid=(\d+) tid=\d+ op=(\w+) sequence=(\d+) data=\d+ steps(.*)$", x) for x in h.lines)
    return [(m[2], int(m[3]), m[4].split()) for m in found if m]


def steps(n):
    return ["0:begun"] + [f"{i}:passed" for i in range(1, n)]


def die(how, *more):
    """A target with operations of 1, 3 and 20 steps that ends like this; (record, its operations)."""
    t = Target()
    h = Hits("-m", "default", f"pid:{t.pid}", quiet=False)
    t.ask("tick 100")
    ids = [(open_operation(t, "leave", n), n, steps(n)) for n in (1, 3, 20)]
    for line in more:
        t.ask(line)
    t.tell(f"die {how}")
    t.process.wait(kernel.PATIENCE)
    h.wait_for(r"exit ")
    h.stop()
    h.expect(100, ["tick__ended"])
    return h, ids, t.process.returncode


def a_process_that_is_killed_leaves_its_steps():
    h, ids, code = die("kill")
    assert code == -signal.SIGKILL and sorted(lefts(h)) == sorted(ids), (lefts(h), ids)


def faults_aborts_and_exits_leave_them_too():
    for how, code in (("segv", -signal.SIGSEGV), ("abort", -signal.SIGABRT), ("exit", 3), ("_exit", 4),
                      (str(int(signal.SIGTERM)), -signal.SIGTERM), ("40", -40)):
        h, ids, got = die(how)
        assert got == code and sorted(lefts(h)) == sorted(ids), (how, got, lefts(h), ids)


def they_come_before_the_exit():
    h, _, _ = die("kill")
    kinds = [x.split()[0] for x in h.lines if x.split()[0] in ("left", "exit")]
    assert kinds == ["left", "left", "left", "exit"], h.lines


def ended_operations_leave_nothing():
    t = Target()
    h = Hits("-m", "default", f"pid:{t.pid}", quiet=False)
    t.ask("tick 500")
    t.ask("long 900")
    t.tell("die kill")
    h.wait_for(r"exit ")
    h.stop()
    assert not lefts(h), lefts(h)


def what_a_block_spilled_is_not_brought_again():
    t = Target()
    h = Hits("-m", "light", f"pid:{t.pid}", quiet=False)
    op = open_operation(t, "leave", 501)
    t.tell("die kill")
    h.wait_for(r"exit ")
    h.stop()
    carried = [int(m[1]) for m in (re.match(rf"carried \S+ pid=\d+ op={op} sequence=(\d+)", x) for x in h.lines) if m]
    (left, sequence, rest), = lefts(h)
    assert (left, sequence) == (op, 501) and len(carried) > 300, (left, sequence, carried)
    assert carried + [int(x.split(":")[0]) for x in rest] == list(range(501)), (carried, rest)


def a_signal_that_does_not_kill_brings_nothing():
    t = Target()
    h = Hits("-m", "default", f"pid:{t.pid}", quiet=False)
    op = open_operation(t, "leave", 5)
    for s in (signal.SIGWINCH, signal.SIGURG, signal.SIGCONT, signal.SIGCHLD):
        t.ask(f"die {int(s)}")
    t.ask("tick 1")
    h.wait_for(r"tick__ended ")
    assert not lefts(h)
    t.tell("die kill")
    h.wait_for(r"exit ")
    h.stop()
    assert lefts(h) == [(op, 5, steps(5))]


def scratch(first, second):
    """The ids that a target said, and what was brought of it, after its frames had returned."""
    t = Target()
    h = Hits("-m", "default", f"pid:{t.pid}", quiet=False)
    t.tell(f"scratch {first} {second}")
    t.rest_of_output()
    h.wait_for(r"exit ")
    h.stop()
    return t.lines[1:], lefts(h)


def a_frame_that_has_returned_is_believed_only_while_it_is_untouched():
    (op,), found = scratch(6, -2)
    assert found == [(op, 7, steps(7))], (op, found)
    # the head there is the second's: the first is not in it
    (first, second), found = scratch(6, 3)
    assert first != second and found == [(second, 4, steps(4))], (first, second, found)
    (op,), found = scratch(6, -1)
    assert not found, found


def a_childs_copy_leaves_nothing_of_its_parents():
    t = Target()
    h = Hits("-m", "default", f"pid:{t.pid}", quiet=False)
    op = open_operation(t, "leave", 3)
    child = int(t.ask("hold"))
    kernel.os.kill(child, signal.SIGKILL)
    h.wait_for(rf"exit pid={child} ")
    assert not lefts(h)
    t.tell("die kill")
    h.wait_for(rf"exit pid={t.pid} ")
    h.stop()
    assert lefts(h) == [(op, 3, steps(3))], lefts(h)


def of_more_than_it_remembers_it_brings_the_newest():
    t = Target()
    h = Hits("-m", "default", f"pid:{t.pid}", quiet=False)
    ids = [open_operation(t, "leave", 2) for _ in range(90)]
    t.tell("die kill")
    h.wait_for(r"exit ")
    h.stop()
    found = {op for op, _, _ in lefts(h)}
    assert found < set(ids) and len(found) == 64 and ids[-1] in found, len(found)


kernel.TESTS = [f for f in list(globals().values()) if callable(f) and getattr(f, "__module__", None) == "__main__"
                and f.__name__.count("_") >= 2 and f.__code__.co_argcount == 0]

if __name__ == "__main__":
    sys.exit(kernel.main())
