/* msvcrt.dll: the old forms of what ucrtbase.dll does. Most exports are forwarders (msvcrt.def). */
#include "ucrt.h"

#define OLD (PRINT_LEGACY_WIDE | PRINT_LEGACY_MSVCRT | PRINT_LEGACY_EXPONENT)
#define OLD_COUNT (OLD | PRINT_LEGACY_NULL_TERMINATION) /* _snprintf: no NUL where the text just fits */
#define SECURE 1
#define OLD_SCAN 2

int __stdio_common_vfwprintf(unsigned long long, FILE *, const wchar_t *, void *, va_list);
int __stdio_common_vswprintf(unsigned long long, wchar_t *, size_t, const wchar_t *, void *, va_list);
int __stdio_common_vsprintf_s(unsigned long long, char *, size_t, const char *, void *, va_list);
int __stdio_common_vswprintf_s(unsigned long long, wchar_t *, size_t, const wchar_t *, void *, va_list);
int __stdio_common_vsnprintf_s(unsigned long long, char *, size_t, size_t, const char *, void *, va_list);
int __stdio_common_vsnwprintf_s(unsigned long long, wchar_t *, size_t, size_t, const wchar_t *, void *, va_list);
int __stdio_common_vfscanf(unsigned long long, FILE *, const char *, void *, va_list);
int __stdio_common_vfwscanf(unsigned long long, FILE *, const wchar_t *, void *, va_list);
int __stdio_common_vsscanf(unsigned long long, const char *, size_t, const char *, void *, va_list);
int __stdio_common_vswscanf(unsigned long long, const wchar_t *, size_t, const wchar_t *, void *, va_list);
char ***__p__environ(void), ***__p___argv(void), **__p__acmdln(void), **__p__pgmptr(void);
wchar_t ***__p__wenviron(void), ***__p___wargv(void), **__p__wcmdln(void), **__p__wpgmptr(void);
int *__p___argc(void), *__p__fmode(void), *__p__commode(void);
int _configure_narrow_argv(int mode), _crt_atexit(void_function), _set_new_mode(int), _configure_wide_argv(int);
void *localeconv(void);
void _set_app_type(int type);
unsigned _set_abort_behavior(unsigned flags, unsigned mask);
int raise(int number);

/* One family: a list of arguments is taken from `...`, or given. */
#define VARIADIC(name, vname, ...)                                                                                     \
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
    int name(FILE *stream, const CHAR *format, ...)                                                                    \
        VARIADIC(name, vname, stream, format)                                                                          \
    int vstd_name(const CHAR *format, va_list list)                                                                    \
    {                                                                                                                  \
        return common(options, standard, format, NULL, list);                                                          \
    }                                                                                                                  \
    int std_name(const CHAR *format, ...)                                                                              \
        VARIADIC(std_name, vstd_name, format)

STREAM_FORMS(fprintf, vfprintf, printf, vprintf, char, __stdio_common_vfprintf, OLD, stdout)
STREAM_FORMS(fwprintf, vfwprintf, wprintf, vwprintf, wchar_t, __stdio_common_vfwprintf, OLD, stdout)
STREAM_FORMS(fprintf_s, vfprintf_s, printf_s, vprintf_s, char, __stdio_common_vfprintf, OLD, stdout)
STREAM_FORMS(fwprintf_s, vfwprintf_s, wprintf_s, vwprintf_s, wchar_t, __stdio_common_vfwprintf, OLD, stdout)
STREAM_FORMS(fscanf, vfscanf, scanf, vscanf, char, __stdio_common_vfscanf, OLD_SCAN, stdin)
STREAM_FORMS(fwscanf, vfwscanf, wscanf, vwscanf, wchar_t, __stdio_common_vfwscanf, OLD_SCAN, stdin)
STREAM_FORMS(fscanf_s, vfscanf_s, scanf_s, vscanf_s, char, __stdio_common_vfscanf, OLD_SCAN | SECURE, stdin)
STREAM_FORMS(fwscanf_s, vfwscanf_s, wscanf_s, vwscanf_s, wchar_t, __stdio_common_vfwscanf, OLD_SCAN | SECURE, stdin)

