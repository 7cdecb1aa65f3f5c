"""Replaying the complete dump of a machine that a user's driver crashed raises the same fault."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.request import KernelProfile, Request
from dumptruth.emu.scenarios.kernel import run_driver
from dumptruth.emu.truth import store
from dumptruth.emu.writer.kernel_dump import kernel_dump_bytes
from dumptruth.fixtures.replay.judging import judge
from dumptruth.oracle import Outcome, Verdict, load_any_truth, load_request

pytest.importorskip("ziglang", reason="the extra `images` is not installed")

from dumptruth.emu.images.kernel.build import compile_driver

DRIVER = """
#include <ntddk.h>
NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    (void)DriverObject, (void)RegistryPath;
    %s
    return STATUS_SUCCESS;
}
"""


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (0x139, "__fastfail(7);"),
        pytest.param(0xBE, "*(volatile char *)(ULONG_PTR)DriverEntry = 1;", marks=pytest.mark.slow),
        pytest.param(0x7E, "*(volatile char *)0x8000000000000000ull = 1;", marks=pytest.mark.slow),
        (0xD1, "KIRQL i; KeRaiseIrql(DISPATCH_LEVEL, &i); ((void (*)(void))0x10)();"),
    ],
)
def test_the_fault_of_a_driver_is_met_again(tmp_path: Path, code: int, body: str) -> None:
    source = tmp_path / "mine.c"
    source.write_text(DRIVER % body, encoding="utf-8")
    snapshot = run_driver(compile_driver(source, tmp_path / "out"))
    assert snapshot.bug_check.code == code
    request = Request(Qualifier.DEBUG_DUMP_FULL, profile=KernelProfile.PORTABLE)
    file = tmp_path / "a.dmp"
    file.write_bytes(kernel_dump_bytes(snapshot, request)[0])
    store.save(snapshot, tmp_path / "truth", source="a driver", request=request, file="a.dmp")
    report = judge(file, load_any_truth(tmp_path / "truth"), load_request(tmp_path / "truth"))
    replayed = next(result for result in report.results if result.rule == "KXCT-REPLAY-001")
    assert replayed.findings == ()
    assert replayed.verdict is Verdict.PASS
    assert report.outcome is Outcome.CONFORMANT
