"""The report as SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format), for code-scanning pages.

A rule is a ``reportingDescriptor`` with its rationale and sources. A finding is a ``result`` at a byte region of the
file; the rule's level makes it an error, a warning or a note. There are no text regions: a dump has no lines, and a
region may not have both (SARIF 3.30.4). A finding that does not fail the dump is of kind ``review``.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final
from urllib.parse import quote

from ..judge import all_rules
from ..model import Finding, Grade, Level, Report, RuleResult, Source, Verdict
from ..rule import Rule
from .text import finding_text

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT: Final = "dumptruthFinding/v1"
"""The hash of rule, subject and fault. It stays the same when the finding moves in the file."""

_LEVELS: Final = {Level.MUST: "error", Level.SHOULD: "warning", Level.MAY: "note"}
# github.com, SARIF support for code scanning: properties of a reportingDescriptor.
_SEVERITY: Final = {Level.MUST: "error", Level.SHOULD: "warning", Level.MAY: "recommendation"}
_PRECISION: Final = {
    Grade.WITNESSED: "very-high",
    Grade.DOCUMENTED: "very-high",
    Grade.IMPLEMENTED: "high",
    Grade.OBSERVED: "medium",
    Grade.INFERRED: "low",
}
_ADDRESS: Final = re.compile(r"https?://[^\s\])>,;]+")
_CRUMBS: Final = re.compile(r"[^A-Za-z0-9]+")


def to_sarif(report: Report, uri: str | None = None) -> str:
    """The log as JSON in ASCII. ``uri``: the file's path from the root of its repository; None: the file's name."""
    return json.dumps(as_log(report, uri), indent=2) + "\n"


def as_log(report: Report, uri: str | None = None) -> dict[str, Any]:
    """The log as an object."""
    one = part(report, uri)
    return log([one], one.properties, f"dumptruth/{one.artifacts[0]['location']['uri']}/")


@dataclass(frozen=True, slots=True)
class Part:
    """What one file adds to a run. Indices of artifacts begin at 0."""

    artifacts: list[dict[str, Any]]
    results: list[dict[str, Any]]
    invocation: dict[str, Any] | None
    rules: tuple[str, ...]
    properties: dict[str, Any] = field(default_factory=dict)
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Descriptors of results that are of no rule of the oracle, by their id."""


def part(report: Report, uri: str | None = None) -> Part:
    """The part of one file. ``uri`` is as for ``to_sarif``."""
    known = all_rules()
    members = list(dict.fromkeys(result.inside for result in report.results if result.inside is not None))
    artifacts = _artifacts(report, uri or report.file, members)
    places = {None: 0} | {name: at + 1 for at, name in enumerate(members)}
    results = [
        finding_result(result, finding, artifacts[places[result.inside]], places[result.inside])
        for result in report.results
        for finding in result.findings
    ]
    properties = {
        "outcome": report.outcome.value,
        "kind": report.kind,
        "profile": report.profile,
        "strict": report.strict,
        "own": report.own,
        "qualifier": report.qualifier,
    }
    rules = tuple(result.rule for result in report.results if result.rule in known)
    return Part(artifacts, results, _invocation(report), rules, properties)


def log(parts: Iterable[Part], properties: dict[str, Any], identity: str) -> dict[str, Any]:
    """One log with one run: code-scanning pages take one run of each tool. ``properties`` are those of the run."""
    artifacts: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    invocations: list[dict[str, Any]] = []
    used: dict[str, None] = {}
    others: dict[str, dict[str, Any]] = {}
    for one in parts:
        first = len(artifacts)
        artifacts += [_moved_artifact(artifact, first) for artifact in one.artifacts]
        results += [_moved_result(result, first) for result in one.results]
        if one.invocation is not None:
            invocations.append(one.invocation)
        used |= dict.fromkeys(one.rules)
        others |= one.others
    known = all_rules()
    rules = [_descriptor(known[rule]) for rule in sorted(used)] + [others[name] for name in sorted(others)]
    index = {rule["id"]: at for at, rule in enumerate(rules)}
    for result in results:
        result["ruleIndex"] = index[result["ruleId"]]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {**_driver(), "rules": rules}},
                "automationDetails": {"id": identity},
                "invocations": invocations,
                "artifacts": artifacts,
                "results": results,
                "properties": properties,
            }
        ],
    }


def _moved_artifact(artifact: dict[str, Any], by: int) -> dict[str, Any]:
    location = artifact["location"] | {"index": artifact["location"]["index"] + by}
    parent = {"parentIndex": artifact["parentIndex"] + by} if "parentIndex" in artifact else {}
    return artifact | {"location": location} | parent


def _moved_result(result: dict[str, Any], by: int) -> dict[str, Any]:
    moved = dict(result)
    for name in ("locations", "relatedLocations"):
        if name in result:
            moved[name] = [_moved_location(location, by) for location in result[name]]
    return moved


