/* Requests: IRPs, their stack locations, their completion. */
#include "runtime.h"

#define IO_TYPE_IRP 6
#define TAG ' prI'
#define OWN_IRP 0x40 /* IRP.AllocationFlags: made for a request that the I/O manager ends, with the issuer's buffers */

#define ISSUER_WAITS 0x20 /* the issuer waits, and ends it itself */

static KSPIN_LOCK IopCancelLock;

/* --- allocation ----------------------------------------------------------------------------------------------------*/

static USHORT SizeOfIrp(CCHAR StackSize) { return (USHORT)(sizeof(IRP) + (ULONG)StackSize * sizeof(IO_STACK_LOCATION)); }

VOID IoInitializeIrp(PIRP Irp, USHORT Size, CCHAR StackSize)
{
    RtlZeroMemory(Irp, Size);
    Irp->Type = IO_TYPE_IRP;
    Irp->Size = Size;
    Irp->StackCount = StackSize;
    Irp->CurrentLocation = StackSize + 1;
    KiListInitialize(&Irp->ThreadListEntry);
    Irp->Tail.Overlay.CurrentStackLocation = (PIO_STACK_LOCATION)(Irp + 1) + StackSize;
}

PIRP IoAllocateIrp(CCHAR StackSize, BOOLEAN ChargeQuota)
{
    (void)ChargeQuota;
    USHORT size = SizeOfIrp(StackSize);
    PIRP irp = ExAllocatePoolWithTag(NonPagedPoolNx, size, TAG);
    if (irp)
        IoInitializeIrp(irp, size, StackSize);
    return irp;
}

PIRP IoAllocateIrpEx(PDEVICE_OBJECT Device, CCHAR StackSize, BOOLEAN ChargeQuota)
{
    (void)Device;
    return IoAllocateIrp(StackSize, ChargeQuota);
}

VOID IoReuseIrp(PIRP Irp, NTSTATUS Status)
{
    IoInitializeIrp(Irp, (USHORT)Irp->Size, Irp->StackCount);
    Irp->IoStatus.Status = Status;
}

/* 0x44: freed although a driver still has it in its list of a thread, or freed twice. */
VOID IoFreeIrp(PIRP Irp)
{
    if (Irp->Type != IO_TYPE_IRP)
        KeBugCheckEx(MULTIPLE_IRP_COMPLETE_REQUESTS, (ULONG_PTR)Irp, 0, 0, 0);
    Irp->Type = 0;
    ExFreePoolWithTag(Irp, TAG);
}

PIRP IoMakeAssociatedIrp(PIRP Master, CCHAR StackSize)
{
    PIRP irp = IoAllocateIrp(StackSize, FALSE);
    if (irp) {
        irp->Flags |= IRP_ASSOCIATED_IRP;
        irp->AssociatedIrp.MasterIrp = Master;
        irp->Tail.Overlay.Thread = Master->Tail.Overlay.Thread;
    }
    return irp;
}

/* --- requests of drivers -------------------------------------------------------------------------------------------*/

static void SetBuffers(
    PIRP Irp, PIO_STACK_LOCATION Location, ULONG Method, PVOID In, ULONG InLength, PVOID Out, ULONG OutLength)
{
    if (Method == METHOD_NEITHER) {
        Location->Parameters.DeviceIoControl.Type3InputBuffer = In;
        Irp->UserBuffer = Out;
        return;
    }
    ULONG size = Method == METHOD_BUFFERED ? max(InLength, OutLength) : InLength;
    Irp->UserBuffer = Out;
    if (size) {
        Irp->AssociatedIrp.SystemBuffer = ExAllocatePoolWithTag(NonPagedPoolNx, size, 'bSoI');
        if (!Irp->AssociatedIrp.SystemBuffer)
            ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
        RtlZeroMemory(Irp->AssociatedIrp.SystemBuffer, size);
        if (InLength)
            RtlCopyMemory(Irp->AssociatedIrp.SystemBuffer, In, InLength);
        Irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
        if (Method == METHOD_BUFFERED && OutLength)
            Irp->Flags |= IRP_INPUT_OPERATION; /* bytes go back to the issuer */
    }
    if (Method != METHOD_BUFFERED && OutLength) {
        PMDL mdl = IoAllocateMdl(Out, OutLength, FALSE, FALSE, Irp);
        MmProbeAndLockPages(mdl, Irp->RequestorMode, Method == METHOD_OUT_DIRECT ? IoWriteAccess : IoReadAccess);
    }
}

