"""The rule registry: ``@rule`` and the id grammar.

An id is ``AREA-TOPIC-NNN``: assigned once, never positional, never used again. A retired id stays in ``RETIRED``.
Areas of minidumps: MDMP (container and streams), XCUT (across streams), PAGE (memory against truth), TRUE (streams
against truth). Areas of kernel dumps: KHDR (main header), KFIL (the file as a whole, secondary data), KFUL, KBMP, KRNG
(where the pages are: runs in the header, bitmap, ranges), KPAG (which pages, and their bytes), KTRI (small dumps), KXCT
(across structures).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from .model import Fault, Grade, Level, Source, Span

if TYPE_CHECKING:
    from .case import Case, KernelCase

ID = re.compile(r"[A-Z]{4}-[A-Z0-9]+(?:-[A-Z0-9]+)*-[0-9]{3}")

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
T = TypeVar("T")
Applies = Callable[["Case"], bool]


def always(_case: Case | KernelCase) -> bool:
    return True


def own(case: Case | KernelCase) -> bool:
    """Only a dump that is judged against its truth."""
    return case.truth is not None


def foreign(case: Case | KernelCase) -> bool:
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
    """Takes a Case or a KernelCase, by ``kind``."""
    needs: tuple[str, ...]
    """Facts without which the rule cannot run: keys of ``Reading.facts``."""
    reports: tuple[str, ...]
    """Topics of reader defects that this rule speaks for."""
    applies: Callable[[Any], bool] = field(repr=False)
    kind: str = "minidump"
    """The files that it judges: ``Reading.kind``."""

    @property
    def grade(self) -> Grade:
        """The strongest grade among the sources."""
        return min((source.grade for source in self.sources), key=list(Grade).index)

    @property
    def rationale(self) -> str:
        return (self.check.__doc__ or "").strip()


RULES: dict[str, Rule] = {}


def rule(
    id: str,  # noqa: A002
    title: str,
    level: Level,
    *sources: Source,
    needs: tuple[str, ...] = (),
    reports: tuple[str, ...] = (),
    applies: Applies = always,
    foreign_level: Level | None = None,
) -> Callable[[Callable[[Case], Checks]], Callable[[Case], Checks]]:
    """Register a rule. The decorated function yields ``ok`` and ``bad`` checks; ``explain`` prints its docstring.

    Raises ValueError at import for a malformed, repeated or retired id, and for a rule without a source.
    """
    return _registration(
        "minidump", id, title, level, sources,
        needs=needs, reports=reports, applies=applies, foreign_level=foreign_level,
    )  # fmt: skip


def kernel_rule(
    id: str,  # noqa: A002
    title: str,
    level: Level,
    *sources: Source,
    needs: tuple[str, ...] = (),
    reports: tuple[str, ...] = (),
    applies: Callable[[KernelCase], bool] = always,
    foreign_level: Level | None = None,
) -> Callable[[Callable[[KernelCase], Checks]], Callable[[KernelCase], Checks]]:
    """Like ``rule``, for the rules of kernel dumps."""
    return _registration(
        "kernel-dump", id, title, level, sources,
        needs=needs, reports=reports, applies=applies, foreign_level=foreign_level,
    )  # fmt: skip


def _registration(
    kind: str,
    id: str,  # noqa: A002
    title: str,
    level: Level,
    sources: tuple[Source, ...],
    *,
    needs: tuple[str, ...],
    reports: tuple[str, ...],
    applies: Callable[[Any], bool],
    foreign_level: Level | None,
) -> Callable[[Callable[[T], Checks]], Callable[[T], Checks]]:
    if not ID.fullmatch(id):
        raise ValueError(f"rule id {id!r} is not AREA-TOPIC-NNN")
    if id in RULES or id in RETIRED:
        raise ValueError(f"rule id {id} is taken")
    if not sources:
        raise ValueError(f"rule {id} names no source")

    def register(check: Callable[[T], Checks]) -> Callable[[T], Checks]:
        RULES[id] = Rule(id, title, level, foreign_level or level, sources, check, needs, reports, applies, kind)
        return check

    return register
