"""The numbers of a report. Text, HTML, JUnit and the pytest plugin print these, so that they never differ."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from ..model import Report, Verdict


class Numbers(NamedTuple):
    """How many rules ended in which way. Each rule is counted once."""

    passed: int
    failed: int
    """Rules that fail the file."""
    noted: int
    """Rules that fail without failing the file."""
    vacuous: int
    not_applicable: int
    blocked: int
    incomplete: int
    """Rules that the budget of work ended before they failed."""
    errors: int
    checks: int
    failed_checks: int
    """Of all rules, those that are only noted included."""

    @property
    def run(self) -> int:
        """Rules that checked something: passed, failed or noted."""
        return self.passed + self.failed + self.noted


def numbers(report: Report) -> Numbers:
    """Count the results of ``report``."""
    verdicts = Counter(result.verdict for result in report.results)
    failed = sum(1 for _ in report.failing())
    return Numbers(
        passed=verdicts[Verdict.PASS],
        failed=failed,
        noted=verdicts[Verdict.FAIL] - failed,
        vacuous=verdicts[Verdict.VACUOUS],
        not_applicable=verdicts[Verdict.NOT_APPLICABLE],
        blocked=verdicts[Verdict.BLOCKED],
        incomplete=verdicts[Verdict.INCOMPLETE],
        errors=verdicts[Verdict.ERROR],
        checks=report.checks,
        failed_checks=sum(result.failures for result in report.results),
    )
