/* kernel32: what is known of files, and changes of it. */
#include "kernel32_runtime.h"

/* Structures and classes of ntifs.h */
typedef struct {
    LARGE_INTEGER CreationTime, LastAccessTime, LastWriteTime, ChangeTime;
    ULONG FileAttributes;
} BASIC_INFORMATION;
typedef struct {
    LARGE_INTEGER AllocationSize, EndOfFile;
    ULONG NumberOfLinks;
    BOOLEAN DeletePending, Directory;
} STANDARD_INFORMATION;
typedef struct {
    LARGE_INTEGER CreationTime, LastAccessTime, LastWriteTime, ChangeTime, AllocationSize, EndOfFile;
    ULONG FileAttributes;
} NETWORK_OPEN_INFORMATION;
typedef struct {
    BOOLEAN ReplaceIfExists;
    HANDLE RootDirectory;
    ULONG FileNameLength;
    WCHAR FileName[1];
} RENAME_INFORMATION;
#define CLASS_BASIC ((FILE_INFORMATION_CLASS)4)
#define CLASS_STANDARD ((FILE_INFORMATION_CLASS)5)
#define CLASS_INTERNAL ((FILE_INFORMATION_CLASS)6)
#define CLASS_NAME ((FILE_INFORMATION_CLASS)9)
#define CLASS_RENAME ((FILE_INFORMATION_CLASS)10)
#define CLASS_DISPOSITION ((FILE_INFORMATION_CLASS)13)
#define CLASS_POSITION ((FILE_INFORMATION_CLASS)14)
#define CLASS_END_OF_FILE ((FILE_INFORMATION_CLASS)20)
#define FS_DEVICE ((FS_INFORMATION_CLASS)4)

NTSTATUS NTAPI NtSetInformationFile(HANDLE file, PIO_STATUS_BLOCK iosb, PVOID buffer, ULONG length,
                                    FILE_INFORMATION_CLASS information_class);
NTSTATUS NTAPI NtQueryVolumeInformationFile(HANDLE file, PIO_STATUS_BLOCK iosb, PVOID buffer, ULONG length,
                                            FS_INFORMATION_CLASS information_class);

static BOOL query(HANDLE file, FILE_INFORMATION_CLASS kind, PVOID buffer, ULONG size)
{
    IO_STATUS_BLOCK iosb;
    return succeeded(NtQueryInformationFile(file, &iosb, buffer, size, kind));
}

static BOOL change(HANDLE file, FILE_INFORMATION_CLASS kind, PVOID buffer, ULONG size)
{
    IO_STATUS_BLOCK iosb;
    return succeeded(NtSetInformationFile(file, &iosb, buffer, size, kind));
}

static FILETIME file_time(LARGE_INTEGER time)
{
    return (FILETIME){time.LowPart, (DWORD)time.HighPart};
}

DWORD WINAPI GetFileType(HANDLE file)
{
    struct {
        ULONG DeviceType, Characteristics;
    } device;
    IO_STATUS_BLOCK iosb;
    if (!succeeded(NtQueryVolumeInformationFile(file, &iosb, &device, sizeof(device), FS_DEVICE)))
        return FILE_TYPE_UNKNOWN;
    SetLastError(ERROR_SUCCESS);
    return device.DeviceType == 0x50 ? FILE_TYPE_CHAR : FILE_TYPE_DISK; /* FILE_DEVICE_CONSOLE */
}

/* --- size and position */
WINBOOL WINAPI GetFileSizeEx(HANDLE file, PLARGE_INTEGER size)
{
    STANDARD_INFORMATION standard;
    if (!query(file, CLASS_STANDARD, &standard, sizeof(standard)))
        return FALSE;
    *size = standard.EndOfFile;
    return TRUE;
}

DWORD WINAPI GetFileSize(HANDLE file, LPDWORD high)
{
    LARGE_INTEGER size;
    if (!GetFileSizeEx(file, &size))
        return INVALID_FILE_SIZE;
    if (high != NULL)
        *high = (DWORD)size.HighPart;
    SetLastError(ERROR_SUCCESS);
    return size.LowPart;
}

