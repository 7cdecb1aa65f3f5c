"""The base of all readings: facts, defects, and claims on the bytes of the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final, NamedTuple, Self

from ..budget import Budget, Work
from ..memory.source import ByteSource
from ..model import DontCare, Fault, Span


class Defect(NamedTuple):
    """Something in the file that the format does not allow. The rule whose ``reports`` has its topic reports it."""

    topic: str
    subject: str
    fault: Fault
    expected: tuple[str, ...]
    actual: str
    spans: tuple[Span, ...]


MAX_DEFECTS: Final = 1000
"""How many defects of one topic are kept: a broken list may have one for each entry."""
MOST_RECORDS: Final = 8192
"""How many records are decoded at most, beyond one for each 2 KiB of the file."""


class Owner(StrEnum):
    """What owns a claimed byte."""

    FACT = "fact"
    MEMORY = "memory"
    PADDING = "padding"


class Claim(NamedTuple):
    """Bytes ``[start, end)`` of the file that something owns."""

    start: int
    end: int
    label: str
    """The owner's name in a report."""
    owner: Owner = Owner.FACT
    shared: bool = False
    """Whether another claim may own the same bytes: two modules may share a string, two records a context."""
    tail: int = 0
    """Bytes at the end that belong to another claim if one begins there: the NUL that a string may lack."""

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)


class Accounting(NamedTuple):
    """The account of the bytes of a file."""

    claimed: int = 0
    """Bytes that a fact, captured memory or padding owns."""
    overlaps: tuple[tuple[Claim, Claim], ...] = ()
    """The first pairs of claims, neighbours in file order, that own the same bytes."""
    overlap_total: int = 0
    """How many such pairs there are."""
    gaps: tuple[Span, ...] = ()
    """The first runs of bytes that nothing owns, in file order."""
    gap_total: int = 0
    """How many such runs there are."""
    unclaimed: int = 0
    """Bytes in all of them."""
    regions: int = 0
    """How many claims there are. Identical shared claims count once."""


@dataclass
class Reading:
    """A file, as one of the readers read it."""

    source: ByteSource

    kind: ClassVar[str]
    """The kind of file: that of ``identify``, and the ``Rule.kind`` of its rules."""

    facts: set[str] = field(default_factory=set)
    """Names of what was decoded. Rules name them in ``needs``."""
    broken: dict[str, str] = field(default_factory=dict)
    """Names of what is there and could not be decoded: fact -> topic of the defect."""
    defects: list[Defect] = field(default_factory=list)
    """Of each topic the first ``MAX_DEFECTS``; ``defects_of`` counts all."""
    claims: list[Claim] = field(default_factory=list)
    dont_cares: list[DontCare] = field(default_factory=list)
    accounting: Accounting = field(default_factory=Accounting)
    unread: set[str] = field(default_factory=set)
    """Names of what was not read whole, because the budget ended."""
    budget: Budget = field(init=False)
    _defects: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.budget = Budget(self.source.size, MOST_RECORDS)

    def fresh(self) -> Self:
        """This reading as a judge needs it, who adds to its lists and spends its budget."""
        made = copy(self)
        for name in ("facts", "broken", "defects", "claims", "dont_cares", "unread", "budget"):
            setattr(made, name, copy(getattr(self, name)))
        return made

    def dont_care(self, span: Span, why: str) -> None:
        """Declare that no rule judges ``span``. Use it only where the format leaves the bytes to the writer."""
        self.dont_cares.append(DontCare(span, why))

    def defect(
        self,
        topic: str,
        subject: str,
        expected: str,
        actual: str,
        *spans: Span,
        fault: Fault = Fault.WRONG,
        loses: Iterable[str] | None = None,
    ) -> None:
        """Record a defect. It breaks the facts ``loses`` and ``accounting``; with None, it breaks nothing."""
        self._defects[topic] += 1
        if self._defects[topic] <= MAX_DEFECTS:
            self.defects.append(Defect(topic, subject, fault, (expected,), actual, spans))
        if loses is not None:
            for fact in (*loses, "accounting"):
                self.breaks(fact, topic)

    def again(self, topic: str) -> bool:
        """Count one more defect of a topic of which enough are kept; False, without a count, if it must be told."""
        if self._defects[topic] < MAX_DEFECTS:
            return False
        self._defects[topic] += 1
        return True

    def defects_of(self, topic: str) -> int:
        """How many defects of ``topic`` were recorded."""
        return self._defects[topic]

    def grant(self, wanted: int, subject: str, *facts: str, work: Work = Work.RECORDS, judged: int = 0) -> int:
        """How many records of ``subject`` may be read, of ``wanted``. Loses ``facts`` unless all may.

        ``subject`` names a list, never one of its entries. ``judged`` is how many earlier calls granted.
        """
        granted = self.budget.grant(work, wanted, subject, judged)
        if granted < wanted:
            self.lose(*facts)
        return granted

    def leave(self, subject: str, limit: str, judged: int, present: int | None, *facts: str) -> None:
        """Note a limit of the reader's own, as ``Budget.leave`` does, and lose ``facts``."""
        self.budget.leave(subject, limit, judged, present)
        self.lose(*facts)

    def lose(self, *facts: str) -> None:
        """Mark ``facts`` and the account of the bytes as not read whole. Rules that need them are INCOMPLETE."""
        self.unread.update((*facts, "accounting"))
        self.facts.difference_update(self.unread)

    def breaks(self, fact: str, topic: str) -> None:
        """Mark ``fact`` as broken by a defect of ``topic``. The first topic of a fact is kept."""
        self.facts.discard(fact)
        self.broken.setdefault(fact, topic)

    def found(self, fact: str) -> None:
        """Mark ``fact`` as found, unless it is broken or was not read whole."""
        if fact not in self.broken and fact not in self.unread:
            self.facts.add(fact)

    def claim(self, span: Span, label: str, owner: Owner = Owner.FACT, *, shared: bool = False, tail: int = 0) -> None:
        """Record that something owns ``span``. Empty spans are ignored."""
        if span.end > span.start:
            self.claims.append(Claim(span.start, span.end, label, owner, shared, tail))
