"""Services of the synthetic kernel, called by drivers in C: pools, waits, threads, processors, text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.images.kernel.build import compile_driver
from dumptruth.emu.kernel.boot import Boot
from dumptruth.emu.kernel.boot_block import MMPFN_SIZE
from dumptruth.emu.kernel.configuration import Configuration, GuestTask
from dumptruth.emu.kernel.machine import Finished, Machine, Stopped
from dumptruth.emu.kernel.system_space import PFN_DATABASE

from ..marks import needs_compiler

MIB = 1 << 20
PAGE_LOCATION = 0x1A  # MMPFN.u3.e1, its low three bits
FREE, ACTIVE = 1, 6  # MMLISTS

pytestmark = [needs_compiler, pytest.mark.usefixtures("precompiled_headers")]

DRIVER = """
#include <ntddk.h>
#define CHECK(condition) DbgPrint("%%s: %%s\\n", (condition) ? "ok" : "WRONG", #condition)
%s
NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    (void)DriverObject, (void)RegistryPath;
    %s
    return STATUS_SUCCESS;
}
"""


def run(folder: Path, body: str, before: str = "", *, processors: int = 1) -> tuple[Machine, object, list[str]]:
    """The machine, how it ended, and what the driver printed."""
    source = folder / "asking.c"
    source.write_text(DRIVER % (before, body), encoding="utf-8")
    driver = compile_driver(source, folder / "out")
    configuration = Configuration(ram=16 * MIB, processors=processors, task=GuestTask(ticks=40), drivers=(driver,))
    machine = Machine(Boot(configuration))
    outcome = machine.run()
    lines = machine.output.decode().splitlines()
    return machine, outcome, [line for line in lines if not line.startswith(("hal: ", "gone: ", "app: "))]


def word(machine: Machine, export: str, index: int = 0) -> int:
    boot = machine.boot
    at = boot.kernel.address_of(export) + 8 * index
    return int.from_bytes(boot.space.tables.read(at, 8), "little")


def all_ok(lines: list[str], count: int) -> None:
    assert [line for line in lines if not line.startswith("ok: ")] == []
    assert len(lines) == count


def test_text_is_formatted_as_documented(tmp_path: Path) -> None:
    body = """
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, L"\\\\Device\\\\X");
    DbgPrint("%d %i %u|%x %X|%5d|%-5d|%05d|", -7, 8, 9u, 0xabc, 0xabc, 42, 42, 42);
    DbgPrint("%I64x %lld %p|", 0x123456789abcull, -5000000000ll, (PVOID)0xFFull);
    DbgPrint("%c%%|%s|%10s|%-4s|", 'q', "s", "right", "l");
    DbgPrint("%ws %S %wZ\\n", L"wide", L"too", &name);
    """
    _, outcome, lines = run(tmp_path, body)
    assert isinstance(outcome, Finished)
    assert lines == [
        "-7 8 9|abc ABC|   42|42   |00042|"
        "123456789abc -5000000000 00000000000000FF|q%|s|     right|l   |"
        r"wide too \Device\X"
    ]


def test_pool_blocks_do_not_overlap_are_reused_and_merge_when_freed(tmp_path: Path) -> None:
    body = """
    PUCHAR small[40];
    PUCHAR page, big;
    ULONG i, j, same = 1;
    for (i = 0; i < 40; i++) {
        small[i] = ExAllocatePoolWithTag(i & 1 ? PagedPool : NonPagedPool, 16 + i * 9, 'tseT');
        memset(small[i], i, 16 + i * 9);
    }
    for (i = 0; i < 40; i++)
        for (j = 0; j < 16 + i * 9; j++)
            same &= small[i][j] == i;
    CHECK(same);
    CHECK(*(ULONG *)(small[0] - 12) == 'tseT');
    page = ExAllocatePool2(POOL_FLAG_NON_PAGED, 3000, 'tseT');
    CHECK(page && page[0] == 0 && page[2999] == 0);
    ExFreePoolWithTag(page, 'tseT');
    CHECK(ExAllocatePoolWithTag(NonPagedPool, 3000, 'tseT') == page);
    for (i = 0; i < 40; i++)
        ExFreePoolWithTag(small[i], 'tseT');
    CHECK(ExAllocatePoolWithTag(PagedPool, 3500, 'tseT') != NULL);
    big = ExAllocatePoolWithTag(NonPagedPool, 3 * PAGE_SIZE, 'tseT');
    CHECK(big && !((ULONG_PTR)big & (PAGE_SIZE - 1)));
    ExFreePool(big);
    CHECK(ExAllocatePoolWithTag(NonPagedPool, 2 * PAGE_SIZE + 1, 'tseT') == big);
    CHECK(ExAllocatePoolWithTag(PagedPool, 1 << 30, 'tseT') == NULL);
    """
    _, outcome, lines = run(tmp_path, body)
    assert isinstance(outcome, Finished)
    all_ok(lines, 8)


def again(body: str, expected: tuple[int, int]) -> Any:
    """Another case of a bug check that other tests cover. It has the mark ``slow``."""
    return pytest.param(body, expected, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("PVOID p = ExAllocatePool(NonPagedPool, 64); ExFreePool(p); ExFreePool(p);", (0xC2, 7)),
        again("static int mine; ExFreePool(&mine);", (0xC2, 0x46)),
        again("KIRQL i; KeRaiseIrql(DISPATCH_LEVEL, &i); ExAllocatePool(PagedPool, 64);", (0xC2, 8)),
        ("KIRQL i; KeRaiseIrql(DISPATCH_LEVEL, &i); KfRaiseIrql(APC_LEVEL);", (0x9, 2)),
        ("KeLowerIrql(DISPATCH_LEVEL);", (0xA, 0)),
        again("__fastfail(7);", (0x139, 7)),
        ("*(volatile char *)(ULONG_PTR)DriverEntry = 1;", (0xBE, None)),
        ("*(volatile char *)0x8000000000000000ull = 1;", (0x7E, 0xFFFFFFFFC0000005)),
    ],
)
def test_misuse_ends_in_the_bug_check_that_is_documented_for_it(
    tmp_path: Path, body: str, expected: tuple[int, int | None]
) -> None:
    machine, outcome, _ = run(tmp_path, body)
    assert isinstance(outcome, Stopped)
    code, first = expected
    assert word(machine, "KiBugCheckData") == code
    if first is not None:
        assert word(machine, "KiBugCheckData", 1) == first


THREADS = """
static KEVENT Ping, Pong;
static KSPIN_LOCK Lock;
static volatile LONG Count;