WINBOOL WINAPI SetFilePointerEx(HANDLE file, LARGE_INTEGER distance, PLARGE_INTEGER new_position, DWORD method)
{
    LARGE_INTEGER base = {.QuadPart = 0};
    if (method > FILE_END)
        return fails(ERROR_INVALID_PARAMETER);
    if (method == FILE_CURRENT && !query(file, CLASS_POSITION, &base, sizeof(base)))
        return FALSE;
    if (method == FILE_END && !GetFileSizeEx(file, &base))
        return FALSE;
    base.QuadPart += distance.QuadPart;
    if (base.QuadPart < 0)
        return fails(ERROR_NEGATIVE_SEEK);
    if (!change(file, CLASS_POSITION, &base, sizeof(base)))
        return FALSE;
    if (new_position != NULL)
        *new_position = base;
    return TRUE;
}

DWORD WINAPI SetFilePointer(HANDLE file, LONG distance, PLONG high, DWORD method)
{
    LARGE_INTEGER wanted = {.QuadPart = distance};
    LARGE_INTEGER made;
    if (high != NULL)
        wanted = (LARGE_INTEGER){.LowPart = (DWORD)distance, .HighPart = *high};
    if (!SetFilePointerEx(file, wanted, &made, method))
        return INVALID_SET_FILE_POINTER;
    if (high == NULL && made.HighPart != 0) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return INVALID_SET_FILE_POINTER;
    }
    if (high != NULL)
        *high = made.HighPart;
    SetLastError(ERROR_SUCCESS);
    return made.LowPart;
}

WINBOOL WINAPI SetEndOfFile(HANDLE file)
{
    LARGE_INTEGER position;
    return query(file, CLASS_POSITION, &position, sizeof(position)) &&
           change(file, CLASS_END_OF_FILE, &position, sizeof(position));
}

WINBOOL WINAPI FlushFileBuffers(HANDLE file)
{
    IO_STATUS_BLOCK iosb;
    return succeeded(NtFlushBuffersFile(file, &iosb));
}

/* One process has the volume, and our programs do not share files with others: a range is always free. */
WINBOOL WINAPI LockFile(HANDLE file, DWORD low, DWORD high, DWORD size_low, DWORD size_high)
{
    UNREFERENCED_PARAMETER(low);
    UNREFERENCED_PARAMETER(high);
    UNREFERENCED_PARAMETER(size_low);
    UNREFERENCED_PARAMETER(size_high);
    return FlushFileBuffers(file);
}

WINBOOL WINAPI UnlockFile(HANDLE file, DWORD low, DWORD high, DWORD size_low, DWORD size_high)
{
    return LockFile(file, low, high, size_low, size_high);
}

/* --- times and attributes of an open file */
WINBOOL WINAPI GetFileTime(HANDLE file, LPFILETIME created, LPFILETIME accessed, LPFILETIME written)
{
    BASIC_INFORMATION basic;
    if (!query(file, CLASS_BASIC, &basic, sizeof(basic)))
        return FALSE;
    if (created != NULL)
        *created = file_time(basic.CreationTime);
    if (accessed != NULL)
        *accessed = file_time(basic.LastAccessTime);
    if (written != NULL)
        *written = file_time(basic.LastWriteTime);
    return TRUE;
}

static LARGE_INTEGER native_time(const FILETIME *time)
{
    LARGE_INTEGER native = {.QuadPart = 0};
    if (time != NULL)
        native = (LARGE_INTEGER){.LowPart = time->dwLowDateTime, .HighPart = (LONG)time->dwHighDateTime};
    return native;
}

WINBOOL WINAPI SetFileTime(HANDLE file, CONST FILETIME *created, CONST FILETIME *accessed, CONST FILETIME *written)
{
    BASIC_INFORMATION basic = {native_time(created), native_time(accessed), native_time(written), {.QuadPart = 0}, 0};
    return change(file, CLASS_BASIC, &basic, sizeof(basic));
}

