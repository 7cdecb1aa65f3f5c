/* Objects with reference counts, names and handles. */
#include "runtime.h"

/* What lies before an object. Threads and processes have none: they are never freed. */
typedef struct _OBP_HEADER {
    LIST_ENTRY Links; /* in ObpNames, if it has a name */
    UNICODE_STRING Name;
    OBJECT_TYPE *Type;
    volatile LONG References, Handles;
    ULONG64 Reserved;
    ULONG64 Magic; /* the last of it: before a thread or process, the pool's header is here */
} OBP_HEADER;

_Static_assert(sizeof(OBP_HEADER) % 16 == 0, "objects are aligned as pool memory is");
#define MAGIC 0x6A624F6874757274ull
#define MAXIMUM_SYSTEM_HANDLES 1024
#define KERNEL_HANDLE 0xFFFFFFFF80000000ull
#define TAG 'bObO'

#define TYPE(variable, name) OBJECT_TYPE variable = { RTL_CONSTANT_STRING(name), NULL, NULL }
TYPE(ObpEventType, L"Event");
TYPE(ObpDirectoryType, L"Directory");
TYPE(ObpThreadType, L"Thread");
TYPE(ObpProcessType, L"Process");
TYPE(ObpCallbackType, L"Callback");
TYPE(ObpSectionType, L"Section");

/* What drivers import: the address of a pointer to the type. */
OBJECT_TYPE *IoFileObjectType_ = &ObpFileType, *IoDeviceObjectType_ = &ObpDeviceType, *IoDriverObjectType_ = &ObpDriverType;
OBJECT_TYPE *ExEventObjectType_ = &ObpEventType, *PsThreadType_ = &ObpThreadType, *PsProcessType_ = &ObpProcessType;
OBJECT_TYPE *CmKeyObjectType_ = &ObpKeyType, *MmSectionObjectType_ = &ObpSectionType;

static LIST_ENTRY ObpNames = { &ObpNames, &ObpNames };
static struct {
    PVOID Object;
    EPROCESS *Process; /* whose handle it is; NULL: the kernel's */
} ObpHandles[MAXIMUM_SYSTEM_HANDLES];

static OBP_HEADER *HeaderOf(PVOID Object)
{
    OBP_HEADER *header = (OBP_HEADER *)Object - 1;
    return Object && header->Magic == MAGIC ? header : NULL;
}

OBJECT_TYPE *ObpTypeOf(PVOID Object)
{
    OBP_HEADER *header = HeaderOf(Object);
    if (header)
        return header->Type;
    switch (((DISPATCHER_HEADER *)Object)->Type) {
    case ThreadObject: return &ObpThreadType;
    case ProcessObject: return &ObpProcessType;
    default: return NULL;
    }
}

PVOID ObpCreate(OBJECT_TYPE *Type, SIZE_T Size)
{
    OBP_HEADER *header = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof *header + Size, TAG);
    if (!header)
        return NULL;
    KiListInitialize(&header->Links);
    header->Type = Type;
    header->References = 1;
    header->Magic = MAGIC;
    return header + 1;
}

LONG_PTR FASTCALL ObfReferenceObject(PVOID Object)
{
    OBP_HEADER *header = HeaderOf(Object);
    if (!header)
        return 2;
    if (header->References <= 0)
        VfViolation(0x3F, (ULONG_PTR)Object, 1, 0);
    return InterlockedIncrement(&header->References);
}

/* 0x18: more references are given back than were taken. */
LONG_PTR FASTCALL ObfDereferenceObject(PVOID Object)
{
    OBP_HEADER *header = HeaderOf(Object);
    if (!header)
        return 1;
    LONG left = InterlockedDecrement(&header->References);
    if (left < 0)
        KeBugCheckEx(REFERENCE_BY_POINTER, (ULONG_PTR)header->Type, (ULONG_PTR)Object, 2, (ULONG_PTR)(LONG_PTR)left);
    if (left)
        return left;
    ObpRemoveName(Object);
    if (header->Type->Delete)
        header->Type->Delete(Object);
    header->Magic = 0;
    ExFreePoolWithTag(header, TAG);
    return 0;
}

