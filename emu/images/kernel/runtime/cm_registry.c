/* A registry in memory: what ZwOpenKey and its kind reach. */
#include "runtime.h"

typedef struct _CM_VALUE {
    struct _CM_VALUE *Next;
    UNICODE_STRING Name;
    ULONG Type, Length;
    UCHAR *Data;
} CM_VALUE;

typedef struct _CM_KEY {
    struct _CM_KEY *Next;
    UNICODE_STRING Path; /* \REGISTRY\MACHINE\... */
    CM_VALUE *Values;
    LARGE_INTEGER Written;
    BOOLEAN Deleted;
} CM_KEY;

#define TAG '  MC'
#define NAME_ROOM 520

static CM_KEY *Keys;
static VOID CloseKey(PVOID Object) { (void)Object; }
OBJECT_TYPE ObpKeyType = { RTL_CONSTANT_STRING(L"Key"), NULL, CloseKey };

PCUNICODE_STRING CmPathOf(PVOID Key) { return &(*(CM_KEY **)Key)->Path; }

static UNICODE_STRING Copy(PCUNICODE_STRING From)
{
    UNICODE_STRING to = { 0, (USHORT)(From->Length + sizeof(WCHAR)), NULL };
    to.Buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, to.MaximumLength, TAG);
    if (to.Buffer)
        RtlCopyUnicodeString(&to, From);
    return to;
}

/* CurrentControlSet is a link to ControlSet001. */
static void Resolve(PCUNICODE_STRING From, UNICODE_STRING *To)
{
    static const UNICODE_STRING alias = RTL_CONSTANT_STRING(L"\\REGISTRY\\MACHINE\\SYSTEM\\CurrentControlSet");
    UNICODE_STRING rest = *From;
    To->Length = 0;
    if (RtlPrefixUnicodeString(&alias, From, TRUE) &&
        (From->Length == alias.Length || From->Buffer[alias.Length / sizeof(WCHAR)] == '\\')) {
        RtlAppendUnicodeToString(To, L"\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001");
        rest.Buffer += alias.Length / sizeof(WCHAR);
        rest.Length -= alias.Length;
    }
    RtlAppendUnicodeStringToString(To, &rest);
    while (To->Length > sizeof(WCHAR) && To->Buffer[To->Length / sizeof(WCHAR) - 1] == '\\')
        To->Length -= sizeof(WCHAR);
}

static CM_KEY *FindKey(PCUNICODE_STRING Path)
{
    for (CM_KEY *key = Keys; key; key = key->Next)
        if (!key->Deleted && RtlEqualUnicodeString(&key->Path, Path, TRUE))
            return key;
    return NULL;
}

static UNICODE_STRING ParentOf(PCUNICODE_STRING Path)
{
    UNICODE_STRING parent = *Path;
    while (parent.Length && parent.Buffer[parent.Length / sizeof(WCHAR) - 1] != '\\')
        parent.Length -= sizeof(WCHAR);
    if (parent.Length)
        parent.Length -= sizeof(WCHAR);
    return parent;
}

/* Keys stay in the order of their creation. */
static CM_KEY *MakeKey(PCUNICODE_STRING Path)
{
    CM_KEY *key = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof *key, TAG), **link = &Keys;
    if (!key)
        return NULL;
    key->Path = Copy(Path);
    if (!key->Path.Buffer)
        return NULL;
    KeQuerySystemTimePrecise(&key->Written);
    while (*link)
        link = &(*link)->Next;
    return *link = key;
}

/* The key and those above it. */
static CM_KEY *MakePath(PCWSTR Text)
{
    UNICODE_STRING path;
    RtlInitUnicodeString(&path, Text);
    for (USHORT i = 1; i <= path.Length / sizeof(WCHAR); i++) {
        UNICODE_STRING part = { i * sizeof(WCHAR), i * sizeof(WCHAR), path.Buffer };
        if ((i == path.Length / sizeof(WCHAR) || path.Buffer[i] == '\\') && !FindKey(&part))
            MakeKey(&part);
    }
    return FindKey(&path);
}

static CM_VALUE *FindValue(CM_KEY *Key, PCUNICODE_STRING Name)
{
    for (CM_VALUE *value = Key->Values; value; value = value->Next)
        if (RtlEqualUnicodeString(&value->Name, Name, TRUE))
            return value;
    return NULL;
}

