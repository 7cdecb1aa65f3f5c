/* Devices, drivers, symbolic links, stacks of devices. */
#include "runtime.h"

static VOID DeleteDevice(PVOID Object);
static VOID DeleteLink(PVOID Object);

OBJECT_TYPE ObpDeviceType = { RTL_CONSTANT_STRING(L"Device"), DeleteDevice, NULL };
OBJECT_TYPE ObpDriverType = { RTL_CONSTANT_STRING(L"Driver"), NULL, NULL };
OBJECT_TYPE ObpSymbolicLinkType = { RTL_CONSTANT_STRING(L"SymbolicLink"), DeleteLink, NULL };

/* --- devices -------------------------------------------------------------------------------------------------------*/

typedef struct _IOP_EXTENSION { /* DEVICE_OBJECT.DeviceObjectExtension */
    struct _DEVOBJ_EXTENSION Public;
    PDEVICE_OBJECT AttachedTo;
} IOP_EXTENSION;

NTSTATUS IoCreateDevice(
    PDRIVER_OBJECT Driver, ULONG ExtensionSize, PUNICODE_STRING Name, DEVICE_TYPE Type, ULONG Characteristics,
    BOOLEAN Exclusive, PDEVICE_OBJECT *Device)
{
    SIZE_T own = (sizeof(DEVICE_OBJECT) + 15) & ~15ull, extension = (ExtensionSize + 15u) & ~15u;
    if (KeGetCurrentIrql() > APC_LEVEL)
        VfViolation(0x3B, KeGetCurrentIrql(), (ULONG_PTR)Name, 0);
    *Device = NULL;
    PDEVICE_OBJECT device = ObpCreate(&ObpDeviceType, own + extension + sizeof(IOP_EXTENSION));
    if (!device)
        return STATUS_INSUFFICIENT_RESOURCES;
    device->Type = 3; /* IO_TYPE_DEVICE */
    device->Size = (USHORT)(sizeof *device + ExtensionSize);
    device->ReferenceCount = 0;
    device->DriverObject = Driver;
    device->Flags = DO_DEVICE_INITIALIZING | (Name ? DO_DEVICE_HAS_NAME : 0) | (Exclusive ? DO_EXCLUSIVE : 0);
    device->Characteristics = Characteristics;
    device->DeviceType = Type;
    device->StackSize = 1;
    device->SectorSize = 512;
    device->DeviceExtension = ExtensionSize ? (PUCHAR)device + own : NULL;
    device->DeviceObjectExtension = (struct _DEVOBJ_EXTENSION *)((PUCHAR)device + own + extension);
    device->DeviceObjectExtension->DeviceObject = device;
    KeInitializeEvent(&device->DeviceLock, SynchronizationEvent, TRUE);
    KeInitializeDeviceQueue(&device->DeviceQueue);
    NTSTATUS status = Name ? ObpInsertName(device, Name) : STATUS_SUCCESS;
    if (!NT_SUCCESS(status)) {
        ObfDereferenceObject(device);
        return status;
    }
    device->NextDevice = Driver->DeviceObject;
    Driver->DeviceObject = device;
    *Device = device;
    return STATUS_SUCCESS;
}

NTSTATUS IoCreateDeviceSecure(
    PDRIVER_OBJECT Driver, ULONG ExtensionSize, PUNICODE_STRING Name, DEVICE_TYPE Type, ULONG Characteristics,
    BOOLEAN Exclusive, PCUNICODE_STRING Sddl, LPCGUID Class, PDEVICE_OBJECT *Device)
{
    (void)Sddl, (void)Class;
    return IoCreateDevice(Driver, ExtensionSize, Name, Type, Characteristics, Exclusive, Device);
}

static VOID DeleteDevice(PVOID Object)
{
    PDEVICE_OBJECT device = Object, *link = &device->DriverObject->DeviceObject;
    while (*link && *link != device)
        link = &(*link)->NextDevice;
    if (*link)
        *link = device->NextDevice;
}

/* The object goes when its last file is closed; its name and its place in the driver's list go now. */
VOID IoDeleteDevice(PDEVICE_OBJECT Device)
{
    DeleteDevice(Device);
    ObpRemoveName(Device);
    ObfDereferenceObject(Device);
}

PDEVICE_OBJECT IoGetAttachedDevice(PDEVICE_OBJECT Device)
{
    while (Device->AttachedDevice)
        Device = Device->AttachedDevice;
    return Device;
}

PDEVICE_OBJECT IoGetAttachedDeviceReference(PDEVICE_OBJECT Device)
{
    PDEVICE_OBJECT top = IoGetAttachedDevice(Device);
    ObfReferenceObject(top);
    return top;
}

static IOP_EXTENSION *ExtensionOf(PDEVICE_OBJECT Device) { return (IOP_EXTENSION *)Device->DeviceObjectExtension; }

PDEVICE_OBJECT IoAttachDeviceToDeviceStack(PDEVICE_OBJECT Source, PDEVICE_OBJECT Target)
{
    PDEVICE_OBJECT top = IoGetAttachedDevice(Target);
    top->AttachedDevice = Source;
    ExtensionOf(Source)->AttachedTo = top;
    Source->StackSize = top->StackSize + 1;
    Source->AlignmentRequirement = top->AlignmentRequirement;
    Source->SectorSize = top->SectorSize;
    return top;
}

