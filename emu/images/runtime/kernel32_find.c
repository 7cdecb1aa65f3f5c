/* kernel32: the files of a folder. A find handle is a block on the heap. */
#include "kernel32_runtime.h"

#define BOTH_DIRECTORY ((FILE_INFORMATION_CLASS)3)
#define FIND_SIGNATURE 0x444E4946 /* "FIND" */

NTSTATUS NTAPI NtQueryDirectoryFile(HANDLE file, HANDLE event, PIO_APC_ROUTINE apc, PVOID apc_context,
                                    PIO_STATUS_BLOCK iosb, PVOID buffer, ULONG length,
                                    FILE_INFORMATION_CLASS information_class, BOOLEAN single, PUNICODE_STRING pattern,
                                    BOOLEAN restart);

typedef struct {
    ULONG Signature;
    HANDLE Directory;
} FIND;

typedef struct { /* FILE_BOTH_DIR_INFORMATION */
    ULONG NextEntryOffset, FileIndex;
    LARGE_INTEGER CreationTime, LastAccessTime, LastWriteTime, ChangeTime, EndOfFile, AllocationSize;
    ULONG FileAttributes, FileNameLength, EaSize;
    CCHAR ShortNameLength;
    WCHAR ShortName[12];
    WCHAR FileName[MAX_PATH];
} ENTRY;

static BOOL next(FIND *find, PUNICODE_STRING pattern, WIN32_FIND_DATAW *data)
{
    ENTRY entry;
    IO_STATUS_BLOCK iosb;
    memset(&entry, 0, sizeof(entry));
    if (!succeeded(NtQueryDirectoryFile(find->Directory, NULL, NULL, NULL, &iosb, &entry, sizeof(entry), BOTH_DIRECTORY,
                                        TRUE, pattern, FALSE)))
        return FALSE;
    memset(data, 0, sizeof(*data));
    data->dwFileAttributes = entry.FileAttributes;
    memcpy(&data->ftCreationTime, &entry.CreationTime, sizeof(FILETIME));
    memcpy(&data->ftLastAccessTime, &entry.LastAccessTime, sizeof(FILETIME));
    memcpy(&data->ftLastWriteTime, &entry.LastWriteTime, sizeof(FILETIME));
    data->nFileSizeHigh = (DWORD)entry.EndOfFile.HighPart;
    data->nFileSizeLow = entry.EndOfFile.LowPart;
    DWORD length = entry.FileNameLength / sizeof(WCHAR);
    if (length >= MAX_PATH)
        length = MAX_PATH - 1;
    memcpy(data->cFileName, entry.FileName, length * sizeof(WCHAR));
    return TRUE;
}

