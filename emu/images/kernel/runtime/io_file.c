/* Files: opening a path down to a device, and the Zw routines that work on handles of files. */
#include "runtime.h"

static VOID DeleteFile(PVOID Object);
static VOID CloseFile(PVOID Object);

OBJECT_TYPE ObpFileType = { RTL_CONSTANT_STRING(L"File"), DeleteFile, CloseFile };

static VOID CloseFile(PVOID Object)
{
    IO_STATUS_BLOCK status;
    IopRequest(Object, IRP_MJ_CLEANUP, 0, NULL, 0, NULL, 0, NULL, KernelMode, &status);
}

static VOID DeleteFile(PVOID Object)
{
    PFILE_OBJECT file = Object;
    IO_STATUS_BLOCK status;
    if (file->Flags & FO_HANDLE_CREATED) {
        IopRequest(file, IRP_MJ_CLOSE, 0, NULL, 0, NULL, 0, NULL, KernelMode, &status);
        InterlockedDecrement(&file->DeviceObject->ReferenceCount);
        ObfDereferenceObject(file->DeviceObject);
    }
    if (file->FileName.Buffer)
        RtlFreeUnicodeString(&file->FileName);
}

static NTSTATUS SendCreate(
    PFILE_OBJECT File, ACCESS_MASK Access, ULONG Share, ULONG Disposition, ULONG Options, KPROCESSOR_MODE Mode,
    ULONG_PTR *Information)
{
    static IO_SECURITY_CONTEXT security;
    PDEVICE_OBJECT device = IoGetAttachedDevice(File->DeviceObject);
    PIRP irp = IoAllocateIrp(device->StackSize, FALSE);
    IO_STATUS_BLOCK result = { 0 };
    if (!irp)
        return STATUS_INSUFFICIENT_RESOURCES;
    PIO_STACK_LOCATION location = IoGetNextIrpStackLocation(irp);
    security.DesiredAccess = Access;
    irp->RequestorMode = Mode;
    irp->UserIosb = &result;
    irp->Flags = IRP_CREATE_OPERATION | IRP_SYNCHRONOUS_API;
    irp->Tail.Overlay.Thread = (PETHREAD)KiCurrentThread();
    irp->Tail.Overlay.OriginalFileObject = File;
    location->MajorFunction = IRP_MJ_CREATE;
    location->FileObject = File;
    location->Parameters.Create.SecurityContext = &security;
    location->Parameters.Create.Options = Disposition << 24 | (Options & 0xFFFFFF);
    location->Parameters.Create.ShareAccess = (USHORT)Share;
    NTSTATUS status = IopCallAndWait(device, irp);
    *Information = result.Information;
    return status;
}

NTSTATUS IopOpen(
    PCUNICODE_STRING Name, ACCESS_MASK Access, ULONG Share, ULONG Disposition, ULONG Options, KPROCESSOR_MODE Mode,
    PFILE_OBJECT *Result, ULONG_PTR *Information)
{
    UNICODE_STRING rest;
    *Result = NULL;
    if (!Name->Length || Name->Buffer[0] != '\\')
        return STATUS_OBJECT_PATH_SYNTAX_BAD;
    PDEVICE_OBJECT device = ObpLookup(Name, &rest);
    if (!device)
        return STATUS_OBJECT_NAME_NOT_FOUND;
    BOOLEAN taken = ObpTypeOf(device) == &ObpDeviceType && device->Flags & DO_EXCLUSIVE && device->ReferenceCount;
    PFILE_OBJECT file = ObpTypeOf(device) == &ObpDeviceType && !taken ? ObpCreate(&ObpFileType, sizeof *file) : NULL;
    if (!file) {
        RtlFreeUnicodeString(&rest);
        return taken ? STATUS_ACCESS_DENIED
                     : ObpTypeOf(device) == &ObpDeviceType ? STATUS_INSUFFICIENT_RESOURCES : STATUS_OBJECT_TYPE_MISMATCH;
    }
    file->Type = 5; /* IO_TYPE_FILE */
    file->Size = sizeof *file;
    file->DeviceObject = device;
    file->ReadAccess = (Access & (FILE_READ_DATA | GENERIC_READ | GENERIC_ALL)) != 0;
    file->WriteAccess = (Access & (FILE_WRITE_DATA | FILE_APPEND_DATA | GENERIC_WRITE | GENERIC_ALL)) != 0;
    file->Flags = Options & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT) ? FO_SYNCHRONOUS_IO : 0;
    KeInitializeEvent(&file->Event, NotificationEvent, FALSE);
    KeInitializeEvent(&file->Lock, SynchronizationEvent, TRUE);
    KiListInitialize(&file->IrpList);
    file->FileName = rest;
    NTSTATUS status = SendCreate(file, Access, Share, Disposition, Options, Mode, Information);
    if (!NT_SUCCESS(status)) {
        ObfDereferenceObject(file);
        return status;
    }
    file->Flags |= FO_HANDLE_CREATED;
    ObfReferenceObject(device);
    InterlockedIncrement(&device->ReferenceCount);
    *Result = file;
    return status;
}

