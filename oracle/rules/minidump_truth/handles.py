"""Judges HandleData against truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ...case import Case
from ...decode import Record, decode
from ...model import Grade, Level, Source, Span
from ...readers.facts import HandleFact
from ...rule import Checks, bad, ok, own, rule
from ..asserts import ByKey, of_a_dump, same, same_keys, same_text, stream_span, zero

if TYPE_CHECKING:
    from ...truth.process import HandleTruth

# InfoType -> type of the object and size of the information; 0: not known
# (docs/format/minidump-handles.md#object-information).
_INFORMATION = {
    1: ("thread", 48),
    2: ("mutant", 8),
    3: ("mutant", 16),
    4: ("process", 0),
    5: ("process", 0),
    6: ("event", 8),
    7: ("section", 24),
    8: ("semaphore", 8),
}
_HANDLE_DATA = Source("docs/format/minidump-handles.md#handle-data", Grade.DOCUMENTED)


def _listed(case: Case, held: set[int]) -> Mapping[int, Record]:
    """The entries by handle value, without those of unused values: Windows lists some, with every other field zero."""
    handles = case.dump.handles
    if not handles:
        return {}
    table = handles[0].descriptors
    fields = handles[0].record.structure.integers
    rows = table.rows(*(name for name in fields if name != "Handle"))
    keys = (
        (fact.value, fact.position) for fact, row in zip(handles, rows, strict=True) if fact.value in held or any(row)
    )
    return ByKey(table, keys)


def _known(case: Case) -> Iterator[tuple[HandleFact, HandleTruth, str]]:
    assert case.truth is not None
    handles = {handle.value: handle for handle in case.truth.handles}
    for fact in case.dump.handles:
        handle = handles.pop(fact.value, None)
        if handle is not None:
            yield fact, handle, f"handle {handle.value:#x}"


@rule(
    "TRUE-HANDLE-001",
    "HandleData lists the target's open handles",
    Level.MUST,
    _HANDLE_DATA,
    needs=("handles",),
    applies=own,
)
def handle_values(case: Case) -> Checks:
    """The list has every open handle and no closed one. It may also have entries of unused values, in which every other
    field is zero.
    """
    assert case.truth is not None
    held = {handle.value for handle in case.truth.handles}
    yield from same_keys("handle", _listed(case, held), held, stream_span(case, 12))


@rule(
    "TRUE-HANDLE-002",
    "Each handle has its attributes, access and counts",
    Level.MUST,
    _HANDLE_DATA,
    needs=("handles",),
    applies=own,
)
def handle_fields(case: Case) -> Checks:
    """The values are those of the object manager. The reserved fields of descriptors and list are zero."""
    head = case.dump.headers.get(12)
    if head is not None:
        yield from zero(head, "HandleData", ("Reserved",), "reserved")
    for fact, handle, subject in _known(case):
        expected = {
            "Attributes": handle.attributes,
            "GrantedAccess": handle.granted_access,
            "HandleCount": handle.handle_count,
            "PointerCount": handle.pointer_count,
        }
        yield from same(fact.record, subject, expected)
        if "Reserved0" in fact.record.structure.fields:
            yield from zero(fact.record, subject, ("Reserved0",), "reserved")


@rule(
    "TRUE-HANDLE-003",
    "Each handle has the type and name of its object",
    Level.MUST,
    _HANDLE_DATA,
    Source("docs/format/minidump-handles.md#names-of-handles", Grade.DOCUMENTED),
    needs=("handles", "handles.names"),
    applies=own,
)
def handle_names(case: Case) -> Checks:
    """An object without a name has name RVA 0. An empty string would mean a name without characters. The engines lose
    the names of the objects, and keep the types, if their target is a dump.
    """
    for fact, handle, subject in _known(case):
        yield from same_text(fact.type_name, f"type of {subject}", handle.type_name, fact.record.span_of("TypeNameRva"))
        if of_a_dump(case) and fact.object_name is None:
            continue
        yield from same_text(
            fact.object_name, f"name of {subject}", handle.object_name, fact.record.span_of("ObjectNameRva")
        )


@rule(
    "TRUE-HANDLE-004",
    "Object information fits the type of its handle",
    Level.MUST,
    Source("docs/format/minidump-handles.md#object-information", Grade.OBSERVED),
    needs=("handles",),
    applies=own,
)
def handle_information(case: Case) -> Checks:
    """The layouts are private to each Windows version, and a truth holds no object information. But each kind belongs
    to one type of object and has one size.
    """
    assert case.truth is not None
    for fact, handle, subject in _known(case):
        if not fact.info_places:
            yield ok(f"object information of {subject}: none")
        for place in fact.info_places:
            what = f"object information of {subject}"
            info = decode(case.dump.source, place, "MINIDUMP_HANDLE_OBJECT_INFORMATION", what)
            size = info["SizeOfInfo"]
            types = _INFORMATION.get(info["InfoType"])
            if types is None:
                expected = tuple(str(kind) for kind in _INFORMATION)
                yield bad(f"{what}, InfoType", expected, str(info["InfoType"]), info.span_of("InfoType"))
            elif (handle.type_name or "").casefold() != types[0] or (types[1] and size != types[1]):
                expected_form = f"a handle of type {types[0]}" + (f", {types[1]} bytes" if types[1] else "")
                yield bad(what, expected_form, f"{handle.type_name}, {size} bytes", info.span)
            else:
                yield ok(what)
                layout = Span(info.span.end, info.span.end + size)
                case.dump.dont_care(layout, "object information: its layout is private to a version of Windows")
