/* ntdll: counted strings, error codes, paths and the environment. */
#define _NTSYSTEM_
#include "ntdll_internal.h"

VOID NTAPI RtlInitUnicodeString(PUNICODE_STRING string, PCWSTR source)
{
    SIZE_T bytes = source != NULL ? wcslen(source) * sizeof(WCHAR) : 0;
    if (bytes > 0xFFFC)
        bytes = 0xFFFC;
    string->Length = (USHORT)bytes;
    string->MaximumLength = source != NULL ? (USHORT)(bytes + sizeof(WCHAR)) : 0;
    string->Buffer = (PWSTR)source;
}

VOID NTAPI RtlInitAnsiString(PANSI_STRING string, PCSZ source)
{
    SIZE_T bytes = source != NULL ? strlen(source) : 0;
    if (bytes > 0xFFFE)
        bytes = 0xFFFE;
    string->Length = (USHORT)bytes;
    string->MaximumLength = source != NULL ? (USHORT)(bytes + 1) : 0;
    string->Buffer = (PCHAR)source;
}

VOID NTAPI RtlInitString(PSTRING string, PCSZ source)
{
    RtlInitAnsiString(string, source);
}

/* ASCII and Latin-1: enough for module, file and object names. */
WCHAR NTAPI RtlUpcaseUnicodeChar(WCHAR c)
{
    if ((c >= L'a' && c <= L'z') || (c >= 0xE0 && c <= 0xFE && c != 0xF7))
        return c - 0x20;
    return c;
}

LONG NTAPI RtlCompareUnicodeString(PCUNICODE_STRING first, PCUNICODE_STRING second, BOOLEAN ignore_case)
{
    USHORT common = (first->Length < second->Length ? first->Length : second->Length) / sizeof(WCHAR);
    for (USHORT i = 0; i < common; i++) {
        WCHAR a = first->Buffer[i];
        WCHAR b = second->Buffer[i];
        if (ignore_case) {
            a = RtlUpcaseUnicodeChar(a);
            b = RtlUpcaseUnicodeChar(b);
        }
        if (a != b)
            return a - b;
    }
    return first->Length - second->Length;
}

BOOLEAN NTAPI RtlEqualUnicodeString(PCUNICODE_STRING first, PCUNICODE_STRING second, BOOLEAN ignore_case)
{
    return first->Length == second->Length && RtlCompareUnicodeString(first, second, ignore_case) == 0;
}

/* The ANSI code page is Latin-1 here: each byte is the character of that number. */
NTSTATUS NTAPI RtlAnsiStringToUnicodeString(PUNICODE_STRING destination, PCANSI_STRING source, BOOLEAN allocate)
{
    ULONG bytes = ((ULONG)source->Length + 1) * sizeof(WCHAR);
    if (bytes > 0xFFFE)
        return STATUS_INVALID_PARAMETER_2;
    if (allocate) {
        destination->Buffer = RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, 0, bytes);
        if (destination->Buffer == NULL)
            return STATUS_NO_MEMORY;
        destination->MaximumLength = (USHORT)bytes;
    } else if (destination->MaximumLength < bytes)
        return STATUS_BUFFER_OVERFLOW;
    for (USHORT i = 0; i < source->Length; i++)
        destination->Buffer[i] = (UCHAR)source->Buffer[i];
    destination->Buffer[source->Length] = 0;
    destination->Length = (USHORT)(bytes - sizeof(WCHAR));
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlUnicodeStringToAnsiString(PANSI_STRING destination, PCUNICODE_STRING source, BOOLEAN allocate)
{
    USHORT length = source->Length / sizeof(WCHAR);
    if (allocate) {
        destination->Buffer = RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, 0, (SIZE_T)length + 1);
        if (destination->Buffer == NULL)
            return STATUS_NO_MEMORY;
        destination->MaximumLength = length + 1;
    } else if (destination->MaximumLength <= length)
        return STATUS_BUFFER_OVERFLOW;
    for (USHORT i = 0; i < length; i++)
        destination->Buffer[i] = source->Buffer[i] < 0x100 ? (CHAR)source->Buffer[i] : '?';
    destination->Buffer[length] = 0;
    destination->Length = length;
    return STATUS_SUCCESS;
}

VOID NTAPI RtlFreeUnicodeString(PUNICODE_STRING string)
{
    RtlFreeHeap(NtCurrentPeb()->ProcessHeap, 0, string->Buffer);
    memset(string, 0, sizeof(*string));
}

VOID NTAPI RtlFreeAnsiString(PANSI_STRING string)
{
    RtlFreeHeap(NtCurrentPeb()->ProcessHeap, 0, string->Buffer);
    memset(string, 0, sizeof(*string));
}

