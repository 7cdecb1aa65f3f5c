"""``assert_conformant``: judge a dump inside a test, and say in the failure what is wrong and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .judge import check
from .memory.source import ByteSource
from .model import Finding, Outcome, Report, Verdict
from .readers.identify import KERNEL_DUMP, identify
from .truth.load import RequestTruth, Truth, load_any_truth, load_request, load_request_file, parse_request

SHOWN: Final = 3
"""Findings of one rule that a failure's text has."""


@dataclass
class Tally:
    """What was judged so far, for a summary."""

    dumps: int = 0
    failed: int = 0
    rules: int = 0
    """Rules that ran, over all dumps."""
    checks: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)
    """Rule -> dumps that it failed."""

    def add(self, report: Report) -> None:
        self.dumps += 1
        self.failed += report.outcome is not Outcome.CONFORMANT
        self.rules += sum(result.verdict in (Verdict.PASS, Verdict.FAIL) for result in report.results)
        self.checks += report.checks
        self.by_rule.update(result.rule for result in report.failing())

    def merge(self, told: Mapping[str, Any]) -> None:
        """Add what another process told, which is its ``as_object``."""
        self.dumps += told["dumps"]
        self.failed += told["failed"]
        self.rules += told["rules"]
        self.checks += told["checks"]
        self.by_rule.update(told["by_rule"])

    def as_object(self) -> dict[str, Any]:
        return {
            "dumps": self.dumps, "failed": self.failed, "rules": self.rules, "checks": self.checks,
            "by_rule": dict(self.by_rule),
        }  # fmt: skip


TALLY = Tally()
"""Of this process."""


def assert_conformant(
    dump: str | Path | bytes,
    truth: str | Path | Truth | None = None,
    request: str | Path | Mapping[str, Any] | RequestTruth | None = None,
    *,
    strict: bool = False,
    profile: str | None = None,
) -> Report:
    """Judge ``dump``, a path or its bytes; return the report when it is conformant.

    ``truth`` is a folder of the truth format, or one that was loaded; ``request`` a request.json, its object, or one
    that was loaded; None: the request.json beside the truth. Without truth the structural rules alone judge.
    ``profile`` None: the request's, else the default of the dump's mode. Raises AssertionError with every rule that
    fails: what it requires, what was expected, what was found, at which offsets of the file; ValueError for a truth
    without a request; TruthError, OSError.
    """
    __tracebackhide__ = True
    source = ByteSource(dump, "the dump") if isinstance(dump, bytes) else ByteSource.open(Path(dump))
    with source:
        held = load_any_truth(Path(truth)) if isinstance(truth, str | Path) else truth
        asked = _request(request, Path(truth) if isinstance(truth, str | Path) else None)
        if held is not None and asked is None:
            raise ValueError("a truth was given, and no request: what was the dump asked to hold?")
        if profile is None:
            kernel = identify(source).kind == KERNEL_DUMP
            profile = asked.profile if asked is not None else "portable" if kernel else "modern"
        report = check(source, held, None if held is None else asked, profile=profile, strict=strict)
    TALLY.add(report)
    if report.outcome is not Outcome.CONFORMANT:
        raise AssertionError("\n".join(_failure(report)))
    return report


def _request(request: str | Path | Mapping[str, Any] | RequestTruth | None, beside: Path | None) -> RequestTruth | None:
    if isinstance(request, Mapping):
        return parse_request(request)
    if isinstance(request, str | Path):
        return load_request_file(Path(request))
    if request is None and beside is not None:
        return load_request(beside)
    return request


def _failure(report: Report) -> Iterator[str]:
    failing = list(report.failing())
    if not failing:
        yield f"{report.file} cannot be judged: {report.reason or report.outcome}"
        return
    yield f"{report.file} is not conformant: {len(failing)} of {len(report.results)} rules fail"
    for result in failing:
        yield f"{result.rule} [{result.level}] {result.title}"
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
