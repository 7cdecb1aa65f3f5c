/* user32: message boxes on the virtual console, and text. There are no windows: a program that makes one ends with a line
   that names what is missing. */
#define _USER32_
#include <windows.h>
#include <stdarg.h>

static void write_text(PCWSTR text, int length)
{
    CHAR utf8[768];
    DWORD written;
    while (length > 0) {
        int part = length < 256 ? length : 256;
        if (part < length && IS_HIGH_SURROGATE(text[part - 1]))
            part--; /* a pair stays together */
        int size = WideCharToMultiByte(CP_UTF8, 0, text, part, utf8, sizeof(utf8), NULL, NULL);
        WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), utf8, (DWORD)size, &written, NULL);
        text += part;
        length -= part;
    }
}

/* The buttons of each type, in their order (winuser.h). */
static const BYTE buttons[][3] = {
    {IDOK, 0, 0},
    {IDOK, IDCANCEL, 0},
    {IDABORT, IDRETRY, IDIGNORE},
    {IDYES, IDNO, IDCANCEL},
    {IDYES, IDNO, 0},
    {IDRETRY, IDCANCEL, 0},
    {IDCANCEL, IDTRYAGAIN, IDCONTINUE},
};

/* The box is a line "[caption] text". The user presses Return: the default button. */
int WINAPI MessageBoxExW(HWND owner, LPCWSTR text, LPCWSTR caption, UINT type, WORD language)
{
    UINT kind = type & MB_TYPEMASK;
    UINT button = (type & MB_DEFMASK) >> 8;
    UNREFERENCED_PARAMETER(owner);
    UNREFERENCED_PARAMETER(language);
    if (kind >= ARRAYSIZE(buttons)) {
        SetLastError(ERROR_INVALID_MSGBOX_STYLE);
        return 0;
    }
    if (caption == NULL)
        caption = L"Error"; /* documented */
    write_text(L"[", 1);
    write_text(caption, lstrlenW(caption));
    write_text(L"] ", 2);
    write_text(text, lstrlenW(text));
    write_text(L"\r\n", 2);
    if (button > 2 || buttons[kind][button] == 0)
        button = 0;
    return buttons[kind][button];
}

int WINAPI MessageBoxW(HWND owner, LPCWSTR text, LPCWSTR caption, UINT type)
{
    return MessageBoxExW(owner, text, caption, type, 0);
}

/* The wide form of an ANSI text on the heap; NULL stays NULL. */
static PWSTR widened(LPCSTR text)
{
    if (text == NULL)
        return NULL;
    int length = MultiByteToWideChar(CP_ACP, 0, text, -1, NULL, 0);
    PWSTR wide = HeapAlloc(GetProcessHeap(), 0, (SIZE_T)length * sizeof(WCHAR));
    if (wide != NULL)
        MultiByteToWideChar(CP_ACP, 0, text, -1, wide, length);
    return wide;
}

int WINAPI MessageBoxExA(HWND owner, LPCSTR text, LPCSTR caption, UINT type, WORD language)
{
    PWSTR wide_text = widened(text);
    PWSTR wide_caption = widened(caption);
    int answer = MessageBoxExW(owner, wide_text, wide_caption, type, language);
    HeapFree(GetProcessHeap(), 0, wide_text);
    HeapFree(GetProcessHeap(), 0, wide_caption);
    return answer;
}

int WINAPI MessageBoxA(HWND owner, LPCSTR text, LPCSTR caption, UINT type)
{
    return MessageBoxExA(owner, text, caption, type, 0);
}

WINBOOL WINAPI MessageBeep(UINT type)
{
    UNREFERENCED_PARAMETER(type);
    return TRUE;
}

/* A screen of 1024 by 768, no mouse. */
int WINAPI GetSystemMetrics(int index)
{
    switch (index) {
    case SM_CXSCREEN:
        return 1024;
    case SM_CYSCREEN:
        return 768;
    case SM_CMONITORS:
        return 1;
    }
    return 0;
}

HWND WINAPI GetActiveWindow(VOID)
{
    return NULL;
}

HWND WINAPI GetForegroundWindow(VOID)
{
    return NULL;
}

/* --- case. The upper 48 bits zero: one character, not a text. */
static void map(PWSTR text, DWORD length, DWORD how)
{
    if (length != 0)
        LCMapStringW(LOCALE_USER_DEFAULT, how, text, (int)length, text, (int)length);
}

static LPWSTR map_wide(LPWSTR text, DWORD how)
{
    if ((ULONG_PTR)text >> 16) {
        map(text, (DWORD)lstrlenW(text), how);
        return text;
    }
    WCHAR one = (WCHAR)(ULONG_PTR)text;
    map(&one, 1, how);
    return (LPWSTR)(ULONG_PTR)one;
}

