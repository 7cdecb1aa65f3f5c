"""The budget of work: what it does not judge is told in every report, and the file is not called conformant."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from struct import pack

import pytest
from dumptruth.fixtures.app.cli import run_command
from dumptruth.fixtures.app.reporting.page import html_report
from dumptruth.oracle import ByteSource, Outcome, Report, Verdict, check, read_kernel
from dumptruth.oracle.assertion import assert_conformant
from dumptruth.oracle.budget import Budget, Work
from dumptruth.oracle.report.as_json import as_object
from dumptruth.oracle.report.junit import to_junit
from dumptruth.oracle.report.memory_map import memory_map
from dumptruth.oracle.report.numbers import numbers
from dumptruth.oracle.report.sarif import as_log
from dumptruth.oracle.report.text import render

from ..property.growing_lists import LISTS, minidump
from ..property.growing_other_files import FILES

STREAMS = 5000


def crowded() -> bytes:
    """A dump whose directory has more streams than the judge reads."""
    return LISTS["unused streams"](STREAMS)


@pytest.fixture(scope="module")
def report() -> Report:
    return check(crowded())


def test_what_is_not_judged_is_told_with_its_limit_and_its_count(report: Report) -> None:
    assert report.outcome is Outcome.INCOMPLETE
    assert [str(item) for item in report.unjudged] == [f"directory: 0 of {STREAMS} judged, limit: at most 4096 streams"]
    assert report.reason == str(report.unjudged[0])


def test_a_rule_that_needs_what_was_not_read_has_no_verdict(report: Report) -> None:
    verdicts = {result.rule: result for result in report.results}
    assert verdicts["XCUT-FLAGS-001"].verdict is Verdict.INCOMPLETE
    assert verdicts["XCUT-FLAGS-001"].fact == "directory"
    assert verdicts["MDMP-THREAD-001"].verdict is Verdict.INCOMPLETE  # the directory may have a thread list
    assert numbers(report).incomplete == sum(item.verdict is Verdict.INCOMPLETE for item in report.results)


def test_each_report_tells_what_is_not_judged(report: Report) -> None:
    told = str(report.unjudged[0])
    assert told in render(report)
    found = as_object(report)
    assert (found["outcome"], found["exit_status"]) == ("INCOMPLETE", 4)
    assert found["unjudged"] == [
        {"subject": "directory", "limit": "at most 4096 streams", "judged": 0, "left": STREAMS}
    ]
    suite = ET.fromstring(to_junit(report))[0]
    assert [(case.get("name"), error.text) for case in suite for error in case.findall("error")] == [
        ("the file is judged whole", told)
    ]
    invocation = as_log(report)["runs"][0]["invocations"][0]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 4)
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == f"not judged whole: {told}"
    page = html_report(report, ByteSource(crowded(), "x.dmp"))
    assert "Not judged whole" in page
    assert "at most 4096 streams" in page


def test_the_command_ends_with_status_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "crowded.dmp"
    path.write_bytes(crowded())
    assert run_command(["check", str(path)]) == 4
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict.endswith(f"INCOMPLETE: directory: 0 of {STREAMS} judged, limit: at most 4096 streams")
    other = tmp_path / "other.dmp"
    other.write_bytes(crowded())
    assert run_command(["check", str(path), str(other), "--json"]) == 4
    listed = json.loads(capsys.readouterr().out)
    assert (listed["outcome"], listed["counts"]["INCOMPLETE"]) == ("INCOMPLETE", 2)


def test_the_map_says_what_it_does_not_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "crowded.dmp"
    path.write_bytes(crowded())
    told = f"directory: 0 of {STREAMS} judged, limit: at most 4096 streams"
    assert run_command(["map", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].rstrip() == f"not shown: {told}"
    assert run_command(["map", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["not_shown"] == [told]


def test_a_bitmap_of_more_runs_than_the_map_reads_is_shown_in_part() -> None:
    small, large = (read_kernel(ByteSource(FILES["every other bit"](count))) for count in (1000, 20_000))
    assert memory_map(small).complete
    found = memory_map(large)
    assert [item.subject for item in found.unjudged] == ["runs of pages on the map"]
    assert len(found.regions) <= found.unjudged[0].judged < 4 * 20_000


def test_more_runs_than_the_budget_grants_are_not_judged() -> None:
    report = check(FILES["runs of the same page"](40_000))
    assert [item.subject for item in report.unjudged] == ["runs"]
    assert report.outcome is not Outcome.CONFORMANT


def test_the_assertion_fails_for_a_dump_that_is_not_judged_whole() -> None:
    with pytest.raises(AssertionError, match="not judged whole"):
        assert_conformant(crowded())


def test_a_failure_counts_more_than_what_is_not_judged() -> None:
    """The ids are 0, which is wrong; the names are more than the budget."""
    rows = pack("<I", 9000) + pack("<IQ", 0, 0) * 9000
    report = check(minidump([(24, lambda _at: rows), (3, lambda _at: pack("<I", 2))]))
    assert report.unjudged
    assert report.outcome is Outcome.NON_CONFORMANT


@pytest.mark.parametrize("name", ["memory regions", "handles", "thread infos", "64-bit memory ranges"])
def test_a_sound_list_of_twenty_thousand_entries_is_judged_whole(name: str) -> None:
    report = check(LISTS[name](20_000))
    assert (report.outcome, report.unjudged) == (Outcome.CONFORMANT, ())


def test_many_failures_that_do_not_count_leave_the_dump_conformant() -> None:
    report = check(LISTS["empty memory ranges"](20_000))
    result = next(result for result in report.results if result.rule == "MDMP-MEMORY-006")
    assert (result.verdict, result.counts) == (Verdict.FAIL, False)
    assert 9000 < result.failures <= 10_000
    assert result.note is not None
    assert report.outcome is Outcome.CONFORMANT


def test_a_list_that_is_cut_is_no_fault_of_the_dump() -> None:
    for name, count in (("function tables", 12_000), ("tokens", 12_000), ("object information, one chain", 120_000)):
        report = check(LISTS[name](count))
        assert report.outcome is Outcome.INCOMPLETE, name
        assert report.unjudged


def test_the_limits_grow_with_the_file_far_beyond_real_dumps() -> None:
    large = Budget(4 << 30, 8192)
    assert large.left(Work.RANGES) > 4_000_000
    assert large.left(Work.RECORDS) > 2_000_000
    assert large.left(Work.ROWS) > 100_000_000


def test_a_budget_grants_what_is_left_and_counts_what_is_not() -> None:
    budget = Budget(0, 10)
    assert [budget.grant(Work.RECORDS, wanted, "entries", 4) for wanted in (4, 8, 3, -1)] == [4, 6, 0, 0]
    assert [(item.subject, item.judged, item.left) for item in budget.unjudged] == [("entries", 10, 5)]
    assert budget.spent(Work.RECORDS) == 10
