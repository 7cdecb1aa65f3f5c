"""A reader of minidumps that imports nothing of this project. ``reader_with_faults.py FAULT`` has one fault.

The faults are those of public reports; ``test_public_reports.py`` lists them. With the fault ``none`` it has none.
"""

from __future__ import annotations

import json
import struct
import sys
import uuid
from pathlib import Path
from typing import Any

FAULT = sys.argv[1]
THREADS, MODULES, EXCEPTION, SYSTEM, COMMENT, HANDLES, UNLOADED, REGIONS, NAMES = 3, 4, 6, 7, 11, 12, 14, 16, 24
ARCHITECTURES = {0: "x86", 5: "arm", 9: "amd64", 12: "arm64"}
PLACES = {"x86": (0xB8, 0xC4), "arm": (0x40, 0x38), "amd64": (0xF8, 0x98), "arm64": (0x108, 0x100)}
"""Where CONTEXT holds the instruction pointer and the stack pointer."""
AMD64 = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)), "rip",
)  # fmt: skip
X86 = ("edi", "esi", "ebx", "edx", "ecx", "eax", "ebp", "eip")
GENERAL = {
    "amd64": dict(zip(AMD64, range(0x78, 0x100, 8), strict=True)),
    "x86": dict(zip(X86, range(0x9C, 0xBC, 4), strict=True)),
}
"""Where CONTEXT holds these registers."""
CONTEXT_SIZE = 0x4D0


class Dump:
    """The bytes of a minidump, and where its streams are."""

    def __init__(self, path: str) -> None:
        self.data = Path(path).read_bytes()
        count, at = struct.unpack_from("<II", self.data, 8)
        entries = struct.iter_unpack("<III", self.data[at : at + 12 * count])
        self.streams = {kind: (rva, size) for kind, size, rva in entries if kind}
        (number,) = self.get("<H", self.streams[SYSTEM][0])
        self.architecture = ARCHITECTURES[number]
        if FAULT == "arm64-refused" and self.architecture == "arm64":
            raise ValueError(f"{number} is no processor")

    def get(self, form: str, at: int) -> tuple[Any, ...]:
        return struct.unpack_from(form, self.data, at)

    def text(self, at: int) -> str:
        (size,) = self.get("<I", at)
        size = min(size, 2 * 260) if FAULT == "names-of-260-characters" else size
        return self.data[at + 4 : at + 4 + size].decode("utf-16-le", "replace")

    def rows(self, kind: int, form: str, size: int) -> list[tuple[Any, ...]]:
        """The entries of a list that has a count of 32 bits and nothing else before them."""
        if kind not in self.streams:
            return []
        at = self.streams[kind][0]
        return [self.get(form, at + 4 + size * index) for index in range(self.get("<I", at)[0])]

    def growing(self, kind: int, form: str, wide: bool = False) -> list[tuple[Any, ...]] | None:
        """The entries of a list that says how long its header and its entries are."""
        if kind not in self.streams:
            return []
        at = self.streams[kind][0]
        header, entry, count = self.get("<IIQ" if wide else "<III", at)
        due = (16 if wide or kind == HANDLES else 12, {HANDLES: 40, UNLOADED: 24, REGIONS: 48}[kind])
        if (header, entry) != due and FAULT == "larger-lists-empty":
            return []
        if (header, entry) != due and FAULT == "larger-lists-left-out":
            return None
        if FAULT == "larger-lists-by-fixed-sizes":
            header, entry = due
        return [self.get(form, at + header + entry * index) for index in range(count)]


def general(dump: Dump, at: int) -> dict[str, int]:
    form = "<Q" if dump.architecture == "amd64" else "<I"
    shift = 8 if FAULT == "registers-8-bytes-off" else 0
    return {name: dump.get(form, at + offset + shift)[0] for name, offset in GENERAL[dump.architecture].items()}


def vector(dump: Dump, at: int, size: int) -> dict[str, int]:
    """The registers Ymm0 to Ymm15, if the context has extended state."""
    if size < CONTEXT_SIZE + 24:
        return {}
    state = at + CONTEXT_SIZE + dump.get("<iIiIiI", at + CONTEXT_SIZE)[4]
    if FAULT == "extended-state-at-a-fixed-place":
        state = at + CONTEXT_SIZE + 24 + 24
    upper = dump.get("<32Q", state + 64) if dump.get("<Q", state)[0] & 4 else (0,) * 32
    lower = dump.get("<32Q", at + 0x1A0)
    return {
        f"Ymm{index}": lower[2 * index] | lower[2 * index + 1] << 64
        | upper[2 * index] << 128 | upper[2 * index + 1] << 192
        for index in range(16)
    }  # fmt: skip


