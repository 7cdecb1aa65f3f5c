"""Identifies a file by its first bytes: which kind of dump it is, or what else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ..decode import enumeration
from ..memory.source import ByteSource

MINIDUMP: Final = "minidump"
KERNEL_DUMP: Final = "kernel-dump"
USERDUMP: Final = "userdump"
CABINET: Final = "cab"

# Signature -> offset of DumpType, width of the target; and the names of its values. Sources:
# docs/format/kernel-header.md#fields-of-the-64-bit-header, docs/format/kernel-kinds.md#types-on-disk
_DUMP_TYPE: Final = {b"PAGEDUMP": (0xF88, 32), b"PAGEDU64": (0xF98, 64)}
_DUMP_TYPES: Final = {
    1: "full memory",
    2: "summary",
    3: "header only",
    4: "triage (small)",
    5: "bitmap full",
    6: "bitmap kernel",
    7: "automatic",
    8: "kernel memory",
    9: "kernel and user memory (active)",
    10: "complete memory",
}

_SIGNATURES: Final = (
    (b"PMDM", "minidump-big-endian", "a minidump of a big-endian writer"),
    (b"USERDUMP", USERDUMP, "a legacy full user-mode dump, 32-bit"),
    (b"USERDU64", USERDUMP, "a legacy full user-mode dump, 64-bit"),
    (b"MSCF", CABINET, "a cabinet; a dump may be inside"),
    (b"\x7fELF", "elf", "an ELF file (a Unix core dump, program or library)"),
    (b"Microsoft C/C++ MSF 7.00", "pdb", "a program database (PDB)"),
    (b"PK\x03\x04", "zip", "a ZIP archive; a dump may be inside"),
    (b"\x1f\x8b", "gzip", "gzip data; a dump may be inside"),
    (b"7z\xbc\xaf\x27\x1c", "7z", "a 7z archive; a dump may be inside"),
    (b"\xcf\xfa\xed\xfe", "mach-o", "a Mach-O file"),
)

_NOT_TEXT: Final = bytes(set(range(0x20)) - set(b"\t\n\f\r\x1b"))
"""Control bytes that a text file does not hold."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What ``identify`` found."""

    kind: str
    """A short word: ``minidump``, ``kernel-dump``, ``userdump``, ``cab``, ``text`` and others."""
    description: str
    """One line."""
    facts: dict[str, str] = field(default_factory=dict)
    """Values of its header, by name."""


def identify(source: ByteSource) -> Identity:
    """Identify ``source``. Never raises on content."""
    head = source.read(0, 4096)
    if not head:
        return Identity("empty", "an empty file")
    if head.startswith(b"MDMP"):
        return _minidump(source)
    if head[:8] in _DUMP_TYPE:
        return _kernel(source, head[:8])
    for signature, kind, description in _SIGNATURES:
        if head.startswith(signature):
            return Identity(kind, description)
    if head.startswith(b"MZ"):
        at = int.from_bytes(head[0x3C:0x40], "little")
        pe = source.read(at, 4) == b"PE\0\0"
        return Identity("pe" if pe else "mz", "a PE image (program or DLL)" if pe else "a DOS program")
    if _is_text(head):
        return Identity("text", "a text file")
    return Identity("unknown", f"an unknown file that begins with {head[:8].hex(' ')}")


def _minidump(source: ByteSource) -> Identity:
    facts = {"size": str(source.size)}
    if source.size >= 32:
        flags = int.from_bytes(source.read(24, 8), "little")
        known = enumeration("MINIDUMP_TYPE")
        names = [name for name, bit in known.members.items() if flags & bit]
        facts |= {
            "streams": str(int.from_bytes(source.read(8, 4), "little")),
            "time": f"{int.from_bytes(source.read(20, 4), 'little'):#x}",
            "flags": f"{flags:#x}" + (f" ({', '.join(names)})" if names else ""),
        }
    return Identity(MINIDUMP, "a user-mode minidump", facts)


def _kernel(source: ByteSource, signature: bytes) -> Identity:
    offset, bits = _DUMP_TYPE[signature]
    raw = source.read(offset, 4)
    number = int.from_bytes(raw, "little")
    name = _DUMP_TYPES.get(number, f"type {number:#x}") if len(raw) == 4 else "cut short"
    description = f"a kernel-mode dump of a {bits}-bit target: {name}"
    return Identity(KERNEL_DUMP, description, {"DumpType": str(number), "bits": str(bits)})


def _is_text(head: bytes) -> bool:
    """Whether ``head`` is UTF-8 without control bytes but white space. Its last character may be cut."""
    if len(head.translate(None, _NOT_TEXT)) < len(head):
        return False
    try:
        head[: len(head) - 3 if len(head) == 4096 else len(head)].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True
