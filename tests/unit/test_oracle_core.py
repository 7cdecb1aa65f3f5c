"""The core of the judge: tables, records, file types, verdicts, and the text and JSON reports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from struct import pack

import pytest
from dumptruth.oracle import (
    ByteSource,
    Grade,
    Level,
    Outcome,
    SelectionError,
    Source,
    Verdict,
    all_rules,
    check,
    identify,
)
from dumptruth.oracle import rule as rules
from dumptruth.oracle.decode import KINDS, decode, enumerations, structure, structures
from dumptruth.oracle.model import Report
from dumptruth.oracle.report.as_json import to_json
from dumptruth.oracle.report.text import render
from dumptruth.oracle.rule import Check, bad, ok, rule
from dumptruth.oracle.selection import selection
from dumptruth.oracle.vectors import packaged

HEADER = pack("<4sIIIIIQ", b"MDMP", 0xA793, 0, 32, 0, 0, 0)


@pytest.mark.parametrize("name", list(structures()))
def test_the_rows_of_a_structure_cover_it_without_gap(name: str) -> None:
    """Members of unions overlap. In ProcessVmCounters_1, two bytes have no member.

    Source: docs/format/minidump-system.md#process-memory-counters.
    """
    table = structure(name)
    covered = set()
    for row in table.fields.values():
        assert row.width == KINDS[row.kind][0] * row.count
        covered |= set(range(row.offset, row.offset + row.width))
    unnamed = {2, 3} if name == "MINIDUMP_PROCESS_VM_COUNTERS_1" else set()
    assert set(range(table.size)) - covered == unnamed


def test_later_versions_of_a_structure_begin_like_the_earlier() -> None:
    families = (
        ["MINIDUMP_MISC_INFO", *(f"MINIDUMP_MISC_INFO_{n}" for n in range(2, 6))],
        ["MINIDUMP_SYSTEM_MEMORY_INFO_1", "MINIDUMP_SYSTEM_MEMORY_INFO_2"],
        ["MINIDUMP_HANDLE_DESCRIPTOR", "MINIDUMP_HANDLE_DESCRIPTOR_2"],
    )
    for family in families:
        for shorter, longer in pairwise(family):
            for name, row in structure(shorter).fields.items():
                other = structure(longer).fields[name]
                assert (row.offset, row.width, row.kind) == (other.offset, other.width, other.kind)


def test_every_table_names_a_source() -> None:
    assert all(row.source.where for table in structures().values() for row in table.fields.values())
    assert all(table.source.where for table in enumerations().values())


def test_a_record_reads_integers_arrays_text_and_bytes() -> None:
    data = pack("<IIIiQQIIII", 1, 2, 3, -15, 4, 5, 6, 7, 8, 9)
    record = decode(ByteSource(b"??" + data), 2, "MINIDUMP_THREAD", "thread")
    assert record.complete
    assert (record["ThreadId"], record["Priority"], record["Stack.Memory.Rva"]) == (1, -15, 7)
    assert record.raw("Teb") == pack("<Q", 4)
    assert (record.span_of("Teb").start, record.span_of("Teb").end) == (18, 26)
    misc = decode(ByteSource(bytes(0x40) + "UTC".encode("utf-16-le") + bytes(2000)), 0, "MINIDUMP_MISC_INFO_5", "misc")
    assert misc.text("TimeZone.StandardName") == "UTC"
    assert len(misc.array("XStateData.Features")) == 128


def test_a_record_that_the_file_cuts_is_incomplete_and_still_readable() -> None:
    record = decode(ByteSource(b"\x01\0\0\0\x02\0"), 0, "MINIDUMP_THREAD", "thread")
    assert not record.complete
    assert (record["ThreadId"], record["SuspendCount"], record["Teb"]) == (1, 2, 0)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (HEADER, "minidump"),
        (b"MDMP", "minidump"),
        (b"PMDM" + bytes(28), "minidump-big-endian"),
        (b"USERDUMP" + bytes(56), "userdump"),
        (b"USERDU64" + bytes(88), "userdump"),
        (b"MSCF" + bytes(32), "cab"),
        (b"\x7fELF\2", "elf"),
        (b"MZ" + bytes(58) + pack("<I", 64) + b"PE\0\0", "pe"),
        (b"MZ" + bytes(62), "mz"),
        ("héllo\r\n\t\x1b[0m".encode(), "text"),
        ("é".encode() * 4000, "text"),
        (b"\0\1\2", "unknown"),
        (b"\xff\xfe", "unknown"),
    ],
)
def test_a_file_is_named_by_its_first_bytes(data: bytes, kind: str) -> None:
    assert identify(ByteSource(data)).kind == kind


@pytest.mark.parametrize(
    ("signature", "at", "number", "said"),
    [(b"PAGEDU64", 0xF98, 4, "64-bit target: triage"), (b"PAGEDUMP", 0xF88, 1, "32-bit target: full")],
)
def test_a_kernel_dump_is_named_with_its_kind(signature: bytes, at: int, number: int, said: str) -> None:
    data = bytearray(signature + bytes(0x2000))
    data[at : at + 4] = pack("<I", number)
    identity = identify(ByteSource(bytes(data)))
    assert identity.kind == "kernel-dump"
    assert said in identity.description
    assert "cut short" in identify(ByteSource(signature)).description


@pytest.mark.parametrize("data", [b"", b"hello\n", b"MZ", b"MDM", b"PAGEDU6"])
def test_a_file_that_is_not_a_dump_has_its_own_outcome(data: bytes) -> None:
    report = check(ByteSource(data, "x"))
    assert report.outcome is Outcome.NOT_A_DUMP
    assert report.outcome.exit_status == 3
    assert len(render(report).splitlines()) == 1


def test_rules_are_selected_by_pattern_and_an_unknown_one_is_refused() -> None:
    def ids(select: list[str], skip: Sequence[str] = ()) -> set[str]:
        return {result.rule for result in check(ByteSource(HEADER), select=select, skip=skip).results}

    assert ids(select=["MDMP-HEADER-*"]) == {f"MDMP-HEADER-00{n}" for n in range(1, 5)}
    assert ids(select=["MDMP-HEADER-*"], skip=["*-001"]) == {f"MDMP-HEADER-00{n}" for n in range(2, 5)}
    with pytest.raises(SelectionError, match="NO-SUCH"):
        ids(select=["NO-SUCH-*"])


def test_a_truth_without_a_request_is_refused() -> None:
    with pytest.raises(SelectionError, match="expected both a truth and the request"):
        check(ByteSource(HEADER), truth=min((packaged() / "truth").iterdir()))


def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules that the test registers are gone after it."""
    all_rules()
    registry = dict(rules.RULES)
    monkeypatch.setattr(rules, "RULES", registry)
    for module in ("judge", "selection"):
        monkeypatch.setattr(f"dumptruth.oracle.{module}.RULES", registry)
    monkeypatch.setattr("dumptruth.oracle.judge.selection", selection.__wrapped__)


