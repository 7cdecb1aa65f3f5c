/* The conversions of scanf for one kind of character: scan.c includes it with CHAR, CORE and WIDE defined.
 * learn.microsoft.com "Format specification fields: scanf and wscanf functions". */

typedef struct CORE(source) {
    const CHAR *text; /* a text, or a stream */
    size_t left;
    FILE *stream;
    long long taken;
} CORE(source);

static int CORE(get)(CORE(source) *source)
{
    int character;
    if (source->stream != NULL)
        character = _fgetc_nolock(source->stream);
    else
        character = source->left != 0 && *source->text ? (source->left--, (UCHAR)*source->text++) : EOF;
    if (character != EOF)
        source->taken++;
    return character;
}

static void CORE(unget)(CORE(source) *source, int character)
{
    if (character == EOF)
        return;
    source->taken--;
    if (source->stream != NULL)
        _ungetc_nolock(character, source->stream);
    else {
        source->text--;
        source->left++;
    }
}

static int CORE(skip_space)(CORE(source) *source)
{
    int character;
    do
        character = CORE(get)(source);
    while (character != EOF && is_white(character));
    CORE(unget)(source, character);
    return character;
}

/* The next character, which stays. */
static int CORE(skip_none)(CORE(source) *source)
{
    int character = CORE(get)(source);
    CORE(unget)(source, character);
    return character;
}

/* The characters of an integer or a number, at most `width`: what strtol or strtod would take. */
static int CORE(collect)(CORE(source) *source, char *buffer, int width, int base, int floating)
{
    int n = 0, digits = 0, points = 0, exponent = 0, hexadecimal = base == 16, character;
    if (width <= 0 || width > NUMBER_ROOM - 1)
        width = NUMBER_ROOM - 1;
    for (;;) {
        character = n < width ? CORE(get)(source) : EOF;
        if (n >= width)
            break;
        int lower = character | 32, ok = 0;
        if (character == EOF)
            break;
        if (character == '+' || character == '-')
            ok = n == 0 || (floating && exponent && ((buffer[n - 1] | 32) == (hexadecimal ? 'p' : 'e')));
        else if (lower == 'x')
            ok = (base == 0 || base == 16 || floating) && digits == 1 && buffer[n - 1] == '0' && !points &&
                 (hexadecimal = 1);
        else if (character >= '0' && character <= '9')
            ok = floating || base == 0 || base >= 10 || character < '0' + base;
        else if (floating && character == '.')
            ok = !points && !exponent && (points = 1);
        else if (floating && digits != 0 && !exponent && lower == (hexadecimal ? 'p' : 'e'))
            ok = exponent = 1;
        else if (lower >= 'a' && lower <= 'f' && !exponent)
            ok = hexadecimal && (!floating || digits != 0);
        else if (floating && digits == 0)
            ok = (lower >= 'a' && lower <= 'z') && n < 9; /* inf, infinity, nan */
        if (ok && floating && digits == 0 && !(character >= '0' && character <= '9') && lower >= 'a' && lower <= 'z') {
            static const char infinity[] = "infinity", nan[] = "nan";
            int at = n - (n != 0 && (buffer[0] == '+' || buffer[0] == '-'));
            ok = at < 8 && (infinity[at] == lower || (at < 3 && nan[at] == lower));
        }
        if (!ok) {
            CORE(unget)(source, character);
            break;
        }
        if (character >= '0' && character <= '9')
            digits++;
        buffer[n++] = (char)character;
        if (hexadecimal && lower >= 'a' && lower <= 'f')
            digits++;
    }
    buffer[n] = 0;
    return n;
}

static int CORE(in_set)(const CHAR *set, const CHAR *end, int character)
{
    for (const CHAR *p = set; p < end; p++) {
        if (p + 2 < end && p[1] == '-') {
            if ((UCHAR)p[0] <= (unsigned)character && (unsigned)character <= (UCHAR)p[2])
                return 1;
            p += 2;
        } else if ((UCHAR)*p == (unsigned)character)
            return 1;
    }
    return 0;
}