HANDLE WINAPI FindFirstFileExW(LPCWSTR name, FINDEX_INFO_LEVELS level, LPVOID data, FINDEX_SEARCH_OPS operation,
                               LPVOID filter, DWORD flags)
{
    UNICODE_STRING path;
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK iosb;
    UNREFERENCED_PARAMETER(flags);
    if (level > FindExInfoBasic || operation > FindExSearchLimitToDirectories || filter != NULL || name == NULL) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return INVALID_HANDLE_VALUE;
    }
    if (!RtlDosPathNameToNtPathName_U(name, &path, NULL, NULL)) {
        SetLastError(ERROR_PATH_NOT_FOUND);
        return INVALID_HANDLE_VALUE;
    }
    /* The last part is the pattern. A name with a final separator has none. */
    SIZE_T split = path.Length / sizeof(WCHAR);
    while (split > 0 && path.Buffer[split - 1] != L'\\')
        split--;
    UNICODE_STRING pattern = {(USHORT)(path.Length - split * sizeof(WCHAR)), path.MaximumLength, path.Buffer + split};
    if (pattern.Length == 0) {
        RtlFreeUnicodeString(&path);
        SetLastError(ERROR_FILE_NOT_FOUND);
        return INVALID_HANDLE_VALUE;
    }
    UNICODE_STRING folder = {(USHORT)((split - 1) * sizeof(WCHAR)), path.MaximumLength, path.Buffer};
    if (folder.Length == 6 * sizeof(WCHAR)) /* \??\C: is the volume, \??\C:\ its root */
        folder.Length += sizeof(WCHAR);
    FIND *find = RtlAllocateHeap(GetProcessHeap(), 0, sizeof(*find));
    InitializeObjectAttributes(&attributes, &folder, OBJ_CASE_INSENSITIVE, NULL, NULL);
    NTSTATUS status = STATUS_NO_MEMORY;
    if (find != NULL)
        status = NtOpenFile(&find->Directory, FILE_LIST_DIRECTORY | SYNCHRONIZE, &attributes, &iosb, 7,
                            FILE_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT);
    BOOL found = FALSE;
    if (succeeded(status)) {
        find->Signature = FIND_SIGNATURE;
        found = next(find, &pattern, data);
        if (!found) {
            DWORD error = GetLastError();
            NtClose(find->Directory);
            SetLastError(error);
        }
    } else if (status == STATUS_OBJECT_NAME_NOT_FOUND)
        SetLastError(ERROR_PATH_NOT_FOUND); /* the folder is missing */
    if (!found)
        RtlFreeHeap(GetProcessHeap(), 0, find);
    RtlFreeUnicodeString(&path);
    return found ? find : INVALID_HANDLE_VALUE;
}

HANDLE WINAPI FindFirstFileW(LPCWSTR name, LPWIN32_FIND_DATAW data)
{
    return FindFirstFileExW(name, FindExInfoStandard, data, FindExSearchNameMatch, NULL, 0);
}

static FIND *find_of(HANDLE handle)
{
    FIND *find = handle;
    if (handle != NULL && handle != INVALID_HANDLE_VALUE && find->Signature == FIND_SIGNATURE)
        return find;
    SetLastError(ERROR_INVALID_HANDLE);
    return NULL;
}

WINBOOL WINAPI FindNextFileW(HANDLE handle, LPWIN32_FIND_DATAW data)
{
    FIND *find = find_of(handle);
    return find != NULL && next(find, NULL, data);
}

WINBOOL WINAPI FindClose(HANDLE handle)
{
    FIND *find = find_of(handle);
    if (find == NULL)
        return FALSE;
    find->Signature = 0;
    NtClose(find->Directory);
    return RtlFreeHeap(GetProcessHeap(), 0, find);
}

static void narrow_data(const WIN32_FIND_DATAW *wide, LPWIN32_FIND_DATAA data)
{
    C_ASSERT(FIELD_OFFSET(WIN32_FIND_DATAA, cFileName) == FIELD_OFFSET(WIN32_FIND_DATAW, cFileName));
    memcpy(data, wide, FIELD_OFFSET(WIN32_FIND_DATAA, cFileName));
    give_narrow(wide->cFileName, (DWORD)wcslen(wide->cFileName), data->cFileName, MAX_PATH);
    data->cAlternateFileName[0] = 0;
}

HANDLE WINAPI FindFirstFileA(LPCSTR name, LPWIN32_FIND_DATAA data)
{
    UNICODE_STRING wide_name;
    WIN32_FIND_DATAW wide;
    if (!widen(name, &wide_name))
        return INVALID_HANDLE_VALUE;
    HANDLE handle = FindFirstFileW(wide_name.Buffer, &wide);
    DWORD error = GetLastError();
    RtlFreeUnicodeString(&wide_name);
    SetLastError(error);
    if (handle != INVALID_HANDLE_VALUE)
        narrow_data(&wide, data);
    return handle;
}

WINBOOL WINAPI FindNextFileA(HANDLE handle, LPWIN32_FIND_DATAA data)
{
    WIN32_FIND_DATAW wide;
    if (!FindNextFileW(handle, &wide))
        return FALSE;
    narrow_data(&wide, data);
    return TRUE;
}
