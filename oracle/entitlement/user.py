"""What the documents entitle a user-mode minidump to hold: must, may or never, asked point by point."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from ..truth.process import ProcessTruth, RequestTruth
from .bulk import Losses
from .clauses import BRIDGED_GAPS, CLAUSES, LOST_BLOCKS, Clause, Duty
from .flags import Format, effective
from .pieces import Piece
from .streams import stream_duty

Spans = tuple[tuple[int, int], ...]
"""Sorted, disjoint ``[start, end)`` that do not touch."""

_BRIDGED = 24
"""Bytes: the smallest gap between two ranges that was seen left open."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one clause grants in one target: its readable pieces, ascending."""

    clause: Clause
    pieces: tuple[Piece, ...]
    union: Spans
    """The pieces without their overlaps."""

    def end_of(self, address: int) -> int | None:
        """Up to where the clause grants without gap from ``address`` on; None when it does not grant ``address``."""
        index = bisect_right(self.union, (address, 1 << 64)) - 1
        return self.union[index][1] if index >= 0 and address < self.union[index][1] else None


class Entitlement:
    """The entitlement of the minidump that ``request`` makes of ``truth``."""

    def __init__(self, truth: ProcessTruth, request: RequestTruth) -> None:
        self._truth = truth
        self._request = request
        flags = effective(request)
        full = bool(flags & Format.FULL_MEMORY)
        losses = Losses(truth, flags)
        grants: list[Grant] = []
        lost: list[Piece] = []
        for clause in CLAUSES:
            if clause.with_full_memory == full and (not clause.flags or flags & clause.flags):
                pieces = list(clause.ranges(truth, flags))
                if clause.duty is Duty.MUST and losses:
                    pieces, gone = _without_losses(pieces, losses)
                    lost += gone
                grants.append(_grant(clause, truth, pieces))
        grants.append(_grant(LOST_BLOCKS, truth, lost))
        if not full and flags & BRIDGED_GAPS.flags:
            grants.append(_grant(BRIDGED_GAPS, truth, _gaps(_merged(grants))))
        self.grants = tuple(grants)

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

    def ungranted(self, start: int, end: int, without: frozenset[str] = frozenset()) -> Iterator[tuple[int, int]]:
        """The parts of ``[start, end)`` that no clause grants; the clauses ``without`` are not asked."""
        return outside(self._union(without), start, end)

    @cache  # noqa: B019 - an entitlement lives as long as its case, and is asked with one or two sets
    def _union(self, without: frozenset[str]) -> Spans:
        return _merged(grant for grant in self.grants if grant.clause.name not in without)


def outside(union: Sequence[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of ``[start, end)`` outside the sorted, disjoint ``union``."""
    at, index = start, max(bisect_right(union, (start, 1 << 64)) - 1, 0)
    while index < len(union) and union[index][0] < end:
        low, high = union[index]
        if low > at:
            yield at, low
        at = max(at, high)
        index += 1
    if at < end:
        yield at, end


def _without_losses(pieces: list[Piece], losses: Losses) -> tuple[list[Piece], list[Piece]]:
    """The pieces but for the blocks that may be lost, and those blocks."""
    kept: list[Piece] = []
    lost: list[Piece] = []
    for piece in pieces:
        at = piece.start
        for start, end in losses.of(piece):
            if at < start:
                kept.append(Piece(at, start, piece.subject))
            lost.append(Piece(start, end, piece.subject))
            at = end
        if at < piece.end:
            kept.append(Piece(at, piece.end, piece.subject))
    return kept, lost


def _grant(clause: Clause, truth: ProcessTruth, pieces: Iterable[Piece]) -> Grant:
    readable = sorted(
        Piece(address, address + size, piece.subject)
        for piece in pieces
        for address, size, _ in truth.readable_runs(piece.start, piece.end)
    )
    return Grant(clause, tuple(readable), _union_of((piece.start, piece.end) for piece in readable))


def _merged(grants: Iterable[Grant]) -> Spans:
    return _union_of(sorted(span for grant in grants for span in grant.union))


def _union_of(spans: Iterable[tuple[int, int]]) -> Spans:
    union: list[tuple[int, int]] = []
    for start, end in spans:
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return tuple(union)


def _gaps(union: Spans) -> Iterator[Piece]:
    for (_, end), (start, _) in pairwise(union):
        if start - end < _BRIDGED:
            yield Piece(end, start, "gap between two ranges")
