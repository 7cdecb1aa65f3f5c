/* kernel32: the ANSI twins of functions that take one or two names of files. */
#include "kernel32_runtime.h"

typedef BOOL (*ONE_NAME)(LPCWSTR name, PVOID context);

/* Call `function` with the wide form of a name; FALSE if there is none. */
static BOOL with_name(LPCSTR name, ONE_NAME function, PVOID context)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return FALSE;
    BOOL done = function(wide.Buffer, context);
    DWORD error = GetLastError();
    RtlFreeUnicodeString(&wide);
    SetLastError(error);
    return done;
}

static BOOL delete_file(LPCWSTR name, PVOID context)
{
    UNREFERENCED_PARAMETER(context);
    return DeleteFileW(name);
}

WINBOOL WINAPI DeleteFileA(LPCSTR name)
{
    return with_name(name, delete_file, NULL);
}

static BOOL remove_directory(LPCWSTR name, PVOID context)
{
    UNREFERENCED_PARAMETER(context);
    return RemoveDirectoryW(name);
}

WINBOOL WINAPI RemoveDirectoryA(LPCSTR name)
{
    return with_name(name, remove_directory, NULL);
}

static BOOL create_directory(LPCWSTR name, PVOID context)
{
    return CreateDirectoryW(name, context);
}

WINBOOL WINAPI CreateDirectoryA(LPCSTR name, LPSECURITY_ATTRIBUTES security)
{
    return with_name(name, create_directory, security);
}

static BOOL attributes_of(LPCWSTR name, PVOID context)
{
    return GetFileAttributesExW(name, GetFileExInfoStandard, context);
}

WINBOOL WINAPI GetFileAttributesExA(LPCSTR name, GET_FILEEX_INFO_LEVELS level, LPVOID buffer)
{
    if (level != GetFileExInfoStandard)
        return fails(ERROR_INVALID_PARAMETER);
    return with_name(name, attributes_of, buffer);
}

DWORD WINAPI GetFileAttributesA(LPCSTR name)
{
    WIN32_FILE_ATTRIBUTE_DATA data;
    return with_name(name, attributes_of, &data) ? data.dwFileAttributes : INVALID_FILE_ATTRIBUTES;
}

static BOOL set_attributes(LPCWSTR name, PVOID context)
{
    return SetFileAttributesW(name, *(DWORD *)context);
}

WINBOOL WINAPI SetFileAttributesA(LPCSTR name, DWORD attributes)
{
    return with_name(name, set_attributes, &attributes);
}

typedef struct {
    LPCWSTR from;
    LPCSTR to;
    DWORD flags;
    BOOL copy;
} TWO_NAMES;

static BOOL move_second(LPCWSTR to, PVOID context)
{
    TWO_NAMES *names = context;
    return names->copy ? CopyFileW(names->from, to, (WINBOOL)names->flags) : MoveFileExW(names->from, to, names->flags);
}

static BOOL move_first(LPCWSTR from, PVOID context)
{
    TWO_NAMES *names = context;
    names->from = from;
    return with_name(names->to, move_second, names);
}

WINBOOL WINAPI MoveFileExA(LPCSTR from, LPCSTR to, DWORD flags)
{
    TWO_NAMES names = {NULL, to, flags, FALSE};
    return with_name(from, move_first, &names);
}

WINBOOL WINAPI MoveFileA(LPCSTR from, LPCSTR to)
{
    return MoveFileExA(from, to, MOVEFILE_COPY_ALLOWED);
}

WINBOOL WINAPI CopyFileA(LPCSTR from, LPCSTR to, WINBOOL fail_if_exists)
{
    TWO_NAMES names = {NULL, to, (DWORD)fail_if_exists, TRUE};
    return with_name(from, move_first, &names);
}