PIRP IoBuildDeviceIoControlRequest(
    ULONG Code, PDEVICE_OBJECT Device, PVOID In, ULONG InLength, PVOID Out, ULONG OutLength, BOOLEAN Internal,
    PKEVENT Event, PIO_STATUS_BLOCK Status)
{
    PIRP irp = IoAllocateIrp(Device->StackSize, FALSE);
    if (!irp)
        return NULL;
    PIO_STACK_LOCATION location = IoGetNextIrpStackLocation(irp);
    irp->AllocationFlags |= OWN_IRP;
    irp->UserIosb = Status;
    irp->UserEvent = Event;
    irp->Tail.Overlay.Thread = (PETHREAD)KiCurrentThread();
    location->MajorFunction = Internal ? IRP_MJ_INTERNAL_DEVICE_CONTROL : IRP_MJ_DEVICE_CONTROL;
    location->DeviceObject = Device;
    location->Parameters.DeviceIoControl.IoControlCode = Code;
    location->Parameters.DeviceIoControl.InputBufferLength = InLength;
    location->Parameters.DeviceIoControl.OutputBufferLength = OutLength;
    SetBuffers(irp, location, METHOD_FROM_CTL_CODE(Code), In, InLength, Out, OutLength);
    return irp;
}

PIRP IoBuildAsynchronousFsdRequest(
    ULONG Major, PDEVICE_OBJECT Device, PVOID Buffer, ULONG Length, PLARGE_INTEGER Offset, PIO_STATUS_BLOCK Status)
{
    PIRP irp = IoAllocateIrp(Device->StackSize, FALSE);
    if (!irp)
        return NULL;
    PIO_STACK_LOCATION location = IoGetNextIrpStackLocation(irp);
    irp->UserIosb = Status;
    irp->Tail.Overlay.Thread = (PETHREAD)KiCurrentThread();
    location->MajorFunction = (UCHAR)Major;
    location->DeviceObject = Device;
    if (Major != IRP_MJ_READ && Major != IRP_MJ_WRITE)
        return irp;
    location->Parameters.Read.Length = Length; /* as Parameters.Write */
    if (Offset)
        location->Parameters.Read.ByteOffset = *Offset;
    ULONG method = Device->Flags & DO_BUFFERED_IO ? METHOD_BUFFERED
                   : Device->Flags & DO_DIRECT_IO ? METHOD_OUT_DIRECT : METHOD_NEITHER;
    if (method == METHOD_OUT_DIRECT) {
        PMDL mdl = IoAllocateMdl(Buffer, Length, FALSE, FALSE, irp);
        MmProbeAndLockPages(mdl, irp->RequestorMode, Major == IRP_MJ_READ ? IoWriteAccess : IoReadAccess);
        return irp;
    }
    LARGE_INTEGER kept = location->Parameters.Read.ByteOffset; /* Type3InputBuffer lies over it */
    if (Major == IRP_MJ_READ)
        SetBuffers(irp, location, method, NULL, 0, Buffer, Length);
    else
        SetBuffers(irp, location, method, Buffer, method == METHOD_NEITHER ? 0 : Length, NULL, 0);
    location->Parameters.Read.ByteOffset = kept;
    if (method == METHOD_NEITHER)
        irp->UserBuffer = Buffer;
    return irp;
}

PIRP IoBuildSynchronousFsdRequest(
    ULONG Major, PDEVICE_OBJECT Device, PVOID Buffer, ULONG Length, PLARGE_INTEGER Offset, PKEVENT Event,
    PIO_STATUS_BLOCK Status)
{
    PIRP irp = IoBuildAsynchronousFsdRequest(Major, Device, Buffer, Length, Offset, Status);
    if (irp) {
        irp->UserEvent = Event;
        irp->AllocationFlags |= OWN_IRP;
    }
    return irp;
}

