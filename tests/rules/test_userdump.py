"""Hand-made full user dumps: they conform, the judge detects every changed byte, and hostile ones are judged in little
time and memory."""

from __future__ import annotations

import sys
from pathlib import Path
from struct import pack, pack_into

import pytest
from dumptruth.fixtures.mutants.hand_pristine import HandPristine, pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.fixtures.mutants.userdump_assembled import RUNS, memory, stored_memory, truth_document
from dumptruth.oracle import ByteSource, Outcome, Verdict, check, read_userdump
from dumptruth.oracle.rules.userdump.truth import ansi
from dumptruth.oracle.truth.load import parse_truth
from hypothesis import given
from hypothesis import strategies as st

from .hostile import EVERY, extreme_patches, failing, offsets_in, peak, unnoticed
from .hostile import judged_by_hand as judged

BASES = (BaseDump.USERDUMP, BaseDump.USERDUMP_X86, BaseDump.USERDUMP_ARM64)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("own", [True, False])
def test_a_dump_made_by_hand_is_conformant_and_every_byte_has_an_owner(base: BaseDump, own: bool) -> None:
    made = pristine(base)
    report = judged(made.data, made if own else None)
    assert [(result.rule, result.findings) for result in report.failing()] == []
    assert (report.outcome, report.kind, report.unclaimed) == (Outcome.CONFORMANT, "userdump", 0)
    assert (report.claimed, report.pages) == (len(made.data), 8)


def sampled(made: HandPristine, step: int) -> list[int]:
    """Offsets of the dump: one in three of the small records, one in ``step`` of the contexts, some of the memory.

    For the two other architectures one in seven of the records. Step 1: all, and one in 97 of the memory.
    """
    contexts, modules, memory = (made.at[piece] for piece in ("context 0", "module 0", "memory 0"))
    each = 1 if step == 1 else 3 if made.base is BaseDump.USERDUMP else 7
    return [
        *range(0, contexts, each), *range(contexts, modules, step), *range(modules, memory, each),
        *range(memory, len(made.data), 97 if step == 1 else 997),
    ]  # fmt: skip


SOME_OR_ALL = pytest.mark.parametrize("step", [97, EVERY])


@SOME_OR_ALL
@pytest.mark.parametrize("base", BASES)
def test_every_byte_turned_over_is_noticed_or_declared(base: BaseDump, step: int) -> None:
    made = pristine(base)
    free = offsets_in(read_userdump(ByteSource(made.data)).dont_cares)
    assert free == set(range(8, 16)), "MajorVersion and MinorVersion"
    offsets = sampled(made, step)
    assert unnoticed(made, offsets) == (free | unused_parameters(made) | hotfixes(made)) & set(offsets)


def unused_parameters(made: HandPristine) -> set[int]:
    """The unused slots of ExceptionInformation. The vendor's engine leaves stale bytes in them."""
    start, size = (0x20, 4) if made.base is BaseDump.USERDUMP_X86 else (0x30, 8)
    assert made.truth.exception is not None
    used = len(made.truth.exception.information)
    return {made.at["event"] + start + at for at in range(used * size, 15 * size)}


def hotfixes(made: HandPristine) -> set[int]:
    """The text of the hotfixes and its name, which the truth does not tell."""
    name = "CRASH: Hotfixes".encode("utf-16-le")
    at = made.data.find(name)
    return set(range(at, at + len(name) + 2 + 2 * len("none"))) if at >= 0 else set()


def records_of(base: BaseDump) -> dict[str, str]:
    """A piece of every kind of record, and its structure."""
    bits = 32 if base is BaseDump.USERDUMP_X86 else 64
    return {
        "header": f"USERMODE_CRASHDUMP_HEADER{bits}", "version": "CRASHDUMP_VERSION_INFO",
        "thread 0": f"CRASH_THREAD{bits}", "module 0": f"CRASH_MODULE{bits}",
        "region 1": f"MEMORY_BASIC_INFORMATION{bits}", "event": f"DEBUG_EVENT{bits}",
    }  # fmt: skip


@pytest.mark.parametrize("step", [5, EVERY])
@pytest.mark.parametrize("base", BASES)
def test_every_extreme_value_of_every_field_is_survived(base: BaseDump, step: int) -> None:
    made = pristine(base)
    for patch in extreme_patches(records_of(base), step):
        judged(made.patched(patch), made)


@SOME_OR_ALL
@pytest.mark.parametrize("base", BASES)
def test_a_dump_cut_at_any_length_is_survived_and_never_conformant(base: BaseDump, step: int) -> None:
    made = pristine(base)
    for length in (*sampled(made, step)[:: min(step, 3)], len(made.data) - 1):
        assert judged(made.data[:length]).outcome is not Outcome.CONFORMANT


@given(st.sampled_from((b"USERDUMP", b"USERDU64")), st.binary(max_size=600))
def test_random_bytes_behind_a_signature_are_judged(signature: bytes, body: bytes) -> None:
    judged(signature + body)


