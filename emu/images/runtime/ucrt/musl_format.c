/* Floating point as text, by musl's vfprintf.c of the ziglang wheel. Only its fmt_fp is used: what a printf of this
 * runtime does otherwise is in print_core.h. */
#include <stddef.h>
#define _STDIO_IMPL_H /* musl's FILE is replaced by this one */
#define _FILE_DEFINED
#define hidden
#define vfprintf musl_vfprintf
typedef struct musl_file {
    unsigned flags;
    char *wpos, *wbase, *wend, *buf;
    size_t buf_size;
    int lock, mode;
    size_t (*write)(struct musl_file *, const unsigned char *, size_t);
    char *text;
    size_t size, length;
} FILE;
#define F_ERR 32
#define EOF (-1)
#define FLOCK(f) ((void)0)
#define FUNLOCK(f) ((void)0)
#define ferror(f) 0
#define NL_ARGMAX 9
static size_t __fwritex(const unsigned char *data, size_t length, FILE *file)
{
    for (size_t i = 0; i < length; i++, file->length++)
        if (file->length + 1 < file->size)
            file->text[file->length] = (char)data[i];
    return length;
}
static int __towrite(FILE *file)
{
    return file == NULL;
}
char *strerror(int);
int fflush(FILE *);
#include "vfprintf.c"
#include "musl_precision.h"

/* flags: 1 '#', 2 '+', 4 ' '. Returns the length of the whole text. */
int format_double(char *buffer, size_t size, double value, int flags, int precision, char conversion)
{
    FILE file = {.text = buffer, .size = size};
    int musl_flags = (flags & 1 ? ALT_FORM : 0) | (flags & 2 ? MARK_POS : 0) | (flags & 4 ? PAD_POS : 0);
    unsigned short control = extend_precision();
    fmt_fp(&file, value, 0, precision, musl_flags, conversion);
    restore_precision(control);
    if (size != 0)
        buffer[file.length < size ? file.length : size - 1] = 0;
    return (int)file.length;
}

/* What musl's two files call of math for the extended type. */
typedef union {
    long double value;
    struct {
        unsigned long long fraction;
        unsigned short exponent;
    } parts;
} extended;

long double frexpl(long double value, int *exponent)
{
    extended x = {value};
    *exponent = 0;
    if (value == 0 || (x.parts.exponent & 0x7FFF) == 0x7FFF)
        return value;
    if ((x.parts.exponent & 0x7FFF) == 0) {
        x.value *= 0x1p120L;
        *exponent = -120;
    }
    *exponent += (x.parts.exponent & 0x7FFF) - 0x3FFE;
    x.parts.exponent = (x.parts.exponent & 0x8000) | 0x3FFE;
    return x.value;
}

long double copysignl(long double magnitude, long double sign)
{
    extended m = {magnitude}, s = {sign};
    m.parts.exponent = (m.parts.exponent & 0x7FFF) | (s.parts.exponent & 0x8000);
    return m.value;
}
