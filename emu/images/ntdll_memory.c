/* ntdll: what compilers call implicitly, and the plain C string functions that the real ntdll exports too. */
#define _NTSYSTEM_
#include "ntdll_internal.h"

/* Compiled with -fno-builtin, or these would call themselves. */
void *memcpy(void *destination, const void *source, size_t size)
{
    __movsb(destination, source, size);
    return destination;
}

void *memset(void *destination, int value, size_t size)
{
    __stosb(destination, (unsigned char)value, size);
    return destination;
}

void *memmove(void *destination, const void *source, size_t size)
{
    unsigned char *d = destination;
    const unsigned char *s = source;
    if (d <= s || d >= s + size)
        return memcpy(destination, source, size);
    while (size--)
        d[size] = s[size];
    return destination;
}

int memcmp(const void *first, const void *second, size_t size)
{
    const unsigned char *a = first;
    const unsigned char *b = second;
    for (; size--; a++, b++)
        if (*a != *b)
            return *a < *b ? -1 : 1;
    return 0;
}

void *memchr(const void *where, int value, size_t size)
{
    for (const unsigned char *p = where; size--; p++)
        if (*p == (unsigned char)value)
            return (void *)p;
    return NULL;
}

SIZE_T NTAPI RtlCompareMemory(const VOID *first, const VOID *second, SIZE_T size)
{
    SIZE_T i = 0;
    while (i < size && ((const UCHAR *)first)[i] == ((const UCHAR *)second)[i])
        i++;
    return i;
}

/* winnt.h makes macros of these three names; programs that take the exports get functions. */
#undef RtlZeroMemory
#undef RtlFillMemory
#undef RtlMoveMemory
VOID NTAPI RtlZeroMemory(PVOID destination, SIZE_T size)
{
    memset(destination, 0, size);
}

VOID NTAPI RtlFillMemory(PVOID destination, SIZE_T size, UCHAR value)
{
    memset(destination, value, size);
}

VOID NTAPI RtlMoveMemory(PVOID destination, const VOID *source, SIZE_T size)
{
    memmove(destination, source, size);
}

size_t strlen(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    return n;
}

size_t strnlen(const char *text, size_t maximum)
{
    size_t n = 0;
    while (n < maximum && text[n])
        n++;
    return n;
}

int strcmp(const char *first, const char *second)
{
    while (*first && *first == *second)
        first++, second++;
    return (unsigned char)*first - (unsigned char)*second;
}

int strncmp(const char *first, const char *second, size_t count)
{
    for (; count && *first && *first == *second; count--)
        first++, second++;
    return count ? (unsigned char)*first - (unsigned char)*second : 0;
}

char *strcpy(char *destination, const char *source)
{
    memcpy(destination, source, strlen(source) + 1);
    return destination;
}

char *strncpy(char *destination, const char *source, size_t count)
{
    size_t n = strnlen(source, count);
    memcpy(destination, source, n);
    memset(destination + n, 0, count - n);
    return destination;
}

char *strcat(char *destination, const char *source)
{
    strcpy(destination + strlen(destination), source);
    return destination;
}

char *strchr(const char *text, int c)
{
    for (;; text++) {
        if (*text == (char)c)
            return (char *)text;
        if (!*text)
            return NULL;
    }
}

char *strstr(const char *text, const char *wanted)
{
    size_t n = strlen(wanted);
    for (; *text || !n; text++)
        if (strncmp(text, wanted, n) == 0)
            return (char *)text;
    return NULL;
}

size_t wcslen(const wchar_t *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    return n;
}

int wcscmp(const wchar_t *first, const wchar_t *second)
{
    while (*first && *first == *second)
        first++, second++;
    return *first - *second;
}

int wcsncmp(const wchar_t *first, const wchar_t *second, size_t count)
{
    for (; count && *first && *first == *second; count--)
        first++, second++;
    return count ? *first - *second : 0;
}

wchar_t *wcscpy(wchar_t *destination, const wchar_t *source)
{
    memcpy(destination, source, (wcslen(source) + 1) * sizeof(wchar_t));
    return destination;
}

wchar_t *wcscat(wchar_t *destination, const wchar_t *source)
{
    wcscpy(destination + wcslen(destination), source);
    return destination;
}

wchar_t *wcschr(const wchar_t *text, wchar_t c)
{
    for (;; text++) {
        if (*text == c)
            return (wchar_t *)text;
        if (!*text)
            return NULL;
    }
}

wchar_t *wcsstr(const wchar_t *text, const wchar_t *wanted)
{
    size_t n = wcslen(wanted);
    for (; *text || !n; text++)
        if (wcsncmp(text, wanted, n) == 0)
            return (wchar_t *)text;
    return NULL;
}