def one_rule(
    monkeypatch: pytest.MonkeyPatch, level: Level, grade: Grade, *checks: Check, strict: bool = False
) -> Report:
    """The report of a registry with one more rule that yields ``checks``."""
    own_registry(monkeypatch)

    @rule("MDMP-TEST-001", "a test", level, Source("here", grade))
    def made(_case: object) -> Iterator[Check]:
        yield from checks

    return check(ByteSource(HEADER), select=["MDMP-TEST-001"], strict=strict)


def test_a_rule_without_a_check_is_vacuous_and_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    report = one_rule(monkeypatch, Level.MUST, Grade.DOCUMENTED)
    assert report.results[0].verdict is Verdict.VACUOUS


def test_the_number_of_findings_is_limited_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [bad(f"thing {n}", "right", "wrong") for n in range(50)]
    result = one_rule(monkeypatch, Level.MUST, Grade.DOCUMENTED, ok("things", 7), *many).results[0]
    assert (result.checks, result.failures, len(result.findings)) == (57, 50, 20)


@pytest.mark.parametrize(
    ("level", "grade", "strict", "outcome"),
    [
        (Level.MUST, Grade.OBSERVED, False, Outcome.NON_CONFORMANT),
        (Level.MUST, Grade.INFERRED, False, Outcome.CONFORMANT),
        (Level.MUST, Grade.INFERRED, True, Outcome.NON_CONFORMANT),
        (Level.SHOULD, Grade.DOCUMENTED, False, Outcome.CONFORMANT),
        (Level.SHOULD, Grade.DOCUMENTED, True, Outcome.NON_CONFORMANT),
        (Level.MAY, Grade.DOCUMENTED, True, Outcome.CONFORMANT),
    ],
)
def test_a_foreign_file_fails_by_level_and_grade(
    monkeypatch: pytest.MonkeyPatch, level: Level, grade: Grade, strict: bool, outcome: Outcome
) -> None:
    assert one_rule(monkeypatch, level, grade, bad("thing", "right", "wrong"), strict=strict).outcome is outcome