/* --- handles -------------------------------------------------------------------------------------------------------*/

NTSTATUS ZwCreateFile(
    PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, PIO_STATUS_BLOCK Status, PLARGE_INTEGER Size,
    ULONG FileAttributes, ULONG Share, ULONG Disposition, ULONG Options, PVOID EaBuffer, ULONG EaLength)
{
    UNICODE_STRING name;
    PFILE_OBJECT file;
    (void)Size, (void)FileAttributes, (void)EaBuffer, (void)EaLength;
    if (KeGetCurrentIrql() > PASSIVE_LEVEL)
        VfViolation(0x3B, KeGetCurrentIrql(), (ULONG_PTR)Attributes, 0);
    *Handle = NULL;
    NTSTATUS status = ObpCaptureName(Attributes, &name);
    if (!NT_SUCCESS(status))
        return status;
    Status->Information = 0;
    status = IopOpen(&name, Access, Share, Disposition, Options, KernelMode, &file, &Status->Information);
    ExFreePoolWithTag(name.Buffer, 'mNbO');
    Status->Status = status;
    if (!NT_SUCCESS(status))
        return status;
    NTSTATUS made = ObpCreateHandle(file, KernelMode, Handle);
    ObfDereferenceObject(file);
    return NT_SUCCESS(made) ? status : made;
}

NTSTATUS IoCreateFile(
    PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, PIO_STATUS_BLOCK Status, PLARGE_INTEGER Size,
    ULONG FileAttributes, ULONG Share, ULONG Disposition, ULONG Options, PVOID EaBuffer, ULONG EaLength,
    CREATE_FILE_TYPE Type, PVOID Extra, ULONG Flags)
{
    (void)Type, (void)Extra, (void)Flags;
    return ZwCreateFile(
        Handle, Access, Attributes, Status, Size, FileAttributes, Share, Disposition, Options, EaBuffer, EaLength);
}

NTSTATUS ZwOpenFile(
    PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, PIO_STATUS_BLOCK Status, ULONG Share, ULONG Options)
{
    return ZwCreateFile(Handle, Access, Attributes, Status, NULL, 0, Share, FILE_OPEN, Options, NULL, 0);
}

static NTSTATUS RequestByHandle(
    HANDLE Handle, ULONG Major, ULONG Code, PVOID In, ULONG InLength, PVOID Out, ULONG OutLength,
    const LARGE_INTEGER *Offset, HANDLE Event, PIO_STATUS_BLOCK Status)
{
    if (!ObpIsHandleOf(Handle, &ObpFileType))
        return STATUS_INVALID_HANDLE;
    if (KeGetCurrentIrql() > PASSIVE_LEVEL)
        VfViolation(0x3B, KeGetCurrentIrql(), (ULONG_PTR)Handle, 0);
    PFILE_OBJECT file = ObpFromHandle(Handle, KernelMode);
    LARGE_INTEGER at = file->CurrentByteOffset;
    /* FILE_USE_FILE_POINTER_POSITION: as if no offset were given. */
    if (Offset && !(Offset->HighPart == -1 && Offset->LowPart == FILE_USE_FILE_POINTER_POSITION))
        at = *Offset;
    NTSTATUS status = IopRequest(file, Major, Code, In, InLength, Out, OutLength, &at, KernelMode, Status);
    if ((Major == IRP_MJ_READ || Major == IRP_MJ_WRITE) && NT_SUCCESS(status))
        file->CurrentByteOffset.QuadPart = at.QuadPart + (LONGLONG)Status->Information;
    if (Event)
        ZwSetEvent(Event, NULL);
    return status;
}

