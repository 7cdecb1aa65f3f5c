"""What the caller asked for, and the error that says it cannot be had."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from .constants import FormatFlag, Hresult, Qualifier


class Profile(StrEnum):
    """The reading of what the documents leave open (design 11; spec user-mode 1.4)."""

    MODERN = "modern"
    """DEFAULT in user mode is a minidump with all memory, handles, unloaded modules, memory and thread info."""
    LEGACY = "legacy"
    """DEFAULT in user mode is the old USERDUMP format."""
    REFUSE = "refuse"
    """DEFAULT in user mode is refused with E_NOTIMPL, as current debuggers refuse ``.dump /f``."""


class KernelProfile(StrEnum):
    """The on-disk types of a kernel-mode target's dumps: FULL / DEFAULT / ACTIVE, SMALL is 4 (design 11)."""

    PORTABLE = "portable"
    """1 / 6 / 6: what most readers open (spec kernel 7.1)."""
    CLASSIC = "classic"
    """1 / 2 / 6: what Windows 7 writes; it had no active dump, which is a bitmap dump here too."""
    BITMAP = "bitmap"
    """5 / 6 / 6: what Windows writes since version 8."""
    RANGES = "ranges"
    """10 / 8 / 9: what recent debugger engines write."""
    HEADER = "header"
    """Type 3 for every qualifier: the main header alone. No qualifier of DbgEng asks for it."""


class DumpRefused(Exception):  # noqa: N818 - it is a refusal, and its HRESULT says which
    """The request cannot be met. ``hresult`` is what the DbgEng method returns, the text says why in one line."""

    def __init__(self, hresult: int, message: str) -> None:
        super().__init__(message)
        self.hresult = Hresult(hresult)


@dataclass(frozen=True, slots=True)
class UserStream:
    """A stream that the caller adds to a user minidump (MINIDUMP_USER_STREAM): types above 0xFFFF are the caller's."""

    type: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of WriteDumpFile2, and the profile under which they are read.

    ``qualifier`` and ``format_flags`` are any 32-bit values; whether they mean something is the plan's to say.
    """

    qualifier: int
    format_flags: int = 0
    comment: str | bytes | None = None
    """Bytes: an ANSI text, as WriteDumpFile2 takes it."""
    profile: str = Profile.MODERN
    """A ``Profile`` for a user-mode target, a ``KernelProfile`` for a kernel-mode one."""
    user_streams: tuple[UserStream, ...] = ()
    """Of a user minidump, in the order of the directory."""

    @property
    def comment_text(self) -> str | None:
        """The comment as text; of an ANSI comment its text in code page 1252."""
        return ansi_text(self.comment) if isinstance(self.comment, bytes) else self.comment

    @property
    def qualifier_name(self) -> str:
        """The qualifier's DbgEng.h name; its number in hexadecimal when it has none."""
        try:
            return Qualifier(self.qualifier).name
        except ValueError:
            return f"{self.qualifier:#x}"

    def has(self, flag: FormatFlag) -> bool:
        return bool(self.format_flags & flag)


def ansi_text(data: bytes) -> str:
    """Code page 1252 as Windows decodes it: the five bytes without a character become the control of their number."""
    return "".join(bytes((byte,)).decode("cp1252", "ignore") or chr(byte) for byte in data)


def format_flag_names(format_flags: int) -> list[str]:
    """The DbgEng.h names of the bits that are set, low to high; a bit without a name appears as its number.

    0x10000000 has two names: with DEBUG_FORMAT_WRITE_CAB it is the CAB's, else the memory scan's (spec user-mode 1.5).
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