static void map_narrow(LPSTR text, DWORD length, DWORD how)
{
    for (DWORD i = 0; i < length; i++) {
        WCHAR wide;
        MultiByteToWideChar(CP_ACP, 0, text + i, 1, &wide, 1);
        map(&wide, 1, how);
        WideCharToMultiByte(CP_ACP, 0, &wide, 1, text + i, 1, NULL, NULL);
    }
}

static LPSTR map_ansi(LPSTR text, DWORD how)
{
    if ((ULONG_PTR)text >> 16) {
        map_narrow(text, (DWORD)lstrlenA(text), how);
        return text;
    }
    CHAR one = (CHAR)(ULONG_PTR)text;
    map_narrow(&one, 1, how);
    return (LPSTR)(ULONG_PTR)(BYTE)one;
}

LPWSTR WINAPI CharUpperW(LPWSTR text)
{
    return map_wide(text, LCMAP_UPPERCASE);
}

LPWSTR WINAPI CharLowerW(LPWSTR text)
{
    return map_wide(text, LCMAP_LOWERCASE);
}

LPSTR WINAPI CharUpperA(LPSTR text)
{
    return map_ansi(text, LCMAP_UPPERCASE);
}

LPSTR WINAPI CharLowerA(LPSTR text)
{
    return map_ansi(text, LCMAP_LOWERCASE);
}

DWORD WINAPI CharUpperBuffW(LPWSTR text, DWORD length)
{
    map(text, length, LCMAP_UPPERCASE);
    return length;
}

DWORD WINAPI CharLowerBuffW(LPWSTR text, DWORD length)
{
    map(text, length, LCMAP_LOWERCASE);
    return length;
}

DWORD WINAPI CharUpperBuffA(LPSTR text, DWORD length)
{
    map_narrow(text, length, LCMAP_UPPERCASE);
    return length;
}

DWORD WINAPI CharLowerBuffA(LPSTR text, DWORD length)
{
    map_narrow(text, length, LCMAP_LOWERCASE);
    return length;
}

LPSTR WINAPI CharNextA(LPCSTR text)
{
    return (LPSTR)(*text ? text + 1 : text);
}

LPWSTR WINAPI CharNextW(LPCWSTR text)
{
    return (LPWSTR)(*text ? text + 1 : text);
}

static WORD kind_of(WCHAR c)
{
    WORD kind = 0;
    GetStringTypeW(CT_CTYPE1, &c, 1, &kind);
    return kind;
}

WINBOOL WINAPI IsCharAlphaW(WCHAR c)
{
    return (kind_of(c) & C1_ALPHA) != 0;
}

WINBOOL WINAPI IsCharAlphaNumericW(WCHAR c)
{
    return (kind_of(c) & (C1_ALPHA | C1_DIGIT)) != 0;
}

WINBOOL WINAPI IsCharUpperW(WCHAR c)
{
    return (kind_of(c) & C1_UPPER) != 0;
}

WINBOOL WINAPI IsCharLowerW(WCHAR c)
{
    return (kind_of(c) & C1_LOWER) != 0;
}

/* --- wsprintf: documented: at most 1024 characters; - # 0 width .precision; h l w I32 I64; c C d i p s S u x X */
#define MOST 1024

typedef struct {
    BOOL left, prefix, zero, wide_argument, narrow_argument, large;
    int width, precision;
} FORMAT;

static PCWSTR read_format(PCWSTR at, FORMAT *format)
{
    *format = (FORMAT){.precision = -1};
    for (;; at++)
        if (*at == L'-')
            format->left = TRUE;
        else if (*at == L'#')
            format->prefix = TRUE;
        else if (*at == L'0')
            format->zero = TRUE;
        else
            break;
    for (; *at >= L'0' && *at <= L'9'; at++)
        format->width = format->width < MOST ? format->width * 10 + (*at - L'0') : MOST;
    if (*at == L'.')
        for (at++, format->precision = 0; *at >= L'0' && *at <= L'9'; at++)
            format->precision = format->precision < MOST ? format->precision * 10 + (*at - L'0') : MOST;
    if (at[0] == L'I' && at[1] == L'6' && at[2] == L'4') {
        format->large = TRUE;
        return at + 3;
    }
    if (at[0] == L'I' && at[1] == L'3' && at[2] == L'2')
        return at + 3;
    for (; *at == L'l' || *at == L'w' || *at == L'h' || *at == L'I'; at++) {
        format->wide_argument = *at == L'l' || *at == L'w';
        format->narrow_argument = *at == L'h';
        format->large = *at == L'I';
    }
    return at;
}

static int digits_of(ULONG64 value, ULONG base, BOOL upper, PWSTR end)
{
    int count = 0;
    do {
        ULONG digit = (ULONG)(value % base);
        *--end = (WCHAR)(digit < 10 ? L'0' + digit : (upper ? L'A' : L'a') + digit - 10);
        count++;
    } while ((value /= base) != 0);
    return count;
}

