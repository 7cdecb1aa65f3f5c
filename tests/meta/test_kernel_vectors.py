"""Machines with unusual RAM maps: each dump conforms under strict, or the writer refuses it as documented."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
from dumptruth.emu.constants import Hresult, Qualifier
from dumptruth.emu.plan.kernel import plan_kernel
from dumptruth.emu.request import DumpRefused, KernelProfile, Request
from dumptruth.emu.snapshot.kernel import KernelSnapshot, PhysicalRun
from dumptruth.emu.snapshot.process import PAGE_SIZE
from dumptruth.emu.synthetic.kernel import synthetic_machine
from dumptruth.emu.writer.kernel_dump import kernel_dump_bytes
from dumptruth.fixtures.mutants import kernel_pristine
from dumptruth.oracle import ByteSource, KernelTruth, Outcome, Report, Verdict, check

FULL, DEFAULT, ACTIVE = Qualifier.DEBUG_DUMP_FULL, Qualifier.DEBUG_DUMP_DEFAULT, Qualifier.DEBUG_DUMP_ACTIVE
PORTABLE, CLASSIC, BITMAP, RANGES = (
    KernelProfile.PORTABLE,
    KernelProfile.CLASSIC,
    KernelProfile.BITMAP,
    KernelProfile.RANGES,
)
FORMS = {
    1: (FULL, PORTABLE), 2: (DEFAULT, CLASSIC), 5: (FULL, BITMAP), 6: (DEFAULT, PORTABLE), 8: (DEFAULT, RANGES),
    9: (ACTIVE, RANGES), 10: (FULL, RANGES),
}  # fmt: skip
COUNTS = (1, 7, 8, 9, 31, 32, 33)
IMAGE = (0x200, 0x200)
"""The large page that holds the kernel."""
MAXIMUM_RUNS = 42


def spread(sizes: Sequence[int], gaps: Sequence[int], first: int = 1) -> list[tuple[int, int]]:
    """Runs that repeat the given sizes and gaps."""
    runs, at = [], first
    for index, size in enumerate(sizes):
        runs.append((at, size))
        at += size + gaps[index % len(gaps)]
    return runs


def many(count: int) -> tuple[tuple[int, int], ...]:
    """RAM in the given number of runs: most have three pages after a hole of one page; two lie above the image."""
    return (*spread([3] * (count - 3), [1]), IMAGE, (0x500, 1), (0x510, 2))


RAM = {
    **{f"odd-{count}": ((1, 0x9F), IMAGE, (0x500, count)) for count in COUNTS},
    **{f"first-{count}": ((1, count), (0x40, 0x9F), IMAGE) for count in COUNTS},
    "holes-everywhere": (*spread(COUNTS, [1, 2, 7, 8, 9, 15, 64]), (0x1FF, 0x202), (0x402, 9), (0x40C, 31)),
    "runs-42": many(42),
    "runs-43": many(43),
    "page-0": ((0, 0xA0), IMAGE),
}


@cache
def machine(name: str) -> tuple[KernelSnapshot, KernelTruth]:
    """The machine with its last page touched. Page 0 is free as on real machines: a root at 0 means no root."""
    runs = RAM[name]
    made = synthetic_machine(build=19041, runs=[(max(base, 1), count - (base == 0)) for base, count in runs])
    frame = sum(runs[-1]) - 1
    last = PhysicalRun(frame, struct.pack("<Q", frame | 1 << 63) * (PAGE_SIZE // 8))
    if made.memory[-1].end_page < frame:
        made = replace(made, memory=(*made.memory, last))
    if runs[0][0] == 0:
        made = replace(made, physical_runs=runs, free_pages=((0, 1), *made.free_pages))
    return made, kernel_pristine.truth(made)


def judge(name: str, request: Request, data: bytes) -> Report:
    return check(ByteSource(data, name), machine(name)[1], kernel_pristine.asked(request), strict=True)


def failing(report: Report) -> set[str]:
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL}


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("name", [name for name in RAM if name not in {"runs-43", "page-0"}])
def test_awkward_ram_makes_a_conformant_dump(name: str, kind: int) -> None:
    request = Request(FORMS[kind][0], profile=FORMS[kind][1])
    data, written = kernel_dump_bytes(machine(name)[0], request)
    report = judge(name, request, data)
    assert written.plan.dump_type == kind
    assert failing(report) == set()
    assert report.outcome is Outcome.CONFORMANT, report.reason
    assert report.unclaimed == 0


def test_42_runs_fit_the_header_and_43_do_not() -> None:
    request = Request(FULL, profile=PORTABLE)
    assert len(machine("runs-42")[0].physical_runs) == MAXIMUM_RUNS
    assert len(plan_kernel(machine("runs-42")[0], request).pages) == MAXIMUM_RUNS
    with pytest.raises(
        DumpRefused, match="43 runs of RAM: type 1 can hold 42; use profile bitmap or ranges"
    ) as refused:
        kernel_dump_bytes(machine("runs-43")[0], request)
    assert refused.value.hresult == Hresult.E_FAIL


@pytest.mark.parametrize("kind", [kind for kind in FORMS if kind != 1])
def test_43_runs_make_a_conformant_dump_of_every_other_kind(kind: int) -> None:
    request = Request(FORMS[kind][0], profile=FORMS[kind][1])
    report = judge("runs-43", request, kernel_dump_bytes(machine("runs-43")[0], request)[0])
    assert failing(report) == set()
    assert report.outcome is Outcome.CONFORMANT, report.reason


@pytest.mark.parametrize("kind", FORMS)
def test_page_0_is_in_complete_dumps_and_only_ranges_may_not_begin_there(kind: int) -> None:
    request = Request(FORMS[kind][0], profile=FORMS[kind][1])
    data, written = kernel_dump_bytes(machine("page-0")[0], request)
    starts_there = written.plan.pages[0].start == 0
    assert starts_there == (request.qualifier == FULL)
    avoided = starts_there and kind in {8, 9, 10}
    assert failing(judge("page-0", request, data)) == ({"KRNG-ZERO-001"} if avoided else set())
    assert any("page 0" in warning for warning in written.warnings) == avoided


@pytest.mark.parametrize("beyond", range(1, 8))
def test_a_bitmap_may_end_within_its_last_byte(beyond: int) -> None:
    """The engine writes such bitmaps. A strict judge needs a multiple of 64, which every reader accepts."""
    runs = ((1, 0x9F), IMAGE, (0x500, 8 + beyond))
    made = synthetic_machine(build=19041, runs=runs)
    request = Request(FULL, profile=BITMAP)
    bits = 0x508 + beyond
    data, _ = kernel_dump_bytes(made, request, plan=replace(plan_kernel(made, request), bitmap_bits=bits))
    truth, asked = kernel_pristine.truth(made), kernel_pristine.asked(request)
    assert check(ByteSource(data, "partial"), truth, asked).outcome is Outcome.CONFORMANT
    assert failing(check(ByteSource(data, "partial"), truth, asked, strict=True)) == {"KBMP-ALIGN-001"}