LONG_PTR ObReferenceObject(PVOID Object) { return ObfReferenceObject(Object); }

LONG_PTR ObDereferenceObject(PVOID Object) { return ObfDereferenceObject(Object); }

VOID ObDereferenceObjectDeferDelete(PVOID Object) { ObfDereferenceObject(Object); }

NTSTATUS ObReferenceObjectByPointer(PVOID Object, ACCESS_MASK Access, POBJECT_TYPE Type, KPROCESSOR_MODE Mode)
{
    (void)Access, (void)Mode;
    if (Type && ObpTypeOf(Object) != Type)
        return STATUS_OBJECT_TYPE_MISMATCH;
    ObfReferenceObject(Object);
    return STATUS_SUCCESS;
}

/* --- names ---------------------------------------------------------------------------------------------------------*/

/* \DosDevices\ and \GLOBAL??\ are other names of \??\. `To` has room for the longest. */
static void Normalize(PCUNICODE_STRING From, UNICODE_STRING *To, WCHAR *Room, SIZE_T RoomBytes)
{
    static const UNICODE_STRING aliases[] = { RTL_CONSTANT_STRING(L"\\DosDevices\\"), RTL_CONSTANT_STRING(L"\\GLOBAL??\\") };
    UNICODE_STRING rest = *From;
    To->Buffer = Room;
    To->Length = 0;
    To->MaximumLength = (USHORT)RoomBytes;
    for (ULONG i = 0; i < 2; i++)
        if (RtlPrefixUnicodeString(&aliases[i], From, TRUE)) {
            RtlAppendUnicodeToString(To, L"\\??\\");
            rest.Buffer = From->Buffer + aliases[i].Length / sizeof(WCHAR);
            rest.Length = From->Length - aliases[i].Length;
        }
    rest.Length = min(rest.Length, To->MaximumLength - To->Length);
    RtlAppendUnicodeStringToString(To, &rest);
}

#define NAME_ROOM 520 /* characters */

static OBP_HEADER *FindName(PCUNICODE_STRING Name, UNICODE_STRING *Rest)
{
    OBP_HEADER *best = NULL;
    for (LIST_ENTRY *entry = ObpNames.Flink; entry != &ObpNames; entry = entry->Flink) {
        OBP_HEADER *header = CONTAINING_RECORD(entry, OBP_HEADER, Links);
        if ((best && header->Name.Length <= best->Name.Length) || !RtlPrefixUnicodeString(&header->Name, Name, TRUE))
            continue;
        if (Name->Length > header->Name.Length && Name->Buffer[header->Name.Length / sizeof(WCHAR)] != '\\')
            continue;
        best = header;
    }
    if (best) {
        Rest->Buffer = Name->Buffer + best->Name.Length / sizeof(WCHAR);
        Rest->Length = Rest->MaximumLength = Name->Length - best->Name.Length;
    }
    return best;
}

NTSTATUS ObpInsertName(PVOID Object, PCUNICODE_STRING Name)
{
    OBP_HEADER *header = HeaderOf(Object);
    UNICODE_STRING rest, full = { 0, (USHORT)(Name->Length + sizeof(WCHAR)), NULL };
    if (!Name->Length || Name->Buffer[0] != '\\')
        return STATUS_OBJECT_PATH_SYNTAX_BAD;
    full.Buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, full.MaximumLength, 'mNbO');
    if (!full.Buffer)
        return STATUS_INSUFFICIENT_RESOURCES;
    Normalize(Name, &full, full.Buffer, full.MaximumLength);
    OBP_HEADER *there = FindName(&full, &rest);
    if (there && !rest.Length) {
        ExFreePoolWithTag(full.Buffer, 'mNbO');
        return STATUS_OBJECT_NAME_COLLISION;
    }
    header->Name = full;
    KiListInsertTail(&ObpNames, &header->Links);
    return STATUS_SUCCESS;
}

