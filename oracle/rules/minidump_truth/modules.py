"""Judges ModuleList and UnloadedModuleList against truth."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

from ...case import Case
from ...entitlement.flags import Format, effective
from ...model import Fault, Grade, Level, Source, Span
from ...readers.facts import ModuleFact, UnloadedModuleFact
from ...rule import Check, Checks, bad, ok, own, rule
from ..asserts import by_field, of_a_dump, one_of, same, same_bytes, same_keys, same_text, stream_span, zero

if TYPE_CHECKING:
    from ...truth.process import ModuleTruth

_MISC_HEAD, _EXE_NAME = 12, 1
"""winnt.h IMAGE_DEBUG_MISC: bytes in front of its data, and the only DataType, IMAGE_DEBUG_MISC_EXENAME."""
_MODULE = Source("docs/format/minidump-modules.md#module-entry", Grade.WITNESSED, versions=("15063", "29507"))
_UNLOADED = Source("docs/format/minidump-modules.md#unloaded-modules", Grade.WITNESSED, versions=("612", "29507"))


def _known(case: Case) -> Iterator[tuple[ModuleFact, ModuleTruth, str]]:
    """The entries at the base of a module of the target: entry, module, subject."""
    assert case.truth is not None
    modules = {module.base: module for module in case.truth.modules}
    for fact in case.dump.modules:
        module = modules.pop(fact.base, None)
        if module is not None:
            yield fact, module, f"module {fact.base:#x} ({base_name(module.name)})"


def base_name(path: str) -> str:
    """The last component of a Windows path."""
    return re.split(r"[\\/:]", path)[-1]


def _misc_record(case: Case, span: Span, subject: str) -> Check:
    """Check that the bytes are an IMAGE_DEBUG_MISC: DataType, Length, Unicode, three reserved bytes, text."""
    head = case.dump.source.read(span.start, _MISC_HEAD)
    kind, length = (int.from_bytes(head[at : at + 4], "little") for at in (0, 4))
    if len(head) == _MISC_HEAD and (kind, length) == (_EXE_NAME, len(span)):
        case.dump.dont_care(Span(span.start, span.end), "debug record: the truth has none of the image's own")
        return ok(f"debug record of {subject}")
    expected = f"DataType {_EXE_NAME}, Length {len(span)}"
    return bad(f"debug record of {subject}", expected, f"DataType {kind}, Length {length}", span)


def _filtered(case: Case) -> bool:
    """Whether paths are cut to base names: by FILTER_PATHS, or by FILTER_TRIAGE, which implies it."""
    if case.request is None:
        return False
    flags = effective(case.request)
    return bool(flags & Format.FILTER_PATHS) or (bool(flags & Format.FILTER_TRIAGE) and not flags & Format.FULL_MEMORY)


@rule(
    "TRUE-MODULE-001",
    "ModuleList lists the target's modules",
    Level.MUST,
    Source("docs/format/minidump-modules.md#module-list", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("modules",),
    applies=own,
)
def module_bases(case: Case) -> Checks:
    """Each loaded module has one entry, and no other entry exists. The base address identifies a module."""
    assert case.truth is not None
    found = by_field((fact.record for fact in case.dump.modules), "BaseOfImage")
    yield from same_keys("module", found, [module.base for module in case.truth.modules], stream_span(case, 4))


@rule(
    "TRUE-MODULE-002",
    "Each module has its size, checksum and time stamp",
    Level.MUST,
    _MODULE,
    needs=("modules",),
    applies=own,
)
def module_fields(case: Case) -> Checks:
    """A symbol server finds the image by size and time stamp."""
    for fact, module, subject in _known(case):
        expected = {"SizeOfImage": module.size, "CheckSum": module.checksum, "TimeDateStamp": module.time_date_stamp}
        yield from same(fact.record, subject, expected)


@rule(
    "TRUE-MODULE-003",
    "Each module has its name",
    Level.MUST,
    Source("docs/format/minidump-modules.md#module-names", Grade.DOCUMENTED),
    Source("docs/format/minidump-filters.md#filter-paths", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("modules", "module.names"),
    applies=own,
)
def module_names(case: Case) -> Checks:
    """The name is the full path. With FILTER_PATHS or FILTER_TRIAGE it is the base name: directories reveal who the
    user is.
    """
    for fact, module, subject in _known(case):
        name = base_name(module.name) if _filtered(case) else module.name
        yield from same_text(fact.name, f"name of {subject}", name, fact.record.span_of("ModuleNameRva"))


@rule(
    "TRUE-MODULE-004",
    "Each module has the version of its version resource",
    Level.MUST,
    Source("docs/format/minidump-modules.md#version-information", Grade.DOCUMENTED),
    needs=("modules",),
    applies=own,
)
def module_versions(case: Case) -> Checks:
    """The version has the 13 dwords of VS_FIXEDFILEINFO. They are zero for an image without version resource."""
    for fact, module, subject in _known(case):
        names = [name for name in fact.record.structure.fields if name.startswith("VersionInfo.")]
        yield from same(fact.record, subject, dict(zip(names, module.version_info or [0] * 13, strict=True)))


@rule(
    "TRUE-MODULE-005",
    "Each module has the CodeView record of its image",
    Level.MUST,
    Source("docs/format/minidump-modules.md#codeview-record", Grade.DOCUMENTED),
    needs=("modules", "module.records"),
    applies=own,
)
def module_code_view(case: Case) -> Checks:
    """The record is equal byte for byte, NUL included. Its GUID and age are the key to the PDB, and so to the symbols.
    Whether FILTER_PATHS cuts the directory from the PDB's path is unknown, so both forms pass. The engines lose the
    records if their target is a dump.
    """
    for fact, module, subject in _known(case):
        where = Span(fact.record.span_of("CvRecord.DataSize").start, fact.record.span_of("CvRecord.Rva").end)
        name = f"CodeView record of {subject}"
        if fact.code_view is None or module.code_view is None:
            if fact.code_view is None and (module.code_view is None or of_a_dump(case)):
                yield ok(name)
            elif fact.code_view is None:
                yield bad(name, "a record", "none", where, fault=Fault.MISSING)
            else:
                yield bad(name, "none: the image has none", "a record", fact.code_view, fault=Fault.FORBIDDEN)
            continue
        span = fact.code_view
        actual = case.dump.source.read(span.start, len(span))
        if _filtered(case) and actual == _without_directory(module.code_view):
            yield ok(name)
        else:
            yield from same_bytes(name, module.code_view, actual, span)


def _without_directory(record: bytes) -> bytes:
    """A CodeView record with the base name of its PDB. RSDS has 24 bytes in front of the path, NB10 16."""
    head = {b"RSDS": 24, b"NB10": 16}.get(record[:4], len(record))
    return record[:head] + re.split(rb"[\\/]", record[head:])[-1]


@rule(
    "TRUE-MODULE-006",
    "A debug record is an IMAGE_DEBUG_MISC, and the reserved fields have known values",
    Level.MUST,
    Source("docs/format/minidump-modules.md#misc-record", Grade.OBSERVED),
    Source("docs/format/minidump-modules.md#reserved-fields", Grade.OBSERVED),
    needs=("modules",),
    applies=own,
)
def module_reserved(case: Case) -> Checks:
    """A truth holds no IMAGE_DEBUG_MISC record, and few images have one. If the image has one, the writer copies it:
    its Length is the size of the record. Reserved0 is 0 or the image's DllCharacteristics, Reserved1 is zero.
    """
    for fact, module, subject in _known(case):
        if fact.misc is not None:
            yield _misc_record(case, fact.misc, subject)
        yield from one_of(fact.record, subject, "Reserved0", {0, module.dll_characteristics})
        yield from zero(fact.record, subject, ("Reserved1",), "reserved")


@rule(
    "TRUE-MODULE-007",
    "ModuleList is in load order",
    Level.SHOULD,
    Source("docs/format/minidump-modules.md#order-of-modules", Grade.OBSERVED),
    needs=("modules",),
    applies=own,
)
def module_order(case: Case) -> Checks:
    """The main image comes first: readers take the first module for the program."""
    assert case.truth is not None
    held = [module.base for module in case.truth.modules]
    found = [fact.base for fact in case.dump.modules]
    if sorted(held) != sorted(found):
        return
    for index, (expected, actual) in enumerate(zip(held, found, strict=True)):
        if expected != actual:
            span = case.dump.modules[index].record.span
            yield bad(f"module entry {index}", f"{expected:#x}", f"{actual:#x}", span)
            return
    yield ok("ModuleList", count=max(len(held), 1))


def _unloaded_row(fact: UnloadedModuleFact) -> tuple[int, ...]:
    record = fact.record
    return tuple(record[name] for name in ("BaseOfImage", "SizeOfImage", "CheckSum", "TimeDateStamp"))


@rule(
    "TRUE-UNLOADED-001",
    "UnloadedModuleList lists the modules that the target unloaded",
    Level.MUST,
    _UNLOADED,
    needs=("unloaded_modules",),
    applies=own,
)
def unloaded_modules(case: Case) -> Checks:
    """Each entry has base, size, checksum and time stamp. A base may occur twice, since addresses are reused. Only this
    list explains a call into an unloaded module.
    """
    assert case.truth is not None
    held: list[tuple[int, ...]] = [
        (item.base, item.size, item.checksum, item.time_date_stamp) for item in case.truth.unloaded_modules
    ]
    found = [_unloaded_row(fact) for fact in case.dump.unloaded_modules]
    spare = Counter(held)
    extra: list[int] = []
    for index, row in enumerate(found):
        if spare[row] > 0:
            spare[row] -= 1
            yield ok(f"unloaded module {row[0]:#x}")
        else:
            extra.append(index)
    for row, at in zip_longest(sorted(spare.elements()), extra):
        expected = "no entry" if row is None else " ".join(f"{value:#x}" for value in row)
        actual = "none" if at is None else " ".join(f"{value:#x}" for value in found[at])
        fault = Fault.MISSING if at is None else Fault.FORBIDDEN if row is None else Fault.WRONG
        span = stream_span(case, 14) if at is None else case.dump.unloaded_modules[at].record.span
        yield bad("unloaded module (base, size, checksum, time stamp)", expected, actual, span, fault=fault)


@rule(
    "TRUE-UNLOADED-002",
    "Each unloaded module has its name",
    Level.MUST,
    _UNLOADED,
    needs=("unloaded_modules", "unloaded_modules.names"),
    applies=own,
)
def unloaded_names(case: Case) -> Checks:
    """Windows keeps the base name. A debugger shows it for an address in an unloaded module."""
    assert case.truth is not None
    names: dict[tuple[int, ...], list[str]] = {}
    for item in case.truth.unloaded_modules:
        row = (item.base, item.size, item.checksum, item.time_date_stamp)
        names.setdefault(row, []).append(base_name(item.name) if _filtered(case) else item.name)
    for fact in case.dump.unloaded_modules:
        expected = names.get(_unloaded_row(fact), [])
        if not expected:
            continue
        text = "" if fact.name is None else fact.name.text
        name = expected.pop(expected.index(text) if text in expected else 0)
        subject = f"name of unloaded module {fact.record['BaseOfImage']:#x}"
        yield from same_text(fact.name, subject, name, fact.record.span_of("ModuleNameRva"))
