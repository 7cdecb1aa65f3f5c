/* Text as floating point, by musl's floatscan.c and strtod.c of the ziglang wheel. */
#include <stddef.h>
#define _STDIO_IMPL_H /* musl's FILE is replaced by this one: a text in memory */
#define _FILE_DEFINED
#define _INC_STDIO
#define hidden static
#define EOF (-1)
typedef long long musl_offset;
#define off_t musl_offset
typedef struct musl_file {
    unsigned char *rpos, *rend, *buf, *shend;
    off_t shlim, shcnt;
} FILE;
static int __uflow(FILE *file)
{
    return file != NULL ? EOF : EOF;
}
#include "shgetc.c"
#include "floatscan.c"
#define strtod musl_strtod
#define strtof musl_strtof
#define strtold musl_strtold
#include "strtod.c"
#undef strtod
#undef strtof
#include "musl_precision.h"

double strtod(const char *text, char **end)
{
    unsigned short control = extend_precision();
    double value = musl_strtod(text, end);
    restore_precision(control);
    return value;
}

float strtof(const char *text, char **end)
{
    unsigned short control = extend_precision();
    float value = musl_strtof(text, end);
    restore_precision(control);
    return value;
}