static NTSTATUS SetValue(CM_KEY *Key, PCUNICODE_STRING Name, ULONG Type, const VOID *Data, ULONG Length)
{
    CM_VALUE *value = FindValue(Key, Name), **link = &Key->Values;
    UCHAR *data = ExAllocatePool2(POOL_FLAG_NON_PAGED, max(Length, 1), TAG);
    if (!value) {
        value = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof *value, TAG);
        if (value)
            value->Name = Copy(Name);
        while (*link)
            link = &(*link)->Next;
        *link = value;
    } else {
        ExFreePoolWithTag(value->Data, TAG);
    }
    if (!value || !data)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(data, Data, Length);
    value->Type = Type;
    value->Length = Length;
    value->Data = data;
    KeQuerySystemTimePrecise(&Key->Written);
    return STATUS_SUCCESS;
}

static void SetText(CM_KEY *Key, PCWSTR Name, ULONG Type, PCWSTR Text)
{
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, Name);
    SetValue(Key, &name, Type, Text, (ULONG)((wcslen(Text) + 1) * sizeof(WCHAR)));
}

static void SetNumber(CM_KEY *Key, PCWSTR Name, ULONG Number)
{
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, Name);
    SetValue(Key, &name, REG_DWORD, &Number, sizeof Number);
}

/* --- handles -------------------------------------------------------------------------------------------------------*/

static CM_KEY *KeyOf(HANDLE Handle, NTSTATUS *Status)
{
    if (KeGetCurrentIrql() > PASSIVE_LEVEL)
        VfViolation(0x3B, KeGetCurrentIrql(), (ULONG_PTR)Handle, 0);
    CM_KEY *key = ObpIsHandleOf(Handle, &ObpKeyType) ? *(CM_KEY **)ObpFromHandle(Handle, KernelMode) : NULL;
    *Status = !key ? STATUS_INVALID_HANDLE : key->Deleted ? STATUS_KEY_DELETED : STATUS_SUCCESS;
    return key;
}

static NTSTATUS Open(PHANDLE Handle, POBJECT_ATTRIBUTES Attributes, BOOLEAN Create, PULONG Disposition)
{
    UNICODE_STRING given, path;
    if (KeGetCurrentIrql() > PASSIVE_LEVEL)
        VfViolation(0x3B, KeGetCurrentIrql(), (ULONG_PTR)Attributes, 0);
    *Handle = NULL;
    NTSTATUS status = ObpCaptureName(Attributes, &given);
    if (!NT_SUCCESS(status))
        return status;
    path.MaximumLength = NAME_ROOM * sizeof(WCHAR);
    path.Buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, path.MaximumLength, TAG);
    if (!path.Buffer)
        return STATUS_INSUFFICIENT_RESOURCES;
    Resolve(&given, &path);
    ExFreePoolWithTag(given.Buffer, 'mNbO');
    CM_KEY *key = FindKey(&path);
    ULONG disposition = REG_OPENED_EXISTING_KEY;
    if (!key && Create) {
        UNICODE_STRING parent = ParentOf(&path);
        key = FindKey(&parent) ? MakeKey(&path) : NULL;
        disposition = REG_CREATED_NEW_KEY;
    }
    ExFreePoolWithTag(path.Buffer, TAG);
    if (!key)
        return STATUS_OBJECT_NAME_NOT_FOUND;
    if (Disposition)
        *Disposition = disposition;
    CM_KEY **object = ObpCreate(&ObpKeyType, sizeof *object);
    if (!object)
        return STATUS_INSUFFICIENT_RESOURCES;
    *object = key;
    status = ObpCreateHandle(object, KernelMode, Handle);
    ObfDereferenceObject(object);
    return status;
}

NTSTATUS ZwOpenKey(PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes)
{
    return (void)Access, Open(Handle, Attributes, FALSE, NULL);
}

NTSTATUS ZwOpenKeyEx(PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, ULONG Options)
{
    return (void)Access, (void)Options, Open(Handle, Attributes, FALSE, NULL);
}

NTSTATUS ZwCreateKey(
    PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes, ULONG TitleIndex, PUNICODE_STRING Class,
    ULONG Options, PULONG Disposition)
{
    (void)Access, (void)TitleIndex, (void)Class, (void)Options;
    return Open(Handle, Attributes, TRUE, Disposition);
}

NTSTATUS ZwFlushKey(HANDLE Handle)
{
    NTSTATUS status;
    KeyOf(Handle, &status);
    return status;
}

