/* kernel32: files and the console. */
#include "kernel32_internal.h"

HANDLE WINAPI CreateFileW(LPCWSTR name, DWORD access, DWORD share, LPSECURITY_ATTRIBUTES security, DWORD disposition,
                          DWORD flags, HANDLE template)
{
    /* FILE_CREATE 2, FILE_OVERWRITE_IF 5, FILE_OPEN 1, FILE_OPEN_IF 3, FILE_OVERWRITE 4, by CREATE_NEW ...
     * TRUNCATE_EXISTING */
    static const UCHAR native_disposition[] = {0, 2, 5, 1, 3, 4};
    UNICODE_STRING path;
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK iosb = {0};
    HANDLE handle = INVALID_HANDLE_VALUE;
    UNREFERENCED_PARAMETER(template);
    if (disposition < CREATE_NEW || disposition > TRUNCATE_EXISTING) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return INVALID_HANDLE_VALUE;
    }
    if (name == NULL || !RtlDosPathNameToNtPathName_U(name, &path, NULL, NULL)) {
        SetLastError(ERROR_PATH_NOT_FOUND);
        return INVALID_HANDLE_VALUE;
    }
    ULONG options = flags & FILE_FLAG_BACKUP_SEMANTICS ? 0 : FILE_NON_DIRECTORY_FILE;
    if (!(flags & FILE_FLAG_OVERLAPPED))
        options |= FILE_SYNCHRONOUS_IO_NONALERT;
    if (flags & FILE_FLAG_DELETE_ON_CLOSE) {
        options |= FILE_DELETE_ON_CLOSE;
        access |= DELETE;
    }
    ULONG object_flags = OBJ_CASE_INSENSITIVE | (security && security->bInheritHandle ? OBJ_INHERIT : 0);
    InitializeObjectAttributes(&attributes, &path, object_flags, NULL, NULL);
    NTSTATUS status = NtCreateFile(&handle, access | SYNCHRONIZE | FILE_READ_ATTRIBUTES, &attributes, &iosb, NULL,
                                   flags & 0xFFFF & ~(ULONG)FILE_ATTRIBUTE_NORMAL, share,
                                   native_disposition[disposition], options, NULL, 0);
    RtlFreeUnicodeString(&path);
    if (!NT_SUCCESS(status)) {
        succeeded(status);
        if (status == STATUS_OBJECT_NAME_COLLISION)
            SetLastError(ERROR_FILE_EXISTS);
        return INVALID_HANDLE_VALUE;
    }
    BOOL existed = (disposition == CREATE_ALWAYS && iosb.Information == 3 /* FILE_OVERWRITTEN */) ||
                   (disposition == OPEN_ALWAYS && iosb.Information == 1 /* FILE_OPENED */);
    SetLastError(existed ? ERROR_ALREADY_EXISTS : ERROR_SUCCESS);
    return handle;
}

HANDLE WINAPI CreateFileA(LPCSTR name, DWORD access, DWORD share, LPSECURITY_ATTRIBUTES security, DWORD disposition,
                          DWORD flags, HANDLE template)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return INVALID_HANDLE_VALUE;
    HANDLE handle = CreateFileW(wide.Buffer, access, share, security, disposition, flags, template);
    RtlFreeUnicodeString(&wide);
    return handle;
}

/* The byte offset of an OVERLAPPED, or NULL: at the file's position. */
static PLARGE_INTEGER offset_of(LPOVERLAPPED overlapped, PLARGE_INTEGER offset)
{
    if (overlapped == NULL)
        return NULL;
    offset->LowPart = overlapped->Offset;
    offset->HighPart = (LONG)overlapped->OffsetHigh;
    return offset;
}

/* A synchronous end of an operation: wait when the file answered that it is still at work. */
static BOOL finish(HANDLE file, NTSTATUS status, IO_STATUS_BLOCK *iosb, LPOVERLAPPED overlapped, LPDWORD count)
{
    if (status == STATUS_PENDING && overlapped == NULL) {
        status = NtWaitForSingleObject(file, FALSE, NULL);
        if (NT_SUCCESS(status))
            status = iosb->Status;
    }
    if (overlapped != NULL) {
        overlapped->Internal = (ULONG_PTR)status;
        overlapped->InternalHigh = iosb->Information;
    }
    if (count != NULL)
        *count = NT_SUCCESS(status) ? (DWORD)iosb->Information : 0;
    if (status == STATUS_END_OF_FILE && overlapped == NULL)
        return TRUE; /* documented: a read at the end succeeds with no bytes */
    if (status == STATUS_PENDING) {
        SetLastError(ERROR_IO_PENDING);
        return FALSE;
    }
    return succeeded(status);
}

