/* kernel32: code pages. UTF-8, Windows' 1252 (ANSI), 437 (OEM), ISO 8859-1 and US-ASCII. */
#include "kernel32_runtime.h"
#include "code_pages.h"

#define ANSI_PAGE 1252
#define OEM_PAGE 437
#define LATIN_1 28591
#define US_ASCII 20127

UINT WINAPI GetACP(VOID)
{
    return ANSI_PAGE;
}

UINT WINAPI GetOEMCP(VOID)
{
    return OEM_PAGE;
}

/* The number of a code page, with the names of winnls.h resolved; 0 for one that does not exist here. */
static UINT resolved(UINT page)
{
    switch (page) {
    case CP_ACP:
    case CP_THREAD_ACP:
    case CP_MACCP:
        return ANSI_PAGE;
    case CP_OEMCP:
        return OEM_PAGE;
    case CP_UTF8:
    case ANSI_PAGE:
    case OEM_PAGE:
    case LATIN_1:
    case US_ASCII:
        return page;
    }
    return 0;
}

WINBOOL WINAPI IsValidCodePage(UINT page)
{
    return page >= US_ASCII ? resolved(page) != 0 : page == ANSI_PAGE || page == OEM_PAGE;
}

WINBOOL WINAPI IsDBCSLeadByteEx(UINT page, BYTE byte)
{
    UNREFERENCED_PARAMETER(byte);
    if (resolved(page) == 0)
        return fails(ERROR_INVALID_PARAMETER);
    return FALSE; /* no code page here has characters of two bytes */
}

WINBOOL WINAPI IsDBCSLeadByte(BYTE byte)
{
    return IsDBCSLeadByteEx(CP_ACP, byte);
}

WINBOOL WINAPI GetCPInfo(UINT page, LPCPINFO information)
{
    UINT real = resolved(page);
    if (real == 0 || information == NULL)
        return fails(ERROR_INVALID_PARAMETER);
    memset(information, 0, sizeof(*information));
    information->MaxCharSize = real == CP_UTF8 ? 4 : 1;
    information->DefaultChar[0] = '?';
    return TRUE;
}

WINBOOL WINAPI GetCPInfoExW(UINT page, DWORD flags, LPCPINFOEXW information)
{
    CPINFO plain;
    UNREFERENCED_PARAMETER(flags);
    if (!GetCPInfo(page, &plain))
        return FALSE;
    memset(information, 0, sizeof(*information));
    information->MaxCharSize = plain.MaxCharSize;
    information->DefaultChar[0] = '?';
    information->UnicodeDefaultChar = resolved(page) == CP_UTF8 ? 0xFFFD : L'?';
    information->CodePage = resolved(page);
    return TRUE;
}

static WCHAR from_byte(UINT page, BYTE byte)
{
    if (byte < 0x80)
        return byte;
    if (page == OEM_PAGE)
        return cp437_from_0x80[byte - 0x80];
    if (page == US_ASCII)
        return byte & 0x7F; /* as Windows does */
    return page == ANSI_PAGE && byte < 0xA0 ? cp1252_from_0x80[byte - 0x80] : byte;
}

/* The byte of a character, or -1. */
static int to_byte(UINT page, WCHAR c)
{
    if (c < 0x80)
        return c;
    for (int byte = 0x80; byte < 0x100 && page != US_ASCII; byte++)
        if (from_byte(page, (BYTE)byte) == c)
            return byte;
    return -1;
}

/* One character of UTF-8 at *at, which moves on. -1: the bytes up to *at are no character (the longest part of one, or
 * one byte: the Unicode Standard, "U+FFFD Substitution of Maximal Subparts"). */
static LONG decode(const BYTE **at, const BYTE *end)
{
    BYTE lead = *(*at)++;
    BYTE low = 0x80; /* the range of the second byte: Unicode Standard, table 3-7 */
    BYTE high = 0xBF;
    int more;
    if (lead < 0x80)
        return lead;
    if (lead >= 0xC2 && lead <= 0xDF)
        more = 1;
    else if (lead >= 0xE0 && lead <= 0xEF)
        more = 2;
    else if (lead >= 0xF0 && lead <= 0xF4)
        more = 3;
    else
        return -1;
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    LONG value = lead & (0x3F >> more);
    for (; more > 0; more--, low = 0x80, high = 0xBF) {
        if (*at >= end || **at < low || **at > high)
            return -1;
        value = value << 6 | (*(*at)++ & 0x3F);
    }
    return value;
}

