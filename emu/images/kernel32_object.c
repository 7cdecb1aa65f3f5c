/* kernel32: events, mutexes, semaphores, sections, handles, waits. */
#include "kernel32_internal.h"

BOOL succeeded(NTSTATUS status)
{
    if (NT_SUCCESS(status))
        return TRUE;
    RtlSetLastWin32ErrorAndNtStatusFromNtStatus(status);
    return FALSE;
}

PLARGE_INTEGER wait_interval(DWORD milliseconds, PLARGE_INTEGER interval)
{
    if (milliseconds == INFINITE)
        return NULL;
    interval->QuadPart = -10000LL * milliseconds; /* relative, in 100 ns */
    return interval;
}

BOOL widen(LPCSTR text, PUNICODE_STRING wide)
{
    ANSI_STRING ansi;
    memset(wide, 0, sizeof(*wide));
    if (text == NULL)
        return TRUE;
    RtlInitAnsiString(&ansi, text);
    return succeeded(RtlAnsiStringToUnicodeString(wide, &ansi, TRUE));
}

/* The attributes of an object with a name in the session's directory ("Global\": in the system's), and the buffer of
 * that name. */
typedef struct {
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING name;
    PWSTR buffer;
} NAMED_OBJECT;

static BOOL begin_named(NAMED_OBJECT *object, LPSECURITY_ATTRIBUTES security, LPCWSTR name)
{
    ULONG flags = OBJ_OPENIF | (security && security->bInheritHandle ? OBJ_INHERIT : 0);
    object->buffer = NULL;
    InitializeObjectAttributes(&object->attributes, NULL, flags, NULL, NULL);
    if (name == NULL)
        return TRUE;
    ULONG session = NtCurrentPeb()->SessionId;
    if (wcsncmp(name, L"Global\\", 7) == 0) {
        name += 7;
        session = 0;
    } else if (wcsncmp(name, L"Local\\", 6) == 0)
        name += 6;
    SIZE_T length = wcslen(name);
    if (length >= MAX_PATH || wcschr(name, L'\\') != NULL) {
        SetLastError(length >= MAX_PATH ? ERROR_FILENAME_EXCED_RANGE : ERROR_PATH_NOT_FOUND);
        return FALSE;
    }
    object->buffer = RtlAllocateHeap(GetProcessHeap(), 0, (length + 48) * sizeof(WCHAR));
    if (object->buffer == NULL) {
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return FALSE;
    }
    PWSTR out = object->buffer;
    *out = 0;
    if (session != 0) { /* \Sessions\N */
        WCHAR digits[12];
        ULONG at = RTL_NUMBER_OF(digits);
        digits[--at] = 0;
        do
            digits[--at] = (WCHAR)(L'0' + session % 10);
        while ((session /= 10) != 0);
        wcscat(wcscat(out, L"\\Sessions\\"), &digits[at]);
    }
    wcscat(wcscat(out, L"\\BaseNamedObjects\\"), name);
    RtlInitUnicodeString(&object->name, out);
    object->attributes.ObjectName = &object->name;
    return TRUE;
}

/* What a Create function returns: the handle, with ERROR_ALREADY_EXISTS when it was only opened. */
static HANDLE end_named(NAMED_OBJECT *object, NTSTATUS status, HANDLE handle)
{
    RtlFreeHeap(GetProcessHeap(), 0, object->buffer);
    if (!succeeded(status))
        return NULL;
    SetLastError(status == STATUS_OBJECT_NAME_EXISTS ? ERROR_ALREADY_EXISTS : ERROR_SUCCESS);
    return handle;
}

HANDLE WINAPI CreateEventExW(LPSECURITY_ATTRIBUTES security, LPCWSTR name, DWORD flags, DWORD access)
{
    NAMED_OBJECT object;
    HANDLE handle = NULL;
    if (!begin_named(&object, security, name))
        return NULL;
    NTSTATUS status = NtCreateEvent(&handle, access, &object.attributes, flags & CREATE_EVENT_MANUAL_RESET ? 0 : 1,
                                    (flags & CREATE_EVENT_INITIAL_SET) != 0);
    return end_named(&object, status, handle);
}

