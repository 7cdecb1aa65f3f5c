/* Forms with a locale argument: there is one locale, so it is not looked at. */
#include "ucrt.h"

#define TWO(name, type, CHAR)                                                                                          \
    type name(const CHAR *, const CHAR *);                                                                             \
    type name##_with_locale(const CHAR *a, const CHAR *b, void *locale)                                                \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(locale);                                                                                \
        return name(a, b);                                                                                             \
    }
#define THREE(name, type, CHAR)                                                                                        \
    type name(const CHAR *, const CHAR *, size_t);                                                                     \
    type name##_with_locale(const CHAR *a, const CHAR *b, size_t count, void *locale)                                  \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(locale);                                                                                \
        return name(a, b, count);                                                                                      \
    }
TWO(_stricmp, int, char)
TWO(_wcsicmp, int, wchar_t)
TWO(strcoll, int, char)
TWO(wcscoll, int, wchar_t)
THREE(_strnicmp, int, char)
THREE(_wcsnicmp, int, wchar_t)

size_t strxfrm(char *, const char *, size_t), wcsxfrm(wchar_t *, const wchar_t *, size_t);

size_t _strxfrm_l(char *to, const char *from, size_t count, _locale_t locale)
{
    UNREFERENCED_PARAMETER(locale);
    return strxfrm(to, from, count);
}

size_t _wcsxfrm_l(wchar_t *to, const wchar_t *from, size_t count, _locale_t locale)
{
    UNREFERENCED_PARAMETER(locale);
    return wcsxfrm(to, from, count);
}
