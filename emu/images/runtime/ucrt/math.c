/* Math: the small functions, and the classes and states of floating point. The others are musl's and Zig's. */
#include "ucrt.h"

typedef union {
    double value;
    unsigned long long bits;
} parts;
typedef union {
    float value;
    unsigned bits;
} parts_f;

#define EXPONENT(p) ((int)((p).bits >> 52 & 0x7FF))
#define FRACTION(p) ((p).bits & 0xFFFFFFFFFFFFFull)
#define SIGN (1ull << 63)

double scalbn(double value, int exponent);
double floor(double), trunc(double), fabs(double), hypot(double, double), nextafter(double, double), logb(double);
double remainder(double, double), round(double);
float roundf(float);
float hypotf(float, float);

double copysign(double magnitude, double sign)
{
    parts m = {magnitude}, s = {sign};
    m.bits = (m.bits & ~SIGN) | (s.bits & SIGN);
    return m.value;
}

float copysignf(float magnitude, float sign)
{
    parts_f m = {magnitude}, s = {sign};
    m.bits = (m.bits & 0x7FFFFFFF) | (s.bits & 0x80000000);
    return m.value;
}

double _copysign(double magnitude, double sign)
{
    return copysign(magnitude, sign);
}

float _copysignf(float magnitude, float sign)
{
    return copysignf(magnitude, sign);
}

double _chgsign(double value)
{
    return -value;
}

float _chgsignf(float value)
{
    return -value;
}

double frexp(double value, int *exponent)
{
    parts p = {value};
    *exponent = 0;
    if (EXPONENT(p) == 0x7FF || value == 0)
        return value;
    if (EXPONENT(p) == 0) {
        p.value = value * 0x1p64;
        *exponent = -64;
    }
    *exponent += EXPONENT(p) - 1022;
    p.bits = (p.bits & ~(0x7FFull << 52)) | 1022ull << 52;
    return p.value;
}

double modf(double value, double *whole)
{
    parts p = {value};
    *whole = EXPONENT(p) == 0x7FF ? value : trunc(value);
    if (FRACTION(p) != 0 && EXPONENT(p) == 0x7FF)
        return value;
    return copysign(EXPONENT(p) == 0x7FF ? 0 : value - *whole, value);
}

float modff(float value, float *whole)
{
    double wide_whole, rest = modf(value, &wide_whole);
    *whole = (float)wide_whole;
    return (float)rest;
}

/* To the nearest integer, in the rounding mode of the processor. */
double rint(double value)
{
    parts p = {value};
    if (EXPONENT(p) >= 1075)
        return value;
    double big = copysign(0x1p52, value);
    volatile double sum = value + big;
    return copysign(sum - big, value);
}

float rintf(float value)
{
    return (float)rint(value);
}

long lrint(double value)
{
    return (long)rint(value);
}

long lrintf(float value)
{
    return (long)rint(value);
}

long lround(double value)
{
    return (long)round(value);
}

long lroundf(float value)
{
    return (long)roundf(value);
}

double fdim(double x, double y)
{
    return x != x || y != y ? x + y : x > y ? x - y : 0;
}

float fdimf(float x, float y)
{
    return x != x || y != y ? x + y : x > y ? x - y : 0;
}

double nan(const char *tag)
{
    UNREFERENCED_PARAMETER(tag);
    return ((parts){.bits = 0x7FF8000000000000ull}).value;
}

float nanf(const char *tag)
{
    return (float)nan(tag);
}

double _hypot(double x, double y)
{
    return hypot(x, y);
}

float _hypotf(float x, float y)
{
    return hypotf(x, y);
}

struct complex_of_math {
    double x, y;
};

double _cabs(struct complex_of_math value)
{
    return hypot(value.x, value.y);
}

double _logb(double value)
{
    return logb(value);
}

double _scalb(double value, long exponent)
{
    return scalbn(value, (int)exponent);
}

double _nextafter(double x, double y)
{
    return nextafter(x, y);
}

#define BESSEL(name) double name(double); double _##name(double x) { return name(x); }
#define BESSEL_N(name) double name(int, double); double _##name(int n, double x) { return name(n, x); }
BESSEL(j0)
BESSEL(j1)
BESSEL(y0)
BESSEL(y1)
BESSEL_N(jn)
BESSEL_N(yn)

/* --- classes: float.h, math.h (_FPCLASS_* and FP_*) */
int _isnan(double value)
{
    return value != value;
}

int _isnanf(float value)
{
    return value != value;
}

int _finite(double value)
{
    parts p = {value};
    return EXPONENT(p) != 0x7FF;
}

int _finitef(float value)
{
    return _finite(value);
}

int _fpclass(double value)
{
    parts p = {value};
    int negative = (int)(p.bits >> 63);
    if (EXPONENT(p) == 0x7FF) {
        if (FRACTION(p) != 0)
            return p.bits >> 51 & 1 ? 2 : 1;
        return negative ? 0x4 : 0x200;
    }
    if (EXPONENT(p) != 0)
        return negative ? 0x8 : 0x100;
    return FRACTION(p) != 0 ? (negative ? 0x10 : 0x80) : (negative ? 0x20 : 0x40);
}

int _fpclassf(float value)
{
    return _fpclass(value);
}

short _dclass(double value)
{
    parts p = {value};
    if (EXPONENT(p) == 0x7FF)
        return FRACTION(p) != 0 ? 2 : 1;
    return EXPONENT(p) != 0 ? -1 : FRACTION(p) != 0 ? -2 : 0;
}

