"""What every clause is written in: pieces of the target's memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """``[start, end)`` of the target's memory, and what it is there for."""

    start: int
    end: int
    subject: str
