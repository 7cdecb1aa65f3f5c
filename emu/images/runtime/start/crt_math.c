/* The classes of floating point that the headers' macros isnan, isinf, signbit and so on call. A long double is a
 * double: programs are compiled so, as Microsoft's compiler does. */
short _dclass(double);
short _fdclass(float);
int _dsign(double);

/* math.h: FP_NAN 0x0100, FP_NORMAL 0x0400, FP_INFINITE 0x0500, FP_ZERO 0x4000, FP_SUBNORMAL 0x4400 */
static int class_of(short kind)
{
    return kind == 2 ? 0x100 : kind == 1 ? 0x500 : kind == 0 ? 0x4000 : kind == -1 ? 0x400 : 0x4400;
}

int __fpclassify(double value)
{
    return class_of(_dclass(value));
}

int __fpclassifyf(float value)
{
    return class_of(_fdclass(value));
}

int __fpclassifyl(long double value)
{
    return class_of(_dclass(value));
}

int __isnan(double value)
{
    return value != value;
}

int __isnanf(float value)
{
    return value != value;
}

int __isnanl(long double value)
{
    return value != value;
}

int __signbit(double value)
{
    return _dsign(value) != 0;
}

int __signbitf(float value)
{
    return _dsign(value) != 0;
}

int __signbitl(long double value)
{
    return _dsign(value) != 0;
}
