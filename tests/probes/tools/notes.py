#!/usr/bin/env python3
"""Checks the notes of a program with trace points, against ELF and against each other.

usage: notes.py [--copies] FILE PROVIDER NAMES    NAMES = comma-separated probes, each exactly once
--copies: never-called copies of a site are allowed, if they share its semaphore (ThinLTO of lld
does not merge COMDAT groups that came out of it).
Prints what is wrong, one line each; exit 1 if anything is. Knows nothing of our C code.
"""
import struct
import sys


class Elf:
    def __init__(self, path):
        self.data = open(path, "rb").read()
        assert self.data[:5] == b"\x7fELF\x02", "no 64-bit ELF file"
        self.machine = struct.unpack_from("<H", self.data, 18)[0]
        phoff, shoff = struct.unpack_from("<QQ", self.data, 32)
        _, phnum, _, shnum, shstr = struct.unpack_from("<HHHHH", self.data, 54)
        self.segments = [struct.unpack_from("<IIQQQQQQ", self.data, phoff + 56 * i) for i in range(phnum)]
        heads = [struct.unpack_from("<IIQQQQIIQQ", self.data, shoff + 64 * i) for i in range(shnum)]
        names = heads[shstr][4]
        self.sections = {}
        for h in heads:
            end = self.data.index(b"\0", names + h[0])
            self.sections.setdefault(self.data[names + h[0]:end].decode(), []).append(h)

    def content(self, name):
        return b"".join(self.data[h[4]:h[4] + h[5]] for h in self.sections.get(name, []))

    def address(self, name):
        return self.sections[name][0][3] if name in self.sections else None

    def at(self, address, size):
        for kind, flags, offset, vaddr, _, filesz, _, _ in self.segments:
            if kind == 1 and vaddr <= address and address + size <= vaddr + filesz:
                return self.data[offset + address - vaddr:][:size], flags
        return None, 0


def notes(data):
    at = 0
    while at < len(data):
        namesz, descsz, kind = struct.unpack_from("<III", data, at)
        name = data[at + 12:at + 12 + namesz].rstrip(b"\0")
        start = at + 12 + (namesz + 3 & ~3)
        yield name, kind, data[start:start + descsz]
        at = start + (descsz + 3 & ~3)


def check(elf, provider, wanted_names, copies):
    bad = []
    sites = {}
    base = elf.address(".stapsdt.base") or 0  # gold collects it: then there is nothing to adjust by
    for name, kind, desc in notes(elf.content(".note.stapsdt")):
        nop, note_base, semaphore = struct.unpack_from("<QQQ", desc)
        who, probe, operands = desc[24:].split(b"\0")[:3]
        if who.decode() != provider:
            continue
        probe = probe.decode()
        if probe in sites and (not copies or sites[probe][1] != semaphore):
            bad.append(f"{probe}: two stapsdt notes")
        if (name, kind) != (b"stapsdt", 3) or note_base != base:
            bad.append(f"{probe}: owner {name}, type {kind}, base {note_base:#x} not {base:#x}")
        sites[probe] = (nop if probe not in sites else None, semaphore, operands.decode())
    if sorted(sites) != sorted(wanted_names):
        bad.append(f"sites {sorted(sites)}, not {sorted(wanted_names)}")

    words = set()
    seen = {}
    for name, kind, desc in notes(elf.content(".note.outspan")):
        abi, number, nop, note_base, digest, carry, zero = struct.unpack_from("<IIQQQII", desc)
        who, probe = (x.decode() for x in desc[40:].split(b"\0")[:2])
        if who != provider:
            continue
        if (name, kind, abi, zero) != (b"outspan", 1, 2, 0) or note_base != base or not digest:
            bad.append(f"{probe}: outspan note {name} {kind} {abi} {zero} base {note_base:#x}")
        if (probe in seen and not copies) or probe not in sites:
            bad.append(f"{probe}: {'two' if probe in seen else 'no stapsdt note beside the'} outspan note")
            continue
        seen[probe] = number
        site, semaphore, operands = sites[probe]
        if site != nop and site is not None:
            bad.append(f"{probe}: notes say {site:#x} and {nop:#x}")
        words.add(semaphore - 4 * number)
        code, flags = elf.at(nop, 24)
        memory, memory_flags = elf.at(semaphore, 4)
        if not code or not flags & 1:
            bad.append(f"{probe}: {nop:#x} is not in an executable segment")
        elif elf.machine == 62 and code[:13] != bytes.fromhex("90662e0f1f840000000000c390"):
            bad.append(f"{probe}: bytes {code[:14].hex()}")
        elif struct.pack("<Q", digest) not in code[12:32]:
            bad.append(f"{probe}: no unique bytes behind the stub")
        if code and elf.machine == 62 and (code[carry] != 0x90 or code[carry - 1] != 0xc3):
            bad.append(f"{probe}: no never-executed no-op at {carry}")
        if nop % 16:
            bad.append(f"{probe}: stub not aligned")
        if memory != b"\0\0\0\0" or not memory_flags & 2:
            bad.append(f"{probe}: semaphore {semaphore:#x} is not a writable zero")
        if elf.machine == 62 and operands != "8@%rdi 8@%rsi 8@%rdx 8@%rcx 8@%r8 8@%r9":
            bad.append(f"{probe}: operands {operands}")
    if sorted(seen) != sorted(sites):
        bad.append(f"outspan notes {sorted(seen)}, stapsdt notes {sorted(sites)}")
    if len(set(seen.values())) != len(seen):
        bad.append(f"numbers {seen}")
    if len(words) != 1 or min(words) % 4096:
        bad.append(f"wanted words begin at {[hex(w) for w in words]}: not one page")
    return bad


if __name__ == "__main__":
    copies = sys.argv[1] == "--copies"
    path, who, names = sys.argv[1 + copies:]
    found = check(Elf(path), who, names.split(","), copies)
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
