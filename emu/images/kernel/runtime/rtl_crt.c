/* The part of the C library that ntoskrnl.exe exports: strings of both widths, numbers, sorting. */
#include "runtime.h"

static int Lower(int c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }
static int Upper(int c) { return c >= 'a' && c <= 'z' ? c - 32 : c; }
int __cdecl tolower(int c) { return Lower(c); }
int __cdecl toupper(int c) { return Upper(c); }
WCHAR __cdecl towlower(WCHAR c) { return (WCHAR)Lower(c); }
WCHAR __cdecl towupper(WCHAR c) { return (WCHAR)Upper(c); }
int __cdecl isdigit(int c) { return c >= '0' && c <= '9'; }
int __cdecl isxdigit(int c) { return isdigit(c) || (Lower(c) >= 'a' && Lower(c) <= 'f'); }
int __cdecl islower(int c) { return c >= 'a' && c <= 'z'; }
int __cdecl isupper(int c) { return c >= 'A' && c <= 'Z'; }
int __cdecl isalpha(int c) { return islower(c) || isupper(c); }
int __cdecl isalnum(int c) { return isalpha(c) || isdigit(c); }
int __cdecl isspace(int c) { return c == ' ' || (c >= 9 && c <= 13); }
int __cdecl isprint(int c) { return c >= ' ' && c < 0x7F; }