VOID ObpRemoveName(PVOID Object)
{
    OBP_HEADER *header = HeaderOf(Object);
    KiListRemove(&header->Links);
    KiListInitialize(&header->Links);
    if (header->Name.Buffer)
        ExFreePoolWithTag(header->Name.Buffer, 'mNbO');
    RtlZeroMemory(&header->Name, sizeof header->Name);
}

PCUNICODE_STRING ObpNameOf(PVOID Object)
{
    static const UNICODE_STRING none;
    OBP_HEADER *header = HeaderOf(Object);
    return header ? &header->Name : &none;
}

/* `Rest` is pool memory if it is not empty: the caller frees it (tag mNbO). */
PVOID ObpLookup(PCUNICODE_STRING Name, UNICODE_STRING *Rest)
{
    WCHAR *rooms = ExAllocatePool2(POOL_FLAG_NON_PAGED, 2 * NAME_ROOM * sizeof(WCHAR), 'mNbO');
    UNICODE_STRING full, tail = { 0, 0, NULL };
    PVOID found = NULL;
    RtlZeroMemory(Rest, sizeof *Rest);
    if (!rooms)
        return NULL;
    Normalize(Name, &full, rooms, NAME_ROOM * sizeof(WCHAR));
    for (ULONG links = 0; links < 8; links++) {
        OBP_HEADER *header = FindName(&full, &tail);
        found = header ? header + 1 : NULL;
        if (!header || header->Type != &ObpSymbolicLinkType)
            break;
        WCHAR *other = full.Buffer == rooms ? rooms + NAME_ROOM : rooms;
        UNICODE_STRING target = { 0, NAME_ROOM * sizeof(WCHAR), other };
        RtlAppendUnicodeStringToString(&target, (PCUNICODE_STRING)found);
        RtlAppendUnicodeStringToString(&target, &tail);
        full = target;
        found = NULL;
    }
    if (found && tail.Length && !NT_SUCCESS(RtlDuplicateUnicodeString(0, &tail, Rest)))
        found = NULL;
    ExFreePoolWithTag(rooms, 'mNbO');
    return found;
}

/* The object with that very name; NULL: none. */
PVOID ObpFind(PCUNICODE_STRING Name)
{
    UNICODE_STRING rest;
    PVOID found = ObpLookup(Name, &rest);
    if (!rest.Length)
        return found;
    RtlFreeUnicodeString(&rest);
    return NULL;
}

/* The symbolic link with that very name, which is not followed; NULL: none. */
PVOID ObpFindLink(PCUNICODE_STRING Name)
{
    WCHAR room[128];
    UNICODE_STRING full, rest;
    Normalize(Name, &full, room, sizeof room);
    OBP_HEADER *header = FindName(&full, &rest);
    return header && !rest.Length && header->Type == &ObpSymbolicLinkType ? header + 1 : NULL;
}

/* The symbolic link with that number in \??\, for the program that calls drivers; NULL: no more. */
UNICODE_STRING *ObpLinkByNumber(ULONG Number, PCUNICODE_STRING *Name)
{
    static const UNICODE_STRING folder = RTL_CONSTANT_STRING(L"\\??\\");
    for (LIST_ENTRY *entry = ObpNames.Flink; entry != &ObpNames; entry = entry->Flink) {
        OBP_HEADER *header = CONTAINING_RECORD(entry, OBP_HEADER, Links);
        if (header->Type != &ObpSymbolicLinkType || !RtlPrefixUnicodeString(&folder, &header->Name, TRUE) || Number--)
            continue;
        *Name = &header->Name;
        return (UNICODE_STRING *)(header + 1);
    }
    return NULL;
}

