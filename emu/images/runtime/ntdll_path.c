/* ntdll: full paths. learn.microsoft.com, "File path formats on Windows systems": the kinds of paths, and what is made
   normal of them. */
#define _NTSYSTEM_
#include "ntdll_runtime.h"

static BOOLEAN is_separator(WCHAR c)
{
    return c == L'\\' || c == L'/';
}

static WCHAR upper(WCHAR c)
{
    return RtlUpcaseUnicodeChar(c);
}

/* A device of DOS, as a whole name without a path: NUL, CON, PRN, AUX, COM1, LPT1, CONIN$, CONOUT$. */
static BOOLEAN is_device(PCWSTR name, SIZE_T length)
{
    static const WCHAR *const names[] = {L"NUL", L"CON", L"PRN", L"AUX", L"CONIN$", L"CONOUT$"};
    for (ULONG i = 0; i < RTL_NUMBER_OF(names); i++) {
        UNICODE_STRING wanted;
        UNICODE_STRING found = {(USHORT)(length * sizeof(WCHAR)), 0, (PWSTR)name};
        RtlInitUnicodeString(&wanted, names[i]);
        if (RtlEqualUnicodeString(&found, &wanted, TRUE))
            return TRUE;
    }
    if (length != 4 || name[3] < L'1' || name[3] > L'9')
        return FALSE;
    return (upper(name[0]) == L'C' && upper(name[1]) == L'O' && upper(name[2]) == L'M') ||
           (upper(name[0]) == L'L' && upper(name[1]) == L'P' && upper(name[2]) == L'T');
}

/* Write the normal form of text[0..length) behind out, where a root ends at `root`. "." goes, ".." takes a part away,
 * separators are single, and a part loses a final period, the last one all final periods and spaces. */
static PWSTR normalize(PCWSTR text, SIZE_T length, PWSTR root, PWSTR out)
{
    for (SIZE_T at = 0; at < length;) {
        SIZE_T start = at;
        while (at < length && !is_separator(text[at]))
            at++;
        SIZE_T n = at - start;
        BOOLEAN more = at < length;
        at++;
        if (n == 2 && text[start] == L'.' && text[start + 1] == L'.') {
            if (out > root)
                out--;
            while (out > root && out[-1] != L'\\')
                out--;
            continue;
        }
        if (!more)
            while (n != 0 && (text[start + n - 1] == L'.' || text[start + n - 1] == L' '))
                n--;
        else if (n != 0 && text[start + n - 1] == L'.' && (n < 2 || text[start + n - 2] != L'.'))
            n--;
        if (n == 0)
            continue;
        memmove(out, text + start, n * sizeof(WCHAR));
        out += n;
        if (more)
            *out++ = L'\\';
    }
    return out;
}

static PWSTR append(PWSTR out, PCWSTR text, SIZE_T length)
{
    memmove(out, text, length * sizeof(WCHAR));
    return out + length;
}

/* The end of \\server\share, counted from the text behind the two separators. */
static SIZE_T share_length(PCWSTR text, SIZE_T length)
{
    SIZE_T at = 0;
    for (int parts = 0; parts < 2 && at < length; parts++) {
        while (at < length && !is_separator(text[at]))
            at++;
        if (parts == 0 && at < length)
            at++;
    }
    return at;
}

static PWSTR append_share(PWSTR out, PCWSTR text, SIZE_T length)
{
    for (SIZE_T i = 0; i < length; i++)
        *out++ = is_separator(text[i]) ? L'\\' : text[i];
    return out;
}