def test_a_bug_in_a_rule_is_an_internal_error_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    own_registry(monkeypatch)

    @rule("MDMP-TEST-002", "a test", Level.MUST, Source("here", Grade.DOCUMENTED))
    def broken(_case: object) -> Iterator[Check]:
        yield ok("thing")
        raise KeyError("gone")

    report = check(ByteSource(HEADER))
    assert report.outcome is Outcome.INTERNAL_ERROR
    assert report.outcome.exit_status == 2
    assert "MDMP-TEST-002" in render(report).splitlines()[-1]


def test_malformed_rules_are_refused_at_import() -> None:
    for id_, sources in (("MDMP-X-1", 1), ("mdmp-x-001", 1), ("MDMP-HEADER-001", 1), ("MDMP-NEW-001", 0)):
        all_rules()
        with pytest.raises(ValueError, match="rule"):
            rule(id_, "t", Level.MUST, *[Source("here", Grade.DOCUMENTED)] * sources)


def test_every_rule_can_be_explained() -> None:
    for item in all_rules().values():
        assert item.title
        assert item.title[0].islower() or item.title.split()[0][0].isupper()
        assert item.rationale, item.id
        assert item.sources
        assert all(source.where for source in item.sources)


def test_no_defect_is_reported_by_two_rules() -> None:
    topics = [topic for item in all_rules().values() for topic in item.reports]
    assert len(topics) == len(set(topics))


def test_a_rule_that_blocks_others_always_counts() -> None:
    """Otherwise a dump with unreadable lists would pass without truth, since no rule could judge them."""
    for item in all_rules().values():
        if item.reports:
            assert {item.level, item.foreign_level} == {Level.MUST}, item.id
            assert item.grade is not Grade.INFERRED, item.id


def test_the_text_report_has_findings_denominators_and_the_outcome() -> None:
    data = HEADER[:4] + b"\0\0\0\0" + HEADER[8:]
    lines = render(check(ByteSource(data, "x.dmp"))).splitlines()
    assert lines[-1] == "x.dmp: NON_CONFORMANT"
    assert "no truth given: only structural rules ran" in lines
    rule = all_rules()["MDMP-HEADER-002"]
    failing = lines.index(f"FAIL {rule.id}  {rule.title}")
    assert re.fullmatch(r"  \S.* at 0x4\.\.0x8: 0x0, expected .+", lines[failing + 1])
    assert lines[failing + 2] == f"  see: {rule.sources[0].where}"
    assert any("32 bytes: " in line and "claimed" in line for line in lines)


def test_the_text_report_marks_a_failure_that_does_not_fail_the_dump() -> None:
    report = check(ByteSource(HEADER[:4] + b"\0\0\0\0" + HEADER[8:], "x.dmp"))
    noted = replace(report, results=tuple(replace(result, counts=False) for result in report.results))
    lines = render(noted).splitlines()
    rule = all_rules()["MDMP-HEADER-002"]
    assert f"note {rule.id}  {rule.title} [{rule.level}, {rule.grade}]" in lines
    assert not any(line.startswith("FAIL") for line in lines)


def test_the_json_report_is_versioned_and_holds_64_bit_values_as_text() -> None:
    document = json.loads(to_json(check(ByteSource(HEADER, "x.dmp"))))
    assert (document["schema"], document["version"], document["exit_status"]) == ("dumptruth-report", 1, 1)
    assert document["size"] == "0x20"
    failed = [item for item in document["rules"] if item["verdict"] == "FAIL"]
    assert [item["rule"] for item in failed] == ["MDMP-DIR-001"]
    assert failed[0]["findings"][0]["spans"][0] == {"start": "0x8", "end": "0xc"}


def test_the_judge_imports_neither_emulator_nor_loader() -> None:
    code = (
        "import sys, dumptruth.oracle as oracle; oracle.all_rules();"
        "print([name for name in ('unicorn', 'lief', 'dumptruth.emu', 'dumptruth.fixtures') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
