/* printf and scanf: ucrtbase exports the common forms only, and the headers expect the others in a static library. */
#define _CRTIMP
#include <stdarg.h>
#include <stddef.h>

typedef struct _iobuf FILE;
typedef unsigned long long options_t;
FILE *__acrt_iob_func(unsigned index);
int __stdio_common_vfprintf(options_t, FILE *, const char *, void *, va_list);
int __stdio_common_vfwprintf(options_t, FILE *, const wchar_t *, void *, va_list);
int __stdio_common_vsprintf(options_t, char *, size_t, const char *, void *, va_list);
int __stdio_common_vswprintf(options_t, wchar_t *, size_t, const wchar_t *, void *, va_list);
int __stdio_common_vsprintf_s(options_t, char *, size_t, const char *, void *, va_list);
int __stdio_common_vswprintf_s(options_t, wchar_t *, size_t, const wchar_t *, void *, va_list);
int __stdio_common_vsnprintf_s(options_t, char *, size_t, size_t, const char *, void *, va_list);
int __stdio_common_vsnwprintf_s(options_t, wchar_t *, size_t, size_t, const wchar_t *, void *, va_list);
int __stdio_common_vfscanf(options_t, FILE *, const char *, void *, va_list);
int __stdio_common_vfwscanf(options_t, FILE *, const wchar_t *, void *, va_list);
int __stdio_common_vsscanf(options_t, const char *, size_t, const char *, void *, va_list);
int __stdio_common_vswscanf(options_t, const wchar_t *, size_t, const wchar_t *, void *, va_list);

/* corecrt_stdio_config.h */
#define LEGACY_VSPRINTF_NULL_TERMINATION 1
#define STANDARD_SNPRINTF_BEHAVIOR 2
#define PRINT_OPTIONS (*__local_stdio_printf_options())
#define SCAN_OPTIONS (*__local_stdio_scanf_options())
#define SECURECRT 1

options_t *__local_stdio_printf_options(void)
{
    static options_t options = 4; /* _CRT_INTERNAL_PRINTF_LEGACY_WIDE_SPECIFIERS, as legacy_stdio_wide_specifiers.lib */
    return &options;
}

options_t *__local_stdio_scanf_options(void)
{
    static options_t options = 2; /* _CRT_INTERNAL_SCANF_LEGACY_WIDE_SPECIFIERS */
    return &options;
}

#define VARIADIC(vname, ...)                                                                                           \
    {                                                                                                                  \
        va_list list;                                                                                                  \
        va_start(list, format);                                                                                        \
        int result = vname(__VA_ARGS__, list);                                                                         \
        va_end(list);                                                                                                  \
        return result;                                                                                                 \
    }
#define STREAM_FORMS(name, vname, std_name, vstd_name, CHAR, common, options, standard)                                \
    int vname(FILE *stream, const CHAR *format, va_list list)                                                          \
    {                                                                                                                  \
        return common(options, stream, format, NULL, list);                                                            \
    }                                                                                                                  \
    int name(FILE *stream, const CHAR *format, ...) VARIADIC(vname, stream, format)                                    \
    int vstd_name(const CHAR *format, va_list list)                                                                    \
    {                                                                                                                  \
        return common(options, __acrt_iob_func(standard), format, NULL, list);                                         \
    }                                                                                                                  \
    int std_name(const CHAR *format, ...) VARIADIC(vstd_name, format)
#define SIZED_FORMS(name, vname, CHAR, common, options)                                                                \
    int vname(CHAR *buffer, size_t size, const CHAR *format, va_list list)                                             \
    {                                                                                                                  \
        return common(options, buffer, size, format, NULL, list);                                                      \
    }                                                                                                                  \
    int name(CHAR *buffer, size_t size, const CHAR *format, ...) VARIADIC(vname, buffer, size, format)
#define COUNTED_FORMS(name, vname, CHAR, common)                                                                       \
    int vname(CHAR *buffer, size_t size, size_t count, const CHAR *format, va_list list)                               \
    {                                                                                                                  \
        return common(PRINT_OPTIONS, buffer, size, count, format, NULL, list);                                         \
    }                                                                                                                  \
    int name(CHAR *buffer, size_t size, size_t count, const CHAR *format, ...)                                         \
        VARIADIC(vname, buffer, size, count, format)
#define COUNTING_FORMS(name, vname, CHAR, common)                                                                      \
    int vname(const CHAR *format, va_list list)                                                                        \
    {                                                                                                                  \
        return common(PRINT_OPTIONS | STANDARD_SNPRINTF_BEHAVIOR, NULL, 0, format, NULL, list);                        \
    }                                                                                                                  \
    int name(const CHAR *format, ...) VARIADIC(vname, format)
