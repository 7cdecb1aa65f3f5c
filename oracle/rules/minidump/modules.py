"""Judges loaded and unloaded modules and their records (docs/format/minidump-modules.md)."""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...decode import enumeration, structure
from ...model import Fault, Grade, Level, Source, Span
from ...readers.facts import ModuleFact
from ...rule import Checks, bad, ok, rule
from .threads import unpadded

_GRANULARITY: Final = 0x10000
"""Bytes: Windows maps images at multiples of this (docs/format/minidump-modules.md#base-and-size)."""
_MAX_CODE_VIEW: Final = 32768
"""Bytes: Breakpad refuses longer CodeView records (docs/format/minidump-modules.md#codeview-record)."""
_VERSION: Final = [name for name in structure("MINIDUMP_MODULE").fields if name.startswith("VersionInfo.")]
_ANDROID: Final = enumeration("PLATFORM_ID")["BREAKPAD_ANDROID"]
"""Modules of sound Android dumps overlap (docs/format/minidump-modules.md#overlap-of-modules)."""


def _platform(case: Case) -> int | None:
    return None if case.dump.system_info is None else case.dump.system_info["PlatformId"]


def _image(module: ModuleFact) -> tuple[int, ...]:
    """The fields that identify a mapped image."""
    return (module.base, module.size, module.record["TimeDateStamp"], module.record["CheckSum"])


@rule(
    "MDMP-MODULE-001",
    "DataSize of the module list matches its count",
    Level.MUST,
    Source("docs/format/minidump-modules.md#size-of-the-module-list", Grade.WITNESSED, versions=("29507",)),
    needs=("stream.4",),
    reports=("list.size.4",),
)
def module_list_size(case: Case) -> Checks:
    """DataSize is 4 + 108 * NumberOfModules. Readers drop a list of another size, and then no address has a symbol."""
    if not case.dump.defects_of("list.size.4"):
        yield from unpadded(case, case.dump.streams[4], len(case.dump.modules), "MINIDUMP_MODULE")


@rule(
    "MDMP-MODULE-002",
    "Modules do not overlap",
    Level.MUST,
    Source("docs/format/minidump-modules.md#overlap-of-modules", Grade.IMPLEMENTED),
    needs=("modules",),
    applies=lambda case: case.truth is not None or _platform(case) != _ANDROID,
    foreign_level=Level.SHOULD,
)
def modules_disjoint(case: Case) -> Checks:
    """An address belongs to at most one image. rust-minidump drops one of two overlapping modules, Breakpad truncates
    one. MDMP-MODULE-009 judges an image that is listed twice. The rule skips dumps of Android.
    """
    last = None
    for module in sorted(case.dump.modules, key=lambda module: (module.base, module.end)):
        if last is not None and module.base < last.end and _image(module) != _image(last):
            expected = f"a base of {last.end:#x} or more, where {last.record.path} ends"
            yield bad(module.record.path, expected, f"{module.base:#x}", module.record.span_of("BaseOfImage"))
        else:
            yield ok(module.record.path)
        if last is None or module.end > last.end:
            last = module


@rule(
    "MDMP-MODULE-003",
    "Every module has a size and lies inside the address space",
    Level.MUST,
    Source("docs/format/minidump-modules.md#base-and-size", Grade.IMPLEMENTED),
    needs=("modules",),
    foreign_level=Level.SHOULD,
)
def module_sizes(case: Case) -> Checks:
    """An image that runs has at least one page. BaseOfImage + SizeOfImage does not wrap."""
    for module in case.dump.modules:
        if module.size and module.end < 1 << 64:
            yield ok(module.record.path)
        else:
            span = module.record.span_of("SizeOfImage")
            yield bad(module.record.path, "a size of 1 to 2**64 - base", f"{module.size:#x}", span)


