/* Strings of one kind of character: string.c and wide.c include it with CHAR, UCHAR, S(name) and _S(name) defined, and
 * LOWER and UPPER, which convert a character of the C locale. */

size_t S(len)(const CHAR *text)
{
    const CHAR *end = text;
    while (*end)
        end++;
    return (size_t)(end - text);
}

size_t S(nlen)(const CHAR *text, size_t limit)
{
    size_t n = 0;
    while (n < limit && text[n])
        n++;
    return n;
}

CHAR *S(cpy)(CHAR *to, const CHAR *from)
{
    for (CHAR *p = to; (*p++ = *from++) != 0;)
        ;
    return to;
}

CHAR *S(cat)(CHAR *to, const CHAR *from)
{
    S(cpy)(to + S(len)(to), from);
    return to;
}

CHAR *S(ncpy)(CHAR *to, const CHAR *from, size_t count)
{
    size_t n = S(nlen)(from, count);
    for (size_t i = 0; i < n; i++)
        to[i] = from[i];
    for (size_t i = n; i < count; i++)
        to[i] = 0;
    return to;
}

CHAR *S(ncat)(CHAR *to, const CHAR *from, size_t count)
{
    size_t at = S(len)(to), n = S(nlen)(from, count);
    for (size_t i = 0; i < n; i++)
        to[at + i] = from[i];
    to[at + n] = 0;
    return to;
}

int S(ncmp)(const CHAR *a, const CHAR *b, size_t count)
{
    for (; count != 0; a++, b++, count--) {
        if (*a != *b)
            return (UCHAR)*a < (UCHAR)*b ? -1 : 1;
        if (*a == 0)
            break;
    }
    return 0;
}

int S(cmp)(const CHAR *a, const CHAR *b)
{
    return S(ncmp)(a, b, (size_t)-1);
}

int S(coll)(const CHAR *a, const CHAR *b)
{
    return S(cmp)(a, b);
}

int _S(ncoll)(const CHAR *a, const CHAR *b, size_t count)
{
    return S(ncmp)(a, b, count);
}

int _S(nicmp)(const CHAR *a, const CHAR *b, size_t count)
{
    REQUIRE(count == 0 || (a != NULL && b != NULL), EINVAL, INT_MAX);
    for (; count != 0; a++, b++, count--) {
        int difference = (int)LOWER((UCHAR)*a) - (int)LOWER((UCHAR)*b);
        if (difference != 0)
            return difference;
        if (*a == 0)
            break;
    }
    return 0;
}

int _S(icmp)(const CHAR *a, const CHAR *b)
{
    return _S(nicmp)(a, b, (size_t)-1);
}

int _S(icoll)(const CHAR *a, const CHAR *b)
{
    return _S(icmp)(a, b);
}

int _S(nicoll)(const CHAR *a, const CHAR *b, size_t count)
{
    return _S(nicmp)(a, b, count);
}

size_t S(xfrm)(CHAR *to, const CHAR *from, size_t count)
{
    size_t length = S(len)(from);
    if (count != 0)
        S(ncpy)(to, from, count);
    return length;
}

CHAR *S(chr)(const CHAR *text, CHR_ARGUMENT character)
{
    for (;; text++) {
        if (*text == (CHAR)character)
            return (CHAR *)text;
        if (*text == 0)
            return NULL;
    }
}

CHAR *S(rchr)(const CHAR *text, CHR_ARGUMENT character)
{
    const CHAR *found = NULL;
    for (;; text++) {
        if (*text == (CHAR)character)
            found = text;
        if (*text == 0)
            return (CHAR *)found;
    }
}

static BOOL is_one_of(CHAR character, const CHAR *set)
{
    for (; *set; set++)
        if (*set == character)
            return TRUE;
    return FALSE;
}

size_t S(spn)(const CHAR *text, const CHAR *set)
{
    size_t n = 0;
    while (text[n] && is_one_of(text[n], set))
        n++;
    return n;
}

size_t S(cspn)(const CHAR *text, const CHAR *set)
{
    size_t n = 0;
    while (text[n] && !is_one_of(text[n], set))
        n++;
    return n;
}

CHAR *S(pbrk)(const CHAR *text, const CHAR *set)
{
    text += S(cspn)(text, set);
    return *text ? (CHAR *)text : NULL;
}

CHAR *S(str)(const CHAR *text, const CHAR *wanted)
{
    size_t length = S(len)(wanted);
    if (length == 0)
        return (CHAR *)text;
    for (; (text = S(chr)(text, wanted[0])) != NULL; text++)
        if (S(ncmp)(text, wanted, length) == 0)
            return (CHAR *)text;
    return NULL;
}

