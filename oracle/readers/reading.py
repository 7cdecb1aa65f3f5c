"""What reading any dump leaves behind: facts, the defects met, and which bytes of the file belong to what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from ..memory.source import ByteSource
from ..model import DontCare, Fault, Span


@dataclass(frozen=True, slots=True)
class Defect:
    """Something the reader met that the format does not allow. A rule whose ``reports`` has the topic speaks for it."""

    topic: str
    subject: str
    fault: Fault
    expected: tuple[str, ...]
    actual: str
    spans: tuple[Span, ...]


class Owner(StrEnum):
    """What a claimed byte is."""

    FACT = "fact"
    MEMORY = "memory"
    PADDING = "padding"


@dataclass(frozen=True, slots=True)
class Claim:
    """Bytes of the file that something owns."""

    span: Span
    label: str
    owner: Owner = Owner.FACT
    shared: bool = False
    """An identical claim (same bytes, same kind of thing) is legal: equal strings, a context cited twice."""


@dataclass(frozen=True, slots=True)
class Accounting:
    """Who owns the bytes of the file."""

    claimed: int = 0
    """Bytes that a fact, captured memory or a padding owns."""
    overlaps: tuple[tuple[Claim, Claim], ...] = ()
    """Pairs of claims, neighbours in file order, that want the same bytes; the first few."""
    overlap_total: int = 0
    gaps: tuple[Span, ...] = ()
    """Unclaimed bytes that are no padding, in file order; the first few."""
    gap_total: int = 0
    unclaimed: int = 0
    """Bytes in all such gaps."""
    regions: int = 0
    """Claims after identical shared ones are taken together."""


@dataclass
class Reading:
    """A file as one of the readers left it."""

    source: ByteSource

    kind: ClassVar[str]
    """What ``identify`` calls such a file, and ``Rule.kind`` the rules for it."""
    ceiling: ClassVar[str]
    """How much of a file is decoded at most, for people."""
    ceiling_topic: ClassVar[str] = "ceiling"

    facts: set[str] = field(default_factory=set)
    """What could be decoded; a rule ``needs`` it by these names."""
    broken: dict[str, str] = field(default_factory=dict)
    """What should be there and could not be decoded: fact -> topic of the defect."""
    defects: list[Defect] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    dont_cares: list[DontCare] = field(default_factory=list)
    accounting: Accounting = field(default_factory=Accounting)
    records_left: int = 500_000
    """How many more records may be decoded: the ceiling on the memory that a hostile file can cost."""
    _exhausted: bool = False

    def dont_care(self, span: Span, why: str) -> None:
        """Declare that no rule judges ``span``. Only where a document leaves a writer free."""
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
        """Record a defect. ``loses`` are the facts it costs; with them goes the account of whose bytes are whose."""
        self.defects.append(Defect(topic, subject, fault, (expected,), actual, spans))
        if loses is not None:
            for fact in (*loses, "accounting"):
                self.breaks(fact, topic)

    def defects_of(self, topic: str) -> int:
        """How many defects of ``topic`` the reader met."""
        return sum(defect.topic == topic for defect in self.defects)

    def grant(self, records: int) -> int:
        """How many of ``records`` may be decoded; fewer than asked is a defect that breaks every fact."""
        granted = min(max(records, 0), self.records_left)
        self.records_left -= granted
        if granted < records:
            self.exhausted()
        return granted

    @property
    def is_exhausted(self) -> bool:
        """The file asks for more than the judge decodes."""
        return self._exhausted

    def exhausted(self) -> None:
        """Record, once, that the file asks for more than the judge decodes."""
        if not self._exhausted:
            self._exhausted = True
            self.defect(self.ceiling_topic, "file", self.ceiling, "more", loses=())

    def breaks(self, fact: str, topic: str) -> None:
        """Record that ``fact`` cannot be relied on because of a defect of ``topic``; the first defect is kept."""
        self.facts.discard(fact)
        self.broken.setdefault(fact, topic)

    def found(self, fact: str) -> None:
        if fact not in self.broken:
            self.facts.add(fact)

    def claim(self, span: Span, label: str, owner: Owner = Owner.FACT, *, shared: bool = False) -> None:
        if span.end > span.start:
            self.claims.append(Claim(span, label, owner, shared))