NTSTATUS IoAttachDeviceToDeviceStackSafe(PDEVICE_OBJECT Source, PDEVICE_OBJECT Target, PDEVICE_OBJECT *AttachedTo)
{
    *AttachedTo = IoAttachDeviceToDeviceStack(Source, Target);
    return STATUS_SUCCESS;
}

NTSTATUS IoAttachDevice(PDEVICE_OBJECT Source, PUNICODE_STRING Target, PDEVICE_OBJECT *AttachedTo)
{
    PVOID found = ObpFind(Target);
    if (!found || ObpTypeOf(found) != &ObpDeviceType)
        return STATUS_OBJECT_NAME_NOT_FOUND;
    *AttachedTo = IoAttachDeviceToDeviceStack(Source, found);
    return STATUS_SUCCESS;
}

VOID IoDetachDevice(PDEVICE_OBJECT Target)
{
    if (Target->AttachedDevice)
        ExtensionOf(Target->AttachedDevice)->AttachedTo = NULL;
    Target->AttachedDevice = NULL;
}

PDEVICE_OBJECT IoGetLowerDeviceObject(PDEVICE_OBJECT Device)
{
    PDEVICE_OBJECT lower = ExtensionOf(Device)->AttachedTo;
    if (lower)
        ObfReferenceObject(lower);
    return lower;
}

PDEVICE_OBJECT IoGetDeviceAttachmentBaseRef(PDEVICE_OBJECT Device)
{
    while (ExtensionOf(Device)->AttachedTo)
        Device = ExtensionOf(Device)->AttachedTo;
    ObfReferenceObject(Device);
    return Device;
}

PDEVICE_OBJECT IoGetRelatedDeviceObject(PFILE_OBJECT File) { return IoGetAttachedDevice(File->DeviceObject); }

PDEVICE_OBJECT IoGetBaseFileSystemDeviceObject(PFILE_OBJECT File) { return File->DeviceObject; }

NTSTATUS IoGetDeviceObjectPointer(PUNICODE_STRING Name, ACCESS_MASK Access, PFILE_OBJECT *File, PDEVICE_OBJECT *Device)
{
    ULONG_PTR information;
    NTSTATUS status = IopOpen(Name, Access, 0, FILE_OPEN, FILE_NON_DIRECTORY_FILE, KernelMode, File, &information);
    if (NT_SUCCESS(status))
        *Device = IoGetRelatedDeviceObject(*File);
    return status;
}

/* --- device queues and StartIo -------------------------------------------------------------------------------------*/

VOID KeInitializeDeviceQueue(PKDEVICE_QUEUE Queue)
{
    RtlZeroMemory(Queue, sizeof *Queue);
    Queue->Type = 20; /* KOBJECTS DeviceQueueObject */
    Queue->Size = sizeof *Queue;
    KiListInitialize(&Queue->DeviceListHead);
}

BOOLEAN KeInsertByKeyDeviceQueue(PKDEVICE_QUEUE Queue, PKDEVICE_QUEUE_ENTRY Entry, ULONG Key)
{
    KeAcquireSpinLockAtDpcLevel(&Queue->Lock);
    BOOLEAN busy = Queue->Busy != 0;
    Entry->SortKey = Key;
    Entry->Inserted = busy;
    if (busy) {
        LIST_ENTRY *at = Queue->DeviceListHead.Flink;
        while (at != &Queue->DeviceListHead && CONTAINING_RECORD(at, KDEVICE_QUEUE_ENTRY, DeviceListEntry)->SortKey <= Key)
            at = at->Flink;
        KiListInsertTail(at, &Entry->DeviceListEntry);
    }
    Queue->Busy = TRUE;
    KeReleaseSpinLockFromDpcLevel(&Queue->Lock);
    return busy;
}

BOOLEAN KeInsertDeviceQueue(PKDEVICE_QUEUE Queue, PKDEVICE_QUEUE_ENTRY Entry)
{
    return KeInsertByKeyDeviceQueue(Queue, Entry, ~0u);
}

PKDEVICE_QUEUE_ENTRY KeRemoveDeviceQueue(PKDEVICE_QUEUE Queue)
{
    PKDEVICE_QUEUE_ENTRY entry = NULL;
    KeAcquireSpinLockAtDpcLevel(&Queue->Lock);
    if (Queue->DeviceListHead.Flink == &Queue->DeviceListHead) {
        Queue->Busy = FALSE;
    } else {
        entry = CONTAINING_RECORD(Queue->DeviceListHead.Flink, KDEVICE_QUEUE_ENTRY, DeviceListEntry);
        KiListRemove(&entry->DeviceListEntry);
        entry->Inserted = FALSE;
    }
    KeReleaseSpinLockFromDpcLevel(&Queue->Lock);
    return entry;
}