def _moved_location(location: dict[str, Any], by: int) -> dict[str, Any]:
    physical = location["physicalLocation"]
    artifact = physical["artifactLocation"] | {"index": physical["artifactLocation"]["index"] + by}
    return location | {"physicalLocation": physical | {"artifactLocation": artifact}}


def _driver() -> dict[str, Any]:
    try:
        return {"name": "dumptruth", "semanticVersion": version("dumptruth")}
    except PackageNotFoundError:  # the package is not installed
        return {"name": "dumptruth"}


def _artifacts(report: Report, uri: str, members: Iterable[str]) -> list[dict[str, Any]]:
    """The file, then each member of a cabinet that was judged."""
    found = [
        {
            "location": {"uri": quote(uri.replace("\\", "/"), errors="surrogatepass"), "index": 0},
            "length": report.size,
            "roles": ["analysisTarget"],
            "mimeType": "application/octet-stream",
        }
    ]
    for at, name in enumerate(members):
        location = {"uri": quote(f"/{name.lstrip(chr(47))}", errors="surrogatepass"), "index": at + 1}
        found.append({"location": location, "parentIndex": 0, "mimeType": "application/octet-stream"})
    return found


def _invocation(report: Report) -> dict[str, Any]:
    """Whether every rule ran to its end. Each rule that did not, and each part not judged, is a notification."""
    notes = [
        {"level": "error", "message": {"text": f"{result.rule}: {result.note}"}, "associatedRule": {"id": result.rule}}
        for result in report.results
        if result.verdict is Verdict.ERROR
    ]
    notes += [{"level": "error", "message": {"text": f"not judged whole: {item}"}} for item in report.unjudged]
    if not report.results:
        notes.append({"level": "error", "message": {"text": f"{report.outcome}: {report.reason}"}})
    return {
        "executionSuccessful": not notes,
        "exitCode": report.outcome.exit_status,
        "toolExecutionNotifications": notes,
    }


def _descriptor(rule: Rule) -> dict[str, Any]:
    rationale = " ".join(inspect.cleandoc(rule.rationale).split())
    sources = [str(source) for source in rule.sources]
    listed = "\n".join(f"- {_markdown(source)}" for source in sources)
    found: dict[str, Any] = {
        "id": rule.id,
        # SARIF 3.49.7: a name that makes sense to an end user, in Pascal case.
        "name": "".join(word[:1].upper() + word[1:] for word in _CRUMBS.split(rule.title)),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rationale or rule.title},
        "help": {
            "text": "\n".join([rationale, "Sources:", *sources]),
            "markdown": f"{_markdown(rationale)}\n\n**Sources**\n\n{listed}\n",
        },
        "defaultConfiguration": {"level": _LEVELS[rule.level]},
        "properties": {
            "tags": ["crash-dump", rule.kind, rule.id.partition("-")[0], rule.level.value, rule.grade.value],
            "precision": _PRECISION[rule.grade],
            "problem.severity": _SEVERITY[rule.level],
        },
    }
    address = _address(rule.sources)
    return found | ({"helpUri": address} if address else {})


def _address(sources: Iterable[Source]) -> str | None:
    """The first address in the sources; None if there is none."""
    return next((match[0].rstrip(".") for source in sources if (match := _ADDRESS.search(source.where))), None)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", text)


def finding_result(result: RuleResult, finding: Finding, artifact: dict[str, Any], place: int) -> dict[str, Any]:
    """A finding as a result at ``artifact``, whose index is ``place``."""
    identity = "\0".join((result.rule, finding.subject, finding.fault, result.inside or ""))
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": artifact["location"]["uri"], "index": place}},
        "logicalLocations": [{"fullyQualifiedName": finding.subject}],
    }
    spans = finding.spans
    locations = [_located(location, span.start, len(span)) for span in spans[:1]] or [location]
    found: dict[str, Any] = {
        "ruleId": result.rule,
        "ruleIndex": -1,  # the log sets it
        # SARIF 3.27.9: a result has a level only when its kind is "fail".
        "kind": "fail" if result.counts else "review",
        "level": _LEVELS[result.level] if result.counts else "none",
        "message": {"text": f"{result.title}. {finding_text(finding, result.inside)}"},
        "locations": locations,
        "partialFingerprints": {FINGERPRINT: fingerprint(identity)},
        "properties": {"fault": finding.fault.value, "grade": result.grade.value},
    }
    if finding.shift is not None:
        found["properties"]["shift"] = {"amount": hex(finding.shift.amount), "unit": finding.shift.unit}
    if result.follows is not None:
        found["properties"]["follows"] = result.follows
    if len(spans) > 1:
        found["relatedLocations"] = [
            _located(location, span.start, len(span)) | {"id": at} for at, span in enumerate(spans[1:], 1)
        ]
    return found


def fingerprint(identity: str) -> str:
    """The hash of what makes a result the same in two runs."""
    return sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()


def _located(location: dict[str, Any], start: int, length: int) -> dict[str, Any]:
    physical = location["physicalLocation"] | {"region": {"byteOffset": start, "byteLength": length}}
    return location | {"physicalLocation": physical}
