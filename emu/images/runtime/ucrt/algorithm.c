/* Sorting, searching, division, random numbers. */
#include "ucrt.h"

#define REQUIRE_SORT(base, count, size, compare, result)                                                               \
    REQUIRE(((base) != NULL || (count) == 0) && (size) != 0 && (compare) != NULL, EINVAL, result)

static void swap(char *a, char *b, size_t size)
{
    for (; size != 0; size--) {
        char c = *a;
        *a++ = *b;
        *b++ = c;
    }
}

typedef struct comparison {
    compare_context_function compare;
    void *context;
} comparison;

/* Heapsort: no recursion, no memory, and never quadratic. */
static void sift(char *base, size_t root, size_t count, size_t size, const comparison *by)
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && by->compare(by->context, base + child * size, base + (child + 1) * size) < 0)
            child++;
        if (by->compare(by->context, base + root * size, base + child * size) >= 0)
            return;
        swap(base + root * size, base + child * size, size);
    }
}

static void sort(char *base, size_t count, size_t size, const comparison *by)
{
    for (size_t root = count / 2; root-- > 0;)
        sift(base, root, count, size, by);
    for (size_t end = count; end-- > 1;) {
        swap(base, base + end * size, size);
        sift(base, 0, end, size, by);
    }
}

static int without_context(void *context, const void *a, const void *b)
{
    return (*(compare_function *)context)(a, b);
}

void qsort(void *base, size_t count, size_t size, compare_function compare)
{
    REQUIRE_SORT(base, count, size, compare, );
    sort(base, count, size, &(comparison){without_context, &compare});
}

void qsort_s(void *base, size_t count, size_t size, compare_context_function compare, void *context)
{
    REQUIRE_SORT(base, count, size, compare, );
    sort(base, count, size, &(comparison){compare, context});
}

static void *search(const void *key, const char *base, size_t count, size_t size, const comparison *by)
{
    while (count != 0) {
        const char *middle = base + count / 2 * size;
        int order = by->compare(by->context, key, middle);
        if (order == 0)
            return (void *)middle;
        if (order > 0) {
            base = middle + size;
            count -= count / 2 + 1;
        } else
            count /= 2;
    }
    return NULL;
}

void *bsearch(const void *key, const void *base, size_t count, size_t size, compare_function compare)
{
    REQUIRE_SORT(base, count, size, compare, NULL);
    return search(key, base, count, size, &(comparison){without_context, &compare});
}

void *bsearch_s(const void *key, const void *base, size_t count, size_t size, compare_context_function compare,
                void *context)
{
    REQUIRE_SORT(base, count, size, compare, NULL);
    return search(key, base, count, size, &(comparison){compare, context});
}

void *_lfind(const void *key, const void *base, unsigned *count, unsigned size, compare_function compare)
{
    for (unsigned i = 0; i < *count; i++)
        if (compare(key, (const char *)base + (size_t)i * size) == 0)
            return (char *)base + (size_t)i * size;
    return NULL;
}

void *_lsearch(const void *key, void *base, unsigned *count, unsigned size, compare_function compare)
{
    void *found = _lfind(key, base, count, size, compare);
    if (found == NULL) {
        found = (char *)base + (size_t)*count * size;
        memcpy(found, key, size);
        ++*count;
    }
    return found;
}

int abs(int value)
{
    return value < 0 ? (int)(0u - (unsigned)value) : value;
}

long labs(long value)
{
    return abs((int)value);
}

long long llabs(long long value)
{
    return value < 0 ? (long long)(0ull - (unsigned long long)value) : value;
}

long long _abs64(long long value)
{
    return llabs(value);
}

typedef struct {
    int quot, rem;
} div_t;
typedef struct {
    long long quot, rem;
} lldiv_t;

div_t div(int numerator, int denominator)
{
    return (div_t){numerator / denominator, numerator % denominator};
}

div_t ldiv(long numerator, long denominator)
{
    return div((int)numerator, (int)denominator);
}

lldiv_t lldiv(long long numerator, long long denominator)
{
    return (lldiv_t){numerator / denominator, numerator % denominator};
}

/* The generator that vendor's documentation shows in samples: numbers of 15 bits, a linear congruence of 32 bits. */
int rand(void)
{
    unsigned *state = &this_thread()->random;
    *state = *state * 214013 + 2531011;
    return (int)(*state >> 16 & 0x7FFF);
}

void srand(unsigned seed)
{
    this_thread()->random = seed;
}

/* "Random" must be the same in every run of a target: a fixed sequence. */
int rand_s(unsigned *value)
{
    static volatile LONG64 state = 0x9E3779B97F4A7C15ll;
    REQUIRE(value != NULL, EINVAL, EINVAL);
    unsigned long long x = (unsigned long long)InterlockedExchangeAdd64(&state, 0x632BE59BD9B4E019ll);
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9ull;
    x ^= x >> 27;
    *value = (unsigned)(x >> 16);
    return 0;
}

unsigned _rotl(unsigned value, int shift)
{
    shift &= 31;
    return value << shift | value >> ((32 - shift) & 31);
}

unsigned _rotr(unsigned value, int shift)
{
    return _rotl(value, 32 - (shift & 31));
}

unsigned long long _rotl64(unsigned long long value, int shift)
{
    shift &= 63;
    return value << shift | value >> ((64 - shift) & 63);
}

unsigned long long _rotr64(unsigned long long value, int shift)
{
    return _rotl64(value, 64 - (shift & 63));
}

unsigned short _byteswap_ushort(unsigned short value)
{
    return (unsigned short)(value << 8 | value >> 8);
}

unsigned long _byteswap_ulong(unsigned long value)
{
    return value << 24 | (value & 0xFF00) << 8 | (value >> 8 & 0xFF00) | value >> 24;
}

unsigned long long _byteswap_uint64(unsigned long long value)
{
    return (unsigned long long)_byteswap_ulong((unsigned long)value) << 32 | _byteswap_ulong((unsigned long)(value >> 32));
}