/* --- calling and completing ----------------------------------------------------------------------------------------*/

/* 0x35: no stack location is left for the driver. */
NTSTATUS FASTCALL IofCallDriver(PDEVICE_OBJECT Device, PIRP Irp)
{
    if (--Irp->CurrentLocation <= 0)
        KeBugCheckEx(NO_MORE_IRP_STACK_LOCATIONS, (ULONG_PTR)Irp, 0, 0, 0);
    PIO_STACK_LOCATION location = --Irp->Tail.Overlay.CurrentStackLocation;
    location->DeviceObject = Device;
    return Device->DriverObject->MajorFunction[location->MajorFunction](Device, Irp);
}

NTSTATUS IoCallDriver(PDEVICE_OBJECT Device, PIRP Irp) { return IofCallDriver(Device, Irp); }

NTSTATUS PoCallDriver(PDEVICE_OBJECT Device, PIRP Irp) { return IofCallDriver(Device, Irp); }

VOID PoStartNextPowerIrp(PIRP Irp) { (void)Irp; }

VOID IopFinishRequest(PIRP Irp)
{
    NTSTATUS status = Irp->IoStatus.Status;
    PKEVENT event = Irp->UserEvent;
    if (Irp->Flags & IRP_INPUT_OPERATION && !NT_ERROR(status) && Irp->IoStatus.Information)
        RtlCopyMemory(Irp->UserBuffer, Irp->AssociatedIrp.SystemBuffer, Irp->IoStatus.Information);
    if (Irp->Flags & IRP_DEALLOCATE_BUFFER)
        ExFreePoolWithTag(Irp->AssociatedIrp.SystemBuffer, 'bSoI');
    for (PMDL mdl = Irp->MdlAddress, next; mdl; mdl = next) {
        next = mdl->Next;
        if (mdl->MdlFlags & MDL_PAGES_LOCKED)
            MmUnlockPages(mdl);
        IoFreeMdl(mdl);
    }
    if (Irp->UserIosb)
        *Irp->UserIosb = Irp->IoStatus;
    Irp->MdlAddress = NULL;
    IoFreeIrp(Irp);
    if (event)
        KeSetEvent(event, 0, FALSE);
}

static NTSTATUS CallCompletion(PIRP Irp, PIO_STACK_LOCATION Location)
{
    NTSTATUS status = Irp->IoStatus.Status;
    UCHAR wanted = Irp->Cancel ? SL_INVOKE_ON_CANCEL : NT_SUCCESS(status) ? SL_INVOKE_ON_SUCCESS : SL_INVOKE_ON_ERROR;
    if (NT_SUCCESS(status))
        wanted |= SL_INVOKE_ON_SUCCESS;
    PIO_COMPLETION_ROUTINE routine = Location->CompletionRoutine;
    PVOID context = Location->Context;
    if (!(Location->Control & wanted) || !routine) {
        if (Irp->PendingReturned && Irp->CurrentLocation <= Irp->StackCount)
            IoMarkIrpPending(Irp);
        return STATUS_SUCCESS;
    }
    PDEVICE_OBJECT device =
        Irp->CurrentLocation == Irp->StackCount + 1 ? NULL : IoGetCurrentIrpStackLocation(Irp)->DeviceObject;
    return routine(device, Irp, context);
}

