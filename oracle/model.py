"""The parts of a report, and the report itself: levels, grades, sources, verdicts, findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How binding a rule is (RFC 2119)."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class Grade(StrEnum):
    """The evidence behind a rule, strongest first."""

    WITNESSED = "WITNESSED"
    """The vendor's code was measured to do so. The source names the versions."""
    DOCUMENTED = "DOCUMENTED"
    """A page or public header of the vendor says so."""
    IMPLEMENTED = "IMPLEMENTED"
    """Two or more independent public readers or writers do so."""
    OBSERVED = "OBSERVED"
    """Real dumps show it."""
    INFERRED = "INFERRED"
    """It follows from names, sizes or behaviour. No authority says so."""


@dataclass(frozen=True, slots=True)
class Source:
    """The evidence for a rule or a table: a section of this project's documents, or a public page.

    Raises ValueError if ``grade`` is WITNESSED and ``versions`` is empty, or the reverse.
    """

    where: str
    """``docs/format/<page>.md#<heading>`` or an https address. A table may join several, and C headers, with ``; ``."""
    grade: Grade
    versions: tuple[str, ...] = ()
    """The builds of the vendor's code that were measured, such as ``29507``. Only for WITNESSED."""

    def __post_init__(self) -> None:
        if bool(self.versions) != (self.grade is Grade.WITNESSED):
            raise ValueError(
                f"{self.where}: grade {self.grade} takes no versions, found {self.versions}; WITNESSED needs them"
            )

    def __str__(self) -> str:
        return f"{self.where} [{' '.join([self.grade, *self.versions])}]"


class Verdict(StrEnum):
    """The result of one rule."""

    PASS = "PASS"
    FAIL = "FAIL"
    VACUOUS = "VACUOUS"
    """The rule applied and found nothing to check."""
    NOT_APPLICABLE = "NOT_APPLICABLE"
    BLOCKED = "BLOCKED"
    """A fact that the rule needs is damaged; another rule reports the damage."""
    INCOMPLETE = "INCOMPLETE"
    """The budget of work ended before the rule had judged all that it judges. It found no failure so far."""
    ERROR = "ERROR"
    """The rule raised an exception: a bug in the oracle."""


class Outcome(StrEnum):
    """The verdict on a file."""

    CONFORMANT = "CONFORMANT"
    NON_CONFORMANT = "NON_CONFORMANT"
    INCOMPLETE = "INCOMPLETE"
    """Nothing fails the file, but the budget of work ended before all of it was judged."""
    INTERNAL_ERROR = "INTERNAL_ERROR"
    NOT_A_DUMP = "NOT_A_DUMP"

    @property
    def exit_status(self) -> int:
        """The exit status of ``dumptruth check``: 0 to 4."""
        statuses = {"CONFORMANT": 0, "NON_CONFORMANT": 1, "INTERNAL_ERROR": 2, "NOT_A_DUMP": 3, "INCOMPLETE": 4}
        return statuses[self.value]


class Fault(StrEnum):
    """The three ways in which a dump can be wrong."""

    MISSING = "missing"
    """Something that the dump must hold is absent."""
    FORBIDDEN = "forbidden"
    """Something that the dump must not hold is present."""
    WRONG = "wrong"
    """Something is present with the wrong bytes."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes ``[start, end)`` of a file, or of the target's memory where a field says so."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.start:#x}..{self.end:#x}"


@dataclass(frozen=True, slots=True)
class DontCare:
    """Bytes of the file that no rule judges, and the declared reason."""

    span: Span
    why: str


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A part of the file that was not judged whole, because the budget of work ended."""

    subject: str
    """The list, the stream or the rule: ``stream 3 (ThreadListStream)``, ``names of modules``."""
    limit: str
    """The limit that ended the work: ``at most 500000 records``."""
    judged: int
    """How many parts of the subject were judged."""
    left: int | None
    """How many were not; None if that is not known."""

    def __str__(self) -> str:
        of = "" if self.left is None else f" of {self.judged + self.left}"
        return f"{self.subject}: {self.judged}{of} judged, limit: {self.limit}"


@dataclass(frozen=True, slots=True)
class KnownError:
    """An error of the vendor's engine that was measured. Its dumps fail rules because of it."""

    id: str
    """``ENGINE-TOPIC``, permanent."""
    title: str
    """What the engine does wrong, in one line."""
    versions: tuple[str, ...]
    """The versions that were measured to do so, such as ``29507``."""
    source: str
    """``docs/format/<page>.md#<heading>``."""

    def __str__(self) -> str:
        engines = "engine" if len(self.versions) == 1 else "engines"
        return f"known error of the {engines} {', '.join(self.versions)}: {self.title} [{self.id}]"


