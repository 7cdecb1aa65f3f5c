/* kernel32: modules, the command line, the environment. */
#include "kernel32_internal.h"

HMODULE WINAPI LoadLibraryExW(LPCWSTR name, HANDLE file, DWORD flags)
{
    UNICODE_STRING string;
    PVOID base = NULL;
    if (name == NULL || file != NULL || (flags & (LOAD_LIBRARY_AS_DATAFILE | LOAD_LIBRARY_AS_IMAGE_RESOURCE))) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    RtlInitUnicodeString(&string, name);
    return succeeded(LdrLoadDll(NULL, NULL, &string, &base)) ? base : NULL;
}

HMODULE WINAPI LoadLibraryW(LPCWSTR name)
{
    return LoadLibraryExW(name, NULL, 0);
}

HMODULE WINAPI LoadLibraryExA(LPCSTR name, HANDLE file, DWORD flags)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return NULL;
    HMODULE module = LoadLibraryExW(wide.Buffer, file, flags);
    RtlFreeUnicodeString(&wide);
    return module;
}

HMODULE WINAPI LoadLibraryA(LPCSTR name)
{
    return LoadLibraryExA(name, NULL, 0);
}

WINBOOL WINAPI FreeLibrary(HMODULE module)
{
    return succeeded(LdrUnloadDll(module));
}

WINBOOL WINAPI DisableThreadLibraryCalls(HMODULE module)
{
    return succeeded(LdrDisableThreadCalloutsForDll(module));
}

FARPROC WINAPI GetProcAddress(HMODULE module, LPCSTR name)
{
    ANSI_STRING string;
    PVOID address = NULL;
    PVOID base = module != NULL ? (PVOID)module : NtCurrentPeb()->ImageBaseAddress;
    BOOL by_ordinal = (ULONG_PTR)name < 0x10000;
    if (!by_ordinal)
        RtlInitAnsiString(&string, name);
    NTSTATUS status =
        LdrGetProcedureAddress(base, by_ordinal ? NULL : &string, by_ordinal ? (ULONG)(ULONG_PTR)name : 0, &address);
    return succeeded(status) ? (FARPROC)(ULONG_PTR)address : NULL;
}

HMODULE WINAPI GetModuleHandleW(LPCWSTR name)
{
    UNICODE_STRING string;
    PVOID base = NULL;
    if (name == NULL)
        return NtCurrentPeb()->ImageBaseAddress;
    RtlInitUnicodeString(&string, name);
    return succeeded(LdrGetDllHandle(NULL, NULL, &string, &base)) ? base : NULL;
}

HMODULE WINAPI GetModuleHandleA(LPCSTR name)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return NULL;
    HMODULE module = GetModuleHandleW(wide.Buffer);
    RtlFreeUnicodeString(&wide);
    return module;
}

WINBOOL WINAPI GetModuleHandleExW(DWORD flags, LPCWSTR name, HMODULE *module)
{
    PLDR_DATA_TABLE_ENTRY entry;
    if (!(flags & GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS))
        *module = GetModuleHandleW(name);
    else
        *module = succeeded(LdrFindEntryForAddress((PVOID)name, &entry)) ? entry->DllBase : NULL;
    if (*module != NULL && !(flags & GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT) &&
        *module != NtCurrentPeb()->ImageBaseAddress) {
        PVOID base; /* loading it again by its full name raises its count */
        if (!succeeded(LdrFindEntryForAddress(*module, &entry)) ||
            !succeeded(LdrLoadDll(NULL, NULL, &entry->FullDllName, &base)))
            *module = NULL;
    }
    return *module != NULL;
}

