"""Which rules judge a file under the arguments of a call, with all that does not depend on the file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Final

from .model import Finding, Grade, Level, RuleResult, Verdict
from .rule import RULES, Rule, always, own
from .rules import KINDS, register

GRADES_THAT_FAIL_FOREIGN: Final = frozenset(Grade) - {Grade.INFERRED}
"""Grades of the rules that can fail a dump without a truth. Rules that are only inferred cannot."""


class SelectionError(ValueError):
    """A ``select`` or ``skip`` pattern matches no rule, or a truth is given without a request."""


def all_rules() -> dict[str, Rule]:
    """Every rule, by id."""
    for kind in KINDS:
        register(kind)
    return dict(sorted(RULES.items()))


def rule_of(id_: str) -> Rule | None:
    """The rule of that id; None if there is none. Imports no rules of other kinds if those of its kind are there."""
    return RULES.get(id_) or all_rules().get(id_)


@dataclass(frozen=True, eq=False)
class Selected:
    """A rule that judges files, and its weight."""

    rule: Rule
    level: Level
    counts: bool
    """As in ``RuleResult``."""
    own: bool
    """Whether the files are judged against a truth."""

    @cached_property
    def always(self) -> bool:
        """Whether the rule applies to every file of its kind."""
        return self.rule.applies is always

    @cached_property
    def fixed(self) -> RuleResult | None:
        """The result for every file of its kind; None if it depends on the file."""
        return self.not_applicable if self.rule.applies is own and not self.own else None

    @cached_property
    def needs(self) -> frozenset[str]:
        """The facts that the rule needs."""
        return frozenset(self.rule.needs)

    @cached_property
    def not_applicable(self) -> RuleResult:
        """The result for a dump that the rule does not apply to."""
        return self.result(Verdict.NOT_APPLICABLE)

    def result(
        self,
        verdict: Verdict,
        checks: int = 0,
        failures: int = 0,
        findings: tuple[Finding, ...] = (),
        *,
        blocked_by: str | None = None,
        note: str | None = None,
        known: int = 0,
        fact: str | None = None,
    ) -> RuleResult:
        """A result of this rule. The arguments are the fields of ``RuleResult``."""
        rule = self.rule
        return RuleResult(
            rule.id, rule.title, self.level, rule.grade, verdict, checks, failures, findings, blocked_by, note,
            self.counts, known=known, fact=fact,
        )  # fmt: skip


@lru_cache(maxsize=4096)
def without_failure(selected: Selected, checks: int) -> RuleResult:
    """The result of a rule whose checks all passed. Sound dumps share it."""
    return selected.result(Verdict.PASS if checks else Verdict.VACUOUS, checks)


@lru_cache(maxsize=4096)
def without_facts(selected: Selected, facts: tuple[str, ...]) -> RuleResult:
    """The result of a rule for a dump that lacks ``facts``."""
    return selected.result(Verdict.NOT_APPLICABLE, note=f"the dump has no {', '.join(facts)}")


@lru_cache(maxsize=64)
def selection(
    kinds: tuple[str, ...], select: tuple[str, ...], skip: tuple[str, ...], with_truth: bool, strict: bool
) -> tuple[Selected, ...]:
    """The rules for files of these kinds, by id. ``with_truth``: the file is judged against one.

    Raises SelectionError for a pattern that matches no rule of any kind.
    """
    for kind in kinds:
        register(kind)
    rules = all_rules() if select or skip else RULES
    chosen = (_matching(rules, select) if select else set(rules)) - _matching(rules, skip)
    return tuple(
        _selected(rule, with_truth, strict)
        for id_, rule in sorted(rules.items())
        if id_ in chosen and rule.kind in kinds
    )


def _selected(rule: Rule, with_truth: bool, strict: bool) -> Selected:
    level = rule.level if with_truth else rule.foreign_level
    if strict:
        return Selected(rule, level, level is not Level.MAY, with_truth)
    counts = level is Level.MUST and (with_truth or rule.grade in GRADES_THAT_FAIL_FOREIGN)
    return Selected(rule, level, counts, with_truth)


def _matching(rules: Mapping[str, Rule], patterns: Collection[str]) -> set[str]:
    """The ids that match any of the patterns. Raises SelectionError for a pattern that matches none."""
    found: set[str] = set()
    for pattern in patterns:
        here = {pattern} if pattern in rules else {id_ for id_ in rules if fnmatchcase(id_, pattern)}
        if not here:
            raise SelectionError(f"no rule matches {pattern!r}")
        found |= here
    return found
