/* Drivers: how they are started and unloaded. */
#include "runtime.h"

#define MAXIMUM_DRIVERS 16
#define PATIENCE 12 /* half seconds for what comes again and again */

static struct {
    PDRIVER_OBJECT Object;
    ULONG64 Base, End;
} IopDrivers[MAXIMUM_DRIVERS]; /* by PsDriverNumber - 1 */
static ULONG IopDriverCount;
static volatile BOOLEAN IopStarted;  /* every driver has returned from its DriverEntry */
static volatile BOOLEAN IopFinished; /* those that can be were unloaded, and had time to crash after it */
extern volatile BOOLEAN IopCallerIsDone;

ULONG PsDriverNumber(ULONG64 Address)
{
    for (ULONG i = 0; i < IopDriverCount; i++)
        if (Address >= IopDrivers[i].Base && Address < IopDrivers[i].End)
            return i + 1;
    return 0;
}

/* Whether nothing of a driver is left that happens later by itself: no DriverEntry or request, timer, or thread that
   sleeps. Who is not patient waits for single events only, not for those that come again and again. */
static BOOLEAN DriversAreIdle(BOOLEAN Patient)
{
    if (!IopStarted || !IopCallerIsDone)
        return FALSE;
    for (LIST_ENTRY *entry = KiTimerListHead.Flink; entry != &KiTimerListHead; entry = entry->Flink)
        if (Patient || !CONTAINING_RECORD(entry, KTIMER, TimerListEntry)->Period)
            return FALSE;
    if (!Patient)
        return TRUE;
    for (LIST_ENTRY *entry = PsInitialSystemProcess->ThreadListHead.Flink;
         entry != &PsInitialSystemProcess->ThreadListHead; entry = entry->Flink) {
        ETHREAD *thread = CONTAINING_RECORD(entry, ETHREAD, ThreadListEntry);
        if (PsIsKernelImage((ULONG64)thread->StartAddress))
            continue;
        if (thread->Tcb.State != Waiting || thread->Tcb.DueTime)
            return FALSE;
    }
    return TRUE;
}

/* --- loading -------------------------------------------------------------------------------------------------------*/

/* The name without its extension, behind `Prefix`; pool memory. */
static UNICODE_STRING ServiceName(PCWSTR Prefix, PCUNICODE_STRING File)
{
    UNICODE_STRING name = { 0, (USHORT)(wcslen(Prefix) * sizeof(WCHAR) + File->Length + sizeof(WCHAR)), NULL }, stem = *File;
    for (USHORT i = 0; i < File->Length / sizeof(WCHAR); i++)
        if (File->Buffer[i] == '.')
            stem.Length = i * sizeof(WCHAR);
    name.Buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, name.MaximumLength, 'NrvD');
    if (!name.Buffer)
        KiFatal("nonpaged pool is too small");
    RtlAppendUnicodeToString(&name, Prefix);
    RtlAppendUnicodeStringToString(&name, &stem);
    return name;
}