WINBOOL WINAPI WriteFile(HANDLE file, LPCVOID buffer, DWORD size, LPDWORD written, LPOVERLAPPED overlapped)
{
    IO_STATUS_BLOCK iosb = {0};
    LARGE_INTEGER offset;
    NTSTATUS status = NtWriteFile(file, overlapped ? overlapped->hEvent : NULL, NULL, NULL, &iosb, (PVOID)buffer, size,
                                  offset_of(overlapped, &offset), NULL);
    return finish(file, status, &iosb, overlapped, written);
}

WINBOOL WINAPI ReadFile(HANDLE file, LPVOID buffer, DWORD size, LPDWORD read, LPOVERLAPPED overlapped)
{
    IO_STATUS_BLOCK iosb = {0};
    LARGE_INTEGER offset;
    NTSTATUS status = NtReadFile(file, overlapped ? overlapped->hEvent : NULL, NULL, NULL, &iosb, buffer, size,
                                 offset_of(overlapped, &offset), NULL);
    return finish(file, status, &iosb, overlapped, read);
}

/* --- standard handles and the console: text written to a console handle is the file's bytes */
static PHANDLE standard_handle(DWORD which)
{
    PRTL_USER_PROCESS_PARAMETERS parameters = NtCurrentPeb()->ProcessParameters;
    switch (which) {
    case STD_INPUT_HANDLE:
        return &parameters->StandardInput;
    case STD_OUTPUT_HANDLE:
        return &parameters->StandardOutput;
    case STD_ERROR_HANDLE:
        return &parameters->StandardError;
    }
    SetLastError(ERROR_INVALID_HANDLE);
    return NULL;
}

HANDLE WINAPI GetStdHandle(DWORD which)
{
    PHANDLE handle = standard_handle(which);
    return handle != NULL ? *handle : INVALID_HANDLE_VALUE;
}

WINBOOL WINAPI SetStdHandle(DWORD which, HANDLE value)
{
    PHANDLE handle = standard_handle(which);
    if (handle != NULL)
        *handle = value;
    return handle != NULL;
}

/* No title, no position: what a program gets that was started with none. */
VOID WINAPI GetStartupInfoW(LPSTARTUPINFOW information)
{
    PRTL_USER_PROCESS_PARAMETERS parameters = NtCurrentPeb()->ProcessParameters;
    memset(information, 0, sizeof(*information));
    information->cb = sizeof(*information);
    information->dwFlags = STARTF_USESTDHANDLES;
    information->hStdInput = parameters->StandardInput;
    information->hStdOutput = parameters->StandardOutput;
    information->hStdError = parameters->StandardError;
}

VOID WINAPI GetStartupInfoA(LPSTARTUPINFOA information)
{
    C_ASSERT(sizeof(STARTUPINFOA) == sizeof(STARTUPINFOW));
    GetStartupInfoW((LPSTARTUPINFOW)information);
}

WINBOOL WINAPI WriteConsoleA(HANDLE console, const void *buffer, DWORD count, LPDWORD written, LPVOID reserved)
{
    UNREFERENCED_PARAMETER(reserved);
    return WriteFile(console, buffer, count, written, NULL);
}

WINBOOL WINAPI WriteConsoleW(HANDLE console, const void *buffer, DWORD count, LPDWORD written, LPVOID reserved)
{
    CHAR utf8[256];
    PCWCH text = buffer;
    DWORD done = 0;
    UNREFERENCED_PARAMETER(reserved);
    while (done < count) {
        DWORD part = count - done < 64 ? count - done : 64;
        if (part > 1 && done + part < count && IS_HIGH_SURROGATE(text[done + part - 1]))
            part--; /* a pair stays together */
        int bytes = WideCharToMultiByte(CP_UTF8, 0, text + done, (int)part, utf8, sizeof(utf8), NULL, NULL);
        if (!WriteFile(console, utf8, (DWORD)bytes, NULL, NULL))
            return FALSE;
        done += part;
    }
    if (written != NULL)
        *written = done;
    return TRUE;
}
