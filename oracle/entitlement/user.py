"""What a minidump must, may and must not hold, for a truth and a request: streams and bytes of memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..memory.intervals import Range, holding, outside, union
from ..truth.process import ProcessTruth, RequestTruth
from .bulk import Losses
from .cache import computed_once
from .clauses import BRIDGED_GAPS, CLAUSES, LOST_BLOCKS, Clause, Duty
from .flags import Format, effective
from .pieces import Piece
from .streams import stream_duty

Spans = tuple[Range, ...]
"""Sorted, disjoint ``[start, end)`` that do not touch."""

_BRIDGED = 24
"""Bytes. The smallest gap between two ranges in real files (docs/format/minidump-memory-ranges.md#bridged-gaps)."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The memory of one target that one clause covers."""

    clause: Clause
    pieces: tuple[Piece, ...]
    """The readable pieces, ascending. They may overlap."""
    union: Spans
    """The same memory as sorted ranges that neither overlap nor touch."""

    def end_of(self, address: int) -> int | None:
        """The end of the range that holds ``address``; None if the clause does not cover ``address``."""
        found = holding(self.union, address)
        return None if found is None else found[1]


class Entitlement:
    """What a minidump of the target ``truth`` for ``request`` must, may and must not hold."""

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
        self._unions: dict[frozenset[str], Spans] = {}

    def stream(self, stream: int) -> tuple[Duty, str]:
        """The duty for a stream of type ``stream``, and the reason."""
        return stream_duty(stream, self._truth, self._request)

    def grant(self, clause: str) -> Grant | None:
        """The memory of the clause of that name; None if the request does not switch it on."""
        return next((grant for grant in self.grants if grant.clause.name == clause), None)

    def byte(self, address: int) -> tuple[Duty, str]:
        """The duty for the byte at ``address``, and the clause that decides it."""
        granted = [grant.clause for grant in self.grants if grant.end_of(address) is not None]
        for duty in (Duty.MUST, Duty.MAY):
            for clause in granted:
                if clause.duty is duty:
                    return duty, clause.name
        return Duty.NEVER, "no clause"

    def ungranted(self, start: int, end: int, without: frozenset[str] = frozenset()) -> Iterator[tuple[int, int]]:
        """The parts of ``[start, end)`` that no clause covers. Clauses whose names are in ``without`` do not count."""
        return outside(self._union(without), start, end)

    def _union(self, without: frozenset[str]) -> Spans:
        if without not in self._unions:
            self._unions[without] = _merged(grant for grant in self.grants if grant.clause.name not in without)
        return self._unions[without]


def entitlement_of(truth: ProcessTruth, request: RequestTruth) -> Entitlement:
    """The entitlement, computed once for each truth and request."""
    return computed_once(truth, ("entitlement", request), lambda: Entitlement(truth, request))


def _without_losses(pieces: list[Piece], losses: Losses) -> tuple[list[Piece], list[Piece]]:
    """The pieces without the blocks that may be lost, and these blocks."""
    kept: list[Piece] = []
    lost: list[Piece] = []
    for piece in pieces:
        blocks = losses.of(piece)
        lost += [Piece(start, end, piece.subject) for start, end in blocks]
        kept += [Piece(start, end, piece.subject) for start, end in outside(blocks, piece.start, piece.end)]
    return kept, lost


def _grant(clause: Clause, truth: ProcessTruth, pieces: Iterable[Piece]) -> Grant:
    readable = sorted(
        Piece(address, address + size, piece.subject)
        for piece in pieces
        for address, size, _ in truth.readable_runs(piece.start, piece.end)
    )
    return Grant(clause, tuple(readable), tuple(union((piece.start, piece.end) for piece in readable)))


def _merged(grants: Iterable[Grant]) -> Spans:
    return tuple(union(span for grant in grants for span in grant.union))


def _gaps(spans: Spans) -> Iterator[Piece]:
    for start, end in outside(spans, spans[0][0], spans[-1][1]) if spans else ():
        if end - start < _BRIDGED:
            yield Piece(start, end, "gap between two ranges")