@rule(
    "MDMP-MODULE-004",
    "Every module's name is a string inside the file",
    Level.MUST,
    Source("docs/format/minidump-modules.md#module-names", Grade.DOCUMENTED),
    Source("docs/format/minidump-container.md#strings", Grade.IMPLEMENTED),
    needs=("modules",),
    reports=("module.name",),
)
def module_names(case: Case) -> Checks:
    """The name is a MINIDUMP_STRING of even length. LLVM, Breakpad and udmp-parser reject odd lengths, and the list
    with them.
    """
    count = sum(module.name is not None for module in case.dump.modules)
    if count:
        yield ok("module names", count)


@rule(
    "MDMP-MODULE-005",
    "Module bases are multiples of 64 KiB",
    Level.SHOULD,
    Source("docs/format/minidump-modules.md#base-and-size", Grade.OBSERVED),
    needs=("modules", "system_info"),
    applies=lambda case: case.dump.system_info is not None and case.dump.system_info["PlatformId"] == 2,
)
def module_bases(case: Case) -> Checks:
    """Windows maps images at its allocation granularity. Other systems do not, so the rule applies to Windows targets
    only.
    """
    for module in case.dump.modules:
        if module.base % _GRANULARITY:
            span = module.record.span_of("BaseOfImage")
            yield bad(module.record.path, f"a multiple of {_GRANULARITY:#x}", f"{module.base:#x}", span)
        else:
            yield ok(module.record.path)


@rule(
    "MDMP-MODULE-006",
    "CodeView and debug records are absent or lie inside the file",
    Level.MUST,
    Source("docs/format/minidump-modules.md#place-of-a-debug-record", Grade.WITNESSED, versions=("29507",)),
    needs=("modules",),
    reports=("module.record",),
)
def module_records(case: Case) -> Checks:
    """With a record at a wrong place a debugger loads the wrong PDB, or none."""
    count = 2 * len(case.dump.modules) - case.dump.defects_of("module.record")
    if count:
        yield ok("module records", count)


def _code_view_fault(data: bytes, size: int) -> tuple[str, str] | None:
    """``(expected, actual)`` of a faulty CodeView record; None if it is sound."""
    if size > _MAX_CODE_VIEW:
        return f"at most {_MAX_CODE_VIEW} bytes", f"{size} bytes"
    signatures = enumeration("CV_SIGNATURE")
    kind = signatures.name_of(int.from_bytes(data[:4], "little"))
    layout = {"RSDS": "CV_INFO_PDB70", "NB10": "CV_INFO_PDB20"}.get(kind)
    if layout is not None and b"\0" not in data[structure(layout).size :]:
        return f"{kind}: a path that ends in NUL", f"{size} bytes without one"
    return None


@rule(
    "MDMP-MODULE-007",
    "A CodeView record of a known kind holds a whole path",
    Level.MUST,
    Source("docs/format/minidump-modules.md#codeview-record", Grade.IMPLEMENTED),
    needs=("module.records",),
    foreign_level=Level.SHOULD,
)
def code_view(case: Case) -> Checks:
    """RSDS has 24 bytes, the PDB's path and a NUL. NB10 has 16 bytes, the path and a NUL. The record identifies the
    symbols of the module. The writer copies the image's own bytes. So a record may be of a kind that no reader knows,
    and bytes may follow the NUL. XCUT-MODULE-001 compares the record with the image if the dump holds both.
    """
    for module in case.dump.modules:
        if module.code_view is None:
            continue
        size = len(module.code_view)
        data = case.dump.source.read(module.code_view.start, min(size, _MAX_CODE_VIEW))
        fault = _code_view_fault(data, size)
        if fault is None:
            yield ok("CodeView record")
        else:
            yield bad(f"CodeView record of {module.record.path}", *fault, module.code_view)