NTSTATUS ObReferenceObjectByName(
    PUNICODE_STRING Name, ULONG Attributes, PACCESS_STATE State, ACCESS_MASK Access, POBJECT_TYPE Type,
    KPROCESSOR_MODE Mode, PVOID Context, PVOID *Object)
{
    (void)Attributes, (void)State, (void)Context;
    *Object = NULL;
    PVOID found = ObpFind(Name);
    if (!found)
        return STATUS_OBJECT_NAME_NOT_FOUND;
    NTSTATUS status = ObReferenceObjectByPointer(found, Access, Type, Mode);
    if (NT_SUCCESS(status))
        *Object = found;
    return status;
}

NTSTATUS ObQueryNameString(PVOID Object, POBJECT_NAME_INFORMATION Information, ULONG Length, PULONG Needed)
{
    PCUNICODE_STRING name = ObpNameOf(Object);
    ULONG needed = sizeof *Information + (name->Length ? name->Length + (ULONG)sizeof(WCHAR) : 0);
    if (Needed)
        *Needed = needed;
    if (Length < needed)
        return STATUS_INFO_LENGTH_MISMATCH;
    Information->Name.Buffer = name->Length ? (PWSTR)(Information + 1) : NULL;
    Information->Name.Length = 0;
    Information->Name.MaximumLength = (USHORT)(needed - sizeof *Information);
    if (name->Length)
        RtlCopyUnicodeString(&Information->Name, name);
    return STATUS_SUCCESS;
}

NTSTATUS ObpCaptureName(const OBJECT_ATTRIBUTES *Attributes, UNICODE_STRING *Full)
{
    static const UNICODE_STRING none, separator = RTL_CONSTANT_STRING(L"\\");
    PVOID root = Attributes->RootDirectory ? ObpFromHandle(Attributes->RootDirectory, KernelMode) : NULL;
    PCUNICODE_STRING before = !root ? &none : ObpTypeOf(root) == &ObpKeyType ? CmPathOf(root) : ObpNameOf(root), name = Attributes->ObjectName ? Attributes->ObjectName : &none;
    if (Attributes->RootDirectory && !root)
        return STATUS_INVALID_HANDLE;
    Full->Length = 0;
    Full->MaximumLength = (USHORT)(before->Length + name->Length + 2 * sizeof(WCHAR));
    Full->Buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, Full->MaximumLength, 'mNbO');
    if (!Full->Buffer)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlAppendUnicodeStringToString(Full, before);
    if (root && name->Length)
        RtlAppendUnicodeStringToString(Full, &separator);
    RtlAppendUnicodeStringToString(Full, name);
    return STATUS_SUCCESS;
}

/* --- handles -------------------------------------------------------------------------------------------------------*/

static LONG SlotOf(HANDLE Handle, KPROCESSOR_MODE Mode)
{
    ULONG64 value = (ULONG64)Handle;
    BOOLEAN kernel = (value & KERNEL_HANDLE) == KERNEL_HANDLE;
    ULONG64 slot = (value & ~KERNEL_HANDLE) / 4 - 1;
    if (slot >= MAXIMUM_SYSTEM_HANDLES || !ObpHandles[slot].Object || (kernel && Mode == UserMode))
        return -1;
    return ObpHandles[slot].Process == (kernel ? NULL : PspCurrentProcess()) ? (LONG)slot : -1;
}

NTSTATUS ObpCreateHandle(PVOID Object, KPROCESSOR_MODE Mode, HANDLE *Handle)
{
    for (ULONG slot = 0; slot < MAXIMUM_SYSTEM_HANDLES; slot++) {
        if (ObpHandles[slot].Object)
            continue;
        OBP_HEADER *header = HeaderOf(Object);
        ObfReferenceObject(Object);
        if (header)
            InterlockedIncrement(&header->Handles);
        ObpHandles[slot].Object = Object;
        ObpHandles[slot].Process = Mode == UserMode ? PspCurrentProcess() : NULL;
        (Mode == UserMode ? PspCurrentProcess() : PsInitialSystemProcess)->ObjectTable->HandleCount++;
        *Handle = (HANDLE)((slot + 1) * 4 | (Mode == UserMode ? 0 : KERNEL_HANDLE));
        return STATUS_SUCCESS;
    }
    return STATUS_INSUFFICIENT_RESOURCES;
}