#define TEXT_FORMS(name, vname, CHAR, common, options)                                                                 \
    int vname(CHAR *buffer, const CHAR *format, va_list list)                                                          \
    {                                                                                                                  \
        return common(options, buffer, (size_t)-1 / 4, format, NULL, list);                                            \
    }                                                                                                                  \
    int name(CHAR *buffer, const CHAR *format, ...)                                                                    \
        VARIADIC(name, vname, buffer, format)
TEXT_FORMS(sprintf, vsprintf, char, __stdio_common_vsprintf, OLD)
TEXT_FORMS(swprintf, vswprintf, wchar_t, __stdio_common_vswprintf, OLD)
TEXT_FORMS(_swprintf, _vswprintf, wchar_t, __stdio_common_vswprintf, OLD)

#define SIZED_FORMS(name, vname, CHAR, common, options)                                                                \
    int vname(CHAR *buffer, size_t size, const CHAR *format, va_list list)                                             \
    {                                                                                                                  \
        return common(options, buffer, size, format, NULL, list);                                                      \
    }                                                                                                                  \
    int name(CHAR *buffer, size_t size, const CHAR *format, ...)                                                       \
        VARIADIC(name, vname, buffer, size, format)
SIZED_FORMS(_snprintf, _vsnprintf, char, __stdio_common_vsprintf, OLD_COUNT)
SIZED_FORMS(_snwprintf, _vsnwprintf, wchar_t, __stdio_common_vswprintf, OLD_COUNT)
SIZED_FORMS(_swprintf_c, _vswprintf_c, wchar_t, __stdio_common_vswprintf, OLD)
SIZED_FORMS(sprintf_s, vsprintf_s, char, __stdio_common_vsprintf_s, OLD)
SIZED_FORMS(swprintf_s, vswprintf_s, wchar_t, __stdio_common_vswprintf_s, OLD)

int vsnprintf(char *buffer, size_t size, const char *format, va_list list)
{
    return _vsnprintf(buffer, size, format, list);
}

#define COUNTED_FORMS(name, vname, CHAR, common)                                                                       \
    int vname(CHAR *buffer, size_t size, size_t count, const CHAR *format, va_list list)                               \
    {                                                                                                                  \
        return common(OLD, buffer, size, count, format, NULL, list);                                                   \
    }                                                                                                                  \
    int name(CHAR *buffer, size_t size, size_t count, const CHAR *format, ...)                                         \
        VARIADIC(name, vname, buffer, size, count, format)
COUNTED_FORMS(_snprintf_s, _vsnprintf_s, char, __stdio_common_vsnprintf_s)
COUNTED_FORMS(_snwprintf_s, _vsnwprintf_s, wchar_t, __stdio_common_vsnwprintf_s)

#define COUNTING_FORMS(name, vname, CHAR, common)                                                                      \
    int vname(const CHAR *format, va_list list)                                                                        \
    {                                                                                                                  \
        return common(OLD | PRINT_STANDARD_SNPRINTF, NULL, 0, format, NULL, list);                                     \
    }                                                                                                                  \
    int name(const CHAR *format, ...)                                                                                  \
        VARIADIC(name, vname, format)
COUNTING_FORMS(_scprintf, _vscprintf, char, __stdio_common_vsprintf)
COUNTING_FORMS(_scwprintf, _vscwprintf, wchar_t, __stdio_common_vswprintf)

#define SCAN_FORMS(name, vname, CHAR, common, options)                                                                 \
    int vname(const CHAR *buffer, const CHAR *format, va_list list)                                                    \
    {                                                                                                                  \
        return common(options, buffer, (size_t)-1, format, NULL, list);                                                \
    }                                                                                                                  \
    int name(const CHAR *buffer, const CHAR *format, ...)                                                              \
        VARIADIC(name, vname, buffer, format)
SCAN_FORMS(sscanf, vsscanf, char, __stdio_common_vsscanf, OLD_SCAN)
SCAN_FORMS(swscanf, vswscanf, wchar_t, __stdio_common_vswscanf, OLD_SCAN)
SCAN_FORMS(sscanf_s, vsscanf_s, char, __stdio_common_vsscanf, OLD_SCAN | SECURE)
SCAN_FORMS(swscanf_s, vswscanf_s, wchar_t, __stdio_common_vswscanf, OLD_SCAN | SECURE)