def threads(dump: Dump) -> list[dict[str, Any]]:
    if FAULT == "thread-list-needed" and THREADS not in dump.streams:
        raise ValueError("no thread list")
    form, size = ("<II", 8) if FAULT == "thread-names-by-32-bit-rva" else ("<IQ", 12)
    names = dict(dump.rows(NAMES, form, size))
    found = []
    for row in dump.rows(THREADS, "<IIIIQQIIII", 48):
        size, at = row[8:] if FAULT != "descriptor-swapped" else row[:7:-1]
        form = "<Q" if dump.architecture in ("amd64", "arm64") else "<I"
        pointers = [dump.get(form, at + place)[0] for place in PLACES[dump.architecture]]
        found.append({
            "thread_id": row[0], "teb": row[4], "instruction_pointer": pointers[0], "stack_pointer": pointers[1],
            "name": dump.text(names[row[0]]) if row[0] in names else "",
        })  # fmt: skip
    return found


def registers(dump: Dump) -> list[dict[str, Any]]:
    return [
        {
            "thread_id": row[0],
            "general": general(dump, row[9]),
            **({"vector": vector(dump, *row[:7:-1])} if dump.architecture == "amd64" else {}),
        }
        for row in dump.rows(THREADS, "<IIIIQQIIII", 48)
    ]


def exception(dump: Dump) -> dict[str, Any]:
    """The facts of the exception and of its context."""
    if EXCEPTION not in dump.streams:
        return {"exception": None}
    at = dump.streams[EXCEPTION][0]
    thread, _, code, flags, _, address, count, _ = dump.get("<IIIIQQII", at)
    parameters = list(dump.get(f"<{count}Q", at + 40))
    if FAULT == "two-parameters":
        parameters = parameters[:2]
    if dump.architecture in ("x86", "arm"):
        address &= 0xFFFFFFFF
        if FAULT != "sign-extended-parameters":
            parameters = [value & 0xFFFFFFFF for value in parameters]
    place = at + (40 + 8 * count if FAULT == "context-behind-the-parameters" else 160)
    found: dict[str, Any] = {
        "exception": {"thread_id": thread, "code": code, "flags": flags, "address": address, "parameters": parameters}
    }
    if dump.architecture in GENERAL:
        found["exception_context"] = {"general": general(dump, dump.get("<II", place)[1])}
    return found


def modules(dump: Dump) -> list[dict[str, Any]]:
    found = []
    for row in dump.rows(MODULES, "<QIIII52xII", 108):
        base, size, checksum, stamp, name, length, at = row
        module = {"base": base, "size": size, "checksum": checksum, "time_stamp": stamp, "name": dump.text(name)}
        record = dump.data[at : at + length]
        if record[:4] == b"RSDS":
            if FAULT == "empty-pdb-name-refused" and length <= 25:
                raise ValueError(f"a CodeView record of {length} bytes")
            guid = record[4:20]
            module["pdb_guid"] = str(uuid.UUID(bytes=guid) if FAULT == "guid-swapped" else uuid.UUID(bytes_le=guid))
            module["pdb_age"] = int.from_bytes(record[20:24], "little")
        found.append(module)
    if FAULT == "modules-by-name":
        return list({module["name"].rpartition("\\")[2].lower(): module for module in found}.values())
    return found[:64] if FAULT == "at-most-64-modules" else found


def facts(dump: Dump) -> dict[str, Any]:
    found = {"architecture": dump.architecture, "threads": threads(dump), "modules": modules(dump), **exception(dump)}
    if dump.architecture in GENERAL:
        found["registers"] = registers(dump)
    if COMMENT in dump.streams:
        at, size = dump.streams[COMMENT]
        text = dump.data[at : at + (min(size, 32) if FAULT == "comment-of-32-bytes" else size)]
        found["comment"] = text.decode("utf-16-le", "replace").partition("\0")[0]
    if (rows := dump.growing(HANDLES, "<QIIIIII")) is not None:
        found["handles"] = [{"handle": row[0], "granted_access": row[4]} for row in rows]
    if (rows := dump.growing(UNLOADED, "<QIIII")) is not None:
        found["unloaded_modules"] = [{"base": row[0], "size": row[1], "name": dump.text(row[4])} for row in rows]
    if (rows := dump.growing(REGIONS, "<QQIIQIII", wide=True)) is not None:
        members = ("base", "size", "state", "protect")
        found["regions"] = [dict(zip(members, (row[0], *row[4:7]), strict=True)) for row in rows]
    return found


for line in sys.stdin:
    asked = json.loads(line)
    answer: dict[str, Any] = {"case": asked["case"]}
    try:
        answer |= {"result": "read", "facts": facts(Dump(asked["file"]))}
    except (ValueError, LookupError, struct.error) as error:
        answer |= {"result": "rejected", "reason": str(error)}
    print(json.dumps(answer), flush=True)
