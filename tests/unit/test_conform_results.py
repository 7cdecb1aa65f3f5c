"""Totals, known failures and the JSON of a conformance run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dumptruth.oracle.conform import (
    CaseResult,
    ExpectationsError,
    Kind,
    Summary,
    Verdict,
    as_object,
    load_known_failures,
)
from dumptruth.oracle.conform.facts import WrongFact
from dumptruth.oracle.conform.text import render
from dumptruth.oracle.model import Fault, Finding, Grade, Level, RuleResult, Span
from dumptruth.oracle.model import Verdict as Judged
from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).resolve().parents[2] / "oracle" / "schemas" / "conform-1.json"
AGREES = CaseResult("user/a", Verdict.AGREES, True, compared=("flags",))
DIES = CaseResult("user/b", Verdict.DIES, False, ("ended by SIGBUS",), Kind.INVALID)
SKIPPED = CaseResult("user/c", Verdict.SKIPPED, True, ("not mine",))
LIST = """
[[known]]
case = "user/b"
verdict = "dies"
reason = "issue 12"
"""


@pytest.mark.parametrize(
    ("results", "status"), [([AGREES], 0), ([AGREES, SKIPPED], 0), ([AGREES, DIES], 1), ([SKIPPED], 2), ([], 2)]
)
def test_the_exit_status_distinguishes_agreement_failure_and_nothing_judged(
    results: list[CaseResult], status: int
) -> None:
    assert Summary("reader", tuple(results)).exit_status == status


def test_totals_include_the_cases_that_were_not_judged() -> None:
    summary = Summary("reader", (AGREES, DIES, SKIPPED))
    assert (len(summary.results), summary.judged, summary.failing, summary.checks) == (3, 2, (DIES,), 1)
    assert summary.verdicts() == {Verdict.AGREES: 1, Verdict.DIES: 1, Verdict.SKIPPED: 1}


BY_FACT = """
[[known]]
case = "*"
verdict = "misreads"
facts = ["flags"]
reason = "flags"

[[known]]
case = "user/*"
verdict = "misreads"
facts = ["modules"]
reason = "modules"

