/* Multibyte characters. In the C locale each byte is one character with the same number (learn.microsoft.com
 * "setlocale": the C locale is the default at start-up). */
#include "ucrt.h"

int wide_to_byte(wchar_t character)
{
    return character < 0x100 ? (int)character : -1;
}

size_t mbstowcs(wchar_t *to, const char *from, size_t count)
{
    size_t n = 0;
    for (; to == NULL || n < count; n++) {
        if (to != NULL)
            to[n] = (unsigned char)from[n];
        if (from[n] == 0)
            break;
    }
    return n;
}

size_t wcstombs(char *to, const wchar_t *from, size_t count)
{
    size_t n = 0;
    for (; to == NULL || n < count; n++) {
        int byte = wide_to_byte(from[n]);
        if (byte < 0) {
            *_errno() = EILSEQ;
            return (size_t)-1;
        }
        if (to != NULL)
            to[n] = (char)byte;
        if (from[n] == 0)
            break;
    }
    return n;
}

size_t _mbstowcs_l(wchar_t *to, const char *from, size_t count, void *locale)
{
    UNREFERENCED_PARAMETER(locale);
    return mbstowcs(to, from, count);
}

size_t _wcstombs_l(char *to, const wchar_t *from, size_t count, void *locale)
{
    UNREFERENCED_PARAMETER(locale);
    return wcstombs(to, from, count);
}

int mbstowcs_s(size_t *converted, wchar_t *to, size_t size, const char *from, size_t count)
{
    REQUIRE((to == NULL) == (size == 0) && from != NULL, EINVAL, EINVAL);
    size_t length = strnlen(from, count);
    if (converted != NULL)
        *converted = length + 1;
    if (to == NULL)
        return 0;
    int result = 0;
    if (length >= size) {
        to[0] = 0;
        REQUIRE(count == _TRUNCATE, ERANGE, ERANGE);
        length = size - 1;
        result = STRUNCATE;
        if (converted != NULL)
            *converted = size;
    }
    mbstowcs(to, from, length);
    to[length] = 0;
    return result;
}

int wcstombs_s(size_t *converted, char *to, size_t size, const wchar_t *from, size_t count)
{
    REQUIRE((to == NULL) == (size == 0) && from != NULL, EINVAL, EINVAL);
    size_t length = wcstombs(NULL, from, 0);
    if (length == (size_t)-1)
        return EILSEQ;
    if (length > count)
        length = count;
    if (converted != NULL)
        *converted = length + 1;
    if (to == NULL)
        return 0;
    int result = 0;
    if (length >= size) {
        to[0] = 0;
        REQUIRE(count == _TRUNCATE, ERANGE, ERANGE);
        length = size - 1;
        result = STRUNCATE;
        if (converted != NULL)
            *converted = size;
    }
    wcstombs(to, from, length);
    to[length] = 0;
    return result;
}

int mbtowc(wchar_t *to, const char *from, size_t count)
{
    if (from == NULL || count == 0)
        return 0;
    if (to != NULL)
        *to = (unsigned char)*from;
    return *from != 0;
}

int _mbtowc_l(wchar_t *to, const char *from, size_t count, void *locale)
{
    UNREFERENCED_PARAMETER(locale);
    return mbtowc(to, from, count);
}

int mblen(const char *from, size_t count)
{
    return mbtowc(NULL, from, count);
}

int wctomb(char *to, wchar_t character)
{
    if (to == NULL)
        return 0;
    int byte = wide_to_byte(character);
    if (byte < 0) {
        *_errno() = EILSEQ;
        return -1;
    }
    *to = (char)byte;
    return 1;
}

int wctomb_s(int *length, char *to, size_t size, wchar_t character)
{
    if (to == NULL) {
        *length = 0;
        return 0;
    }
    REQUIRE(size != 0, ERANGE, ERANGE);
    *length = wctomb(to, character);
    return *length < 0 ? EILSEQ : 0;
}

unsigned short btowc(int character)
{
    return (unsigned)character < 0x100 ? (unsigned short)character : WEOF;
}

int wctob(unsigned short character)
{
    return character == WEOF ? EOF : wide_to_byte(character);
}

