"""The streams that the caller of a user-mode dump adds: the comment and user streams (spec user-mode 1.2, 3.16)."""

from __future__ import annotations

from ..constants import Hresult
from ..request import DumpRefused, Request, UserStream

FIRST_USER_STREAM = 0x10000
"""minidumpapiset.h: types up to LastReservedStream 0xFFFF are Microsoft's."""


def comment_of(request: Request) -> str | bytes | None:
    """Text of CommentStreamW; bytes: of CommentStreamA. An empty comment is none. Raises DumpRefused for a NUL."""
    if "\0" in (request.comment_text or ""):
        raise DumpRefused(Hresult.E_INVALIDARG, "Comment: a NUL ends the string, none may lie inside")
    return request.comment or None


def user_streams_of(request: Request) -> tuple[UserStream, ...]:
    """The caller's streams in the caller's order. Raises DumpRefused: their types are above 0xFFFF, none comes twice
    (V04: readers fail a file with two streams of one type)."""
    seen: set[int] = set()
    for stream in request.user_streams:
        if not FIRST_USER_STREAM <= stream.type < 1 << 32:
            raise DumpRefused(
                Hresult.E_INVALIDARG, f"user stream {stream.type:#x}: types of users' streams are 0x10000 to 0xFFFFFFFF"
            )
        if stream.type in seen:
            raise DumpRefused(Hresult.E_INVALIDARG, f"user stream {stream.type:#x}: given twice")
        seen.add(stream.type)
    return request.user_streams
