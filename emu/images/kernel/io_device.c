/* System services, and as much of the I/O system as a device control needs to reach a driver. */
#include "ntos.h"
#include "ntos_services.h"

#define MAXIMUM_DEVICES 8
#define DEVICE_CONTROL_BUFFER 256

static struct {
    PDEVICE_OBJECT Device;
    UNICODE_STRING Name;
} IopDevices[MAXIMUM_DEVICES];

NTSTATUS IoCreateDevice(
    PDRIVER_OBJECT DriverObject, ULONG ExtensionSize, PUNICODE_STRING Name, DEVICE_TYPE Type, ULONG Characteristics,
    BOOLEAN Exclusive, PDEVICE_OBJECT *DeviceObject)
{
    (void)Exclusive;
    for (ULONG i = 0; i < MAXIMUM_DEVICES; i++) {
        if (IopDevices[i].Device)
            continue;
        USHORT length = Name ? Name->Length : 0;
        PDEVICE_OBJECT device = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof *device + ExtensionSize + length, 'iveD');
        if (!device)
            return STATUS_INSUFFICIENT_RESOURCES;
        device->Type = 3; /* IO_TYPE_DEVICE */
        device->Size = (USHORT)(sizeof *device + ExtensionSize);
        device->DriverObject = DriverObject;
        device->NextDevice = DriverObject->DeviceObject;
        device->DeviceType = Type;
        device->Characteristics = Characteristics;
        device->StackSize = 1;
        device->DeviceExtension = ExtensionSize ? device + 1 : NULL;
        DriverObject->DeviceObject = device;
        IopDevices[i].Device = device;
        IopDevices[i].Name.Length = IopDevices[i].Name.MaximumLength = length;
        IopDevices[i].Name.Buffer = (PWSTR)((PUCHAR)(device + 1) + ExtensionSize);
        RtlCopyMemory(IopDevices[i].Name.Buffer, Name ? Name->Buffer : NULL, length);
        *DeviceObject = device;
        return STATUS_SUCCESS;
    }
    return STATUS_INSUFFICIENT_RESOURCES;
}

VOID IoDeleteDevice(PDEVICE_OBJECT DeviceObject)
{
    PDEVICE_OBJECT *link = &DeviceObject->DriverObject->DeviceObject;
    while (*link && *link != DeviceObject)
        link = &(*link)->NextDevice;
    if (*link)
        *link = DeviceObject->NextDevice;
    for (ULONG i = 0; i < MAXIMUM_DEVICES; i++)
        if (IopDevices[i].Device == DeviceObject)
            IopDevices[i].Device = NULL;
    ExFreePoolWithTag(DeviceObject, 'iveD');
}

VOID FASTCALL IofCompleteRequest(PIRP Irp, CCHAR PriorityBoost)
{
    (void)PriorityBoost;
    Irp->PendingReturned = FALSE;
}

/* --- services ------------------------------------------------------------------------------------------------------*/

static BOOLEAN IopIsUserRange(const VOID *Address, SIZE_T Size)
{
    ULONG64 start = (ULONG64)Address, limit = (ULONG64)MmHighestUserAddress;
    return start < limit && Size <= limit - start &&
           MmIsAddressValid((PVOID)Address) && (!Size || MmIsAddressValid((PUCHAR)Address + Size - 1));
}