int mbsinit(const int *state)
{
    return state == NULL || *state == 0;
}

size_t mbrtowc(wchar_t *to, const char *from, size_t count, int *state)
{
    UNREFERENCED_PARAMETER(state);
    if (from == NULL)
        return 0;
    return count == 0 ? (size_t)-2 : (size_t)mbtowc(to, from, count);
}

size_t mbrlen(const char *from, size_t count, int *state)
{
    return mbrtowc(NULL, from, count, state);
}

size_t wcrtomb(char *to, wchar_t character, int *state)
{
    char unused;
    UNREFERENCED_PARAMETER(state);
    return to == NULL ? 1 : (size_t)(ptrdiff_t)wctomb(to != NULL ? to : &unused, character);
}

int wcrtomb_s(size_t *length, char *to, size_t size, wchar_t character, int *state)
{
    REQUIRE(to == NULL || size != 0, ERANGE, ERANGE);
    size_t n = wcrtomb(to, character, state);
    if (length != NULL)
        *length = n;
    return n == (size_t)-1 ? EILSEQ : 0;
}

size_t mbsrtowcs(wchar_t *to, const char **from, size_t count, int *state)
{
    UNREFERENCED_PARAMETER(state);
    size_t n = mbstowcs(to, *from, count);
    if (to != NULL)
        *from = n < count ? NULL : *from + n;
    return n;
}

size_t wcsrtombs(char *to, const wchar_t **from, size_t count, int *state)
{
    UNREFERENCED_PARAMETER(state);
    size_t n = wcstombs(to, *from, count);
    if (to != NULL && n != (size_t)-1)
        *from = n < count ? NULL : *from + n;
    return n;
}

int _ismbblead(unsigned character)
{
    UNREFERENCED_PARAMETER(character);
    return 0;
}

int _getmbcp(void)
{
    return 0; /* single bytes */
}

int _setmbcp(int page)
{
    UNREFERENCED_PARAMETER(page);
    return 0;
}

/* --- the locale */
static char decimal_point[] = ".", empty[] = "";
static wchar_t wide_point[] = L".", wide_empty[] = L"";

/* struct lconv of locale.h */
static struct lconv {
    char *texts[10];
    char limits[8];
    wchar_t *wide_texts[8];
} conventions = {{decimal_point, empty, empty, empty, empty, empty, empty, empty, empty, empty},
                 {CHAR_MAX, CHAR_MAX, CHAR_MAX, CHAR_MAX, CHAR_MAX, CHAR_MAX, CHAR_MAX, CHAR_MAX},
                 {wide_point, wide_empty, wide_empty, wide_empty, wide_empty, wide_empty, wide_empty, wide_empty}};

struct lconv *localeconv(void)
{
    return &conventions;
}

/* The machine's default locale is the C locale, too; others do not exist here. */
char *setlocale(int category, const char *name)
{
    REQUIRE(category >= 0 && category <= 5, EINVAL, NULL);
    if (name == NULL || *name == 0 || strcmp(name, "C") == 0)
        return (char *)"C";
    return NULL;
}

wchar_t *_wsetlocale(int category, const wchar_t *name)
{
    REQUIRE(category >= 0 && category <= 5, EINVAL, NULL);
    if (name == NULL || *name == 0 || (name[0] == 'C' && name[1] == 0))
        return (wchar_t *)L"C";
    return NULL;
}

static const int c_locale = 0;

void *_create_locale(int category, const char *name)
{
    return setlocale(category, name) != NULL ? (void *)&c_locale : NULL;
}

void *_get_current_locale(void)
{
    return (void *)&c_locale;
}

void _free_locale(void *locale)
{
    UNREFERENCED_PARAMETER(locale);
}

unsigned ___lc_codepage_func(void)
{
    return 0; /* CP_ACP: the C locale */
}

unsigned ___lc_collate_cp_func(void)
{
    return 0;
}

wchar_t **___lc_locale_name_func(void)
{
    static wchar_t *names[6];
    return names;
}

int ___mb_cur_max_func(void)
{
    return 1;
}

void _lock_locales(void)
{
}

void _unlock_locales(void)
{
}

size_t __strncnt(const char *text, size_t count)
{
    return strnlen(text, count);
}