/* Both functions only count when the room is 0. */
int WINAPI MultiByteToWideChar(UINT page, DWORD flags, LPCCH source, int size, LPWSTR destination, int room)
{
    UINT real = resolved(page);
    DWORD allowed = real == CP_UTF8 ? MB_ERR_INVALID_CHARS : MB_ERR_INVALID_CHARS | MB_PRECOMPOSED | MB_USEGLYPHCHARS;
    if (real == 0 || source == NULL || size == 0 || size < -1 || room < 0 || (room != 0 && destination == NULL))
        return fails(ERROR_INVALID_PARAMETER);
    if (flags & ~allowed)
        return fails(ERROR_INVALID_FLAGS);
    const BYTE *at = (const BYTE *)source;
    const BYTE *end = at + (size >= 0 ? (SIZE_T)size : strlen(source) + 1);
    int count = 0;
    while (at < end) {
        LONG c = real == CP_UTF8 ? decode(&at, end) : from_byte(real, *at++);
        if (c < 0) {
            if (flags & MB_ERR_INVALID_CHARS)
                return fails(ERROR_NO_UNICODE_TRANSLATION);
            c = 0xFFFD;
        }
        int units = c >= 0x10000 ? 2 : 1;
        if (room != 0) {
            if (count + units > room)
                return fails(ERROR_INSUFFICIENT_BUFFER);
            if (units == 2) {
                destination[count] = (WCHAR)(0xD800 + ((c - 0x10000) >> 10));
                destination[count + 1] = (WCHAR)(0xDC00 + (c & 0x3FF));
            } else
                destination[count] = (WCHAR)c;
        }
        count += units;
    }
    return count;
}

/* The character at *at, which moves on; -1 for half a surrogate pair. */
static LONG next_character(LPCWCH *at, LPCWCH end)
{
    WCHAR c = *(*at)++;
    if ((c & 0xF800) != 0xD800)
        return c;
    if (c >= 0xDC00 || *at >= end || (**at & 0xFC00) != 0xDC00)
        return -1;
    return 0x10000 + ((LONG)(c - 0xD800) << 10) + (*(*at)++ - 0xDC00);
}

static int encode(LONG c, CHAR *bytes)
{
    int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, c >>= 6)
        bytes[i] = (CHAR)(0x80 | (c & 0x3F));
    bytes[0] = (CHAR)(n == 1 ? c : (0xF00 >> n & 0xFF) | c);
    return n;
}

int WINAPI WideCharToMultiByte(UINT page, DWORD flags, LPCWCH source, int size, LPSTR destination, int room,
                               LPCCH unknown, LPBOOL used_unknown)
{
    UINT real = resolved(page);
    if (real == 0 || source == NULL || size == 0 || size < -1 || room < 0 || (room != 0 && destination == NULL) ||
        (real == CP_UTF8 && (unknown != NULL || used_unknown != NULL)))
        return fails(ERROR_INVALID_PARAMETER);
    if (real == CP_UTF8 && (flags & ~(DWORD)WC_ERR_INVALID_CHARS))
        return fails(ERROR_INVALID_FLAGS);
    LPCWCH end = source + (size >= 0 ? (SIZE_T)size : wcslen(source) + 1);
    int count = 0;
    if (used_unknown != NULL)
        *used_unknown = FALSE;
    while (source < end) {
        CHAR bytes[4];
        int n = 1;
        if (real == CP_UTF8) {
            LONG c = next_character(&source, end);
            if (c < 0 && (flags & WC_ERR_INVALID_CHARS))
                return fails(ERROR_NO_UNICODE_TRANSLATION);
            n = encode(c < 0 ? 0xFFFD : c, bytes);
        } else {
            int byte = to_byte(real, *source++);
            if (byte < 0 && used_unknown != NULL)
                *used_unknown = TRUE;
            bytes[0] = byte >= 0 ? (CHAR)byte : unknown != NULL ? *unknown : '?';
        }
        if (room != 0) {
            if (count + n > room)
                return fails(ERROR_INSUFFICIENT_BUFFER);
            memcpy(destination + count, bytes, (SIZE_T)n);
        }
        count += n;
    }
    return count;
}
