"""A user's driver in C with <ntddk.h> is compiled, loaded beside the built-in drivers, and crashes as written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dumptruth.emu.limits import LimitReached, Limits
from dumptruth.emu.scenarios.kernel import ImageError, NoBugCheck, run_driver

pytest.importorskip("ziglang", reason="the extra `images` is not installed")

from dumptruth.emu.images.kernel.build import compile_driver

pytestmark = pytest.mark.usefixtures("precompiled_headers")

DRIVER = """
#include <ntddk.h>
%s
NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    (void)DriverObject, (void)RegistryPath;
    %s
    return STATUS_SUCCESS;
}
"""

Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def compiled(body: str, before: str = "", name: str = "mine") -> Path:
        source = tmp_path / f"{name}.c"
        source.write_text(DRIVER % (before, body), encoding="utf-8")
        return compile_driver(source, tmp_path / "out")

    return compiled


def test_a_null_write_in_a_driver_is_an_unhandled_exception_of_a_system_thread(build: Build) -> None:
    snapshot = run_driver(build("*(volatile int *)0x18 = 1;"))
    mine = next(driver for driver in snapshot.drivers if driver.base_name == "mine.sys")
    code, place, *_ = snapshot.bug_check.parameters
    assert (snapshot.bug_check.code, code) == (0x7E, 0xFFFFFFFFC0000005)
    assert mine.base <= place < mine.base + mine.size
    assert [driver.base_name for driver in snapshot.drivers[:3]] == ["ntoskrnl.exe", "hal.dll", "mine.sys"]


def test_a_driver_chooses_the_bug_check_and_its_parameters(build: Build) -> None:
    snapshot = run_driver(build("KeBugCheckEx(0xC0DE, 1, 2, 3, (ULONG_PTR)PsGetCurrentProcess());"), build=19041)
    assert snapshot.bug_check.code == 0xC0DE
    assert snapshot.bug_check.parameters == (1, 2, 3, snapshot.processes[0].process)
    assert snapshot.system.build_number == 19041


def test_a_thread_of_a_driver_may_crash_later_at_raised_irql(build: Build) -> None:
    thread = """
    static VOID NTAPI Later(PVOID Context)
    {
        KIRQL irql;
        LARGE_INTEGER interval;
        interval.QuadPart = -3000000;
        KeDelayExecutionThread(KernelMode, FALSE, &interval);
        KeRaiseIrql(DISPATCH_LEVEL, &irql);
        *(volatile int *)Context = 1;
    }
    """
    body = "HANDLE h; PsCreateSystemThread(&h, 0, NULL, NULL, NULL, Later, (PVOID)0x40); ZwClose(h);"
    snapshot = run_driver(build(body, thread), processors=1, ram="4M")
    assert snapshot.bug_check.code == 0xD1
    assert snapshot.bug_check.parameters[:3] == (0x40, 2, 1)
    assert [driver.name for driver in snapshot.unloaded_drivers] == ["gone.sys"]


def test_a_driver_without_a_fault_prints_and_keeps_running(build: Build) -> None:
    with pytest.raises(NoBugCheck) as end:
        run_driver(build(r'DbgPrint("answer %d\n", 42);'))
    assert b"answer 42\n" in end.value.output


@pytest.mark.parametrize(
    ("body", "limits", "line"),
    [
        ("for (;;) ;", Limits(blocks=1_000_000), r"1,000,000 basic blocks of code; processor"),
        (
            "KIRQL old; KeRaiseIrql(HIGH_LEVEL, &old); for (;;) ;",
            Limits(blocks=1_000_000),
            r"1,000,000 basic blocks of code; processor \d runs at 0x\w+;",
        ),
        ('for (;;) DbgPrint("again");', Limits(services=500), "500 system calls and faults; processor"),
    ],
)
def test_a_driver_that_never_returns_uses_up_a_limit(build: Build, body: str, limits: Limits, line: str) -> None:
    with pytest.raises(LimitReached, match=rf"^mine.sys: used up the limit of {line}"):
        run_driver(build(body), ram="4M", limits=limits)


def test_an_import_that_the_kernel_does_not_export_is_named(build: Build) -> None:
    path = build("KeBugCheck(0xE2);")
    data = path.read_bytes()
    assert data.count(b"KeBugCheck\0") == 1
    path.write_bytes(data.replace(b"KeBugCheck\0", b"KeBugChock\0"))
    with pytest.raises(ImageError, match=r"mine.sys: imports ntoskrnl.exe!KeBugChock, which no image exports"):
        run_driver(path)
