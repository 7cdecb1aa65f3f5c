"""Loaded and unloaded modules, their records, dynamic function tables."""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...decode import enumeration, structure
from ...model import Fault, Grade, Level, Source, Span
from ...readers.facts import ModuleFact
from ...rule import Checks, bad, ok, rule
from .threads import unpadded

_GRANULARITY: Final = 0x10000
"""Bytes: images are mapped at multiples of the allocation granularity (spec user-mode 3.6)."""
_MAX_CODE_VIEW: Final = 32768
"""Bytes: Breakpad refuses longer CodeView records (spec user-mode 5)."""
_ANDROID: Final = enumeration("PLATFORM_ID")["BREAKPAD_ANDROID"]
"""Modules overlap in sound dumps of Android, where a loader maps one over another's reserved room; Breakpad's reader
allows it there alone (google/breakpad src/processor/minidump.cc)."""


def _platform(case: Case) -> int | None:
    return None if case.dump.system_info is None else case.dump.system_info["PlatformId"]


def _image(module: ModuleFact) -> tuple[int, ...]:
    """What tells one mapped image from another."""
    return (module.base, module.size, module.record["TimeDateStamp"], module.record["CheckSum"])


@rule(
    "MDMP-MODULE-001",
    "The module list is as long as its count says",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_MODULE_LIST; spec user-mode 3.6, 4 V09", Grade.DOCUMENTED),
    needs=("stream.4",),
    reports=("list.size.4",),
)
def module_list_size(case: Case) -> Checks:
    """DataSize is 4 + 108 n. With another size readers drop the list, and no address has a symbol."""
    if not case.dump.defects_of("list.size.4"):
        yield from unpadded(case, case.dump.streams[4], len(case.dump.modules), "MINIDUMP_MODULE")


@rule(
    "MDMP-MODULE-002",
    "Modules do not overlap",
    Level.MUST,
    Source("google/breakpad src/processor/minidump.cc; rust-minidump; spec user-mode 4 V29", Grade.IMPLEMENTED),
    needs=("modules",),
    applies=lambda case: case.truth is not None or _platform(case) != _ANDROID,
)
def modules_disjoint(case: Case) -> Checks:
    """No address belongs to two images. rust-minidump drops one of two that overlap, Breakpad cuts one short. One image
    listed twice is another rule's.
    """
    last = None
    for module in sorted(case.dump.modules, key=lambda module: (module.base, module.end)):
        if last is not None and module.base < last.end and _image(module) != _image(last):
            expected = f"a base from {last.end:#x} on, where {last.record.path} ends"
            yield bad(module.record.path, expected, f"{module.base:#x}", module.record.span_of("BaseOfImage"))
        else:
            yield ok(module.record.path)
        if last is None or module.end > last.end:
            last = module


@rule(
    "MDMP-MODULE-003",
    "Every module has a size and lies inside the address space",
    Level.MUST,
    Source("google/breakpad src/processor/minidump.cc; rust-minidump; spec user-mode 4 V29", Grade.IMPLEMENTED),
    needs=("modules",),
)
def module_sizes(case: Case) -> Checks:
    """SizeOfImage is at least a page in any image that runs; base + size does not wrap."""
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
    Source("minidumpapiset.h MINIDUMP_MODULE, MINIDUMP_STRING; spec user-mode 3.3, 4 V29", Grade.DOCUMENTED),
    needs=("modules",),
    reports=("module.name",),
)
def module_names(case: Case) -> Checks:
    """A MINIDUMP_STRING of even length. LLVM, Breakpad and udmp-parser reject odd lengths and with them the list."""
    count = sum(module.name is not None for module in case.dump.modules)
    if count:
        yield ok("module names", count)


@rule(
    "MDMP-MODULE-005",
    "Module bases are multiples of 64 KiB",
    Level.SHOULD,
    Source("spec user-mode 3.6, 4 V30: 46 of 46 Windows files", Grade.OBSERVED),
    needs=("modules", "system_info"),
    applies=lambda case: case.dump.system_info is not None and case.dump.system_info["PlatformId"] == 2,
)
def module_bases(case: Case) -> Checks:
    """Windows maps images at its allocation granularity. Other systems do not, so this asks only Windows targets."""
    for module in case.dump.modules:
        if module.base % _GRANULARITY:
            span = module.record.span_of("BaseOfImage")
            yield bad(module.record.path, f"a multiple of {_GRANULARITY:#x}", f"{module.base:#x}", span)
        else:
            yield ok(module.record.path)


@rule(
    "MDMP-MODULE-006",
    "CodeView and debug records lie inside the file, or are absent",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_MODULE; spec user-mode 4 V31", Grade.DOCUMENTED),
    needs=("modules",),
    reports=("module.record",),
)
def module_records(case: Case) -> Checks:
    """A record elsewhere gives the debugger the wrong PDB, or none."""
    count = 2 * len(case.dump.modules) - case.dump.defects_of("module.record")
    if count:
        yield ok("module records", count)


def _code_view_fault(data: bytes, size: int) -> tuple[str, str] | None:
    """``(expected, actual)`` of what is wrong with a CodeView record."""
    if size > _MAX_CODE_VIEW:
        return f"at most {_MAX_CODE_VIEW} bytes", f"{size} bytes"
    signatures = enumeration("CV_SIGNATURE")
    kind = signatures.name_of(int.from_bytes(data[:4], "little"))
    layout = {"RSDS": "CV_INFO_PDB70", "NB10": "CV_INFO_PDB20"}.get(kind)
    if layout is None:
        known = kind in signatures.members
        return None if known else (f"one of {', '.join(signatures.members)}", data[:4].hex(" "))
    path, nul, rest = data[structure(layout).size :].partition(b"\0")
    if not nul:
        return f"{kind}: a path that ends in NUL", f"{size} bytes without one"
    if any(rest):
        return f"{kind}: a path with nothing but zeros behind it", f"{len(rest)} other bytes behind {len(path)}"
    return None


