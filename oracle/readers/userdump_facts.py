"""The facts of a legacy full user dump: its records, and the captured memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple

from ..decode import Record
from ..model import Span
from .facts import ContextFact
from .reading import Reading
from .recorded import CapturedMemory, RecordedModule

MACHINES: Final = {(0x14C, 32): "x86", (0x8664, 64): "amd64", (0x1C4, 32): "arm", (0xAA64, 64): "arm64"}
"""winnt.h IMAGE_FILE_MACHINE_I386, _AMD64, _ARMNT, _ARM64 and the width of their pointers -> architecture."""
OLD_MACHINES: Final = frozenset(
    {(0x162, 32), (0x166, 32), (0x168, 32), (0x184, 32), (0x1F0, 32), (0x200, 64), (0x284, 64)}
)
"""winnt.h IMAGE_FILE_MACHINE_R3000, _R4000, _R10000, _ALPHA, _POWERPC, _IA64, _ALPHA64: old Windows ran on them. Their
contexts are not read (docs/format/user-dump.md#header)."""


@dataclass(frozen=True, slots=True)
class CrashModule(RecordedModule):
    """A module."""

    record: Record
    """CRASH_MODULE, without the name that follows it."""
    name: Span
    """ImageNameLength bytes."""
    text: bytes
    """The name without its NUL. Some writers count the NUL in ImageNameLength, some do not."""


class CapturedRegion(NamedTuple):
    """A region of the target, with its bytes in the file at ``offset``."""

    record: Record
    """MEMORY_BASIC_INFORMATION."""
    start: int
    size: int
    offset: int

    @property
    def end(self) -> int:
        return self.start + self.size

    def span(self, address: int, size: int) -> Span:
        """The bytes of the file that hold ``size`` bytes of the region at ``address``."""
        at = self.offset + address - self.start
        return Span(at, at + size)


@dataclass
class UserDump(Reading, CapturedMemory):
    """A legacy full user dump, as read."""

    kind: ClassVar[str] = "userdump"

    bits: int = 64
    """Width of the target's pointers, 32 or 64."""
    header: Record | None = None
    """USERMODE_CRASHDUMP_HEADER."""
    version_info: Record | None = None
    """CRASHDUMP_VERSION_INFO."""
    version_texts: tuple[str, ...] | None = None
    """The texts of the other form: names and values in turn, without the empty one that ends them."""
    threads: list[Record] = field(default_factory=list)
    """CRASH_THREAD."""
    contexts: list[ContextFact] = field(default_factory=list)
    """Context i belongs to thread i."""
    modules: list[CrashModule] = field(default_factory=list)
    regions: list[Record] = field(default_factory=list)
    """MEMORY_BASIC_INFORMATION of all regions."""
    memory: list[CapturedRegion] = field(default_factory=list)
    """The regions whose bytes lie in the file, in file order."""
    debug_event: Record | None = None

    @property
    def architecture(self) -> str | None:
        """``x86``, ``amd64``, ``arm`` or ``arm64``; None for another machine, or one of another pointer width."""
        return None if self.header is None else MACHINES.get((self.header["MachineImageType"], self.bits))
