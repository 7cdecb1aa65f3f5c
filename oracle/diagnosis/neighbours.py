"""Finds that the entries of a list hold what belongs to their neighbours: all are off by some entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..case import Case
from ..decode import Record
from ..model import Shift, Span
from ..readers.facts import Dump
from .proposal import Proposal, field_edit, without_overlap

if TYPE_CHECKING:
    from ..truth.process import ProcessTruth

_MOST: Final = 4096
"""Entries of the longest list that is looked at."""


@dataclass(frozen=True, slots=True)
class _Kind:
    label: str
    records: Sequence[Record]
    fields: tuple[str, ...]
    """What moved from one entry to another."""
    held: Sequence[Any]
    """What the dump has, by entry."""
    wanted: Sequence[Any]
    """What the target has, by entry."""


def exchanged_entries(case: Case) -> Iterator[Proposal]:
    """Names, CodeView records, contexts and stacks that stand some entries too early or too late in their list."""
    if case.truth is None:
        return
    for kind in _kinds(case.dump, case.truth):
        amount = _rotation(kind.held, kind.wanted)
        if amount:
            yield _proposal(kind, amount)


def _proposal(kind: _Kind, amount: int) -> Proposal:
    count = len(kind.records)
    edits = []
    for index, record in enumerate(kind.records):
        right = kind.records[(index + amount) % count]
        edits += [field_edit(record.span_of(name), right[name]) for name in kind.fields]
    first: Span = kind.records[0].span_of(kind.fields[0])
    shown = "entry" if abs(amount) == 1 else "entries"
    return Proposal(
        f"the {kind.label}",
        "those of the same entry",
        f"all {count} stand {abs(amount)} {shown} too {'late' if amount > 0 else 'early'} in the list",
        Shift(amount, "entry"),
        (first,),
        without_overlap(edits),
    )


def _kinds(dump: Dump, truth: ProcessTruth) -> Iterator[_Kind]:
    by_base = {module.base: module for module in truth.modules}
    modules = [item for item in dump.modules if item.base in by_base][:_MOST]
    held = [by_base[item.base] for item in modules]
    records = [item.record for item in modules]
    names = [None if item.name is None else item.name.raw for item in modules]
    wanted = [item.name.encode("utf-16-le", "surrogatepass") for item in held]
    yield _Kind("names of the modules", records, ("ModuleNameRva",), names, wanted)
    views = [None if item.code_view is None else _bytes(dump, item.code_view) for item in modules]
    fields = ("CvRecord.DataSize", "CvRecord.Rva")
    yield _Kind("CodeView records of the modules", records, fields, views, [item.code_view for item in held])
    by_id = {thread.thread_id: thread for thread in truth.threads}
    threads = [item for item in dump.threads if item.id in by_id][:_MOST]
    records = [item.record for item in threads]
    contexts = [None if item.context is None else (item.context.ip, item.context.sp) for item in threads]
    held_contexts = [(by_id[item.id].context.ip, by_id[item.id].context.sp) for item in threads]
    fields = ("ThreadContext.DataSize", "ThreadContext.Rva")
    yield _Kind("contexts of the threads", records, fields, contexts, held_contexts)


def _bytes(dump: Dump, span: Span) -> bytes:
    return dump.source.read(span.start, len(span))


def _rotation(held: Sequence[Any], wanted: Sequence[Any]) -> int:
    """How many entries too late all but one of ``held`` stand; 0 if they stand right, or by no one number."""
    count = len(held)
    if count < 2 or sum(one == other for one, other in zip(held, wanted, strict=True)) * 2 > count:
        return 0
    places = [
        (index - at) % count
        for at in (0, 1)
        for index, value in enumerate(wanted)
        if value is not None and value == held[at]
    ]
    for index in dict.fromkeys(places):
        right = sum(held[at] == wanted[(at + index) % count] for at in range(count))
        if index and right >= count - 1 and right > 1:
            return -index if index <= count // 2 else count - index
    return 0