static int put_padded(PWSTR out, int at, const FORMAT *format, PCWSTR sign, PCWSTR text, int length, BOOL zeros)
{
    int sign_length = lstrlenW(sign);
    int fill = format->width - length - sign_length;
    for (; !format->left && !zeros && fill > 0; fill--)
        if (at < MOST)
            out[at++] = L' ';
    for (int i = 0; i < sign_length && at < MOST; i++)
        out[at++] = sign[i];
    for (; !format->left && zeros && fill > 0; fill--)
        if (at < MOST)
            out[at++] = L'0';
    for (int i = 0; i < length && at < MOST; i++)
        out[at++] = text[i];
    for (; format->left && fill > 0; fill--)
        if (at < MOST)
            out[at++] = L' ';
    return at;
}

static int put_number(PWSTR out, int at, const FORMAT *format, WCHAR kind, ULONG64 value)
{
    WCHAR digits[80];
    BOOL is_signed = kind == L'd' || kind == L'i';
    LONG64 number = format->large ? (LONG64)value : (LONG64)(LONG)value;
    BOOL negative = is_signed && number < 0;
    ULONG64 left = format->large ? value : (ULONG)value;
    if (is_signed)
        left = negative ? 0 - (ULONG64)number : (ULONG64)number;
    ULONG base = kind == L'x' || kind == L'X' || kind == L'p' ? 16 : 10;
    PWSTR end = digits + ARRAYSIZE(digits);
    int count = digits_of(left, base, kind == L'X' || kind == L'p', end);
    while (count < format->precision && count < 70)
        end[-++count] = L'0';
    PCWSTR sign = negative ? L"-" : !format->prefix || base == 10 ? L"" : kind == L'X' ? L"0X" : L"0x";
    return put_padded(out, at, format, sign, end - count, count, format->zero && format->precision < 0);
}

static int put_text(PWSTR out, int at, const FORMAT *format, const VOID *text, BOOL wide)
{
    WCHAR buffer[MOST];
    int length = 0;
    int most = format->precision >= 0 && format->precision < MOST ? format->precision : MOST;
    if (text == NULL) {
        text = L"(null)";
        wide = TRUE;
    }
    for (; length < most; length++) {
        if (wide)
            buffer[length] = ((PCWSTR)text)[length];
        else if (((PCSTR)text)[length] == 0)
            buffer[length] = 0;
        else
            MultiByteToWideChar(CP_ACP, 0, (PCSTR)text + length, 1, &buffer[length], 1);
        if (buffer[length] == 0)
            break;
    }
    return put_padded(out, at, format, L"", buffer, length, FALSE);
}

static int print(PWSTR out, PCWSTR pattern, va_list arguments, BOOL ansi)
{
    int at = 0;
    while (*pattern && at < MOST) {
        FORMAT format;
        if (*pattern != L'%') {
            out[at++] = *pattern++;
            continue;
        }
        pattern = read_format(pattern + 1, &format);
        WCHAR kind = *pattern;
        if (kind)
            pattern++;
        BOOL wide = format.wide_argument || (!format.narrow_argument && (kind == L'S' || kind == L'C' ? ansi : !ansi));
        switch (kind) {
        case L'c':
        case L'C': {
            WCHAR one[2] = {(WCHAR)va_arg(arguments, int), 0};
            at = put_padded(out, at, &format, L"", one, 1, FALSE);
            break;
        }
        case L's':
        case L'S':
            at = put_text(out, at, &format, va_arg(arguments, PVOID), wide);
            break;
        case L'p':
            format.large = TRUE;
            format.precision = 16;
            /* fall through */
        case L'd':
        case L'i':
        case L'u':
        case L'x':
        case L'X':
            at = put_number(out, at, &format, kind, va_arg(arguments, ULONG64));
            break;
        default:
            if (kind)
                out[at++] = kind;
        }
    }
    out[at] = 0;
    return at;
}

int WINAPI wvsprintfW(LPWSTR out, LPCWSTR format, va_list arguments)
{
    WCHAR text[MOST + 1];
    int length = print(text, format, arguments, FALSE);
    lstrcpyW(out, text);
    return length;
}

int WINAPI wvsprintfA(LPSTR out, LPCSTR format, va_list arguments)
{
    WCHAR text[MOST + 1];
    PWSTR wide = widened(format);
    int length = wide != NULL ? print(text, wide, arguments, TRUE) : 0;
    HeapFree(GetProcessHeap(), 0, wide);
    if (length != 0)
        WideCharToMultiByte(CP_ACP, 0, text, length, out, length, NULL, NULL);
    out[length] = 0;
    return length;
}

int WINAPIV wsprintfW(LPWSTR out, LPCWSTR format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = wvsprintfW(out, format, arguments);
    va_end(arguments);
    return length;
}

int WINAPIV wsprintfA(LPSTR out, LPCSTR format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = wvsprintfA(out, format, arguments);
    va_end(arguments);
    return length;
}
