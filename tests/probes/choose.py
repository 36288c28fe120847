#!/usr/bin/env python3
"""What is not asked for does not leave the kernel. Prints TAP; needs root and BPF.

usage: choose.py [BUILD_DIR] [TEST...]

chooser.c makes operations with the arguments that it is told; two recorders watch it, one of which
lets the kernel side choose. What both should take is computed here, by another matcher.
"""
import operator
import os
import random
import re
import sys

import kernel
from kernel import Hits, Talker

PROGRAM, CATALOGUE = f"{kernel.WORK}/chooser", f"{kernel.HERE}/chooser.yaml"
TOPIC_MAX = 200  # bytes of a topic that a step keeps
OPERATORS = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
POINTS = ("opened", "wrote", "closed")
SHORT = 5  # steps `wrote` that fit into the block in any case


def build():
    os.chdir(f"{kernel.HERE}/../..")
    with open(f"{kernel.WORK}/include/chooser.h", "w") as f:
        f.write(kernel.run(f"{kernel.OUT}/outspan-generate", "header", CATALOGUE).stdout)
    kernel.run("gcc", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-D_GNU_SOURCE", f"-I{kernel.WORK}/include",
               f"{kernel.HERE}/chooser.c", "-o", PROGRAM)


class Chooser(Talker):
    def __init__(self):
        super().__init__([PROGRAM])
        self.wait_for(r"ready (\d+)")

    def ask(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
        return self.read_line()

    def make(self, n):
        """One operation; its id."""
        fields = (n["before"].hex() or "-", n["small"], n["topic"].hex() or "-", int(n["flag"]), n["count"], n["wide"], n["size"],
                  n["wrote"])
        return self.ask(" ".join(map(str, fields)))


# ---- what is meant, a second time ----


def tokens(glob):
    """The places of a glob: "*", or the set of bytes that may stand there."""
    found, i = [], 0
    while i < len(glob):
        m = re.compile(rb"\[([!^]?)(\]?[^\]]*)\]", re.S).match(glob, i)
        if m and m[2]:
            members, k, body = set(), 0, m[2]
            while k < len(body):
                last = body[k + 2] if body[k + 1:k + 2] == b"-" and k + 2 < len(body) else body[k]
                members |= set(range(body[k], last + 1))
                k += 3 if body[k + 1:k + 2] == b"-" and k + 2 < len(body) else 1
            found.append(set(range(256)) - members if m[1] else members)
            i = m.end()
            continue
        found.append("*" if glob[i:i + 1] == b"*" else set(range(256)) if glob[i:i + 1] == b"?" else {glob[i]})
        i += 1
    return found


def matches(glob, text):
    """A text that was cut matches unless no end of it could: then its beginning ruled it out."""
    places, cut = tokens(glob), len(text) > TOPIC_MAX
    at = {0}
    for byte in (*text[:TOPIC_MAX], None):
        for i in range(len(places)):
            if i in at and places[i] == "*":
                at.add(i + 1)
        if byte is not None:
            at = {i + (places[i] != "*") for i in at if i < len(places) and (places[i] == "*" or byte in places[i])}
    return bool(at) if cut else len(places) in at


def holds(terms, n):
    """For each point with terms: some step of it satisfies them all, or there was none."""
    steps = {"opened": [{"small": n["small"], "flag": n["flag"]}], "closed": [{"size": n["size"]}],
             "wrote": [{"wide": n["wide"] - (i > 0), "count": (n["count"] - (i > 0)) % 256} for i in range(n["wrote"])]}
    for point in POINTS:
        mine = [(arg, op, value) for p, arg, op, value in terms if p == point]
        if mine and steps[point] and not any(all(OPERATORS[op](s[arg], value) for arg, op, value in mine) for s in steps[point]):
            return False
    return True


# ---- operations and rules, at random ----

SMALLS, WIDES = (-32768, -1, 0, 1, 7, 32767), (-2**63 + 1, -2**31, -1, 0, 1, 2**40, 2**63 - 1)
COUNTS, SIZES = (0, 1, 127, 128, 255), (0, 1, 2**31 - 1, 2**31, 2**32 - 1)


def random_text(r, most):
    size = r.choice((r.randrange(6), r.randrange(6), r.randrange(20), r.choice((63, 64, 65, 127, 128, 129, 192)), most))
    return bytes(r.choice(b"ab/\xffz") for _ in range(size))


def random_note(r):
    topic = random_text(r, r.choice((199, 200, 201, 300)))
    return {"before": random_text(r, 41), "topic": topic, "small": r.choice(SMALLS), "flag": r.random() < 0.5,
            "count": r.choice(COUNTS), "wide": r.choice(WIDES), "size": r.choice(SIZES),
            "wrote": r.choice((0, 1, 2, SHORT, SHORT, 80))}


def random_glob(r):
    parts = (b"*", b"*", b"?", b"a", b"b", b"/", b"ab", b"[ab]", b"[!a]", b"[^/b]", b"[a-z]", b"[]a]", b"\xff", b"[", b"\\a")
    glob = b"".join(r.choice(parts) for _ in range(r.randrange(1, 6)))
    return r.choice((glob, glob + b"*", b"*" + glob + b"*"))


def random_term(r):
    point, arg, values = r.choice((("opened", "small", SMALLS), ("opened", "flag", (0, 1)), ("wrote", "wide", WIDES),
                                   ("wrote", "count", COUNTS), ("closed", "size", SIZES)))
    return point, arg, r.choice(list(OPERATORS)), r.choice(values)


def options(globs, terms):
    return [x for g in globs for x in (b"-t", g)] + [x for p, arg, op, v in terms for x in ("-w", f"note.{p}.{arg} {op} {v}")]


def taken(h):
    return {m[1] for m in (re.match(r"note__closed .* op=(\w+) ", x) for x in h.lines) if m}


def left_at_end(h, notes):
    """Operations that came whole and that only the recorder left out."""
    found = (re.match(r"left out op=(\w+) sequence=(\d+)$", x) for x in h.lines)
    return {m[1] for m in found if m and int(m[2]) == notes[m[1]]["wrote"] + 1}


def compare(r, form, globs, terms):
    t = Chooser()
    rules = ["-m", form, *options(globs, terms), f"pid:{t.pid}"]
    recorders = [Hits(*more, *rules, quiet=False, catalogue=CATALOGUE) for more in ((), ("-k",))]
    notes = {t.make(n): n for n in (random_note(r) for _ in range(60))}
    mine, theirs = recorders
    for h in recorders:
        h.stop()
    asked = {i for i, n in notes.items() if (not globs or any(matches(g, n["topic"]) for g in globs)) and holds(terms, n)}
    here = f"{form} {globs} {terms}"
    assert taken(mine) == asked, (here, [notes[i] for i in taken(mine) ^ asked])
    assert taken(theirs) == asked, (here, [notes[i] for i in taken(theirs) ^ asked])
    short = {i for i, n in notes.items() if n["wrote"] <= SHORT}
    gone = set(notes) - asked - left_at_end(theirs, notes)
    assert gone >= short - asked, (here, [notes[i] for i in short - asked - gone])
    assert left_at_end(mine, notes) == set(notes) - asked, here
    assert theirs.total("note__closed", "filtered") == len(gone), (here, theirs.counts, len(gone))
    assert theirs.total("note__closed", "hits") == len(notes) - len(gone), (here, theirs.counts)
    if form == "light":
        assert theirs.total("note__opened", "filtered") == len(gone), (here, theirs.counts)
        assert theirs.total("note__wrote", "filtered") == sum(notes[i]["wrote"] for i in gone), (here, theirs.counts)
    return len(gone), len(asked)


def the_kernel_side_chooses_as_the_recorder_does():
    r, gone, asked = random.Random(20), 0, 0
    for i in range(18):
        globs = [random_glob(r) for _ in range(r.choice((0, 1, 1, 2, 3)))]
        terms = [random_term(r) for _ in range(r.choice((0, 0, 1, 2)) if globs else r.choice((1, 2, 3)))]
        counts = compare(r, ("light", "default", "immediate")[i % 3], globs, terms)
        gone, asked = gone + counts[0], asked + counts[1]
    assert gone > 300 and asked > 200, (gone, asked)


def what_is_not_asked_for_does_not_enter_the_ring():
    t = Chooser()
    h = Hits("-m", "light", "-t", "wanted/*", "-k", f"pid:{t.pid}", quiet=False, catalogue=CATALOGUE)
    t.ask("spin 5000")
    i = t.ask(f"- 0 {b'wanted/one'.hex()} 1 1 1 1 2")
    h.stop()
    records = [x.split()[0] for x in h.lines if " op=" in x]
    assert records == ["carried", "carried", "carried", "note__closed"] and taken(h) == {i}, records
    assert {p: (h.total(p), h.total(p, "filtered")) for p in ("note__opened", "note__wrote", "note__closed")} == {
        "note__opened": (0, 5000), "note__wrote": (0, 15000), "note__closed": (1, 5000)}, h.counts


def scrolls(*globs):
    """Topics of a's and a z at their ends, of 255 bytes and more: lengths that came whole, those left out, those filtered."""
    t, lengths = Chooser(), (255, 256, 257, 400, 401)
    h = Hits("-m", "light", *globs, "-k", f"pid:{t.pid}", quiet=False, catalogue=CATALOGUE)
    ids = {t.ask(f"scroll {n}"): n for n in lengths}
    h.stop()
    came = [re.match(r"(left out|scroll__closed) .*\bop=(\w+) ", x) for x in h.lines]
    found = {what: [ids[m[2]] for m in came if m and m[1] == what] for what in ("scroll__closed", "left out")}
    assert h.total("scroll__closed", "filtered") == h.total("scroll__opened", "filtered"), h.counts
    return found["scroll__closed"], found["left out"], h.total("scroll__closed", "filtered")


def topics_longer_than_it_looks_at_are_left_to_the_recorder():
    assert scrolls("-t", "a*z") == ([255, 256, 257, 400, 401], [], 0), "the last was cut before its z"
    assert scrolls("-t", "a*a", "-t", "b") == ([401], [257, 400], 2)


def patterns_too_large_for_a_table_are_left_to_the_recorder():
    t = Chooser()
    h = Hits("-m", "light", "-t", "*" + "?".join("abcdefgh") + "*[ab]" + "?" * 40, "-k", f"pid:{t.pid}", quiet=False, catalogue=CATALOGUE)
    t.ask("spin 3")
    h.stop()
    assert h.total("note__closed") == 3 and not h.total("note__closed", "filtered") and not taken(h), h.counts
    assert sum(x.startswith("left out") for x in h.lines) == 3, h.lines


kernel.TESTS = [f for f in list(globals().values()) if callable(f) and getattr(f, "__module__", None) == "__main__"
                and f.__name__.count("_") >= 2 and f.__code__.co_argcount == 0]


def main():
    ours = kernel.build
    kernel.build = lambda: (ours(), build())
    return kernel.main()


if __name__ == "__main__":
    sys.exit(main())
