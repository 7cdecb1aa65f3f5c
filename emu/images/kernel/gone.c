/* A driver that is loaded and unloaded again, so that MmUnloadedDrivers has something to tell. */
#include "ntos_ddk.h"

static PVOID Buffer;
static ULONG Visits = 1;

static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    (void)DriverObject;
    DbgPrint("gone: unloading after %u visit(s)\n", Visits);
    ExFreePoolWithTag(Buffer, 'enoG');
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    (void)RegistryPath;
    Buffer = ExAllocatePool2(POOL_FLAG_PAGED, 0x200, 'enoG');
    if (!Buffer)
        return STATUS_INSUFFICIENT_RESOURCES;
    Visits++;
    DriverObject->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