/* 0x44: it is complete already. 0x48: its cancel routine is still set. */
VOID FASTCALL IofCompleteRequest(PIRP Irp, CCHAR PriorityBoost)
{
    (void)PriorityBoost;
    if (Irp->Type != IO_TYPE_IRP || Irp->CurrentLocation > Irp->StackCount + 1)
        KeBugCheckEx(MULTIPLE_IRP_COMPLETE_REQUESTS, (ULONG_PTR)Irp, 0, 0, 0);
    if (Irp->CancelRoutine)
        KeBugCheckEx(CANCEL_STATE_IN_COMPLETED_IRP, (ULONG_PTR)Irp, (ULONG_PTR)Irp->CancelRoutine, 0, 0);
    while (Irp->CurrentLocation <= Irp->StackCount) {
        PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(Irp);
        Irp->PendingReturned = location->Control & SL_PENDING_RETURNED;
        Irp->CurrentLocation++;
        Irp->Tail.Overlay.CurrentStackLocation++;
        if (CallCompletion(Irp, location) == STATUS_MORE_PROCESSING_REQUIRED)
            return;
    }
    Irp->CurrentLocation++; /* a second completion shows itself */
    if (Irp->Flags & IRP_ASSOCIATED_IRP) {
        PIRP master = Irp->AssociatedIrp.MasterIrp;
        IoFreeIrp(Irp);
        if (InterlockedDecrement(&master->AssociatedIrp.IrpCount) == 0)
            IofCompleteRequest(master, 0);
        return;
    }
    if (!(Irp->AllocationFlags & OWN_IRP))
        return;
    /* Buffers of ring 3 are written by the thread that asked: this may be another process. */
    if (!(Irp->AllocationFlags & ISSUER_WAITS))
        IopFinishRequest(Irp);
    else if (Irp->UserEvent)
        KeSetEvent(Irp->UserEvent, 0, FALSE);
}

VOID IoCompleteRequest(PIRP Irp, CCHAR PriorityBoost) { IofCompleteRequest(Irp, PriorityBoost); }

NTSTATUS IopInvalidRequest(PDEVICE_OBJECT Device, PIRP Irp)
{
    (void)Device;
    Irp->IoStatus.Status = STATUS_INVALID_DEVICE_REQUEST;
    Irp->IoStatus.Information = 0;
    IofCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_INVALID_DEVICE_REQUEST;
}

NTSTATUS IoSetCompletionRoutineEx(
    PDEVICE_OBJECT Device, PIRP Irp, PIO_COMPLETION_ROUTINE Routine, PVOID Context, BOOLEAN Success, BOOLEAN Error,
    BOOLEAN Cancel)
{
    (void)Device;
    IoSetCompletionRoutine(Irp, Routine, Context, Success, Error, Cancel);
    return STATUS_SUCCESS;
}

BOOLEAN IoForwardIrpSynchronously(PDEVICE_OBJECT Device, PIRP Irp)
{
    (void)Device, (void)Irp;
    return FALSE;
}

PDEVICE_OBJECT IoGetDeviceToVerify(PETHREAD Thread) { return (void)Thread, NULL; }

PIRP IoGetTopLevelIrp(VOID) { return NULL; }

VOID IoSetTopLevelIrp(PIRP Irp) { (void)Irp; }

PEPROCESS IoGetRequestorProcess(PIRP Irp) { return (PEPROCESS)((KTHREAD *)Irp->Tail.Overlay.Thread)->Process; }

ULONG IoGetRequestorProcessId(PIRP Irp) { return (ULONG)(ULONG_PTR)IoGetRequestorProcess(Irp)->UniqueProcessId; }

/* --- cancelling ----------------------------------------------------------------------------------------------------*/

VOID IoAcquireCancelSpinLock(PKIRQL Irql) { *Irql = KeAcquireSpinLockRaiseToDpc(&IopCancelLock); }

VOID IoReleaseCancelSpinLock(KIRQL Irql) { KeReleaseSpinLock(&IopCancelLock, Irql); }

BOOLEAN IoCancelIrp(PIRP Irp)
{
    KIRQL irql;
    IoAcquireCancelSpinLock(&irql);
    Irp->Cancel = TRUE;
    PDRIVER_CANCEL routine = IoSetCancelRoutine(Irp, NULL);
    if (routine) {
        Irp->CancelIrql = irql;
        routine(IoGetCurrentIrpStackLocation(Irp)->DeviceObject, Irp);
        return TRUE;
    }
    IoReleaseCancelSpinLock(irql);
    return FALSE;
}

/* --- requests of the I/O manager itself ----------------------------------------------------------------------------*/