WINBOOL WINAPI GetFileInformationByHandle(HANDLE file, LPBY_HANDLE_FILE_INFORMATION information)
{
    BASIC_INFORMATION basic;
    STANDARD_INFORMATION standard;
    LARGE_INTEGER index;
    if (!query(file, CLASS_BASIC, &basic, sizeof(basic)) || !query(file, CLASS_STANDARD, &standard, sizeof(standard)) ||
        !query(file, CLASS_INTERNAL, &index, sizeof(index)))
        return FALSE;
    information->dwFileAttributes = basic.FileAttributes;
    information->ftCreationTime = file_time(basic.CreationTime);
    information->ftLastAccessTime = file_time(basic.LastAccessTime);
    information->ftLastWriteTime = file_time(basic.LastWriteTime);
    information->dwVolumeSerialNumber = 0x5BD1E995; /* as NtQueryVolumeInformationFile tells */
    information->nFileSizeHigh = (DWORD)standard.EndOfFile.HighPart;
    information->nFileSizeLow = standard.EndOfFile.LowPart;
    information->nNumberOfLinks = standard.NumberOfLinks;
    information->nFileIndexHigh = (DWORD)index.HighPart;
    information->nFileIndexLow = index.LowPart;
    return TRUE;
}

WINBOOL WINAPI GetFileInformationByHandleEx(HANDLE file, FILE_INFO_BY_HANDLE_CLASS kind, LPVOID buffer, DWORD size)
{
    switch (kind) {
    case FileBasicInfo:
        return query(file, CLASS_BASIC, buffer, size);
    case FileStandardInfo:
        return query(file, CLASS_STANDARD, buffer, size);
    case FileNameInfo:
        return query(file, CLASS_NAME, buffer, size);
    case FileAttributeTagInfo:
        return query(file, (FILE_INFORMATION_CLASS)35, buffer, size);
    case FileIdInfo: {
        FILE_ID_INFO *id = buffer;
        LARGE_INTEGER index;
        if (size < sizeof(*id))
            return fails(ERROR_BAD_LENGTH);
        if (!query(file, CLASS_INTERNAL, &index, sizeof(index)))
            return FALSE;
        memset(id, 0, sizeof(*id));
        id->VolumeSerialNumber = 0x5BD1E995;
        memcpy(&id->FileId, &index, sizeof(index));
        return TRUE;
    }
    default:
        return fails(ERROR_INVALID_PARAMETER);
    }
}

WINBOOL WINAPI SetFileInformationByHandle(HANDLE file, FILE_INFO_BY_HANDLE_CLASS kind, LPVOID buffer, DWORD size)
{
    switch (kind) {
    case FileBasicInfo:
        return change(file, CLASS_BASIC, buffer, size);
    case FileDispositionInfo:
        return change(file, CLASS_DISPOSITION, buffer, size);
    case FileEndOfFileInfo:
        return change(file, CLASS_END_OF_FILE, buffer, size);
    case FileDispositionInfoEx: /* FILE_DISPOSITION_DELETE is bit 0 */
        return change(file, CLASS_DISPOSITION, buffer, 1);
    default:
        return fails(ERROR_INVALID_PARAMETER);
    }
}

/* Only the form with a drive letter; with VOLUME_NAME_NT and others the path is not known. */
DWORD WINAPI GetFinalPathNameByHandleW(HANDLE file, LPWSTR buffer, DWORD size, DWORD flags)
{
    struct {
        ULONG Length;
        WCHAR Name[520];
    } name;
    WCHAR path[530] = L"\\\\?\\C:";
    if (flags & (VOLUME_NAME_GUID | VOLUME_NAME_NT | VOLUME_NAME_NONE))
        return fails(ERROR_INVALID_PARAMETER);
    if (!query(file, CLASS_NAME, &name, sizeof(name)))
        return 0;
    DWORD length = name.Length / sizeof(WCHAR);
    memcpy(path + 6, name.Name, name.Length);
    return give_wide(path, 6 + length, buffer, size);
}

