"""Laws about rules and mutants: every rule has a source and a mutant, every mutant fails exactly its rules.

A rule fails a dump when its verdict is FAIL, even if its level leaves the dump conformant; so collateral is exact. A
SHOULD rule counts only under ``strict``, and so does an inferred rule without truth; their mutants are judged strictly.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import pytest
from dumptruth.fixtures.mutants import all_mutants, kernel_pristine, mutants_of
from dumptruth.fixtures.mutants.registry import BaseDump, Mutant, MutatedDump, mutant
from dumptruth.fixtures.replay.replayer import replay_dump
from dumptruth.fixtures.vectors.target import case_of
from dumptruth.oracle import ByteSource, Grade, Level, Outcome, Report, RuleResult, Verdict, all_rules, check
from dumptruth.oracle.selection import selection

RULES = all_rules()
MUTANTS = all_mutants()

DECORATIVE = {
    "PAGE-REQUIRED-001": "XCUT-STACK-001 and TRUE-THREAD-003 together imply it; it says so page by page",
    "CAB-FOLDER-001": "without folders there is no dump to judge: the outcome is that the file is none",
    "CAB-HEADER-001": "without a header there is no dump to judge: the outcome is that the file is none",
    "TRUE-UDMP-HEADER-001": "with another machine every CONTEXT has another length, which many rules find; it says why",
    "KPAG-ROOT-001": "without the root nothing translates, which many rules find; it says why",
    "KPAG-SHARED-001": "KPAG-KERNEL-001 implies it; it names the pages that are easily taken for the user's",
    "KXCT-DTB-002": "without the kernel's half nothing translates, which many rules find; it says why",
}
"""Rules that never fail alone, and why they exist."""


@cache
def spoilt(name: str) -> MutatedDump:
    made = MUTANTS[name].make(case_of(MUTANTS[name].base))
    return made if isinstance(made, MutatedDump) else MutatedDump(made)


def strict_for(subject: Mutant) -> bool:
    rule = RULES[subject.rule]
    level = rule.foreign_level if subject.foreign else rule.level
    return level is not Level.MUST or (subject.foreign and rule.grade is Grade.INFERRED)


def judge(subject: Mutant, *, skip: tuple[str, ...] = ()) -> Report:
    case, made = case_of(subject.base), spoilt(subject.id)
    own = not subject.foreign
    return check(
        ByteSource(made.data, subject.id),
        (made.truth or case.truth) if own else None,
        (made.asked or case.asked) if own else None,
        strict=strict_for(subject),
        replay=made.replay,
        skip=skip,
    )


def judge_pristine(base: BaseDump, *, own: bool) -> Report:
    case = case_of(base)
    return check(
        ByteSource(case.data, base),
        case.truth if own else None,
        case.asked if own else None,
        strict=True,
        replay=replay_dump if not base.kernel else kernel_pristine.replay if own else None,
    )


def failing(report: Report) -> set[str]:
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL}


def ways(bases: Iterable[BaseDump]) -> list[tuple[BaseDump, bool]]:
    """Every base with truth (if it has one) and without."""
    return [(base, own) for base in bases for own in (True, False) if not (own and base.foreign)]


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_title_reason_and_source(name: str) -> None:
    rule = RULES[name]
    assert rule.title
    assert rule.rationale, "explain prints the docstring"
    assert rule.sources
    assert all(source.where and source.grade in Grade for source in rule.sources)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_a_mutant(name: str) -> None:
    assert mutants_of(name), f"no mutant fails {name}"


def test_every_mutant_names_rules_that_exist() -> None:
    named = {rule for subject in MUTANTS.values() for rule in (subject.rule, *subject.collateral)}
    assert named <= set(RULES)
    assert not [subject.id for subject in MUTANTS.values() if subject.rule in subject.collateral]


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_fails_its_rule_and_its_declared_collateral_alone(name: str) -> None:
    subject = MUTANTS[name]
    assert subject.note, "a mutant's docstring says what goes wrong"
    report = judge(subject)
    assert failing(report) == {subject.rule} | subject.collateral
    assert report.outcome is Outcome.NON_CONFORMANT, report.reason
    (result,) = (result for result in report.results if result.rule == subject.rule)
    assert result.counts
    assert result.findings


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if index % 3 else ())
        for index, name in enumerate(name for name, it in MUTANTS.items() if it.foreign and not it.base.foreign)
    ],
)
def test_a_mutant_that_fails_without_truth_also_fails_with_it(name: str) -> None:
    case, made = case_of(MUTANTS[name].base), spoilt(name)
    source = ByteSource(made.data, name)
    report = check(source, made.truth or case.truth, made.asked or case.asked, strict=True, replay=made.replay)
    assert report.outcome is Outcome.NON_CONFORMANT, report.reason


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_differs_from_its_base_dump(name: str) -> None:
    made, case = spoilt(name), case_of(MUTANTS[name].base)
    changed = (made.asked, case.asked), (made.truth, case.truth)
    assert made.data != case.data or made.replay or any(other not in (None, own) for other, own in changed)


def test_no_two_mutants_are_the_same_fault() -> None:
    seen: dict[tuple[object, ...], str] = {}
    for name, subject in MUTANTS.items():
        made = spoilt(name)
        key = (subject.base, subject.foreign, made.data, *map(id, (made.asked, made.replay, made.truth)))
        assert seen.setdefault(key, name) == name, f"{name} is the same fault as {seen[key]}"


@pytest.mark.parametrize(("base", "own"), ways(BaseDump), ids=str)
def test_every_pristine_dump_is_conformant_also_under_strict(base: BaseDump, own: bool) -> None:
    report = judge_pristine(base, own=own)
    assert failing(report) == set()
    assert report.outcome is Outcome.CONFORMANT, report.reason
    assert report.unclaimed == 0
    assert not [result.rule for result in report.results if result.verdict is Verdict.BLOCKED]


def test_every_rule_finds_something_to_check_in_a_pristine_dump() -> None:
    passing = {
        result.rule
        for base, own in ways(BaseDump)
        for result in judge_pristine(base, own=own).results
        if result.verdict is Verdict.PASS and result.checks > 0
    }
    assert set(RULES) - passing == set(), "these rules check nothing in any pristine dump"


@pytest.mark.parametrize("name", RULES)
def test_with_any_rule_off_a_mutant_of_it_survives(name: str) -> None:
    survives = any(
        judge(subject, skip=(name,)).outcome is Outcome.CONFORMANT
        for subject in sorted(mutants_of(name), key=lambda subject: len(subject.collateral))
    )
    assert survives != (name in DECORATIVE), f"{name}: other rules catch all that it catches"


def test_the_order_of_the_rules_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = [mutants_of(name)[0] for name in list(RULES)[::6]]
    forwards = [_by_rule(judge(subject)) for subject in subjects]
    monkeypatch.setattr("dumptruth.oracle.judge.selection", lambda *asked: selection(*asked)[::-1])
    backwards = [_by_rule(judge(subject)) for subject in subjects]
    assert backwards == forwards


def _by_rule(report: Report) -> list[RuleResult]:
    """The results in the order of the rules' names. A report has them by cause."""
    return sorted(report.results, key=lambda result: (result.rule, result.inside or ""))


def test_a_mutant_needs_a_proper_name_and_a_vector_that_has_a_truth() -> None:
    with pytest.raises(ValueError, match="lower-case words"):
        mutant("MDMP-HEADER-001", "No Name", BaseDump.SMALL, MUTANTS["MDMP-HEADER-001/cut-inside-the-header"].bug)
    with pytest.raises(ValueError, match="no truth"):
        mutant("MDMP-HEADER-001", "name", BaseDump.X86, MUTANTS["MDMP-HEADER-001/cut-inside-the-header"].bug)
