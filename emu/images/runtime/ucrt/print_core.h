/* The conversions of printf for one kind of character: print.c includes it with CHAR, CORE and WIDE defined.
 * learn.microsoft.com "Format specification syntax: printf and wprintf functions". */

typedef struct CORE(sink) {
    void (*put)(struct CORE(sink) *, const CHAR *, size_t);
    CHAR *buffer;
    size_t size;
    FILE *stream;
    int failed;
    size_t count;
} CORE(sink);

static void CORE(put)(CORE(sink) *sink, const CHAR *text, size_t length)
{
    if (length != 0 && !sink->failed)
        sink->put(sink, text, length);
    sink->count += length;
}

static void CORE(fill)(CORE(sink) *sink, CHAR character, ptrdiff_t count)
{
    CHAR chunk[16];
    for (int i = 0; i < 16; i++)
        chunk[i] = character;
    for (; count > 0; count -= 16)
        CORE(put)(sink, chunk, count < 16 ? (size_t)count : 16);
}

static void CORE(put_bytes)(CORE(sink) *sink, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        CHAR character = (CHAR)(unsigned char)text[i];
        CORE(put)(sink, &character, 1);
    }
}

/* A wide text into bytes: a character that the locale lacks makes the whole call fail. */
static void CORE(put_wide)(CORE(sink) *sink, const wchar_t *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        CHAR character = (CHAR)text[i];
        if (!WIDE && wide_to_byte(text[i]) < 0) {
            *_errno() = EILSEQ;
            sink->failed = 1;
            return;
        }
        CORE(put)(sink, &character, 1);
    }
}

static int CORE(number)(const CHAR **format)
{
    int value = 0;
    for (; **format >= '0' && **format <= '9'; ++*format)
        value = value < 100000000 ? value * 10 + (**format - '0') : value;
    return value;
}

/* Sign or prefix, zeros and digits, in a field of `width`. */
static void CORE(field)(CORE(sink) *sink, const print_spec *spec, const char *prefix, size_t zeros, const char *digits,
                        size_t length)
{
    size_t prefix_length = strlen(prefix);
    ptrdiff_t blank = spec->width - (ptrdiff_t)(prefix_length + zeros + length);
    if (!(spec->flags & (LEFT | ZERO)))
        CORE(fill)(sink, ' ', blank);
    CORE(put_bytes)(sink, prefix, prefix_length);
    if ((spec->flags & ZERO) && !(spec->flags & LEFT))
        CORE(fill)(sink, '0', blank);
    CORE(fill)(sink, '0', (ptrdiff_t)zeros);
    CORE(put_bytes)(sink, digits, length);
    if (spec->flags & LEFT)
        CORE(fill)(sink, ' ', blank);
}

static void CORE(integer)(CORE(sink) *sink, print_spec *spec, unsigned long long value, int negative)
{
    char digits[65], *p = digits + 64, prefix[3] = "";
    unsigned base = spec->conversion == 'o' ? 8 : (spec->conversion | 32) == 'x' ? 16 : 10;
    const char *figures = spec->conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    unsigned long long rest = value;
    for (; rest != 0; rest /= base)
        *--p = figures[rest % base];
    if (spec->precision >= 0)
        spec->flags &= ~ZERO;
    size_t length = (size_t)(digits + 64 - p), wanted = spec->precision >= 0 ? (size_t)spec->precision : 1;
    size_t zeros = length < wanted ? wanted - length : 0;
    if (spec->conversion == 'd')
        prefix[0] = negative ? '-' : spec->flags & PLUS ? '+' : spec->flags & SPACE ? ' ' : 0;
    else if ((spec->flags & ALTERNATE) && base == 8 && zeros == 0)
        zeros = 1;
    else if ((spec->flags & ALTERNATE) && base == 16 && value != 0) {
        prefix[0] = '0';
        prefix[1] = spec->conversion;
    }
    CORE(field)(sink, spec, prefix, zeros, p, length);
}

