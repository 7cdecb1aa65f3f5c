/* scanf and its family. */
#include "ucrt.h"

#define SCAN_SECURE 1
#define SCAN_LEGACY_WIDE 2
#define NUMBER_ROOM 352

int isspace(int character);

static int is_white(int character)
{
    return isspace(character & ~0xFF ? 'x' : character);
}

static void store_integer(void *target, int size, unsigned long long value)
{
    if (size >= 2)
        *(unsigned long long *)target = value;
    else if (size >= 0)
        *(unsigned *)target = (unsigned)value; /* long is int */
    else if (size == -1)
        *(unsigned short *)target = (unsigned short)value;
    else
        *(unsigned char *)target = (unsigned char)value;
}

#define CHAR char
#define UCHAR unsigned char
#define CORE(name) narrow_##name
#define WIDE 0
#include "scan_core.h"
#undef CHAR
#undef UCHAR
#undef CORE
#undef WIDE
#define CHAR wchar_t
#define UCHAR wchar_t
#define CORE(name) wide_##name
#define WIDE 1
#include "scan_core.h"

int __stdio_common_vsscanf(unsigned long long options, const char *buffer, size_t size, const char *format, void *locale,
                           va_list list)
{
    UNREFERENCED_PARAMETER(locale);
    REQUIRE(buffer != NULL && format != NULL, EINVAL, EOF);
    narrow_source source = {buffer, size, NULL, 0};
    return narrow_scan(&source, options, format, list);
}

int __stdio_common_vswscanf(unsigned long long options, const wchar_t *buffer, size_t size, const wchar_t *format,
                            void *locale, va_list list)
{
    UNREFERENCED_PARAMETER(locale);
    REQUIRE(buffer != NULL && format != NULL, EINVAL, EOF);
    wide_source source = {buffer, size, NULL, 0};
    return wide_scan(&source, options, format, list);
}

int __stdio_common_vfscanf(unsigned long long options, FILE *stream, const char *format, void *locale, va_list list)
{
    UNREFERENCED_PARAMETER(locale);
    REQUIRE(stream != NULL && format != NULL, EINVAL, EOF);
    narrow_source source = {NULL, 0, stream, 0};
    _lock_file(stream);
    int result = narrow_scan(&source, options, format, list);
    _unlock_file(stream);
    return result;
}

int __stdio_common_vfwscanf(unsigned long long options, FILE *stream, const wchar_t *format, void *locale, va_list list)
{
    UNREFERENCED_PARAMETER(locale);
    REQUIRE(stream != NULL && format != NULL, EINVAL, EOF);
    wide_source source = {NULL, 0, stream, 0};
    _lock_file(stream);
    int result = wide_scan(&source, options, format, list);
    _unlock_file(stream);
    return result;
}
