"""Checks the streams that the caller adds: the comment and user streams (docs/format/minidump-user-streams.md)."""

from __future__ import annotations

from ..constants import Hresult
from ..request import DumpRefused, Request, UserStream

FIRST_USER_STREAM = 0x10000
"""The lowest type of a caller's stream. Types up to LastReservedStream 0xFFFF are reserved (minidumpapiset.h)."""


def comment_of(request: Request) -> str | bytes | None:
    """Return the comment: text for CommentStreamW, bytes for CommentStreamA. Return None if there is none; an empty
    comment is one (docs/format/write-dump-file.md#comments).

    Raises DumpRefused with E_INVALIDARG for a comment that contains a NUL.
    """
    if "\0" in (request.comment_text or ""):
        raise DumpRefused(Hresult.E_INVALIDARG, "Comment: contains a NUL, which would end the string")
    return request.comment


def user_streams_of(request: Request) -> tuple[UserStream, ...]:
    """Return the caller's streams in the caller's order.

    Raises DumpRefused with E_INVALIDARG for a type outside 0x10000 to 0xFFFFFFFF, and for a type that is given twice:
    readers refuse such a file (docs/format/minidump-container.md#repeated-stream-types).
    """
    seen: set[int] = set()
    for stream in request.user_streams:
        if not FIRST_USER_STREAM <= stream.type < 1 << 32:
            raise DumpRefused(
                Hresult.E_INVALIDARG, f"user stream {stream.type:#x}: expected a type from 0x10000 to 0xFFFFFFFF"
            )
        if stream.type in seen:
            raise DumpRefused(Hresult.E_INVALIDARG, f"user stream {stream.type:#x}: type given twice")
        seen.add(stream.type)
    return request.user_streams