static void CORE(floating)(CORE(sink) *sink, print_spec *spec, double value)
{
    char local[512], *text = local;
    int length = print_double(local, sizeof(local), value, spec);
    if (length >= (int)sizeof(local)) {
        text = malloc((size_t)length + 1);
        if (text == NULL) {
            sink->failed = 1;
            return;
        }
        print_double(text, (size_t)length + 1, value, spec);
    }
    char prefix[4] = "", *digits = text;
    size_t n = 0;
    if (*digits == '-' || *digits == '+' || *digits == ' ')
        prefix[n++] = *digits++;
    if (digits[0] == '0' && (digits[1] | 32) == 'x') {
        prefix[n++] = *digits++;
        prefix[n++] = *digits++;
    }
    prefix[n] = 0;
    if (is_special(digits))
        spec->flags &= ~ZERO;
    CORE(field)(sink, spec, prefix, 0, digits, strlen(digits));
    if (text != local)
        free(text);
}

static void CORE(text)(CORE(sink) *sink, const print_spec *spec, const void *text, int wide)
{
    size_t limit = spec->precision >= 0 ? (size_t)spec->precision : (size_t)-1;
    if (text == NULL)
        text = wide ? (const void *)L"(null)" : (const void *)"(null)";
    size_t length = wide ? wcsnlen(text, limit) : strnlen(text, limit);
    CHAR pad = spec->flags & ZERO && !(spec->flags & LEFT) ? '0' : ' ';
    if (!(spec->flags & LEFT))
        CORE(fill)(sink, pad, spec->width - (ptrdiff_t)length);
    if (wide)
        CORE(put_wide)(sink, text, length);
    else
        CORE(put_bytes)(sink, text, length);
    if (spec->flags & LEFT)
        CORE(fill)(sink, ' ', spec->width - (ptrdiff_t)length);
}

static void CORE(character)(CORE(sink) *sink, print_spec *spec, int character, int wide)
{
    wchar_t unit = (wchar_t)character;
    char byte = (char)character;
    CHAR pad = spec->flags & ZERO && !(spec->flags & LEFT) ? '0' : ' ';
    if (!(spec->flags & LEFT))
        CORE(fill)(sink, pad, spec->width - 1);
    if (wide)
        CORE(put_wide)(sink, &unit, 1);
    else
        CORE(put_bytes)(sink, &byte, 1);
    if (spec->flags & LEFT)
        CORE(fill)(sink, ' ', spec->width - 1);
}

static int CORE(size_prefix)(const CHAR **format)
{
    const CHAR *f = *format;
    int size = SIZE_NONE, taken = 1;
    switch (*f) {
    case 'h':
        size = f[1] == 'h' ? SIZE_CHAR : SIZE_SHORT;
        taken = 1 + (f[1] == 'h');
        break;
    case 'l':
        size = f[1] == 'l' ? SIZE_64 : SIZE_LONG;
        taken = 1 + (f[1] == 'l');
        break;
    case 'I':
        if (f[1] == '6' && f[2] == '4') {
            size = SIZE_64;
            taken = 3;
        } else if (f[1] == '3' && f[2] == '2') {
            size = SIZE_32;
            taken = 3;
        } else
            size = SIZE_64; /* size_t */
        break;
    case 'L':
        size = SIZE_DOUBLE;
        break;
    case 'j':
    case 'z':
    case 't':
        size = SIZE_64;
        break;
    case 'w':
        size = SIZE_LONG;
        break;
    default:
        taken = 0;
    }
    *format += taken;
    return size;
}

