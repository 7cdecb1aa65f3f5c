"""Drivers as people write them: what they call works, and what they do wrong is the documented bug check."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.request import KernelProfile, Request
from dumptruth.emu.scenarios.kernel import ImageError, NoBugCheck, machine_with, run_driver
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.truth import store
from dumptruth.emu.writer.kernel_dump import kernel_dump_bytes
from dumptruth.fixtures.app.targets import stop
from dumptruth.fixtures.replay.judging import judge
from dumptruth.oracle import Outcome, load_any_truth, load_request

pytest.importorskip("ziglang", reason="the extra `images` is not installed")

from dumptruth.emu.images.kernel.build import compile_driver

pytestmark = pytest.mark.usefixtures("precompiled_headers")

SHARED = Path(__file__).resolve().parents[3] / "shared" / "cases" / "drivers"
DRIVER = """
#include <ntddk.h>
%s
NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    KIRQL irql = 0;
    (void)DriverObject, (void)RegistryPath, (void)irql;
    %s
    return STATUS_SUCCESS;
}
"""
_ACCESS_VIOLATION = 0xFFFFFFFFC0000005
_ANY = None

# name, before DriverEntry, its body, bug check, parameters
WRONG = [
    (
        "freed-twice",
        "",
        "PVOID p = ExAllocatePoolWithTag(NonPagedPool, 64, 'abcd'); ExFreePoolWithTag(p, 'abcd'); ExFreePool(p);",
        0xC2,
        (7, 0, _ANY, _ANY),
    ),
    (
        "wrong-tag",
        "",
        "PVOID p = ExAllocatePoolWithTag(NonPagedPool, 64, 'abcd'); ExFreePoolWithTag(p, 'abce');",
        0xC2,
        (0xA, _ANY, 0x61626364, 0x61626365),
    ),
    (
        "overrun",
        "",
        "PUCHAR p = ExAllocatePoolWithTag(NonPagedPool, 64, 'abcd'); RtlFillMemory(p, 96, 'A'); ExFreePool(p);",
        0x19,
        (0x20, _ANY, _ANY, _ANY),
    ),
    (
        "paged-pool-at-dispatch",
        "",
        "KeRaiseIrql(DISPATCH_LEVEL, &irql); ExAllocatePoolWithTag(PagedPool, 100, 'abcd');",
        0xC2,
        (8, 2, 1, 100),
    ),
    (
        "paged-memory-at-dispatch",
        "",
        "volatile char *p = ExAllocatePoolWithTag(PagedPool, 64, 'abcd'); *p = 1;"
        "KeRaiseIrql(DISPATCH_LEVEL, &irql); *p = 2; KeLowerIrql(irql);",
        0xD1,
        (_ANY, 2, 1, _ANY),
    ),
    (
        "wait-at-dispatch",
        "static KEVENT e;",
        "KeInitializeEvent(&e, NotificationEvent, FALSE); KeRaiseIrql(DISPATCH_LEVEL, &irql);"
        "KeWaitForSingleObject(&e, Executive, KernelMode, FALSE, NULL);",
        0xC4,
        (0x3B, 2, _ANY, 0),
    ),
    (
        "lock-taken-twice",
        "static KSPIN_LOCK l;",
        "KeInitializeSpinLock(&l); KeAcquireSpinLock(&l, &irql); KeAcquireSpinLock(&l, &irql);",
        0xC4,
        (0x1000, _ANY, 0, 0),
    ),
    (
        "lock-released-at-passive",
        "static KSPIN_LOCK l;",
        "KeInitializeSpinLock(&l); KeReleaseSpinLock(&l, PASSIVE_LEVEL);",
        0xC4,
        (0x32, 0, _ANY, 0),
    ),
    ("raised-at-return", "", "KeRaiseIrql(DISPATCH_LEVEL, &irql);", 0xE1, (_ANY, 2, _ANY, 0)),
    (
        "leak",
        "static VOID Unload(PDRIVER_OBJECT d) { (void)d; }",
        "ExAllocatePoolWithTag(NonPagedPool, 64, 'abcd'); DriverObject->DriverUnload = Unload;",
        0xC4,
        (0x62, _ANY, _ANY, 1),
    ),
    (
        "timer-left-behind",
        "static KTIMER t; static KDPC d; static VOID Unload(PDRIVER_OBJECT o) { (void)o; }"
        "static VOID Tick(PKDPC a, PVOID b, PVOID c, PVOID e) { (void)a, (void)b, (void)c, (void)e; }",
        "LARGE_INTEGER due = { .QuadPart = -10000000 }; KeInitializeTimer(&t); KeInitializeDpc(&d, Tick, NULL);"
        "KeSetTimerEx(&t, due, 1000, &d); DriverObject->DriverUnload = Unload;",
        0xC7,
        (0, _ANY, _ANY, _ANY),
    ),
    (
        "dpc",
        "static KTIMER t; static KDPC d; static VOID Tick(PKDPC a, PVOID b, PVOID c, PVOID e)"
        "{ (void)a, (void)c, (void)e; *(volatile ULONG *)b = 1; }",
        "LARGE_INTEGER due = { .QuadPart = -10000 }; KeInitializeTimer(&t); KeInitializeDpc(&d, Tick, (PVOID)0x10);"
        "KeSetTimer(&t, due, &d);",
        0xD1,
        (0x10, 2, 1, _ANY),
    ),
    (
        "completed-twice",
        "static NTSTATUS Read(PDEVICE_OBJECT d, PIRP i) { (void)d; IoCompleteRequest(i, 0); return 0; }",
        "PDEVICE_OBJECT d; IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &d);"
        "DriverObject->MajorFunction[IRP_MJ_READ] = Read; PIRP i = IoAllocateIrp(1, FALSE);"
        "IoGetNextIrpStackLocation(i)->MajorFunction = IRP_MJ_READ; IoCallDriver(d, i); IoCompleteRequest(i, 0);",
        0x44,
        (_ANY, 0, 0, 0),
    ),
    (
        "device-memory-unmapped",
        "",
        "PHYSICAL_ADDRESS a = { .QuadPart = 0xFEC00000 }; volatile ULONG *r = MmMapIoSpace(a, 4096, MmNonCached);"
        "r[1] = 5; if (r[1] != ~0u) return STATUS_UNSUCCESSFUL; MmUnmapIoSpace((PVOID)r, 4096); r[0];",
        0x50,
        (_ANY, 0, _ANY, 0),
    ),
]

CLIENT = """
#define CODE(function, method) CTL_CODE(FILE_DEVICE_UNKNOWN, function, method, FILE_ANY_ACCESS)
static NTSTATUS Done(PIRP irp, NTSTATUS status, ULONG_PTR size)
{
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = size;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}
static NTSTATUS Any(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    PVOID buffer = irp->AssociatedIrp.SystemBuffer;
    (void)device;
    if (at->MajorFunction == IRP_MJ_WRITE)
        DbgPrint("write %u %.4s\\n", at->Parameters.Write.Length, buffer);
    if (at->MajorFunction != IRP_MJ_DEVICE_CONTROL)
        return Done(irp, STATUS_SUCCESS, 0);
    switch (at->Parameters.DeviceIoControl.IoControlCode) {
    case CODE(0x801, METHOD_BUFFERED):
        DbgPrint("buffered %.4s\\n", buffer);
        return Done(irp, STATUS_SUCCESS, 4);
    case CODE(0x802, METHOD_OUT_DIRECT):
        RtlFillMemory(MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority), 16, 'x');
        DbgPrint("direct\\n");
        return Done(irp, STATUS_SUCCESS, 16);
    case CODE(0x803, METHOD_NEITHER):
        __try {
            ProbeForRead(at->Parameters.DeviceIoControl.Type3InputBuffer, 4, 1);
            DbgPrint("neither %.4s\\n", at->Parameters.DeviceIoControl.Type3InputBuffer);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            return Done(irp, GetExceptionCode(), 0);
        }
        return Done(irp, STATUS_SUCCESS, 0);
    case CODE(0x804, METHOD_BUFFERED):
        *(volatile ULONG *)0x44 = 1;
    }
    return Done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
}
"""
OPEN = """
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\\\Device\\\\Mine");
    UNICODE_STRING link = RTL_CONSTANT_STRING(L"\\\\DosDevices\\\\Mine");
    PDEVICE_OBJECT device;
    IoCreateDevice(DriverObject, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    IoCreateSymbolicLink(&link, &name);
    device->Flags |= DO_BUFFERED_IO;
    for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        DriverObject->MajorFunction[i] = Any;
"""
HANDLERS = """
    int zero = 0;
    __try { *(volatile int *)8 = 1; }
    __except (EXCEPTION_EXECUTE_HANDLER) { DbgPrint("a %08x\\n", GetExceptionCode()); }
    __try { zero = 5 / zero; } __except (EXCEPTION_EXECUTE_HANDLER) { DbgPrint("b %08x\\n", GetExceptionCode()); }
    __try { __try { ExRaiseStatus(STATUS_INVALID_PARAMETER); }
        __finally { DbgPrint("c %d\\n", AbnormalTermination()); } }
    __except (GetExceptionCode() == STATUS_INVALID_PARAMETER) { DbgPrint("d\\n"); }
"""
FILES = """
    UNICODE_STRING path = RTL_CONSTANT_STRING(L"\\\\??\\\\C:\\\\Temp\\\\a.txt"), value = RTL_CONSTANT_STRING(L"Start");
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK status;
    HANDLE handle;
    LARGE_INTEGER start = { .QuadPart = 0 };
    char text[8] = { 0 };
    UCHAR data[64];
    ULONG size;
    InitializeObjectAttributes(&attributes, &path, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    ZwCreateFile(&handle, GENERIC_READ | GENERIC_WRITE, &attributes, &status, NULL, 0, 0, FILE_OVERWRITE_IF,
        FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    ZwWriteFile(handle, NULL, NULL, NULL, &status, "hello", 5, NULL, NULL);
    ZwReadFile(handle, NULL, NULL, NULL, &status, text, 5, &start, NULL);
    DbgPrint("%s %u %wZ\\n", text, (ULONG)status.Information, &path);
    ZwClose(handle);
    InitializeObjectAttributes(&attributes, RegistryPath, OBJ_KERNEL_HANDLE, NULL, NULL);
    ZwOpenKey(&handle, KEY_READ, &attributes);
    ZwQueryValueKey(handle, &value, KeyValuePartialInformation, data, sizeof data, &size);
    DbgPrint("%u|%-4s|%04x|%I64x|%ws\\n", *(ULONG *)((PKEY_VALUE_PARTIAL_INFORMATION)data)->Data, "ab", 0xAB,
        0x123456789Aull, L"wide");
    ZwClose(handle);
    KeBugCheckEx(0xE2, 1, 2, 3, 4);
"""


def driver(folder: Path, body: str, before: str = "") -> Path:
    source = folder / "mine.c"
    source.write_text(DRIVER % (before, body), encoding="utf-8")
    return compile_driver(source, folder / "out")


@pytest.mark.parametrize(
    ("before", "body", "code", "parameters"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_what_a_driver_does_wrong_is_its_documented_bug_check(
    tmp_path: Path, before: str, body: str, code: int, parameters: tuple[int | None, ...]
) -> None:
    found = run_driver(driver(tmp_path, body, before)).bug_check
    assert found.code == code
    pairs = zip(parameters, found.parameters, strict=True)
    assert [value for expected, value in pairs if expected is not _ANY] == [p for p in parameters if p is not _ANY]


def test_a_program_calls_the_driver_by_its_link_in_every_method_of_transfer(tmp_path: Path) -> None:
    machine = machine_with(driver(tmp_path, OPEN, CLIENT))
    machine.run()
    text = bytes(machine.output)
    order = [text.index(part) for part in (b"write 256 ABCD", b"buffered ABCD", b"direct", b"neither ABCD")]
    assert order == sorted(order)
    bug_check = run_driver(tmp_path / "out" / "mine.sys").bug_check
    assert (bug_check.code, bug_check.parameters[0]) == (0x3B, 0xC0000005)


def test_handlers_of_frames_take_exceptions(tmp_path: Path) -> None:
    with pytest.raises(NoBugCheck) as end:
        run_driver(driver(tmp_path, HANDLERS))
    assert b"a c0000005\nb c0000094\nc 1\nd\n" in end.value.output


def test_files_and_the_registry_are_the_machines_own_and_output_is_shown_at_a_crash(tmp_path: Path) -> None:
    source = tmp_path / "mine.c"
    source.write_text(DRIVER % ("", FILES), encoding="utf-8")
    end = stop(str(source), mode="kernel")
    assert isinstance(end.snapshot, KernelSnapshot)
    assert end.snapshot.bug_check.parameters == (1, 2, 3, 4)
    assert end.output is not None
    assert "hello 5 \\??\\C:\\Temp\\a.txt\n3|ab  |00ab|123456789a|wide\n" in end.output.debug


def test_every_missing_import_is_named(tmp_path: Path) -> None:
    path = driver(tmp_path, 'DbgPrint(""); KeBugCheck(0xE2);')
    path.write_bytes(path.read_bytes().replace(b"KeBugCheck\0", b"KeBugChock\0").replace(b"DbgPrint\0", b"DbgPrunt\0"))
    with pytest.raises(ImageError) as error:
        run_driver(path)
    assert "ntoskrnl.exe!KeBugChock" in str(error.value)
    assert "ntoskrnl.exe!DbgPrunt" in str(error.value)


@pytest.mark.parametrize(
    ("qualifier", "profile"),
    [
        (Qualifier.DEBUG_DUMP_FULL, KernelProfile.PORTABLE),
        (Qualifier.DEBUG_DUMP_DEFAULT, KernelProfile.PORTABLE),
        (Qualifier.DEBUG_DUMP_SMALL, KernelProfile.PORTABLE),
        (Qualifier.DEBUG_DUMP_ACTIVE, KernelProfile.RANGES),
    ],
)
def test_its_dumps_are_conformant(tmp_path: Path, qualifier: Qualifier, profile: KernelProfile) -> None:
    """With trimmed pages of paged pool, mapped device memory and a mapped list of pages: what scenarios do not have."""
    body = (
        "volatile char *p = ExAllocatePoolWithTag(PagedPool, 64, 'abcd');"
        "PHYSICAL_ADDRESS a = { .QuadPart = 0xFEC00000 };"
        "MmMapIoSpace(a, 4096, MmNonCached); KeRaiseIrql(DISPATCH_LEVEL, &irql); *p = 2;"
    )
    snapshot = run_driver(driver(tmp_path, body))
    request = Request(qualifier, profile=profile)
    file = tmp_path / "a.dmp"
    file.write_bytes(kernel_dump_bytes(snapshot, request)[0])
    store.save(snapshot, tmp_path / "truth", source="a driver", request=request, file="a.dmp")
    report = judge(file, load_any_truth(tmp_path / "truth"), load_request(tmp_path / "truth"))
    assert report.outcome is Outcome.CONFORMANT


@pytest.mark.parametrize(
    ("name", "code", "parameters"),
    [
        ("1_device", 0x7E, (_ACCESS_VIOLATION,)),
        ("2_spin_pool", 0xC2, (8, 2, 1, 0x1000)),
        ("3_timer_dpc", 0xD1, (0x10, 2, 1)),
        ("5_mmio_mdl", 0x50, ()),
        ("6_wait", 0xE2, (1, 2, 3, 4)),
        ("7_simple", 0x7E, (_ACCESS_VIOLATION,)),
        ("8_irql", 0xD1, (0, 2, 1)),
    ],
)
def test_the_drivers_of_the_shared_cases(tmp_path: Path, name: str, code: int, parameters: tuple[int, ...]) -> None:
    source = SHARED / f"{name}.c"
    if not source.is_file():
        pytest.skip("the shared cases are not here")
    found = run_driver(compile_driver(source, tmp_path)).bug_check
    assert (found.code, found.parameters[: len(parameters)]) == (code, parameters)