/* --- by name */
static HANDLE open_named(LPCWSTR path, DWORD access, DWORD options)
{
    NT_PATH named;
    HANDLE file = NULL;
    IO_STATUS_BLOCK iosb;
    if (!make_path(path, &named))
        return NULL;
    NTSTATUS status = NtOpenFile(&file, access | SYNCHRONIZE, &named.attributes, &iosb, 7,
                                 options | FILE_SYNCHRONOUS_IO_NONALERT | FILE_OPEN_FOR_BACKUP_INTENT);
    free_path(&named);
    return succeeded(status) ? file : NULL;
}

static BOOL change_named(LPCWSTR path, DWORD access, DWORD options, FILE_INFORMATION_CLASS kind, PVOID data, ULONG size)
{
    HANDLE file = open_named(path, access, options);
    if (file == NULL)
        return FALSE;
    BOOL done = change(file, kind, data, size);
    NtClose(file);
    return done;
}

WINBOOL WINAPI GetFileAttributesExW(LPCWSTR path, GET_FILEEX_INFO_LEVELS level, LPVOID buffer)
{
    NT_PATH named;
    NETWORK_OPEN_INFORMATION found;
    WIN32_FILE_ATTRIBUTE_DATA *data = buffer;
    if (level != GetFileExInfoStandard)
        return fails(ERROR_INVALID_PARAMETER);
    if (!make_path(path, &named))
        return FALSE;
    NTSTATUS status = NtQueryFullAttributesFile(&named.attributes, &found);
    free_path(&named);
    if (!succeeded(status))
        return FALSE;
    data->dwFileAttributes = found.FileAttributes;
    data->ftCreationTime = file_time(found.CreationTime);
    data->ftLastAccessTime = file_time(found.LastAccessTime);
    data->ftLastWriteTime = file_time(found.LastWriteTime);
    data->nFileSizeHigh = (DWORD)found.EndOfFile.HighPart;
    data->nFileSizeLow = found.EndOfFile.LowPart;
    return TRUE;
}

DWORD WINAPI GetFileAttributesW(LPCWSTR path)
{
    WIN32_FILE_ATTRIBUTE_DATA data;
    return GetFileAttributesExW(path, GetFileExInfoStandard, &data) ? data.dwFileAttributes : INVALID_FILE_ATTRIBUTES;
}

WINBOOL WINAPI SetFileAttributesW(LPCWSTR path, DWORD attributes)
{
    BASIC_INFORMATION basic = {.FileAttributes = attributes != 0 ? attributes : FILE_ATTRIBUTE_NORMAL};
    return change_named(path, FILE_WRITE_ATTRIBUTES, 0, CLASS_BASIC, &basic, sizeof(basic));
}

WINBOOL WINAPI DeleteFileW(LPCWSTR path)
{
    BOOLEAN delete = TRUE;
    return change_named(path, DELETE, FILE_NON_DIRECTORY_FILE, CLASS_DISPOSITION, &delete, sizeof(delete));
}

WINBOOL WINAPI RemoveDirectoryW(LPCWSTR path)
{
    BOOLEAN delete = TRUE;
    return change_named(path, DELETE, FILE_DIRECTORY_FILE, CLASS_DISPOSITION, &delete, sizeof(delete));
}

