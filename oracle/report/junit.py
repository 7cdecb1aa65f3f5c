"""The report as JUnit XML, for test dashboards. Each rule is one test case.

- A rule that fails the dump is a failure.
- A rule that fails without failing the dump passes, and ``system-out`` holds its findings.
- A rule that was not judged (not applicable, blocked, nothing to check) is skipped with the reason.
- A bug in the judge is an error.
- A file that is not a dump is one test case that ends in an error.

There are no times, so two reports of one file are equal. The dialect is the common one of Jenkins, GitLab, Azure DevOps
and pytest: ``testsuites``, ``testsuite``, ``properties``, ``testcase``, ``failure``, ``error``, ``skipped``,
``system-out``.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ..model import Report, RuleResult, Verdict
from .text import finding_text

_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may hold, escaped or not: the complement of Char (W3C, XML 1.0, section 2.2)."""
_NOT_JUDGED: Final = {
    Verdict.NOT_APPLICABLE: "not applicable",
    Verdict.BLOCKED: "not judged",
    Verdict.VACUOUS: "applies, but found nothing to check",
}


def to_junit(report: Report) -> str:
    """The whole document with its declaration. All characters are ASCII, so the text is valid in any code page."""
    suite = Element("testsuite", {"name": legal(report.file)})
    properties = SubElement(suite, "properties")
    for name, value in _properties(report).items():
        SubElement(properties, "property", {"name": name, "value": legal(value)})
    if report.results:
        for result in report.results:
            _case(suite, report, result)
    else:
        case = SubElement(suite, "testcase", {"classname": "dumptruth", "name": "the file can be judged"})
        _outcome(case, "error", report.outcome, report.reason or "")
    counts = {"tests": "testcase", "failures": ".//failure", "errors": ".//error", "skipped": ".//skipped"}
    totals = {name: str(len(suite.findall(path))) for name, path in counts.items()}
    suite.attrib.update(totals)
    root = Element("testsuites", {"name": "dumptruth", **totals})
    root.append(suite)
    ElementTree.indent(root)
    body: bytes = ElementTree.tostring(root, encoding="us-ascii", xml_declaration=False)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body.decode()}\n'


def legal(text: str) -> str:
    """``text`` with each character that XML forbids as a Python escape: ``\\x00``, ``\\ud800``."""
    return _ILLEGAL.sub(lambda match: ascii(match[0])[1:-1], text)


def _properties(report: Report) -> dict[str, str]:
    judged = "truth and request" if report.own else "structure alone"
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
        "checks": str(report.checks),
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
        _outcome(case, "error", "ERROR", result.note or "")
    elif result.verdict is Verdict.FAIL:
        lines = [] if result.follows is None else [f"follows from {result.follows}"]
        lines += [finding_text(finding, result.inside) for finding in result.findings]
        if result.failures > len(result.findings):
            lines.append(f"... {result.failures} failures of {result.checks} checks")
        if result.counts:
            _outcome(case, "failure", f"{result.level}", "\n".join([f"{report.file}: {result.title}", *lines]))
        else:
            noted = f"fails, but does not fail the file ({result.level}, {result.grade})"
            SubElement(case, "system-out").text = legal("\n".join([noted, *lines]))


def _outcome(case: Element, tag: str, kind: str, text: str) -> None:
    message = legal(text.partition("\n")[0])
    SubElement(case, tag, {"type": kind, "message": message}).text = legal(text)