static int CORE(scan)(CORE(source) *source, unsigned long long options, const CHAR *format, va_list list)
{
    int assigned = 0, character;
    for (; *format; format++) {
        if (is_white((UCHAR)*format)) {
            CORE(skip_space)(source);
            continue;
        }
        if (*format != '%' || format[1] == '%') {
            if (*format == '%') {
                format++;
                CORE(skip_space)(source);
            }
            character = CORE(get)(source);
            if (character != (int)(UCHAR)*format) {
                CORE(unget)(source, character);
                return character == EOF && assigned == 0 ? EOF : assigned;
            }
            continue;
        }
        format++;
        int suppress = *format == '*', width = 0, size = 0; /* size: -2 hh, -1 h, 1 l or w, 2 ll */
        format += suppress;
        int width_given = *format >= '0' && *format <= '9';
        while (*format >= '0' && *format <= '9')
            width = width * 10 + (*format++ - '0');
        for (;; format++) {
            if (*format == 'h')
                size--;
            else if (*format == 'l' || *format == 'w')
                size++;
            else if (*format == 'L')
                size = 1;
            else if (*format == 'j' || *format == 'z' || *format == 't')
                size = 2;
            else if (*format == 'I') {
                size = 2;
                if (format[1] == '6' && format[2] == '4')
                    format += 2;
                else if (format[1] == '3' && format[2] == '2') {
                    format += 2;
                    size = 0;
                }
            } else
                break;
        }
        CHAR conversion = *format;
        if (conversion != 'c' && conversion != 'C' && conversion != '[' && conversion != 'n' &&
            CORE(skip_space)(source) == EOF)
            return assigned != 0 ? assigned : EOF;
        char number[NUMBER_ROOM], *end;
        switch (conversion) {
        case 'n':
            if (!suppress)
                store_integer(va_arg(list, void *), size, (unsigned long long)source->taken);
            break;
        case 'd':
        case 'u':
        case 'i':
        case 'o':
        case 'x':
        case 'X':
        case 'p': {
            int base = conversion == 'i' ? 0 : conversion == 'o' ? 8 : conversion == 'd' || conversion == 'u' ? 10 : 16;
            CORE(collect)(source, number, width, base, 0);
            unsigned long long value = scan_integer(number, &end, base, ULLONG_MAX, 0);
            if (end == number)
                return assigned;
            if (!suppress) {
                store_integer(va_arg(list, void *), conversion == 'p' ? 2 : size, value);
                assigned++;
            }
            break;
        }
        case 'e':
        case 'E':
        case 'f':
        case 'F':
        case 'g':
        case 'G':
        case 'a':
        case 'A': {
            CORE(collect)(source, number, width, 0, 1);
            double value = size >= 1 ? strtod(number, &end) : 0;
            float single = size >= 1 ? 0 : strtof(number, &end);
            if (end == number)
                return assigned;
            if (!suppress) {
                if (size >= 1)
                    *va_arg(list, double *) = value;
                else
                    *va_arg(list, float *) = single;
                assigned++;
            }
            break;
        }
        case 'c':
        case 'C':
        case 's':
        case 'S':
        case '[': {
            const CHAR *set = format + 1, *set_end = set;
            int negated = 0, wide = WIDE;
            if (conversion == 'C' || conversion == 'S')
                wide = !WIDE;
            else if (WIDE && !(options & SCAN_LEGACY_WIDE))
                wide = 0;
            if (size < 0)
                wide = 0;
            else if (size > 0)
                wide = 1;
            if (conversion == '[') {
                negated = *set == '^';
                set += negated;
                set_end = set + (*set == ']');
                while (*set_end && *set_end != ']')
                    set_end++;
                if (*set_end == 0)
                    return assigned;
                format = set_end;
            }
            int is_character = (conversion | 32) == 'c';
            size_t limit = width_given ? (size_t)width : is_character ? 1 : (size_t)-1, n = 0, room = (size_t)-1;
            char *narrow = NULL;
            wchar_t *units = NULL;
            if (!suppress) {
                void *target = va_arg(list, void *);
                narrow = wide ? NULL : target;
                units = wide ? target : NULL;
                if (options & SCAN_SECURE)
                    room = va_arg(list, unsigned);
            }
            while (n < limit && (character = CORE(get)(source)) != EOF) {
                int take = is_character || (conversion == '[' ? CORE(in_set)(set, set_end, character) != negated
                                                              : !is_white(character));
                if (!take) {
                    CORE(unget)(source, character);
                    break;
                }
                if (n + !is_character >= room) { /* documented: a buffer too small ends the call */
                    if (narrow != NULL && room != 0)
                        narrow[0] = 0;
                    if (units != NULL && room != 0)
                        units[0] = 0;
                    *_errno() = ENOMEM;
                    return assigned;
                }
                if (narrow != NULL)
                    narrow[n] = (char)character;
                if (units != NULL)
                    units[n] = (wchar_t)character;
                n++;
            }
            if (n == 0 || (is_character && n < limit && width_given && n == 0))
                return assigned != 0 || CORE(skip_none)(source) != EOF ? assigned : EOF;
            if (!is_character && narrow != NULL)
                narrow[n] = 0;
            if (!is_character && units != NULL)
                units[n] = 0;
            assigned += !suppress;
            break;
        }
        default:
            *_errno() = EINVAL;
            return assigned != 0 ? assigned : EOF;
        }
    }
    return assigned;
}
