"""XCUT-MODULE-001: a module agrees with the image that the dump captured at its base."""

from __future__ import annotations

from struct import pack

import pytest
from dumptruth.fixtures.mutants.pristine import pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.fixtures.mutants.surgery import Surgery
from dumptruth.oracle import ByteSource, Report, Verdict, check, read_minidump
from dumptruth.oracle.readers.captured_image import captured_image

RULE = "XCUT-MODULE-001"
MEMORY = pristine(BaseDump.MEMORY)
MODULE = "ModuleList.Modules[1]"


def result(data: bytes) -> tuple[Verdict, int, set[str]]:
    report: Report = check(ByteSource(data), select=[RULE])
    (found,) = report.results
    return found.verdict, found.checks, {finding.subject for finding in found.findings}


def test_every_module_of_a_full_dump_is_compared_with_its_headers_and_its_code_view() -> None:
    verdict, checks, _ = result(MEMORY.data)
    assert (verdict, checks) == (Verdict.PASS, 4 * len(MEMORY.snapshot.modules))


@pytest.mark.parametrize("field", ["SizeOfImage", "CheckSum", "TimeDateStamp"])
def test_a_field_that_differs_from_the_image_is_reported(field: str) -> None:
    edit = Surgery(MEMORY)
    assert result(edit.add(MODULE, field, 0x1000).data)[::2] == (Verdict.FAIL, {f"module 1, {field}"})


def test_a_code_view_record_of_another_build_is_reported() -> None:
    data = Surgery(MEMORY).poke(f"{MODULE}.CodeView", bytes(16), 4).data
    assert result(data)[::2] == (Verdict.FAIL, {"CodeView record of module 1"})


def test_a_module_without_code_view_record_is_compared_by_its_headers_alone() -> None:
    data = Surgery(MEMORY).put(MODULE, "CvRecord", bytes(8)).data
    assert result(data)[:2] == (Verdict.PASS, 4 * len(MEMORY.snapshot.modules) - 1)


@pytest.mark.parametrize(
    ("at", "data"),
    [
        (0, b"NZ"),
        (0x3C, pack("<I", 0xFFFF_FFF0)),
        (0x3C, pack("<I", 4)),
    ],
)
def test_memory_that_is_no_image_is_not_compared(at: int, data: bytes) -> None:
    dump = read_minidump(ByteSource(MEMORY.data))
    base = MEMORY.snapshot.modules[1].base
    (place,) = (item.offset + base - item.start for item in dump.memory if item.start <= base < item.end)
    changed = MEMORY.data[: place + at] + data + MEMORY.data[place + at + len(data) :]
    assert captured_image(read_minidump(ByteSource(changed)), base) is None
    assert result(changed)[:2] == (Verdict.PASS, 4 * (len(MEMORY.snapshot.modules) - 1))


def test_a_dump_judged_against_truth_leaves_the_comparison_to_the_truth() -> None:
    report = check(ByteSource(MEMORY.data), MEMORY.truth, MEMORY.asked, select=[RULE])
    assert [item.verdict for item in report.results] == [Verdict.NOT_APPLICABLE]
