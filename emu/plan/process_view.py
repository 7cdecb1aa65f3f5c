"""The view of a process that the planners share: memory, captured stacks, images, effective flags."""

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
    """The flags that have an effect."""
    stacks: tuple[Range, ...]
    """The captured part of each thread's stack, in the order of the threads."""
    images: RangeSet
    """The images of the loaded modules."""

    @property
    def pointer_size(self) -> int:
        """Bytes of a pointer in the process."""
        return self.snapshot.system.pointer_size

    def readable(self, start: int, end: int, reason: str) -> Iterator[WantedRange]:
        """Yield the readable parts of [start, end)."""
        for low, high in self.reading.parts(start, end):
            yield WantedRange(low, high, reason)

    def require_readable(self, start: int, end: int, reason: str) -> Iterator[WantedRange]:
        """Return the readable parts of memory that a flag names.

        With NO_IGNORE_INACCESSIBLE_MEM, raises DumpRefused with ERROR_PARTIAL_COPY when a part cannot be read although
        its protection allows it. The flag wins over IGNORE_INACCESSIBLE_MEM.
        """
        if self.flags & MinidumpType.MiniDumpNoIgnoreInaccessibleMemory:
            for low, high in self.reading.failing.parts(start, end):
                raise unreadable(low, high, reason)
        return self.readable(start, end, reason)


def unreadable(start: int, end: int, reason: str) -> DumpRefused:
    """Return the refusal for memory that cannot be read (docs/format/write-dump-file.md#when-a-write-fails)."""
    return DumpRefused(Hresult.ERROR_PARTIAL_COPY, f"memory {start:#x}..{end:#x} cannot be read: {reason}")
