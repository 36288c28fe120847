#!/usr/bin/env python3
"""Calls points in order and out of order: the first must compile, the second must not. Prints TAP.

usage: chains.py [BUILD_DIR]
From the table that outspan-generate prints, every function is called with every state of its
operation, each call in a function and on a line of its own; then the compiler's complaints are
compared with the table, line by line. Every operation is checked with gcc, clang and as C++.
"""
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.normpath(os.path.join(HERE, "..", ".."))
COMPILERS = [
    ["gcc", "-std=gnu11", "-fmax-errors=0"],
    ["clang", "-std=gnu11", "-ferror-limit=0"],
    ["g++", "-std=c++17", "-x", "c++", "-fmax-errors=0"],
    ["clang++", "-std=c++17", "-x", "c++", "-ferror-limit=0"],
]


def read_table(generate, catalogue):
    """[(operation, state, function, next, [argument types])]"""
    text = subprocess.run([generate, "table", catalogue], capture_output=True, text=True, check=True).stdout
    rows = []
    for line in text.splitlines():
        op, state, function, following, _, args = line.split("\t")
        if state != "*":
            rows.append((op, state, function, following, [a.rsplit(" ", 1)[0] for a in args.split(", ") if a]))
    return rows


def zero(type_):
    return "NULL, 0" if type_ == "text" else "&ctx" if type_ == "struct outspan_context *" else \
        "NULL" if type_.endswith("*") else "0"


def cases(rows):
    """[(text, in order?)], one line each"""
    found = []
    for op in dict.fromkeys(r[0] for r in rows):
        mine = [r for r in rows if r[0] == op]
        states = dict.fromkeys(s for r in mine for s in (r[1], r[3]) if s != "end")
        for number, state in enumerate(states):
            for _, allowed, function, following, args in mine:
                call = f"{function}(s{''.join(', ' + zero(a) for a in args)})"
                result = f"(void){call};" if following == "end" else f"struct {op}_{following} n = {call}; (void)n;"
                context = "struct outspan_context ctx; " if "&ctx" in call else ""
                found.append((f"void f{len(found)}(struct {op}_{state} s); "
                              f"void f{len(found)}(struct {op}_{state} s) {{ {context}{result} }}", state == allowed))
    return found


def misuses(rows):
    """Other ways to get it wrong: results ignored, results of a wrong branch, a state made up."""
    op, state, function, following, args = next(r for r in rows if r[3] != "end" and not r[4])
    call = f"{function}(s)"
    return [(f"void g0(struct {op}_{state} s); void g0(struct {op}_{state} s) {{ {call}; }}", "a result is ignored"),
            (f"void g1(struct {op} *b); void g1(struct {op} *b) {{ {op}_begin(b); }}", "what begin gives is ignored"),
            (f"struct {op}_{state} g2(struct {op}_{state} s); struct {op}_{state} g2(struct {op}_{state} s) {{ return {call}; }}",
             "a function returns another state than it says")]


def complaints(compiler, include, source):
    """Lines of the source file that the compiler has an error for."""
    command = compiler + ["-I", include, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", source]
    if compiler[0].startswith("g"):  # ignored results are seen behind the syntax
        command[command.index("-fsyntax-only")] = "-c"
        command += ["-o", "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True)
    name = re.escape(os.path.basename(source))
    lines = set()
    for text in done.stderr.splitlines():
        at = re.match(rf"(?:.*/)?{name}:(\d+):\d+: (?:fatal )?(error|note: (?:in )?expan)", text)
        if at:
            lines.add(int(at.group(1)))
    return lines, done


def prepare(out, catalogue):
    provider = os.path.splitext(os.path.basename(catalogue))[0]
    include = os.path.join(out, "tests/probes/chains")
    os.makedirs(include + "/outspan", exist_ok=True)
    for name in os.listdir(os.path.join(TOP, "probes")):
        if re.match(r"op(_\w+)?\.h$", name):
            shutil.copy(os.path.join(TOP, "probes", name), include + "/outspan")
    with open(f"{include}/outspan/{provider}.h", "w") as f:
        subprocess.run([out + "/outspan-generate", "header", catalogue], stdout=f, check=True)
    return include, provider


def write(path, provider, lines):
    with open(path, "w") as f:
        f.write(f'#include "outspan/{provider}.h"\n' + "\n".join(lines) + "\n")


class Tap:
    count = failed = 0

    def line(self, ok, text, why=()):
        self.count += 1
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.count} - {text}")
        for w in [] if ok else list(why)[:10]:
            print(f"# {w}")


def run(tap, compiler, include, provider, rows):
    label = f"{compiler[0]}, {provider}"
    all_cases = cases(rows)
    good = [c for c, ordered in all_cases if ordered]
    bad = [c for c, ordered in all_cases if not ordered]

    write(include + "/good.c", provider, good)
    lines, done = complaints(compiler, include, include + "/good.c")
    tap.line(done.returncode == 0, f"{label}: {len(good)} calls in order compile", done.stderr.splitlines())

    write(include + "/bad.c", provider, bad)
    lines, _ = complaints(compiler, include, include + "/bad.c")
    missed = [bad[n] for n in range(len(bad)) if n + 2 not in lines]
    tap.line(not missed and bad, f"{label}: {len(bad)} calls out of order do not", missed)

    wrong = misuses(rows)
    for n, (text, what) in enumerate(wrong):
        write(include + "/misuse.c", provider, [text])
        lines, done = complaints(compiler, include, include + "/misuse.c")
        tap.line(done.returncode != 0 and lines == {2}, f"{label}: {what}: does not compile", done.stderr.splitlines())


def main():
    out = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
    subprocess.run(["make", "-s", "--no-print-directory", "-C", TOP, "O=" + out, out + "/outspan-generate"],
                   stdout=sys.stderr, check=True)
    tap = Tap()
    for catalogue in (TOP + "/probes/catalogue/lonelypsp.yaml", HERE + "/tiny.yaml"):
        include, provider = prepare(out, catalogue)
        rows = read_table(out + "/outspan-generate", catalogue)
        for compiler in COMPILERS:
            if shutil.which(compiler[0]):
                run(tap, compiler, include, provider, rows)
            else:
                tap.line(True, f"{compiler[0]}, {provider} # SKIP no {compiler[0]}")
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
