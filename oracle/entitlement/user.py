"""What a minidump must, may and must not hold, for a truth and a request: streams and bytes of memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..memory.intervals import Range, holding, inside, outside, union
from .cache import computed_once
from .clauses import BRIDGED_GAPS, CLAUSES, Clause
from .duty import Duty
from .flags import Format
from .pieces import Piece
from .streams import stream_duty
from .writers import Writing, writings

if TYPE_CHECKING:
    from ..truth.process import ProcessTruth, RequestTruth

Spans = tuple[Range, ...]
"""Sorted, disjoint ``[start, end)`` that do not touch."""

_BRIDGED = 16
"""Bytes. The widest gap between two ranges that writers bridge (docs/format/minidump-memory-ranges.md#bridged-gaps)."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The memory of one target that one clause covers, with one duty."""

    clause: Clause
    duty: Duty
    writers: tuple[str, ...]
    """The names of the writers that take it."""
    pieces: tuple[Piece, ...]
    """The readable pieces, ascending. They may overlap."""
    union: Spans
    """The same memory as sorted ranges that neither overlap nor touch."""

    @property
    def reason(self) -> str:
        """The writers and the clause: ``E29507: shared user data``."""
        return f"{', '.join(self.writers)}: {self.clause.name}"

    def end_of(self, address: int) -> int | None:
        """The end of the range that holds ``address``; None if the clause does not cover ``address``."""
        found = holding(self.union, address)
        return None if found is None else found[1]


class Entitlement:
    """What a minidump of the target ``truth`` for ``request`` must, may and must not hold."""

    def __init__(self, truth: ProcessTruth, request: RequestTruth) -> None:
        self._truth = truth
        self._request = request
        answers = writings(truth, request)
        grants = [grant for clause in CLAUSES for grant in _grants(clause, answers, request)]
        names = tuple(each.writer.name for each in answers if not each.flags & Format.FULL_MEMORY)
        if names:
            gaps = _readable(truth, _gaps(_merged(grants)))
            grants.append(_granted(BRIDGED_GAPS, BRIDGED_GAPS.duty, names, gaps))
        self.grants = tuple(grants)
        self._unions: dict[frozenset[str], Spans] = {}

    def stream(self, stream: int) -> tuple[Duty, str]:
        """The duty for a stream of type ``stream``, and the reason."""
        return stream_duty(stream, self._truth, self._request)

    def grant(self, clause: str) -> Grant | None:
        """The memory of the clause of that name that its duty covers; None if the request does not switch it on."""
        return next((grant for grant in self.grants if grant.clause.name == clause), None)

    def byte(self, address: int) -> tuple[Duty, str]:
        """The duty for the byte at ``address``, and the writers and the clause that decide it."""
        granted = [grant for grant in self.grants if grant.end_of(address) is not None]
        for duty in (Duty.MUST, Duty.MAY):
            for grant in granted:
                if grant.duty is duty:
                    return duty, grant.reason
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


def _grants(clause: Clause, answers: Iterable[Writing], request: RequestTruth) -> Iterator[Grant]:
    """What all writers take, with the clause's duty, and what only some of them take, which is allowed."""
    asked: list[Writing] = []
    others: list[Writing] = []
    for answer in answers:
        full = bool(answer.flags & Format.FULL_MEMORY)
        applies = clause.with_full_memory == full and (not clause.flags or answer.flags & clause.flags)
        (asked if applies else others).append(answer)
    if not asked:
        return
    pieces = {answer.writer.name: _readable(answer.truth, clause.ranges(answer)) for answer in asked}
    duty = Duty.MAY if clause.customary and request.contract == "documented" else clause.duty
    (first, *rest) = pieces.values()
    unions = [union((piece.start, piece.end) for piece in each) for each in rest if each != first]
    everywhere = [] if others and duty is Duty.MUST else first
    for other in unions:
        everywhere = [
            replace(piece, start=start, end=end)
            for piece in everywhere
            for start, end in inside(other, piece.start, piece.end)
        ]
    yield _granted(clause, duty, tuple(pieces), everywhere)
    covered = union((piece.start, piece.end) for piece in everywhere)
    for name, each in pieces.items():
        beyond = [
            replace(piece, start=start, end=end)
            for piece in each
            for start, end in outside(covered, piece.start, piece.end)
        ]
        if beyond:
            yield _granted(clause, Duty.MAY, (name,), beyond)


def _readable(truth: ProcessTruth, pieces: Iterable[Piece]) -> list[Piece]:
    return sorted(
        Piece(address, address + size, piece.subject)
        for piece in pieces
        for address, size, _ in truth.readable_runs(piece.start, piece.end)
    )


def _granted(clause: Clause, duty: Duty, writers: tuple[str, ...], pieces: list[Piece]) -> Grant:
    return Grant(clause, duty, writers, tuple(pieces), tuple(union((piece.start, piece.end) for piece in pieces)))


def _merged(grants: Iterable[Grant]) -> Spans:
    return tuple(union(span for grant in grants for span in grant.union))


def _gaps(spans: Spans) -> Iterator[Piece]:
    for start, end in outside(spans, spans[0][0], spans[-1][1]) if spans else ():
        if end - start <= _BRIDGED:
            yield Piece(start, end, "gap between two ranges")
