"""Which words and registers FILTER_TRIAGE keeps because they lead to code or a stack, and the words that it adds.

Source: docs/format/minidump-filters.md#filter-triage-stack-words. The answers are True, False, or None if no
measurement tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from ..memory.intervals import RangeSet
from .cache import computed_once
from .flags import stack_of
from .indirect import stack_words
from .pieces import Piece
from .writers import Writer, Writing, writers_of

if TYPE_CHECKING:
    from ..truth.process import ProcessTruth, RequestTruth

FILTERED: Final = {
    "amd64": frozenset(("Rax", "Rcx", "Rdx", "Rbx", "Rbp", "Rsi", "Rdi", *(f"R{index}" for index in range(8, 16)))),
    "x86": frozenset(("Edi", "Esi", "Ebx", "Edx", "Ecx", "Eax")),
}
"""The registers that FILTER_TRIAGE fills, unless they survive. Those of other architectures stay
(docs/format/minidump-filters.md#filter-triage-contexts)."""


class _Pointers:
    """The addresses that lead to code or to a stack, by one reading of what a stack is.

    ``raw``: the reading of engine 15063. StackBase is a part of a stack. While the filter looks at a thread, the stacks
    of this and the earlier threads begin as they are captured, and those of later threads at SP, wherever that is.
    Otherwise a stack is what is captured of it.
    """

    def __init__(self, truth: ProcessTruth, raw: bool) -> None:
        self._truth = truth
        self._size = truth.system.pointer_size
        stacks = [stack_of(truth, thread) for thread in truth.threads]
        self._changing: list[tuple[int, int, int, bool]] = []
        """``(start, end, thread, since)``: ranges that count from this thread on (``since``), or only before it."""
        if raw:
            captured, stacks = stacks, []
            for index, ((start, base), thread) in enumerate(zip(captured, truth.threads, strict=True)):
                sp, end = thread.context.sp, base + 1
                stacks.append((max(start, sp), end))
                if start != sp:
                    self._changing.append((min(start, sp), min(max(start, sp), end), index, start < sp))
        modules = ((module.base, module.base + module.size) for module in truth.modules)
        tables = ((table.minimum_address, table.maximum_address) for table in truth.function_tables or ())
        self._code = RangeSet([*modules, *tables])
        self._stacks = RangeSet(stacks)
        self._sometimes = RangeSet((start, end) for start, end, _, _ in self._changing)

    def points(self, word: int, thread: int) -> bool:
        """Whether the word points into an image, a function table or a stack. ``thread`` is the index of its owner."""
        if word in self._code or word in self._stacks:
            return True
        return word in self._sometimes and any(
            start <= word < end and (index <= thread) is since for start, end, index, since in self._changing
        )

    def adds(self, word: int, thread: int) -> bool:
        """Whether the word points elsewhere, at a readable word that points there. That word is added."""
        held = None if self.points(word, thread) else self._held(word)
        return held is not None and self.points(held, thread)

    def keeps(self, value: int, thread: int) -> bool:
        """Whether a register survives."""
        return not value or self.points(value, thread) or self.adds(value, thread)

    def keeps_word(self, word: int, thread: int) -> bool:
        """Whether a stack word survives, even if it points at no captured memory. Only then StackBase needs to hold an
        address of code.
        """
        return not word or word in self._code or self._at_code(word) or self.adds(word, thread)

    def _at_code(self, word: int) -> bool:
        held = self._held(word)
        return held is not None and held in self._code

    def _held(self, address: int) -> int | None:
        held = self._truth.read(address, self._size)
        return None if held is None else int.from_bytes(held, "little")


class Survival:
    """What some writers keep of one target."""

    def __init__(self, truth: ProcessTruth, writers: Iterable[Writer]) -> None:
        self._readings = [_pointers(truth, raw=True)]
        if not all(writer.raw_stacks for writer in writers):
            self._readings.append(_pointers(truth, raw=False))

    def keeps(self, value: int, thread: int) -> bool | None:
        """Whether a register of the thread with that index survives."""
        return _agreed(reading.keeps(value, thread) for reading in self._readings)

    def keeps_word(self, word: int, thread: int) -> bool | None:
        """Whether a word of its stack survives, even if it points at no captured memory."""
        return _agreed(reading.keeps_word(word, thread) for reading in self._readings)

    def adds(self, word: int, thread: int) -> bool | None:
        """Whether the word to which it points is added, because that leads to code or a stack."""
        return _agreed(reading.adds(word, thread) for reading in self._readings)


def _agreed(answers: Iterable[bool]) -> bool | None:
    found = set(answers)
    return found.pop() if len(found) == 1 else None


def _pointers(truth: ProcessTruth, *, raw: bool) -> _Pointers:
    return computed_once(truth, ("triage pointers", raw), lambda: _Pointers(truth, raw))


def survival_of(truth: ProcessTruth, request: RequestTruth) -> Survival:
    """What the writers keep that the request's contract allows."""
    return Survival(truth, writers_of(request))


def leading_words(writing: Writing) -> Iterator[Piece]:
    """The words that keep a stack word or a register, because they point into an image or a stack."""
    return _leading_words(writing, True)


def leading_words_in_doubt(writing: Writing) -> Iterator[Piece]:
    """The words that may do so, by a writer that was not measured."""
    return _leading_words(writing, None)


def _leading_words(writing: Writing, due: bool | None) -> Iterator[Piece]:
    truth, size = writing.truth, writing.truth.system.pointer_size
    survival = Survival(truth, (writing.writer,))
    names = FILTERED.get(truth.system.architecture, frozenset())
    for index, (thread, found) in enumerate(zip(truth.threads, stack_words(truth), strict=True)):
        pointing = dict.fromkeys(found, "a stack word")
        in_doubt = set()
        for name in sorted(names & thread.context.registers.keys()):
            word = thread.context.registers[name]
            if word not in pointing:
                pointing[word] = name
                in_doubt |= set() if writing.writer.raw_stacks else {word}
        for word, what in pointing.items():
            adds = survival.adds(word, index)
            if (None if adds and word in in_doubt else adds) is due:
                yield Piece(
                    word, word + size, f"the word at {word:#x}, to which {what} of {thread.thread_id:#x} points"
                )
