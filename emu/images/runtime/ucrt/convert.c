/* Numbers and texts. */
#include "ucrt.h"

int isspace(int character);
int iswspace(unsigned short character);

static int digit_value(unsigned character)
{
    if (character - '0' < 10)
        return (int)(character - '0');
    if ((character | 32) - 'a' < 26)
        return (int)((character | 32) - 'a' + 10);
    return 36;
}

/* strtol and its family. `limit` is the largest value of the type; a signed one's smallest is -limit - 1. */
#define SCAN_INTEGER(name, CHAR, IS_SPACE)                                                                             \
    unsigned long long name(const CHAR *text, CHAR **end, int base, unsigned long long limit, int is_signed)          \
    {                                                                                                                  \
        const CHAR *p = text;                                                                                          \
        int negative = 0, overflow = 0;                                                                                \
        if (end != NULL)                                                                                               \
            *end = (CHAR *)text;                                                                                       \
        REQUIRE(text != NULL && (base == 0 || (base >= 2 && base <= 36)), EINVAL, 0);                                  \
        while (IS_SPACE(*p))                                                                                           \
            p++;                                                                                                       \
        if (*p == '-' || *p == '+')                                                                                    \
            negative = *p++ == '-';                                                                                    \
        if ((base == 0 || base == 16) && p[0] == '0' && (p[1] | 32) == 'x' && digit_value(p[2]) < 16) {                \
            p += 2;                                                                                                    \
            base = 16;                                                                                                 \
        } else if (base == 0)                                                                                          \
            base = *p == '0' ? 8 : 10;                                                                                 \
        unsigned long long value = 0, most = is_signed && negative ? limit + 1 : limit;                                \
        const CHAR *first = p;                                                                                         \
        for (int digit; (digit = digit_value(*p)) < base; p++) {                                                       \
            if (value > (most - (unsigned)digit) / (unsigned)base)                                                     \
                overflow = 1;                                                                                          \
            else                                                                                                       \
                value = value * (unsigned)base + (unsigned)digit;                                                      \
        }                                                                                                              \
        if (p == first)                                                                                                \
            return 0;                                                                                                  \
        if (end != NULL)                                                                                               \
            *end = (CHAR *)p;                                                                                          \
        if (overflow) {                                                                                                \
            *_errno() = ERANGE;                                                                                        \
            value = most;                                                                                              \
            return is_signed && negative ? 0 - value : value;                                                          \
        }                                                                                                              \
        return negative ? 0 - value : value;                                                                           \
    }

static int is_space(char character)
{
    return isspace((unsigned char)character);
}

SCAN_INTEGER(scan_integer, char, is_space)
static SCAN_INTEGER(scan_wide_integer, wchar_t, iswspace)

#define STRTO(name, wname, type, limit, is_signed)                                                                     \
    type name(const char *text, char **end, int base)                                                                  \
    {                                                                                                                  \
        return (type)scan_integer(text, end, base, limit, is_signed);                                                  \
    }                                                                                                                  \
    type _##name##_l(const char *text, char **end, int base, void *locale)                                             \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(locale);                                                                                \
        return name(text, end, base);                                                                                  \
    }                                                                                                                  \
    type wname(const wchar_t *text, wchar_t **end, int base)                                                           \
    {                                                                                                                  \
        return (type)scan_wide_integer(text, end, base, limit, is_signed);                                             \
    }                                                                                                                  \
    type _##wname##_l(const wchar_t *text, wchar_t **end, int base, void *locale)                                      \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(locale);                                                                                \
        return wname(text, end, base);                                                                                 \
    }

STRTO(strtol, wcstol, long, LONG_MAX, 1)
STRTO(strtoul, wcstoul, unsigned long, ULONG_MAX, 0)
STRTO(strtoll, wcstoll, long long, LLONG_MAX, 1)
STRTO(strtoull, wcstoull, unsigned long long, ULLONG_MAX, 0)
STRTO(_strtoi64, _wcstoi64, long long, LLONG_MAX, 1)
STRTO(_strtoui64, _wcstoui64, unsigned long long, ULLONG_MAX, 0)
STRTO(strtoimax, wcstoimax, long long, LLONG_MAX, 1)
STRTO(strtoumax, wcstoumax, unsigned long long, ULLONG_MAX, 0)

#define ATO(name, wname, type, limit)                                                                                  \
    type name(const char *text)                                                                                        \
    {                                                                                                                  \
        return (type)scan_integer(text, NULL, 10, limit, 1);                                                           \
    }                                                                                                                  \
    type wname(const wchar_t *text)                                                                                    \
    {                                                                                                                  \
        return (type)scan_wide_integer(text, NULL, 10, limit, 1);                                                      \
    }

ATO(atoi, _wtoi, int, INT_MAX)
ATO(atol, _wtol, long, LONG_MAX)
ATO(atoll, _wtoll, long long, LLONG_MAX)
ATO(_atoi64, _wtoi64, long long, LLONG_MAX)

/* --- itoa and its family */
#define TEXT_OF(name, CHAR)                                                                                            \
    static int name(unsigned long long value, int negative, CHAR *buffer, size_t size, int base)                       \
    {                                                                                                                  \
        CHAR digits[66], *p = digits + 65;                                                                             \
        REQUIRE(buffer != NULL && size != 0, EINVAL, EINVAL);                                                          \
        buffer[0] = 0;                                                                                                 \
        REQUIRE(base >= 2 && base <= 36, EINVAL, EINVAL);                                                              \
        *p = 0;                                                                                                        \
        do {                                                                                                           \
            *--p = (CHAR) "0123456789abcdefghijklmnopqrstuvwxyz"[value % (unsigned)base];                              \
            value /= (unsigned)base;                                                                                   \
        } while (value != 0);                                                                                          \
        if (negative)                                                                                                  \
            *--p = '-';                                                                                                \
        size_t room = (size_t)(digits + 66 - p);                                                                       \
        REQUIRE(room <= size, ERANGE, ERANGE);                                                                         \
        memcpy(buffer, p, room * sizeof(CHAR));                                                                        \
        return 0;                                                                                                      \
    }