PVOID ObpFromHandle(HANDLE Handle, KPROCESSOR_MODE Mode)
{
    if (Handle == ZwCurrentProcess())
        return PspCurrentProcess();
    if (Handle == ZwCurrentThread())
        return KiCurrentThread();
    LONG slot = SlotOf(Handle, Mode);
    return slot < 0 ? NULL : ObpHandles[slot].Object;
}

BOOLEAN ObpIsHandleOf(HANDLE Handle, OBJECT_TYPE *Type)
{
    PVOID object = ObpFromHandle(Handle, KernelMode);
    return object && ObpTypeOf(object) == Type;
}

NTSTATUS ObpCloseHandle(HANDLE Handle, KPROCESSOR_MODE Mode)
{
    LONG slot = SlotOf(Handle, Mode);
    if (slot < 0)
        return STATUS_INVALID_HANDLE;
    PVOID object = ObpHandles[slot].Object;
    OBP_HEADER *header = HeaderOf(object);
    EPROCESS *process = ObpHandles[slot].Process;
    ObpHandles[slot].Object = NULL;
    (process ? process : PsInitialSystemProcess)->ObjectTable->HandleCount--;
    if (header && InterlockedDecrement(&header->Handles) == 0 && header->Type->Close)
        header->Type->Close(object);
    ObfDereferenceObject(object);
    return STATUS_SUCCESS;
}

/* 0x93: a kernel handle is closed that is none. */
NTSTATUS ZwClose(HANDLE Handle)
{
    if (KeGetCurrentIrql() > APC_LEVEL)
        VfViolation(0x3B, KeGetCurrentIrql(), (ULONG_PTR)Handle, 0);
    NTSTATUS status = ObpCloseHandle(Handle, KernelMode);
    if (!NT_SUCCESS(status) && ((ULONG64)Handle & KERNEL_HANDLE) == KERNEL_HANDLE && Handle != ZwCurrentProcess() &&
        Handle != ZwCurrentThread())
        KeBugCheckEx(INVALID_KERNEL_HANDLE, (ULONG_PTR)Handle, 1, 0, 0);
    return status;
}

NTSTATUS NtClose(HANDLE Handle) { return ZwClose(Handle); }

NTSTATUS ObCloseHandle(HANDLE Handle, KPROCESSOR_MODE Mode) { return ObpCloseHandle(Handle, Mode); }

NTSTATUS ObReferenceObjectByHandle(
    HANDLE Handle, ACCESS_MASK Access, POBJECT_TYPE Type, KPROCESSOR_MODE Mode, PVOID *Object,
    POBJECT_HANDLE_INFORMATION Information)
{
    PVOID found = ObpFromHandle(Handle, Mode);
    *Object = NULL;
    if (!found)
        return STATUS_INVALID_HANDLE;
    NTSTATUS status = ObReferenceObjectByPointer(found, Access, Type, Mode);
    if (!NT_SUCCESS(status))
        return status;
    *Object = found;
    if (Information) {
        Information->HandleAttributes = 0;
        Information->GrantedAccess = Access;
    }
    return STATUS_SUCCESS;
}

NTSTATUS ObOpenObjectByPointer(
    PVOID Object, ULONG Attributes, PACCESS_STATE State, ACCESS_MASK Access, POBJECT_TYPE Type, KPROCESSOR_MODE Mode,
    PHANDLE Handle)
{
    (void)State, (void)Access;
    if (Type && ObpTypeOf(Object) != Type)
        return STATUS_OBJECT_TYPE_MISMATCH;
    return ObpCreateHandle(Object, Attributes & OBJ_KERNEL_HANDLE ? KernelMode : Mode, Handle);
}

