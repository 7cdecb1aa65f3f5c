/* Loaded images: the list of them, drivers started and unloaded. The loader has mapped and bound them. */
#include "ntos.h"

LIST_ENTRY PsLoadedModuleList = { &PsLoadedModuleList, &PsLoadedModuleList };
UNLOADED_DRIVERS *MmUnloadedDrivers;
ULONG MmLastUnloadedDriver;

extern BOOT_PARAMETERS *KeLoaderBlock;

static void PsCopyName(UNICODE_STRING *To, const USHORT *From, SIZE_T Units)
{
    SIZE_T length = 0;
    while (length < Units - 1 && From[length])
        length++;
    To->Length = (USHORT)(length * sizeof(WCHAR));
    To->MaximumLength = (USHORT)(To->Length + sizeof(WCHAR));
    To->Buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, To->MaximumLength, 'nLmM');
    if (!To->Buffer)
        KiFatal("nonpaged pool is too small");
    RtlCopyMemory(To->Buffer, From, To->Length);
}

/* The exception directory of a mapped image: entry 3 of the data directories (winnt.h). */
static void PsFindExceptionTable(KLDR_DATA_TABLE_ENTRY *Entry)
{
    PUCHAR base = Entry->DllBase;
    const IMAGE_NT_HEADERS64 *headers = (const IMAGE_NT_HEADERS64 *)(base + ((IMAGE_DOS_HEADER *)base)->e_lfanew);
    const IMAGE_DATA_DIRECTORY *directory = &headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_EXCEPTION];
    Entry->ExceptionTable = directory->Size ? base + directory->VirtualAddress : NULL;
    Entry->ExceptionTableSize = directory->Size;
}

VOID PsLoadBootImages(const BOOT_PARAMETERS *Boot)
{
    for (ULONG i = 0; i < Boot->ImageCount; i++) {
        const BOOT_IMAGE *image = &Boot->Images[i];
        KLDR_DATA_TABLE_ENTRY *entry = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof *entry, 'dLmM');
        if (!entry)
            KiFatal("nonpaged pool is too small");
        entry->DllBase = (PVOID)image->Base;
        entry->EntryPoint = (PVOID)image->EntryPoint;
        entry->SizeOfImage = entry->SizeOfImageNotRounded = image->SizeOfImage;
        entry->CheckSum = image->CheckSum;
        entry->TimeDateStamp = image->TimeDateStamp;
        entry->LoadCount = 1;
        entry->Flags = LDRP_SYSTEM_MAPPED | LDRP_ENTRY_PROCESSED | (i < 2 ? LDRP_IMAGE_DLL : 0);
        PsCopyName(&entry->FullDllName, image->FullName, sizeof image->FullName / sizeof *image->FullName);
        PsCopyName(&entry->BaseDllName, image->BaseName, sizeof image->BaseName / sizeof *image->BaseName);
        PsFindExceptionTable(entry);
        KiListInsertTail(&PsLoadedModuleList, &entry->InLoadOrderLinks);
    }
    MmUnloadedDrivers = ExAllocatePool2(POOL_FLAG_NON_PAGED, MI_UNLOADED_DRIVERS * sizeof *MmUnloadedDrivers, 'DUmM');
}

static KLDR_DATA_TABLE_ENTRY *PsFindImage(ULONG64 Base)
{
    for (LIST_ENTRY *entry = PsLoadedModuleList.Flink; entry != &PsLoadedModuleList; entry = entry->Flink) {
        KLDR_DATA_TABLE_ENTRY *image = CONTAINING_RECORD(entry, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
        if ((ULONG64)image->DllBase == Base)
            return image;
    }
    return NULL;
}

BOOLEAN PsIsKernelImage(ULONG64 Address)
{
    const BOOT_IMAGE *images = KiBootParameters->Images;
    for (ULONG i = 0; i < 2; i++)
        if (Address - images[i].Base < images[i].SizeOfImage)
            return TRUE;
    return FALSE;
}

/* --- drivers -------------------------------------------------------------------------------------------------------*/

static PDRIVER_OBJECT IopCreateDriver(const BOOT_IMAGE *Image, KLDR_DATA_TABLE_ENTRY *Entry)
{
    PDRIVER_OBJECT driver = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof *driver + sizeof(DRIVER_EXTENSION), 'virD');
    if (!driver)
        KiFatal("nonpaged pool is too small");
    driver->Type = 4; /* IO_TYPE_DRIVER */
    driver->Size = sizeof *driver;
    driver->DriverStart = Entry->DllBase;
    driver->DriverSize = Entry->SizeOfImage;
    driver->DriverSection = Entry;
    driver->DriverExtension = (PDRIVER_EXTENSION)(driver + 1);
    driver->DriverExtension->DriverObject = driver;
    driver->DriverName = Entry->BaseDllName;
    driver->DriverInit = (PDRIVER_INITIALIZE)Image->EntryPoint;
    return driver;
}

