"""Registers rules: the decorators ``rule``, ``kernel_rule``, ``userdump_rule``, ``cab_rule`` and ``file_rule``.

A rule's id is ``AREA-TOPIC-NNN``. It is assigned once and never reused; a retired id stays in ``RETIRED``. Areas:

- minidumps: MDMP (container and streams), XCUT (across streams), PAGE (memory against truth), TRUE (streams against
  truth)
- full user dumps: UDMP, and against truth TRUE-UDMP
- cabinets: CAB
- kernel dumps: KHDR (main header), KFIL (the whole file, secondary data), KFUL, KBMP, KRNG (how runs, a bitmap or
  ranges locate pages), KPAG (which pages, and their bytes), KTRI (small dumps), KXCT (across structures)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from .model import Fault, Grade, Level, Source, Span

if TYPE_CHECKING:
    from .case import AnyCase, CabinetCase, Case, FileCase, KernelCase, UserdumpCase

ID = re.compile(r"[A-Z]{3,4}-[A-Z0-9]+(?:-[A-Z0-9]+)*-[0-9]{3}")

RETIRED: frozenset[str] = frozenset({"CAB-CEILING-001", "KFIL-CEILING-001", "MDMP-LAYOUT-003", "UDMP-CEILING-001"})


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a rule, or ``count`` equal checks that all passed."""

    subject: str
    passed: bool
    fault: Fault = Fault.WRONG
    expected: tuple[str, ...] = ()
    actual: str = ""
    spans: tuple[Span, ...] = ()
    count: int = 1
    memory: tuple[Span, ...] = ()
    """As in ``Finding``."""
    address: int | None = None
    """The virtual address that led to ``memory``, if page tables did."""


PASSED: Final = Check("", True)
"""One check that passed."""


def ok(subject: str, count: int = 1) -> Check:  # noqa: ARG001 - it tells a reader of the rule what was checked
    """A check of ``subject`` that passed, or ``count`` of them. Reports count them and do not name the subject."""
    return PASSED if count == 1 else _passed(count)


@lru_cache(maxsize=256)
def _passed(count: int) -> Check:
    return Check("", True, count=count)


def bad(
    subject: str,
    expected: str | tuple[str, ...],
    actual: str,
    *spans: Span,
    fault: Fault = Fault.WRONG,
    memory: tuple[Span, ...] = (),
    address: int | None = None,
) -> Check:
    """A check that failed. ``expected`` are the acceptable values; ``spans`` are bytes of the file."""
    acceptable = (expected,) if isinstance(expected, str) else expected
    return Check(subject, False, fault, acceptable, actual, spans, memory=memory, address=address)


Checks = Iterator[Check]
CaseT = TypeVar("CaseT")


def always(_case: object) -> bool:
    """Applies to every dump."""
    return True


def own(case: AnyCase) -> bool:
    """Applies to a dump that is judged against a truth."""
    return case.truth is not None


def foreign(case: AnyCase) -> bool:
    """Applies to a dump that is judged without a truth."""
    return case.truth is None


@dataclass(frozen=True, slots=True)
class Rule:
    """A registered rule."""

    id: str
    title: str
    level: Level
    foreign_level: Level
    """The level for a dump that is judged without a truth."""
    sources: tuple[Source, ...]
    check: Callable[[Any], Checks] = field(repr=False)
    """Takes the case of the rule's ``kind`` and yields checks."""
    needs: tuple[str, ...]
    """Facts without which the rule cannot run: keys of ``Reading.facts``."""
    reports: tuple[str, ...]
    """Topics of the reader's defects that this rule reports."""
    applies: Callable[[Any], bool] = field(repr=False)
    kind: str = "minidump"
    """The kind of file that it judges, as in ``Reading.kind``; ``file`` judges the file itself, of any kind."""
    grade: Grade = field(init=False)
    """The strongest grade of the sources."""

    def __post_init__(self) -> None:
        strongest = min((source.grade for source in self.sources), key=list(Grade).index)
        object.__setattr__(self, "grade", strongest)

    @property
    def rationale(self) -> str:
        """Why the rule exists: the docstring of its check."""
        return (self.check.__doc__ or "").strip()


RULES: dict[str, Rule] = {}


class Registrar(Generic[CaseT]):
    """A decorator that registers rules for one kind of file.

    The decorated function takes a case and yields ``ok`` and ``bad``. ``dumptruth explain`` prints its docstring.
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
        """Raises ValueError for a malformed, repeated or retired id, and for a rule without a source."""
        if not ID.fullmatch(id):
            raise ValueError(f"rule id {id!r} is not AREA-TOPIC-NNN")
        if id in RULES or id in RETIRED:
            raise ValueError(f"rule id {id} is registered already, or retired")
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
"""Rules about the file itself, whatever its kind."""
