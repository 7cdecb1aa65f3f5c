/* kernel32: comparing and changing text, and the locale: English (United States), whose order here is that of the code
   units, without case where a function says so. */
#include "kernel32_runtime.h"

#define LOCALE_ID 0x409

LCID WINAPI GetUserDefaultLCID(VOID)
{
    return LOCALE_ID;
}

LCID WINAPI GetSystemDefaultLCID(VOID)
{
    return LOCALE_ID;
}

LCID WINAPI GetThreadLocale(VOID)
{
    return LOCALE_ID;
}

LANGID WINAPI GetUserDefaultLangID(VOID)
{
    return LOCALE_ID;
}

LANGID WINAPI GetSystemDefaultLangID(VOID)
{
    return LOCALE_ID;
}

LANGID WINAPI GetUserDefaultUILanguage(VOID)
{
    return LOCALE_ID;
}

WINBOOL WINAPI IsValidLocale(LCID locale, DWORD flags)
{
    UNREFERENCED_PARAMETER(flags);
    return locale == LOCALE_ID || locale == LOCALE_USER_DEFAULT || locale == LOCALE_SYSTEM_DEFAULT ||
           locale == LOCALE_INVARIANT || locale == LOCALE_NEUTRAL;
}

int WINAPI GetUserDefaultLocaleName(LPWSTR name, int size)
{
    if (size < 6)
        return fails(ERROR_INSUFFICIENT_BUFFER);
    wcscpy(name, L"en-US");
    return 6;
}

static const struct {
    LCTYPE type;
    PCWSTR text;
    DWORD number;
} locale_facts[] = {
    {LOCALE_SDECIMAL, L".", 0},
    {LOCALE_STHOUSAND, L",", 0},
    {LOCALE_SGROUPING, L"3;0", 0},
    {LOCALE_SNEGATIVESIGN, L"-", 0},
    {LOCALE_SPOSITIVESIGN, L"", 0},
    {LOCALE_SCURRENCY, L"$", 0},
    {LOCALE_SNAME, L"en-US", 0},
    {LOCALE_SISO639LANGNAME, L"en", 0},
    {LOCALE_SISO3166CTRYNAME, L"US", 0},
    {LOCALE_IDEFAULTANSICODEPAGE, L"1252", 1252},
    {LOCALE_IDEFAULTCODEPAGE, L"437", 437},
    {LOCALE_ILANGUAGE, L"0409", LOCALE_ID},
};

int WINAPI GetLocaleInfoW(LCID locale, LCTYPE type, LPWSTR buffer, int size)
{
    for (ULONG i = 0; i < RTL_NUMBER_OF(locale_facts) && IsValidLocale(locale, 0); i++) {
        if (locale_facts[i].type != (type & 0xFFFF))
            continue;
        PCWSTR text = locale_facts[i].text;
        int needed = (int)wcslen(text) + 1;
        if (type & LOCALE_RETURN_NUMBER) {
            text = (PCWSTR)&locale_facts[i].number;
            needed = sizeof(DWORD) / sizeof(WCHAR);
        }
        if (size == 0)
            return needed;
        if (size < needed)
            return fails(ERROR_INSUFFICIENT_BUFFER);
        memcpy(buffer, text, (SIZE_T)needed * sizeof(WCHAR));
        return needed;
    }
    return fails(ERROR_INVALID_FLAGS);
}

int WINAPI GetLocaleInfoEx(LPCWSTR name, LCTYPE type, LPWSTR buffer, int size)
{
    UNREFERENCED_PARAMETER(name); /* every name is taken as the user's */
    return GetLocaleInfoW(LOCALE_ID, type, buffer, size);
}

int WINAPI GetLocaleInfoA(LCID locale, LCTYPE type, LPSTR buffer, int size)
{
    WCHAR wide[32];
    int length = GetLocaleInfoW(locale, type, wide, RTL_NUMBER_OF(wide));
    if (length == 0)
        return 0;
    if (type & LOCALE_RETURN_NUMBER) {
        if (size != 0)
            memcpy(buffer, wide, sizeof(DWORD));
        return sizeof(DWORD);
    }
    return WideCharToMultiByte(CP_ACP, 0, wide, length, buffer, size, NULL, NULL);
}

/* --- comparing */
static int ordinal(LPCWCH first, int first_length, LPCWCH second, int second_length, BOOL ignore_case)
{
    if (first == NULL || second == NULL || first_length < -1 || second_length < -1)
        return fails(ERROR_INVALID_PARAMETER);
    SIZE_T a = first_length >= 0 ? (SIZE_T)first_length : wcslen(first);
    SIZE_T b = second_length >= 0 ? (SIZE_T)second_length : wcslen(second);
    for (SIZE_T i = 0; i < a && i < b; i++) {
        WCHAR x = ignore_case ? RtlUpcaseUnicodeChar(first[i]) : first[i];
        WCHAR y = ignore_case ? RtlUpcaseUnicodeChar(second[i]) : second[i];
        if (x != y)
            return x < y ? CSTR_LESS_THAN : CSTR_GREATER_THAN;
    }
    return a == b ? CSTR_EQUAL : a < b ? CSTR_LESS_THAN : CSTR_GREATER_THAN;
}

