/* Kinds of characters in the C locale. The table has the bits of _UPPER and so on (corecrt_wctype.h), which programs
 * read through __pctype_func. */
#include "ucrt.h"

#define UPPER 0x1
#define LOWER 0x2
#define DIGIT 0x4
#define SPACE 0x8
#define PUNCT 0x10
#define CONTROL 0x20
#define BLANK 0x40
#define HEX 0x80
#define ALPHA 0x100
#define LETTER (UPPER | LOWER | ALPHA)

#define C CONTROL
#define CS (CONTROL | SPACE)
#define P PUNCT
#define D (DIGIT | HEX)
#define U UPPER
#define UX (UPPER | HEX)
#define L LOWER
#define LX (LOWER | HEX)
#define ROW(x) x, x, x, x, x, x, x, x, x

/* The first entry is that of EOF. */
static const unsigned short kinds[257] = {
    0, C, C, C, C, C, C, C, C, C, CS | BLANK, CS, CS, CS, CS, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
    SPACE | BLANK, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, D, D, D, D, D, D, D, D, D, D, P, P, P, P, P, P, P,
    UX, UX, UX, UX, UX, UX, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, P, P, P, P, P, P,
    LX, LX, LX, LX, LX, LX, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, P, P, P, P, C};

const unsigned short *__pctype_func(void)
{
    return kinds + 1;
}

const unsigned short *__pwctype_func(void)
{
    return kinds + 1;
}

static int kind(int character)
{
    return (unsigned)(character + 1) < 257 ? kinds[character + 1] : 0;
}

int _isctype(int character, int mask)
{
    return kind(character) & mask;
}

#define NARROW_AND_WIDE(name, wname, mask)                                                                             \
    int name(int character)                                                                                            \
    {                                                                                                                  \
        return kind(character) & (mask);                                                                               \
    }                                                                                                                  \
    int wname(unsigned short character)                                                                                \
    {                                                                                                                  \
        return iswctype(character, (mask));                                                                            \
    }                                                                                                                  \
    int _##name##_l(int character, _locale_t locale)                                                                       \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(locale);                                                                                \
        return name(character);                                                                                        \
    }                                                                                                                  \
    int _##wname##_l(unsigned short character, _locale_t locale)                                                           \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(locale);                                                                                \
        return wname(character);                                                                                       \
    }

/* Wide characters below 256 have the kind of Latin-1: learn.microsoft.com says "iswalpha is locale-independent". */
int iswctype(unsigned short character, unsigned short mask)
{
    int found = kind(character < 0x80 ? character : -1);
    if (character >= 0x80 && character < 0xA0)
        found = CONTROL | (character == 0x85 ? SPACE : 0);
    else if (character == 0xA0)
        found = SPACE | BLANK;
    else if (character >= 0xC0 && character != 0xD7 && character != 0xF7)
        found = ALPHA | (character > 0xFF ? 0 : character < 0xDF ? UPPER : LOWER);
    else if (character > 0xA0)
        found = PUNCT;
    return found & mask;
}

NARROW_AND_WIDE(isalpha, iswalpha, LETTER)
NARROW_AND_WIDE(isupper, iswupper, UPPER)
NARROW_AND_WIDE(islower, iswlower, LOWER)
NARROW_AND_WIDE(isdigit, iswdigit, DIGIT)
NARROW_AND_WIDE(isxdigit, iswxdigit, HEX)
NARROW_AND_WIDE(isspace, iswspace, SPACE)
NARROW_AND_WIDE(ispunct, iswpunct, PUNCT)
NARROW_AND_WIDE(isalnum, iswalnum, LETTER | DIGIT)
NARROW_AND_WIDE(isgraph, iswgraph, PUNCT | LETTER | DIGIT)
NARROW_AND_WIDE(iscntrl, iswcntrl, CONTROL)

int isprint(int character)
{
    return character == ' ' ? BLANK : kind(character) & (PUNCT | LETTER | DIGIT);
}

int iswprint(unsigned short character)
{
    return character == ' ' ? BLANK : iswctype(character, PUNCT | LETTER | DIGIT);
}

int isblank(int character)
{
    return character == '\t' ? BLANK : kind(character) & BLANK && character != '\t' ? BLANK : 0;
}

int iswblank(unsigned short character)
{
    return iswctype(character, BLANK);
}

int __isascii(int character)
{
    return (unsigned)character < 0x80;
}

int __toascii(int character)
{
    return character & 0x7F;
}

int __iscsym(int character)
{
    return isalnum(character) || character == '_';
}

int __iscsymf(int character)
{
    return isalpha(character) || character == '_';
}

int tolower(int character)
{
    return character >= 'A' && character <= 'Z' ? character + 32 : character;
}

int toupper(int character)
{
    return character >= 'a' && character <= 'z' ? character - 32 : character;
}

int _tolower(int character)
{
    return character + 32;
}

int _toupper(int character)
{
    return character - 32;
}

int _tolower_l(int character, _locale_t locale)
{
    UNREFERENCED_PARAMETER(locale);
    return tolower(character);
}

int _toupper_l(int character, _locale_t locale)
{
    UNREFERENCED_PARAMETER(locale);
    return toupper(character);
}

/* The C locale converts ASCII only. */
unsigned short towlower(unsigned short character)
{
    return (unsigned short)tolower(character);
}

unsigned short towupper(unsigned short character)
{
    return (unsigned short)toupper(character);
}

unsigned short _towlower_l(unsigned short character, _locale_t locale)
{
    UNREFERENCED_PARAMETER(locale);
    return towlower(character);
}

unsigned short _towupper_l(unsigned short character, _locale_t locale)
{
    UNREFERENCED_PARAMETER(locale);
    return towupper(character);
}

static const struct {
    const char *name;
    unsigned short mask;
} classes[] = {{"alnum", LETTER | DIGIT}, {"alpha", LETTER}, {"blank", BLANK}, {"cntrl", CONTROL}, {"digit", DIGIT},
               {"graph", PUNCT | LETTER | DIGIT}, {"lower", LOWER}, {"print", PUNCT | LETTER | DIGIT | BLANK},
               {"punct", PUNCT}, {"space", SPACE}, {"upper", UPPER}, {"xdigit", HEX}};

unsigned short wctype(const char *name)
{
    for (size_t i = 0; i < RTL_NUMBER_OF(classes); i++)
        if (strcmp(classes[i].name, name) == 0)
            return classes[i].mask;
    return 0;
}

unsigned short wctrans(const char *name)
{
    return strcmp(name, "tolower") == 0 ? 1 : strcmp(name, "toupper") == 0 ? 2 : 0;
}

unsigned short towctrans(unsigned short character, unsigned short how)
{
    return how == 1 ? towlower(character) : how == 2 ? towupper(character) : character;
}