/* Both forms truncate and say ERROR_INSUFFICIENT_BUFFER when the room is too small, as Windows does. */
DWORD WINAPI GetModuleFileNameW(HMODULE module, LPWSTR buffer, DWORD size)
{
    PLDR_DATA_TABLE_ENTRY entry;
    if (!succeeded(LdrFindEntryForAddress(module != NULL ? (PVOID)module : NtCurrentPeb()->ImageBaseAddress, &entry)))
        return 0;
    DWORD length = entry->FullDllName.Length / sizeof(WCHAR);
    DWORD copied = length < size ? length : size;
    memcpy(buffer, entry->FullDllName.Buffer, copied * sizeof(WCHAR));
    SetLastError(length < size ? ERROR_SUCCESS : ERROR_INSUFFICIENT_BUFFER);
    if (length < size)
        buffer[length] = 0;
    else if (size != 0)
        buffer[size - 1] = 0;
    return copied;
}

DWORD WINAPI GetModuleFileNameA(HMODULE module, LPSTR buffer, DWORD size)
{
    WCHAR wide[MAX_PATH];
    DWORD length = GetModuleFileNameW(module, wide, MAX_PATH);
    DWORD copied = length < size ? length : size;
    for (DWORD i = 0; i < copied; i++)
        buffer[i] = wide[i] < 0x100 ? (CHAR)wide[i] : '?';
    if (length < size)
        buffer[length] = 0;
    else if (size != 0) {
        buffer[size - 1] = 0;
        SetLastError(ERROR_INSUFFICIENT_BUFFER);
    }
    return copied;
}

LPWSTR WINAPI GetCommandLineW(VOID)
{
    return NtCurrentPeb()->ProcessParameters->CommandLine.Buffer;
}

static PSTR volatile ansi_command_line;

LPSTR WINAPI GetCommandLineA(VOID)
{
    if (ansi_command_line == NULL) {
        ANSI_STRING ansi;
        if (!NT_SUCCESS(RtlUnicodeStringToAnsiString(&ansi, &NtCurrentPeb()->ProcessParameters->CommandLine, TRUE)))
            return NULL;
        if (InterlockedCompareExchangePointer((PVOID volatile *)&ansi_command_line, ansi.Buffer, NULL) != NULL)
            RtlFreeAnsiString(&ansi);
    }
    return ansi_command_line;
}

DWORD WINAPI GetCurrentDirectoryW(DWORD size, LPWSTR buffer)
{
    UNICODE_STRING path = NtCurrentPeb()->ProcessParameters->CurrentDirectory.DosPath;
    DWORD length = path.Length / sizeof(WCHAR);
    if (length > 3 && path.Buffer[length - 1] == L'\\')
        length--; /* only a root keeps its separator */
    if (length >= size)
        return length + 1;
    memcpy(buffer, path.Buffer, length * sizeof(WCHAR));
    buffer[length] = 0;
    return length;
}

DWORD WINAPI GetEnvironmentVariableW(LPCWSTR name, LPWSTR buffer, DWORD size)
{
    UNICODE_STRING wanted;
    UNICODE_STRING value = {0, (USHORT)((size < 0x7FFF ? size : 0x7FFF) * sizeof(WCHAR)), buffer};
    RtlInitUnicodeString(&wanted, name);
    if (value.MaximumLength != 0)
        value.MaximumLength -= sizeof(WCHAR); /* room for the end */
    NTSTATUS status = RtlQueryEnvironmentVariable_U(NULL, &wanted, &value);
    if (status == STATUS_BUFFER_TOO_SMALL || (NT_SUCCESS(status) && size == 0))
        return value.Length / sizeof(WCHAR) + 1;
    if (!succeeded(status))
        return 0;
    buffer[value.Length / sizeof(WCHAR)] = 0;
    return value.Length / sizeof(WCHAR);
}

DWORD WINAPI GetEnvironmentVariableA(LPCSTR name, LPSTR buffer, DWORD size)
{
    UNICODE_STRING wide;
    WCHAR value[256];
    if (!widen(name, &wide))
        return 0;
    DWORD length = GetEnvironmentVariableW(wide.Buffer, value, RTL_NUMBER_OF(value));
    RtlFreeUnicodeString(&wide);
    if (length >= size || length >= RTL_NUMBER_OF(value))
        return length == 0 ? 0 : length + 1;
    for (DWORD i = 0; i <= length; i++)
        buffer[i] = value[i] < 0x100 ? (CHAR)value[i] : '?';
    return length;
}
