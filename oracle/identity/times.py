"""Times of a dump as ISO 8601 text, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
"""Of a FILETIME."""


def unix_time(seconds: int) -> str:
    """A time_t of 32 bits."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def file_time(ticks: int) -> str | None:
    """A FILETIME; None if it is after the year 9999."""
    try:
        return (_EPOCH + timedelta(microseconds=ticks // 10)).isoformat(timespec="seconds")
    except OverflowError:
        return None
