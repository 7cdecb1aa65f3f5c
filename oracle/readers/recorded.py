"""What several kinds of dump have in common: modules, and memory by virtual address."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

from ..decode import Record
from ..memory.source import ByteSource
from .lookup import Extent, Lookup, kept_lookup


class RecordedModule:
    """A module of the target, as its record describes it."""

    __slots__ = ()
    BASE: ClassVar[str] = "BaseOfImage"
    """The field of the record that holds the base address."""
    record: Record

    @property
    def base(self) -> int:
        return self.record[self.BASE]

    @property
    def size(self) -> int:
        return self.record["SizeOfImage"]

    @property
    def end(self) -> int:
        return self.base + self.size


class CapturedMemory:
    """Reads the target's memory from a dump that holds memory by virtual address."""

    source: ByteSource
    memory: Sequence[Extent]

    @cached_property
    def _ranges(self) -> Lookup:
        """Built from ``memory`` on first use, so use it only after the reader has filled ``memory``."""
        return kept_lookup(self.source, self.memory)

    def read_memory(self, address: int, size: int) -> bytes | None:
        """``size`` bytes of the target as captured; None unless the dump holds all of them."""
        return self._ranges.read(self.source, address, size)

    def covered(self, start: int, end: int) -> bool:
        """Whether the dump holds every byte of ``[start, end)`` of the target."""
        return self._ranges.covered(start, end)

    def captured(self) -> list[tuple[int, int]]:
        """The captured memory: sorted ``[start, end)`` that neither overlap nor touch."""
        return self._ranges.union

    def pages_held(self) -> int:
        """How many pages the dump holds bytes of. Each page counts once."""
        return self._ranges.pages()

    def pieces(self) -> list[tuple[int, int, int]]:
        """The captured memory as sorted, disjoint ``(start, end, file offset)``."""
        return self._ranges.pieces