HANDLE WINAPI CreateEventW(LPSECURITY_ATTRIBUTES security, WINBOOL manual, WINBOOL initial, LPCWSTR name)
{
    DWORD flags = (manual ? CREATE_EVENT_MANUAL_RESET : 0) | (initial ? CREATE_EVENT_INITIAL_SET : 0);
    return CreateEventExW(security, name, flags, EVENT_ALL_ACCESS);
}

HANDLE WINAPI OpenEventW(DWORD access, WINBOOL inherit, LPCWSTR name)
{
    NAMED_OBJECT object;
    SECURITY_ATTRIBUTES security = {sizeof(security), NULL, inherit};
    HANDLE handle = NULL;
    if (name == NULL) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    if (!begin_named(&object, &security, name))
        return NULL;
    object.attributes.Attributes &= ~(ULONG)OBJ_OPENIF;
    NTSTATUS status = NtOpenEvent(&handle, access, &object.attributes);
    return end_named(&object, status, handle);
}

HANDLE WINAPI CreateMutexExW(LPSECURITY_ATTRIBUTES security, LPCWSTR name, DWORD flags, DWORD access)
{
    NAMED_OBJECT object;
    HANDLE handle = NULL;
    if (!begin_named(&object, security, name))
        return NULL;
    BOOLEAN owned = (flags & CREATE_MUTEX_INITIAL_OWNER) != 0;
    NTSTATUS status = NtCreateMutant(&handle, access, &object.attributes, owned);
    return end_named(&object, status, handle);
}

HANDLE WINAPI CreateMutexW(LPSECURITY_ATTRIBUTES security, WINBOOL owned, LPCWSTR name)
{
    return CreateMutexExW(security, name, owned ? CREATE_MUTEX_INITIAL_OWNER : 0, MUTEX_ALL_ACCESS);
}

HANDLE WINAPI CreateSemaphoreW(LPSECURITY_ATTRIBUTES security, LONG initial, LONG maximum, LPCWSTR name)
{
    NAMED_OBJECT object;
    HANDLE handle = NULL;
    if (!begin_named(&object, security, name))
        return NULL;
    NTSTATUS status = NtCreateSemaphore(&handle, SEMAPHORE_ALL_ACCESS, &object.attributes, initial, maximum);
    return end_named(&object, status, handle);
}

HANDLE WINAPI CreateFileMappingW(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protect, DWORD size_high,
                                 DWORD size_low, LPCWSTR name)
{
    NAMED_OBJECT object;
    HANDLE handle = NULL;
    LARGE_INTEGER size = {.LowPart = size_low, .HighPart = (LONG)size_high};
    ULONG allocation = protect & (SEC_COMMIT | SEC_RESERVE | SEC_IMAGE | SEC_NOCACHE | SEC_LARGE_PAGES);
    ULONG page = protect & 0xFF;
    ACCESS_MASK access = STANDARD_RIGHTS_REQUIRED | SECTION_QUERY | SECTION_MAP_READ;
    if (page == PAGE_READWRITE || page == PAGE_EXECUTE_READWRITE)
        access |= SECTION_MAP_WRITE;
    if (page >= PAGE_EXECUTE)
        access |= SECTION_MAP_EXECUTE;
    if (!begin_named(&object, security, name))
        return NULL;
    NTSTATUS status =
        NtCreateSection(&handle, access, &object.attributes, size.QuadPart != 0 ? &size : NULL, page,
                        allocation != 0 ? allocation : SEC_COMMIT, file == INVALID_HANDLE_VALUE ? NULL : file);
    return end_named(&object, status, handle);
}

/* --- the ANSI twins */
HANDLE WINAPI CreateEventA(LPSECURITY_ATTRIBUTES security, WINBOOL manual, WINBOOL initial, LPCSTR name)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return NULL;
    HANDLE handle = CreateEventW(security, manual, initial, wide.Buffer);
    RtlFreeUnicodeString(&wide);
    return handle;
}