/* --- errors: ntstatus.h to winerror.h, for the statuses that this system's services and runtime return */
static const struct {
    NTSTATUS status;
    ULONG error;
} error_table[] = {
    {STATUS_SUCCESS, ERROR_SUCCESS},
    {STATUS_TIMEOUT, WAIT_TIMEOUT},
    {STATUS_PENDING, ERROR_IO_PENDING},
    {STATUS_OBJECT_NAME_EXISTS, ERROR_ALREADY_EXISTS},
    {STATUS_GUARD_PAGE_VIOLATION, STATUS_GUARD_PAGE_VIOLATION},
    {STATUS_BUFFER_OVERFLOW, ERROR_MORE_DATA},
    {STATUS_NO_MORE_ENTRIES, ERROR_NO_MORE_ITEMS},
    {STATUS_UNSUCCESSFUL, ERROR_GEN_FAILURE},
    {STATUS_NOT_IMPLEMENTED, ERROR_INVALID_FUNCTION},
    {STATUS_INVALID_INFO_CLASS, ERROR_INVALID_PARAMETER},
    {STATUS_INFO_LENGTH_MISMATCH, ERROR_BAD_LENGTH},
    {STATUS_ACCESS_VIOLATION, ERROR_NOACCESS},
    {STATUS_INVALID_HANDLE, ERROR_INVALID_HANDLE},
    {STATUS_INVALID_CID, ERROR_INVALID_PARAMETER},
    {STATUS_INVALID_PARAMETER, ERROR_INVALID_PARAMETER},
    {STATUS_NO_SUCH_DEVICE, ERROR_FILE_NOT_FOUND},
    {STATUS_NO_SUCH_FILE, ERROR_FILE_NOT_FOUND},
    {STATUS_INVALID_DEVICE_REQUEST, ERROR_INVALID_FUNCTION},
    {STATUS_END_OF_FILE, ERROR_HANDLE_EOF},
    {STATUS_NO_MEMORY, ERROR_NOT_ENOUGH_MEMORY},
    {STATUS_CONFLICTING_ADDRESSES, ERROR_INVALID_ADDRESS},
    {STATUS_NOT_MAPPED_VIEW, ERROR_INVALID_ADDRESS},
    {STATUS_UNABLE_TO_FREE_VM, ERROR_INVALID_PARAMETER},
    {STATUS_UNABLE_TO_DELETE_SECTION, ERROR_INVALID_PARAMETER},
    {STATUS_INVALID_VIEW_SIZE, ERROR_ACCESS_DENIED},
    {STATUS_INVALID_FILE_FOR_SECTION, ERROR_BAD_EXE_FORMAT},
    {STATUS_ALREADY_COMMITTED, ERROR_ACCESS_DENIED},
    {STATUS_ACCESS_DENIED, ERROR_ACCESS_DENIED},
    {STATUS_BUFFER_TOO_SMALL, ERROR_INSUFFICIENT_BUFFER},
    {STATUS_OBJECT_TYPE_MISMATCH, ERROR_INVALID_HANDLE},
    {STATUS_OBJECT_NAME_INVALID, ERROR_INVALID_NAME},
    {STATUS_OBJECT_NAME_NOT_FOUND, ERROR_FILE_NOT_FOUND},
    {STATUS_OBJECT_NAME_COLLISION, ERROR_ALREADY_EXISTS},
    {STATUS_OBJECT_PATH_INVALID, ERROR_BAD_PATHNAME},
    {STATUS_OBJECT_PATH_NOT_FOUND, ERROR_PATH_NOT_FOUND},
    {STATUS_OBJECT_PATH_SYNTAX_BAD, ERROR_BAD_PATHNAME},
    {STATUS_SHARING_VIOLATION, ERROR_SHARING_VIOLATION},
    {STATUS_INVALID_PAGE_PROTECTION, ERROR_INVALID_PARAMETER},
    {STATUS_MUTANT_NOT_OWNED, ERROR_NOT_OWNER},
    {STATUS_SEMAPHORE_LIMIT_EXCEEDED, ERROR_TOO_MANY_POSTS},
    {STATUS_SECTION_TOO_BIG, ERROR_NOT_ENOUGH_MEMORY},
    {STATUS_THREAD_IS_TERMINATING, ERROR_ACCESS_DENIED},
    {STATUS_PROCESS_IS_TERMINATING, ERROR_ACCESS_DENIED},
    {STATUS_SUSPEND_COUNT_EXCEEDED, ERROR_SIGNAL_REFUSED},
    {STATUS_INVALID_IMAGE_FORMAT, ERROR_BAD_EXE_FORMAT},
    {STATUS_INVALID_IMAGE_NOT_MZ, ERROR_BAD_EXE_FORMAT},
    {STATUS_INVALID_IMAGE_PROTECT, ERROR_BAD_EXE_FORMAT},
    {STATUS_SECTION_PROTECTION, ERROR_INVALID_PARAMETER},
    {STATUS_INSUFFICIENT_RESOURCES, ERROR_NO_SYSTEM_RESOURCES},
    {STATUS_COMMITMENT_LIMIT, ERROR_COMMITMENT_LIMIT},
    {STATUS_FILE_IS_A_DIRECTORY, ERROR_ACCESS_DENIED},
    {STATUS_NOT_A_DIRECTORY, ERROR_DIRECTORY},
    {STATUS_NOT_SUPPORTED, ERROR_NOT_SUPPORTED},
    {STATUS_DISK_FULL, ERROR_DISK_FULL},
    {STATUS_MAPPED_FILE_SIZE_ZERO, ERROR_FILE_INVALID},
    {STATUS_MUTANT_LIMIT_EXCEEDED, ERROR_MUTANT_LIMIT_EXCEEDED},
    {STATUS_INVALID_SYSTEM_SERVICE, ERROR_INVALID_FUNCTION},
    {STATUS_INVALID_PARAMETER_MIX, ERROR_INVALID_PARAMETER},
    {STATUS_FREE_VM_NOT_AT_BASE, ERROR_INVALID_ADDRESS},
    {STATUS_MEMORY_NOT_ALLOCATED, ERROR_INVALID_ADDRESS},
    {STATUS_INVALID_ADDRESS, ERROR_INVALID_ADDRESS},
    {STATUS_INVALID_PARAMETER_1, ERROR_INVALID_PARAMETER},
    {STATUS_INVALID_PARAMETER_2, ERROR_INVALID_PARAMETER},
    {STATUS_INVALID_PARAMETER_3, ERROR_INVALID_PARAMETER},
    {STATUS_INVALID_PARAMETER_4, ERROR_INVALID_PARAMETER},
    {STATUS_INVALID_PARAMETER_5, ERROR_INVALID_PARAMETER},
    {STATUS_INVALID_PARAMETER_6, ERROR_INVALID_PARAMETER},
    {STATUS_PARTIAL_COPY, ERROR_PARTIAL_COPY},
    {STATUS_DLL_NOT_FOUND, ERROR_MOD_NOT_FOUND},
    {STATUS_DLL_INIT_FAILED, ERROR_DLL_INIT_FAILED},
    {STATUS_ORDINAL_NOT_FOUND, ERROR_INVALID_ORDINAL},
    {STATUS_ENTRYPOINT_NOT_FOUND, ERROR_PROC_NOT_FOUND},
    {STATUS_HANDLE_NOT_CLOSABLE, ERROR_INVALID_HANDLE},
    {STATUS_VARIABLE_NOT_FOUND, ERROR_ENVVAR_NOT_FOUND},
    {STATUS_RESOURCE_NOT_OWNED, ERROR_NOT_OWNER},
    {STATUS_NOT_COMMITTED, ERROR_INVALID_ADDRESS},
};