static VOID NTAPI Other(PVOID Context)
{
    KIRQL irql;
    LONG i;
    KeWaitForSingleObject(&Ping, Executive, KernelMode, FALSE, NULL);
    for (i = 0; i < *(LONG *)Context; i++) {
        irql = KeAcquireSpinLockRaiseToDpc(&Lock);
        Count++;
        KeReleaseSpinLock(&Lock, irql);
    }
    KeSetEvent(&Pong, 0, FALSE);
    PsTerminateSystemThread(STATUS_SUCCESS);
}
"""


def test_threads_wait_for_events_for_each_other_and_for_the_time(tmp_path: Path) -> None:
    body = """
    LONG times = 1000;
    HANDLE handle;
    PVOID thread = NULL;
    CLIENT_ID id;
    LARGE_INTEGER moment, before, after;
    moment.QuadPart = -300000;
    KeInitializeEvent(&Ping, NotificationEvent, FALSE);
    KeInitializeEvent(&Pong, SynchronizationEvent, FALSE);
    KeInitializeSpinLock(&Lock);
    CHECK(PsCreateSystemThread(&handle, 0, NULL, NULL, &id, Other, &times) == STATUS_SUCCESS);
    CHECK(ObReferenceObjectByHandle(handle, 0, NULL, KernelMode, &thread, NULL) == STATUS_SUCCESS);
    CHECK(ZwClose(handle) == STATUS_SUCCESS);
    CHECK(KeWaitForSingleObject(&Pong, Executive, KernelMode, FALSE, &moment) == STATUS_TIMEOUT);
    CHECK(Count == 0);
    KeSetEvent(&Ping, 0, FALSE);
    CHECK(KeWaitForSingleObject(&Pong, Executive, KernelMode, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(Count == 1000);
    CHECK(KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL) == STATUS_SUCCESS);
    moment.QuadPart = 0;
    CHECK(KeWaitForSingleObject(&Pong, Executive, KernelMode, FALSE, &moment) == STATUS_TIMEOUT);
    CHECK(KeWaitForSingleObject(&Ping, Executive, KernelMode, FALSE, &moment) == STATUS_SUCCESS);
    CHECK(KeResetEvent(&Ping) == 1);
    moment.QuadPart = -300000;
    KeQuerySystemTimePrecise(&before);
    KeDelayExecutionThread(KernelMode, FALSE, &moment);
    KeQuerySystemTimePrecise(&after);
    CHECK(after.QuadPart - before.QuadPart >= 300000);
    CHECK(after.QuadPart - before.QuadPart <= 300000 + 2 * KeQueryTimeIncrement());
    CHECK(KeGetCurrentIrql() == PASSIVE_LEVEL);
    """
    _, outcome, lines = run(tmp_path, body, THREADS)
    assert isinstance(outcome, Finished)
    all_ok(lines, 14)


def test_a_thread_moves_to_another_processor_and_shares_a_lock_with_it(tmp_path: Path) -> None:
    body = """
    LONG times = 20000, i;
    HANDLE handle;
    KAFFINITY old;
    KIRQL irql;
    KeInitializeEvent(&Ping, NotificationEvent, TRUE);
    KeInitializeEvent(&Pong, SynchronizationEvent, FALSE);
    KeInitializeSpinLock(&Lock);
    CHECK(KeGetCurrentProcessorNumberEx(NULL) == 0);
    PsCreateSystemThread(&handle, 0, NULL, NULL, NULL, Other, &times);
    old = KeSetSystemAffinityThreadEx(4);
    CHECK(old == 1);
    CHECK(KeGetCurrentProcessorNumberEx(NULL) == 2);
    for (i = 0; i < times; i++) {
        irql = KeAcquireSpinLockRaiseToDpc(&Lock);
        Count++;
        KeReleaseSpinLock(&Lock, irql);
    }
    KeWaitForSingleObject(&Pong, Executive, KernelMode, FALSE, NULL);
    CHECK(Count == 2 * times);
    KeRevertToUserAffinityThreadEx(old);
    CHECK(KeGetCurrentProcessorNumberEx(NULL) == 0);
    CHECK(KeQueryActiveProcessorCount(NULL) == 3);
    """
    _, outcome, lines = run(tmp_path, body, THREADS, processors=3)
    assert isinstance(outcome, Finished)
    all_ok(lines, 6)


def test_addresses_are_translated_as_the_page_tables_say(tmp_path: Path) -> None:
    body = """
    static int mine = 5;
    PUCHAR big = ExAllocatePoolWithTag(NonPagedPool, 0x180000, 'tseT');
    DbgPrint("%p %I64x\\n", &mine, MmGetPhysicalAddress(&mine).QuadPart);
    DbgPrint("%p %I64x\\n", big + 0x17F123, MmGetPhysicalAddress(big + 0x17F123).QuadPart);
    CHECK(MmIsAddressValid(&mine) && MmIsAddressValid(big + 0x17FFFF));
    CHECK(!MmIsAddressValid(NULL) && !MmIsAddressValid((PVOID)0x8000000000000000ull));
    CHECK(MmGetPhysicalAddress((PVOID)0xFFFFF90000000000ull).QuadPart == 0);
    """
    machine, outcome, lines = run(tmp_path, body)
    assert isinstance(outcome, Finished)
    all_ok(lines[2:], 3)
    for line in lines[:2]:
        va, pa = (int(part, 16) for part in line.split())
        found = machine.boot.space.tables.translate(va)
        assert found is not None
        assert found.pa == pa
    large = machine.boot.space.tables.translate(int(lines[1].split()[0], 16))
    assert large is not None
    assert large.size == 2 * MIB, "the allocation of 1.5 MiB lies in the large page of the pool"


def test_an_unloaded_driver_leaves_its_pages_on_the_free_list(tmp_path: Path) -> None:
    source = tmp_path / "asking.c"
    source.write_text(DRIVER % ("", ""), encoding="utf-8")
    driver = compile_driver(source, tmp_path / "out")
    boot = Boot(Configuration(ram=16 * MIB, task=GuestTask(ticks=5), drivers=(driver,)))
    tables = boot.space.tables
    (gone,) = boot.unloaded
    mapped = [tables.translate(va) for va in range(gone.base, gone.end, 0x1000)]
    frames = [page.pa >> 12 for page in mapped if page]
    kept = tables.translate(boot.kernel.base)
    assert kept is not None
    Machine(boot).run()
    assert frames
    assert all(tables.translate(va) is None for va in range(gone.base, gone.end, 0x1000))

    def state(frame: int) -> int:
        return tables.read(PFN_DATABASE + MMPFN_SIZE * frame + PAGE_LOCATION, 1)[0] & 7

    assert {state(frame) for frame in frames} == {FREE}
    assert state(kept.pa >> 12) == ACTIVE
