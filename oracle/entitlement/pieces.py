"""The unit of the clauses: a piece of the target's memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """Memory ``[start, end)`` of the target, virtual addresses in bytes."""

    start: int
    end: int
    subject: str
    """Its name in a report: ``stack of thread 0x1238``."""
