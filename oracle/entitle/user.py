"""What the documents entitle a user-mode minidump to hold: must, may or never, asked point by point."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from ..truth_model import ProcessTruth, RequestTruth
from .clauses import CLAUSES, Clause, Duty, Piece
from .flags import Format, effective
from .streams import stream_duty


@dataclass(frozen=True, slots=True)
class Grant:
    """What one clause grants in one target: its readable pieces, ascending."""

    clause: Clause
    pieces: tuple[Piece, ...]
    union: tuple[tuple[int, int], ...]
    """The pieces without their overlaps: sorted, disjoint."""

    def end_of(self, address: int) -> int | None:
        """Up to where the clause grants without gap from ``address`` on; None when it does not grant ``address``."""
        index = bisect_right(self.union, (address, 1 << 64)) - 1
        return self.union[index][1] if index >= 0 and address < self.union[index][1] else None

    def next_start(self, address: int) -> int | None:
        """Where the clause next begins to grant, after ``address``."""
        index = bisect_right(self.union, (address, 1 << 64))
        return self.union[index][0] if index < len(self.union) else None


class Entitlement:
    """The entitlement of the minidump that ``request`` makes of ``truth``."""

    def __init__(self, truth: ProcessTruth, request: RequestTruth) -> None:
        self._truth = truth
        self._request = request
        flags = effective(request)
        full = bool(flags & Format.FULL_MEMORY)
        self.grants = tuple(
            _grant(clause, truth, flags)
            for clause in CLAUSES
            if clause.with_full_memory == full and (not clause.flags or flags & clause.flags)
        )

    def stream(self, stream: int) -> tuple[Duty, str]:
        """Whether a stream of type ``stream`` must, may or never may be there, and why."""
        return stream_duty(stream, self._truth, self._request)

    def grant(self, clause: str) -> Grant | None:
        """What the clause of that name grants; None when the request does not switch it on."""
        return next((grant for grant in self.grants if grant.clause.name == clause), None)

    def byte(self, address: int) -> tuple[Duty, str]:
        """Whether the byte at ``address`` must, may or never may be captured, and by which clause."""
        granted = [grant.clause for grant in self.grants if grant.end_of(address) is not None]
        for duty in (Duty.MUST, Duty.MAY):
            for clause in granted:
                if clause.duty is duty:
                    return duty, clause.name
        return Duty.NEVER, "no clause"

    def ungranted(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of ``[start, end)`` that no clause grants."""
        at = start
        while at < end:
            granted = max((stop for grant in self.grants if (stop := grant.end_of(at)) is not None), default=None)
            if granted is not None:
                at = granted
                continue
            starts = [begin for grant in self.grants if (begin := grant.next_start(at)) is not None]
            stop = min([*starts, end])
            yield at, stop
            at = stop


def _grant(clause: Clause, truth: ProcessTruth, flags: Format) -> Grant:
    pieces = sorted(
        Piece(address, address + len(data), piece.subject)
        for piece in clause.ranges(truth, flags)
        for address, data in truth.readable(piece.start, piece.end)
    )
    union: list[tuple[int, int]] = []
    for piece in pieces:
        if union and piece.start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], piece.end))
        else:
            union.append((piece.start, piece.end))
    return Grant(clause, tuple(pieces), tuple(union))