NTSTATUS ZwDeleteKey(HANDLE Handle)
{
    NTSTATUS status;
    CM_KEY *key = KeyOf(Handle, &status);
    if (NT_SUCCESS(status))
        key->Deleted = TRUE;
    return status;
}

/* --- values --------------------------------------------------------------------------------------------------------*/

NTSTATUS ZwSetValueKey(
    HANDLE Handle, PUNICODE_STRING Name, ULONG TitleIndex, ULONG Type, PVOID Data, ULONG Length)
{
    NTSTATUS status;
    CM_KEY *key = KeyOf(Handle, &status);
    (void)TitleIndex;
    return NT_SUCCESS(status) ? SetValue(key, Name, Type, Data, Length) : status;
}

NTSTATUS ZwDeleteValueKey(HANDLE Handle, PUNICODE_STRING Name)
{
    NTSTATUS status;
    CM_KEY *key = KeyOf(Handle, &status);
    if (!NT_SUCCESS(status))
        return status;
    for (CM_VALUE **link = &key->Values; *link; link = &(*link)->Next)
        if (RtlEqualUnicodeString(&(*link)->Name, Name, TRUE)) {
            *link = (*link)->Next;
            return STATUS_SUCCESS;
        }
    return STATUS_OBJECT_NAME_NOT_FOUND;
}

static NTSTATUS Describe(CM_VALUE *Value, KEY_VALUE_INFORMATION_CLASS Class, PVOID Buffer, ULONG Room, PULONG Needed)
{
    ULONG fixed, name = Value->Name.Length, data = Value->Length, at;
    switch (Class) {
    case KeyValueBasicInformation:
        fixed = FIELD_OFFSET(KEY_VALUE_BASIC_INFORMATION, Name);
        at = fixed;
        *Needed = fixed + name;
        break;
    case KeyValueFullInformation:
        fixed = FIELD_OFFSET(KEY_VALUE_FULL_INFORMATION, Name);
        at = (fixed + name + 7) & ~7u;
        *Needed = at + data;
        break;
    case KeyValuePartialInformation:
        fixed = at = FIELD_OFFSET(KEY_VALUE_PARTIAL_INFORMATION, Data);
        *Needed = fixed + data;
        break;
    default:
        return STATUS_INVALID_PARAMETER;
    }
    if (Room < fixed)
        return STATUS_BUFFER_TOO_SMALL;
    ((PULONG)Buffer)[0] = 0; /* TitleIndex, then Type, in all three */
    ((PULONG)Buffer)[1] = Value->Type;
    if (Class == KeyValuePartialInformation) {
        ((KEY_VALUE_PARTIAL_INFORMATION *)Buffer)->DataLength = data;
    } else if (Class == KeyValueBasicInformation) {
        ((KEY_VALUE_BASIC_INFORMATION *)Buffer)->NameLength = name;
    } else {
        KEY_VALUE_FULL_INFORMATION *full = Buffer;
        full->DataOffset = at;
        full->DataLength = data;
        full->NameLength = name;
    }
    if (Room < *Needed)
        return STATUS_BUFFER_OVERFLOW;
    if (Class != KeyValuePartialInformation)
        RtlCopyMemory((PUCHAR)Buffer + fixed, Value->Name.Buffer, name);
    if (Class != KeyValueBasicInformation)
        RtlCopyMemory((PUCHAR)Buffer + at, Value->Data, data);
    return STATUS_SUCCESS;
}

NTSTATUS ZwQueryValueKey(
    HANDLE Handle, PUNICODE_STRING Name, KEY_VALUE_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length, PULONG Needed)
{
    NTSTATUS status;
    CM_KEY *key = KeyOf(Handle, &status);
    CM_VALUE *value = NT_SUCCESS(status) ? FindValue(key, Name) : NULL;
    if (!NT_SUCCESS(status))
        return status;
    return value ? Describe(value, Class, Buffer, Length, Needed) : STATUS_OBJECT_NAME_NOT_FOUND;
}

NTSTATUS ZwEnumerateValueKey(
    HANDLE Handle, ULONG Index, KEY_VALUE_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length, PULONG Needed)
{
    NTSTATUS status;
    CM_KEY *key = KeyOf(Handle, &status);
    if (!NT_SUCCESS(status))
        return status;
    CM_VALUE *value = key->Values;
    while (value && Index--)
        value = value->Next;
    return value ? Describe(value, Class, Buffer, Length, Needed) : STATUS_NO_MORE_ENTRIES;
}