int WINAPI CompareStringOrdinal(LPCWCH first, int first_length, LPCWCH second, int second_length, WINBOOL ignore_case)
{
    return ordinal(first, first_length, second, second_length, ignore_case);
}

/* Letters are compared without case first, so that "a" < "B" < "c"; a lower-case letter comes first if all else is
 * equal. */
int WINAPI CompareStringW(LCID locale, DWORD flags, PCNZWCH first, int first_length, PCNZWCH second, int second_length)
{
    UNREFERENCED_PARAMETER(locale);
    int order = ordinal(first, first_length, second, second_length, TRUE);
    BOOL ignore_case = (flags & (NORM_IGNORECASE | LINGUISTIC_IGNORECASE)) != 0;
    if (order != CSTR_EQUAL || ignore_case)
        return order;
    order = ordinal(first, first_length, second, second_length, FALSE);
    return order == CSTR_EQUAL ? order : CSTR_LESS_THAN + CSTR_GREATER_THAN - order;
}

int WINAPI CompareStringEx(LPCWSTR locale, DWORD flags, LPCWCH first, int first_length, LPCWCH second,
                           int second_length, LPNLSVERSIONINFO version, LPVOID reserved, LPARAM parameter)
{
    UNREFERENCED_PARAMETER(locale);
    UNREFERENCED_PARAMETER(version);
    UNREFERENCED_PARAMETER(reserved);
    UNREFERENCED_PARAMETER(parameter);
    return CompareStringW(LOCALE_ID, flags, first, first_length, second, second_length);
}

/* --- mapping */
static WCHAR lower(WCHAR c)
{
    if ((c >= L'A' && c <= L'Z') || (c >= 0xC0 && c <= 0xDE && c != 0xD7))
        return c + 0x20;
    return c;
}

int WINAPI LCMapStringW(LCID locale, DWORD flags, LPCWSTR source, int length, LPWSTR destination, int room)
{
    UNREFERENCED_PARAMETER(locale);
    if (source == NULL || length == 0 || length < -1 || room < 0)
        return fails(ERROR_INVALID_PARAMETER);
    if (flags & (LCMAP_SORTKEY | LCMAP_HASH | LCMAP_SORTHANDLE))
        return fails(ERROR_INVALID_FLAGS);
    int count = length >= 0 ? length : (int)wcslen(source) + 1;
    if (room == 0)
        return count;
    if (room < count)
        return fails(ERROR_INSUFFICIENT_BUFFER);
    for (int i = 0; i < count; i++)
        destination[i] = flags & LCMAP_UPPERCASE   ? RtlUpcaseUnicodeChar(source[i])
                         : flags & LCMAP_LOWERCASE ? lower(source[i])
                                                   : source[i];
    return count;
}

int WINAPI LCMapStringEx(LPCWSTR locale, DWORD flags, LPCWSTR source, int length, LPWSTR destination, int room,
                         LPNLSVERSIONINFO version, LPVOID reserved, LPARAM handle)
{
    UNREFERENCED_PARAMETER(locale);
    UNREFERENCED_PARAMETER(version);
    UNREFERENCED_PARAMETER(reserved);
    UNREFERENCED_PARAMETER(handle);
    return LCMapStringW(LOCALE_ID, flags, source, length, destination, room);
}

/* --- kinds of characters: ASCII and Latin-1 */
static WORD kind_of(WCHAR c)
{
    WORD kind = 0;
    if ((c >= L'A' && c <= L'Z') || (c >= 0xC0 && c <= 0xDE && c != 0xD7))
        kind = C1_UPPER | C1_ALPHA;
    else if ((c >= L'a' && c <= L'z') || (c >= 0xDF && c <= 0xFF && c != 0xF7))
        kind = C1_LOWER | C1_ALPHA;
    else if (c >= L'0' && c <= L'9')
        kind = C1_DIGIT | C1_XDIGIT;
    else if (c == L' ' || c == 0xA0)
        kind = C1_SPACE | C1_BLANK;
    else if (c == L'\t')
        kind = C1_SPACE | C1_BLANK | C1_CNTRL;
    else if (c >= L'\n' && c <= L'\r')
        kind = C1_SPACE | C1_CNTRL;
    else if (c < 0x20 || (c >= 0x7F && c < 0xA0))
        kind = C1_CNTRL;
    else if (c < 0x100)
        kind = C1_PUNCT;
    if ((c >= L'A' && c <= L'F') || (c >= L'a' && c <= L'f'))
        kind |= C1_XDIGIT;
    return kind | C1_DEFINED;
}

WINBOOL WINAPI GetStringTypeW(DWORD type, LPCWCH text, int length, LPWORD kinds)
{
    if (text == NULL || length == 0 || type != CT_CTYPE1)
        return fails(type == CT_CTYPE1 ? ERROR_INVALID_PARAMETER : ERROR_INVALID_FLAGS);
    SIZE_T count = length > 0 ? (SIZE_T)length : wcslen(text) + 1;
    for (SIZE_T i = 0; i < count; i++)
        kinds[i] = kind_of(text[i]);
    return TRUE;
}

WINBOOL WINAPI GetStringTypeExW(LCID locale, DWORD type, LPCWCH text, int length, LPWORD kinds)
{
    UNREFERENCED_PARAMETER(locale);
    return GetStringTypeW(type, text, length, kinds);
}
