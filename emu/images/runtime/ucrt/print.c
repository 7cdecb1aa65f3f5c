/* printf and its family. */
#include "ucrt.h"

#define LEFT 1
#define PLUS 2
#define SPACE 4
#define ALTERNATE 8
#define ZERO 16

enum { SIZE_NONE, SIZE_CHAR, SIZE_SHORT, SIZE_LONG, SIZE_32, SIZE_64, SIZE_DOUBLE };

typedef struct print_spec {
    int flags, width, precision;
    char conversion;
    int three_digit_exponent, old_specials;
} print_spec;

typedef struct UNICODE_STRING_LIKE {
    unsigned short length, room;
    const void *buffer;
} UNICODE_STRING_LIKE;

static int is_special(const char *digits)
{
    return (*digits | 32) == 'i' || (*digits | 32) == 'n';
}

/* Infinity and NaN. The newer form is inf, nan, nan(ind), nan(snan); msvcrt has 1.#INF and so on, rounded as digits. */
static int print_special(char *buffer, size_t size, unsigned long long bits, const print_spec *spec)
{
    unsigned long long fraction = bits & 0xFFFFFFFFFFFFFull;
    int capital = spec->conversion < 'a', negative = (int)(bits >> 63);
    const char *sign = negative ? "-" : spec->flags & PLUS ? "+" : spec->flags & SPACE ? " " : "";
    if (!spec->old_specials) {
        const char *name = fraction == 0                                ? "inf"
                           : !(fraction >> 51)                          ? "nan(snan)"
                           : negative && fraction == 0x8000000000000ull ? "nan(ind)"
                                                                        : "nan";
        int length = format_text(buffer, size, "%s%s", sign, name);
        for (char *p = buffer; capital && *p; p++)
            if (*p >= 'a' && *p <= 'z')
                *p -= 32;
        return length;
    }
    char digits[6];
    const char *name = fraction == 0                                ? "#INF"
                       : !(fraction >> 51)                          ? "#SNAN"
                       : negative && fraction == 0x8000000000000ull ? "#IND"
                                                                    : "#QNAN";
    memcpy(digits, name, strlen(name) + 1);
    int precision = spec->precision < 0 ? 6 : spec->precision, length = (int)strlen(digits);
    if ((spec->conversion | 32) == 'g')
        precision = length;
    int zeros = precision > length ? precision - length : 0;
    if (precision < length) {
        if (precision > 0 && digits[precision] >= '5')
            digits[precision - 1]++;
        digits[precision] = 0;
    }
    return format_text(buffer, size, "%s1%s%s%.*s", sign, precision > 0 || spec->flags & ALTERNATE ? "." : "", digits, zeros,
                       "0000000000000000000000000000000000000000");
}

static int print_double(char *buffer, size_t size, double value, const print_spec *spec)
{
    unsigned long long bits;
    memcpy(&bits, &value, sizeof(bits));
    if ((bits >> 52 & 0x7FF) == 0x7FF)
        return print_special(buffer, size, bits, spec);
    int precision = spec->precision;
    if (precision < 0 && (spec->conversion | 32) == 'a')
        precision = 13; /* documented default of %a */
    int flags = (spec->flags & ALTERNATE ? 1 : 0) | (spec->flags & PLUS ? 2 : 0) | (spec->flags & SPACE ? 4 : 0);
    int length = format_double(buffer, size, value, flags, precision, spec->conversion);
    if (spec->three_digit_exponent && (spec->conversion | 32) != 'f' && (spec->conversion | 32) != 'a' &&
        length >= 4 && (size_t)length + 1 < size && (buffer[length - 4] | 32) == 'e') {
        buffer[length + 1] = 0;
        buffer[length] = buffer[length - 1];
        buffer[length - 1] = buffer[length - 2];
        buffer[length - 2] = '0';
        length++;
    }
    return length;
}

#define CHAR char
#define CORE(name) narrow_##name
#define WIDE 0
#include "print_core.h"
#undef CHAR
#undef CORE
#undef WIDE
#define CHAR wchar_t
#define CORE(name) wide_##name
#define WIDE 1
#include "print_core.h"

/* --- into a stream */
static void to_stream(narrow_sink *sink, const char *text, size_t length)
{
    sink->failed = stream_write(sink->stream, text, length) != 0;
}

