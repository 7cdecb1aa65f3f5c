/* The volume C: of the machine. Its files live in pool memory; no file of the host is behind it. */
#include "runtime.h"

typedef struct _FS_NODE {
    LIST_ENTRY Links;
    UNICODE_STRING Path; /* from the volume's root: \Windows\win.ini */
    BOOLEAN Folder, Doomed;
    ULONG Size, Room;
    PUCHAR Data;
    LARGE_INTEGER Created, Written;
} FS_NODE;

#define LARGEST_FILE 0x100000
#define TAG 'eliF'

PDEVICE_OBJECT FsVolumeDevice;
static DRIVER_OBJECT *FsDriver;
static LIST_ENTRY FsNodes = { &FsNodes, &FsNodes };

static FS_NODE *Find(PCUNICODE_STRING Path)
{
    UNICODE_STRING path = *Path;
    while (path.Length > sizeof(WCHAR) && path.Buffer[path.Length / sizeof(WCHAR) - 1] == '\\')
        path.Length -= sizeof(WCHAR);
    for (LIST_ENTRY *entry = FsNodes.Flink; entry != &FsNodes; entry = entry->Flink) {
        FS_NODE *node = CONTAINING_RECORD(entry, FS_NODE, Links);
        if (RtlEqualUnicodeString(&node->Path, &path, TRUE))
            return node;
    }
    return NULL;
}

static FS_NODE *Make(PCUNICODE_STRING Path, BOOLEAN Folder)
{
    FS_NODE *node = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof *node + Path->Length, TAG);
    if (!node)
        return NULL;
    node->Path.Buffer = (PWSTR)(node + 1);
    node->Path.MaximumLength = Path->Length;
    RtlCopyUnicodeString(&node->Path, Path);
    node->Folder = Folder;
    KeQuerySystemTimePrecise(&node->Created);
    node->Written = node->Created;
    KiListInsertTail(&FsNodes, &node->Links);
    return node;
}

static NTSTATUS Resize(FS_NODE *Node, ULONG Size)
{
    if (Size > LARGEST_FILE)
        return STATUS_DISK_FULL;
    if (Size > Node->Room) {
        ULONG room = (Size * 2 + 255) & ~255u;
        PUCHAR data = ExAllocatePool2(POOL_FLAG_NON_PAGED, room, TAG);
        if (!data)
            return STATUS_DISK_FULL;
        if (Node->Data) {
            RtlCopyMemory(data, Node->Data, Node->Size);
            ExFreePoolWithTag(Node->Data, TAG);
        }
        Node->Data = data;
        Node->Room = room;
    }
    if (Size > Node->Size)
        RtlZeroMemory(Node->Data + Node->Size, Size - Node->Size);
    Node->Size = Size;
    return STATUS_SUCCESS;
}

static BOOLEAN HasParent(PCUNICODE_STRING Path)
{
    UNICODE_STRING parent = *Path;
    while (parent.Length && parent.Buffer[parent.Length / sizeof(WCHAR) - 1] != '\\')
        parent.Length -= sizeof(WCHAR);
    if (parent.Length <= sizeof(WCHAR))
        return TRUE;
    parent.Length -= sizeof(WCHAR);
    FS_NODE *node = Find(&parent);
    return node && node->Folder;
}

/* --- requests ------------------------------------------------------------------------------------------------------*/

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IofCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS Create(PDEVICE_OBJECT Device, PIRP Irp)
{
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(Irp);
    PFILE_OBJECT file = location->FileObject;
    ULONG options = location->Parameters.Create.Options, disposition = options >> 24;
    (void)Device;
    if (!file->FileName.Length)
        return Complete(Irp, STATUS_SUCCESS, FILE_OPENED); /* the volume itself */
    FS_NODE *node = Find(&file->FileName);
    BOOLEAN create = disposition == FILE_CREATE || disposition == FILE_OPEN_IF || disposition == FILE_OVERWRITE_IF ||
                     disposition == FILE_SUPERSEDE;
    if (!node && !HasParent(&file->FileName))
        return Complete(Irp, STATUS_OBJECT_PATH_NOT_FOUND, 0);
    if (!node && !create)
        return Complete(Irp, STATUS_OBJECT_NAME_NOT_FOUND, FILE_DOES_NOT_EXIST);
    if (node && disposition == FILE_CREATE)
        return Complete(Irp, STATUS_OBJECT_NAME_COLLISION, FILE_EXISTS);
    if (node && node->Folder && options & FILE_NON_DIRECTORY_FILE)
        return Complete(Irp, STATUS_FILE_IS_A_DIRECTORY, 0);
    if (node && !node->Folder && options & FILE_DIRECTORY_FILE)
        return Complete(Irp, STATUS_NOT_A_DIRECTORY, 0);
    ULONG_PTR information = FILE_OPENED;
    if (!node) {
        node = Make(&file->FileName, (options & FILE_DIRECTORY_FILE) != 0);
        information = FILE_CREATED;
        if (!node)
            return Complete(Irp, STATUS_DISK_FULL, 0);
    } else if (disposition == FILE_OVERWRITE || disposition == FILE_OVERWRITE_IF || disposition == FILE_SUPERSEDE) {
        node->Size = 0;
        information = disposition == FILE_SUPERSEDE ? FILE_SUPERSEDED : FILE_OVERWRITTEN;
    }
    node->Doomed |= (options & FILE_DELETE_ON_CLOSE) != 0;
    file->FsContext = node;
    return Complete(Irp, STATUS_SUCCESS, information);
}

