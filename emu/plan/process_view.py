"""The target of a user-mode dump as the planners see it: its memory, its stacks and images, and what is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..constants import Hresult, MinidumpType
from ..request import DumpRefused
from ..snapshot.process import ProcessSnapshot
from .ranges import Range, RangeSet
from .reading import Reading


class WantedRange(NamedTuple):
    """Readable memory that a rule asks for: [start, end)."""

    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class ProcessView:
    snapshot: ProcessSnapshot
    reading: Reading
    flags: MinidumpType
    """Those that have an effect."""
    stacks: tuple[Range, ...]
    """What is captured of each thread's stack, in the threads' order."""
    images: RangeSet
    """The images of the loaded modules."""

    @property
    def pointer_size(self) -> int:
        return self.snapshot.system.pointer_size

    def readable(self, start: int, end: int, reason: str) -> Iterator[WantedRange]:
        """What can be read of memory that is wanted where it is readable."""
        for low, high in self.reading.parts(start, end):
            yield WantedRange(low, high, reason)

    def require_readable(self, start: int, end: int, reason: str) -> Iterator[WantedRange]:
        """What can be read of memory that is asked for by name.

        Raises DumpRefused with ERROR_PARTIAL_COPY when NO_IGNORE_INACCESSIBLE_MEM makes fatal that a part cannot be
        read though its protection allows it (spec 2.4; it wins over IGNORE_INACCESSIBLE_MEM).
        """
        if self.flags & MinidumpType.MiniDumpNoIgnoreInaccessibleMemory:
            for low, high in self.reading.failing.parts(start, end):
                raise unreadable(low, high, reason)
        return self.readable(start, end, reason)


def unreadable(start: int, end: int, reason: str) -> DumpRefused:
    """The refusal of a dump for memory that no read gets (spec 1.9)."""
    return DumpRefused(Hresult.ERROR_PARTIAL_COPY, f"memory {start:#x}..{end:#x} cannot be read: {reason}")
