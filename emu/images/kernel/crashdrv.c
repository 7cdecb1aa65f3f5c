/* The driver that crashes as the boot parameters say (ntos_boot.h SCENARIO). */
#include "crashdrv.h"

#define POOL_TAG 'hsrC'

extern BOOT_PARAMETERS *KeLoaderBlock __attribute__((dllimport));

static const BOOT_PARAMETERS *Parameters;
static KBUGCHECK_REASON_CALLBACK_RECORD SecondaryRecord, PagesRecord, TriageRecord;
static UCHAR TriageText[] = "triage data of crashdrv.sys";
static struct {
    KTRIAGE_DUMP_DATA_ARRAY Array;
    KADDRESS_RANGE More[3];
} TriageArray;
static PUCHAR KeptPages; /* in nonpaged pool: what CALLBACK_ADD_PAGES asks for */
static ULONG Alive = 1;  /* changed by every step: data that a dump shows to be this run's */

/* --- callbacks -----------------------------------------------------------------------------------------------------*/

static VOID NTAPI AddSecondary(
    KBUGCHECK_CALLBACK_REASON Reason, KBUGCHECK_REASON_CALLBACK_RECORD *Record, PVOID Data, ULONG Length)
{
    static const GUID guid = CRASH_BLOB_GUID;
    KBUGCHECK_SECONDARY_DUMP_DATA *data = Data;
    (void)Reason, (void)Record, (void)Length;
    if (data->InBufferLength < CRASH_BLOB_SIZE)
        return;
    for (ULONG i = 0; i < CRASH_BLOB_SIZE; i++)
        ((PUCHAR)data->InBuffer)[i] = (UCHAR)(i ^ 0xA5);
    data->Guid = guid;
    data->OutBuffer = data->InBuffer;
    data->OutBufferLength = CRASH_BLOB_SIZE;
}

/* Twice: two pages by virtual address, then the page after the first two by physical address. */
static VOID NTAPI AddPages(
    KBUGCHECK_CALLBACK_REASON Reason, KBUGCHECK_REASON_CALLBACK_RECORD *Record, PVOID Data, ULONG Length)
{
    KBUGCHECK_ADD_PAGES *data = Data;
    (void)Reason, (void)Record, (void)Length;
    if (!data->Context) {
        data->Context = KeptPages;
        data->Flags = KB_ADD_PAGES_FLAG_VIRTUAL_ADDRESS | KB_ADD_PAGES_FLAG_ADDITIONAL_RANGES_EXIST;
        data->Address = (ULONG_PTR)KeptPages;
        data->Count = 2;
    } else {
        data->Flags = KB_ADD_PAGES_FLAG_PHYSICAL_ADDRESS;
        data->Address = (ULONG_PTR)MmGetPhysicalAddress(KeptPages + 2 * PAGE_SIZE).QuadPart;
        data->Count = 1;
    }
}

static VOID NTAPI AddTriage(
    KBUGCHECK_CALLBACK_REASON Reason, KBUGCHECK_REASON_CALLBACK_RECORD *Record, PVOID Data, ULONG Length)
{
    KBUGCHECK_TRIAGE_DUMP_DATA *data = Data;
    (void)Reason, (void)Record, (void)Length;
    KeInitializeTriageDumpDataArray(&TriageArray.Array, sizeof TriageArray);
    KeAddTriageDumpDataBlock(&TriageArray.Array, TriageText, sizeof TriageText);
    KeAddTriageDumpDataBlock(&TriageArray.Array, KeptPages, 0x40);
    data->DataArray = &TriageArray.Array;
}

static VOID RegisterCallbacks(ULONG Callbacks)
{
    static UCHAR component[] = "crashdrv";
    if (Callbacks & CALLBACK_SECONDARY_DATA)
        KeRegisterBugCheckReasonCallback(&SecondaryRecord, AddSecondary, KbCallbackSecondaryDumpData, component);
    if (Callbacks & CALLBACK_ADD_PAGES)
        KeRegisterBugCheckReasonCallback(&PagesRecord, AddPages, KbCallbackAddPages, component);
    if (Callbacks & CALLBACK_TRIAGE_DATA)
        KeRegisterBugCheckReasonCallback(&TriageRecord, AddTriage, KbCallbackTriageDumpData, component);
}

/* --- scenarios -----------------------------------------------------------------------------------------------------*/