NTSTATUS ZwReadFile(
    HANDLE Handle, HANDLE Event, PIO_APC_ROUTINE Apc, PVOID ApcContext, PIO_STATUS_BLOCK Status, PVOID Buffer,
    ULONG Length, PLARGE_INTEGER Offset, PULONG Key)
{
    (void)Apc, (void)ApcContext, (void)Key;
    return RequestByHandle(Handle, IRP_MJ_READ, 0, NULL, 0, Buffer, Length, Offset, Event, Status);
}

NTSTATUS ZwWriteFile(
    HANDLE Handle, HANDLE Event, PIO_APC_ROUTINE Apc, PVOID ApcContext, PIO_STATUS_BLOCK Status, PVOID Buffer,
    ULONG Length, PLARGE_INTEGER Offset, PULONG Key)
{
    (void)Apc, (void)ApcContext, (void)Key;
    return RequestByHandle(Handle, IRP_MJ_WRITE, 0, Buffer, Length, NULL, 0, Offset, Event, Status);
}

NTSTATUS ZwDeviceIoControlFile(
    HANDLE Handle, HANDLE Event, PIO_APC_ROUTINE Apc, PVOID ApcContext, PIO_STATUS_BLOCK Status, ULONG Code, PVOID In,
    ULONG InLength, PVOID Out, ULONG OutLength)
{
    (void)Apc, (void)ApcContext;
    return RequestByHandle(Handle, IRP_MJ_DEVICE_CONTROL, Code, In, InLength, Out, OutLength, NULL, Event, Status);
}

NTSTATUS ZwQueryInformationFile(
    HANDLE Handle, PIO_STATUS_BLOCK Status, PVOID Buffer, ULONG Length, FILE_INFORMATION_CLASS Class)
{
    if (Class == FilePositionInformation && ObpIsHandleOf(Handle, &ObpFileType)) {
        PFILE_OBJECT file = ObpFromHandle(Handle, KernelMode);
        ((FILE_POSITION_INFORMATION *)Buffer)->CurrentByteOffset = file->CurrentByteOffset;
        Status->Information = sizeof(FILE_POSITION_INFORMATION);
        return Status->Status = STATUS_SUCCESS;
    }
    return RequestByHandle(Handle, IRP_MJ_QUERY_INFORMATION, Class, NULL, 0, Buffer, Length, NULL, NULL, Status);
}

NTSTATUS ZwSetInformationFile(
    HANDLE Handle, PIO_STATUS_BLOCK Status, PVOID Buffer, ULONG Length, FILE_INFORMATION_CLASS Class)
{
    if (Class == FilePositionInformation && ObpIsHandleOf(Handle, &ObpFileType)) {
        PFILE_OBJECT file = ObpFromHandle(Handle, KernelMode);
        file->CurrentByteOffset = ((FILE_POSITION_INFORMATION *)Buffer)->CurrentByteOffset;
        return Status->Status = STATUS_SUCCESS;
    }
    return RequestByHandle(Handle, IRP_MJ_SET_INFORMATION, Class, Buffer, Length, NULL, 0, NULL, NULL, Status);
}

NTSTATUS ZwFlushBuffersFile(HANDLE Handle, PIO_STATUS_BLOCK Status)
{
    return RequestByHandle(Handle, IRP_MJ_FLUSH_BUFFERS, 0, NULL, 0, NULL, 0, NULL, NULL, Status);
}
