"""The results of a conformance run as JUnit XML. Each case is one test case.

- A case that fails is a failure. If the command died or broke the protocol, it is an error.
- A known failure and a skipped case are skipped, with the reason.
- A broken dump that the reader accepts passes, and ``system-out`` says what is broken.

The dialect and the absence of times are those of ``report/junit.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement

from ..report.junit import CLOSING, finished, opening, outcome
from ..shown import shown
from .results import DEATHS, CaseResult, Summary, Verdict


def to_junit(summary: Summary, command: Sequence[str]) -> str:
    """The whole document with its declaration, in ASCII."""
    suite = Element("testsuite", {"name": shown(f"conform --{summary.role} {' '.join(command)}")})
    properties = SubElement(suite, "properties")
    for name, value in _properties(summary).items():
        SubElement(properties, "property", {"name": name, "value": shown(value)})
    for result in summary.results:
        _case(suite, result)
    made = finished(suite)
    return "".join((opening(made.totals), made.text, CLOSING))


def _properties(summary: Summary) -> dict[str, str]:
    found = {"outcome": summary.outcome, "role": summary.role, "judged": str(summary.judged)}
    found["checks"] = str(summary.checks)
    if summary.facts:
        found["facts compared"] = f"{len(summary.compared)} of {len(summary.facts)}"
        found["facts not compared"] = ", ".join(name for name in summary.facts if name not in summary.compared)
    return found


def _case(suite: Element, result: CaseResult) -> None:
    group, _, _ = result.case.rpartition("/")
    name = ".".join(part for part in ("dumptruth", *group.split("/")) if part)
    case = SubElement(suite, "testcase", {"classname": shown(name), "name": shown(result.case)})
    lines = list(result.lines(everything=True))
    if result.verdict is Verdict.SKIPPED:
        SubElement(case, "skipped", {"message": shown(lines[0])})
    elif result.known is not None:
        SubElement(case, "skipped", {"message": shown(f"known failure, {result.verdict}: {result.known}")})
    elif result.fails:
        kind = "error" if result.verdict in (*DEATHS, Verdict.UNJUDGED) else "failure"
        outcome(case, kind, str(result.verdict), *lines)
    elif lines:
        SubElement(case, "system-out").text = "\n".join(map(shown, (str(result.verdict), *lines)))