/* --- events and directories by name --------------------------------------------------------------------------------*/

static NTSTATUS CreateNamed(
    OBJECT_TYPE *Type, SIZE_T Size, const OBJECT_ATTRIBUTES *Attributes, PVOID *Object, BOOLEAN *Existed)
{
    *Existed = FALSE;
    if (Attributes && Attributes->ObjectName) {
        PVOID found = ObpFind(Attributes->ObjectName);
        if (found) {
            *Existed = TRUE;
            *Object = found;
            ObfReferenceObject(found);
            return ObpTypeOf(found) == Type ? STATUS_OBJECT_NAME_EXISTS : STATUS_OBJECT_TYPE_MISMATCH;
        }
    }
    *Object = ObpCreate(Type, Size);
    if (!*Object)
        return STATUS_INSUFFICIENT_RESOURCES;
    return Attributes && Attributes->ObjectName ? ObpInsertName(*Object, Attributes->ObjectName) : STATUS_SUCCESS;
}

NTSTATUS ZwCreateEvent(
    PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, EVENT_TYPE Type, BOOLEAN State)
{
    PVOID event;
    BOOLEAN existed;
    (void)Access;
    NTSTATUS status = CreateNamed(&ObpEventType, sizeof(KEVENT), Attributes, &event, &existed);
    if (!NT_SUCCESS(status))
        return status;
    if (!existed)
        KeInitializeEvent(event, Type, State);
    NTSTATUS made = ObpCreateHandle(event, KernelMode, Handle);
    ObfDereferenceObject(event);
    return NT_SUCCESS(made) ? status : made;
}

static PKEVENT NamedEvent(PUNICODE_STRING Name, EVENT_TYPE Type, BOOLEAN State, PHANDLE Handle)
{
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, Name, OBJ_CASE_INSENSITIVE | OBJ_OPENIF, NULL, NULL);
    return NT_SUCCESS(ZwCreateEvent(Handle, EVENT_ALL_ACCESS, &attributes, Type, State))
               ? ObpFromHandle(*Handle, KernelMode)
               : NULL;
}

PKEVENT IoCreateNotificationEvent(PUNICODE_STRING Name, PHANDLE Handle)
{
    return NamedEvent(Name, NotificationEvent, TRUE, Handle);
}

PKEVENT IoCreateSynchronizationEvent(PUNICODE_STRING Name, PHANDLE Handle)
{
    return NamedEvent(Name, SynchronizationEvent, TRUE, Handle);
}

NTSTATUS ZwSetEvent(HANDLE Handle, PLONG Before)
{
    if (!ObpIsHandleOf(Handle, &ObpEventType))
        return STATUS_INVALID_HANDLE;
    LONG before = KeSetEvent(ObpFromHandle(Handle, KernelMode), 0, FALSE);
    if (Before)
        *Before = before;
    return STATUS_SUCCESS;
}

NTSTATUS ZwCreateDirectoryObject(PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes)
{
    PVOID directory;
    BOOLEAN existed;
    (void)Access;
    NTSTATUS status = CreateNamed(&ObpDirectoryType, sizeof(ULONG64), Attributes, &directory, &existed);
    if (!NT_SUCCESS(status))
        return status;
    NTSTATUS made = ObpCreateHandle(directory, KernelMode, Handle);
    ObfDereferenceObject(directory);
    return NT_SUCCESS(made) ? status : made;
}

NTSTATUS ZwWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    PVOID object = ObpFromHandle(Handle, KernelMode);
    return object ? KeWaitForSingleObject(object, UserRequest, KernelMode, Alertable, Timeout) : STATUS_INVALID_HANDLE;
}
