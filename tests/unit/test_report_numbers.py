"""Text, HTML, JUnit and the pytest plugin give the same numbers; pages count once."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from dumptruth.fixtures.app.reporting.page import html_report
from dumptruth.oracle import ByteSource, Report, check, read_minidump
from dumptruth.oracle.assertion import Tally
from dumptruth.oracle.report.junit import to_junit
from dumptruth.oracle.report.numbers import numbers
from dumptruth.oracle.report.text import render
from dumptruth.oracle.vectors import packaged

DUMPS = ("by-hand/rich.dmp", "hostile/user/threads-2-32.dmp", "hostile/kernel/cut-in-a-page.dmp", "by-hand/cab-all.cab")


def judged(name: str) -> Report:
    return check(packaged() / name)


@pytest.mark.parametrize("name", DUMPS)
def test_every_report_gives_the_same_numbers(name: str) -> None:
    report = judged(name)
    count = numbers(report)
    parts = (count.passed, count.failed, count.noted, count.vacuous, count.not_applicable, count.blocked, count.errors)
    assert sum(parts) == len(report.results)

    line = next(line for line in render(report).splitlines() if " rules run, " in line)
    assert line.startswith(f"{count.run} rules run, {count.checks} checks (")
    words = {"fail": count.failed, "noted": count.noted, "vacuous": count.vacuous, "blocked": count.blocked}
    for word, number in words.items():
        assert re.findall(rf"(\d+) {word}\b", line) == ([str(number)] if number else [])

    suite = ElementTree.fromstring(to_junit(report))[0]
    properties = {item.attrib["name"]: item.attrib["value"] for item in suite.iter("property")}
    assert int(properties["rules run"]) == count.run
    assert int(suite.attrib["tests"]) - int(suite.attrib["skipped"]) - int(suite.attrib["errors"]) == count.run
    assert int(suite.attrib["failures"]) == count.failed
    assert (properties["checks"], properties["failed checks"]) == (str(count.checks), str(count.failed_checks))

    with ByteSource.open(packaged() / name) as source:
        page = re.sub(r"<[^>]+>|\s", " ", html_report(report, source).replace("&#8239;", ""))
    assert re.search(rf"\b{count.run}\s+run\b", page)
    assert re.search(rf"\b{count.passed} passed,\s+{count.failed} failed\b", page)

    tally = Tally()
    tally.add(report)
    assert (tally.rules, tally.checks) == (count.run, count.checks)


def test_a_page_that_two_ranges_share_counts_once() -> None:
    report = judged("by-hand/rich.dmp")
    with ByteSource.open(packaged() / "by-hand/rich.dmp") as source:
        pages = {page for start, end in read_minidump(source).captured() for page in range(start >> 12, -(-end >> 12))}
        crowded = sum(-(-end >> 12) - (start >> 12) for start, end in read_minidump(source).captured())
    assert report.pages == len(pages) < crowded


def test_a_page_of_which_the_file_holds_a_part_counts() -> None:
    whole = judged("hostile/kernel/cut-in-a-page.dmp")
    data = (packaged() / "hostile/kernel/cut-in-a-page.dmp").read_bytes()
    assert whole.pages == 3
    assert check(data[:0x4000]).pages == 2
    assert check(data[:0x4001]).pages == 3