#define TEXT_FORMS(name, vname, CHAR, common, options)                                                                 \
    int vname(CHAR *buffer, const CHAR *format, va_list list)                                                          \
    {                                                                                                                  \
        return common(options, buffer, (size_t)-1 / 4, format, NULL, list);                                            \
    }                                                                                                                  \
    int name(CHAR *buffer, const CHAR *format, ...) VARIADIC(vname, buffer, format)
#define SCAN_FORMS(name, vname, CHAR, common, options)                                                                 \
    int vname(const CHAR *buffer, const CHAR *format, va_list list)                                                    \
    {                                                                                                                  \
        return common(options, buffer, (size_t)-1, format, NULL, list);                                                \
    }                                                                                                                  \
    int name(const CHAR *buffer, const CHAR *format, ...) VARIADIC(vname, buffer, format)

STREAM_FORMS(fprintf, vfprintf, printf, vprintf, char, __stdio_common_vfprintf, PRINT_OPTIONS, 1)
STREAM_FORMS(fwprintf, vfwprintf, wprintf, vwprintf, wchar_t, __stdio_common_vfwprintf, PRINT_OPTIONS, 1)
STREAM_FORMS(fprintf_s, vfprintf_s, printf_s, vprintf_s, char, __stdio_common_vfprintf, PRINT_OPTIONS, 1)
STREAM_FORMS(fwprintf_s, vfwprintf_s, wprintf_s, vwprintf_s, wchar_t, __stdio_common_vfwprintf, PRINT_OPTIONS, 1)
STREAM_FORMS(fscanf, vfscanf, scanf, vscanf, char, __stdio_common_vfscanf, SCAN_OPTIONS, 0)
STREAM_FORMS(fwscanf, vfwscanf, wscanf, vwscanf, wchar_t, __stdio_common_vfwscanf, SCAN_OPTIONS, 0)
STREAM_FORMS(fscanf_s, vfscanf_s, scanf_s, vscanf_s, char, __stdio_common_vfscanf, SCAN_OPTIONS | SECURECRT, 0)
STREAM_FORMS(fwscanf_s, vfwscanf_s, wscanf_s, vwscanf_s, wchar_t, __stdio_common_vfwscanf, SCAN_OPTIONS | SECURECRT, 0)
TEXT_FORMS(sprintf, vsprintf, char, __stdio_common_vsprintf, PRINT_OPTIONS | LEGACY_VSPRINTF_NULL_TERMINATION)
TEXT_FORMS(_swprintf, _vswprintf, wchar_t, __stdio_common_vswprintf, PRINT_OPTIONS | LEGACY_VSPRINTF_NULL_TERMINATION)
SIZED_FORMS(snprintf, vsnprintf, char, __stdio_common_vsprintf, PRINT_OPTIONS | STANDARD_SNPRINTF_BEHAVIOR)
SIZED_FORMS(_snprintf, _vsnprintf, char, __stdio_common_vsprintf, PRINT_OPTIONS | LEGACY_VSPRINTF_NULL_TERMINATION)
SIZED_FORMS(snwprintf, vsnwprintf, wchar_t, __stdio_common_vswprintf, PRINT_OPTIONS | STANDARD_SNPRINTF_BEHAVIOR)
SIZED_FORMS(_snwprintf, _vsnwprintf, wchar_t, __stdio_common_vswprintf, PRINT_OPTIONS | LEGACY_VSPRINTF_NULL_TERMINATION)
SIZED_FORMS(swprintf, vswprintf, wchar_t, __stdio_common_vswprintf, PRINT_OPTIONS)
SIZED_FORMS(sprintf_s, vsprintf_s, char, __stdio_common_vsprintf_s, PRINT_OPTIONS)
SIZED_FORMS(swprintf_s, vswprintf_s, wchar_t, __stdio_common_vswprintf_s, PRINT_OPTIONS)
COUNTED_FORMS(_snprintf_s, _vsnprintf_s, char, __stdio_common_vsnprintf_s)
COUNTED_FORMS(_snwprintf_s, _vsnwprintf_s, wchar_t, __stdio_common_vsnwprintf_s)
COUNTING_FORMS(_scprintf, _vscprintf, char, __stdio_common_vsprintf)
COUNTING_FORMS(_scwprintf, _vscwprintf, wchar_t, __stdio_common_vswprintf)
SCAN_FORMS(sscanf, vsscanf, char, __stdio_common_vsscanf, SCAN_OPTIONS)
SCAN_FORMS(swscanf, vswscanf, wchar_t, __stdio_common_vswscanf, SCAN_OPTIONS)
SCAN_FORMS(sscanf_s, vsscanf_s, char, __stdio_common_vsscanf, SCAN_OPTIONS | SECURECRT)
SCAN_FORMS(swscanf_s, vswscanf_s, wchar_t, __stdio_common_vswscanf, SCAN_OPTIONS | SECURECRT)
