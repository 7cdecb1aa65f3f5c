"""The view of a process that the planners share: memory, captured stacks, images, flags, the engine's laws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..constants import MinidumpType
from ..request import Session
from ..snapshot.process import ProcessSnapshot
from .engines import Engine
from .ranges import Range, RangeSet
from .reading import Reading


class WantedRange(NamedTuple):
    """Readable memory [start, end) that belongs in the dump for ``reason``."""

    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class ProcessView:
    """A process and the parts of the request that its planners need."""

    snapshot: ProcessSnapshot
    reading: Reading
    flags: MinidumpType
    """The flags of the header, after cancelling."""
    engine: Engine
    session: Session
    stacks: tuple[Range, ...]
    """The wanted part of each thread's stack, in the order of the threads; (0, 0) for a stack that is lost."""
    images: RangeSet
    """The images of the loaded modules."""

    @property
    def pointer_size(self) -> int:
        """Bytes of a pointer in the process."""
        return self.snapshot.system.pointer_size

    @property
    def of_a_dump(self) -> bool:
        """Whether the debugger's target is itself a dump."""
        return self.session == Session.DUMP

    def readable(self, start: int, end: int, reason: str) -> Iterator[WantedRange]:
        """Yield the readable parts of [start, end)."""
        for low, high in self.reading.parts(start, end):
            yield WantedRange(low, high, reason)

    def head(self, start: int, end: int, reason: str) -> Iterator[WantedRange]:
        """Yield the part of [start, end) before the first byte that cannot be read."""
        for low, high in self.reading.parts(start, end)[:1]:
            if low == start:
                yield WantedRange(low, high, reason)

    def window(self, start: int, end: int, reason: str) -> Iterator[WantedRange]:
        """Yield the window [start, end), clipped to what can be read.

        Of a dump target only a window that lies wholly in one captured range
        (docs/format/minidump-memory-ranges.md#dump-targets-windows).
        """
        start = max(start, 0)
        if not self.of_a_dump:
            yield from self.readable(start, end, reason)
        elif self.reading.in_one_range(start, end):
            yield WantedRange(start, end, reason)
