/* kernel32: FormatMessage, with the texts of common errors (winerror.h; [MS-ERREF] 2.2). */
#include "kernel32_runtime.h"

static const struct {
    DWORD error;
    PCWSTR text;
} messages[] = {
    {ERROR_SUCCESS, L"The operation completed successfully."},
    {ERROR_INVALID_FUNCTION, L"Incorrect function."},
    {ERROR_FILE_NOT_FOUND, L"The system cannot find the file specified."},
    {ERROR_PATH_NOT_FOUND, L"The system cannot find the path specified."},
    {ERROR_TOO_MANY_OPEN_FILES, L"The system cannot open the file."},
    {ERROR_ACCESS_DENIED, L"Access is denied."},
    {ERROR_INVALID_HANDLE, L"The handle is invalid."},
    {ERROR_NOT_ENOUGH_MEMORY, L"Not enough memory resources are available to process this command."},
    {ERROR_OUTOFMEMORY, L"Not enough memory resources are available to complete this operation."},
    {ERROR_NO_MORE_FILES, L"There are no more files."},
    {ERROR_SHARING_VIOLATION, L"The process cannot access the file because it is being used by another process."},
    {ERROR_HANDLE_EOF, L"Reached the end of the file."},
    {ERROR_NOT_SUPPORTED, L"The request is not supported."},
    {ERROR_FILE_EXISTS, L"The file exists."},
    {ERROR_INVALID_PARAMETER, L"The parameter is incorrect."},
    {ERROR_BROKEN_PIPE, L"The pipe has been ended."},
    {ERROR_DISK_FULL, L"There is not enough space on the disk."},
    {ERROR_CALL_NOT_IMPLEMENTED, L"This function is not supported on this system."},
    {ERROR_SEM_TIMEOUT, L"The semaphore timeout period has expired."},
    {ERROR_INSUFFICIENT_BUFFER, L"The data area passed to a system call is too small."},
    {ERROR_INVALID_NAME, L"The filename, directory name, or volume label syntax is incorrect."},
    {ERROR_MOD_NOT_FOUND, L"The specified module could not be found."},
    {ERROR_PROC_NOT_FOUND, L"The specified procedure could not be found."},
    {ERROR_DIR_NOT_EMPTY, L"The directory is not empty."},
    {ERROR_ALREADY_EXISTS, L"Cannot create a file when that file already exists."},
    {ERROR_ENVVAR_NOT_FOUND, L"The system could not find the environment option that was entered."},
    {ERROR_MORE_DATA, L"More data is available."},
    {WAIT_TIMEOUT, L"The wait operation timed out."},
    {ERROR_NO_MORE_ITEMS, L"No more data is available."},
    {ERROR_DIRECTORY, L"The directory name is invalid."},
    {ERROR_INVALID_ADDRESS, L"Attempt to access invalid address."},
    {ERROR_NOACCESS, L"Invalid access to memory location."},
    {ERROR_NO_UNICODE_TRANSLATION,
     L"No mapping for the Unicode character exists in the target multi-byte code page."},
    {ERROR_NOT_FOUND, L"Element not found."},
    {ERROR_TIMEOUT, L"This operation returned because the timeout period expired."},
    {ERROR_PRIVILEGE_NOT_HELD, L"A required privilege is not held by the client."},
};

/* A text that is being made: it grows on the heap. */
typedef struct {
    PWSTR text;
    SIZE_T length, room;
} OUTPUT;

static BOOL put(OUTPUT *out, PCWSTR text, SIZE_T count)
{
    if (out->length + count + 1 > out->room) {
        SIZE_T room = (out->length + count + 1) * 2 + 64;
        PWSTR grown = RtlAllocateHeap(GetProcessHeap(), 0, room * sizeof(WCHAR));
        if (grown == NULL)
            return fails(ERROR_NOT_ENOUGH_MEMORY);
        memcpy(grown, out->text, out->length * sizeof(WCHAR));
        RtlFreeHeap(GetProcessHeap(), 0, out->text);
        out->text = grown;
        out->room = room;
    }
    memcpy(out->text + out->length, text, count * sizeof(WCHAR));
    out->length += count;
    out->text[out->length] = 0;
    return TRUE;
}

static ULONG_PTR argument(DWORD flags, va_list *arguments, int number)
{
    if (flags & FORMAT_MESSAGE_ARGUMENT_ARRAY)
        return ((ULONG_PTR *)arguments)[number - 1];
    return ((ULONG_PTR *)*arguments)[number - 1]; /* amd64: a va_list points to 8-byte slots */
}

static BOOL put_number(OUTPUT *out, ULONG_PTR value, WCHAR kind)
{
    WCHAR digits[24];
    int at = RTL_NUMBER_OF(digits);
    ULONG base = kind == L'x' || kind == L'X' ? 16 : 10;
    BOOL negative = (kind == L'd' || kind == L'i') && (LONG)value < 0;
    ULONG64 left = negative ? (ULONG64)(-(LONG64)(LONG)value) : (ULONG)value;
    do {
        ULONG digit = (ULONG)(left % base);
        digits[--at] = (WCHAR)(digit < 10 ? L'0' + digit : (kind == L'X' ? L'A' : L'a') + digit - 10);
    } while ((left /= base) != 0);
    if (negative)
        digits[--at] = L'-';
    return put(out, digits + at, RTL_NUMBER_OF(digits) - (SIZE_T)at);
}

