"""The clauses that follow words of the stacks: windows of INDIRECT_MEMORY, and words that FILTER_TRIAGE adds."""

from __future__ import annotations

from collections.abc import Iterator

from ..memory.intervals import RangeSet
from ..truth.process import ProcessTruth
from .cache import computed_once
from .flags import stack_of
from .pieces import Piece
from .stacks import readable_window
from .writers import Writing

_BEFORE, _BEHIND = 256, 768
"""Bytes before and after such an address (docs/format/minidump-captured-memory.md#indirect-memory-window)."""


def words(data: memoryview | bytes, size: int) -> memoryview:
    """Consecutive words of ``size`` bytes, 4 or 8. Bytes behind the last whole word are left out."""
    return memoryview(bytes(data[: len(data) // size * size])).cast("Q" if size == 8 else "I")


def stack_words(truth: ProcessTruth) -> dict[bool, set[int]]:
    """The values of the aligned words in captured stacks: of those that begin at a word (True), and of the others."""
    return computed_once(truth, "stack words", lambda: _stack_words(truth))


def _stack_words(truth: ProcessTruth) -> dict[bool, set[int]]:
    size = truth.system.pointer_size
    found: dict[bool, set[int]] = {True: set(), False: set()}
    for thread in truth.threads:
        start, end = stack_of(truth, thread)
        for address, data in truth.readable(start, end):
            found[start % size == 0].update(words(data[-address % size :], size))
    return found


def windows(writing: Writing) -> Iterator[Piece]:
    """The windows of the stack words that point anywhere but into a listed image.

    The word itself may point at memory that cannot be read: the readable part of its window is taken all the same.
    """
    truth = writing.truth
    listed = RangeSet((module.base, module.base + module.size) for module in truth.modules)
    by_alignment = stack_words(truth)
    found = by_alignment[True] | (by_alignment[False] if writing.writer.unaligned_sp else set())
    for word in sorted(found):
        if word not in listed:
            window = Piece(max(word - _BEFORE, 0), word + _BEHIND, f"window of the stack word {word:#x}")
            yield from readable_window(writing, window)


class Survivors:
    """The words of a stack that FILTER_TRIAGE keeps: 0, addresses of images, of code of dynamic function tables, of
    captured stacks, and addresses of words that are such addresses
    (docs/format/minidump-filters.md#filter-triage-stack-words).
    """

    def __init__(self, truth: ProcessTruth) -> None:
        self._truth = truth
        self._size = truth.system.pointer_size
        self._kept = RangeSet(
            [
                *((module.base, module.base + module.size) for module in truth.modules),
                *((table.minimum_address, table.maximum_address) for table in truth.function_tables or ()),
                *(stack_of(truth, thread) for thread in truth.threads),
            ]
        )

    def __contains__(self, word: int) -> bool:
        return not word or word in self._kept or self.leads(word)

    def leads(self, word: int) -> bool:
        """Whether the word points at a readable word that is such an address."""
        held = None if word in self._kept else self._truth.read(word, self._size)
        return held is not None and int.from_bytes(held, "little") in self._kept


def survivors_of(truth: ProcessTruth) -> Survivors:
    """The survivors, computed once for each truth."""
    return computed_once(truth, "triage survivors", lambda: Survivors(truth))


def leading_words(writing: Writing) -> Iterator[Piece]:
    """The words that keep a stack word, because they point into an image or a captured stack."""
    survivors, size = survivors_of(writing.truth), writing.truth.system.pointer_size
    for word in sorted(set().union(*stack_words(writing.truth).values())):
        if survivors.leads(word):
            yield Piece(word, word + size, f"the word at {word:#x}, to which a stack word points")
