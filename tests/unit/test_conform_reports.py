"""JUnit, SARIF, JSON and HTML of a conformance run: each failing case, by rule or by fact."""

from __future__ import annotations

import json
from collections import Counter
from io import StringIO
from typing import Any

import pytest
from dumptruth.fixtures.app.reporting.conform_page import html_page
from dumptruth.oracle.conform import Verdict, as_object
from dumptruth.oracle.conform.catalog import catalog
from dumptruth.oracle.conform.junit import to_junit
from dumptruth.oracle.conform.sarif import MEANINGS, to_sarif
from junitparser import Error, Failure, JUnitXml, Skipped

from ..conform_summaries import SUMMARIES, of_a_reader, of_a_writer
from .schemas import validator

COMMAND = ["python", "my reader.py", "<&>"]


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_report_of_every_run_is_ascii_and_can_be_parsed(name: str) -> None:
    summary = SUMMARIES[name]()
    junit, sarif, page = to_junit(summary, COMMAND), to_sarif(summary, COMMAND), html_page(summary, COMMAND)
    assert junit.isascii()
    assert sarif.isascii()
    assert page.isascii()
    assert json.loads(sarif)["version"] == "2.1.0"
    validator("conform-1.json").validate(json.loads(json.dumps(as_object(summary, COMMAND))))
    assert [len(list(suite)) for suite in JUnitXml.fromstring(junit.encode())] == [len(summary.results)]


def test_a_case_is_a_test_case_and_its_end_is_that_of_the_verdict() -> None:
    summary = of_a_reader()
    (suite,) = JUnitXml.fromfile(StringIO(to_junit(summary, COMMAND)))
    cases = {case.name: case for case in suite}
    kinds = {name: [type(end) for end in case.result] for name, case in cases.items()}
    assert kinds["user/a"] == kinds["user/e"] == kinds["user/f"] == []
    assert kinds["user/b0"] == kinds["user/g"] == [Failure]
    assert kinds["user/c"] == kinds["user/d"] == [Error]
    assert kinds["kernel/h"] == [Skipped]
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (13, 6, 2, 2)
    assert cases["user/b0"].classname == "dumptruth.user"
    failure = cases["user/b0"].result[0]
    assert (failure.type, failure.message) == ("misreads", "threads 0x1 teb: expected 0x2, read 0x3")
    assert "threads.teb: 100 more" in failure.text
    assert "modules 0x1 name" in failure.text
    assert cases["user/e"].system_out.startswith("accepts\naccepted a broken dump")
    properties: Any = suite.properties()  # type: ignore[no-untyped-call]
    assert {item.name: item.value for item in properties}["facts compared"] == "3 of 5"


def test_a_known_failure_is_skipped_and_says_why() -> None:
    (suite,) = JUnitXml.fromfile(StringIO(to_junit(of_a_writer(), COMMAND)))
    (end,) = next(case for case in suite if case.name == "user/small/e").result
    assert (type(end), end.message) == (Skipped, "known failure, fails: issue 12")


def test_a_result_of_sarif_is_of_the_rule_the_fact_or_the_verdict() -> None:
    (run,) = json.loads(to_sarif(of_a_reader(), COMMAND))["runs"]
    named = Counter(result["ruleId"] for result in run["results"])
    assert named == {
        "fact/threads.teb": 10, "fact/modules.name": 3, "verdict/dies": 1, "verdict/breaks": 1, "verdict/agrees": 1
    }  # fmt: skip
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert run["artifacts"][place["index"]]["location"]["uri"] == place["uri"]
    assert next(rule for rule in rules if rule["id"] == "fact/threads.teb")["shortDescription"]["text"] == (
        "Fact threads.teb: address of the TEB."
    )
    (invocation,) = run["invocations"]
    assert invocation["exitCode"] == 1
    prints = [result["partialFingerprints"]["dumptruthFinding/v1"] for result in run["results"]]
    assert len(set(prints)) == len(prints)


def test_a_finding_of_sarif_has_the_bytes_of_the_dump_and_a_known_one_is_suppressed() -> None:
    summary = of_a_writer()
    (run,) = json.loads(to_sarif(summary, COMMAND))["runs"]
    broken = {rule.rule for rule in summary.results[1].broken}
    assert broken <= {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    by_rule = [result for result in run["results"] if result["ruleId"] in broken]
    assert any("region" in result["locations"][0]["physicalLocation"] for result in by_rule)
    suppressed = [result for result in run["results"] if "suppressions" in result]
    assert suppressed
    assert {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in suppressed} == {
        "conform/user/small/e"
    }


def test_every_verdict_on_a_failing_case_has_its_meaning() -> None:
    assert {*MEANINGS} == {*Verdict} - {Verdict.SKIPPED}


def test_the_page_has_each_case_each_fact_and_each_reason() -> None:
    summary = of_a_reader()
    page = html_page(summary, COMMAND)
    for result in summary.results:
        assert result.case.rpartition("/")[2] in page
    assert page.count('<li id="case-') == len(summary.results)
    assert "2 more cases" in page  # of threads.teb, beside the three that are not folded
    for name, state in (("teb", "wrong"), ("thread_id", "right"), ("flags", "absent")):
        assert f'<span class="fact {state}">{name}' in page
    assert "only minidumps" in page
    assert "<&>" not in page
    assert {path.partition(".")[0] for path in summary.facts} <= {*catalog()}


def test_the_page_of_a_writer_groups_by_rule_and_has_no_facts() -> None:
    summary = of_a_writer()
    page = html_page(summary, COMMAND)
    for rule in summary.results[1].broken:
        assert rule.rule in page
    assert 'id="facts"' not in page
