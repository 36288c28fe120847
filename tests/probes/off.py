#!/usr/bin/env python3
"""What an unwanted point costs, read from the machine code. Prints TAP.

usage: off.py [BUILD_DIR]
Walks each function from its entry as it runs while nobody traces (the jump behind the test of the
wanted word is not taken) to its return.
"""
import os
import re
import shutil
import subprocess
import sys

# function: most instructions on the way, return and the caller's frame included; stores allowed
FUNCTIONS = {"plain_point": (7, 0), "many_arguments": (7, 0), "argument_with_work": (9, 0), "end_point": (5, 1)}
BUILDS = ["gcc -O2", "gcc -O3", "gcc -O2 -fPIC", "clang -O2", "clang -O3", "clang -O2 -fPIC"]
HERE = os.path.dirname(os.path.abspath(__file__))


def functions(path):
    text = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", path], capture_output=True, text=True, check=True).stdout
    found, name = {}, None
    for line in text.splitlines():
        head = re.match(r"^[0-9a-f]+ <([\w.]+)>:$", line)
        ins = re.match(r"^\s+([0-9a-f]+):\t(\S+)\s*(.*)$", line)
        reloc = re.match(r"^\s+[0-9a-f]+: (R_\S+)\s+(\S+)", line)
        if head:
            name = head.group(1)
            found[name] = []
        elif reloc and found.get(name):
            found[name][-1]["reloc"] = reloc.group(2)
        elif ins and name:
            found[name].append({"at": int(ins.group(1), 16), "op": ins.group(2), "args": ins.group(3), "reloc": ""})
    return found


def way(code):
    """The instructions executed while the point is not wanted."""
    index = {i["at"]: n for n, i in enumerate(code)}
    n, taken = 0, []
    while n < len(code) and len(taken) < 64:
        i = code[n]
        taken.append(i)
        if i["op"].startswith("ret"):
            return taken
        if i["op"] == "jmp" and not i["reloc"]:
            n = index.get(int(i["args"].split()[0], 16), len(code))
        elif i["op"] == "jmp":
            return taken
        else:
            n += 1
    return taken


def judge(name, code):
    path = [i for i in way(code) if not re.match(r"nop|cs|data16|endbr64|xchg", i["op"])]
    text = " | ".join(f"{i['op']} {i['args']} {i['reloc']}".strip() for i in path)
    most, stores = FUNCTIONS[name]
    loads = [i for i in path if "_wanted" in i["reloc"]]
    branches = [i for i in path if i["op"].startswith("j") and i["op"] != "jmp"]
    calls = [i for i in path if i["op"].startswith("call") or (i["op"] == "jmp" and i["reloc"])]
    written = [i for i in path if i["op"].startswith("mov") and re.search(r",.*\(%", i["args"]) and "%rsp" not in i["args"]]
    wrong = []
    if len(loads) != 1 or len(branches) != 1:
        wrong.append(f"{len(loads)} loads of the wanted word, {len(branches)} branches; expected one of each")
    if calls:
        wrong.append("a call on the way")
    if len(written) > stores:
        wrong.append(f"{len(written)} stores; expected {stores}")
    if len(path) > most:
        wrong.append(f"{len(path)} instructions; expected at most {most}")
    return wrong, text


def include(out):
    """A folder with the headers as programs see them."""
    top = os.path.join(HERE, "..", "..")
    folder = os.path.join(out, "tests/probes/off/outspan")
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(os.path.join(top, "probes")):
        if re.match(r"op(_\w+)?\.h$", name):
            shutil.copy(os.path.join(top, "probes", name), folder)
    with open(os.path.join(folder, "tiny.h"), "w") as f:
        subprocess.run([os.path.join(out, "outspan-generate"), "header", os.path.join(HERE, "tiny.yaml")], stdout=f, check=True)
    return os.path.dirname(folder)


def main():
    out = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
    subprocess.run(["make", "-s", "--no-print-directory", "-C", os.path.join(HERE, "..", ".."), "O=" + out, out + "/outspan-generate"],
                   stdout=sys.stderr, check=True)
    path = include(out)
    n = bad = 0
    for build in BUILDS:
        command = build.split()
        if not shutil.which(command[0]):
            n += 1
            print(f"ok {n} - {build} # SKIP no {command[0]}")
            continue
        subprocess.run(command + ["-I", path, "-c", os.path.join(HERE, "off.c"), "-o", path + "/off.o"], check=True)
        found = functions(path + "/off.o")
        for name in FUNCTIONS:
            n += 1
            wrong, text = judge(name, found.get(name, []))
            print(f"{'not ok' if wrong else 'ok'} {n} - {build}: {name.replace('_', ' ')}: {text}")
            for w in wrong:
                print(f"# {w}")
            bad += bool(wrong)
        n += 1
        called = any("expensive" in i["reloc"] for code in found.values() for i in code)
        print(f"{'ok' if called else 'not ok'} {n} - {build}: the work is there, behind the branch")
        bad += not called
    print(f"1..{n}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
