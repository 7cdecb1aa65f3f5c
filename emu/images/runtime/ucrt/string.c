/* Strings of bytes, and memory. */
#include "ucrt.h"

int tolower(int character);
int toupper(int character);

#define CHAR char
#define UCHAR unsigned char
#define CHR_ARGUMENT int
#define S(name) str##name
#define _S(name) _str##name
#define LOWER tolower
#define UPPER toupper
#include "text_core.h"

char *strtok(char *text, const char *set)
{
    char **next = &this_thread()->strtok_next;
    if (text == NULL && *next == NULL)
        return NULL;
    return strtok_s(text, set, next);
}

int _memicmp(const void *first, const void *second, size_t count)
{
    const unsigned char *a = first, *b = second;
    for (; count != 0; a++, b++, count--) {
        int difference = tolower(*a) - tolower(*b);
        if (difference != 0)
            return difference;
    }
    return 0;
}

void *_memccpy(void *to, const void *from, int character, size_t count)
{
    char *target = to;
    for (const char *source = from; count != 0; count--, source++) {
        *target++ = *source;
        if (*source == (char)character)
            return target;
    }
    return NULL;
}

void *memchr(const void *block, int character, size_t count)
{
    for (const unsigned char *p = block; count != 0; p++, count--)
        if (*p == (unsigned char)character)
            return (void *)p;
    return NULL;
}

int memcpy_s(void *to, size_t size, const void *from, size_t count)
{
    if (count == 0)
        return 0;
    REQUIRE(to != NULL, EINVAL, EINVAL);
    if (from == NULL || size < count) {
        memset(to, 0, size);
        REQUIRE(from != NULL, EINVAL, EINVAL);
        REQUIRE(size >= count, ERANGE, ERANGE);
    }
    memcpy(to, from, count);
    return 0;
}

int memmove_s(void *to, size_t size, const void *from, size_t count)
{
    if (count == 0)
        return 0;
    REQUIRE(to != NULL && from != NULL, EINVAL, EINVAL);
    REQUIRE(size >= count, ERANGE, ERANGE);
    memmove(to, from, count);
    return 0;
}

void _swab(char *from, char *to, int count)
{
    for (int i = 0; i + 1 < count; i += 2) {
        char first = from[i];
        to[i] = from[i + 1];
        to[i + 1] = first;
    }
}

/* --- messages: learn.microsoft.com "errno constants" gives the names; the texts are those of "strerror" samples */
static const char *const messages[] = {
    "No error", "Operation not permitted", "No such file or directory", "No such process", "Interrupted function call",
    "Input/output error", "No such device or address", "Arg list too long", "Exec format error", "Bad file descriptor",
    "No child processes", "Resource temporarily unavailable", "Not enough space", "Permission denied", "Bad address",
    "Unknown error", "Resource device", "File exists", "Improper link", "No such device", "Not a directory",
    "Is a directory", "Invalid argument", "Too many open files in system", "Too many open files",
    "Inappropriate I/O control operation", "Unknown error", "File too large", "No space left on device", "Invalid seek",
    "Read-only file system", "Too many links", "Broken pipe", "Domain error", "Result too large", "Unknown error",
    "Resource deadlock avoided", "Unknown error", "Filename too long", "No locks available", "Function not implemented",
    "Directory not empty", "Illegal byte sequence", "Unknown error"};

static const char *message_of(int error)
{
    return messages[error >= 0 && error < (int)RTL_NUMBER_OF(messages) ? error : (int)RTL_NUMBER_OF(messages) - 1];
}

char *strerror(int error)
{
    char *buffer = this_thread()->message;
    return strcpy(buffer, message_of(error));
}

wchar_t *_wcserror(int error)
{
    wchar_t *buffer = this_thread()->wmessage;
    mbstowcs(buffer, message_of(error), RTL_NUMBER_OF(this_thread()->wmessage));
    return buffer;
}

int strerror_s(char *buffer, size_t size, int error)
{
    REQUIRE(buffer != NULL && size != 0, EINVAL, EINVAL);
    return strncpy_s(buffer, size, message_of(error), _TRUNCATE) == STRUNCATE ? 0 : 0;
}

char *_strerror(const char *prefix)
{
    char *buffer = this_thread()->message;
    const char *text = message_of(*_errno());
    if (prefix != NULL && *prefix)
        format_text(buffer, sizeof(this_thread()->message), "%s: %s\n", prefix, text);
    else
        format_text(buffer, sizeof(this_thread()->message), "%s\n", text);
    return buffer;
}

void perror(const char *prefix)
{
    const char *text = message_of(*_errno());
    if (prefix != NULL && *prefix) {
        fputs(prefix, stderr);
        fputs(": ", stderr);
    }
    fputs(text, stderr);
    fputs("\n", stderr);
}

int *__sys_nerr(void)
{
    static int count = RTL_NUMBER_OF(messages) - 1;
    return &count;
}

char **__sys_errlist(void)
{
    return (char **)messages;
}
