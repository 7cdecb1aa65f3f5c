"""Finds that all pointers of one kind in a minidump are off by one number of bytes.

A pointer of a kind leads to bytes that can be told from others: a string, a CodeView record, a context. One distance
at which such bytes stand for every pointer of the kind is a shift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..case import Case
from ..decode import Record
from ..memory.source import ByteSource
from ..model import Shift, Span
from ..readers.architectures import layout_of
from ..readers.facts import Dump
from .proposal import REACH, Proposal, amount_text, by_amount, field_edit, listed, without_overlap

_LOOKED_AT: Final = 16
"""Pointers of a kind that must agree on a distance."""
_CANDIDATES: Final = 3
"""Distances of one kind that are proposed."""
_LONGEST_NAME: Final = 0x1000
"""Bytes. Longer names are not recognised."""

_Fits = Callable[[memoryview], bool]
"""Whether the bytes begin with what a pointer of a kind leads to."""


@dataclass(frozen=True, slots=True)
class _Kind:
    label: str
    fields: tuple[tuple[Span, int], ...]
    """Each pointer: the bytes that hold it, and its value."""
    fits: _Fits
    size: int
    """Bytes that ``fits`` needs."""


def shifted_pointers(case: Case) -> Iterator[Proposal]:
    """Kinds of pointers that are off: first all that share a distance, then each alone."""
    kinds = [*_kinds(case.dump), _stacks(case.dump)]
    yield from by_amount(((kind, _common(case.dump, kind)) for kind in kinds), _proposal)


def _proposal(kinds: Sequence[_Kind], amount: int) -> Proposal:
    fields = [field for kind in kinds for field in kind.fields]
    span, value = fields[0]
    return Proposal(
        f"the RVAs of all {listed(kind.label for kind in kinds)}",
        f"{value + amount:#x} as the first of {len(fields)}",
        f"{value:#x}: all are {amount_text(amount)} too {'low' if amount > 0 else 'high'}",
        Shift(-amount),
        (span,),
        without_overlap(field_edit(span, value + amount) for span, value in fields),
    )


def _kinds(dump: Dump) -> Iterator[_Kind]:
    modules = [module.record for module in dump.modules]
    infos = [thread.record for thread in dump.thread_names]
    unloaded = [module.record for module in dump.unloaded_modules]
    handles = [handle.record for handle in dump.handles]
    for label, records, name in (
        ("module names", modules, "ModuleNameRva"),
        ("thread names", infos, "RvaOfThreadName"),
        ("names of unloaded modules", unloaded, "ModuleNameRva"),
        ("handle type names", handles, "TypeNameRva"),
        ("handle object names", handles, "ObjectNameRva"),
    ):
        yield _Kind(label, _pointers(records, name), _is_string, _LONGEST_NAME + 6)
    yield _Kind("CodeView records", _pointers(modules, "CvRecord.Rva"), _is_code_view, 4)
    exceptions = [] if dump.exception is None else [dump.exception.record]
    threads = [thread.record for thread in dump.threads]
    for label, records in (("contexts of threads", threads), ("contexts of exceptions", exceptions)):
        if dump.architecture is not None and records:
            layout = layout_of(dump.architecture, records[0]["ThreadContext.DataSize"])
            yield _Kind(label, _pointers(records, "ThreadContext.Rva"), _context(layout.structure), 0x60)


def _pointers(records: Sequence[Record], name: str) -> tuple[tuple[Span, int], ...]:
    return tuple((record.span_of(name), record[name]) for record in records if record[name])


def _common(dump: Dump, kind: _Kind) -> list[int]:
    """The distances at which every pointer of the kind leads to the right bytes, the shortest first."""
    looked = list(dict.fromkeys(value for _, value in kind.fields))[:_LOOKED_AT]
    if not looked or kind.label == _STACKS:
        return _stack_distances(dump) if looked else []
    source = dump.source
    if 2 * sum(_leads(source, value, kind) for value in looked) >= len(looked):
        return []
    first = looked[0]
    low = max(first - REACH, 0)
    near = memoryview(source.read(low, first + REACH + kind.size - low))
    found = [low + at - first for at in range(len(near)) if kind.fits(near[at : at + kind.size])]
    for value in looked[1:]:
        found = [amount for amount in found if _leads(source, value + amount, kind)]
    found = [amount for amount in found if amount]
    return sorted(found, key=abs)[:_CANDIDATES] if len(looked) > 1 or len(found) <= _CANDIDATES else found[:0]


def _leads(source: ByteSource, at: int, kind: _Kind) -> bool:
    return kind.fits(source.view(at, kind.size))


def _is_string(data: memoryview) -> bool:
    """Whether a MINIDUMP_STRING of printable text begins here: length, UTF-16, NUL."""
    if len(data) < 8 or data[3] or data[2] or data[0] & 1:
        return False
    size = data[0] | data[1] << 8
    if not 2 <= size <= _LONGEST_NAME or len(data) < 4 + size + 2 or data[4 + size] or data[5 + size]:
        return False
    units = data[4 : 4 + size].cast("B")
    return not any(units[at] < 0x20 and not units[at + 1] for at in range(0, size, 2))


def _is_code_view(data: memoryview) -> bool:
    return bytes(data) in (b"RSDS", b"NB10", b"LEpB")


def _context(name: str) -> _Fits:
    """Whether a context begins here: the bits of the architecture, and flags that the headers define."""
    at, marked, small = {
        # The high half of EFlags and of MxCsr is 0.
        "CONTEXT_AMD64": (0x30, 0x0010, (0x36, 0x37, 0x46, 0x47)),
        "CONTEXT_X86": (0, 0x0001, ()),
        "CONTEXT_ARM64": (0, 0x0040, ()),
        "CONTEXT_ARM": (0, 0x0020, ()),
    }.get(name, (0, -1, ()))

    def fits(data: memoryview) -> bool:
        if len(data) < 0x60 or data[at + 2] | data[at + 3] << 8 != marked or not data[at] or data[at + 1]:
            return False
        return not any(data[index] for index in small)

    return fits


_STACKS: Final = "stacks"


def _stacks(dump: Dump) -> _Kind:
    fields = tuple(
        (thread.record.span_of("Stack.Memory.Rva"), thread.stack_rva) for thread in dump.threads if thread.stack_size
    )
    return _Kind(_STACKS, fields, lambda _: False, 0)


def _stack_distances(dump: Dump) -> list[int]:
    """The distance between what the threads say of their stacks and what the memory ranges say of the same bytes."""
    places = {item.start: item.offset for item in dump.memory}
    found = {
        places[thread.stack_start] - thread.stack_rva
        for thread in dump.threads
        if thread.stack_size and thread.stack_start in places
    }
    return list(found) if len(found) == 1 and 0 not in found else []
