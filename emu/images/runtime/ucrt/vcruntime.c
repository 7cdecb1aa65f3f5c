/* vcruntime140.dll: what the compiler calls. Memory and strings are forwarded to ucrtbase.dll (vcruntime140.def). */
#include "ucrt.h"

/* std::exception's data: learn.microsoft.com "vcruntime_exception.h" (__std_exception_data) */
typedef struct exception_data {
    const char *what;
    unsigned char owned;
} exception_data;

void __std_exception_copy(const exception_data *from, exception_data *to)
{
    to->what = from->owned && from->what != NULL ? _strdup(from->what) : from->what;
    to->owned = from->owned && to->what != NULL;
}

void __std_exception_destroy(exception_data *data)
{
    if (data->owned)
        free((void *)data->what);
    data->what = NULL;
    data->owned = 0;
}

__attribute__((noreturn)) void terminate(void);

__attribute__((noreturn)) void __std_terminate(void)
{
    terminate();
}

/* type_info's data: the undecorated name, made at the first use, and the decorated one */
typedef struct type_data {
    char *undecorated;
    char decorated[];
} type_data;

int strcmp(const char *, const char *);

int __std_type_info_compare(const type_data *first, const type_data *second)
{
    return first == second ? 0 : strcmp(first->decorated + 1, second->decorated + 1);
}

size_t __std_type_info_hash(const type_data *data)
{
    unsigned long long hash = 0xCBF29CE484222325ull; /* FNV-1a */
    for (const char *p = data->decorated + 1; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001B3ull;
    return hash ^ hash >> 32;
}