static VOID Sleep(LONG Milliseconds)
{
    LARGE_INTEGER interval = { .QuadPart = -10000ll * Milliseconds };
    KeDelayExecutionThread(KernelMode, FALSE, &interval);
}

/* A single-linked list whose first entry lies at a bad address. */
static VOID FollowBadList(ULONG64 Address)
{
    static SLIST_HEADER head;
    ((ULONG64 *)&head)[0] = 1;
    ((ULONG64 *)&head)[1] = Address & ~15ull;
    ExpInterlockedPopEntrySList(&head);
}

static VOID LiveDump(const ULONG64 *Arguments)
{
    DbgkWerCaptureLiveKernelDump(
        L"crashdrv", 0x161, Arguments[0], Arguments[1], Arguments[2], Arguments[3], NULL, NULL, 0);
}

static VOID Crash(ULONG Scenario, const ULONG64 *Arguments)
{
    KIRQL irql;
    switch (Scenario) {
    case SCENARIO_D1_SECOND:
        KeSetSystemAffinityThreadEx(2);
        Sleep(30);
        /* fall through */
    case SCENARIO_D1:
        irql = KfRaiseIrql(DISPATCH_LEVEL);
        Alive += CrashRead((PVOID)Arguments[0]);
        KeLowerIrql(irql);
        break;
    case SCENARIO_A:
        irql = KfRaiseIrql(DISPATCH_LEVEL);
        FollowBadList(Arguments[0]);
        KeLowerIrql(irql);
        break;
    case SCENARIO_50:
        CrashWrite((PVOID)Arguments[0]);
        break;
    case SCENARIO_7E:
        CrashIllegal();
        break;
    case SCENARIO_7E_DIVIDE:
        Alive += CrashDivide(Alive, 0);
        break;
    case SCENARIO_7E_BREAKPOINT:
        CrashBreakpoint();
        break;
    case SCENARIO_7F:
        CrashStack((PVOID)Arguments[0]);
        break;
    case SCENARIO_7F_OVERFLOW:
        CrashOverflow();
        break;
    case SCENARIO_FC:
        CrashCall(KeptPages);
        break;
    case SCENARIO_BUGCHECK:
        CrashBugCheck(Parameters->ScenarioCode, Arguments);
        break;
    case SCENARIO_USER_CRASH:
        Sleep(200); /* the program has crashed by then */
        /* fall through */
    case SCENARIO_LIVE:
        LiveDump(Arguments);
        CrashFinish();
        break;
    default: /* SCENARIO_3B and SCENARIO_EF are app.exe's */
        return;
    }
    DbgPrint("crashdrv: the system lives on\n");
}

static VOID NTAPI Worker(PVOID Context)
{
    (void)Context;
    while (KeLoaderBlock) /* until the system has started */
        Sleep(16);
    Sleep(50);
    Alive++;
    Crash(Parameters->Scenario, Parameters->ScenarioArguments);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* --- the driver ----------------------------------------------------------------------------------------------------*/

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT Device, PIRP Irp)
{
    (void)Device;
    NTSTATUS status = STATUS_INVALID_DEVICE_REQUEST;
    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.IoControlCode == IOCTL_CRASH) {
        if (Parameters->Scenario == SCENARIO_3B)
            Alive += CrashRead((PVOID)Parameters->ScenarioArguments[0]);
        *(ULONG *)Irp->AssociatedIrp.SystemBuffer = Alive;
        Irp->IoStatus.Information = sizeof Alive;
        status = STATUS_SUCCESS;
    }
    Irp->IoStatus.Status = status;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return status;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING name;
    PDEVICE_OBJECT device;
    HANDLE thread;
    (void)RegistryPath;
    Parameters = KeLoaderBlock;
    RtlInitUnicodeString(&name, L"\\Device\\Crash");
    NTSTATUS status = IoCreateDevice(DriverObject, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    if (status < 0)
        return status;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    KeptPages = ExAllocatePoolWithTag(NonPagedPool, 3 * PAGE_SIZE, POOL_TAG);
    if (!KeptPages)
        return STATUS_INSUFFICIENT_RESOURCES;
    for (ULONG i = 0; i < 3 * PAGE_SIZE; i++)
        KeptPages[i] = (UCHAR)(i * 7);
    RegisterCallbacks(Parameters->Callbacks);
    status = PsCreateSystemThread(&thread, 0, NULL, NULL, NULL, Worker, NULL);
    if (status >= 0)
        ZwClose(thread);
    return status;
}
