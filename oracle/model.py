"""What the judge says: levels, grades, sources, verdicts, findings, the report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How binding a rule is, in the sense of RFC 2119."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class Grade(StrEnum):
    """The evidence behind a rule, strongest first."""

    WITNESSED = "WITNESSED"
    """The vendor's own code was measured to do so; the source names the versions."""
    DOCUMENTED = "DOCUMENTED"
    """A vendor page or header says it."""
    IMPLEMENTED = "IMPLEMENTED"
    """Two or more independent public readers or writers agree on it."""
    OBSERVED = "OBSERVED"
    """It was measured in real dumps."""
    INFERRED = "INFERRED"
    """It follows from names, sizes or behaviour; nobody authoritative says it."""


@dataclass(frozen=True, slots=True)
class Source:
    """The evidence for a rule: a paragraph of this project's documents, or a public page.

    Raises ValueError when the versions and the grade do not go together.
    """

    where: str
    """``docs/format/PAGE.md#HEADING``, or the address of a public page."""
    grade: Grade
    versions: tuple[str, ...] = ()
    """The builds of the vendor's code that were measured, such as ``29507``; for WITNESSED, and only there."""

    def __post_init__(self) -> None:
        if bool(self.versions) != (self.grade is Grade.WITNESSED):
            raise ValueError(f"{self.where}: a source names versions exactly if its grade is WITNESSED")

    def __str__(self) -> str:
        return f"{self.where} [{' '.join([self.grade, *self.versions])}]"


class Verdict(StrEnum):
    PASS = "PASS"
    FAIL = "FAIL"
    VACUOUS = "VACUOUS"
    """The rule applied, and found nothing to check."""
    NOT_APPLICABLE = "NOT_APPLICABLE"
    BLOCKED = "BLOCKED"
    """An earlier failure took away what the rule needs."""
    ERROR = "ERROR"
    """A bug in the judge."""


class Outcome(StrEnum):
    """The verdict on the file. ``exit_status`` is that of ``dumptruth check``."""

    CONFORMANT = "CONFORMANT"
    NON_CONFORMANT = "NON_CONFORMANT"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    NOT_A_DUMP = "NOT_A_DUMP"

    @property
    def exit_status(self) -> int:
        return {"CONFORMANT": 0, "NON_CONFORMANT": 1, "INTERNAL_ERROR": 2, "NOT_A_DUMP": 3}[self.value]


class Fault(StrEnum):
    """The three ways to be wrong."""

    MISSING = "missing"
    """Too little: what is required is not there."""
    FORBIDDEN = "forbidden"
    """Too much: what may not be there is."""
    WRONG = "wrong"
    """It is there, with the wrong bytes."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes ``[start, end)`` of the file."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.start:#x}..{self.end:#x}"


@dataclass(frozen=True, slots=True)
class DontCare:
    """Bytes that no rule can judge, by declaration."""

    span: Span
    why: str


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    subject: str
    """What is at fault, as a reader of the report names it: ``thread 0x1238``, ``page 0x7ff60001000``, ``stream 9``."""
    fault: Fault
    expected: tuple[str, ...]
    """Every acceptable outcome."""
    actual: str
    spans: tuple[Span, ...]
    memory: tuple[Span, ...] = ()
    """Bytes of the target at fault that the file does not hold, so that no span can name them: virtual addresses,
    physical ones of a kernel dump with pages."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    rule: str
    title: str
    level: Level
    grade: Grade
    verdict: Verdict
    checks: int
    """How many single checks were made."""
    failures: int
    """How many of them failed; ``findings`` holds the first few."""
    findings: tuple[Finding, ...]
    blocked_by: str | None = None
    note: str | None = None
    counts: bool = True
    """Whether a failure of this rule fails the dump under the chosen profile and strictness."""
    inside: str | None = None
    """The member of the cabinet that the spans are offsets in; None: they are offsets in the file itself."""


@dataclass(frozen=True, slots=True)
class MemberReport:
    """The dump inside a cabinet."""

    name: str
    kind: str
    """What ``identify`` says of it."""
    size: int
    """In bytes, uncompressed; like the following ones."""
    claimed: int
    unclaimed: int
    dont_care: int


@dataclass(frozen=True, slots=True)
class Report:
    outcome: Outcome
    file: str
    kind: str
    """``minidump``, or what ``identify`` says of a file that is none."""
    size: int
    profile: str
    strict: bool
    own: bool
    """Judged against a truth and a request; otherwise only the structural rules ran."""
    qualifier: str | None
    results: tuple[RuleResult, ...]
    claimed: int
    """Bytes of the file that a fact, a page or a declared padding owns."""
    unclaimed: int
    pages: int
    """Pages of the target of which the dump holds bytes."""
    dont_cares: tuple[DontCare, ...] = ()
    reason: str | None = None
    """Why the file is no dump, or what went wrong inside the judge."""
    member: MemberReport | None = None
    """The dump that was judged inside a cabinet; ``size`` to ``dont_care`` are then the cabinet's, ``pages`` the
    dump's. None for a file that is a dump itself.
    """

    def failing(self) -> Iterable[RuleResult]:
        return (result for result in self.results if result.verdict is Verdict.FAIL and result.counts)

    @property
    def dont_care(self) -> int:
        """Bytes that no rule can judge, by declaration."""
        return sum(len(item.span) for item in self.dont_cares)

    @property
    def checks(self) -> int:
        return sum(result.checks for result in self.results)