static PDRIVER_OBJECT CreateDriver(const BOOT_IMAGE *Image, KLDR_DATA_TABLE_ENTRY *Entry)
{
    static UNICODE_STRING hardware = RTL_CONSTANT_STRING(L"\\REGISTRY\\MACHINE\\HARDWARE\\DESCRIPTION\\SYSTEM");
    PDRIVER_OBJECT driver = ObpCreate(&ObpDriverType, sizeof *driver + sizeof(DRIVER_EXTENSION));
    if (!driver || IopDriverCount == MAXIMUM_DRIVERS)
        KiFatal("no room for a driver");
    driver->Type = 4; /* IO_TYPE_DRIVER */
    driver->Size = sizeof *driver;
    driver->Flags = DRVO_LEGACY_DRIVER;
    driver->DriverStart = Entry->DllBase;
    driver->DriverSize = Entry->SizeOfImage;
    driver->DriverSection = Entry;
    driver->DriverExtension = (PDRIVER_EXTENSION)(driver + 1);
    driver->DriverExtension->DriverObject = driver;
    driver->DriverExtension->ServiceKeyName = ServiceName(L"", &Entry->BaseDllName);
    driver->DriverName = ServiceName(L"\\Driver\\", &Entry->BaseDllName);
    driver->HardwareDatabase = &hardware;
    driver->DriverInit = (PDRIVER_INITIALIZE)Image->EntryPoint;
    for (ULONG i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        driver->MajorFunction[i] = IopInvalidRequest;
    ObpInsertName(driver, &driver->DriverName);
    IopDrivers[IopDriverCount].Object = driver;
    IopDrivers[IopDriverCount].Base = Image->Base;
    IopDrivers[IopDriverCount++].End = Image->Base + Image->SizeOfImage;
    return driver;
}

/* A driver leaves as it came: its list entry moves to MmUnloadedDrivers, its pages to the free list. 0xC7: a timer or
   DPC of it is left. 0xC4 (0x62): pool memory is left. */
static void UnloadDriver(ULONG Number)
{
    extern UNLOADED_DRIVERS *MmUnloadedDrivers;
    extern ULONG MmLastUnloadedDriver;
    PDRIVER_OBJECT driver = IopDrivers[Number - 1].Object;
    KLDR_DATA_TABLE_ENTRY *entry = driver->DriverSection;
    KeCheckForTimer(entry->DllBase, entry->SizeOfImage);
    if (ExpOutstanding(Number))
        VfViolation(0x62, (ULONG_PTR)&entry->BaseDllName, (ULONG_PTR)entry, ExpOutstanding(Number));
    KiListRemove(&entry->InLoadOrderLinks);
    UNLOADED_DRIVERS *unloaded = &MmUnloadedDrivers[MmLastUnloadedDriver++ % MI_UNLOADED_DRIVERS];
    unloaded->Name = entry->BaseDllName;
    unloaded->StartAddress = entry->DllBase;
    unloaded->EndAddress = (PUCHAR)entry->DllBase + ROUND_TO_PAGES(entry->SizeOfImage);
    KeQuerySystemTimePrecise(&unloaded->CurrentTime);
    MiFreeSystemPages(entry->DllBase, entry->SizeOfImage);
    IopDrivers[Number - 1].Base = IopDrivers[Number - 1].End = 0;
    ExFreePoolWithTag(entry->FullDllName.Buffer, 'nLmM');
    ExFreePoolWithTag(entry, 'dLmM');
    ObfDereferenceObject(driver);
}

/* DriverEntry runs in a worker thread on Windows, whose routines may not return at a raised IRQL: 0xE1. */
static NTSTATUS CallEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Registry)
{
    NTSTATUS status = Driver->DriverInit(Driver, Registry);
    if (KeGetCurrentIrql() != PASSIVE_LEVEL)
        KeBugCheckEx(
            WORKER_THREAD_RETURNED_AT_BAD_IRQL, (ULONG_PTR)Driver->DriverInit, KeGetCurrentIrql(), (ULONG_PTR)Driver, 0);
    for (PDEVICE_OBJECT device = Driver->DeviceObject; device; device = device->NextDevice)
        device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    return status;
}

/* Ends the machine's task: when nothing is left to happen, drivers are unloaded as `sc stop` would do it. */
static VOID EndOfScenario(PVOID Context)
{
    LARGE_INTEGER pause = { .QuadPart = -5000000 };
    ULONG pauses = 0;
    (void)Context;
    do
        KeDelayExecutionThread(KernelMode, FALSE, &pause);
    while (!DriversAreIdle(++pauses < PATIENCE));
    for (ULONG number = IopDriverCount; number > 0; number--) {
        PDRIVER_OBJECT driver = IopDrivers[number - 1].Object;
        if (!IopDrivers[number - 1].Base || !driver->DriverUnload)
            continue;
        driver->DriverUnload(driver);
        UnloadDriver(number);
    }
    pauses = 0;
    do
        KeDelayExecutionThread(KernelMode, FALSE, &pause);
    while (!DriversAreIdle(++pauses < PATIENCE));
    IopFinished = TRUE;
    for (;;)
        KeDelayExecutionThread(KernelMode, FALSE, &pause);
}

BOOLEAN IopDriversAreIdle(void) { return IopFinished; }

