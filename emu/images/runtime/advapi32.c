/* advapi32: a registry without keys, the user's name, random bytes, tokens. */
#define _ADVAPI32_
#include "ntapi.h"
#include "random_bytes.h"

static LONG64 volatile random_state;

/* RtlGenRandom of ntsecapi.h */
BOOLEAN WINAPI SystemFunction036(PVOID buffer, ULONG size)
{
    random_bytes(buffer, size, &random_state);
    return TRUE;
}

WINBOOL WINAPI CryptAcquireContextW(ULONG_PTR *provider, LPCWSTR container, LPCWSTR name, DWORD type, DWORD flags)
{
    UNREFERENCED_PARAMETER(container);
    UNREFERENCED_PARAMETER(name);
    UNREFERENCED_PARAMETER(type);
    UNREFERENCED_PARAMETER(flags);
    *provider = 1;
    return TRUE;
}

WINBOOL WINAPI CryptAcquireContextA(ULONG_PTR *provider, LPCSTR container, LPCSTR name, DWORD type, DWORD flags)
{
    UNREFERENCED_PARAMETER(container);
    UNREFERENCED_PARAMETER(name);
    return CryptAcquireContextW(provider, NULL, NULL, type, flags);
}

WINBOOL WINAPI CryptGenRandom(ULONG_PTR provider, DWORD size, BYTE *buffer)
{
    UNREFERENCED_PARAMETER(provider);
    return SystemFunction036(buffer, size);
}

WINBOOL WINAPI CryptReleaseContext(ULONG_PTR provider, DWORD flags)
{
    UNREFERENCED_PARAMETER(provider);
    UNREFERENCED_PARAMETER(flags);
    return TRUE;
}

/* --- the registry: no key exists, none can be made */
LSTATUS WINAPI RegOpenKeyExW(HKEY key, LPCWSTR name, DWORD options, REGSAM access, PHKEY result)
{
    UNREFERENCED_PARAMETER(options);
    UNREFERENCED_PARAMETER(access);
    if (name == NULL || *name == 0) { /* documented: a new handle to the key itself */
        *result = key;
        return ERROR_SUCCESS;
    }
    *result = NULL;
    return ERROR_FILE_NOT_FOUND;
}

LSTATUS WINAPI RegOpenKeyExA(HKEY key, LPCSTR name, DWORD options, REGSAM access, PHKEY result)
{
    return RegOpenKeyExW(key, name == NULL || *name == 0 ? NULL : L"name", options, access, result);
}

LSTATUS WINAPI RegCreateKeyExW(HKEY key, LPCWSTR name, DWORD reserved, LPWSTR class_name, DWORD options, REGSAM access,
                               const LPSECURITY_ATTRIBUTES security, PHKEY result, LPDWORD disposition)
{
    UNREFERENCED_PARAMETER(key);
    UNREFERENCED_PARAMETER(name);
    UNREFERENCED_PARAMETER(reserved);
    UNREFERENCED_PARAMETER(class_name);
    UNREFERENCED_PARAMETER(options);
    UNREFERENCED_PARAMETER(access);
    (void)security;
    UNREFERENCED_PARAMETER(disposition);
    *result = NULL;
    return ERROR_ACCESS_DENIED;
}

LSTATUS WINAPI RegCreateKeyExA(HKEY key, LPCSTR name, DWORD reserved, LPSTR class_name, DWORD options, REGSAM access,
                               const LPSECURITY_ATTRIBUTES security, PHKEY result, LPDWORD disposition)
{
    UNREFERENCED_PARAMETER(name);
    UNREFERENCED_PARAMETER(class_name);
    return RegCreateKeyExW(key, NULL, reserved, NULL, options, access, security, result, disposition);
}

LSTATUS WINAPI RegQueryValueExW(HKEY key, LPCWSTR name, LPDWORD reserved, LPDWORD type, LPBYTE data, LPDWORD size)
{
    UNREFERENCED_PARAMETER(key);
    UNREFERENCED_PARAMETER(name);
    UNREFERENCED_PARAMETER(reserved);
    UNREFERENCED_PARAMETER(type);
    UNREFERENCED_PARAMETER(data);
    UNREFERENCED_PARAMETER(size);
    return ERROR_FILE_NOT_FOUND;
}