/* Its entry moves to MmUnloadedDrivers, its pages to the free list. */
static void MiUnloadImage(KLDR_DATA_TABLE_ENTRY *Entry)
{
    KiListRemove(&Entry->InLoadOrderLinks);
    UNLOADED_DRIVERS *unloaded = &MmUnloadedDrivers[MmLastUnloadedDriver++ % MI_UNLOADED_DRIVERS];
    unloaded->Name = Entry->BaseDllName;
    unloaded->StartAddress = Entry->DllBase;
    unloaded->EndAddress = (PUCHAR)Entry->DllBase + ROUND_TO_PAGES(Entry->SizeOfImage);
    KeQuerySystemTimePrecise(&unloaded->CurrentTime);
    MiFreeSystemPages(Entry->DllBase, Entry->SizeOfImage);
    ExFreePoolWithTag(Entry->FullDllName.Buffer, 'nLmM');
    ExFreePoolWithTag(Entry, 'dLmM');
}

VOID IoStartDrivers(const BOOT_PARAMETERS *Boot)
{
    static WCHAR path[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Services";
    for (ULONG i = 0; i < Boot->ImageCount; i++) {
        const BOOT_IMAGE *image = &Boot->Images[i];
        if (!(image->Flags & BOOT_IMAGE_START))
            continue;
        KLDR_DATA_TABLE_ENTRY *entry = PsFindImage(image->Base);
        PDRIVER_OBJECT driver = IopCreateDriver(image, entry);
        UNICODE_STRING registry;
        RtlInitUnicodeString(&registry, path);
        NTSTATUS status = driver->DriverInit(driver, &registry);
        if (status < 0)
            DbgPrint("%wZ: DriverEntry returned %08X\n", &entry->BaseDllName, status);
        if (status >= 0 && !(image->Flags & BOOT_IMAGE_UNLOAD))
            continue;
        if (status >= 0 && driver->DriverUnload)
            driver->DriverUnload(driver);
        MiUnloadImage(entry);
        ExFreePoolWithTag(driver, 'virD');
    }
}

/* The balance set manager's place among the system threads: it sleeps, and wakes once a second. */
static void KeBalanceSetManager(PVOID Context)
{
    LARGE_INTEGER second = { .QuadPart = -10000000 };
    (void)Context;
    for (;;)
        KeDelayExecutionThread(KernelMode, FALSE, &second);
}

/* The first system thread: starts processors, drivers and programs, and then just is there. */
VOID PspPhase1(PVOID Context)
{
    const BOOT_PARAMETERS *boot = KiBootParameters;
    LARGE_INTEGER second = { .QuadPart = -10000000 };
    HANDLE handle;
    (void)Context;
    for (ULONG number = 1; number < boot->ProcessorCount; number++) {
        KiHypercall(HYPERCALL_START_PROCESSOR, number, 0, 0);
        while ((ULONG)KeNumberProcessors <= number)
            KiHypercall(HYPERCALL_YIELD, 0, 0, 0);
    }
    PsCreateSystemThread(&handle, 0, NULL, NULL, NULL, KeBalanceSetManager, NULL);
    IoStartDrivers(boot);
    PspStartUserThreads(boot);
    KeLoaderBlock = NULL;
    for (;;)
        KeDelayExecutionThread(KernelMode, FALSE, &second);
}
