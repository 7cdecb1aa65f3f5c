"""JSON, JUnit XML and SARIF 2.1.0 reports of every kind of file and verdict match their schemas."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from io import StringIO
from struct import pack_into
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from dumptruth import oracle
from dumptruth.fixtures.mutants.kernel_pristine import pristine as kernel_pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.fixtures.vectors.target import case_of
from dumptruth.oracle import ByteSource, Fault, Finding, Outcome, Report, Span, Unjudged, Verdict, check
from dumptruth.oracle.report.as_json import as_object, to_json
from dumptruth.oracle.report.junit import to_junit
from dumptruth.oracle.report.sarif import FINGERPRINT, as_log, to_sarif
from dumptruth.oracle.shown import shown
from hypothesis import given
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped

from .schemas import schema, validator

SCHEMA = "report-1.json"

CONTROL = "\x00\x1b[31m\x0b\ufffe\ud800<&>\"'\u2028\U0010ffff"


def own(base: BaseDump, *flips: int, **options: Any) -> Report:
    made = case_of(base)
    data = bytearray(made.data)
    for at in flips:
        data[at] ^= 0x41
    return check(ByteSource(bytes(data), "own.dmp"), made.truth, made.asked, **options)


def foreign(base: BaseDump, size: int | None = None) -> Report:
    made = case_of(base)
    return check(ByteSource(made.data[:size], "größe & <b>.dmp"))


def broken_judge() -> Report:
    """A report in which a rule has raised an exception."""
    report = foreign(BaseDump.SMALL)
    first = replace(report.results[0], verdict=Verdict.ERROR, note="KeyError: 'x'", checks=0)
    return replace(report, outcome=Outcome.INTERNAL_ERROR, reason="KeyError: 'x'", results=(first, *report.results[1:]))


def cut() -> Report:
    """A report of a file that needs more work than the budget allows."""
    report = foreign(BaseDump.SMALL)
    unjudged = Unjudged("list of modules", "at most 16 records", 16, 4)
    first = replace(report.results[0], verdict=Verdict.INCOMPLETE, checks=0)
    return replace(
        report, outcome=Outcome.INCOMPLETE, reason=str(unjudged), results=(first, *report.results[1:]),
        unjudged=(unjudged,),
    )  # fmt: skip


REPORTS = {
    "user, own, conformant": lambda: own(BaseDump.SMALL),
    "user, own, default": lambda: own(BaseDump.DEFAULT),
    "user, own, wrong byte": lambda: own(BaseDump.DEFAULT, -1),
    "user, own, strict": lambda: own(BaseDump.SMALL, 0x8, strict=True),
    "user, foreign": lambda: foreign(BaseDump.RICH),
    "user, cut": lambda: foreign(BaseDump.SMALL, 0x400),
    "user, eight bytes": lambda: foreign(BaseDump.SMALL, 8),
    "kernel, own": lambda: own(BaseDump.KERNEL_DEFAULT),
    "kernel, own, wrong byte": lambda: own(BaseDump.KERNEL_FULL, -1),
    "kernel, own, small": lambda: own(BaseDump.KERNEL_SMALL_B, -0x100),
    "kernel, foreign": lambda: foreign(BaseDump.KERNEL_X86),
    "kernel, cut": lambda: foreign(BaseDump.KERNEL_DEFAULT, 0x5000),
    "empty": lambda: check(ByteSource(b"", "empty")),
    "text": lambda: check(ByteSource(b"hello\n", "readme.txt")),
    "a bug in the judge": broken_judge,
    "a limit on work": cut,
}


@cache
def report(name: str) -> Report:
    return REPORTS[name]()


every_report = pytest.mark.parametrize("name", REPORTS)


def test_the_samples_hold_every_outcome_and_verdict() -> None:
    assert {report(name).outcome for name in REPORTS} == set(Outcome)
    assert {result.verdict for name in REPORTS for result in report(name).results} == set(Verdict)


# -- JSON --------------------------------------------------------------------------------------------------------------


@every_report
def test_a_report_matches_its_schema(name: str) -> None:
    document = json.loads(to_json(report(name)))
    validator(SCHEMA).validate(document)
    assert document == as_object(report(name))


def _described(document: Any, by: dict[str, Any]) -> None:
    """Asserts that the schema describes every member of ``document``."""
    if "$ref" in by:
        by = schema(SCHEMA)["$defs"][by["$ref"].rpartition("/")[2]]
    if "oneOf" in by and document is not None:
        by = schema(SCHEMA)["$defs"][by["oneOf"][1]["$ref"].rpartition("/")[2]]
    if isinstance(document, dict):
        assert set(document) <= set(by["properties"])
        for name, value in document.items():
            _described(value, by["properties"][name])
    elif isinstance(document, list):
        for value in document:
            _described(value, by["items"])


@every_report
def test_every_member_of_a_report_is_described(name: str) -> None:
    _described(as_object(report(name)), schema(SCHEMA))


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"outcome": "MAYBE"}, {"size": 12}, {"size": "0x0A"}, {"checks": -1}, {"rules": [{}]}, {"own": 1}],
    ids=str,
)
def test_the_schema_refuses_invalid_reports(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator(SCHEMA).validate(as_object(report("user, own, wrong byte")) | change)


# -- JUnit -------------------------------------------------------------------------------------------------------------


@every_report
def test_junit_counts_what_the_report_counts(name: str) -> None:
    judged = report(name)
    suites = JUnitXml.fromstring(to_junit(judged).encode("utf-8"))
    (suite,) = list(suites)
    cases = list(suite)
    kinds = [type(case.result[0]) if case.result else None for case in cases]
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (
        len(cases), kinds.count(Failure), kinds.count(Error), kinds.count(Skipped),
    )  # fmt: skip
    assert (suites.tests, suites.failures, suites.errors) == (suite.tests, suite.failures, suite.errors)
    assert suite.name == judged.file
    if judged.results:
        named = [case.name.partition(" ")[0] for case in cases]
        assert named[: len(judged.results)] == [result.rule for result in judged.results]
        assert kinds.count(Failure) == len(list(judged.failing()))
    passed = judged.outcome is Outcome.CONFORMANT
    assert (kinds.count(Failure) + kinds.count(Error) == 0) == passed


def test_a_failure_of_junit_says_what_was_expected_and_where() -> None:
    judged = report("user, own, wrong byte")
    (failing,) = judged.failing()
    finding = failing.findings[0]
    (suite,) = list(JUnitXml.fromstring(to_junit(judged).encode("utf-8")))
    (case,) = [case for case in suite if case.result and isinstance(case.result[0], Failure)]
    failure = case.result[0]
    assert failure.type == "MUST"
    assert failing.title in failure.message
    for said in (finding.subject, finding.expected[0], finding.actual, str(finding.spans[0])):
        assert said in failure.text


def test_a_failure_that_does_not_count_passes_with_its_text_in_the_output() -> None:
    judged = report("user, own, conformant")
    noted = replace(judged.results[0], verdict=Verdict.FAIL, counts=False, failures=1, findings=(_finding("odd"),))
    (suite,) = list(JUnitXml.fromstring(to_junit(replace(judged, results=(noted,))).encode("utf-8")))
    (case,) = list(suite)
    assert case.is_passed
    assert "odd" in case.system_out


# -- SARIF -------------------------------------------------------------------------------------------------------------


@every_report
def test_a_sarif_log_has_the_place_of_each_finding_and_the_text_of_its_rule(name: str) -> None:
    judged = report(name)
    log = json.loads(to_sarif(judged, "dumps/own.dmp"))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    rules = driver["rules"]
    known = oracle.all_rules()
    assert [rule["id"] for rule in rules] == sorted(result.rule for result in judged.results)
    assert run["artifacts"][0]["location"] == {"uri": "dumps/own.dmp", "index": 0}
    for rule in rules:
        assert rule["shortDescription"]["text"] == known[rule["id"]].title
        assert all(source.where in rule["help"]["text"] for source in known[rule["id"]].sources)
        assert rule["name"].isalnum()
        assert rule["name"][0].isupper() or rule["name"][0].isdigit()
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
    findings = [(result, finding) for result in judged.results for finding in result.findings]
    assert len(run["results"]) == len(findings)
    for item, (result, finding) in zip(run["results"], findings, strict=True):
        assert rules[item["ruleIndex"]]["id"] == item["ruleId"] == result.rule
        assert item["kind"] == ("fail" if result.counts else "review")
        assert item["level"] == ({"MUST": "error", "SHOULD": "warning", "MAY": "note"}[result.level]
                                 if result.counts else "none")  # fmt: skip
        assert finding.subject in item["message"]["text"]
        (location,) = item["locations"]
        physical = location["physicalLocation"]
        assert physical["artifactLocation"] == {"uri": "dumps/own.dmp", "index": 0}
        regions = [physical["region"]] if "region" in physical else []
        regions += [place["physicalLocation"]["region"] for place in item.get("relatedLocations", [])]
        assert [(part["byteOffset"], part["byteOffset"] + part["byteLength"]) for part in regions] == [
            (span.start, span.end) for span in finding.spans
        ]
        assert all(set(part) == {"byteOffset", "byteLength"} for part in regions), "no text region beside it"
        assert len(item["partialFingerprints"][FINGERPRINT]) == 64
    (invocation,) = run["invocations"]
    assert invocation["exitCode"] == judged.outcome.exit_status
    able = judged.outcome in (Outcome.CONFORMANT, Outcome.NON_CONFORMANT)
    assert invocation["executionSuccessful"] == able
    assert bool(invocation["toolExecutionNotifications"]) != able


def test_a_uri_of_sarif_is_valid_for_any_file_name() -> None:
    judged = replace(report("user, own, wrong byte"), file="größe 1%.dmp")
    assert as_log(judged)["runs"][0]["artifacts"][0]["location"]["uri"] == "gr%C3%B6%C3%9Fe%201%25.dmp"
    assert as_log(judged, "a\\b c.dmp")["runs"][0]["artifacts"][0]["location"]["uri"] == "a/b%20c.dmp"


def test_a_fingerprint_stays_where_a_finding_moves_and_differs_where_its_subject_does() -> None:
    def fingerprint(subject: str, at: int) -> str:
        judged = report("user, own, conformant")
        failed = replace(judged.results[0], verdict=Verdict.FAIL, failures=1, findings=(_finding(subject, at),))
        result = as_log(replace(judged, results=(failed,)))["runs"][0]["results"][0]
        found: str = result["partialFingerprints"][FINGERPRINT]
        return found

    assert fingerprint("thread 1", 4) == fingerprint("thread 1", 400)
    assert fingerprint("thread 1", 4) != fingerprint("thread 2", 4)


def test_a_finding_inside_a_cabinet_is_in_a_nested_artifact() -> None:
    judged = report("user, own, conformant")
    failed = replace(
        judged.results[0], verdict=Verdict.FAIL, failures=1, findings=(_finding("x"),), inside="a dump.dmp"
    )
    (run,) = as_log(replace(judged, file="a.cab", results=(failed,)))["runs"]
    assert run["artifacts"][1]["parentIndex"] == 0
    place = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": "/a%20dump.dmp", "index": 1}


# -- odd text ----------------------------------------------------------------------------------------------------------


def _finding(text: str, at: int = 0) -> Finding:
    return Finding("MDMP-DIR-001", text, Fault.WRONG, (text,), text, (Span(at, at + 4), Span(at + 8, at + 8)))


@given(st.text(st.characters(), max_size=40) | st.just(CONTROL))
def test_untrusted_text_does_not_break_a_report(text: str) -> None:
    judged = report("user, own, conformant")
    failed = replace(judged.results[0], verdict=Verdict.FAIL, failures=1, findings=(_finding(text),))
    odd = replace(judged, file=text or "x", reason=text, results=(failed, judged.results[1]))
    validator(SCHEMA).validate(json.loads(to_json(odd)))
    assert json.loads(to_sarif(odd))["runs"][0]["results"][0]["partialFingerprints"]
    (suite,) = ElementTree.parse(StringIO(to_junit(odd))).getroot()
    assert to_junit(odd).encode("utf-8")
    failure = suite.find(".//failure")
    assert failure is not None
    assert shown(text) in (failure.text or "")


def test_no_region_of_sarif_leaves_the_file() -> None:
    """A run of 2^64 pages names bytes that a 64-bit length cannot count."""
    case = kernel_pristine(BaseDump.KERNEL_FULL)
    data = bytearray(case.data)
    pack_into("<Q", data, 0x88 + 24, (1 << 64) - 5)  # the count of the first run
    judged = check(ByteSource(bytes(data), "a.dmp"), case.truth, case.asked)
    assert judged.checks < 1 << 53
    (run,) = json.loads(to_sarif(judged))["runs"]
    places = [place["physicalLocation"] for result in run["results"] for place in result["locations"]]
    regions = [place["region"] for place in places if "region" in place]
    assert regions
    assert all(region["byteOffset"] + region["byteLength"] <= len(data) for region in regions)