static NTSTATUS Cleanup(PDEVICE_OBJECT Device, PIRP Irp)
{
    FS_NODE *node = IoGetCurrentIrpStackLocation(Irp)->FileObject->FsContext;
    (void)Device;
    if (node && node->Doomed) {
        KiListRemove(&node->Links);
        KiListInitialize(&node->Links);
    }
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS ReadWrite(PDEVICE_OBJECT Device, PIRP Irp)
{
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(Irp);
    FS_NODE *node = location->FileObject->FsContext;
    BOOLEAN write = location->MajorFunction == IRP_MJ_WRITE;
    LONGLONG at = location->Parameters.Read.ByteOffset.QuadPart;
    ULONG length = location->Parameters.Read.Length;
    (void)Device;
    if (!node || node->Folder)
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (!(write ? location->FileObject->WriteAccess : location->FileObject->ReadAccess))
        return Complete(Irp, STATUS_ACCESS_DENIED, 0);
    if (write && at == -1) /* FILE_WRITE_TO_END_OF_FILE */
        at = node->Size;
    if (at < 0 || (write && at > LARGEST_FILE))
        return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
    if (!write && at >= node->Size)
        return Complete(Irp, STATUS_END_OF_FILE, 0);
    if (!write)
        length = min(length, node->Size - (ULONG)at);
    if (write && (ULONG)at + length > node->Size) {
        NTSTATUS status = Resize(node, (ULONG)at + length);
        if (!NT_SUCCESS(status))
            return Complete(Irp, status, 0);
    }
    PVOID buffer = Irp->AssociatedIrp.SystemBuffer;
    if (length && write)
        RtlCopyMemory(node->Data + at, buffer, length);
    else if (length)
        RtlCopyMemory(buffer, node->Data + at, length);
    if (write)
        KeQuerySystemTimePrecise(&node->Written);
    return Complete(Irp, STATUS_SUCCESS, length);
}

static NTSTATUS QueryInformation(PDEVICE_OBJECT Device, PIRP Irp)
{
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(Irp);
    FS_NODE *node = location->FileObject->FsContext;
    PVOID buffer = Irp->AssociatedIrp.SystemBuffer;
    ULONG length = location->Parameters.QueryFile.Length;
    (void)Device;
    if (!node)
        return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
    switch (location->Parameters.QueryFile.FileInformationClass) {
    case FileStandardInformation: {
        FILE_STANDARD_INFORMATION *standard = buffer;
        if (length < sizeof *standard)
            return Complete(Irp, STATUS_INFO_LENGTH_MISMATCH, 0);
        standard->AllocationSize.QuadPart = node->Room;
        standard->EndOfFile.QuadPart = node->Size;
        standard->NumberOfLinks = 1;
        standard->DeletePending = node->Doomed;
        standard->Directory = node->Folder;
        return Complete(Irp, STATUS_SUCCESS, sizeof *standard);
    }
    case FileBasicInformation: {
        FILE_BASIC_INFORMATION *basic = buffer;
        if (length < sizeof *basic)
            return Complete(Irp, STATUS_INFO_LENGTH_MISMATCH, 0);
        basic->CreationTime = node->Created;
        basic->LastAccessTime = basic->LastWriteTime = basic->ChangeTime = node->Written;
        basic->FileAttributes = node->Folder ? FILE_ATTRIBUTE_DIRECTORY : FILE_ATTRIBUTE_NORMAL;
        return Complete(Irp, STATUS_SUCCESS, sizeof *basic);
    }
    default:
        return Complete(Irp, STATUS_INVALID_INFO_CLASS, 0);
    }
}

static NTSTATUS SetInformation(PDEVICE_OBJECT Device, PIRP Irp)
{
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(Irp);
    FS_NODE *node = location->FileObject->FsContext;
    PVOID buffer = Irp->AssociatedIrp.SystemBuffer;
    (void)Device;
    if (!node || !buffer)
        return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
    switch (location->Parameters.SetFile.FileInformationClass) {
    case FileEndOfFileInformation: {
        LONGLONG size = ((FILE_END_OF_FILE_INFORMATION *)buffer)->EndOfFile.QuadPart;
        return Complete(Irp, size < 0 || size > LARGEST_FILE ? STATUS_DISK_FULL : Resize(node, (ULONG)size), 0);
    }
    case FileDispositionInformation:
        node->Doomed = *(BOOLEAN *)buffer; /* FILE_DISPOSITION_INFORMATION.DeleteFile */
        return Complete(Irp, STATUS_SUCCESS, 0);
    case FileBasicInformation:
        return Complete(Irp, STATUS_SUCCESS, 0);
    default:
        return Complete(Irp, STATUS_INVALID_INFO_CLASS, 0);
    }
}

static NTSTATUS Succeed(PDEVICE_OBJECT Device, PIRP Irp) { return (void)Device, Complete(Irp, STATUS_SUCCESS, 0); }

NTSTATUS ZwDeleteFile(POBJECT_ATTRIBUTES Attributes)
{
    HANDLE handle;
    IO_STATUS_BLOCK status;
    NTSTATUS result = ZwCreateFile(
        &handle, DELETE, Attributes, &status, NULL, 0, 0, FILE_OPEN, FILE_DELETE_ON_CLOSE, NULL, 0);
    return NT_SUCCESS(result) ? ZwClose(handle) : result;
}

/* --- initialization ------------------------------------------------------------------------------------------------*/

static void Put(PCWSTR Path, PCSTR Text)
{
    UNICODE_STRING path;
    RtlInitUnicodeString(&path, Path);
    FS_NODE *node = Make(&path, !Text);
    if (!node || !Text)
        return;
    Resize(node, (ULONG)strlen(Text));
    RtlCopyMemory(node->Data, Text, strlen(Text));
}

VOID FsInitialize(void)
{
    static UNICODE_STRING device = RTL_CONSTANT_STRING(L"\\Device\\HarddiskVolume3"), letter = RTL_CONSTANT_STRING(L"\\??\\C:"),
                          root = RTL_CONSTANT_STRING(L"\\SystemRoot"),
                          windows = RTL_CONSTANT_STRING(L"\\Device\\HarddiskVolume3\\Windows");
    FsDriver = ObpCreate(&ObpDriverType, sizeof *FsDriver);
    for (ULONG i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        FsDriver->MajorFunction[i] = IopInvalidRequest;
    FsDriver->MajorFunction[IRP_MJ_CREATE] = Create;
    FsDriver->MajorFunction[IRP_MJ_CLEANUP] = Cleanup;
    FsDriver->MajorFunction[IRP_MJ_CLOSE] = FsDriver->MajorFunction[IRP_MJ_FLUSH_BUFFERS] = Succeed;
    FsDriver->MajorFunction[IRP_MJ_READ] = FsDriver->MajorFunction[IRP_MJ_WRITE] = ReadWrite;
    FsDriver->MajorFunction[IRP_MJ_QUERY_INFORMATION] = QueryInformation;
    FsDriver->MajorFunction[IRP_MJ_SET_INFORMATION] = SetInformation;
    IoCreateDevice(FsDriver, 0, &device, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &FsVolumeDevice);
    FsVolumeDevice->Flags = (FsVolumeDevice->Flags | DO_BUFFERED_IO) & ~(ULONG)DO_DEVICE_INITIALIZING;
    IoCreateSymbolicLink(&letter, &device);
    IoCreateSymbolicLink(&root, &windows);
    static const PCWSTR folders[] = {
        L"\\", L"\\Windows", L"\\Windows\\System32", L"\\Windows\\System32\\drivers", L"\\Windows\\System32\\config",
        L"\\Windows\\Temp", L"\\Users", L"\\Users\\Public", L"\\Temp", L"\\ProgramData", L"\\Program Files",
    };
    for (ULONG i = 0; i < sizeof folders / sizeof *folders; i++)
        Put(folders[i], NULL);
    Put(L"\\Windows\\win.ini", "; for 16-bit app support\r\n[fonts]\r\n[extensions]\r\n[mci extensions]\r\n[files]\r\n");
    Put(L"\\Windows\\System32\\drivers\\etc", NULL);
    Put(L"\\Windows\\System32\\drivers\\etc\\hosts", "# localhost name resolution is handled within DNS itself.\r\n");
}
