"""A possible cause of a dump's failures, and the edits that would undo it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ..memory.edited import Edit
from ..model import Shift, Span

REACH = 0x10000
"""Bytes. The farthest shift that is looked for."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Something that may be off as a whole."""

    subject: str
    """``the module names``, ``memory 0x7ff0 and all that follows in the file``."""
    expected: str
    actual: str
    shift: Shift
    spans: tuple[Span, ...]
    """The fields or bytes that are off; the first of them if there are many."""
    edits: tuple[Edit, ...]
    """What makes the dump right, if this is the cause."""


class Kind(Protocol):
    """Fields of one kind, which may all be off by one amount."""

    @property
    def label(self) -> str: ...
    @property
    def fields(self) -> tuple[tuple[Span, int], ...]:
        """The bytes that hold each field, and its value."""


AnyKind = TypeVar("AnyKind", bound=Kind)


def by_amount(
    kinds: Iterable[tuple[AnyKind, Iterable[int]]], propose: Callable[[Sequence[AnyKind], int], Proposal]
) -> Iterator[Proposal]:
    """For kinds with the amounts by which each may be off: first all that share an amount, then each alone."""
    found: dict[int, list[AnyKind]] = defaultdict(list)
    for kind, amounts in kinds:
        for amount in amounts:
            found[amount].append(kind)
    for amount, sharing in sorted(found.items(), key=lambda item: (-len(item[1]), abs(item[0]))):
        if sum(len(kind.fields) for kind in sharing) > 1:
            yield propose(sharing, amount)
    for amount, sharing in found.items():
        if len(sharing) > 1:
            yield from (propose([kind], amount) for kind in sharing if len(kind.fields) > 1)


def moved(at: int, amount: int) -> tuple[Edit, ...]:
    """The edits that put back what stands ``amount`` bytes too late from offset ``at`` on; too early if negative."""
    if amount > 0:
        return (Edit(at, at + amount, b""),)
    return (Edit(at, at, bytes(-amount)),)


def field_edit(span: Span, value: int) -> Edit:
    """The edit that stores ``value`` in a little-endian field."""
    width = len(span)
    return Edit(span.start, span.end, (value % (1 << 8 * width)).to_bytes(width, "little"))


def without_overlap(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """The edits in file order. Of two that touch the same bytes the first is kept: records may be named twice."""
    kept: list[Edit] = []
    for edit in sorted(set(edits)):
        if not kept or edit.start >= kept[-1].end:
            kept.append(edit)
    return tuple(kept)


def amount_text(amount: int, unit: str = "byte") -> str:
    """``8 bytes``, ``1 page``."""
    return f"{abs(amount)} {unit}{'' if abs(amount) == 1 else 's'}"


def listed(labels: Iterable[str]) -> str:
    """``modules, stacks and TEBs``."""
    *first, last = labels
    return f"{', '.join(first)} and {last}" if first else last