@given(st.data())
def test_random_words_in_the_records_are_judged(data: st.DataObject) -> None:
    made = pristine(data.draw(st.sampled_from(BASES)))
    spoilt = bytearray(made.data)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(2, made.at["memory 0"] // 4)) * 4
        pack_into("<I", spoilt, at, data.draw(st.sampled_from((0, 1, 0x60, 0x1000, 0xFFFF_FFF8, 1 << 31))))
    judged(bytes(spoilt))
    judged(bytes(spoilt), made)


def listing(regions: int, *, shared: int = 0) -> bytes:
    """A dump of region descriptors only. ``shared`` nameless modules overlap them."""
    head = pack("<8s6I", b"USERDU64", 5, 2, 0x8664, 0, shared, regions)
    head += pack("<8Q", 96, 96, 96 + 48 * regions, 96, 0, 96, 0, 0)
    rows = (pack("<QQIIQIIII", 0x1000 * index, 0, 4, 0, 0, 0x1000, 4, 0x20000, 0) for index in range(regions))
    return head + b"".join(rows)


def test_more_records_than_the_ceiling_are_not_called_conformant() -> None:
    report = judged(listing(200_000))
    assert [item.subject for item in report.unjudged] == ["regions"]
    assert report.outcome is Outcome.INCOMPLETE


@pytest.mark.skipif(sys.platform == "win32", reason="the peak is read with resource or from /proc")
def test_hostile_dumps_cost_no_memory_out_of_proportion(tmp_path: Path) -> None:
    for index, data in enumerate((listing(32_000), listing(16_000, shared=16_000))):
        (tmp_path / f"{index}.dmp").write_bytes(data)
    assert peak(tmp_path) < 256 << 20


def test_a_foreign_dump_may_lack_version_and_event_and_have_guard_pages() -> None:
    """Inferred rules do not fail a dump that is judged without truth."""
    made = pristine(BaseDump.USERDUMP)
    data = made.patched(
        ("header", 0x40, bytes(8)), ("header", 0x50, bytes(8)), ("header", 0x58, pack("<Q", 7)),
        ("region 0", 0x24, pack("<I", 0x104)),
    )  # fmt: skip
    report = judged(data, strict=False)
    assert failing(report) == {"UDMP-HEADER-003", "UDMP-LAYOUT-002", "UDMP-REGION-002"}
    assert report.outcome is Outcome.CONFORMANT
    assert judged(data, made).outcome is Outcome.NON_CONFORMANT


@pytest.mark.parametrize("counted", [False, True])
def test_a_name_may_count_its_nul_or_not(counted: bool) -> None:
    made = pristine(BaseDump.USERDUMP)
    end = made.at["module 1"]
    data = bytearray(made.data[:end] + bytes(1) * counted + made.data[end:])
    length = made.at["module 0"] + 12
    pack_into("<I", data, length, int.from_bytes(data[length : length + 4], "little") + counted)
    for field in (0x30, 0x40):  # data and event lie after the names
        pack_into("<Q", data, field, int.from_bytes(data[field : field + 8], "little") + counted)
    assert failing(judged(bytes(data), made)) == set()


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("a.exe", (b"a.exe",)),
        ("Größe\N{EURO SIGN}", (b"Gr\xf6\xdfe\x80",)),
        ("\N{CYRILLIC CAPITAL LETTER ZHE}", (b"?",)),
        ("x\N{GRINNING FACE}", (b"x?", b"x??")),
        ("\x81", (b"?", b"\x81")),
        ("\ud83d", (b"?",)),
    ],
)
def test_names_are_in_code_page_1252_with_question_marks(name: str, accepted: tuple[bytes, ...]) -> None:
    assert ansi(name) == accepted


def test_a_target_without_exception_has_a_dump_without_event() -> None:
    made = pristine(BaseDump.USERDUMP)
    truth = parse_truth({**truth_document("amd64"), "exception": None}, stored_memory("amd64"))
    at = made.at["event"]
    data = bytearray(made.data[:at] + made.data[at + 176 :])
    pack_into("<Q", data, 0x40, 0)
    pack_into("<Q", data, 0x30, at)
    report = check(ByteSource(bytes(data)), truth, made.asked, strict=True)
    assert failing(report) == set()
    assert report.outcome is Outcome.CONFORMANT


def test_a_region_that_is_missing_is_named_by_its_memory() -> None:
    made = pristine(BaseDump.USERDUMP)
    data = made.patched(("header", 0x1C, pack("<I", 6)))
    report = judged(data, made)
    (result,) = (result for result in report.results if result.rule == "TRUE-UDMP-REGION-001")
    assert [str(span) for finding in result.findings for span in finding.memory] == ["0x500000..0x501000"]


def test_rules_about_records_that_a_bad_count_removed_are_blocked_by_its_rule() -> None:
    made = pristine(BaseDump.USERDUMP)
    report = judged(made.patched(("header", 0x1C, pack("<I", 1 << 31))), made)
    blocked = {result.rule: result.blocked_by for result in report.results if result.verdict is Verdict.BLOCKED}
    assert {"UDMP-REGION-002", "TRUE-UDMP-REGION-001", "TRUE-UDMP-MEMORY-001", "UDMP-LAYOUT-001"} <= set(blocked)
    assert set(blocked.values()) == {"UDMP-REGION-001"}


def test_the_truth_of_a_machine_judges_no_full_user_dump() -> None:
    from dumptruth.fixtures.mutants import kernel_pristine  # noqa: PLC0415 - boots a machine

    machine = kernel_pristine.pristine(BaseDump.KERNEL_HEADER)
    report = check(ByteSource(pristine(BaseDump.USERDUMP).data, "x.dmp"), machine.truth, machine.asked)
    assert report.outcome is Outcome.NOT_A_DUMP
    assert "whole machine" in (report.reason or "")


def test_the_bytes_of_a_page_are_found_by_address() -> None:
    dump = read_userdump(ByteSource(pristine(BaseDump.USERDUMP_X86).data))
    assert dump.architecture == "x86"
    assert dump.read_memory(0x13FFC, 4) == memory(0x13FFC, 0x14000)
    assert dump.read_memory(0x13FFC, 8) is None
    assert dump.captured() == [(start, start + size) for start, size in RUNS]
