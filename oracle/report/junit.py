"""The report as JUnit XML, for test dashboards. Each rule is one test case.

- A rule that fails the dump is a failure.
- A rule that fails without failing the dump passes, and ``system-out`` holds its findings.
- A rule that was not judged (not applicable, blocked, nothing to check) is skipped with the reason.
- A bug in the judge is an error.
- A file that is not a dump is one test case that ends in an error.
- A file that is not judged whole has one more test case, which ends in an error.

There are no times, so two reports of one file are equal. The dialect is the common one of Jenkins, GitLab, Azure DevOps
and pytest: ``testsuites``, ``testsuite``, ``properties``, ``testcase``, ``failure``, ``error``, ``skipped``,
``system-out``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ..model import Outcome, Report, RuleResult, Verdict
from .numbers import numbers
from .text import finding_text

CLOSING: Final = "</testsuites>\n"
_COUNTED: Final = {"tests": "testcase", "failures": ".//failure", "errors": ".//error", "skipped": ".//skipped"}
_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may hold, escaped or not: the complement of Char (W3C, XML 1.0, section 2.2)."""
_NOT_JUDGED: Final = {
    Verdict.NOT_APPLICABLE: "not applicable",
    Verdict.BLOCKED: "not judged",
    Verdict.INCOMPLETE: "not judged to its end",
    Verdict.VACUOUS: "applies, but found nothing to check",
}


@dataclass(frozen=True, slots=True)
class Suite:
    """The element ``testsuite`` of one file, as text."""

    text: str
    totals: dict[str, int]
    """The numbers of test cases, failures, errors and skipped test cases."""


def to_junit(report: Report) -> str:
    """The whole document with its declaration. All characters are ASCII, so the text is valid in any code page."""
    suite = as_suite(report, report.file)
    return "".join((opening(suite.totals), suite.text, CLOSING))


def opening(totals: Mapping[str, int]) -> str:
    """The start of the document. The suites follow, then ``CLOSING``."""
    attributes = "".join(f' {name}="{number}"' for name, number in totals.items())
    return f'<?xml version="1.0" encoding="utf-8"?>\n<testsuites name="dumptruth"{attributes}>\n'


def as_suite(report: Report, name: str) -> Suite:
    """The suite of one file, which is called ``name``."""
    suite = Element("testsuite", {"name": legal(name)})
    properties = SubElement(suite, "properties")
    for key, value in _properties(report).items():
        SubElement(properties, "property", {"name": key, "value": legal(value)})
    if report.results:
        for result in report.results:
            _case(suite, report, result)
        if report.unjudged:
            case = SubElement(suite, "testcase", {"classname": "dumptruth", "name": "the file is judged whole"})
            outcome(case, "error", Outcome.INCOMPLETE, "\n".join(map(str, report.unjudged)))
    else:
        case = SubElement(suite, "testcase", {"classname": "dumptruth", "name": "the file can be judged"})
        outcome(case, "error", report.outcome, report.reason or "")
    return finished(suite)


def legal(text: str) -> str:
    """``text`` with each character that XML forbids as a Python escape: ``\\x00``, ``\\ud800``."""
    return _ILLEGAL.sub(lambda match: ascii(match[0])[1:-1], text)


def finished(suite: Element) -> Suite:
    """The suite with its totals, as text."""
    totals = {what: len(suite.findall(path)) for what, path in _COUNTED.items()}
    suite.attrib.update({what: str(number) for what, number in totals.items()})
    ElementTree.indent(suite, level=1)
    body: bytes = ElementTree.tostring(suite, encoding="us-ascii", xml_declaration=False)
    return Suite(f"  {body.decode()}\n", totals)


def _properties(report: Report) -> dict[str, str]:
    judged = "truth and request" if report.own else "structure alone"
    count = numbers(report)
    found = {
        "outcome": report.outcome.value,
        "kind": report.kind,
        "judged by": judged,
        "profile": report.profile,
        "strict": str(report.strict).lower(),
        "qualifier": report.qualifier,
        "size": hex(report.size),
        "claimed": hex(report.claimed),
        "unclaimed": hex(report.unclaimed),
        "pages": hex(report.pages),
        "rules run": str(count.run),
        "rules noted": str(count.noted),
        "checks": str(count.checks),
        "failed checks": str(count.failed_checks),
        "not judged whole": str(len(report.unjudged)) if report.unjudged else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _case(suite: Element, report: Report, result: RuleResult) -> None:
    area = result.rule.partition("-")[0]
    name = f"{result.rule} {result.title}"
    case = SubElement(suite, "testcase", {"classname": f"dumptruth.{area}", "name": legal(name)})
    if result.verdict in _NOT_JUDGED:
        because = f" because of {result.blocked_by}" if result.blocked_by else ""
        because += f", which follows from {result.follows}" if result.follows else ""
        note = f": {result.note}" if result.note else ""
        SubElement(case, "skipped", {"message": legal(f"{_NOT_JUDGED[result.verdict]}{because}{note}")})
    elif result.verdict is Verdict.ERROR:
        outcome(case, "error", "ERROR", result.note or "")
    elif result.verdict is Verdict.FAIL:
        lines = [] if result.follows is None else [f"follows from {result.follows}"]
        lines += [finding_text(finding, result.inside) for finding in result.findings]
        if result.failures > len(result.findings):
            lines.append(f"... {result.failures} failures of {result.checks} checks")
        if result.counts:
            outcome(case, "failure", f"{result.level}", "\n".join([f"{report.file}: {result.title}", *lines]))
        else:
            noted = f"fails, but does not fail the file ({result.level}, {result.grade})"
            SubElement(case, "system-out").text = legal("\n".join([noted, *lines]))


def outcome(case: Element, tag: str, kind: str, text: str) -> None:
    """Add a failure or an error, whose message is the first line of ``text``."""
    message = legal(text.partition("\n")[0])
    SubElement(case, tag, {"type": kind, "message": message}).text = legal(text)