LSTATUS WINAPI RegQueryValueExA(HKEY key, LPCSTR name, LPDWORD reserved, LPDWORD type, LPBYTE data, LPDWORD size)
{
    UNREFERENCED_PARAMETER(name);
    return RegQueryValueExW(key, NULL, reserved, type, data, size);
}

LSTATUS WINAPI RegGetValueW(HKEY key, LPCWSTR sub_key, LPCWSTR value, DWORD flags, LPDWORD type, PVOID data,
                            LPDWORD size)
{
    UNREFERENCED_PARAMETER(sub_key);
    UNREFERENCED_PARAMETER(flags);
    return RegQueryValueExW(key, value, NULL, type, data, size);
}

LSTATUS WINAPI RegSetValueExW(HKEY key, LPCWSTR name, DWORD reserved, DWORD type, CONST BYTE *data, DWORD size)
{
    UNREFERENCED_PARAMETER(key);
    UNREFERENCED_PARAMETER(name);
    UNREFERENCED_PARAMETER(reserved);
    UNREFERENCED_PARAMETER(type);
    UNREFERENCED_PARAMETER(data);
    UNREFERENCED_PARAMETER(size);
    return ERROR_ACCESS_DENIED;
}

LSTATUS WINAPI RegEnumKeyExW(HKEY key, DWORD index, LPWSTR name, LPDWORD size, LPDWORD reserved, LPWSTR class_name,
                             LPDWORD class_size, PFILETIME written)
{
    UNREFERENCED_PARAMETER(key);
    UNREFERENCED_PARAMETER(index);
    UNREFERENCED_PARAMETER(name);
    UNREFERENCED_PARAMETER(size);
    UNREFERENCED_PARAMETER(reserved);
    UNREFERENCED_PARAMETER(class_name);
    UNREFERENCED_PARAMETER(class_size);
    UNREFERENCED_PARAMETER(written);
    return ERROR_NO_MORE_ITEMS;
}

LSTATUS WINAPI RegCloseKey(HKEY key)
{
    return key != NULL ? ERROR_SUCCESS : ERROR_INVALID_HANDLE;
}

/* --- the user. Documented: the size counts the end; a small buffer gets ERROR_INSUFFICIENT_BUFFER and the size. */
static WINBOOL user_name(DWORD length, LPDWORD size)
{
    BOOL fits = length != 0 && length < *size;
    *size = fits ? length + 1 : length;
    if (!fits)
        SetLastError(ERROR_INSUFFICIENT_BUFFER);
    return fits;
}

WINBOOL WINAPI GetUserNameW(LPWSTR name, LPDWORD size)
{
    return user_name(GetEnvironmentVariableW(L"USERNAME", name, *size), size);
}

WINBOOL WINAPI GetUserNameA(LPSTR name, LPDWORD size)
{
    return user_name(GetEnvironmentVariableA("USERNAME", name, *size), size);
}

/* --- tokens */
NTSTATUS NTAPI NtOpenProcessToken(HANDLE process, ACCESS_MASK access, PHANDLE token);
NTSTATUS NTAPI NtQueryInformationToken(HANDLE token, TOKEN_INFORMATION_CLASS kind, PVOID buffer, ULONG length,
                                       PULONG returned);

static WINBOOL done(NTSTATUS status)
{
    if (!NT_SUCCESS(status))
        RtlSetLastWin32ErrorAndNtStatusFromNtStatus(status);
    return NT_SUCCESS(status);
}

WINBOOL WINAPI OpenProcessToken(HANDLE process, DWORD access, PHANDLE token)
{
    return done(NtOpenProcessToken(process, access, token));
}

WINBOOL WINAPI GetTokenInformation(HANDLE token, TOKEN_INFORMATION_CLASS kind, LPVOID buffer, DWORD length,
                                   PDWORD returned)
{
    return done(NtQueryInformationToken(token, kind, buffer, length, returned));
}
