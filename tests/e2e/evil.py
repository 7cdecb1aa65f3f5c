"""Targets, dumps and names with evil text in every string: it controls a terminal, hides, and forges a verdict."""

from __future__ import annotations

import dataclasses
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dumptruth.emu.constants import FormatFlag, Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.snapshot.process import CodeView
from dumptruth.emu.synthetic.kernel import synthetic_machine
from dumptruth.emu.synthetic.stream_process import stream_target
from dumptruth.emu.truth import store

FORGED = "x.dmp: CONFORMANT"
EVIL = f"\x1b[2J\x1b]0;t\x07\r\n{FORGED}\n\x85{FORGED}\u2028{FORGED}\u2029\u202e\u2066\x7f\x9b2J[red]\u200b\u3164\ud800"
NAME = f"evil\x1b[2J\n{FORGED}\n\x85{FORGED}\u2028\u202e\x9b2J[red]\u3164"
"""The name of a file. Windows allows fewer characters in it, and macOS only Unicode."""
if sys.platform == "win32":
    NAME = "evil\u0085\u2028\u202e\u009b2J[red]\u3164"
elif sys.platform == "linux":
    NAME += "\udcff"  # a byte that is no UTF-8

_KEPT = ("context", "special_registers", "architecture", "state", "mode", "sections")
"""Fields whose strings are the model's own words, not those of a target."""
_SHORT = {
    "standard_name": "\x1b[2J\n\u202e\u2028",
    "daylight_name": "\x1b[2J\n\u202e\u2028",
    "build_string": "\x1b[2J\n\u202e\u2028",
    "nt_build_lab": "\x1b[2J\n\x7f",
    "image_file_name": "\x1b[2J\n\x7f",
}
"""Fields that hold little text."""
_FLAGS = (
    FormatFlag.DEBUG_FORMAT_USER_SMALL_HANDLE_DATA
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_UNLOADED_MODULES
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_PROCESS_THREAD_DATA
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_THREAD_INFO
)


def evil(value: Any) -> Any:
    """``value`` with evil text at the end of every string of the target in it."""
    changed = value
    if isinstance(value, CodeView):
        changed = CodeView(value.record[:24] + EVIL.encode("utf-8", "replace") + b"\0")
    elif type(value) is str:
        changed = value + EVIL
    elif isinstance(value, tuple):
        changed = tuple(map(evil, value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.init and field.name not in _KEPT]
        made = {name: _SHORT.get(name) or evil(getattr(value, name)) for name in fields}
        changed = dataclasses.replace(value, **made)
    return changed


@dataclass(frozen=True)
class Evil:
    """Files below a folder whose name is evil too."""

    folder: Path
    truth: Path
    machine: Path
    """The truth of a machine."""
    dump: Path
    """A minidump of ``truth``."""
    other: Path
    """A minidump of the same process with other names."""
    kernel: Path
    legacy: Path
    cabinet: Path
    broken: Path
    """A minidump whose names are hostile, and whose records are wrong."""

    @property
    def dumps(self) -> tuple[Path, ...]:
        return self.dump, self.other, self.kernel, self.legacy, self.cabinet, self.broken


def make(parent: Path) -> Evil:
    """Write all files into a new folder of ``parent``."""
    folder = parent / NAME
    folder.mkdir()
    process, machine = evil(stream_target()), evil(synthetic_machine())
    dump, other, kernel, legacy, broken_one = (
        folder / f"{kind} {NAME}.dmp" for kind in ("dump", "other", "kernel", "legacy", "broken")
    )
    truths = (folder / f"truth {NAME}", folder / f"machine {NAME}")
    found = Evil(folder, *truths, dump, other, kernel, legacy, folder / f"cabinet {NAME}.cab", broken_one)
    client = DebugClient(process)
    request = client.request(Qualifier.DEBUG_DUMP_SMALL, _FLAGS, EVIL)
    store.save(process, found.truth, source=EVIL, request=request, file=EVIL)
    client.write(found.dump, request.qualifier, request.format_flags, EVIL)
    client.write(found.cabinet, request.qualifier, _FLAGS | FormatFlag.DEBUG_FORMAT_WRITE_CAB, EVIL)
    DebugClient(process, profile="legacy").write(found.legacy, "default")
    found.other.write_bytes(found.dump.read_bytes().replace(b"[\0r\0e\0d\0]\0", b"\n\0\x1b\0\x9b\0\x7f\0\n\0"))
    client = DebugClient(machine)
    store.save(machine, found.machine, source=EVIL, request=client.request(Qualifier.DEBUG_DUMP_SMALL, 0, None))
    client.write(found.kernel, "small", 0, EVIL)
    found.broken.write_bytes(broken())
    return found


def broken() -> bytes:
    """A minidump made by hand: modules whose names are evil, and a list of two threads that holds one."""
    streams: list[tuple[int, bytes]] = []
    head = 32 + 3 * 12
    name = EVIL.encode("utf-16-le", "surrogatepass")
    string = struct.pack("<I", len(name)) + name + b"\0\0"
    string += b"\0" * (-len(string) % 4)
    modules = struct.pack("<I", 2) + 2 * (
        struct.pack("<QIIII", 0x10000, 0x2000, 0, 0x5F000000, head) + bytes(52 + 16 + 16)
    )
    threads = struct.pack("<I", 2) + struct.pack("<IIIIQQIIII", 1, 0, 32, 0, 0x7000, 0x10000, 0, 0, 1232, 0)
    system = struct.pack("<HHHBBIIIIIHHI", 9, 6, 0x1234, 4, 1, 10, 0, 19041, 2, head, 0x100, 0, 0) + bytes(20)
    at, body = head + len(string), string
    for kind, data in ((7, system), (3, threads), (4, modules)):
        streams.append((kind, struct.pack("<III", kind, len(data), at)))
        body += data
        at += len(data)
    directory = b"".join(entry for _, entry in streams)
    return struct.pack("<IIIIIIQ", 0x504D444D, 0xA793, len(streams), 32, 0, 0x60000000, 0) + directory + body