@rule(
    "MDMP-MODULE-007",
    "A CodeView record has a known signature and ends at its path's NUL",
    Level.MUST,
    Source("google/breakpad src/processor/minidump.cc; rust-minidump; spec user-mode 3.6, 4 V31", Grade.IMPLEMENTED),
    needs=("module.records",),
)
def code_view(case: Case) -> Checks:
    """RSDS: 24 bytes, the PDB's path, NUL. NB10: 16 bytes, the path, NUL. It names the symbols of the module; 1585
    of 1585 records in real Windows dumps end at their NUL. The C# compiler pads the path of a build that is not
    deterministic with zeros, to 260 bytes (dotnet/roslyn PeWriter.PadPdbPath).
    """
    for module in case.dump.modules:
        if module.code_view is None:
            continue
        size = len(module.code_view)
        data = case.dump.source.read(module.code_view.start, min(size, _MAX_CODE_VIEW))
        fault = _code_view_fault(data, size)
        if fault is None:
            yield ok(f"CodeView record of {module.record.path}")
        else:
            yield bad(f"CodeView record of {module.record.path}", *fault, module.code_view)


@rule(
    "MDMP-MODULE-008",
    "VersionInfo is a VS_FIXEDFILEINFO or all zero",
    Level.MUST,
    Source("verrsrc.h VS_FIXEDFILEINFO; spec user-mode 4 V32: 1624 of 1624 modules", Grade.OBSERVED),
    needs=("modules",),
    foreign_level=Level.SHOULD,
)
def version_info(case: Case) -> Checks:
    """Signature 0xFEEF04BD and structure version 0x10000, or 13 zeros when the image has no version resource."""
    names = [name for name in structure("MINIDUMP_MODULE").fields if name.startswith("VersionInfo.")]
    for module in case.dump.modules:
        record = module.record
        head = (record["VersionInfo.dwSignature"], record["VersionInfo.dwStrucVersion"])
        if head == (0xFEEF04BD, 0x10000) or not any(record[name] for name in names):
            yield ok(record.path)
        else:
            span = Span(record.span_of(names[0]).start, record.span_of(names[-1]).end)
            expected = ("0xfeef04bd, 0x10000", "13 zeros")
            yield bad(f"VersionInfo of {record.path}", expected, f"{head[0]:#x}, {head[1]:#x}", span)


@rule(
    "MDMP-MODULE-009",
    "No module is listed twice",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_MODULE_LIST; spec user-mode 4 V29: unique base", Grade.DOCUMENTED),
    needs=("modules",),
    foreign_level=Level.SHOULD,
)
def modules_once(case: Case) -> Checks:
    """Under WOW64 the program is in the lists of both loaders, the 64-bit one and the 32-bit one, and dbghelp 6.1 took
    it from either: two entries, alike in all but where their names lie.
    """
    seen: set[tuple[int, ...]] = set()
    for module in case.dump.modules:
        if _image(module) in seen:
            span = module.record.span_of("BaseOfImage")
            expected = "an image that no entry before it describes"
            yield bad(module.record.path, expected, f"{module.base:#x} again", span, fault=Fault.FORBIDDEN)
        else:
            yield ok(module.record.path)
        seen.add(_image(module))


@rule(
    "MDMP-MODULE-010",
    "A CodeView or debug record that is absent has no place either",
    Level.MUST,
    Source("spec user-mode 4 V31", Grade.OBSERVED),
    needs=("modules",),
    foreign_level=Level.SHOULD,
)
def absent_records(case: Case) -> Checks:
    """DataSize 0 goes with Rva 0. Nobody reads no bytes, and LLVM's yaml2obj gives every record a place."""
    for module in case.dump.modules:
        for member in ("CvRecord", "MiscRecord"):
            subject, rva = f"{member} of {module.record.path}", module.record[f"{member}.Rva"]
            if rva and not module.record[f"{member}.DataSize"]:
                yield bad(subject, "Rva 0 with DataSize 0", f"{rva:#x}", module.record.span_of(f"{member}.Rva"))
            else:
                yield ok(subject)


@rule(
    "MDMP-UNLOADED-001",
    "The list of unloaded modules is as long as its header says",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_UNLOADED_MODULE_LIST; spec user-mode 3.6, 4 V10", Grade.DOCUMENTED),
    needs=("stream.14",),
    reports=("list.header.14", "list.size.14"),
)
def unloaded_list_size(case: Case) -> Checks:
    """SizeOfHeader 12, SizeOfEntry 24, DataSize 12 + 24 n; rust-minidump and Breakpad refuse other sizes."""
    if "unloaded_modules" in case.dump.facts:
        yield ok("stream 14")


@rule(
    "MDMP-UNLOADED-002",
    "Every unloaded module's name is a string inside the file",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_UNLOADED_MODULE, MINIDUMP_STRING; spec user-mode 3.6", Grade.DOCUMENTED),
    needs=("unloaded_modules",),
    reports=("unloaded.name",),
)
def unloaded_names(case: Case) -> Checks:
    """A call into a module that is gone is understood by its name only."""
    count = sum(module.name is not None for module in case.dump.unloaded_modules)
    if count:
        yield ok("names", count)
