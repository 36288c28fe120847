#!/usr/bin/env python3
"""What the BPF object may call: only helpers that observe. Prints TAP; needs no root.

usage: helpers.py [BUILD_DIR]
Walks every call instruction of the object (opcode 0x85: source register 0 is a helper, 1 a
function of the object itself, 2 a kernel function).
"""
import os
import re
import subprocess
import sys

ALLOWED = {
    1: "map_lookup_elem", 2: "map_update_elem", 14: "get_current_pid_tgid",
    118: "jiffies64", 112: "probe_read_user", 113: "probe_read_kernel", 114: "probe_read_user_str", 115: "probe_read_kernel_str",
    125: "ktime_get_boot_ns", 131: "ringbuf_reserve", 132: "ringbuf_submit",
    133: "ringbuf_discard",
    158: "get_current_task_btf", 174: "get_attach_cookie",
}
WRITES_USER_MEMORY = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
SEC("uprobe") int bad(void *ctx) { int x = 0; return bpf_probe_write_user(ctx, &x, 4); }
"""


def calls(path):
    text = subprocess.run(["llvm-objdump", "-d", path], check=True, capture_output=True, text=True).stdout
    found = []
    for line in text.splitlines():
        m = re.match(r"^\s+\d+:\s+85 ([0-9a-f]{2}) 00 00 ([0-9a-f]{2}) ([0-9a-f]{2}) ([0-9a-f]{2}) ([0-9a-f]{2})\s", line)
        if m:
            found.append((int(m[1], 16) >> 4, int.from_bytes(bytes(int(m[i], 16) for i in range(2, 6)), "little"), line.strip()))
    return found


def forbidden(path):
    return [line for kind, number, line in calls(path) if kind == 2 or (kind == 0 and number not in ALLOWED)]


def main():
    os.chdir(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
    out = sys.argv[1] if len(sys.argv) > 1 else "build"
    subprocess.run(["make", "-s", f"O={out}", f"{out}/bpf/outspan.bpf.o"], check=True, stdout=sys.stderr)
    failed = False
    work = f"{out}/tests/probes/helpers"
    os.makedirs(work, exist_ok=True)
    found, bad = calls(f"{out}/bpf/outspan.bpf.o"), forbidden(f"{out}/bpf/outspan.bpf.o")
    unused = set(ALLOWED) - {number for kind, number, _ in found if kind == 0}
    with open(f"{work}/bad.bpf.c", "w") as f:
        f.write(WRITES_USER_MEMORY)
    include = f"/usr/include/{os.uname().machine}-linux-gnu"
    subprocess.run(["clang", "-O2", "-target", "bpf", "-idirafter", include, "-c", f"{work}/bad.bpf.c", "-o", f"{work}/bad.bpf.o"], check=True)
    print("1..3")
    for n, (name, ok, text) in enumerate((
            ("the_object_calls_only_helpers_that_observe", found and not bad, "\n".join(bad)),
            ("every_helper_of_the_list_is_used", not unused, f"not used: {[ALLOWED[u] for u in unused]}"),
            ("a_helper_that_writes_user_memory_is_noticed", forbidden(f"{work}/bad.bpf.o"), "it was not")), 1):
        failed = failed or not ok
        print(f"{'ok' if ok else 'not ok'} {n} - {name}" + ("" if ok else f"\n# {text}"))
    return failed


if __name__ == "__main__":
    sys.exit(main())