ULONG NTAPI RtlNtStatusToDosError(NTSTATUS status)
{
    for (ULONG i = 0; i < RTL_NUMBER_OF(error_table); i++)
        if (error_table[i].status == status)
            return error_table[i].error;
    if (((ULONG)status & 0xFFFF0000) == 0x80070000 || ((ULONG)status & 0xFFFF0000) == 0xC0070000)
        return (ULONG)status & 0xFFFF; /* a Win32 error that was wrapped as a status */
    return ERROR_MR_MID_NOT_FOUND;
}

VOID NTAPI RtlSetLastWin32Error(ULONG error)
{
    NtCurrentTeb()->LastErrorValue = error;
}

ULONG NTAPI RtlGetLastWin32Error(VOID)
{
    return NtCurrentTeb()->LastErrorValue;
}

ULONG NTAPI RtlSetLastWin32ErrorAndNtStatusFromNtStatus(NTSTATUS status)
{
    ULONG error = RtlNtStatusToDosError(status);
    RtlSetLastWin32Error(error);
    return error;
}

VOID NTAPI RtlRaiseStatus(NTSTATUS status)
{
    EXCEPTION_RECORD record;
    memset(&record, 0, sizeof(record));
    record.ExceptionCode = (DWORD)status;
    record.ExceptionFlags = EXCEPTION_NONCONTINUABLE;
    RtlRaiseException(&record);
}

/* --- paths: the drive-absolute, rooted and relative forms, \\?\ and \\.\ devices, shares, and the NUL device */
static BOOLEAN is_separator(WCHAR c)
{
    return c == L'\\' || c == L'/';
}