/* --- keys ----------------------------------------------------------------------------------------------------------*/

static BOOLEAN IsChild(const CM_KEY *Key, const CM_KEY *Parent)
{
    UNICODE_STRING parent = ParentOf(&Key->Path);
    return !Key->Deleted && parent.Length && RtlEqualUnicodeString(&parent, &Parent->Path, TRUE);
}

static NTSTATUS DescribeKey(CM_KEY *Key, KEY_INFORMATION_CLASS Class, PVOID Buffer, ULONG Room, PULONG Needed)
{
    UNICODE_STRING parent = ParentOf(&Key->Path), name = Key->Path;
    name.Buffer += parent.Length / sizeof(WCHAR) + 1;
    name.Length -= parent.Length + sizeof(WCHAR);
    if (Class == KeyBasicInformation || Class == KeyNodeInformation) {
        ULONG fixed = Class == KeyBasicInformation ? FIELD_OFFSET(KEY_BASIC_INFORMATION, Name)
                                                   : FIELD_OFFSET(KEY_NODE_INFORMATION, Name);
        *Needed = fixed + name.Length;
        if (Room < fixed)
            return STATUS_BUFFER_TOO_SMALL;
        RtlZeroMemory(Buffer, fixed);
        ((KEY_BASIC_INFORMATION *)Buffer)->LastWriteTime = Key->Written;
        if (Class == KeyBasicInformation)
            ((KEY_BASIC_INFORMATION *)Buffer)->NameLength = name.Length;
        else
            ((KEY_NODE_INFORMATION *)Buffer)->NameLength = name.Length;
        if (Room < *Needed)
            return STATUS_BUFFER_OVERFLOW;
        RtlCopyMemory((PUCHAR)Buffer + fixed, name.Buffer, name.Length);
        return STATUS_SUCCESS;
    }
    if (Class != KeyFullInformation)
        return STATUS_INVALID_PARAMETER;
    KEY_FULL_INFORMATION *full = Buffer;
    *Needed = FIELD_OFFSET(KEY_FULL_INFORMATION, Class);
    if (Room < *Needed)
        return STATUS_BUFFER_TOO_SMALL;
    RtlZeroMemory(full, *Needed);
    full->LastWriteTime = Key->Written;
    full->ClassOffset = ~0u;
    for (CM_KEY *child = Keys; child; child = child->Next)
        if (IsChild(child, Key)) {
            full->SubKeys++;
            full->MaxNameLen = max(full->MaxNameLen, (ULONG)(child->Path.Length - Key->Path.Length - sizeof(WCHAR)));
        }
    for (CM_VALUE *value = Key->Values; value; value = value->Next) {
        full->Values++;
        full->MaxValueNameLen = max(full->MaxValueNameLen, value->Name.Length);
        full->MaxValueDataLen = max(full->MaxValueDataLen, value->Length);
    }
    return STATUS_SUCCESS;
}

NTSTATUS ZwQueryKey(HANDLE Handle, KEY_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length, PULONG Needed)
{
    NTSTATUS status;
    CM_KEY *key = KeyOf(Handle, &status);
    return NT_SUCCESS(status) ? DescribeKey(key, Class, Buffer, Length, Needed) : status;
}

NTSTATUS ZwEnumerateKey(
    HANDLE Handle, ULONG Index, KEY_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length, PULONG Needed)
{
    NTSTATUS status;
    CM_KEY *key = KeyOf(Handle, &status);
    if (!NT_SUCCESS(status))
        return status;
    for (CM_KEY *child = Keys; child; child = child->Next)
        if (IsChild(child, key) && !Index--)
            return DescribeKey(child, Class, Buffer, Length, Needed);
    return STATUS_NO_MORE_ENTRIES;
}

/* --- by path -------------------------------------------------------------------------------------------------------*/