@rule(
    "MDMP-MODULE-008",
    "VersionInfo is a VS_FIXEDFILEINFO or all zero",
    Level.MUST,
    Source("docs/format/minidump-modules.md#version-information", Grade.OBSERVED),
    needs=("modules",),
    foreign_level=Level.SHOULD,
)
def version_info(case: Case) -> Checks:
    """The record has signature 0xFEEF04BD and structure version 0x10000. Without a version resource in the image all 13
    dwords are zero.
    """
    for module in case.dump.modules:
        record = module.record
        head = (record["VersionInfo.dwSignature"], record["VersionInfo.dwStrucVersion"])
        if head == (0xFEEF04BD, 0x10000) or not any(record[name] for name in _VERSION):
            yield ok(record.path)
        else:
            span = Span(record.span_of(_VERSION[0]).start, record.span_of(_VERSION[-1]).end)
            expected = ("0xfeef04bd, 0x10000", "13 zeros")
            yield bad(f"VersionInfo of {record.path}", expected, f"{head[0]:#x}, {head[1]:#x}", span)


@rule(
    "MDMP-MODULE-009",
    "No module is listed twice",
    Level.MUST,
    Source("docs/format/minidump-modules.md#base-and-size", Grade.OBSERVED),
    needs=("modules",),
    foreign_level=Level.SHOULD,
)
def modules_once(case: Case) -> Checks:
    """Under WOW64 the program is in the lists of both loaders, 64-bit and 32-bit. dbghelp 6.1 took it from each: the
    two entries differ only in the places of their names.
    """
    seen: set[tuple[int, ...]] = set()
    for module in case.dump.modules:
        if _image(module) in seen:
            span = module.record.span_of("BaseOfImage")
            expected = "an image that no earlier entry describes"
            yield bad(module.record.path, expected, f"{module.base:#x} again", span, fault=Fault.FORBIDDEN)
        else:
            yield ok(module.record.path)
        seen.add(_image(module))


@rule(
    "MDMP-MODULE-010",
    "An absent CodeView or debug record has size 0 and RVA 0",
    Level.MUST,
    Source("docs/format/minidump-modules.md#place-of-a-debug-record", Grade.OBSERVED),
    needs=("modules",),
    foreign_level=Level.SHOULD,
)
def absent_records(case: Case) -> Checks:
    """DataSize 0 goes with Rva 0. No reader uses the place of an empty record, and LLVM's yaml2obj gives every record
    one. A reader that takes Rva 0 for a place reads the header as a record.
    """
    for module in case.dump.modules:
        for member in ("CvRecord", "MiscRecord"):
            size, rva = module.record[f"{member}.DataSize"], module.record[f"{member}.Rva"]
            if bool(size) == bool(rva):
                yield ok(member)
            else:
                expected = "both of DataSize and Rva 0, or neither"
                span = module.record.span_of(f"{member}.Rva")
                yield bad(f"{member} of {module.record.path}", expected, f"DataSize {size}, Rva {rva:#x}", span)


@rule(
    "MDMP-UNLOADED-001",
    "DataSize of the unloaded module list matches its header",
    Level.MUST,
    Source("docs/format/minidump-modules.md#size-of-the-unloaded-module-list", Grade.DOCUMENTED),
    needs=("stream.14",),
    reports=("list.header.14", "list.size.14"),
)
def unloaded_list_size(case: Case) -> Checks:
    """DataSize is SizeOfHeader + SizeOfEntry * NumberOfEntries. SizeOfHeader is 12 and SizeOfEntry 24; a newer writer
    may store more, which rust-minidump and Breakpad refuse.
    """
    if "unloaded_modules" in case.dump.facts:
        yield ok("stream 14")


@rule(
    "MDMP-UNLOADED-002",
    "Every unloaded module's name is a string inside the file",
    Level.MUST,
    Source("docs/format/minidump-modules.md#unloaded-modules", Grade.DOCUMENTED),
    needs=("unloaded_modules",),
    reports=("unloaded.name",),
)
def unloaded_names(case: Case) -> Checks:
    """A debugger can explain a call into an unloaded module by its name only."""
    count = sum(module.name is not None for module in case.dump.unloaded_modules)
    if count:
        yield ok("names", count)
