"""The rule registry: ``@rule`` and the id grammar.

An id is ``AREA-TOPIC-NNN``: assigned once, never positional, never used again. A retired id stays in ``RETIRED``.
Areas of minidumps: MDMP (container and streams), XCUT (across streams), PAGE (memory against truth), TRUE (streams
against truth). Areas of full user dumps: UDMP, and against truth TRUE-UDMP. Of cabinets, whatever dump is inside: CAB.
Areas of kernel dumps: KHDR (main header), KFIL (the file as a whole, secondary data), KFUL, KBMP, KRNG
(where the pages are: runs in the header, bitmap, ranges), KPAG (which pages, and their bytes), KTRI (small dumps), KXCT
(across structures).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .model import Fault, Grade, Level, Source, Span

if TYPE_CHECKING:
    from .case import AnyCase, CabinetCase, Case, FileCase, KernelCase, UserdumpCase

ID = re.compile(r"[A-Z]{3,4}-[A-Z0-9]+(?:-[A-Z0-9]+)*-[0-9]{3}")

RETIRED: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Check:
    """One or more checks of a rule. ``count`` > 1 stands for that many alike that all passed."""

    subject: str
    passed: bool
    fault: Fault = Fault.WRONG
    expected: tuple[str, ...] = ()
    actual: str = ""
    spans: tuple[Span, ...] = ()
    count: int = 1
    memory: tuple[Span, ...] = ()
    """As in Finding."""


def ok(subject: str, count: int = 1) -> Check:
    return Check(subject, True, count=count)


def bad(
    subject: str,
    expected: str | tuple[str, ...],
    actual: str,
    *spans: Span,
    fault: Fault = Fault.WRONG,
    memory: tuple[Span, ...] = (),
) -> Check:
    acceptable = (expected,) if isinstance(expected, str) else expected
    return Check(subject, False, fault, acceptable, actual, spans, memory=memory)


Checks = Iterator[Check]
CaseT = TypeVar("CaseT")


def always(_case: object) -> bool:
    return True


def own(case: AnyCase) -> bool:
    """Only a dump that is judged against its truth."""
    return case.truth is not None


def foreign(case: AnyCase) -> bool:
    return case.truth is None


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    title: str
    level: Level
    foreign_level: Level
    """The level for a dump that is judged without truth; the spec grades some rules twice."""
    sources: tuple[Source, ...]
    check: Callable[[Any], Checks] = field(repr=False)
    """Takes the case of its ``kind``."""
    needs: tuple[str, ...]
    """Facts without which the rule cannot run: keys of ``Reading.facts``."""
    reports: tuple[str, ...]
    """Topics of reader defects that this rule speaks for."""
    applies: Callable[[Any], bool] = field(repr=False)
    kind: str = "minidump"
    """The files that it judges: ``Reading.kind``; or ``file``, a file of any kind as it lies on the disk."""
    grade: Grade = field(init=False)
    """The strongest grade among the sources."""

    def __post_init__(self) -> None:
        strongest = min((source.grade for source in self.sources), key=list(Grade).index)
        object.__setattr__(self, "grade", strongest)

    @property
    def rationale(self) -> str:
        return (self.check.__doc__ or "").strip()


RULES: dict[str, Rule] = {}


class Registrar(Generic[CaseT]):
    """A decorator that registers the rules of one kind of file. The decorated function yields ``ok`` and ``bad``.

    ``dumptruth explain`` prints the function's docstring.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __call__(
        self,
        id: str,  # noqa: A002
        title: str,
        level: Level,
        *sources: Source,
        needs: tuple[str, ...] = (),
        reports: tuple[str, ...] = (),
        applies: Callable[[CaseT], bool] = always,
        foreign_level: Level | None = None,
    ) -> Callable[[Callable[[CaseT], Checks]], Callable[[CaseT], Checks]]:
        """Raises ValueError at import for a malformed, repeated or retired id, and for a rule without evidence."""
        if not ID.fullmatch(id):
            raise ValueError(f"rule id {id!r} is not AREA-TOPIC-NNN")
        if id in RULES or id in RETIRED:
            raise ValueError(f"rule id {id} is taken")
        if not sources:
            raise ValueError(f"rule {id} names no source")

        def register(check: Callable[[CaseT], Checks]) -> Callable[[CaseT], Checks]:
            RULES[id] = Rule(
                id, title, level, foreign_level or level, sources, check, needs, reports, applies, self._kind
            )
            return check

        return register


rule: Registrar[Case] = Registrar("minidump")
kernel_rule: Registrar[KernelCase] = Registrar("kernel-dump")
userdump_rule: Registrar[UserdumpCase] = Registrar("userdump")
cab_rule: Registrar[CabinetCase] = Registrar("cab")
file_rule: Registrar[FileCase] = Registrar("file")
"""Rules about the file itself, whatever dump it is or holds."""