static void wide_to_stream(wide_sink *sink, const wchar_t *text, size_t length)
{
    for (size_t i = 0; i < length && !sink->failed; i++) {
        int byte = wide_to_byte(text[i]);
        char character = (char)byte;
        if (byte < 0)
            *_errno() = EILSEQ;
        sink->failed = byte < 0 || stream_write(sink->stream, &character, 1) != 0;
    }
}

int __stdio_common_vfprintf(unsigned long long options, FILE *stream, const char *format, void *locale, va_list list)
{
    UNREFERENCED_PARAMETER(locale);
    REQUIRE(stream != NULL && format != NULL, EINVAL, -1);
    narrow_sink sink = {to_stream, NULL, 0, stream, 0, 0};
    _lock_file(stream);
    int began = begin_burst(stream);
    int result = narrow_print(&sink, options, format, list);
    end_burst(stream, began);
    _unlock_file(stream);
    return result;
}

int __stdio_common_vfwprintf(unsigned long long options, FILE *stream, const wchar_t *format, void *locale, va_list list)
{
    UNREFERENCED_PARAMETER(locale);
    REQUIRE(stream != NULL && format != NULL, EINVAL, -1);
    wide_sink sink = {wide_to_stream, NULL, 0, stream, 0, 0};
    _lock_file(stream);
    int began = begin_burst(stream);
    int result = wide_print(&sink, options, format, list);
    end_burst(stream, began);
    _unlock_file(stream);
    return result;
}

int __stdio_common_vfprintf_s(unsigned long long options, FILE *stream, const char *format, void *locale, va_list list)
{
    return __stdio_common_vfprintf(options, stream, format, locale, list);
}

int __stdio_common_vfwprintf_s(unsigned long long options, FILE *stream, const wchar_t *format, void *locale,
                               va_list list)
{
    return __stdio_common_vfwprintf(options, stream, format, locale, list);
}

/* --- into a buffer */
int __stdio_common_vsprintf(unsigned long long options, char *buffer, size_t size, const char *format, void *locale,
                            va_list list)
{
    UNREFERENCED_PARAMETER(locale);
    return narrow_print_to(options, buffer, size, format, list);
}

int __stdio_common_vswprintf(unsigned long long options, wchar_t *buffer, size_t size, const wchar_t *format,
                             void *locale, va_list list)
{
    UNREFERENCED_PARAMETER(locale);
    return wide_print_to(options, buffer, size, format, list);
}

#define SECURE_FORMS(s_name, n_name, CHAR, print)                                                                      \
    int s_name(unsigned long long options, CHAR *buffer, size_t size, const CHAR *format, void *locale, va_list list)  \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(locale);                                                                                \
        REQUIRE(format != NULL && buffer != NULL && size != 0, EINVAL, -1);                                            \
        int result = print(options & ~3ull, buffer, size, format, list);                                               \
        if (result < 0) {                                                                                              \
            buffer[0] = 0;                                                                                             \
            REQUIRE(FALSE, ERANGE, -1);                                                                                \
        }                                                                                                              \
        return result;                                                                                                 \
    }                                                                                                                  \
    int n_name(unsigned long long options, CHAR *buffer, size_t size, size_t count, const CHAR *format, void *locale,  \
               va_list list)                                                                                           \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(locale);                                                                                \
        REQUIRE(format != NULL, EINVAL, -1);                                                                           \
        if (count == 0 && buffer == NULL && size == 0)                                                                 \
            return 0;                                                                                                  \
        REQUIRE(buffer != NULL && size != 0, EINVAL, -1);                                                              \
        size_t room = count < size ? count + 1 : size;                                                                 \
        int result = print(options & ~3ull, buffer, room, format, list);                                               \
        if (result < 0 && count >= size && count != _TRUNCATE) {                                                       \
            buffer[0] = 0;                                                                                             \
            REQUIRE(FALSE, ERANGE, -1);                                                                                \
        }                                                                                                              \
        return result;                                                                                                 \
    }
SECURE_FORMS(__stdio_common_vsprintf_s, __stdio_common_vsnprintf_s, char, narrow_print_to)
SECURE_FORMS(__stdio_common_vswprintf_s, __stdio_common_vsnwprintf_s, wchar_t, wide_print_to)

int format_text(char *buffer, size_t size, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int result = narrow_print_to(PRINT_STANDARD_SNPRINTF, buffer, size, format, list);
    va_end(list);
    return result;
}

int _set_printf_count_output(int value)
{
    UNREFERENCED_PARAMETER(value);
    return 0; /* %n stays disabled */
}

int _get_printf_count_output(void)
{
    return 0;
}

unsigned _get_output_format(void)
{
    return 0;
}
