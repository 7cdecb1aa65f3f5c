"""The report as JSON (schemas/report-1.json). Within a version members may be added, but not renamed or changed.

File offsets, sizes and all other 64-bit values are strings of lower-case hexadecimal with 0x. ``expected`` and
``actual`` are text for people.
"""

from __future__ import annotations

import json
from typing import Any, Final

from ..model import Finding, KnownError, MemberReport, Report, RuleResult, Shift

SCHEMA: Final = "dumptruth-report"
VERSION: Final = 1


def to_json(report: Report) -> str:
    """One JSON object with a two-space indent, keys in a fixed order and a line feed at the end.

    All characters are ASCII, so the text is valid in any code page.
    """
    return json.dumps(as_object(report), indent=2) + "\n"


def as_object(report: Report) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "outcome": report.outcome.value,
        "exit_status": report.outcome.exit_status,
        "reason": report.reason,
        "file": report.file,
        "kind": report.kind,
        "profile": report.profile,
        "strict": report.strict,
        "own": report.own,
        "qualifier": report.qualifier,
        "size": hex(report.size),
        "claimed": hex(report.claimed),
        "unclaimed": hex(report.unclaimed),
        "dont_care": hex(report.dont_care),
        "pages": hex(report.pages),
        "checks": report.checks,
        "only_known_errors": report.only_known_errors,
        "unjudged": [
            {"subject": item.subject, "limit": item.limit, "judged": item.judged, "left": item.left}
            for item in report.unjudged
        ],
        "member": None if report.member is None else _member(report.member),
        "rules": [_result(result) for result in report.results],
    }


def _member(member: MemberReport) -> dict[str, Any]:
    return {
        "name": member.name,
        "kind": member.kind,
        "size": hex(member.size),
        "claimed": hex(member.claimed),
        "unclaimed": hex(member.unclaimed),
        "dont_care": hex(member.dont_care),
    }


def _result(result: RuleResult) -> dict[str, Any]:
    return {
        "rule": result.rule,
        "title": result.title,
        "level": result.level.value,
        "grade": result.grade.value,
        "verdict": result.verdict.value,
        "counts": result.counts,
        "checks": result.checks,
        "failures": result.failures,
        "blocked_by": result.blocked_by,
        "fact": result.fact,
        "follows": result.follows,
        "note": result.note,
        "inside": result.inside,
        "findings": [_finding(finding) for finding in result.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "subject": finding.subject,
        "fault": finding.fault.value,
        "expected": list(finding.expected),
        "actual": finding.actual,
        "spans": [{"start": hex(span.start), "end": hex(span.end)} for span in finding.spans],
        "memory": [{"start": hex(part.start), "end": hex(part.end)} for part in finding.memory],
        "known_error": None if finding.known is None else _known(finding.known),
        "shift": None if finding.shift is None else _shift(finding.shift),
    }


def _shift(shift: Shift) -> dict[str, Any]:
    return {"amount": hex(shift.amount), "unit": shift.unit}


def _known(error: KnownError) -> dict[str, Any]:
    return {"id": error.id, "title": error.title, "versions": list(error.versions), "source": error.source}