static BOOL put_narrow(OUTPUT *out, PCSTR text)
{
    for (; *text; text++) {
        WCHAR c = (UCHAR)*text;
        MultiByteToWideChar(CP_ACP, 0, text, 1, &c, 1);
        if (!put(out, &c, 1))
            return FALSE;
    }
    return TRUE;
}

/* %1 to %99 with an optional !format! of s, S, c, d, i, u, x, X; %0 ends; %n breaks the line; %% and others as they
 * are. */
static BOOL expand(OUTPUT *out, PCWSTR format, DWORD flags, va_list *arguments, BOOL ansi)
{
    while (*format) {
        if (*format != L'%' || (flags & FORMAT_MESSAGE_IGNORE_INSERTS)) {
            if (!put(out, format++, 1))
                return FALSE;
            continue;
        }
        WCHAR c = *++format;
        if (c == L'0' || c == 0)
            return TRUE;
        format++;
        if (c < L'1' || c > L'9') {
            BOOL done = c == L'n' ? put(out, L"\r\n", 2) : c == L'r' ? put(out, L"\r", 1) : put(out, &c, 1);
            if (!done)
                return FALSE;
            continue;
        }
        int number = c - L'0';
        if (*format >= L'0' && *format <= L'9')
            number = number * 10 + (*format++ - L'0');
        WCHAR kind = L's';
        BOOL wide = !ansi;
        if (*format == L'!') {
            for (format++; *format && *format != L'!'; format++) {
                wide = *format == L'w' || *format == L'l' ? TRUE : *format == L'h' ? FALSE : wide;
                kind = *format;
            }
            if (*format)
                format++;
        }
        if (arguments == NULL)
            return fails(ERROR_INVALID_PARAMETER);
        ULONG_PTR value = argument(flags, arguments, number);
        WCHAR character = (WCHAR)value;
        BOOL done = kind == L'c' ? put(out, &character, 1)
                    : kind != L's' && kind != L'S' ? put_number(out, value, kind)
                    : value == 0                   ? put(out, L"(null)", 6)
                    : (kind == L'S') != wide       ? put(out, (PCWSTR)value, wcslen((PCWSTR)value))
                                                   : put_narrow(out, (PCSTR)value);
        if (!done)
            return FALSE;
    }
    return TRUE;
}

static BOOL make_message(OUTPUT *out, DWORD flags, LPCVOID source, DWORD id, va_list *arguments, BOOL ansi)
{
    if (flags & FORMAT_MESSAGE_FROM_STRING) {
        UNICODE_STRING wide = {0, 0, (PWSTR)source};
        if (ansi && !widen(source, &wide))
            return FALSE;
        BOOL done = put(out, L"", 0) && expand(out, wide.Buffer, flags, arguments, ansi);
        if (ansi)
            RtlFreeUnicodeString(&wide);
        return done;
    }
    if ((flags & FORMAT_MESSAGE_FROM_SYSTEM) && (id & 0xFFFF0000) == 0x80070000)
        id &= 0xFFFF; /* HRESULT_FROM_WIN32 */
    for (ULONG i = 0; i < RTL_NUMBER_OF(messages) && (flags & FORMAT_MESSAGE_FROM_SYSTEM); i++)
        if (messages[i].error == id)
            return put(out, messages[i].text, wcslen(messages[i].text)) && put(out, L"\r\n", 2);
    return fails(flags & FORMAT_MESSAGE_FROM_SYSTEM ? ERROR_MR_MID_NOT_FOUND : ERROR_RESOURCE_TYPE_NOT_FOUND);
}

DWORD WINAPI FormatMessageW(DWORD flags, LPCVOID source, DWORD id, DWORD language, LPWSTR buffer, DWORD size,
                            va_list *arguments)
{
    OUTPUT out = {NULL, 0, 0};
    DWORD answer = 0;
    UNREFERENCED_PARAMETER(language);
    if (make_message(&out, flags, source, id, arguments, FALSE)) {
        answer = (DWORD)out.length;
        if (flags & FORMAT_MESSAGE_ALLOCATE_BUFFER) {
            *(PWSTR *)buffer = out.text; /* of the process heap: for LocalFree */
            return answer;
        }
        if (answer >= size)
            answer = (DWORD)fails(ERROR_INSUFFICIENT_BUFFER);
        else
            memcpy(buffer, out.text, (out.length + 1) * sizeof(WCHAR));
    }
    RtlFreeHeap(GetProcessHeap(), 0, out.text);
    return answer;
}

DWORD WINAPI FormatMessageA(DWORD flags, LPCVOID source, DWORD id, DWORD language, LPSTR buffer, DWORD size,
                            va_list *arguments)
{
    OUTPUT out = {NULL, 0, 0};
    DWORD answer = 0;
    UNREFERENCED_PARAMETER(language);
    if (make_message(&out, flags, source, id, arguments, TRUE)) {
        DWORD room = (DWORD)out.length + 1;
        if (flags & FORMAT_MESSAGE_ALLOCATE_BUFFER) {
            PSTR made = LocalAlloc(0, room);
            *(PSTR *)buffer = made;
            answer = made != NULL ? give_narrow(out.text, (DWORD)out.length, made, room) : 0;
        } else {
            answer = give_narrow(out.text, (DWORD)out.length, buffer, size);
            if (answer >= size)
                answer = (DWORD)fails(ERROR_INSUFFICIENT_BUFFER);
        }
    }
    RtlFreeHeap(GetProcessHeap(), 0, out.text);
    return answer;
}
