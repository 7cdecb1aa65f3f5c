/* kernel32: paths, folders and the volume. */
#include "kernel32_runtime.h"

/* The text of a function that fills a wide buffer, in the ANSI code page. */
static DWORD narrowed(DWORD length, PCWSTR wide, LPSTR buffer, DWORD room)
{
    return length != 0 ? give_narrow(wide, length, buffer, room) : 0;
}

BOOL make_path(LPCWSTR path, NT_PATH *made)
{
    if (path == NULL || !RtlDosPathNameToNtPathName_U(path, &made->name, NULL, NULL))
        return fails(ERROR_PATH_NOT_FOUND);
    InitializeObjectAttributes(&made->attributes, &made->name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return TRUE;
}

void free_path(NT_PATH *made)
{
    RtlFreeUnicodeString(&made->name);
}

DWORD WINAPI GetFullPathNameW(LPCWSTR name, DWORD size, LPWSTR buffer, LPWSTR *file_part)
{
    if (file_part != NULL)
        *file_part = NULL;
    ULONG bytes = RtlGetFullPathName_U(name, size < 0x7FFF ? size * sizeof(WCHAR) : 0xFFFE, buffer, file_part);
    if (bytes == 0)
        SetLastError(*name ? ERROR_FILENAME_EXCED_RANGE : ERROR_INVALID_NAME);
    return bytes / sizeof(WCHAR);
}

DWORD WINAPI GetFullPathNameA(LPCSTR name, DWORD size, LPSTR buffer, LPSTR *file_part)
{
    UNICODE_STRING wide;
    WCHAR full[1024];
    if (!widen(name, &wide))
        return 0;
    DWORD length = GetFullPathNameW(wide.Buffer, RTL_NUMBER_OF(full), full, NULL);
    RtlFreeUnicodeString(&wide);
    if (length >= RTL_NUMBER_OF(full))
        return fails(ERROR_FILENAME_EXCED_RANGE);
    DWORD answer = narrowed(length, full, buffer, size);
    if (file_part != NULL) {
        *file_part = NULL;
        for (DWORD i = 0; answer < size && i < answer; i++)
            if (buffer[i] == '\\')
                *file_part = buffer[i + 1] ? buffer + i + 1 : NULL;
    }
    return answer;
}

/* --- the current directory: its path has a final separator */
WINBOOL WINAPI SetCurrentDirectoryW(LPCWSTR path)
{
    WCHAR full[MAX_PATH + 2];
    NT_PATH named;
    HANDLE handle;
    IO_STATUS_BLOCK iosb;
    DWORD length = path != NULL ? GetFullPathNameW(path, MAX_PATH, full, NULL) : 0;
    if (length == 0 || length >= MAX_PATH)
        return fails(length != 0 ? ERROR_FILENAME_EXCED_RANGE : ERROR_INVALID_NAME);
    if (!make_path(full, &named))
        return FALSE;
    NTSTATUS status = NtOpenFile(&handle, FILE_TRAVERSE | SYNCHRONIZE, &named.attributes, &iosb, 3,
                                 FILE_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT);
    free_path(&named);
    if (!succeeded(status))
        return FALSE;
    if (full[length - 1] != L'\\')
        full[length++] = L'\\';
    PRTL_USER_PROCESS_PARAMETERS parameters = NtCurrentPeb()->ProcessParameters;
    PWSTR copy = RtlAllocateHeap(GetProcessHeap(), 0, (length + 1) * sizeof(WCHAR));
    if (copy == NULL) {
        NtClose(handle);
        return fails(ERROR_NOT_ENOUGH_MEMORY);
    }
    memcpy(copy, full, length * sizeof(WCHAR));
    copy[length] = 0;
    HANDLE old = parameters->CurrentDirectory.Handle;
    /* The old text may be read by another thread: it stays. */
    parameters->CurrentDirectory.DosPath.Buffer = copy;
    parameters->CurrentDirectory.DosPath.Length = (USHORT)(length * sizeof(WCHAR));
    parameters->CurrentDirectory.DosPath.MaximumLength = (USHORT)((length + 1) * sizeof(WCHAR));
    parameters->CurrentDirectory.Handle = handle;
    NtClose(old);
    return TRUE;
}

WINBOOL WINAPI SetCurrentDirectoryA(LPCSTR path)
{
    UNICODE_STRING wide;
    if (!widen(path, &wide))
        return FALSE;
    BOOL done = SetCurrentDirectoryW(wide.Buffer);
    RtlFreeUnicodeString(&wide);
    return done;
}

DWORD WINAPI GetCurrentDirectoryA(DWORD size, LPSTR buffer)
{
    WCHAR wide[MAX_PATH + 2];
    return narrowed(GetCurrentDirectoryW(RTL_NUMBER_OF(wide), wide), wide, buffer, size);
}

/* --- folders of the system */
DWORD WINAPI GetTempPathW(DWORD size, LPWSTR buffer)
{
    static const PCWSTR names[] = {L"TMP", L"TEMP", L"USERPROFILE", L"SystemRoot"}; /* documented order */
    WCHAR path[MAX_PATH + 2];
    WCHAR full[MAX_PATH + 2];
    for (ULONG i = 0; i < RTL_NUMBER_OF(names); i++) {
        DWORD length = GetEnvironmentVariableW(names[i], path, MAX_PATH);
        if (length == 0 || length >= MAX_PATH)
            continue;
        length = GetFullPathNameW(path, MAX_PATH, full, NULL);
        if (length == 0 || length >= MAX_PATH)
            continue;
        if (full[length - 1] != L'\\')
            full[length++] = L'\\';
        full[length] = 0;
        return give_wide(full, length, buffer, size);
    }
    return give_wide(L"C:\\Windows\\", 11, buffer, size);
}

DWORD WINAPI GetTempPathA(DWORD size, LPSTR buffer)
{
    WCHAR wide[MAX_PATH + 2];
    return narrowed(GetTempPathW(RTL_NUMBER_OF(wide), wide), wide, buffer, size);
}

DWORD WINAPI GetTempPath2W(DWORD size, LPWSTR buffer)
{
    return GetTempPathW(size, buffer);
}

DWORD WINAPI GetTempPath2A(DWORD size, LPSTR buffer)
{
    return GetTempPathA(size, buffer);
}

UINT WINAPI GetWindowsDirectoryW(LPWSTR buffer, UINT size)
{
    return give_wide(L"C:\\Windows", 10, buffer, size);
}

UINT WINAPI GetWindowsDirectoryA(LPSTR buffer, UINT size)
{
    return give_narrow(L"C:\\Windows", 10, buffer, size);
}

UINT WINAPI GetSystemWindowsDirectoryW(LPWSTR buffer, UINT size)
{
    return GetWindowsDirectoryW(buffer, size);
}

UINT WINAPI GetSystemDirectoryW(LPWSTR buffer, UINT size)
{
    return give_wide(L"C:\\Windows\\System32", 19, buffer, size);
}

UINT WINAPI GetSystemDirectoryA(LPSTR buffer, UINT size)
{
    return give_narrow(L"C:\\Windows\\System32", 19, buffer, size);
}

static WCHAR hex_digit(UINT value)
{
    return (WCHAR)(value < 10 ? L'0' + value : L'A' + value - 10);
}

/* Documented: <path>\<three letters of the prefix><number in hexadecimal>.TMP. */
UINT WINAPI GetTempFileNameW(LPCWSTR path, LPCWSTR prefix, UINT unique, LPWSTR name)
{
    SIZE_T length = wcslen(path);
    UINT number = unique & 0xFFFF;
    if (length > MAX_PATH - 14)
        return fails(ERROR_BUFFER_OVERFLOW);
    if (unique == 0)
        number = (UINT)(GetTickCount() & 0xFFFF) | 1;
    for (UINT tries = 0; tries < 0xFFFF; tries++, number = number == 0xFFFF ? 1 : number + 1) {
        WCHAR digits[5];
        int n = 0;
        memcpy(name, path, length * sizeof(WCHAR));
        PWSTR out = name + length;
        if (length != 0 && out[-1] != L'\\' && out[-1] != L'/')
            *out++ = L'\\';
        for (int i = 0; i < 3 && prefix != NULL && prefix[i]; i++)
            *out++ = prefix[i];
        for (UINT left = number; left != 0 || n == 0; left >>= 4)
            digits[n++] = hex_digit(left & 0xF);
        while (n > 0)
            *out++ = digits[--n];
        wcscpy(out, L".TMP");
        if (unique != 0)
            return unique;
        HANDLE file = CreateFileW(name, GENERIC_READ, 0, NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
        if (file != INVALID_HANDLE_VALUE) {
            CloseHandle(file);
            return number;
        }
        if (GetLastError() != ERROR_FILE_EXISTS)
            return fails(GetLastError() == ERROR_PATH_NOT_FOUND ? ERROR_DIRECTORY : GetLastError());
    }
    return fails(ERROR_FILE_EXISTS);
}

UINT WINAPI GetTempFileNameA(LPCSTR path, LPCSTR prefix, UINT unique, LPSTR name)
{
    UNICODE_STRING wide_path;
    UNICODE_STRING wide_prefix = {0, 0, NULL};
    WCHAR wide_name[MAX_PATH];
    UINT answer = 0;
    if (!widen(path, &wide_path))
        return 0;
    if (widen(prefix, &wide_prefix))
        answer = GetTempFileNameW(wide_path.Buffer, wide_prefix.Buffer, unique, wide_name);
    if (answer != 0)
        give_narrow(wide_name, (DWORD)wcslen(wide_name), name, MAX_PATH);
    RtlFreeUnicodeString(&wide_path);
    RtlFreeUnicodeString(&wide_prefix);
    return answer;
}

/* There are no short names: both forms give the path as it is, if it exists. */
DWORD WINAPI GetLongPathNameW(LPCWSTR path, LPWSTR buffer, DWORD size)
{
    if (GetFileAttributesW(path) == INVALID_FILE_ATTRIBUTES)
        return 0;
    return give_wide(path, (DWORD)wcslen(path), buffer, size);
}

DWORD WINAPI GetShortPathNameW(LPCWSTR path, LPWSTR buffer, DWORD size)
{
    return GetLongPathNameW(path, buffer, size);
}

/* --- the volume: only drive C: */
WINBOOL WINAPI AreFileApisANSI(VOID)
{
    return TRUE;
}

DWORD WINAPI GetLogicalDrives(VOID)
{
    return 1 << 2;
}

UINT WINAPI GetDriveTypeW(LPCWSTR root)
{
    if (root == NULL || ((root[0] | 0x20) == L'c' && root[1] == L':'))
        return DRIVE_FIXED;
    return DRIVE_NO_ROOT_DIR;
}

UINT WINAPI GetDriveTypeA(LPCSTR root)
{
    WCHAR wide[3] = {0};
    for (int i = 0; root != NULL && i < 2 && root[i]; i++)
        wide[i] = (UCHAR)root[i];
    return GetDriveTypeW(root != NULL ? wide : NULL);
}

/* 128 GiB, half of it free: what NtQueryVolumeInformationFile tells. */
WINBOOL WINAPI GetDiskFreeSpaceExW(LPCWSTR directory, PULARGE_INTEGER available, PULARGE_INTEGER total,
                                   PULARGE_INTEGER free_bytes)
{
    if (directory != NULL && GetFileAttributesW(directory) == INVALID_FILE_ATTRIBUTES)
        return FALSE;
    if (available != NULL)
        available->QuadPart = 64ULL << 30;
    if (total != NULL)
        total->QuadPart = 128ULL << 30;
    if (free_bytes != NULL)
        free_bytes->QuadPart = 64ULL << 30;
    return TRUE;
}