/* The folders that RelativeTo names (wdm.h RTL_REGISTRY_*). */
static NTSTATUS OpenRelative(ULONG RelativeTo, PCWSTR Path, BOOLEAN Create, PHANDLE Handle)
{
    static const PCWSTR folders[] = {
        L"", L"\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\Services\\", L"\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\Control\\",
        L"\\REGISTRY\\MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\",
        L"\\REGISTRY\\MACHINE\\HARDWARE\\DEVICEMAP\\", L"\\REGISTRY\\USER\\.DEFAULT\\",
    };
    OBJECT_ATTRIBUTES attributes;
    ULONG kind = RelativeTo & 0xFF;
    if (RelativeTo & RTL_REGISTRY_HANDLE) {
        *Handle = (HANDLE)Path;
        return STATUS_SUCCESS;
    }
    if (kind >= sizeof folders / sizeof *folders)
        return STATUS_INVALID_PARAMETER;
    UNICODE_STRING name = { 0, NAME_ROOM * sizeof(WCHAR), ExAllocatePool2(POOL_FLAG_NON_PAGED, NAME_ROOM * sizeof(WCHAR), TAG) };
    if (!name.Buffer)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlAppendUnicodeToString(&name, folders[kind]);
    RtlAppendUnicodeToString(&name, Path);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    NTSTATUS status = Open(Handle, &attributes, Create, NULL);
    ExFreePoolWithTag(name.Buffer, TAG);
    return status;
}

static void CloseRelative(ULONG RelativeTo, HANDLE Handle)
{
    if (!(RelativeTo & RTL_REGISTRY_HANDLE))
        ZwClose(Handle);
}

NTSTATUS RtlWriteRegistryValue(ULONG RelativeTo, PCWSTR Path, PCWSTR Name, ULONG Type, PVOID Data, ULONG Length)
{
    HANDLE handle;
    UNICODE_STRING name;
    NTSTATUS status = OpenRelative(RelativeTo, Path, TRUE, &handle);
    if (!NT_SUCCESS(status))
        return status;
    RtlInitUnicodeString(&name, Name);
    status = ZwSetValueKey(handle, &name, 0, Type, Data, Length);
    CloseRelative(RelativeTo, handle);
    return status;
}

NTSTATUS RtlDeleteRegistryValue(ULONG RelativeTo, PCWSTR Path, PCWSTR Name)
{
    HANDLE handle;
    UNICODE_STRING name;
    NTSTATUS status = OpenRelative(RelativeTo, Path, FALSE, &handle);
    if (!NT_SUCCESS(status))
        return status;
    RtlInitUnicodeString(&name, Name);
    status = ZwDeleteValueKey(handle, &name);
    CloseRelative(RelativeTo, handle);
    return status;
}

NTSTATUS RtlCheckRegistryKey(ULONG RelativeTo, PWSTR Path)
{
    HANDLE handle;
    NTSTATUS status = OpenRelative(RelativeTo, Path, FALSE, &handle);
    if (NT_SUCCESS(status))
        CloseRelative(RelativeTo, handle);
    return status;
}

NTSTATUS RtlCreateRegistryKey(ULONG RelativeTo, PWSTR Path)
{
    HANDLE handle;
    NTSTATUS status = OpenRelative(RelativeTo, Path, TRUE, &handle);
    if (NT_SUCCESS(status))
        CloseRelative(RelativeTo, handle);
    return status;
}

/* One entry of a query table. Direct: a string's UNICODE_STRING gets memory if it has none; others are copied, at most
   a ULONG's size unless the target begins with a negative length. */
static NTSTATUS QueryEntry(PRTL_QUERY_REGISTRY_TABLE Entry, CM_VALUE *Value, PVOID Context)
{
    ULONG type = Value ? Value->Type : Entry->DefaultType, length = Value ? Value->Length : Entry->DefaultLength;
    PVOID data = Value ? Value->Data : Entry->DefaultData;
    if (!Value && Entry->DefaultType == REG_NONE)
        return Entry->Flags & RTL_QUERY_REGISTRY_REQUIRED ? STATUS_OBJECT_NAME_NOT_FOUND : STATUS_SUCCESS;
    if (!Value && !length && (type == REG_SZ || type == REG_EXPAND_SZ) && data)
        length = (ULONG)((wcslen(data) + 1) * sizeof(WCHAR));
    if (!(Entry->Flags & RTL_QUERY_REGISTRY_DIRECT))
        return Entry->QueryRoutine((PWSTR)Entry->Name, type, data, length, Context, Entry->EntryContext);
    if (type == REG_SZ || type == REG_EXPAND_SZ || type == REG_MULTI_SZ) {
        PUNICODE_STRING target = Entry->EntryContext;
        if (!target->Buffer) {
            target->Buffer = ExAllocatePoolWithTag(PagedPool, length, 'sqrR');
            target->MaximumLength = (USHORT)length;
        }
        if (!target->Buffer || length > target->MaximumLength)
            return STATUS_BUFFER_TOO_SMALL;
        RtlCopyMemory(target->Buffer, data, length);
        target->Length = (USHORT)(length >= sizeof(WCHAR) && type != REG_MULTI_SZ ? length - sizeof(WCHAR) : length);
        return STATUS_SUCCESS;
    }
    if (length <= sizeof(ULONG)) {
        RtlCopyMemory(Entry->EntryContext, data, length);
        return STATUS_SUCCESS;
    }
    LONG room = *(LONG *)Entry->EntryContext;
    if (room >= 0 || (ULONG)-room < length)
        return STATUS_BUFFER_TOO_SMALL;
    RtlCopyMemory(Entry->EntryContext, data, length);
    return STATUS_SUCCESS;
}