/* --- start and end */
FILE *__iob_func(void)
{
    return stdin; /* the three standard streams follow each other */
}

int _initialize_arguments(int *count, char ***arguments, char ***environment)
{
    _configure_narrow_argv(0);
    *count = *__p___argc();
    *arguments = *__p___argv();
    *environment = *__p__environ();
    return 0;
}

int __getmainargs(int *count, char ***arguments, char ***environment, int wildcards, int *start)
{
    UNREFERENCED_PARAMETER(wildcards);
    if (start != NULL)
        _set_new_mode(*start);
    return _initialize_arguments(count, arguments, environment);
}

int __wgetmainargs(int *count, wchar_t ***arguments, wchar_t ***environment, int wildcards, int *start)
{
    UNREFERENCED_PARAMETER(wildcards);
    if (start != NULL)
        _set_new_mode(*start);
    _configure_wide_argv(0);
    *count = *__p___argc();
    *arguments = *__p___wargv();
    *environment = *__p__wenviron();
    return 0;
}

typedef int(__cdecl *onexit_function)(void);

onexit_function _onexit(onexit_function function)
{
    return _crt_atexit((void_function)(void *)function) == 0 ? function : NULL;
}

int atexit(void_function function)
{
    return _crt_atexit(function);
}

/* The table of a DLL's own functions: [*first, *last), which grows. */
onexit_function __dllonexit(onexit_function function, onexit_function **first, onexit_function **last)
{
    size_t count = (size_t)(*last - *first);
    onexit_function *moved = realloc(*first, (count + 1) * sizeof(*moved));
    if (moved == NULL)
        return NULL;
    moved[count] = function;
    *first = moved;
    *last = moved + count + 1;
    return function;
}

/* learn.microsoft.com "abort": without fault reporting, exit code 3. msvcrt.dll has no fast fail. */
static const char abort_text[] = "\nThis application has requested the Runtime to terminate it in an unusual way.\n"
                                 "Please contact the application's support team for more information.\n";

__attribute__((noreturn)) void old_abort(void)
{
    fputs(abort_text, stderr);
    raise(22); /* SIGABRT: by default, exit code 3 */
    _exit(3);
}

__attribute__((noreturn)) void old_assert(const char *expression, const char *file, unsigned line)
{
    fprintf(stderr, "Assertion failed: %s, file %s, line %u\n", expression, file, line);
    old_abort();
}

__attribute__((noreturn)) void old_wassert(const wchar_t *expression, const wchar_t *file, unsigned line)
{
    fprintf(stderr, "Assertion failed: %S, file %S, line %u\n", expression, file, line);
    old_abort();
}

/* --- data that programs import. The program's values are copied before its code runs. */
int _fmode = _O_TEXT, _commode, __argc, __mb_cur_max = 1;
char *_acmdln, *_pgmptr, **_environ, **__initenv, **__argv;
wchar_t *_wcmdln, *_wpgmptr, **_wenviron, **__winitenv, **__wargv;
const unsigned short *__pctype_func(void);
const unsigned short *_pctype;
double _HUGE;

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, LPVOID reserved)
{
    static const unsigned long long infinity = 0x7FF0000000000000ull;
    UNREFERENCED_PARAMETER(instance);
    UNREFERENCED_PARAMETER(reserved);
    if (reason == DLL_PROCESS_ATTACH) {
        _configure_narrow_argv(0);
        __argc = *__p___argc();
        __argv = *__p___argv();
        __wargv = *__p___wargv();
        _environ = __initenv = *__p__environ();
        _wenviron = __winitenv = *__p__wenviron();
        _acmdln = *__p__acmdln();
        _wcmdln = *__p__wcmdln();
        _pgmptr = *__p__pgmptr();
        _wpgmptr = *__p__wpgmptr();
        _pctype = __pctype_func();
        memcpy(&_HUGE, &infinity, sizeof(_HUGE));
    }
    return TRUE;
}

void *__lconv_init(void)
{
    return localeconv();
}
