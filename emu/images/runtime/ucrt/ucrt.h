/* What the files of the C runtime share. Names, types and values are those of the documented interface (learn.microsoft.com,
 * "C runtime library reference") as the mingw-w64 headers declare it. The headers themselves are not used, because they
 * make inline functions of names that are defined here. */
#pragma once
#define _KERNEL32_
#define NOGDI
#define NOUSER
#define _CRTIMP
#define _SECIMP
#define __CRTDECL __cdecl
#include <windows.h>
#undef errno
#undef environ
#undef _environ
#undef iswalpha
#undef iswupper
#undef iswlower
#undef iswdigit
#undef iswxdigit
#undef iswspace
#undef iswpunct
#undef iswalnum
#undef iswprint
#undef iswgraph
#undef iswcntrl
#undef iswascii
#undef isleadbyte
#undef __isascii
#undef __toascii
#undef __iscsym
#undef __iscsymf
#undef _rotl
#undef _rotr
#undef _rotl64
#undef _rotr64
#undef _lrotl
#undef _lrotr
#undef TEXT
#undef FAILED
#undef _tolower
#undef _toupper
#undef _isalpha_l
#undef _iswalpha_l
#undef _isupper_l
#undef _iswupper_l
#undef _islower_l
#undef _iswlower_l
#undef _isdigit_l
#undef _iswdigit_l
#undef _isxdigit_l
#undef _iswxdigit_l
#undef _isspace_l
#undef _iswspace_l
#undef _ispunct_l
#undef _iswpunct_l
#undef _isalnum_l
#undef _iswalnum_l
#undef _isprint_l
#undef _iswprint_l
#undef _isgraph_l
#undef _iswgraph_l
#undef _iscntrl_l
#undef _iswcntrl_l
#undef iswblank
#undef isblank
#undef _pctype
#undef _pwctype
#undef WEOF
#undef _TRUNCATE
#undef stdin
#undef stdout
#undef stderr
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef int (*compare_function)(const void *, const void *);
typedef int (*compare_context_function)(void *, const void *, const void *);
typedef void(__cdecl *void_function)(void);
typedef int(__cdecl *int_function)(void);
typedef void(__cdecl *invalid_parameter_handler)(const wchar_t *, const wchar_t *, const wchar_t *, unsigned, uintptr_t);
typedef void(__cdecl *signal_handler)(int number, int detail); /* only that of SIGFPE has a detail */
#ifndef _TIME64_T_DEFINED
typedef long long __time64_t;
#endif
typedef long __time32_t_;

#define EPERM 1
#define ENOENT 2
#define EIO 5
#define ENOEXEC 8
#define EBADF 9
#define ECHILD 10
#define EAGAIN 11
#define ENOMEM 12
#define EACCES 13
#define EEXIST 17
#define EXDEV 18
#define ENOTDIR 20
#define EISDIR 21
#define EINVAL 22
#define EMFILE 24
#define ENOSPC 28
#define ESPIPE 29
#define EPIPE 32
#define EDOM 33
#define ERANGE 34
#define ENOTEMPTY 41
#define EILSEQ 42
#define STRUNCATE 80
#define EOF (-1)
#define WEOF ((unsigned short)0xFFFF)
#define _TRUNCATE ((size_t) - 1)

/* time.h */
struct tm {
    int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;
};

/* What a thread has of its own. */
typedef struct thread_data {
    int error;
    unsigned long dos_error;
    char *strtok_next;
    wchar_t *wcstok_next;
    unsigned random;
    struct tm time;
    char asctime[26];
    wchar_t wasctime[26];
    char message[160];
    wchar_t wmessage[160];
    char number[400];
    signal_handler fault_handlers[3];
    EXCEPTION_POINTERS *exception;
    void_function terminate_handler;
    void_function unexpected_handler;
    invalid_parameter_handler invalid_parameter;
    void *translator;
    void *current_exception[4]; /* of vcruntime */
    int processing_throw;
    unsigned (*start)(void *);
    void *argument;
} thread_data;

thread_data *this_thread(void);
extern int c_program_ends;

int *_errno(void);
void map_error(DWORD error); /* errno and _doserrno of a Win32 error */
void _invalid_parameter_noinfo(void);
__attribute__((noreturn)) void abort(void);
__attribute__((noreturn)) void _exit(int status);
__attribute__((noreturn)) void exit(int status);

