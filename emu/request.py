"""The request for a dump, and the error for a request that cannot be met."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from .constants import FormatFlag, Hresult, Qualifier
from .errors import DumptruthError


class Profile(StrEnum):
    """What a writer does for a user-mode target where the documents disagree. They disagree about DEBUG_DUMP_DEFAULT:
    docs/format/write-dump-file.md#default-in-a-user-session.
    """

    MODERN = "modern"
    """DEFAULT writes a minidump with all memory, handles, unloaded modules, memory info and thread info."""
    LEGACY = "legacy"
    """DEFAULT writes the legacy USERDUMP format (docs/format/user-dump.md)."""
    REFUSE = "refuse"
    """DEFAULT is refused with E_NOTIMPL, as the engine 29507 does."""


class KernelProfile(StrEnum):
    """The DumpTypes that FULL, DEFAULT and ACTIVE give for a kernel-mode target. SMALL is always type 4. Which writer
    uses which type: docs/format/kernel-kinds.md#type-for-each-kind.
    """

    PORTABLE = "portable"
    """1 / 6 / 6: the types that most readers open (docs/format/kernel-readers.md#choice-of-a-type)."""
    CLASSIC = "classic"
    """1 / 2 / 6: the types of Windows 7. Windows 7 has no active dump; here it is a bitmap dump, too."""
    BITMAP = "bitmap"
    """5 / 6 / 6: the types of Windows 8 and later."""
    RANGES = "ranges"
    """10 / 8 / 9: the types of recent debugger engines."""
    HEADER = "header"
    """Type 3, the main header alone, for every qualifier, SMALL too. No qualifier of DbgEng writes it."""


class Contract(StrEnum):
    """Whose WriteDumpFile answers, and decides what the file holds (docs/format/write-dump-file.md)."""

    DOCUMENTED = "documented"
    """The reference page: each qualifier writes what it names. What the page leaves open follows ``E29507``."""
    E15063 = "e15063"
    """The vendor's engine 10.0.15063 (2017)."""
    E29507 = "e29507"
    """The vendor's engine 10.0.29507 (2026)."""


class Session(StrEnum):
    """What the debugger is connected to. An engine leaves out some data when its target is itself a dump."""

    LIVE = "live"
    """A running process, or a machine over a kernel connection."""
    DUMP = "dump"
    """A dump file that the debugger opened."""


class DumpRefused(DumptruthError):  # noqa: N818 - a refusal is no failure of the writer
    """The request cannot be met. ``hresult`` is the return value of the DbgEng method, the text is one line."""

    def __init__(self, hresult: int, message: str) -> None:
        super().__init__(message)
        self.hresult = Hresult(hresult)


@dataclass(frozen=True, slots=True)
class UserStream:
    """A stream that the caller adds to a user minidump (MINIDUMP_USER_STREAM). ``type`` is above 0xFFFF."""

    type: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of WriteDumpFile2, the profile, the contract and the session.

    ``qualifier`` and ``format_flags`` are any 32-bit values; the plan checks them.
    """

    qualifier: int
    format_flags: int = 0
    comment: str | bytes | None = None
    """Bytes are ANSI text, as WriteDumpFile2 takes it."""
    profile: str = Profile.MODERN
    """A ``Profile`` for a user-mode target, a ``KernelProfile`` for a kernel-mode target."""
    user_streams: tuple[UserStream, ...] = ()
    """Only for a user minidump, in the order of the directory."""
    contract: Contract = Contract.DOCUMENTED
    session: Session = Session.LIVE

    @property
    def comment_text(self) -> str | None:
        """The comment as text. An ANSI comment is decoded with code page 1252."""
        return ansi_text(self.comment) if isinstance(self.comment, bytes) else self.comment

    @property
    def qualifier_name(self) -> str:
        """The qualifier's name in DbgEng.h, or its number in hexadecimal if it has no name."""
        try:
            return Qualifier(self.qualifier).name
        except ValueError:
            return f"{self.qualifier:#x}"

    def has(self, flag: FormatFlag) -> bool:
        """Whether ``format_flags`` has a bit of ``flag``."""
        return bool(self.format_flags & flag)


def ansi_text(data: bytes) -> str:
    """Decode code page 1252 as Windows does: its five undefined bytes become control characters of the same number."""
    return "".join(bytes((byte,)).decode("cp1252", "ignore") or chr(byte) for byte in data)


def format_flag_names(format_flags: int) -> list[str]:
    """Return the DbgEng.h names of the bits that are set, lowest bit first. A bit without a name becomes its number.

    0x10000000 has two names: with DEBUG_FORMAT_WRITE_CAB it is DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES, else
    DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES (docs/format/write-dump-file.md#the-bit-with-two-names).
    """
    names = []
    for bit in (1 << shift for shift in range(32)):
        if format_flags & bit:
            known = next((flag.name for flag in FormatFlag if flag == bit), None)
            if bit == FormatFlag.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES and (
                format_flags & FormatFlag.DEBUG_FORMAT_WRITE_CAB
            ):
                known = "DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES"
            names.append(known or f"{bit:#010x}")
    return names
