/* Strings of UTF-16 units. */
#include "ucrt.h"

unsigned short towlower(unsigned short character);
unsigned short towupper(unsigned short character);

#define CHAR wchar_t
#define UCHAR wchar_t
#define CHR_ARGUMENT wchar_t
#define S(name) wcs##name
#define _S(name) _wcs##name
#define LOWER towlower
#define UPPER towupper
#include "text_core.h"

wchar_t *wcstok(wchar_t *text, const wchar_t *set, wchar_t **context)
{
    if (context == NULL)
        context = &this_thread()->wcstok_next;
    if (text == NULL && *context == NULL)
        return NULL;
    return wcstok_s(text, set, context);
}

/* --- the two kinds */
char *widened_to_narrow(const wchar_t *text)
{
    if (text == NULL)
        return NULL;
    size_t length = wcslen(text);
    char *narrow = malloc(length + 1);
    for (size_t i = 0; narrow != NULL && i <= length; i++)
        narrow[i] = text[i] < 0x100 ? (char)text[i] : '?';
    return narrow;
}

wchar_t *narrow_to_wide(const char *text)
{
    if (text == NULL)
        return NULL;
    size_t length = strlen(text);
    wchar_t *wide = malloc((length + 1) * sizeof(*wide));
    for (size_t i = 0; wide != NULL && i <= length; i++)
        wide[i] = (unsigned char)text[i];
    return wide;
}