short _fdclass(float value)
{
    parts_f p = {value};
    if ((p.bits >> 23 & 0xFF) == 0xFF)
        return (p.bits & 0x7FFFFF) != 0 ? 2 : 1;
    return (p.bits >> 23 & 0xFF) != 0 ? -1 : (p.bits & 0x7FFFFF) != 0 ? -2 : 0;
}

short _ldclass(double value)
{
    return _dclass(value);
}

short _dtest(double *value)
{
    return _dclass(*value);
}

short _fdtest(float *value)
{
    return _fdclass(*value);
}

short _ldtest(double *value)
{
    return _dclass(*value);
}

int _dsign(double value)
{
    parts p = {value};
    return p.bits >> 63 ? 0x8000 : 0;
}

int _fdsign(float value)
{
    return _dsign(value);
}

int _ldsign(double value)
{
    return _dsign(value);
}

/* 1 less, 2 equal, 4 greater; 0 unordered: _FP_LT, _FP_EQ, _FP_GT */
int _dpcomp(double x, double y)
{
    return x < y ? 1 : x == y ? 2 : x > y ? 4 : 0;
}

int _fdpcomp(float x, float y)
{
    return _dpcomp(x, y);
}

int _ldpcomp(double x, double y)
{
    return _dpcomp(x, y);
}

/* --- the state of SSE; float.h's numbers against those of MXCSR */
static unsigned read_state(void)
{
    unsigned state;
    __asm__ volatile("stmxcsr %0" : "=m"(state));
    return state;
}

static void write_state(unsigned state)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(state));
}

static const struct {
    unsigned abstract, flag, mask;
} exceptions[] = {{0x10, 0x01, 0x80}, {0x80000, 0x02, 0x100}, {0x08, 0x04, 0x200},
                  {0x04, 0x08, 0x400}, {0x02, 0x10, 0x800},   {0x01, 0x20, 0x1000}};

static unsigned abstract_control(unsigned state)
{
    static const unsigned rounding[] = {0, 0x100, 0x200, 0x300};
    unsigned value = rounding[state >> 13 & 3];
    for (size_t i = 0; i < RTL_NUMBER_OF(exceptions); i++)
        if (state & exceptions[i].mask)
            value |= exceptions[i].abstract;
    return value | (state & 0x8040 ? (state & 0x40 ? 0x01000000 : 0x03000000) : 0);
}

unsigned _controlfp(unsigned value, unsigned mask)
{
    unsigned state = read_state(), wanted = (abstract_control(state) & ~mask) | (value & mask);
    if (mask != 0) {
        state &= ~0x7F80u;
        state |= (wanted >> 8 & 3) << 13;
        for (size_t i = 0; i < RTL_NUMBER_OF(exceptions); i++)
            if (wanted & exceptions[i].abstract)
                state |= exceptions[i].mask;
        write_state(state);
    }
    return abstract_control(read_state());
}

unsigned _control87(unsigned value, unsigned mask)
{
    return _controlfp(value, mask);
}

int _controlfp_s(unsigned *result, unsigned value, unsigned mask)
{
    unsigned now = _controlfp(value, mask);
    if (result != NULL)
        *result = now;
    return 0;
}

unsigned _statusfp(void)
{
    unsigned state = read_state(), value = 0;
    for (size_t i = 0; i < RTL_NUMBER_OF(exceptions); i++)
        if (state & exceptions[i].flag)
            value |= exceptions[i].abstract;
    return value;
}

unsigned _clearfp(void)
{
    unsigned value = _statusfp();
    write_state(read_state() & ~0x3Fu);
    return value;
}

void _fpreset(void)
{
    unsigned short control = 0x37F;
    write_state(0x1F80);
    __asm__ volatile("fninit; fldcw %0" : : "m"(control));
}

int *__fpecode(void)
{
    return &this_thread()->processing_throw;
}

int fegetround(void)
{
    return (int)(read_state() >> 13 & 3) << 8;
}

int fesetround(int mode)
{
    if (mode & ~0x300)
        return 1;
    write_state((read_state() & ~0x6000u) | (unsigned)mode << 5);
    return 0;
}

typedef struct {
    unsigned long control, status;
} fenv_t;

int fegetenv(fenv_t *state)
{
    state->control = read_state() & ~0x3Fu;
    state->status = read_state() & 0x3F;
    return 0;
}

int fesetenv(const fenv_t *state)
{
    write_state((unsigned)(state->control | state->status));
    return 0;
}

int feholdexcept(fenv_t *state)
{
    fegetenv(state);
    write_state((read_state() & ~0x3Fu) | 0x1F80);
    return 0;
}

int fetestexcept(int flags)
{
    return (int)_statusfp() & flags;
}

int feclearexcept(int flags)
{
    unsigned state = read_state();
    for (size_t i = 0; i < RTL_NUMBER_OF(exceptions); i++)
        if ((unsigned)flags & exceptions[i].abstract)
            state &= ~exceptions[i].flag;
    write_state(state);
    return 0;
}

int feraiseexcept(int flags)
{
    unsigned state = read_state();
    for (size_t i = 0; i < RTL_NUMBER_OF(exceptions); i++)
        if ((unsigned)flags & exceptions[i].abstract)
            state |= exceptions[i].flag;
    write_state(state);
    return 0;
}

int feupdateenv(const fenv_t *state)
{
    unsigned flags = read_state() & 0x3F;
    fesetenv(state);
    write_state(read_state() | flags);
    return 0;
}
