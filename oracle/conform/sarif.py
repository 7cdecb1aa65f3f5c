"""The results of a conformance run as SARIF 2.1.0. Each failing case is an artifact with its name.

A result is of the rule that the writer's dump breaks, of the fact that the reader misreads, or else of the verdict. A
finding in a dump has its bytes as region. A known failure is a suppressed result.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from ..report.sarif import FINGERPRINT, Part, finding_result, fingerprint, log
from .catalog import catalog
from .results import CaseResult, Summary, Verdict

MEANINGS: Final = {
    Verdict.FAILS: "The writer's answer or file is not what the request demands",
    Verdict.REFUSES: "The command refused a request that can be met, or a sound dump",
    Verdict.MISREADS: "A fact of the reader is wrong",
    Verdict.ACCEPTS: "The reader accepted a broken dump",
    Verdict.DIES: "The command crashed or exceeded a limit",
    Verdict.BREAKS: "The answer breaks the protocol",
    Verdict.UNJUDGED: "The host lacks memory, room or processes",
    Verdict.AGREES: "A known failure no longer occurs",
}


def to_sarif(summary: Summary, command: Sequence[str]) -> str:
    """The log as JSON in ASCII."""
    said = shlex.join(command)
    invocation: dict[str, Any] = {
        "commandLine": f"dumptruth conform --{summary.role} {shlex.quote(said)}",
        "executionSuccessful": summary.judged > 0,
        "exitCode": summary.exit_status,
    }
    parts = [Part([], [], invocation, ())]
    parts += [_part(result) for result in summary.results if not result.ok or result.known is not None]
    properties = {
        "outcome": summary.outcome,
        "role": summary.role,
        "cases": len(summary.results),
        "judged": summary.judged,
        "compared": list(summary.compared),
    }
    return json.dumps(log(parts, properties, f"dumptruth/conform/{summary.role}/"), indent=2) + "\n"


def _part(result: CaseResult) -> Part:
    # An address of a file that does not exist. It tells cases apart; --keep keeps the files.
    uri = f"conform/{quote(result.case, errors='surrogatepass')}"
    artifact = {"location": {"uri": uri, "index": 0}, "roles": ["analysisTarget"]}
    results = list(_results(result, artifact))
    named = [one["ruleId"] for one in results]
    rules = {rule.rule for rule in result.broken}
    others = {name: _descriptors()[name] for name in named if name not in rules}
    if result.known is not None:
        for one in results:
            one["suppressions"] = [{"kind": "external", "justification": result.known}]
    return Part([artifact], results, None, tuple(sorted(rules & set(named))), others=others)


def _results(result: CaseResult, artifact: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for rule in result.broken:
        for finding in rule.findings:
            made = finding_result(rule, finding, artifact, 0)
            identity = "\0".join((result.case, rule.rule, finding.subject, finding.fault))
            yield made | {"partialFingerprints": {FINGERPRINT: fingerprint(identity)}}
    for fact in result.misread:
        for line in fact.lines:
            yield _other(result, f"fact/{fact.name}", line, artifact)
    if result.details or not (result.broken or result.misread):
        text = "; ".join(result.details) or str(result.verdict)
        yield _other(result, f"verdict/{result.verdict}", text, artifact)


def _other(result: CaseResult, rule: str, text: str, artifact: dict[str, Any]) -> dict[str, Any]:
    location = {
        "physicalLocation": {"artifactLocation": dict(artifact["location"])},
        "logicalLocations": [{"fullyQualifiedName": result.case}],
    }
    return {
        "ruleId": rule,
        "ruleIndex": -1,  # the log sets it
        "kind": "fail",
        "level": "error",
        "message": {"text": f"{result.case}: {text}"},
        "locations": [location],
        "partialFingerprints": {FINGERPRINT: fingerprint(f"{result.case}\0{rule}\0{text}")},
    }


@cache
def _descriptors() -> dict[str, dict[str, Any]]:
    """Of facts and verdicts."""
    texts = {f"verdict/{verdict}": f"{meaning}." for verdict, meaning in MEANINGS.items()}
    for fact in catalog().values():
        for member in fact.members:
            path = fact.path(member)
            texts[f"fact/{path}"] = f"Fact {path}: {member.meaning}."
    return {
        name: {
            "id": name,
            "shortDescription": {"text": text},
            "fullDescription": {"text": text},
            "defaultConfiguration": {"level": "error"},
            "properties": {"tags": ["crash-dump", "conform"]},
        }
        for name, text in texts.items()
    }
