"""``assert_conformant``: judges a dump inside a test. The failure lists the broken rules with their findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .checking import check
from .memory.source import ByteSource
from .model import Finding, Outcome, Report
from .report.numbers import numbers
from .truth.load import RequestTruth, Truth

SHOWN: Final = 3
"""Findings of one rule that the text of a failure has."""


@dataclass
class Tally:
    """Counts of judged dumps, for the summary of a test run."""

    dumps: int = 0
    failed: int = 0
    rules: int = 0
    """Rules that checked something, summed over all dumps."""
    checks: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)
    """Rule -> number of dumps that broke it."""

    def add(self, report: Report) -> None:
        self.dumps += 1
        self.failed += report.outcome is not Outcome.CONFORMANT
        count = numbers(report)
        self.rules += count.run
        self.checks += count.checks
        self.by_rule.update(result.rule for result in report.failing())

    def merge(self, counts: Mapping[str, Any]) -> None:
        """Add the counts of another process, as its ``as_object`` returned them."""
        self.dumps += counts["dumps"]
        self.failed += counts["failed"]
        self.rules += counts["rules"]
        self.checks += counts["checks"]
        self.by_rule.update(counts["by_rule"])

    def as_object(self) -> dict[str, Any]:
        return {
            "dumps": self.dumps, "failed": self.failed, "rules": self.rules, "checks": self.checks,
            "by_rule": dict(self.by_rule),
        }  # fmt: skip


TALLY = Tally()
"""The counts of this process."""


def assert_conformant(
    dump: str | Path | bytes,
    truth: str | Path | Truth | None = None,
    request: str | Path | Mapping[str, Any] | RequestTruth | None = None,
    *,
    strict: bool = False,
    profile: str | None = None,
) -> Report:
    """Judge ``dump``, a path or its bytes, and return the report if it conforms.

    ``truth`` is a truth directory or a loaded truth. Without it only the structural rules run. ``request`` is a
    request.json, its JSON object or a loaded request; None: the request.json of the truth directory. If ``profile`` is
    None, the request's profile is used, else the default of the dump's mode.

    Raises AssertionError with every rule that fails: title, expected and actual values, offsets in the file. Raises
    ValueError for a truth without a request, and TruthError and OSError for files that cannot be read.
    """
    __tracebackhide__ = True
    source = ByteSource(dump, "the dump") if isinstance(dump, bytes) else ByteSource.open(Path(dump))
    with source:
        report = check(source, truth, request, profile=profile, strict=strict)
    TALLY.add(report)
    if report.outcome is not Outcome.CONFORMANT:
        raise AssertionError("\n".join(_failure(report)))
    return report


def _failure(report: Report) -> Iterator[str]:
    failing = list(report.failing())
    if report.outcome is Outcome.INCOMPLETE:
        yield f"{report.file} is not judged whole:"
        yield from (f"  {item}" for item in report.unjudged)
        return
    if not failing:
        yield f"{report.file} cannot be judged: {report.reason or report.outcome}"
        return
    yield f"{report.file} is not conformant: {len(failing)} of {len(report.results)} rules fail"
    for result in failing:
        because = "" if result.follows is None else f" (follows from {result.follows})"
        yield f"{result.rule} [{result.level}] {result.title}{because}"
        for finding in result.findings[:SHOWN]:
            yield from _finding(finding, result.inside)
        if result.failures > SHOWN:
            yield f"  ... and {result.failures - SHOWN} more"


def _finding(finding: Finding, inside: str | None) -> Iterator[str]:
    yield f"  {finding.subject}: {finding.fault}"
    yield f"    expected  {' or '.join(finding.expected)}"
    yield f"    actual    {finding.actual}"
    if finding.spans:
        where = f" of {inside}" if inside is not None else ""
        yield f"    offset    {', '.join(str(span) for span in finding.spans)}{where}"
