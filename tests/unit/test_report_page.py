"""The HTML page without a browser: one file, no external resource, and untrusted text is escaped."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest
from dumptruth.fixtures.app.reporting.page import MAX_FINDINGS, UNFOLDED, html_report
from dumptruth.fixtures.mutants import all_mutants, pristine
from dumptruth.fixtures.mutants.registry import BaseDump, Mutant, MutatedDump
from dumptruth.fixtures.vectors.target import case_of
from dumptruth.oracle import ByteSource, Fault, Finding, Outcome, Report, Span, Verdict, check
from hypothesis import given, settings
from hypothesis import strategies as st

VOID = {"meta", "link", "input", "br", "wbr", "hr", "img"}
HOSTILE = '"><script>alert(1)</script></style>\x00\x1b\ud800{{ 7 * 7 }}'


class Page(HTMLParser):
    """Collects tags with attributes, and text outside script and style. An unbalanced tag is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.data = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.data = self.data or data
        elif not self.open or self.open[-1] != "style":
            self.text += data


def made(base: BaseDump) -> tuple[Report, str]:
    told = case_of(base)
    source = ByteSource(told.data, "a.dmp")
    judged = (None, None) if base.foreign else (told.truth, told.asked)
    report = check(source, *judged)
    return report, html_report(report, source, *judged)


@pytest.mark.parametrize(
    ("base", "shown"),
    [
        (BaseDump.SMALL, "STATUS_ACCESS_VIOLATION (0xc0000005) at "),
        (BaseDump.KERNEL_SMALL_B, "DRIVER_IRQL_NOT_LESS_OR_EQUAL (0xd1) at "),
        (BaseDump.CAB_IMAGES, "crash.dmp, a legacy full user-mode dump, 64-bit"),
    ],
)
def test_a_page_opens_with_what_the_dump_is(base: BaseDump, shown: str) -> None:
    text = Page(made(base)[1]).text
    assert shown in text
    assert text.index(shown) < text.index("Findings", text.index("judged"))


@pytest.mark.parametrize("base", BaseDump)
def test_a_page_of_every_kind_of_dump_is_one_balanced_file(base: BaseDump) -> None:
    report, text = made(base)
    page = Page(text)
    assert text.isascii()
    assert len(text) < 1 << 20
    assert report.file in page.text
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:,")), (tag, name, value)
        assert not [name for name in attributes if name.startswith("on")]
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style
    assert not re.search(r"url\(|@import", style[1])
    policy = next(attributes for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert "default-src 'none'" in str(policy["content"])
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {target[1:] for target in targets if target} <= set(ids), "a link leads nowhere"


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(mutant, id=mutant.id, marks=pytest.mark.slow if number % 30 else ())
        for number, mutant in enumerate(all_mutants().values())
    ],
)
def test_the_page_of_a_mutant_names_rule_and_finding(mutant: Mutant) -> None:
    told = case_of(mutant.base)
    fault = mutant.make(told)
    spoilt = fault if isinstance(fault, MutatedDump) else MutatedDump(fault)
    source = ByteSource(spoilt.data, "mutant.dmp")
    judged = (None, None) if mutant.foreign else (spoilt.truth or told.truth, spoilt.asked or told.asked)
    report = check(source, *judged, strict=True, replay=spoilt.replay)
    page = Page(html_report(report, source, *judged))
    failed = next(result for result in report.results if result.rule == mutant.rule)
    assert failed.verdict is Verdict.FAIL
    assert f"g-{mutant.rule}" in [attributes.get("id") for _, attributes in page.tags]
    for finding in failed.findings[:3]:
        assert finding.subject in page.text
    shown = json.loads(page.data)["findings"]
    assert len([item for item in shown.values() if item["rule"] == mutant.rule]) == len(failed.findings)


@pytest.mark.parametrize("data", [b"", b"text\n", b"MDMP", b"PAGEDU64", bytes(5000)], ids=repr)
def test_a_file_that_is_not_a_dump_has_a_page_too(data: bytes) -> None:
    source = ByteSource(data, "odd")
    report = check(source)
    page = Page(html_report(report, source))
    assert report.outcome is not Outcome.CONFORMANT
    if report.reason:
        assert report.reason in page.text


def _with(report: Report, *findings: Finding) -> Report:
    failed = replace(report.results[0], verdict=Verdict.FAIL, failures=len(findings), findings=findings)
    return replace(report, results=(failed, *report.results[1:]))


def _finding(text: str, *spans: Span) -> Finding:
    return Finding("MDMP-DIR-001", text, Fault.WRONG, (text, "b"), text, spans)


@cache
def _page_about(text: str) -> str:
    """A page with ``text`` as file name, reason and only finding."""
    source = ByteSource(pristine.pristine(BaseDump.SMALL).data, text)
    report = check(source, select=["MDMP-DIR-*"])
    return html_report(replace(_with(report, _finding(text, Span(0, 4))), file=text, reason=text), source)


@settings(max_examples=12)
@given(st.text(st.characters(), max_size=30) | st.just(HOSTILE))
def test_untrusted_text_is_never_markup(text: str) -> None:
    page = Page(_page_about(text))
    assert [tag for tag, _ in page.tags if tag not in ("wbr", "strong")] == [
        tag for tag, _ in Page(_page_about("plain")).tags if tag not in ("wbr", "strong")
    ]
    assert "49" not in page.text.partition("Skip to")[0]


def test_spans_that_lie_anywhere_are_shown_or_left_out() -> None:
    told = pristine.pristine(BaseDump.SMALL)
    source = ByteSource(told.data, "a.dmp")
    size = len(told.data)
    for span in (Span(0, 0), Span(0, size), Span(size, size), Span(size - 1, size + 5), Span(1 << 62, 1 << 63)):
        assert Page(html_report(_with(check(source), _finding("x", span)), source)).text


def test_findings_are_folded_and_limited_and_the_rest_is_counted() -> None:
    told = pristine.pristine(BaseDump.SMALL)
    source = ByteSource(told.data, "a.dmp")
    many = tuple(_finding(f"subject {number}", Span(number, number + 1)) for number in range(MAX_FINDINGS + 7))
    text = html_report(_with(check(source), *many), source)
    page = Page(text)
    assert len([1 for _, attributes in page.tags if attributes.get("class") == "finding"]) == MAX_FINDINGS
    assert "7 more are in the JSON report" in page.text
    assert f"{MAX_FINDINGS - UNFOLDED} more findings of this rule" in page.text
    assert len(text) < 2 << 20