static PWSTR append(PWSTR out, PCWSTR text, SIZE_T count)
{
    for (SIZE_T i = 0; i < count; i++)
        *out++ = text[i] == L'/' ? L'\\' : text[i];
    return out;
}

/* Resolve "." and ".." and doubled separators in place, from `start`; returns the new end. */
static PWSTR collapse(PWSTR start, PWSTR end)
{
    PWSTR out = start;
    for (PWSTR in = start; in < end;) {
        PWSTR part = in;
        while (in < end && *in != L'\\')
            in++;
        SIZE_T n = (SIZE_T)(in - part);
        BOOLEAN more = in < end;
        in++;
        if (n == 0 || (n == 1 && part[0] == L'.'))
            continue;
        if (n == 2 && part[0] == L'.' && part[1] == L'.') {
            if (out > start)
                out--;
            while (out > start && out[-1] != L'\\')
                out--;
            continue;
        }
        memmove(out, part, n * sizeof(WCHAR));
        out += n;
        if (more)
            *out++ = L'\\';
    }
    return out;
}

BOOL NTAPI RtlDosPathNameToNtPathName_U(PCWSTR path, PUNICODE_STRING result, PCWSTR *file_part, VOID *directory)
{
    UNREFERENCED_PARAMETER(directory);
    PUNICODE_STRING current = &NtCurrentPeb()->ProcessParameters->CurrentDirectory.DosPath;
    SIZE_T length = wcslen(path);
    SIZE_T room = (length + 16) * sizeof(WCHAR) + current->Length;
    if (length == 0 || room > 0xFFFE)
        return FALSE;
    PWSTR buffer = RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, 0, room);
    if (buffer == NULL)
        return FALSE;
    PWSTR out = append(buffer, L"\\??\\", 4);
    PWSTR root = out;
    BOOLEAN device = FALSE;
    if (is_separator(path[0]) && is_separator(path[1])) {
        device = path[2] == L'?' || path[2] == L'.';
        if (device && is_separator(path[3]))
            path += 4, length -= 4;
        else {
            out = append(out, L"UNC\\", 4);
            path += 2, length -= 2;
        }
        root = out;
    } else if (length == 3 && (path[0] | 0x20) == L'n' && (path[1] | 0x20) == L'u' && (path[2] | 0x20) == L'l') {
        device = TRUE;
    } else if (length >= 2 && path[1] == L':') {
        root = out + 3;
        if (!is_separator(path[2])) { /* C:name: relative to the drive's root, as there is one current directory only */
            out = append(out, path, 2);
            out = append(out, L"\\", 1);
            path += 2, length -= 2;
        }
    } else {
        SIZE_T prefix = is_separator(path[0]) ? 2 : current->Length / sizeof(WCHAR);
        out = append(out, current->Buffer, prefix);
        if (out[-1] != L'\\')
            *out++ = L'\\';
        root += 3;
    }
    out = append(out, path, length);
    if (!device)
        out = collapse(root, out);
    *out = 0;
    result->Buffer = buffer;
    result->Length = (USHORT)((out - buffer) * sizeof(WCHAR));
    result->MaximumLength = (USHORT)room;
    if (file_part != NULL) {
        *file_part = NULL;
        for (PWSTR p = buffer; p < out; p++)
            if (*p == L'\\')
                *file_part = p + 1 < out ? p + 1 : NULL;
    }
    return TRUE;
}

NTSTATUS NTAPI RtlQueryEnvironmentVariable_U(PWSTR environment, PUNICODE_STRING name, PUNICODE_STRING value)
{
    if (environment == NULL)
        environment = NtCurrentPeb()->ProcessParameters->Environment;
    for (PWSTR entry = environment; entry != NULL && *entry; entry += wcslen(entry) + 1) {
        PWSTR equals = wcschr(entry + 1, L'='); /* from the second character: names like "=C:" begin with one */
        if (equals == NULL)
            continue;
        UNICODE_STRING found = {(USHORT)((equals - entry) * sizeof(WCHAR)), 0, entry};
        if (!RtlEqualUnicodeString(&found, name, TRUE))
            continue;
        value->Length = (USHORT)(wcslen(equals + 1) * sizeof(WCHAR));
        if (value->MaximumLength < value->Length)
            return STATUS_BUFFER_TOO_SMALL;
        memcpy(value->Buffer, equals + 1, value->Length);
        if (value->MaximumLength > value->Length)
            value->Buffer[value->Length / sizeof(WCHAR)] = 0;
        return STATUS_SUCCESS;
    }
    return STATUS_VARIABLE_NOT_FOUND;
}