TEXT_OF(narrow_text, char)
TEXT_OF(wide_text, wchar_t)

#define TOA(name, wname, type, utype, is_signed)                                                                       \
    int name##_s(type value, char *buffer, size_t size, int base)                                                      \
    {                                                                                                                  \
        int negative = (is_signed) && base == 10 && (long long)value < 0;                                              \
        return narrow_text(negative ? (utype)(0 - (utype)value) : (utype)value, negative, buffer, size, base);         \
    }                                                                                                                  \
    char *name(type value, char *buffer, int base)                                                                     \
    {                                                                                                                  \
        return name##_s(value, buffer, (size_t)-1, base) == 0 ? buffer : buffer;                                       \
    }                                                                                                                  \
    int wname##_s(type value, wchar_t *buffer, size_t size, int base)                                                  \
    {                                                                                                                  \
        int negative = (is_signed) && base == 10 && (long long)value < 0;                                              \
        return wide_text(negative ? (utype)(0 - (utype)value) : (utype)value, negative, buffer, size, base);           \
    }                                                                                                                  \
    wchar_t *wname(type value, wchar_t *buffer, int base)                                                              \
    {                                                                                                                  \
        return wname##_s(value, buffer, (size_t)-1, base) == 0 ? buffer : buffer;                                      \
    }

TOA(_itoa, _itow, int, unsigned, 1)
TOA(_ltoa, _ltow, long, unsigned long, 1)
TOA(_ultoa, _ultow, unsigned long, unsigned long, 0)
TOA(_i64toa, _i64tow, long long, unsigned long long, 1)
TOA(_ui64toa, _ui64tow, unsigned long long, unsigned long long, 0)

/* --- floating point: musl scans and prints (musl_float.c) */
double atof(const char *text)
{
    return strtod(text, NULL);
}

double _atof_l(const char *text, void *locale)
{
    UNREFERENCED_PARAMETER(locale);
    return strtod(text, NULL);
}

double _strtod_l(const char *text, char **end, void *locale)
{
    UNREFERENCED_PARAMETER(locale);
    return strtod(text, end);
}

float _strtof_l(const char *text, char **end, void *locale)
{
    UNREFERENCED_PARAMETER(locale);
    return strtof(text, end);
}

/* A wide text is scanned as the bytes of its ASCII characters; the others end a number. */
static double scan_wide(const wchar_t *text, wchar_t **end, int is_float)
{
    const wchar_t *start = text;
    while (iswspace(*start))
        start++;
    size_t length = 0;
    while (start[length] > ' ' && start[length] < 0x7F)
        length++;
    char *narrow = malloc(length + 1), *stop;
    if (narrow == NULL)
        return 0;
    for (size_t i = 0; i < length; i++)
        narrow[i] = (char)start[i];
    narrow[length] = 0;
    double value = is_float ? (double)strtof(narrow, &stop) : strtod(narrow, &stop);
    if (end != NULL)
        *end = (wchar_t *)(stop == narrow ? text : start + (stop - narrow));
    free(narrow);
    return value;
}

double wcstod(const wchar_t *text, wchar_t **end)
{
    return scan_wide(text, end, 0);
}

float wcstof(const wchar_t *text, wchar_t **end)
{
    return (float)scan_wide(text, end, 1);
}

double _wcstod_l(const wchar_t *text, wchar_t **end, void *locale)
{
    UNREFERENCED_PARAMETER(locale);
    return wcstod(text, end);
}

double _wtof(const wchar_t *text)
{
    return wcstod(text, NULL);
}

/* learn.microsoft.com "_ecvt", "_fcvt": the digits alone; the place of the point and the sign apart */
static char *digits_of(double value, int count, int *point, int *sign, char *buffer, size_t size, int fixed)
{
    char text[400];
    *sign = value < 0;
    if (fixed)
        format_double(text, sizeof(text), value < 0 ? -value : value, 0, count, 'f');
    else
        format_double(text, sizeof(text), value < 0 ? -value : value, 0, count > 0 ? count - 1 : 0, 'e');
    size_t n = 0;
    int exponent = 0, seen_point = 0, leading = 1, before = 0;
    for (char *p = text; *p; p++) {
        if (*p == 'e') {
            exponent = atoi(p + 1);
            break;
        }
        if (*p == '.') {
            seen_point = 1;
            continue;
        }
        if (fixed && leading && *p == '0') {
            if (seen_point)
                before--;
            else
                continue;
            continue;
        }
        leading = 0;
        if (!seen_point)
            before++;
        if (n + 1 < size)
            buffer[n++] = *p;
    }
    buffer[n] = 0;
    *point = fixed ? before : value == 0 ? 0 : exponent + 1;
    return buffer;
}

char *_ecvt(double value, int count, int *point, int *sign)
{
    return digits_of(value, count, point, sign, this_thread()->number, sizeof(this_thread()->number), 0);
}

char *_fcvt(double value, int count, int *point, int *sign)
{
    return digits_of(value, count, point, sign, this_thread()->number, sizeof(this_thread()->number), 1);
}

char *_gcvt(double value, int count, char *buffer)
{
    format_double(buffer, (size_t)count + 16, value, 0, count, 'g');
    return buffer;
}

int _gcvt_s(char *buffer, size_t size, double value, int count)
{
    REQUIRE(buffer != NULL && size != 0, EINVAL, EINVAL);
    format_double(buffer, size, value, 0, count, 'g');
    return 0;
}