WINBOOL WINAPI CreateDirectoryW(LPCWSTR path, LPSECURITY_ATTRIBUTES security)
{
    NT_PATH named;
    HANDLE directory;
    IO_STATUS_BLOCK iosb;
    UNREFERENCED_PARAMETER(security);
    if (!make_path(path, &named))
        return FALSE;
    NTSTATUS status = NtCreateFile(&directory, FILE_LIST_DIRECTORY | SYNCHRONIZE, &named.attributes, &iosb, NULL,
                                   FILE_ATTRIBUTE_NORMAL, 7, FILE_CREATE,
                                   FILE_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    free_path(&named);
    if (!succeeded(status))
        return FALSE;
    NtClose(directory);
    return TRUE;
}

WINBOOL WINAPI MoveFileExW(LPCWSTR from, LPCWSTR to, DWORD flags)
{
    NT_PATH target;
    if (flags & MOVEFILE_DELAY_UNTIL_REBOOT)
        return fails(ERROR_ACCESS_DENIED); /* documented for a user who is no administrator */
    HANDLE file = open_named(from, DELETE, 0);
    if (file == NULL)
        return FALSE;
    BOOL done = make_path(to, &target);
    if (done) {
        ULONG size = FIELD_OFFSET(RENAME_INFORMATION, FileName) + target.name.Length;
        RENAME_INFORMATION *rename = RtlAllocateHeap(GetProcessHeap(), HEAP_ZERO_MEMORY, size + sizeof(WCHAR));
        done = rename != NULL || fails(ERROR_NOT_ENOUGH_MEMORY);
        if (rename != NULL) {
            rename->ReplaceIfExists = (flags & MOVEFILE_REPLACE_EXISTING) != 0;
            rename->FileNameLength = target.name.Length;
            memcpy(rename->FileName, target.name.Buffer, target.name.Length);
            done = change(file, CLASS_RENAME, rename, size);
            RtlFreeHeap(GetProcessHeap(), 0, rename);
        }
        free_path(&target);
    }
    NtClose(file);
    return done;
}

WINBOOL WINAPI MoveFileW(LPCWSTR from, LPCWSTR to)
{
    return MoveFileExW(from, to, MOVEFILE_COPY_ALLOWED);
}

WINBOOL WINAPI CopyFileW(LPCWSTR from, LPCWSTR to, WINBOOL fail_if_exists)
{
    BYTE buffer[4096];
    DWORD count = 0;
    HANDLE source = CreateFileW(from, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    if (source == INVALID_HANDLE_VALUE)
        return FALSE;
    HANDLE target = CreateFileW(to, GENERIC_WRITE, 0, NULL, fail_if_exists ? CREATE_NEW : CREATE_ALWAYS, 0, NULL);
    BOOL done = target != INVALID_HANDLE_VALUE;
    while (done && (done = ReadFile(source, buffer, sizeof(buffer), &count, NULL)) && count != 0)
        done = WriteFile(target, buffer, count, &count, NULL);
    if (target != INVALID_HANDLE_VALUE)
        NtClose(target);
    NtClose(source);
    return done;
}

/* --- what this file system does not have */
WINBOOL WINAPI CreateHardLinkW(LPCWSTR name, LPCWSTR existing, LPSECURITY_ATTRIBUTES security)
{
    UNREFERENCED_PARAMETER(name);
    UNREFERENCED_PARAMETER(existing);
    UNREFERENCED_PARAMETER(security);
    return fails(ERROR_INVALID_FUNCTION);
}

BOOLEAN APIENTRY CreateSymbolicLinkW(LPCWSTR name, LPCWSTR target, DWORD flags)
{
    UNREFERENCED_PARAMETER(name);
    UNREFERENCED_PARAMETER(target);
    UNREFERENCED_PARAMETER(flags);
    return (BOOLEAN)fails(ERROR_PRIVILEGE_NOT_HELD);
}

WINBOOL WINAPI DeviceIoControl(HANDLE device, DWORD code, LPVOID input, DWORD input_size, LPVOID output,
                               DWORD output_size, LPDWORD returned, LPOVERLAPPED overlapped)
{
    UNREFERENCED_PARAMETER(device);
    UNREFERENCED_PARAMETER(code);
    UNREFERENCED_PARAMETER(input);
    UNREFERENCED_PARAMETER(input_size);
    UNREFERENCED_PARAMETER(output);
    UNREFERENCED_PARAMETER(output_size);
    UNREFERENCED_PARAMETER(overlapped);
    if (returned != NULL)
        *returned = 0;
    return fails(ERROR_INVALID_FUNCTION);
}