/* One set of routines for each width. `unsign` compares as unsigned characters. */
#define STRINGS(type, unsign, len, nlen, cpy, ncpy, cat, ncat, cmp, ncmp, icmp, nicmp, chr, rchr, str, spn, lwr, upr)   \
    size_t __cdecl len(const type *text)                                                                               \
    {                                                                                                                  \
        size_t length = 0;                                                                                             \
        while (text[length])                                                                                           \
            length++;                                                                                                  \
        return length;                                                                                                 \
    }                                                                                                                  \
    size_t __cdecl nlen(const type *text, size_t limit)                                                                \
    {                                                                                                                  \
        size_t length = 0;                                                                                             \
        while (length < limit && text[length])                                                                         \
            length++;                                                                                                  \
        return length;                                                                                                 \
    }                                                                                                                  \
    type *__cdecl cpy(type *to, const type *from)                                                                      \
    {                                                                                                                  \
        for (size_t i = 0; (to[i] = from[i]) != 0; i++)                                                                \
            ;                                                                                                          \
        return to;                                                                                                     \
    }                                                                                                                  \
    type *__cdecl ncpy(type *to, const type *from, size_t count)                                                       \
    {                                                                                                                  \
        size_t i = 0;                                                                                                  \
        for (; i < count && from[i]; i++)                                                                              \
            to[i] = from[i];                                                                                           \
        for (; i < count; i++)                                                                                         \
            to[i] = 0;                                                                                                 \
        return to;                                                                                                     \
    }                                                                                                                  \
    type *__cdecl cat(type *to, const type *from)                                                                      \
    {                                                                                                                  \
        cpy(to + len(to), from);                                                                                       \
        return to;                                                                                                     \
    }                                                                                                                  \
    type *__cdecl ncat(type *to, const type *from, size_t count)                                                       \
    {                                                                                                                  \
        type *end = to + len(to);                                                                                      \
        for (; count-- && *from;)                                                                                      \
            *end++ = *from++;                                                                                          \
        *end = 0;                                                                                                      \
        return to;                                                                                                     \
    }                                                                                                                  \
    static int Compare##len(const type *a, const type *b, size_t count, BOOLEAN fold)                                  \
    {                                                                                                                  \
        for (; count--; a++, b++) {                                                                                    \
            int left = fold ? Lower((unsign)*a) : (unsign)*a, right = fold ? Lower((unsign)*b) : (unsign)*b;           \
            if (left != right)                                                                                         \
                return left < right ? -1 : 1;                                                                          \
            if (!left)                                                                                                 \
                break;                                                                                                 \
        }                                                                                                              \
        return 0;                                                                                                      \
    }                                                                                                                  \
    int __cdecl cmp(const type *a, const type *b) { return Compare##len(a, b, ~(size_t)0, FALSE); }                    \
    int __cdecl ncmp(const type *a, const type *b, size_t count) { return Compare##len(a, b, count, FALSE); }          \
    int __cdecl icmp(const type *a, const type *b) { return Compare##len(a, b, ~(size_t)0, TRUE); }                    \
    int __cdecl nicmp(const type *a, const type *b, size_t count) { return Compare##len(a, b, count, TRUE); }          \
    type *__cdecl rchr(const type *text, int c)                                                                        \
    {                                                                                                                  \
        const type *found = NULL;                                                                                      \
        for (;; text++) {                                                                                              \
            if (*text == (type)c)                                                                                      \
                found = text;                                                                                          \
            if (!*text)                                                                                                \
                return (type *)found;                                                                                  \
        }                                                                                                              \
    }                                                                                                                  \
    type *__cdecl chr(const type *text, int c)                                                                         \
    {                                                                                                                  \
        for (; *text != (type)c; text++)                                                                               \
            if (!*text)                                                                                                \
                return NULL;                                                                                           \
        return (type *)text;                                                                                           \
    }                                                                                                                  \
    type *__cdecl str(const type *text, const type *wanted)                                                            \
    {                                                                                                                  \
        for (size_t length = len(wanted);; text++) {                                                                   \
            if (!ncmp(text, wanted, length))                                                                           \
                return (type *)text;                                                                                   \
            if (!*text)                                                                                                \
                return NULL;                                                                                           \
        }                                                                                                              \
    }                                                                                                                  \
    size_t __cdecl spn(const type *text, const type *set)                                                              \
    {                                                                                                                  \
        size_t count = 0;                                                                                              \
        while (text[count] && chr(set, text[count]))                                                                   \
            count++;                                                                                                   \
        return count;                                                                                                  \
    }                                                                                                                  \
    type *__cdecl lwr(type *text)                                                                                      \
    {                                                                                                                  \
        for (size_t i = 0; text[i]; i++)                                                                               \
            text[i] = (type)Lower((unsign)text[i]);                                                                    \
        return text;                                                                                                   \
    }                                                                                                                  \
    type *__cdecl upr(type *text)                                                                                      \
    {                                                                                                                  \
        for (size_t i = 0; text[i]; i++)                                                                               \
            text[i] = (type)Upper((unsign)text[i]);                                                                    \
        return text;                                                                                                   \
    }

STRINGS(char, UCHAR, strlen, strnlen, strcpy, strncpy, strcat, strncat, strcmp, strncmp, _stricmp, _strnicmp, strchr,
        strrchr, strstr, strspn, _strlwr, _strupr)
STRINGS(WCHAR, WCHAR, wcslen, wcsnlen, wcscpy, wcsncpy, wcscat, wcsncat, wcscmp, wcsncmp, _wcsicmp, _wcsnicmp, RtlpWcschr,
        RtlpWcsrchr, wcsstr, wcsspn, _wcslwr, _wcsupr)

void *__cdecl memchr(const void *memory, int value, size_t size)
{
    for (const UCHAR *at = memory; size--; at++)
        if (*at == (UCHAR)value)
            return (void *)at;
    return NULL;
}

/* The _s routines: an error number, and an empty string if it does not fit. */
#define BOUNDED(type, name, nlen, append)                                                                              \
    int __cdecl name(type *to, size_t size, const type *from)                                                          \
    {                                                                                                                  \
        if (!to || !size)                                                                                              \
            return 22; /* EINVAL */                                                                                    \
        size_t used = append ? nlen(to, size) : 0, length = from ? nlen(from, size) : size;                            \
        if (used + length >= size) {                                                                                   \
            to[0] = 0;                                                                                                 \
            return from ? 34 : 22; /* ERANGE */                                                                        \
        }                                                                                                              \
        RtlCopyMemory(to + used, from, (length + 1) * sizeof *to);                                                     \
        return 0;                                                                                                      \
    }

BOUNDED(char, strcpy_s, strnlen, FALSE)
BOUNDED(char, strcat_s, strnlen, TRUE)
BOUNDED(WCHAR, wcscpy_s, wcsnlen, FALSE)
BOUNDED(WCHAR, wcscat_s, wcsnlen, TRUE)

int __cdecl memcpy_s(void *to, size_t size, const void *from, size_t count)
{
    if (count > size || !to || !from)
        return count > size ? 34 : 22;
    RtlCopyMemory(to, from, count);
    return 0;
}

int __cdecl memmove_s(void *to, size_t size, const void *from, size_t count)
{
    if (count > size || !to || !from)
        return count > size ? 34 : 22;
    RtlMoveMemory(to, from, count);
    return 0;
}

/* --- numbers -------------------------------------------------------------------------------------------------------*/

static ULONG64 Number(const char *text, char **end, int base, BOOLEAN *negative)
{
    const char *start = text;
    ULONG64 value = 0;
    BOOLEAN any = FALSE;
    while (isspace((UCHAR)*text))
        text++;
    *negative = *text == '-';
    if (*text == '-' || *text == '+')
        text++;
    if ((!base || base == 16) && text[0] == '0' && Lower(text[1]) == 'x')
        base = 16, text += 2;
    if (!base)
        base = *text == '0' ? 8 : 10;
    for (;; text++) {
        int c = Lower((UCHAR)*text), digit = isdigit(c) ? c - '0' : islower(c) ? c - 'a' + 10 : 99;
        if (digit >= base)
            break;
        value = value * (ULONG64)base + (ULONG64)digit;
        any = TRUE;
    }
    if (end)
        *end = (char *)(any ? text : start);
    return value;
}

unsigned long __cdecl strtoul(const char *text, char **end, int base)
{
    BOOLEAN negative;
    unsigned long value = (unsigned long)Number(text, end, base, &negative);
    return negative ? 0 - value : value;
}

long __cdecl strtol(const char *text, char **end, int base) { return (long)strtoul(text, end, base); }

int __cdecl atoi(const char *text) { return (int)strtol(text, NULL, 10); }

long __cdecl atol(const char *text) { return strtol(text, NULL, 10); }

/* --- sorting, random numbers ---------------------------------------------------------------------------------------*/

typedef int(__cdecl *COMPARE)(const void *, const void *);

static void Swap(PUCHAR a, PUCHAR b, size_t size)
{
    for (; size--; a++, b++) {
        UCHAR kept = *a;
        *a = *b;
        *b = kept;
    }
}

/* Heap sort: no recursion, since a kernel stack is small. */
static void SiftDown(PUCHAR base, size_t at, size_t count, size_t size, COMPARE compare)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && compare(base + child * size, base + (child + 1) * size) < 0)
            child++;
        if (compare(base + at * size, base + child * size) >= 0)
            return;
        Swap(base + at * size, base + child * size, size);
    }
}

void __cdecl qsort(void *base, size_t count, size_t size, COMPARE compare)
{
    for (size_t i = count / 2; i-- > 0;)
        SiftDown(base, i, count, size, compare);
    for (size_t last = count; last-- > 1;) {
        Swap(base, (PUCHAR)base + last * size, size);
        SiftDown(base, 0, last, size, compare);
    }
}

void *__cdecl bsearch(const void *key, const void *base, size_t count, size_t size, COMPARE compare)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const void *at = (const UCHAR *)base + middle * size;
        int order = compare(key, at);
        if (!order)
            return (void *)at;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static ULONG Seed = 1;

void __cdecl srand(unsigned seed) { Seed = seed; }

int __cdecl rand(void)
{
    Seed = Seed * 214013 + 2531011;
    return (int)(Seed >> 16 & 0x7FFF);
}

/* The generator of D. H. Lehmer that the DDI page names: multiplier 16807 modulo 2**31 - 1. */
ULONG RtlRandomEx(PULONG From)
{
    *From = (ULONG)((ULONG64)(*From ? *From : 1) * 16807 % 0x7FFFFFFF);
    return *From;
}

ULONG RtlRandom(PULONG From) { return RtlRandomEx(From); }

/* --- memory --------------------------------------------------------------------------------------------------------*/

#undef RtlZeroMemory
#undef RtlFillMemory
#undef RtlCopyMemory
#undef RtlMoveMemory
VOID RtlZeroMemory(VOID *to, SIZE_T size) { memset(to, 0, size); }
VOID RtlFillMemory(VOID *to, SIZE_T size, UCHAR value) { memset(to, value, size); }
VOID RtlCopyMemory(VOID *to, const VOID *from, SIZE_T size) { memcpy(to, from, size); }
VOID RtlMoveMemory(VOID *to, const VOID *from, SIZE_T size) { memmove(to, from, size); }

SIZE_T RtlCompareMemoryUlong(PVOID Source, SIZE_T Length, ULONG Pattern)
{
    SIZE_T equal = 0;
    while (equal + 4 <= Length && *(ULONG *)((PUCHAR)Source + equal) == Pattern)
        equal += 4;
    return equal;
}