static int CORE(print)(CORE(sink) *sink, unsigned long long options, const CHAR *format, va_list list)
{
    for (;;) {
        const CHAR *plain = format;
        while (*format && *format != '%')
            format++;
        CORE(put)(sink, plain, (size_t)(format - plain));
        if (*format == 0)
            break;
        format++;
        if (*format == '%') {
            CORE(put)(sink, format++, 1);
            continue;
        }
        print_spec spec = {0, 0, -1, 0, (options & PRINT_LEGACY_EXPONENT) != 0, (options & PRINT_LEGACY_MSVCRT) != 0};
        for (;; format++) {
            if (*format == '-')
                spec.flags |= LEFT;
            else if (*format == '+')
                spec.flags |= PLUS;
            else if (*format == ' ')
                spec.flags |= SPACE;
            else if (*format == '#')
                spec.flags |= ALTERNATE;
            else if (*format == '0')
                spec.flags |= ZERO;
            else
                break;
        }
        if (*format == '*') {
            format++;
            spec.width = va_arg(list, int);
            if (spec.width < 0) {
                spec.flags |= LEFT;
                spec.width = -spec.width;
            }
        } else
            spec.width = CORE(number)(&format);
        if (*format == '.') {
            format++;
            if (*format == '*') {
                format++;
                spec.precision = va_arg(list, int);
            } else
                spec.precision = CORE(number)(&format);
        }
        int size = CORE(size_prefix)(&format), wide;
        if (*format == 0 || (unsigned)*format >= 0x80) {
            *_errno() = EINVAL;
            return -1;
        }
        spec.conversion = (char)*format++;
        switch (spec.conversion) {
        case 'c':
        case 'C':
        case 's':
        case 'S':
        case 'Z':
            /* the same kind as the function's for small letters, the other one for capitals; a prefix decides */
            wide = WIDE && (options & PRINT_LEGACY_WIDE);
            if (spec.conversion == 'C' || spec.conversion == 'S')
                wide = !WIDE || !(options & PRINT_LEGACY_WIDE);
            if (size == SIZE_SHORT)
                wide = 0;
            else if (size == SIZE_LONG)
                wide = 1;
            if (spec.conversion == 'Z') { /* ANSI_STRING or UNICODE_STRING */
                const UNICODE_STRING_LIKE *string = va_arg(list, const UNICODE_STRING_LIKE *);
                if (string == NULL || string->buffer == NULL)
                    CORE(text)(sink, &spec, NULL, 0);
                else {
                    spec.precision = size == SIZE_LONG ? string->length / 2 : string->length;
                    CORE(text)(sink, &spec, string->buffer, size == SIZE_LONG);
                }
            } else if ((spec.conversion | 32) == 'c')
                CORE(character)(sink, &spec, va_arg(list, int), wide);
            else
                CORE(text)(sink, &spec, va_arg(list, const void *), wide);
            break;
        case 'd':
        case 'i': {
            long long value = size == SIZE_64 ? va_arg(list, long long) : va_arg(list, int);
            if (size == SIZE_CHAR)
                value = (signed char)value;
            else if (size == SIZE_SHORT)
                value = (short)value;
            spec.conversion = 'd';
            CORE(integer)(sink, &spec, value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value, value < 0);
            break;
        }
        case 'u':
        case 'o':
        case 'x':
        case 'X': {
            unsigned long long value = size == SIZE_64 ? va_arg(list, unsigned long long) : va_arg(list, unsigned);
            if (size == SIZE_CHAR)
                value = (unsigned char)value;
            else if (size == SIZE_SHORT)
                value = (unsigned short)value;
            CORE(integer)(sink, &spec, value, 0);
            break;
        }
        case 'p':
            spec.conversion = 'X';
            spec.precision = 2 * sizeof(void *);
            CORE(integer)(sink, &spec, va_arg(list, unsigned long long), 0);
            break;
        case 'e':
        case 'E':
        case 'f':
        case 'F':
        case 'g':
        case 'G':
        case 'a':
        case 'A':
            CORE(floating)(sink, &spec, va_arg(list, double)); /* long double is double here */
            break;
        default: /* %n is disabled, as documented; others do not exist */
            *_errno() = EINVAL;
            _invalid_parameter_noinfo();
            return -1;
        }
    }
    return sink->failed ? -1 : (int)sink->count;
}

static void CORE(to_buffer)(CORE(sink) *sink, const CHAR *text, size_t length)
{
    if (sink->count < sink->size) {
        size_t room = sink->size - sink->count;
        memcpy(sink->buffer + sink->count, text, (length < room ? length : room) * sizeof(CHAR));
    }
}

/* The four ends of a text that does not fit: C99's count, _snprintf's -1, _s forms, counting alone. */
static int CORE(print_to)(unsigned long long options, CHAR *buffer, size_t size, const CHAR *format, va_list list)
{
    REQUIRE(format != NULL && (size == 0 || buffer != NULL), EINVAL, -1);
    CORE(sink) sink = {CORE(to_buffer), buffer, buffer != NULL ? size : 0, NULL, 0, 0};
    int result = CORE(print)(&sink, options, format, list);
    if (buffer == NULL)
        return result;
    if (result < 0) {
        if (size != 0)
            buffer[0] = 0;
        return -1;
    }
    if (sink.count < size) {
        buffer[sink.count] = 0;
        return result;
    }
    if (options & PRINT_LEGACY_NULL_TERMINATION)
        return sink.count == size ? result : -1;
    if (size != 0)
        buffer[size - 1] = 0;
    return options & PRINT_STANDARD_SNPRINTF ? result : size == 0 ? result : -1;
}