static void SetParameters(
    PIRP Irp, PIO_STACK_LOCATION Location, PDEVICE_OBJECT Device, ULONG Code, PVOID In, ULONG InLength, PVOID Out,
    ULONG OutLength, const LARGE_INTEGER *Offset)
{
    ULONG method = Device->Flags & DO_BUFFERED_IO ? METHOD_BUFFERED
                   : Device->Flags & DO_DIRECT_IO ? METHOD_OUT_DIRECT : METHOD_NEITHER;
    switch (Location->MajorFunction) {
    case IRP_MJ_DEVICE_CONTROL:
        Location->Parameters.DeviceIoControl.IoControlCode = Code;
        Location->Parameters.DeviceIoControl.InputBufferLength = InLength;
        Location->Parameters.DeviceIoControl.OutputBufferLength = OutLength;
        SetBuffers(Irp, Location, METHOD_FROM_CTL_CODE(Code), In, InLength, Out, OutLength);
        break;
    case IRP_MJ_READ:
        if (method == METHOD_NEITHER)
            Irp->UserBuffer = Out;
        else
            SetBuffers(Irp, Location, method, NULL, 0, Out, OutLength);
        Location->Parameters.Read.Length = OutLength;
        if (Offset)
            Location->Parameters.Read.ByteOffset = *Offset;
        break;
    case IRP_MJ_WRITE:
        if (method == METHOD_NEITHER)
            Irp->UserBuffer = In;
        else if (method == METHOD_BUFFERED)
            SetBuffers(Irp, Location, METHOD_BUFFERED, In, InLength, NULL, 0);
        else
            SetBuffers(Irp, Location, METHOD_IN_DIRECT, NULL, 0, In, InLength);
        Location->Parameters.Write.Length = InLength;
        if (Offset)
            Location->Parameters.Write.ByteOffset = *Offset;
        break;
    case IRP_MJ_QUERY_INFORMATION:
        SetBuffers(Irp, Location, METHOD_BUFFERED, NULL, 0, Out, OutLength);
        Location->Parameters.QueryFile.Length = OutLength;
        Location->Parameters.QueryFile.FileInformationClass = (FILE_INFORMATION_CLASS)Code;
        break;
    case IRP_MJ_SET_INFORMATION:
        SetBuffers(Irp, Location, METHOD_BUFFERED, In, InLength, NULL, 0);
        Location->Parameters.SetFile.Length = InLength;
        Location->Parameters.SetFile.FileInformationClass = (FILE_INFORMATION_CLASS)Code;
        break;
    default:
        break;
    }
}

/* The issuer goes on. A driver that returned without completing or pending the request leaves it behind, as on
   Windows: then nobody waits for it any more. */
NTSTATUS IopCallAndWait(PDEVICE_OBJECT Device, PIRP Irp)
{
    KEVENT done;
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    Irp->AllocationFlags |= OWN_IRP | ISSUER_WAITS;
    Irp->UserEvent = &done;
    NTSTATUS status = IofCallDriver(Device, Irp);
    if (status == STATUS_PENDING) {
        KeWaitForSingleObject(&done, Executive, Irp->RequestorMode, FALSE, NULL);
        status = Irp->IoStatus.Status;
    }
    BOOLEAN complete = KeReadStateEvent(&done) != 0;
    Irp->UserEvent = NULL;
    if (complete)
        IopFinishRequest(Irp);
    else
        Irp->UserIosb = NULL;
    return status;
}

NTSTATUS IopRequest(
    PFILE_OBJECT File, ULONG Major, ULONG Code, PVOID In, ULONG InLength, PVOID Out, ULONG OutLength,
    const LARGE_INTEGER *Offset, KPROCESSOR_MODE Mode, IO_STATUS_BLOCK *Status)
{
    PDEVICE_OBJECT device = IoGetRelatedDeviceObject(File);
    PIRP irp = IoAllocateIrp(device->StackSize, FALSE);
    if (!irp)
        return STATUS_INSUFFICIENT_RESOURCES;
    PIO_STACK_LOCATION location = IoGetNextIrpStackLocation(irp);
    irp->RequestorMode = Mode;
    irp->UserIosb = Status;
    irp->Tail.Overlay.Thread = (PETHREAD)KiCurrentThread();
    irp->Tail.Overlay.OriginalFileObject = File;
    location->MajorFunction = (UCHAR)Major;
    location->FileObject = File;
    SetParameters(irp, location, device, Code, In, InLength, Out, OutLength, Offset);
    return IopCallAndWait(device, irp);
}