static NTSTATUS ServiceOpenFile(HANDLE *FileHandle, ACCESS_MASK Access, const OBJECT_ATTRIBUTES *Attributes)
{
    HANDLE_TABLE *table = PspCurrentProcess()->ObjectTable;
    (void)Access;
    if (!IopIsUserRange(FileHandle, sizeof *FileHandle) || !IopIsUserRange(Attributes, sizeof *Attributes) ||
        !IopIsUserRange(Attributes->ObjectName, sizeof *Attributes->ObjectName) ||
        !IopIsUserRange(Attributes->ObjectName->Buffer, Attributes->ObjectName->Length))
        return STATUS_ACCESS_VIOLATION;
    for (ULONG i = 0; i < MAXIMUM_DEVICES; i++) {
        if (!IopDevices[i].Device || !RtlEqualUnicodeString(&IopDevices[i].Name, Attributes->ObjectName, TRUE))
            continue;
        for (ULONG slot = 0; slot < MAXIMUM_HANDLES; slot++) {
            if (table->Objects[slot])
                continue;
            table->Objects[slot] = IopDevices[i].Device;
            table->HandleCount++;
            *FileHandle = (HANDLE)(ULONG64)(4 * (slot + 1));
            return STATUS_SUCCESS;
        }
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    return STATUS_OBJECT_NAME_NOT_FOUND;
}

/* Buffered, synchronous. The arguments from the fifth on are on the user's stack, behind its return address. */
static NTSTATUS ServiceDeviceIoControlFile(HANDLE FileHandle, const ULONG64 *Stack)
{
    HANDLE_TABLE *table = PspCurrentProcess()->ObjectTable;
    ULONG64 slot = (ULONG64)FileHandle / 4 - 1;
    if (slot >= MAXIMUM_HANDLES || !table->Objects[slot])
        return STATUS_INVALID_HANDLE;
    if (!IopIsUserRange(Stack, 11 * sizeof *Stack))
        return STATUS_ACCESS_VIOLATION;
    IO_STATUS_BLOCK *status_block = (IO_STATUS_BLOCK *)Stack[5];
    ULONG code = (ULONG)Stack[6], in_length = (ULONG)Stack[8], out_length = (ULONG)Stack[10];
    PVOID in = (PVOID)Stack[7], out = (PVOID)Stack[9];
    if (max(in_length, out_length) > DEVICE_CONTROL_BUFFER)
        return STATUS_INVALID_BUFFER_SIZE;
    if ((in_length && !IopIsUserRange(in, in_length)) || (out_length && !IopIsUserRange(out, out_length)) ||
        !IopIsUserRange(status_block, sizeof *status_block))
        return STATUS_ACCESS_VIOLATION;

    PDEVICE_OBJECT device = table->Objects[slot];
    PDRIVER_DISPATCH dispatch = device->DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL];
    if (!dispatch)
        return STATUS_INVALID_DEVICE_REQUEST;
    SIZE_T size = sizeof(IRP) + sizeof(IO_STACK_LOCATION) + DEVICE_CONTROL_BUFFER;
    PIRP irp = ExAllocatePool2(POOL_FLAG_NON_PAGED, size, ' prI');
    if (!irp)
        return STATUS_INSUFFICIENT_RESOURCES;
    PIO_STACK_LOCATION location = (PIO_STACK_LOCATION)(irp + 1);
    irp->Type = 6; /* IO_TYPE_IRP */
    irp->StackCount = irp->CurrentLocation = 1;
    irp->RequestorMode = UserMode;
    irp->AssociatedIrp.SystemBuffer = location + 1;
    irp->Tail.Overlay.CurrentStackLocation = location;
    irp->Tail.Overlay.Thread = (PETHREAD)KiCurrentThread();
    RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, in, in_length);
    location->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    location->DeviceObject = device;
    location->Parameters.DeviceIoControl.IoControlCode = code;
    location->Parameters.DeviceIoControl.InputBufferLength = in_length;
    location->Parameters.DeviceIoControl.OutputBufferLength = out_length;
    NTSTATUS status = dispatch(device, irp);
    RtlCopyMemory(out, irp->AssociatedIrp.SystemBuffer, min(out_length, irp->IoStatus.Information));
    *status_block = irp->IoStatus;
    ExFreePoolWithTag(irp, ' prI');
    return status;
}

static NTSTATUS ServiceDelayExecution(BOOLEAN Alertable, const LARGE_INTEGER *Interval)
{
    if (!IopIsUserRange(Interval, sizeof *Interval))
        return STATUS_ACCESS_VIOLATION;
    LARGE_INTEGER interval = *Interval;
    return KeDelayExecutionThread(UserMode, Alertable, &interval);
}

static NTSTATUS ServiceDisplayString(const UNICODE_STRING *Text)
{
    if (!IopIsUserRange(Text, sizeof *Text) || !IopIsUserRange(Text->Buffer, Text->Length))
        return STATUS_ACCESS_VIOLATION;
    DbgPrint("%wZ", Text);
    return STATUS_SUCCESS;
}

/* The first arguments are in R10, RDX, R8, R9 of the frame. */
NTSTATUS KiSystemService(KTRAP_FRAME *Frame)
{
    KiCurrentThread()->SystemCallNumber = (ULONG)Frame->Rax;
    switch ((ULONG)Frame->Rax) {
    case SERVICE_NT_TERMINATE_PROCESS:
        PspExitProcess((NTSTATUS)Frame->Rdx);
    case SERVICE_NT_DELAY_EXECUTION:
        return ServiceDelayExecution((BOOLEAN)Frame->R10, (const LARGE_INTEGER *)Frame->Rdx);
    case SERVICE_NT_OPEN_FILE:
        return ServiceOpenFile((HANDLE *)Frame->R10, (ACCESS_MASK)Frame->Rdx, (const OBJECT_ATTRIBUTES *)Frame->R8);
    case SERVICE_NT_DEVICE_IO_CONTROL_FILE:
        return ServiceDeviceIoControlFile((HANDLE)Frame->R10, (const ULONG64 *)Frame->Rsp);
    case SERVICE_NT_DISPLAY_STRING:
        return ServiceDisplayString((const UNICODE_STRING *)Frame->R10);
    default:
        return STATUS_INVALID_SYSTEM_SERVICE;
    }
}