/* The full path in `out`, which has room for the path, the current directory and 16 more characters. The end. */
static PWSTR full_path(PCWSTR path, SIZE_T length, PWSTR out)
{
    UNICODE_STRING current = NtCurrentPeb()->ProcessParameters->CurrentDirectory.DosPath;
    SIZE_T current_length = current.Length / sizeof(WCHAR);
    if (length >= 4 && path[0] == L'\\' && (path[1] == L'\\' || path[1] == L'?') && path[2] == L'?' && path[3] == L'\\')
        return append(out, path, length); /* taken as it is */
    if (is_device(path, length))
        return append(append(out, L"\\\\.\\", 4), path, length);
    if (length >= 2 && is_separator(path[0]) && is_separator(path[1])) {
        BOOLEAN device = length >= 4 && (path[2] == L'.' || path[2] == L'?') && is_separator(path[3]);
        out = append(out, L"\\\\", 2);
        if (device) {
            *out++ = path[2];
            *out++ = L'\\';
            return normalize(path + 4, length - 4, out, out);
        }
        SIZE_T share = share_length(path + 2, length - 2);
        out = append_share(out, path + 2, share);
        path += 2 + share;
        length -= 2 + share;
        if (length != 0)
            *out++ = L'\\';
        return normalize(path, length, out, out);
    }
    BOOLEAN drive = length >= 2 && path[1] == L':';
    PWSTR start = out;
    if (drive && length >= 3 && is_separator(path[2])) {
        out = append(out, path, 2);
        *out++ = L'\\';
        return normalize(path + 3, length - 3, out, out);
    }
    if (drive && upper(path[0]) != upper(current.Buffer[0])) { /* "C:name" on a drive without a current directory */
        out = append(out, path, 2);
        *out++ = L'\\';
        return normalize(path + 2, length - 2, out, out);
    }
    if (length != 0 && is_separator(path[0])) {
        out = append(append(out, current.Buffer, 2), L"\\", 1);
        return normalize(path, length, out, out);
    }
    out = append(out, current.Buffer, current_length);
    if (drive) {
        start[0] = path[0];
        path += 2;
        length -= 2;
    }
    if (out[-1] != L'\\')
        *out++ = L'\\';
    PWSTR root = start + 3;
    PWSTR end = normalize(path, length, root, out);
    if (end == out && out > root) /* nothing was added: the directory itself, without its separator */
        end--;
    return end;
}

static PWSTR allocate_full_path(PCWSTR path, PWSTR *end)
{
    SIZE_T length = wcslen(path);
    SIZE_T room = length + NtCurrentPeb()->ProcessParameters->CurrentDirectory.DosPath.Length / sizeof(WCHAR) + 24;
    if (length == 0 || room > 0x7FF0)
        return NULL;
    PWSTR buffer = RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, 0, room * sizeof(WCHAR));
    if (buffer != NULL) {
        *end = full_path(path, length, buffer);
        **end = 0;
    }
    return buffer;
}

/* The last part of a path, NULL if it ends with a separator. */
static PWSTR last_part(PWSTR path, PWSTR end)
{
    PWSTR part = end;
    while (part > path && part[-1] != L'\\')
        part--;
    return part < end && part > path ? part : NULL;
}

/* Bytes without the end; or, if the buffer is too small, the bytes that are needed with it. 0: the path is invalid. */
ULONG NTAPI RtlGetFullPathName_U(PCWSTR path, ULONG size, PWSTR buffer, PWSTR *file_part)
{
    PWSTR end;
    PWSTR full = allocate_full_path(path, &end);
    if (full == NULL)
        return 0;
    ULONG bytes = (ULONG)(end - full) * sizeof(WCHAR);
    if (bytes + sizeof(WCHAR) <= size) {
        memcpy(buffer, full, bytes + sizeof(WCHAR));
        if (file_part != NULL)
            *file_part = last_part(buffer, buffer + bytes / sizeof(WCHAR));
    } else
        bytes += sizeof(WCHAR);
    RtlFreeHeap(NtCurrentPeb()->ProcessHeap, 0, full);
    return bytes;
}

BOOL NTAPI RtlDosPathNameToNtPathName_U(PCWSTR path, PUNICODE_STRING result, PCWSTR *file_part, VOID *directory)
{
    UNREFERENCED_PARAMETER(directory);
    PWSTR end;
    PWSTR full = allocate_full_path(path, &end);
    if (full == NULL)
        return FALSE;
    SIZE_T length = (SIZE_T)(end - full);
    PWSTR buffer = RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, 0, (length + 16) * sizeof(WCHAR));
    if (buffer == NULL) {
        RtlFreeHeap(NtCurrentPeb()->ProcessHeap, 0, full);
        return FALSE;
    }
    PCWSTR rest = full;
    PWSTR out = append(buffer, L"\\??\\", 4);
    if (full[0] == L'\\' && full[1] == L'?') /* \??\ */
        rest += 4;
    else if (full[0] == L'\\' && full[1] == L'\\') {
        if ((full[2] == L'.' || full[2] == L'?') && full[3] == L'\\')
            rest += 4;
        else {
            out = append(out, L"UNC\\", 4);
            rest += 2;
        }
    }
    out = append(out, rest, (SIZE_T)(end - rest));
    *out = 0;
    RtlFreeHeap(NtCurrentPeb()->ProcessHeap, 0, full);
    result->Buffer = buffer;
    result->Length = (USHORT)((out - buffer) * sizeof(WCHAR));
    result->MaximumLength = (USHORT)((length + 16) * sizeof(WCHAR));
    if (file_part != NULL)
        *file_part = last_part(buffer, out);
    return TRUE;
}