CHAR *S(tok_s)(CHAR *text, const CHAR *set, CHAR **context)
{
    REQUIRE(context != NULL && set != NULL && (text != NULL || *context != NULL), EINVAL, NULL);
    CHAR *start = text != NULL ? text : *context;
    start += S(spn)(start, set);
    if (*start == 0) {
        *context = start;
        return NULL;
    }
    CHAR *end = start + S(cspn)(start, set);
    if (*end)
        *end++ = 0;
    *context = end;
    return start;
}

CHAR *_S(dup)(const CHAR *text)
{
    if (text == NULL)
        return NULL;
    size_t size = (S(len)(text) + 1) * sizeof(CHAR);
    CHAR *copy = malloc(size);
    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

CHAR *_S(rev)(CHAR *text)
{
    for (CHAR *a = text, *b = text + S(len)(text); a < b && a < --b; a++) {
        CHAR c = *a;
        *a = *b;
        *b = c;
    }
    return text;
}

CHAR *_S(set)(CHAR *text, CHR_ARGUMENT character)
{
    for (CHAR *p = text; *p; p++)
        *p = (CHAR)character;
    return text;
}

CHAR *_S(nset)(CHAR *text, CHR_ARGUMENT character, size_t count)
{
    for (CHAR *p = text; *p && count != 0; p++, count--)
        *p = (CHAR)character;
    return text;
}

int _S(lwr_s)(CHAR *text, size_t size)
{
    REQUIRE(text != NULL && S(nlen)(text, size) < size, EINVAL, EINVAL);
    for (; *text; text++)
        *text = (CHAR)LOWER((UCHAR)*text);
    return 0;
}

int _S(upr_s)(CHAR *text, size_t size)
{
    REQUIRE(text != NULL && S(nlen)(text, size) < size, EINVAL, EINVAL);
    for (; *text; text++)
        *text = (CHAR)UPPER((UCHAR)*text);
    return 0;
}

CHAR *_S(lwr)(CHAR *text)
{
    _S(lwr_s)(text, (size_t)-1);
    return text;
}

CHAR *_S(upr)(CHAR *text)
{
    _S(upr_s)(text, (size_t)-1);
    return text;
}

/* --- the secure forms: learn.microsoft.com "strcpy_s", "strncpy_s" and so on. A text that does not fit empties the
 * destination and is a wrong parameter. */
#define REQUIRE_OR_EMPTY(condition, error)                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            to[0] = 0;                                                                                                 \
            *_errno() = (error);                                                                                       \
            _invalid_parameter_noinfo();                                                                               \
            return error;                                                                                              \
        }                                                                                                              \
    } while (0)

static int append(CHAR *to, size_t size, size_t at, const CHAR *from, size_t count)
{
    size_t length = S(nlen)(from, count);
    if (at + length >= size && count == _TRUNCATE) {
        length = size - at - 1;
        memcpy(to + at, from, length * sizeof(CHAR));
        to[size - 1] = 0;
        return STRUNCATE;
    }
    REQUIRE_OR_EMPTY(at + length < size, ERANGE);
    memcpy(to + at, from, length * sizeof(CHAR));
    to[at + length] = 0;
    return 0;
}

int S(cpy_s)(CHAR *to, size_t size, const CHAR *from)
{
    REQUIRE(to != NULL && size != 0, EINVAL, EINVAL);
    REQUIRE_OR_EMPTY(from != NULL, EINVAL);
    return append(to, size, 0, from, (size_t)-2);
}

int S(ncpy_s)(CHAR *to, size_t size, const CHAR *from, size_t count)
{
    if (count == 0 && to == NULL && size == 0)
        return 0;
    REQUIRE(to != NULL && size != 0, EINVAL, EINVAL);
    if (count == 0) {
        to[0] = 0;
        return 0;
    }
    REQUIRE_OR_EMPTY(from != NULL, EINVAL);
    return append(to, size, 0, from, count);
}

int S(cat_s)(CHAR *to, size_t size, const CHAR *from)
{
    REQUIRE(to != NULL && size != 0, EINVAL, EINVAL);
    size_t at = S(nlen)(to, size);
    REQUIRE_OR_EMPTY(from != NULL && at < size, EINVAL);
    return append(to, size, at, from, (size_t)-2);
}

int S(ncat_s)(CHAR *to, size_t size, const CHAR *from, size_t count)
{
    if (count == 0 && to == NULL && size == 0)
        return 0;
    REQUIRE(to != NULL && size != 0, EINVAL, EINVAL);
    size_t at = S(nlen)(to, size);
    REQUIRE_OR_EMPTY((from != NULL || count == 0) && at < size, EINVAL);
    return count != 0 ? append(to, size, at, from, count) : 0;
}

int _S(set_s)(CHAR *to, size_t size, CHR_ARGUMENT character)
{
    REQUIRE(to != NULL && size != 0, EINVAL, EINVAL);
    REQUIRE_OR_EMPTY(S(nlen)(to, size) < size, EINVAL);
    _S(set)(to, character);
    return 0;
}