/* The documented end of a call with a wrong parameter: the handler, EINVAL. */
#define REQUIRE(condition, error, result)                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            *_errno() = (error);                                                                                       \
            _invalid_parameter_noinfo();                                                                               \
            return result;                                                                                             \
        }                                                                                                              \
    } while (0)

/* heap.c */
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void free(void *block);

/* ntdll's */
void *memcpy(void *, const void *, size_t);
void *memmove(void *, const void *, size_t);
void *memset(void *, int, size_t);
int memcmp(const void *, const void *, size_t);
void *memchr(const void *, int, size_t);
size_t strlen(const char *);
int strcmp(const char *, const char *);
int strncmp(const char *, const char *, size_t);
size_t wcslen(const wchar_t *);

char *_strdup(const char *text);
wchar_t *_wcsdup(const wchar_t *text);
int _stricmp(const char *, const char *);
int _wcsicmp(const wchar_t *, const wchar_t *);
size_t strnlen(const char *, size_t);
size_t wcsnlen(const wchar_t *, size_t);
char *widened_to_narrow(const wchar_t *text);
wchar_t *narrow_to_wide(const char *text);

/* A multibyte character of the C locale is one byte. */
int wide_to_byte(wchar_t character); /* -1: there is none */

/* lowio.c */
#define _O_RDONLY 0
#define _O_WRONLY 1
#define _O_RDWR 2
#define _O_APPEND 8
#define _O_CREAT 0x100
#define _O_TRUNC 0x200
#define _O_EXCL 0x400
#define _O_TEXT 0x4000
#define _O_BINARY 0x8000
#define _O_TEMPORARY 0x40
#define _O_NOINHERIT 0x80
#define _O_WTEXT 0x10000
#define _O_U16TEXT 0x20000
#define _O_U8TEXT 0x40000
extern int default_mode; /* _fmode */
int _wopen(const wchar_t *path, int flags, ...);
int open_file(const wchar_t *path, int flags, int share, int permissions);
int _close(int file);
int _read(int file, void *buffer, unsigned size);
int _write(int file, const void *buffer, unsigned size);
long long _lseeki64(int file, long long offset, int origin);
int _isatty(int file);
int _setmode(int file, int mode);
int file_is_text(int file);
int file_had_crlf(int file);
int file_at_end(int file);
void initialize_files(void);

/* stream.c: the fields and their places are those of struct _iobuf of msvcrt.dll */
typedef struct stream {
    char *next;
    int count;
    char *base;
    int flags;
    int file;
    int pushed;
    int size;
    struct stream_more *more;
} FILE;
C_ASSERT(sizeof(FILE) == 48);

FILE *__acrt_iob_func(unsigned index);
#define stdin __acrt_iob_func(0)
#define stdout __acrt_iob_func(1)
#define stderr __acrt_iob_func(2)
void initialize_streams(void);
int _flushall(void);
int fflush(FILE *stream);
void _lock_file(FILE *stream);
void _unlock_file(FILE *stream);
int _fgetc_nolock(FILE *stream);
int _ungetc_nolock(int character, FILE *stream);
int stream_write(FILE *stream, const char *data, size_t size); /* 0 or EOF */
int begin_burst(FILE *stream);                                /* of an unbuffered stream: buffer one call's output */
void end_burst(FILE *stream, int began);
int fputs(const char *text, FILE *stream);

/* print.c */
#define PRINT_LEGACY_NULL_TERMINATION 1
#define PRINT_STANDARD_SNPRINTF 2
#define PRINT_LEGACY_WIDE 4
#define PRINT_LEGACY_MSVCRT 8
#define PRINT_LEGACY_EXPONENT 0x10
int __stdio_common_vfprintf(unsigned long long options, FILE *stream, const char *format, void *locale, va_list list);
int __stdio_common_vsprintf(unsigned long long options, char *buffer, size_t size, const char *format, void *locale,
                            va_list list);
int format_text(char *buffer, size_t size, const char *format, ...);
int format_double(char *buffer, size_t size, double value, int flags, int precision, char conversion);
double strtod(const char *text, char **end);
float strtof(const char *text, char **end);
unsigned long long scan_integer(const char *text, char **end, int base, unsigned long long limit, int is_signed);

/* multibyte.c */
size_t mbstowcs(wchar_t *to, const char *from, size_t count);
size_t wcstombs(char *to, const wchar_t *from, size_t count);

/* startup.c */
extern char **narrow_environment;
extern wchar_t **wide_environment;
int initialize_environment(void);
void initialize_arguments(void);
void run_exit_functions(void);
