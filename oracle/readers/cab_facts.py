"""The facts of a cabinet: folders of compressed blocks, and the members in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from ..decode import Record
from ..memory.source import ByteSource
from ..model import Span
from .identify import KERNEL_DUMP, MINIDUMP, USERDUMP
from .reading import Reading

DUMPS: Final = frozenset({MINIDUMP, USERDUMP, KERNEL_DUMP})
"""The kinds of dumps, as ``identify`` names them."""
_NAME_IS_UTF: Final = 0x80
"""[MS-CAB] 2.3: _A_NAME_IS_UTF."""
UNREAD: Final = "unread"
"""The kind of a member whose bytes could not be expanded."""


@dataclass(slots=True)
class Folder:
    """A run of blocks that expand to one stream of bytes. Members are parts of that stream."""

    index: int
    record: Record
    """CFFOLDER."""
    blocks: int = 0
    """How many blocks were read."""
    size: int = 0
    """How many bytes they expanded to."""
    whole: bool = False
    """Whether all blocks were read and expanded."""
    data: memoryview | None = None
    """The stream; None for a method that the oracle cannot expand."""

    @property
    def method(self) -> int:
        """The method of compression: 0 stored, 1 MSZIP, 2 Quantum, 3 LZX."""
        return self.record["typeCompress"] & 0xF


def member_name(raw: bytes, record: Record) -> str:
    """The name of a member, read as UTF-8 or as code page 1252. Bytes that do not decode read as U+FFFD."""
    return raw.decode("utf-8" if record["attribs"] & _NAME_IS_UTF else "cp1252", "replace")


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a cabinet."""

    record: Record
    """CFFILE, without the name that follows it."""
    raw_name: bytes
    """The name without its NUL."""
    name_span: Span
    folder: Folder | None
    source: ByteSource | None
    """Its bytes; None if they could not be expanded."""

    @property
    def utf8(self) -> bool:
        """Whether the name is UTF-8: attribute _A_NAME_IS_UTF of [MS-CAB]."""
        return bool(self.record["attribs"] & _NAME_IS_UTF)

    @property
    def name(self) -> str:
        """The name, read as UTF-8 or as code page 1252. Bytes that do not decode read as U+FFFD."""
        return member_name(self.raw_name, self.record)

    @property
    def start(self) -> int:
        """Offset of the first byte in the folder's stream."""
        return self.record["uoffFolderStart"]

    @property
    def size(self) -> int:
        return self.record["cbFile"]

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass
class Cabinet(Reading):
    """A cabinet, as read."""

    kind: ClassVar[str] = "cab"

    header: Record | None = None
    """CFHEADER."""
    folder_reserve: int = 0
    """Bytes after each CFFOLDER that belong to the application."""
    block_reserve: int = 0
    """Bytes after each CFDATA header that belong to the application."""
    folders: list[Folder] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    """The kind of each member by ``identify``; ``UNREAD`` if its bytes could not be expanded."""

    def dumps(self) -> list[tuple[Member, str]]:
        """The members that are dumps, each with its kind."""
        return [(member, kind) for member, kind in zip(self.members, self.kinds, strict=True) if kind in DUMPS]