BOOLEAN KeRemoveEntryDeviceQueue(PKDEVICE_QUEUE Queue, PKDEVICE_QUEUE_ENTRY Entry)
{
    KeAcquireSpinLockAtDpcLevel(&Queue->Lock);
    BOOLEAN was = Entry->Inserted;
    if (was)
        KiListRemove(&Entry->DeviceListEntry);
    Entry->Inserted = FALSE;
    KeReleaseSpinLockFromDpcLevel(&Queue->Lock);
    return was;
}

VOID IoStartPacket(PDEVICE_OBJECT Device, PIRP Irp, PULONG Key, PDRIVER_CANCEL Cancel)
{
    KIRQL irql = KeRaiseIrqlToDpcLevel();
    if (Cancel)
        IoSetCancelRoutine(Irp, Cancel);
    PKDEVICE_QUEUE_ENTRY entry = &Irp->Tail.Overlay.DeviceQueueEntry;
    if (!KeInsertByKeyDeviceQueue(&Device->DeviceQueue, entry, Key ? *Key : ~0u)) {
        Device->CurrentIrp = Irp;
        Device->DriverObject->DriverStartIo(Device, Irp);
    }
    KeLowerIrql(irql);
}

VOID IoStartNextPacket(PDEVICE_OBJECT Device, BOOLEAN Cancelable)
{
    (void)Cancelable;
    KIRQL irql = KeRaiseIrqlToDpcLevel();
    PKDEVICE_QUEUE_ENTRY entry = KeRemoveDeviceQueue(&Device->DeviceQueue);
    Device->CurrentIrp = entry ? CONTAINING_RECORD(entry, IRP, Tail.Overlay.DeviceQueueEntry) : NULL;
    if (entry)
        Device->DriverObject->DriverStartIo(Device, Device->CurrentIrp);
    KeLowerIrql(irql);
}

/* --- symbolic links ------------------------------------------------------------------------------------------------*/

static VOID DeleteLink(PVOID Object) { ExFreePoolWithTag(((UNICODE_STRING *)Object)->Buffer, 'kniL'); }

NTSTATUS IoCreateSymbolicLink(PUNICODE_STRING Link, PUNICODE_STRING Target)
{
    UNICODE_STRING *link = ObpCreate(&ObpSymbolicLinkType, sizeof *link);
    if (!link)
        return STATUS_INSUFFICIENT_RESOURCES;
    link->MaximumLength = (USHORT)(Target->Length + sizeof(WCHAR));
    link->Buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, link->MaximumLength, 'kniL');
    NTSTATUS status = link->Buffer ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
    if (NT_SUCCESS(status)) {
        RtlCopyUnicodeString(link, Target);
        status = ObpInsertName(link, Link);
    }
    if (!NT_SUCCESS(status))
        ObfDereferenceObject(link);
    return status;
}

NTSTATUS IoCreateUnprotectedSymbolicLink(PUNICODE_STRING Link, PUNICODE_STRING Target)
{
    return IoCreateSymbolicLink(Link, Target);
}

NTSTATUS IoDeleteSymbolicLink(PUNICODE_STRING Link)
{
    PVOID link = ObpFindLink(Link);
    if (!link)
        return STATUS_OBJECT_NAME_NOT_FOUND;
    ObfDereferenceObject(link);
    return STATUS_SUCCESS;
}

/* --- drivers -------------------------------------------------------------------------------------------------------*/

typedef struct _IOP_CLIENT { /* IoAllocateDriverObjectExtension */
    LIST_ENTRY Links;
    PDRIVER_OBJECT Driver;
    PVOID Id;
    ULONG64 Pad;
    UCHAR Data[];
} IOP_CLIENT;

static LIST_ENTRY IopClients = { &IopClients, &IopClients };

PVOID IoGetDriverObjectExtension(PDRIVER_OBJECT Driver, PVOID Id)
{
    for (LIST_ENTRY *entry = IopClients.Flink; entry != &IopClients; entry = entry->Flink) {
        IOP_CLIENT *client = CONTAINING_RECORD(entry, IOP_CLIENT, Links);
        if (client->Driver == Driver && client->Id == Id)
            return client->Data;
    }
    return NULL;
}

NTSTATUS IoAllocateDriverObjectExtension(PDRIVER_OBJECT Driver, PVOID Id, ULONG Size, PVOID *Extension)
{
    *Extension = NULL;
    if (IoGetDriverObjectExtension(Driver, Id))
        return STATUS_OBJECT_NAME_COLLISION;
    IOP_CLIENT *client = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof *client + Size, 'ilcD');
    if (!client)
        return STATUS_INSUFFICIENT_RESOURCES;
    client->Driver = Driver;
    client->Id = Id;
    KiListInsertTail(&IopClients, &client->Links);
    *Extension = client->Data;
    return STATUS_SUCCESS;
}

/* The machine is never shut down in an orderly way, so nobody is told. */
NTSTATUS IoRegisterShutdownNotification(PDEVICE_OBJECT Device) { return (void)Device, STATUS_SUCCESS; }

NTSTATUS IoRegisterLastChanceShutdownNotification(PDEVICE_OBJECT Device) { return (void)Device, STATUS_SUCCESS; }

VOID IoUnregisterShutdownNotification(PDEVICE_OBJECT Device) { (void)Device; }
