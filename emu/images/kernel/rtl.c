/* The runtime: memory, strings, DbgPrint. The compiler calls memcpy, memmove, memset and memcmp itself. */
#include "ntos.h"

void *memcpy(void *to, const void *from, size_t size)
{
    void *result = to;
    size_t words = size / 8;
    size %= 8;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return result;
}

void *memmove(void *to, const void *from, size_t size)
{
    if ((ULONG64)to - (ULONG64)from >= size)
        return memcpy(to, from, size);
    PUCHAR target = (PUCHAR)to + size;
    const UCHAR *source = (const UCHAR *)from + size;
    while (size--)
        *--target = *--source;
    return to;
}

void *memset(void *to, int value, size_t size)
{
    void *result = to;
    size_t words = size / 8;
    size %= 8;
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"((UCHAR)value * 0x0101010101010101ull) : "memory");
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return result;
}

int memcmp(const void *left, const void *right, size_t size)
{
    const UCHAR *a = left, *b = right;
    for (; size--; a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}

SIZE_T RtlCompareMemory(const VOID *Left, const VOID *Right, SIZE_T Length)
{
    const UCHAR *a = Left, *b = Right;
    SIZE_T equal = 0;
    while (equal < Length && a[equal] == b[equal])
        equal++;
    return equal;
}

static SIZE_T RtlpLength(PCWSTR Text)
{
    SIZE_T length = 0;
    while (Text && Text[length])
        length++;
    return length;
}

VOID RtlInitUnicodeString(PUNICODE_STRING String, PCWSTR Text)
{
    String->Length = (USHORT)(RtlpLength(Text) * sizeof(WCHAR));
    String->MaximumLength = (USHORT)(Text ? String->Length + sizeof(WCHAR) : 0);
    String->Buffer = (PWSTR)Text;
}

static WCHAR RtlpUpcase(WCHAR Character)
{
    return Character >= 'a' && Character <= 'z' ? (WCHAR)(Character - 32) : Character;
}

BOOLEAN RtlEqualUnicodeString(PCUNICODE_STRING Left, PCUNICODE_STRING Right, BOOLEAN IgnoreCase)
{
    if (Left->Length != Right->Length)
        return FALSE;
    for (ULONG i = 0; i < Left->Length / sizeof(WCHAR); i++) {
        WCHAR a = Left->Buffer[i], b = Right->Buffer[i];
        if (IgnoreCase ? RtlpUpcase(a) != RtlpUpcase(b) : a != b)
            return FALSE;
    }
    return TRUE;
}

/* --- DbgPrint ------------------------------------------------------------------------------------------------------*/

#define KD_PRINT_SIZE 0x400
CHAR KdPrintCircularBuffer[KD_PRINT_SIZE];
PCHAR KdPrintCircularBufferPtr = KdPrintCircularBuffer;
PCHAR KdPrintWritePointer = KdPrintCircularBuffer;
ULONG KdPrintRolloverCount, KdPrintBufferSize = KD_PRINT_SIZE;

typedef struct _OUTPUT {
    PSTR Buffer;
    SIZE_T Size, Used;
} OUTPUT;

static void RtlpPut(OUTPUT *Out, CHAR Character)
{
    if (Out->Used + 1 < Out->Size)
        Out->Buffer[Out->Used++] = Character;
}

static void RtlpPutPadded(OUTPUT *Out, PCSTR Text, SIZE_T Length, SIZE_T Width, BOOLEAN Left, CHAR Fill)
{
    for (SIZE_T i = Length; !Left && i < Width; i++)
        RtlpPut(Out, Fill);
    for (SIZE_T i = 0; i < Length; i++)
        RtlpPut(Out, Text[i]);
    for (SIZE_T i = Length; Left && i < Width; i++)
        RtlpPut(Out, ' ');
}

static void RtlpPutWide(OUTPUT *Out, PCWSTR Text, SIZE_T Length)
{
    for (SIZE_T i = 0; i < Length; i++)
        RtlpPut(Out, Text[i] < 0x80 ? (CHAR)Text[i] : '?');
}

static void RtlpPutNumber(
    OUTPUT *Out, ULONG64 Value, ULONG Base, BOOLEAN Upper, CHAR Sign, SIZE_T Width, BOOLEAN Left, CHAR Fill)
{
    CHAR digits[24];
    SIZE_T at = sizeof digits;
    do
        digits[--at] = (Upper ? "0123456789ABCDEF" : "0123456789abcdef")[Value % Base];
    while (Value /= Base);
    if (Sign)
        digits[--at] = Sign;
    RtlpPutPadded(Out, digits + at, sizeof digits - at, Width, Left, Fill);
}

/* Flags - and 0, width, sizes h l ll I64 w, conversions d i u x X p s S c wZ %. Returns the length, NUL not counted. */
SIZE_T RtlpFormat(PSTR Buffer, SIZE_T Size, PCSTR Format, __builtin_ms_va_list Arguments)
{
    OUTPUT out = { Buffer, Size, 0 };
    for (; *Format; Format++) {
        if (*Format != '%') {
            RtlpPut(&out, *Format);
            continue;
        }
        BOOLEAN left = FALSE, wide = FALSE, large = FALSE;
        CHAR fill = ' ';
        SIZE_T width = 0;
        for (Format++; *Format == '-' || *Format == '0'; Format++)
            *Format == '-' ? (left = TRUE) : (fill = '0');
        for (; *Format >= '0' && *Format <= '9'; Format++)
            width = width * 10 + (SIZE_T)(*Format - '0');
        for (;; Format++) {
            if (Format[0] == 'I' && Format[1] == '6' && Format[2] == '4')
                large = TRUE, Format += 2;
            else if (Format[0] == 'l' && Format[1] == 'l')
                large = TRUE, Format++;
            else if (*Format == 'w' || *Format == 'l')
                wide = TRUE;
            else if (*Format != 'h')
                break;
        }
        if (!*Format)
            break;
        switch (*Format) {
        case 'd':
        case 'i': {
            LONG64 value = large ? __builtin_va_arg(Arguments, LONG64) : __builtin_va_arg(Arguments, LONG);
            ULONG64 magnitude = value < 0 ? 0 - (ULONG64)value : (ULONG64)value;
            RtlpPutNumber(&out, magnitude, 10, FALSE, value < 0 ? '-' : 0, width, left, fill);
            break;
        }
        case 'u':
        case 'x':
        case 'X': {
            ULONG64 value = large ? __builtin_va_arg(Arguments, ULONG64) : __builtin_va_arg(Arguments, ULONG);
            RtlpPutNumber(&out, value, *Format == 'u' ? 10 : 16, *Format == 'X', 0, width, left, fill);
            break;
        }
        case 'p':
            RtlpPutNumber(&out, __builtin_va_arg(Arguments, ULONG64), 16, TRUE, 0, 16, FALSE, '0');
            break;
        case 'c':
            RtlpPut(&out, (CHAR)__builtin_va_arg(Arguments, LONG));
            break;
        case 'Z': {
            PCUNICODE_STRING text = __builtin_va_arg(Arguments, PCUNICODE_STRING);
            RtlpPutWide(&out, text->Buffer, text->Length / sizeof(WCHAR));
            break;
        }
        case 'S':
        case 's':
            if (wide || *Format == 'S') {
                PCWSTR text = __builtin_va_arg(Arguments, PCWSTR);
                RtlpPutWide(&out, text, RtlpLength(text));
            } else {
                PCSTR text = __builtin_va_arg(Arguments, PCSTR);
                SIZE_T length = 0;
                for (text = text ? text : "(null)"; text[length];)
                    length++;
                RtlpPutPadded(&out, text, length, width, left, ' ');
            }
            break;
        default:
            RtlpPut(&out, *Format);
        }
    }
    if (Size)
        Buffer[out.Used] = 0;
    return out.Used;
}

static ULONG KdpPrint(PCSTR Format, __builtin_ms_va_list Arguments)
{
    CHAR text[512];
    SIZE_T length = RtlpFormat(text, sizeof text, Format, Arguments);
    for (SIZE_T i = 0; i < length; i++) {
        *KdPrintWritePointer++ = text[i];
        if (KdPrintWritePointer == KdPrintCircularBuffer + KD_PRINT_SIZE) {
            KdPrintWritePointer = KdPrintCircularBuffer;
            KdPrintRolloverCount++;
        }
    }
    KiHypercall(HYPERCALL_PRINT, (ULONG64)text, length, 0);
    return STATUS_SUCCESS;
}

ULONG __cdecl DbgPrint(PCSTR Format, ...)
{
    __builtin_ms_va_list arguments;
    __builtin_ms_va_start(arguments, Format);
    ULONG status = KdpPrint(Format, arguments);
    __builtin_ms_va_end(arguments);
    return status;
}

ULONG __cdecl DbgPrintEx(ULONG ComponentId, ULONG Level, PCSTR Format, ...)
{
    (void)ComponentId, (void)Level;
    __builtin_ms_va_list arguments;
    __builtin_ms_va_start(arguments, Format);
    ULONG status = KdpPrint(Format, arguments);
    __builtin_ms_va_end(arguments);
    return status;
}