NTSTATUS RtlQueryRegistryValues(
    ULONG RelativeTo, PCWSTR Path, PRTL_QUERY_REGISTRY_TABLE Table, PVOID Context, PVOID Environment)
{
    HANDLE handle;
    NTSTATUS status = OpenRelative(RelativeTo, Path, FALSE, &handle);
    (void)Environment;
    if (!NT_SUCCESS(status))
        return status;
    CM_KEY *key = KeyOf(handle, &status);
    for (; NT_SUCCESS(status) && (Table->QueryRoutine || Table->Name || Table->Flags & RTL_QUERY_REGISTRY_SUBKEY); Table++) {
        UNICODE_STRING name;
        RtlInitUnicodeString(&name, Table->Name);
        if (Table->Flags & RTL_QUERY_REGISTRY_SUBKEY) {
            UNICODE_STRING path = { 0, NAME_ROOM * sizeof(WCHAR), ExAllocatePool2(POOL_FLAG_NON_PAGED, NAME_ROOM * sizeof(WCHAR), TAG) };
            if (!path.Buffer)
                return STATUS_INSUFFICIENT_RESOURCES;
            RtlAppendUnicodeStringToString(&path, CmPathOf(ObpFromHandle(handle, KernelMode)));
            RtlAppendUnicodeToString(&path, L"\\");
            RtlAppendUnicodeStringToString(&path, &name);
            key = FindKey(&path);
            ExFreePoolWithTag(path.Buffer, TAG);
            status = key ? STATUS_SUCCESS : STATUS_OBJECT_NAME_NOT_FOUND;
        } else if (Table->Name) {
            status = QueryEntry(Table, FindValue(key, &name), Context);
        } else {
            for (CM_VALUE *value = key->Values; value && NT_SUCCESS(status); value = value->Next)
                status = Table->QueryRoutine(
                    value->Name.Buffer, value->Type, value->Data, value->Length, Context, Table->EntryContext);
        }
    }
    CloseRelative(RelativeTo, handle);
    return status;
}

/* --- initialization ------------------------------------------------------------------------------------------------*/

VOID CmAddService(PCUNICODE_STRING Path, PCUNICODE_STRING Image)
{
    CM_KEY *key = MakeKey(Path);
    if (!key)
        return;
    SetNumber(key, L"Type", 1);         /* SERVICE_KERNEL_DRIVER */
    SetNumber(key, L"Start", 3);        /* SERVICE_DEMAND_START */
    SetNumber(key, L"ErrorControl", 1); /* SERVICE_ERROR_NORMAL */
    SetText(key, L"ImagePath", REG_EXPAND_SZ, Image->Buffer);
}

VOID CmInitialize(void)
{
    MakePath(L"\\REGISTRY\\USER\\.DEFAULT");
    MakePath(L"\\REGISTRY\\MACHINE\\HARDWARE\\DESCRIPTION\\System");
    MakePath(L"\\REGISTRY\\MACHINE\\HARDWARE\\DEVICEMAP");
    MakePath(L"\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\Services");
    MakePath(L"\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\Control\\Session Manager");
    CM_KEY *name = MakePath(L"\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\Control\\ComputerName\\ComputerName");
    SetText(name, L"ComputerName", REG_SZ, L"DUMPTRUTH");
    CM_KEY *version = MakePath(L"\\REGISTRY\\MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion");
    WCHAR build[16];
    _snwprintf(build, 16, L"%u", KiBootParameters->BuildNumber);
    SetText(version, L"CurrentBuildNumber", REG_SZ, build);
    SetText(version, L"CurrentBuild", REG_SZ, build);
    SetText(version, L"SystemRoot", REG_SZ, L"C:\\Windows");
    SetText(version, L"ProductName", REG_SZ, L"dumptruth");
}