[[known]]
case = "user/*"
verdict = "misreads"
reason = "any other fact is not excused, since the first entry names facts"
"""


def test_each_wrong_fact_needs_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text(BY_FACT, encoding="utf-8")
    known = load_known_failures(path)
    assert known.settle(_misread("flags")).known == "flags"
    assert known.settle(_misread("modules.name", "modules.size", "flags")).known == "modules; flags"
    new = known.settle(_misread("flags", "threads.teb"))
    assert new.fails
    assert list(new.lines()) == [
        "facts that no known failure names: threads.teb", "flags: a (2 more)", "threads.teb: a (2 more)"
    ]  # fmt: skip


def _misread(*facts: str) -> CaseResult:
    wrong = tuple(WrongFact(name, (f"{name}: a", f"{name}: b"), 3) for name in facts)
    return CaseResult("user/b", Verdict.MISREADS, False, misread=wrong)


def test_the_first_line_of_each_fact_is_shown_and_all_lines_on_request() -> None:
    result = _misread("flags", "threads.teb")
    assert list(result.lines()) == ["flags: a (2 more)", "threads.teb: a (2 more)"]
    assert list(result.lines(everything=True)) == [
        "flags: a", "flags: b", "flags: 1 more", "threads.teb: a", "threads.teb: b", "threads.teb: 1 more"
    ]  # fmt: skip


def test_problems_and_reasons_are_grouped_the_most_common_first() -> None:
    summary = Summary("reader", (_misread("flags"), _misread("flags", "threads.teb"), SKIPPED, SKIPPED.but(case="d")))
    assert summary.problems() == {"flags": ("user/b", "user/b"), "threads.teb": ("user/b",)}
    assert summary.skipped() == {"not mine": ("user/c", "d")}
    lines = list(render(summary))
    assert lines[0] == "FAIL user/b: misreads: flags: a (2 more)"
    assert "skipped 2 cases: not mine (user/c, ...)" in lines
    assert "6 more findings of the same rules or facts: --all-findings" in lines
    assert "misread: flags (in 2 cases), threads.teb (in 1 case)" in lines
    assert lines[-1] == "NOT CONFORMANT: 2 failing"
    assert not any("--all-findings" in line for line in render(summary, everything=True))


def test_a_fact_that_is_reported_of_some_dumps_only_is_told() -> None:
    """A dump of which the reader reports nothing does not count, nor does one that lacks the fact."""
    held = ("threads.teb", "handles.handle")
    results = (
        CaseResult("user/a", Verdict.AGREES, True, compared=held, facts=held),
        CaseResult("user/b", Verdict.MISREADS, False, compared=held[:1], facts=held),
        CaseResult("user/c", Verdict.REFUSES, True, facts=held),
        CaseResult("user/d", Verdict.AGREES, True, compared=held[:1], facts=held[:1]),
    )
    summary = Summary("reader", results)
    assert summary.sometimes() == {"handles": (1, 2)}
    assert "  reported of some dumps only: handles (1 of 2)" in list(render(summary))


def test_a_known_failure_does_not_fail_the_run_and_a_fixed_one_does(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text(LIST, encoding="utf-8")
    known = load_known_failures(path)
    settled = known.settle(DIES)
    assert (settled.known, settled.fails) == ("issue 12", False)
    mended = known.settle(DIES.but(verdict=Verdict.REFUSES, ok=True))
    assert mended.fails
    assert mended.mended
    assert mended.details == ("mended: remove 'user/b' from the known failures",)
    other = known.settle(DIES.but(verdict=Verdict.MISREADS))
    assert other.fails
    assert other.details[0] == "expected the known verdict dies, found misreads"
    assert known.settle(AGREES) == AGREES
    assert known.settle(SKIPPED.but(case="user/b")).known is None


def test_a_pattern_that_matches_no_case_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text(LIST + '[[known]]\ncase = "usr/*"\nreason = "a slip"\n', encoding="utf-8")
    assert load_known_failures(path).unmatched(["user/a", "user/b"]) == ["usr/*"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("known = 1", "expected only tables [[known]]"),
        ("[other]", "expected only tables [[known]]"),
        ("[[known]]\ncase = 'a'", "known[0].reason: expected text"),
        ("[[known]]\ncase = ''\nreason = 'x'", "known[0].case: expected text"),
        ("[[known]]\ncase = 'a'\nreason = 'x'\nverdict = 'agrees'", "known[0].verdict: expected fails or"),
        ("[[known]]\ncase = 'a'\nreason = 'x'\nwhen = 1", "known[0]: expected the members case, reason, verdict and"),
        ("[[known]]\ncase = 'a'\nreason = 'x'\nfacts = ['flags']", "known[0].verdict: expected misreads"),
        (
            "[[known]]\ncase = 'a'\nreason = 'x'\nverdict = 'misreads'\nfacts = ['flag']",
            "known[0].facts: expected names of facts",
        ),
        ("not toml", "not TOML"),
        ("known = " + "[" * 10_000, "found hundreds of levels"),
        ("known = " + "9" * 5000, "not TOML"),
    ],
)
def test_an_invalid_list_is_refused_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "known.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ExpectationsError) as raised:
        load_known_failures(path)
    assert str(raised.value).startswith("known.toml: ")
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_json_results_match_their_schema() -> None:
    finding = Finding("MDMP-DIR-001", "directory", Fault.WRONG, ("1",), "2", (Span(0, 4),))
    rule = RuleResult(
        "MDMP-DIR-001", "t", Level.MUST, Grade.WITNESSED, Judged.FAIL, checks=9, failures=1, findings=(finding,)
    )
    fails = CaseResult("user/d", Verdict.FAILS, False, broken=(rule,), checks=9)
    results = (AGREES, DIES.but(known="issue 12"), SKIPPED, fails)
    document = as_object(Summary("writer", results), ["a", "b"])
    assert document["results"][3]["rules"] == ["MDMP-DIR-001"]
    assert document["results"][3]["details"] == ["MDMP-DIR-001 directory: wrong: expected 1; actual 2 at 0x0..0x4"]
    wrong = as_object(Summary("reader", (_misread("flags"),)), ["a"])
    assert wrong["results"][0]["differences"] == [{"fact": "flags", "total": 3, "lines": ["flags: a", "flags: b"]}]
    Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(wrong)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads(json.dumps(document)))
    assert (document["cases"], document["judged"], document["failing"], document["known"]) == (4, 3, 1, 1)