VOID IoStartDrivers(const BOOT_PARAMETERS *Boot)
{
    ExInitializeWorkers();
    CmInitialize();
    FsInitialize();
    for (ULONG i = 0; i < Boot->ImageCount; i++) {
        const BOOT_IMAGE *image = &Boot->Images[i];
        if (!(image->Flags & BOOT_IMAGE_START))
            continue;
        KLDR_DATA_TABLE_ENTRY *entry = PsImageOf(image->Base);
        PDRIVER_OBJECT driver = CreateDriver(image, entry);
        ULONG number = IopDriverCount;
        UNICODE_STRING registry =
            ServiceName(L"\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\Services\\", &entry->BaseDllName);
        CmAddService(&registry, &entry->FullDllName);
        NTSTATUS status = CallEntry(driver, &registry);
        if (status < 0)
            DbgPrint("%wZ: DriverEntry returned %08X\n", &entry->BaseDllName, status);
        if (status >= 0 && !(image->Flags & BOOT_IMAGE_UNLOAD))
            continue;
        if (status >= 0 && driver->DriverUnload)
            driver->DriverUnload(driver);
        UnloadDriver(number);
    }
    IopStarted = TRUE;
    if (Boot->Scenario == SCENARIO_NONE) {
        HANDLE handle;
        PsCreateSystemThread(&handle, 0, NULL, NULL, NULL, EndOfScenario, NULL);
        ZwClose(handle);
    }
}

/* --- the first system thread ---------------------------------------------------------------------------------------*/

/* The balance set manager's place among the system threads: it sleeps, and wakes once a second. */
static void KeBalanceSetManager(PVOID Context)
{
    LARGE_INTEGER second = { .QuadPart = -10000000 };
    (void)Context;
    for (;;)
        KeDelayExecutionThread(KernelMode, FALSE, &second);
}

/* Starts processors, drivers and programs, and then just is there. */
VOID PspPhase1(PVOID Context)
{
    extern BOOT_PARAMETERS *KeLoaderBlock;
    const BOOT_PARAMETERS *boot = KiBootParameters;
    HANDLE handle;
    for (ULONG number = 1; number < boot->ProcessorCount; number++) {
        KiHypercall(HYPERCALL_START_PROCESSOR, number, 0, 0);
        while ((ULONG)KeNumberProcessors <= number)
            KiHypercall(HYPERCALL_YIELD, 0, 0, 0);
    }
    PsCreateSystemThread(&handle, 0, NULL, NULL, NULL, KeBalanceSetManager, NULL);
    IoStartDrivers(boot);
    PspStartUserThreads(boot);
    KeLoaderBlock = NULL;
    KeBalanceSetManager(Context);
}

/* --- exports by name -----------------------------------------------------------------------------------------------*/

static PVOID FindExport(ULONG64 Base, PCSTR Name)
{
    const IMAGE_NT_HEADERS64 *headers = (const IMAGE_NT_HEADERS64 *)(Base + (ULONG)((IMAGE_DOS_HEADER *)Base)->e_lfanew);
    ULONG table = headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_EXPORT].VirtualAddress;
    const IMAGE_EXPORT_DIRECTORY *exports = (const IMAGE_EXPORT_DIRECTORY *)(Base + table);
    const ULONG *names = (const ULONG *)(Base + exports->AddressOfNames);
    const USHORT *ordinals = (const USHORT *)(Base + exports->AddressOfNameOrdinals);
    const ULONG *functions = (const ULONG *)(Base + exports->AddressOfFunctions);
    for (ULONG i = 0; table && i < exports->NumberOfNames; i++)
        if (!strcmp((PCSTR)(Base + names[i]), Name))
            return (PVOID)(Base + functions[ordinals[i]]);
    return NULL;
}

PVOID MmGetSystemRoutineAddress(PUNICODE_STRING Name)
{
    CHAR text[128];
    ANSI_STRING ansi = { 0, sizeof text - 1, text };
    if (!NT_SUCCESS(RtlUnicodeStringToAnsiString(&ansi, Name, FALSE)))
        return NULL;
    text[ansi.Length] = 0;
    PVOID found = FindExport(KiBootParameters->Images[0].Base, text);
    return found ? found : FindExport(KiBootParameters->Images[1].Base, text);
}

PVOID RtlFindExportedRoutineByName(PVOID Base, PCSTR Name) { return FindExport((ULONG64)Base, Name); }
