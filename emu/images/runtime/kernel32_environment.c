/* kernel32: the environment. The block is a list of NAME=value, each with its end, and one more end. The first change
   copies it to the heap. */
#include "kernel32_runtime.h"

#define PARAMETERS_ENVIRONMENT_SIZE 0x3F0 /* RTL_USER_PROCESS_PARAMETERS.EnvironmentSize (public symbols) */

static RTL_SRWLOCK lock = RTL_SRWLOCK_INIT;
static PWSTR own_block; /* the block, once it is on the heap */

DWORD give_wide(PCWSTR text, DWORD length, LPWSTR buffer, DWORD room)
{
    if (length >= room)
        return length + 1;
    memcpy(buffer, text, length * sizeof(WCHAR));
    buffer[length] = 0;
    return length;
}

DWORD give_narrow(PCWSTR text, DWORD length, LPSTR buffer, DWORD room)
{
    int needed = length != 0 ? WideCharToMultiByte(CP_ACP, 0, text, (int)length, NULL, 0, NULL, NULL) : 0;
    if ((DWORD)needed >= room)
        return (DWORD)needed + 1;
    if (needed != 0)
        WideCharToMultiByte(CP_ACP, 0, text, (int)length, buffer, needed, NULL, NULL);
    buffer[needed] = 0;
    return (DWORD)needed;
}

static PWSTR block(void)
{
    return NtCurrentPeb()->ProcessParameters->Environment;
}

/* The number of characters of a block, with its last end. */
static SIZE_T block_length(PCWSTR start)
{
    PCWSTR at = start;
    while (*at)
        at += wcslen(at) + 1;
    return (SIZE_T)(at - start) + 1 + (at == start);
}

/* The entry of a name, or NULL; `length` is that of the name. */
static PWSTR find(PCWSTR name, SIZE_T length)
{
    UNICODE_STRING wanted = {(USHORT)(length * sizeof(WCHAR)), 0, (PWSTR)name};
    for (PWSTR entry = block(); *entry; entry += wcslen(entry) + 1) {
        PWSTR equals = wcschr(entry + 1, L'='); /* names like "=C:" begin with one */
        UNICODE_STRING found = {0, 0, entry};
        if (equals == NULL)
            continue;
        found.Length = (USHORT)((equals - entry) * sizeof(WCHAR));
        if (RtlEqualUnicodeString(&found, &wanted, TRUE))
            return entry;
    }
    return NULL;
}

/* The value of a variable in `buffer`, as GetEnvironmentVariable answers. */
static DWORD get(PCWSTR name, PVOID buffer, DWORD room, BOOL wide)
{
    SIZE_T length = wcslen(name);
    DWORD answer = 0;
    DWORD error = ERROR_ENVVAR_NOT_FOUND;
    RtlAcquireSRWLockShared(&lock);
    PWSTR entry = length != 0 ? find(name, length) : NULL;
    if (entry != NULL) {
        PCWSTR value = entry + length + 1;
        DWORD size = (DWORD)wcslen(value);
        answer = wide ? give_wide(value, size, buffer, room) : give_narrow(value, size, buffer, room);
        error = ERROR_SUCCESS;
    }
    RtlReleaseSRWLockShared(&lock);
    SetLastError(error);
    return answer;
}

DWORD WINAPI GetEnvironmentVariableW(LPCWSTR name, LPWSTR buffer, DWORD size)
{
    return get(name, buffer, size, TRUE);
}

DWORD WINAPI GetEnvironmentVariableA(LPCSTR name, LPSTR buffer, DWORD size)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return 0;
    DWORD answer = get(wide.Buffer, buffer, size, FALSE);
    DWORD error = GetLastError();
    RtlFreeUnicodeString(&wide);
    SetLastError(error);
    return answer;
}

/* The block without `old` and with NAME=value before the first name that is greater. */
static BOOL replace(PWSTR old, LPCWSTR name, LPCWSTR value)
{
    SIZE_T name_length = wcslen(name);
    SIZE_T value_length = value != NULL ? wcslen(value) : 0;
    SIZE_T room = block_length(block()) + name_length + value_length + 3;
    PWSTR made = RtlAllocateHeap(GetProcessHeap(), 0, room * sizeof(WCHAR));
    UNICODE_STRING new_name = {(USHORT)(name_length * sizeof(WCHAR)), 0, (PWSTR)name};
    PWSTR out = made;
    BOOL pending = value != NULL;
    if (made == NULL)
        return fails(ERROR_NOT_ENOUGH_MEMORY);
    for (PWSTR entry = block();; entry += wcslen(entry) + 1) {
        PWSTR equals = *entry ? wcschr(entry + 1, L'=') : NULL;
        UNICODE_STRING here = {equals != NULL ? (USHORT)((equals - entry) * sizeof(WCHAR)) : 0, 0, entry};
        if (pending && (*entry == 0 || (equals != NULL && RtlCompareUnicodeString(&here, &new_name, TRUE) >= 0))) {
            memcpy(out, name, name_length * sizeof(WCHAR));
            out += name_length;
            *out++ = L'=';
            memcpy(out, value, (value_length + 1) * sizeof(WCHAR));
            out += value_length + 1;
            pending = FALSE;
        }
        if (*entry == 0)
            break;
        if (entry != old) {
            wcscpy(out, entry);
            out += wcslen(out) + 1;
        }
    }
    *out++ = 0;
    PRTL_USER_PROCESS_PARAMETERS parameters = NtCurrentPeb()->ProcessParameters;
    parameters->Environment = made;
    *(SIZE_T *)((PUCHAR)parameters + PARAMETERS_ENVIRONMENT_SIZE) = (SIZE_T)(out - made) * sizeof(WCHAR);
    RtlFreeHeap(GetProcessHeap(), 0, own_block);
    own_block = made;
    return TRUE;
}

