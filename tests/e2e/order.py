#!/usr/bin/python3
"""A million operations whose own numbers are the truth: each step's argument counts up within its
operation. Whatever the clock says, no step is stored before the one it follows, and no time goes
back, while two threads in each of two processes hop from CPU to CPU, now and then in the middle of
an operation. Prints TAP; needs root and BPF."""
import os
import re
import subprocess
import time

import accounting
import harness

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 3  # between begin and end


def flood(case, form, operations):
    """Both programs at once; the session's file, and how long the programs took."""
    tallies = [accounting.Tally(case) for _ in range(2)]
    recorder = accounting.stream.Recorder(case, f"{len(case.processes)}.db", *form, "--catalogue", accounting.CATALOGUE,
                                          "--ring-size", "128M", pids=[t.pid for t in tallies])
    began = time.monotonic()
    for t in tallies:
        t.tell(f"hop {operations // 4} {STEPS}")
    for t in tallies:
        t.answer(4 * harness.PATIENCE)
    took = time.monotonic() - began
    recorder.ask_to_stop()
    assert recorder.process.wait(4 * harness.PATIENCE) == 0, recorder.process.err
    books = accounting.Books(case, recorder.file, views=False, traces=False)
    for t in tallies:
        t.process.stop()
    return books, {t.pid: t.truth[t.pid] for t in tallies}, took


def look(case, path):
    """What order.c finds in the session."""
    program = case.path("order")
    if not os.path.exists(program):
        libraries = [os.path.join(harness.BUILD, "lib", f"{x}.a") for x in ("store", "base")]
        flags = subprocess.run(["pkg-config", "--libs", "sqlite3"], check=True, capture_output=True, text=True).stdout.split()
        subprocess.run(["gcc", "-O2", "-std=gnu11", "-D_GNU_SOURCE", f"-I{harness.ROOT}", os.path.join(HERE, "order.c"),
                        *libraries, *flags, "-o", program], check=True)
    text = case.run(program, path, str(STEPS + 2)).text()
    return {k: int(n) for k, n in re.findall(r"(\w+)=(\d+)", text)}


def check(case, form, operations):
    books, truth, took = flood(case, form, operations)
    books.check(truth)
    found = look(case, books.path)
    lost = sum(r[2] for r in books.rows.values())
    error, jumps = (books.settings.get(x, "0") for x in ("step_clock_error_ns", "step_clock_jumps"))
    print(f"# {' '.join(form) or 'default'}: {found['operations']} operations, {found['steps']} steps in {took:.1f} s, {lost} lost, "
          f"{found['inverted']} inverted, {found['back']} back in time; clock error {error} ns, {jumps} jumps", flush=True)
    assert found["steps"] + lost == operations * (STEPS + 2), (found, lost)
    assert not found["inverted"] and not found["back"] and not found["unmarked_holes"], found
    assert found["whole"] + found["marked"] >= found["operations"] > operations // 100, found
    if not lost:
        assert found["whole"] == found["operations"] == operations and not found["marked"], found


def test_a_million_operations_keep_their_order(case):
    check(case, (), 1000000)


def test_a_hundred_thousand_with_a_trap_per_step(case):
    check(case, ("--immediate",), 100000)


def test_a_hundred_thousand_with_one_trap_each(case):
    check(case, ("--light",), 100000)


if __name__ == "__main__":
    harness.main(globals())
