"""The reports name what a failure follows from, and which finding blocks a rule."""

from __future__ import annotations

import struct
from xml.etree import ElementTree

import pytest
from dumptruth.fixtures.app.reporting.page import html_report
from dumptruth.fixtures.mutants.pristine import pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.fixtures.mutants.surgery import Surgery
from dumptruth.oracle import ByteSource, Report, Verdict, check
from dumptruth.oracle.assertion import assert_conformant
from dumptruth.oracle.report.as_json import as_object
from dumptruth.oracle.report.junit import to_junit
from dumptruth.oracle.report.sarif import as_log
from dumptruth.oracle.report.text import render

from .schemas import validator

CASE = pristine(BaseDump.SMALL)


def padded() -> bytes:
    """The dump with 8 bytes between the count of its thread list and the first thread."""
    return Surgery(CASE).insert(CASE.layout.section("ThreadList").offset + 4, bytes(8), "Pad").data


def out_of_bounds() -> bytes:
    """The dump with a memory list beyond the end of the file."""
    return Surgery(CASE).put(Surgery(CASE).directory_of("MemoryList"), "Location.Rva", 0x7FFF_FFFF).data


def report(data: bytes) -> Report:
    return check(ByteSource(data, "a.dmp"), CASE.truth, CASE.asked)


def test_text_tells_the_cause_first_and_what_follows() -> None:
    lines = render(report(padded())).splitlines()
    assert lines[0].startswith("FAIL MDMP-THREAD-002")
    assert lines[1].startswith("  the entries of stream 3 (ThreadListStream) at ")
    assert "all of them stand 8 bytes later" in lines[1]
    assert "  follows from MDMP-THREAD-002: 1 failure" in lines
    assert sum("8 bytes later" in line for line in lines) == 1


def test_json_has_the_amount_and_what_follows() -> None:
    found = as_object(report(padded()))
    validator("report-1.json").validate(found)
    first, *others = found["rules"]
    assert first["findings"][0]["shift"] == {"amount": "0x8", "unit": "byte"}
    assert first["follows"] is None
    following = [rule for rule in others if rule["follows"] == "MDMP-THREAD-002"]
    assert {rule["verdict"] for rule in following} == {"FAIL", "BLOCKED"}
    assert all(len(rule["findings"]) == (rule["verdict"] == "FAIL") for rule in following)


def test_a_blocked_rule_names_the_finding_that_blocks_it() -> None:
    data = out_of_bounds()
    text = " ".join(render(report(data)).split())
    named = "MDMP-DIR-003 (stream 5 (MemoryListStream): "
    assert f"not judged because of {named}" in text
    (blocked,) = (rule for rule in as_object(report(data))["rules"] if rule["rule"] == "MDMP-MEMORY-001")
    assert blocked["verdict"] == "BLOCKED"
    assert blocked["blocked_by"] == "MDMP-DIR-003"
    assert blocked["fact"] in blocked["note"]
    assert "stream 5 (MemoryListStream): " in blocked["note"]
    cases = ElementTree.fromstring(to_junit(report(data))).iter("testcase")
    (case,) = (case for case in cases if case.get("name", "").startswith("MDMP-MEMORY-001 "))
    message = case.find("skipped")
    assert message is not None
    assert "MDMP-DIR-003" in message.get("message", "")
    assert "stream 5 (MemoryListStream)" in message.get("message", "")


def test_a_rule_that_blocks_others_comes_before_other_failures() -> None:
    data = bytearray(out_of_bounds())
    at = CASE.layout.section("ModuleList").offset + 4
    struct.pack_into("<Q", data, at, struct.unpack_from("<Q", data, at)[0] + 1)
    failing = [result.rule for result in report(bytes(data)).results if result.verdict is Verdict.FAIL]
    assert failing[0] == "MDMP-DIR-003"
    assert len(failing) > 1


def test_junit_sarif_and_the_assertion_tell_what_follows() -> None:
    found = report(padded())
    cases = {case.get("name", "").split()[0]: case for case in ElementTree.fromstring(to_junit(found)).iter("testcase")}
    failure = cases["MDMP-THREAD-007"].find("failure")
    assert failure is not None
    assert "follows from MDMP-THREAD-002" in (failure.text or "")
    results = as_log(found)["runs"][0]["results"]
    assert results[0]["properties"]["shift"] == {"amount": "0x8", "unit": "byte"}
    assert any(item["properties"].get("follows") == "MDMP-THREAD-002" for item in results)
    with pytest.raises(AssertionError, match=r"follows from MDMP-THREAD-002"):
        assert_conformant(padded(), CASE.truth, CASE.asked)


def test_html_links_what_follows_to_its_cause() -> None:
    data = padded()
    page = html_report(report(data), ByteSource(data, "a.dmp"), CASE.truth, CASE.asked)
    assert '<a href="#g-MDMP-THREAD-002"><code>MDMP-THREAD-002</code></a>' in page
    assert "all of them stand 8 bytes later" in page
