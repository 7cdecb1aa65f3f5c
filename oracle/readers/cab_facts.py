"""What a cabinet says: folders of compressed blocks, and the members that lie in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from ..decode import Record
from ..memory.source import ByteSource
from ..model import Span
from .identify import KERNEL_DUMP, MINIDUMP, USERDUMP
from .reading import Reading

DUMPS: Final = frozenset({MINIDUMP, USERDUMP, KERNEL_DUMP})
"""The kinds that the judge judges."""
UNREAD: Final = "unread"


@dataclass(slots=True)
class Folder:
    """A run of blocks that expand to one stream of bytes. Members are pieces of that stream."""

    index: int
    record: Record
    """CFFOLDER."""
    blocks: int = 0
    """Blocks read."""
    size: int = 0
    """Bytes that they expanded to."""
    whole: bool = False
    """Every block was read, and expanded."""
    data: memoryview | None = None
    """The stream; None where the method is one that the judge does not know."""

    @property
    def method(self) -> int:
        """0 stored, 1 MSZIP, 2 Quantum, 3 LZX."""
        return self.record["typeCompress"] & 0xF


@dataclass(frozen=True, slots=True)
class Member:
    record: Record
    """CFFILE, without the name behind it."""
    raw_name: bytes
    """Without its NUL."""
    name_span: Span
    folder: Folder | None
    source: ByteSource | None
    """Its bytes; None when they cannot be had."""

    @property
    def utf8(self) -> bool:
        """[MS-CAB] _A_NAME_IS_UTF."""
        return bool(self.record["attribs"] & 0x80)

    @property
    def name(self) -> str:
        """What does not decode reads as U+FFFD. A name that is not marked as UTF-8 is read in code page 1252."""
        return self.raw_name.decode("utf-8" if self.utf8 else "cp1252", "replace")

    @property
    def start(self) -> int:
        """In the folder's stream."""
        return self.record["uoffFolderStart"]

    @property
    def size(self) -> int:
        return self.record["cbFile"]

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass
class Cabinet(Reading):
    """A cabinet as read."""

    kind: ClassVar[str] = "cab"
    ceiling: ClassVar[str] = (
        "at most 131072 blocks and members in all, and 128 MiB, 32 times the file or twice the target's memory of data"
    )
    ceiling_topic: ClassVar[str] = "cab.ceiling"

    records_left: int = 131_072
    header: Record | None = None
    """CFHEADER."""
    folder_reserve: int = 0
    """Bytes behind each CFFOLDER that belong to the application."""
    block_reserve: int = 0
    """The same behind each CFDATA."""
    folders: list[Folder] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    """What ``identify`` says of each member; ``UNREAD`` where its bytes cannot be had."""

    def dumps(self) -> list[tuple[Member, str]]:
        """The members that are dumps, each with its kind."""
        return [(member, kind) for member, kind in zip(self.members, self.kinds, strict=True) if kind in DUMPS]