HANDLE WINAPI OpenEventA(DWORD access, WINBOOL inherit, LPCSTR name)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return NULL;
    HANDLE handle = OpenEventW(access, inherit, wide.Buffer);
    RtlFreeUnicodeString(&wide);
    return handle;
}

HANDLE WINAPI CreateMutexA(LPSECURITY_ATTRIBUTES security, WINBOOL owned, LPCSTR name)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return NULL;
    HANDLE handle = CreateMutexW(security, owned, wide.Buffer);
    RtlFreeUnicodeString(&wide);
    return handle;
}

HANDLE WINAPI CreateSemaphoreA(LPSECURITY_ATTRIBUTES security, LONG initial, LONG maximum, LPCSTR name)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return NULL;
    HANDLE handle = CreateSemaphoreW(security, initial, maximum, wide.Buffer);
    RtlFreeUnicodeString(&wide);
    return handle;
}

HANDLE WINAPI CreateFileMappingA(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protect, DWORD size_high,
                                 DWORD size_low, LPCSTR name)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return NULL;
    HANDLE handle = CreateFileMappingW(file, security, protect, size_high, size_low, wide.Buffer);
    RtlFreeUnicodeString(&wide);
    return handle;
}

WINBOOL WINAPI SetEvent(HANDLE event)
{
    return succeeded(NtSetEvent(event, NULL));
}

WINBOOL WINAPI ResetEvent(HANDLE event)
{
    return succeeded(NtResetEvent(event, NULL));
}

WINBOOL WINAPI ReleaseMutex(HANDLE mutex)
{
    return succeeded(NtReleaseMutant(mutex, NULL));
}

WINBOOL WINAPI ReleaseSemaphore(HANDLE semaphore, LONG count, LPLONG previous)
{
    return succeeded(NtReleaseSemaphore(semaphore, count, previous));
}

WINBOOL WINAPI CloseHandle(HANDLE handle)
{
    return succeeded(NtClose(handle));
}

WINBOOL WINAPI DuplicateHandle(HANDLE source_process, HANDLE source, HANDLE target_process, LPHANDLE target,
                               DWORD access, WINBOOL inherit, DWORD options)
{
    return succeeded(
        NtDuplicateObject(source_process, source, target_process, target, access, inherit ? OBJ_INHERIT : 0, options));
}

/* --- waits */
static DWORD wait_result(NTSTATUS status)
{
    return succeeded(status) ? (DWORD)status
                             : WAIT_FAILED; /* WAIT_OBJECT_0 + n, WAIT_ABANDONED_0 + n, WAIT_TIMEOUT are the statuses */
}

DWORD WINAPI WaitForSingleObjectEx(HANDLE handle, DWORD milliseconds, WINBOOL alertable)
{
    LARGE_INTEGER interval;
    return wait_result(NtWaitForSingleObject(handle, (BOOLEAN)alertable, wait_interval(milliseconds, &interval)));
}

DWORD WINAPI WaitForSingleObject(HANDLE handle, DWORD milliseconds)
{
    return WaitForSingleObjectEx(handle, milliseconds, FALSE);
}

DWORD WINAPI WaitForMultipleObjectsEx(DWORD count, CONST HANDLE *handles, WINBOOL all, DWORD milliseconds,
                                      WINBOOL alertable)
{
    LARGE_INTEGER interval;
    if (count == 0 || count > MAXIMUM_WAIT_OBJECTS) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return WAIT_FAILED;
    }
    return wait_result(NtWaitForMultipleObjects(count, (HANDLE *)handles, all ? 0 : 1, (BOOLEAN)alertable,
                                                wait_interval(milliseconds, &interval)));
}

DWORD WINAPI WaitForMultipleObjects(DWORD count, CONST HANDLE *handles, WINBOOL all, DWORD milliseconds)
{
    return WaitForMultipleObjectsEx(count, handles, all, milliseconds, FALSE);
}