@dataclass(frozen=True, slots=True)
class Shift:
    """The one amount by which many things are off."""

    amount: int
    """How much too high or too late; negative if too low or too early."""
    unit: str = "byte"
    """``byte``, ``page`` or ``entry``."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One failed check."""

    rule: str
    subject: str
    """The object at fault: ``thread 0x1238``, ``page 0x7ff60001000``, ``stream 9``."""
    fault: Fault
    expected: tuple[str, ...]
    """Every acceptable value."""
    actual: str
    spans: tuple[Span, ...]
    """The bytes of the file at fault."""
    memory: tuple[Span, ...] = ()
    """The target's bytes at fault that the file does not hold: physical addresses of a kernel dump with pages, virtual
    addresses of other dumps."""
    known: KnownError | None = None
    """The engine's error that explains the failure. The check failed all the same."""
    shift: Shift | None = None
    """The amount that explains this and other failures: the finding is their cause. ``RuleResult.follows`` of the other
    rules names this finding's rule."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one rule found in one file."""

    rule: str
    title: str
    level: Level
    grade: Grade
    verdict: Verdict
    checks: int
    """How many single checks were made."""
    failures: int
    """How many of them failed. ``findings`` holds at most the first 20."""
    findings: tuple[Finding, ...]
    blocked_by: str | None = None
    """The rule that reports the damage, if the verdict is BLOCKED."""
    note: str | None = None
    """Why the rule did not run, or not to its end, in one line."""
    counts: bool = True
    """Whether a failure of this rule fails the dump, given the level, the grade and ``--strict``."""
    inside: str | None = None
    """The cabinet member that spans are offsets in; None if they are offsets in the file."""
    known: int = 0
    """How many of the failures are known errors of the vendor's engine; 0 if a limit on work ended the rule."""
    fact: str | None = None
    """The fact that is damaged if the verdict is BLOCKED, or not read whole if it is INCOMPLETE."""
    follows: str | None = None
    """The rule whose first finding, with ``shift``, is the cause of these failures, or of the damage that blocks the
    rule. Without that cause the rule passes; then ``findings`` holds the first failure alone."""


@dataclass(frozen=True, slots=True)
class MemberReport:
    """The dump inside a cabinet. All numbers are in bytes, uncompressed."""

    name: str
    kind: str
    """Its kind by ``identify``."""
    size: int
    claimed: int
    unclaimed: int
    dont_care: int


@dataclass(frozen=True, slots=True)
class Report:
    """What the oracle found in one file."""

    outcome: Outcome
    file: str
    kind: str
    """The kind of file, by ``identify``: ``minidump``, ``kernel-dump`` and others."""
    size: int
    """In bytes."""
    profile: str
    strict: bool
    own: bool
    """Whether the file was judged against a truth and a request. Otherwise only rules of the format ran."""
    qualifier: str | None
    results: tuple[RuleResult, ...]
    """Rules that fail come first: a cause, then what follows from it; rules that block others; the other failures. The
    rest is sorted by id."""
    claimed: int
    """Bytes of the file that a fact, a page or a declared padding owns."""
    unclaimed: int
    """Bytes of the file that nothing owns."""
    pages: int
    """How many of the target's pages the dump holds bytes of."""
    dont_cares: tuple[DontCare, ...] = ()
    reason: str | None = None
    """Why the file cannot be judged, or not whole, which rule raised an exception, or that the truth is of another
    architecture."""
    member: MemberReport | None = None
    """The dump inside a cabinet; None for other files. ``pages`` is that dump's, the byte counts are the cabinet's."""
    unjudged: tuple[Unjudged, ...] = ()
    """What was not judged because the budget of work ended. Not empty if the outcome is INCOMPLETE."""

    def failing(self) -> Iterable[RuleResult]:
        """The results that make the outcome NON_CONFORMANT."""
        return (result for result in self.results if result.verdict is Verdict.FAIL and result.counts)

    @property
    def only_known_errors(self) -> bool:
        """Whether the dump was judged whole, fails, and every failure that counts is a known error of the vendor's
        engine.
        """
        failing = list(self.failing())
        return bool(failing) and not self.unjudged and all(result.known == result.failures for result in failing)

    @property
    def dont_care(self) -> int:
        """Bytes of the file that no rule judges, by declaration."""
        return sum(len(item.span) for item in self.dont_cares)

    @property
    def checks(self) -> int:
        """How many single checks were made."""
        return sum(result.checks for result in self.results)