WINBOOL WINAPI SetEnvironmentVariableW(LPCWSTR name, LPCWSTR value)
{
    if (name == NULL || *name == 0 || wcschr(name + 1, L'=') != NULL || wcslen(name) > 0x7FFF ||
        (value != NULL && wcslen(value) > 0x7FFE))
        return fails(ERROR_INVALID_PARAMETER);
    RtlAcquireSRWLockExclusive(&lock);
    PWSTR old = find(name, wcslen(name));
    BOOL done = old == NULL && value == NULL ? fails(ERROR_ENVVAR_NOT_FOUND) : replace(old, name, value);
    RtlReleaseSRWLockExclusive(&lock);
    return done;
}

WINBOOL WINAPI SetEnvironmentVariableA(LPCSTR name, LPCSTR value)
{
    UNICODE_STRING wide_name;
    UNICODE_STRING wide_value = {0, 0, NULL};
    if (!widen(name, &wide_name))
        return FALSE;
    BOOL done = widen(value, &wide_value) && SetEnvironmentVariableW(wide_name.Buffer, wide_value.Buffer);
    RtlFreeUnicodeString(&wide_name);
    RtlFreeUnicodeString(&wide_value);
    return done;
}

LPWCH WINAPI GetEnvironmentStringsW(VOID)
{
    RtlAcquireSRWLockShared(&lock);
    SIZE_T size = block_length(block()) * sizeof(WCHAR);
    PWSTR copy = RtlAllocateHeap(GetProcessHeap(), 0, size);
    if (copy != NULL)
        memcpy(copy, block(), size);
    RtlReleaseSRWLockShared(&lock);
    return copy;
}

WINBOOL WINAPI FreeEnvironmentStringsW(LPWCH strings)
{
    return RtlFreeHeap(GetProcessHeap(), 0, strings);
}

/* The header makes the ANSI form another name of the plain one. */
#undef GetEnvironmentStringsA
#undef GetEnvironmentStrings
LPCH WINAPI GetEnvironmentStringsA(VOID)
{
    PWSTR wide = GetEnvironmentStringsW();
    if (wide == NULL)
        return NULL;
    int length = (int)block_length(wide);
    int size = WideCharToMultiByte(CP_ACP, 0, wide, length, NULL, 0, NULL, NULL);
    PSTR narrow = RtlAllocateHeap(GetProcessHeap(), 0, (SIZE_T)size);
    if (narrow != NULL)
        WideCharToMultiByte(CP_ACP, 0, wide, length, narrow, size, NULL, NULL);
    RtlFreeHeap(GetProcessHeap(), 0, wide);
    return narrow;
}

LPCH WINAPI GetEnvironmentStrings(VOID)
{
    return GetEnvironmentStringsA();
}

WINBOOL WINAPI FreeEnvironmentStringsA(LPCH strings)
{
    return RtlFreeHeap(GetProcessHeap(), 0, strings);
}

/* Documented: the count with the end; %NAME% of an unknown name stays. */
DWORD WINAPI ExpandEnvironmentStringsW(LPCWSTR source, LPWSTR destination, DWORD size)
{
    DWORD count = 0;
    RtlAcquireSRWLockShared(&lock);
    while (*source) {
        PCWSTR text = source;
        SIZE_T length = 1;
        PCWSTR end = *source == L'%' ? wcschr(source + 1, L'%') : NULL;
        PWSTR entry = end != NULL && end > source + 1 ? find(source + 1, (SIZE_T)(end - source) - 1) : NULL;
        if (entry != NULL) {
            text = entry + (end - source);
            length = wcslen(text);
            source = end + 1;
        } else
            source++;
        for (SIZE_T i = 0; i < length; i++, count++)
            if (count < size)
                destination[count] = text[i];
    }
    RtlReleaseSRWLockShared(&lock);
    if (count < size)
        destination[count] = 0;
    else if (size != 0)
        destination[0] = 0;
    return count + 1;
}

DWORD WINAPI ExpandEnvironmentStringsA(LPCSTR source, LPSTR destination, DWORD size)
{
    UNICODE_STRING wide;
    if (!widen(source, &wide))
        return 0;
    DWORD room = ExpandEnvironmentStringsW(wide.Buffer, NULL, 0);
    PWSTR expanded = RtlAllocateHeap(GetProcessHeap(), 0, room * sizeof(WCHAR));
    DWORD answer = 0;
    if (expanded != NULL) {
        ExpandEnvironmentStringsW(wide.Buffer, expanded, room);
        answer = give_narrow(expanded, room - 1, destination, size);
        if (answer < size)
            answer++;
    }
    RtlFreeHeap(GetProcessHeap(), 0, expanded);
    RtlFreeUnicodeString(&wide);
    return answer;
}
