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
from typing import TYPE_CHECKING, Any, TypeVar

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
T = TypeVar("T")
Applies = Callable[["Case"], bool]


def always(_case: AnyCase) -> bool:
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


def userdump_rule(
    id: str,  # noqa: A002
    title: str,
    level: Level,
    *sources: Source,
    needs: tuple[str, ...] = (),
    reports: tuple[str, ...] = (),
    applies: Callable[[UserdumpCase], bool] = always,
    foreign_level: Level | None = None,
) -> Callable[[Callable[[UserdumpCase], Checks]], Callable[[UserdumpCase], Checks]]:
    """Like ``rule``, for the rules of legacy full user dumps."""
    return _registration(
        "userdump", id, title, level, sources,
        needs=needs, reports=reports, applies=applies, foreign_level=foreign_level,
    )  # fmt: skip


def cab_rule(
    id: str,  # noqa: A002
    title: str,
    level: Level,
    *sources: Source,
    needs: tuple[str, ...] = (),
    reports: tuple[str, ...] = (),
    applies: Callable[[CabinetCase], bool] = always,
    foreign_level: Level | None = None,
) -> Callable[[Callable[[CabinetCase], Checks]], Callable[[CabinetCase], Checks]]:
    """Like ``rule``, for the rules of cabinets."""
    return _registration(
        "cab", id, title, level, sources,
        needs=needs, reports=reports, applies=applies, foreign_level=foreign_level,
    )  # fmt: skip


def file_rule(
    id: str,  # noqa: A002
    title: str,
    level: Level,
    *sources: Source,
    applies: Callable[[FileCase], bool] = always,
) -> Callable[[Callable[[FileCase], Checks]], Callable[[FileCase], Checks]]:
    """Like ``rule``, for what is asked of the file itself, whatever dump it is or holds."""
    return _registration("file", id, title, level, sources, needs=(), reports=(), applies=applies, foreign_level=None)


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
