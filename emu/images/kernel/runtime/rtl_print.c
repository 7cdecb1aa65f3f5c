/* printf for the kernel: DbgPrint, sprintf and their kind. */
#include "runtime.h"
#include <stdarg.h>

typedef struct _FORMAT {
    BOOLEAN Left, Plus, Space, Alternate, Zero;
    BOOLEAN Long, Short, Large; /* l or w; h; ll, I64, and I and t and z and j on this machine */
    LONG Width, Precision;      /* Precision -1: none */
} FORMAT;

static void Put(RTL_OUTPUT *Out, WCHAR Character)
{
    if (Out->Used < Out->Size) {
        if (Out->Wide)
            ((PWSTR)Out->Buffer)[Out->Used] = Character;
        else
            ((PSTR)Out->Buffer)[Out->Used] = Character < 0x100 ? (CHAR)Character : '?';
    }
    Out->Used++;
}

static void Fill(RTL_OUTPUT *Out, WCHAR Character, LONG Count)
{
    for (; Count > 0; Count--)
        Put(Out, Character);
}

static void PutText(RTL_OUTPUT *Out, const FORMAT *Format, const VOID * Text, LONG Length, BOOLEAN Wide)
{
    if (Format->Precision >= 0 && Length > Format->Precision)
        Length = Format->Precision;
    if (!Format->Left)
        Fill(Out, ' ', Format->Width - Length);
    for (LONG i = 0; i < Length; i++)
        Put(Out, Wide ? ((PCWSTR)Text)[i] : (UCHAR)((PCSTR)Text)[i]);
    if (Format->Left)
        Fill(Out, ' ', Format->Width - Length);
}

static LONG LengthOf(const VOID * Text, BOOLEAN Wide, LONG Limit)
{
    LONG length = 0;
    while ((Limit < 0 || length < Limit) && (Wide ? ((PCWSTR)Text)[length] : ((PCSTR)Text)[length]))
        length++;
    return length;
}

static void PutString(RTL_OUTPUT *Out, const FORMAT *Format, const VOID * Text, BOOLEAN Wide)
{
    if (!Text)
        Text = "(null)", Wide = FALSE;
    PutText(Out, Format, Text, LengthOf(Text, Wide, Format->Precision), Wide);
}

static void PutNumber(RTL_OUTPUT *Out, const FORMAT *Format, ULONG64 Value, ULONG Base, BOOLEAN Upper, PCSTR Sign)
{
    CHAR digits[64];
    LONG count = 0, sign = LengthOf(Sign, FALSE, -1);
    for (ULONG64 rest = Value; rest || (!count && Format->Precision); rest /= Base)
        digits[count++] = (Upper ? "0123456789ABCDEF" : "0123456789abcdef")[rest % Base];
    LONG zeros = max(0, Format->Precision - count);
    if (Format->Zero && !Format->Left && Format->Precision < 0)
        zeros = max(0, Format->Width - count - sign);
    if (!Format->Left)
        Fill(Out, ' ', Format->Width - zeros - count - sign);
    for (LONG i = 0; i < sign; i++)
        Put(Out, (UCHAR)Sign[i]);
    Fill(Out, '0', zeros);
    for (LONG i = count; i-- > 0;)
        Put(Out, (UCHAR)digits[i]);
    if (Format->Left)
        Fill(Out, ' ', Format->Width - zeros - count - sign);
}

/* The format as WCHARs, whatever it is made of. */
typedef struct _READER {
    const VOID * Text;
    BOOLEAN Wide;
    SIZE_T At;
} READER;

static WCHAR Peek(const READER *Reader, SIZE_T Ahead)
{
    SIZE_T at = Reader->At + Ahead;
    return Reader->Wide ? ((PCWSTR)Reader->Text)[at] : (UCHAR)((PCSTR)Reader->Text)[at];
}

static LONG ReadNumber(READER *Reader, __builtin_ms_va_list *Arguments)
{
    LONG number = 0;
    if (Peek(Reader, 0) == '*') {
        Reader->At++;
        return __builtin_va_arg(*Arguments, LONG);
    }
    for (; Peek(Reader, 0) >= '0' && Peek(Reader, 0) <= '9'; Reader->At++)
        number = number * 10 + (Peek(Reader, 0) - '0');
    return number;
}

static FORMAT ReadFormat(READER *Reader, __builtin_ms_va_list *Arguments)
{
    FORMAT format = { .Precision = -1 };
    for (;; Reader->At++) {
        switch (Peek(Reader, 0)) {
        case '-': format.Left = TRUE; continue;
        case '+': format.Plus = TRUE; continue;
        case ' ': format.Space = TRUE; continue;
        case '#': format.Alternate = TRUE; continue;
        case '0': format.Zero = TRUE; continue;
        default: break;
        }
        break;
    }
    format.Width = ReadNumber(Reader, Arguments);
    if (format.Width < 0)
        format.Left = TRUE, format.Width = -format.Width;
    if (Peek(Reader, 0) == '.') {
        Reader->At++;
        format.Precision = ReadNumber(Reader, Arguments);
    }
    for (;; Reader->At++) {
        switch (Peek(Reader, 0)) {
        case 'h': format.Short = TRUE; continue;
        case 'w': format.Long = TRUE; continue;
        case 'l': format.Large = format.Long; format.Long = TRUE; continue;
        case 't':
        case 'z':
        case 'j': format.Large = TRUE; continue;
        case 'I':
            format.Large = Peek(Reader, 1) != '3';
            if ((Peek(Reader, 1) == '6' && Peek(Reader, 2) == '4') || (Peek(Reader, 1) == '3' && Peek(Reader, 2) == '2'))
                Reader->At += 2;
            continue;
        default: return format;
        }
    }
}

static void PutArgument(RTL_OUTPUT *Out, WCHAR Conversion, FORMAT *Format, BOOLEAN WideFormat, __builtin_ms_va_list *Arguments)
{
    switch (Conversion) {
    case 'd':
    case 'i': {
        LONG64 value = Format->Large ? __builtin_va_arg(*Arguments, LONG64) : __builtin_va_arg(*Arguments, LONG);
        if (Format->Short)
            value = (SHORT)value;
        PutNumber(
            Out, Format, value < 0 ? 0 - (ULONG64)value : (ULONG64)value, 10, FALSE,
            value < 0 ? "-" : Format->Plus ? "+" : Format->Space ? " " : "");
        return;
    }
    case 'u':
    case 'o':
    case 'x':
    case 'X': {
        ULONG64 value = Format->Large ? __builtin_va_arg(*Arguments, ULONG64) : __builtin_va_arg(*Arguments, ULONG);
        if (Format->Short)
            value = (USHORT)value;
        PCSTR prefix = Format->Alternate && value ? (Conversion == 'x' ? "0x" : Conversion == 'X' ? "0X" : "") : "";
        PutNumber(Out, Format, value, Conversion == 'u' ? 10 : Conversion == 'o' ? 8 : 16, Conversion == 'X', prefix);
        return;
    }
    case 'p':
        Format->Precision = 16;
        PutNumber(Out, Format, __builtin_va_arg(*Arguments, ULONG64), 16, TRUE, "");
        return;
    case 'c':
    case 'C': {
        BOOLEAN wide = Format->Long || (!Format->Short && (Conversion == 'C') != WideFormat);
        WCHAR character = (WCHAR)__builtin_va_arg(*Arguments, LONG);
        Format->Precision = -1;
        PutText(Out, Format, &character, 1, wide);
        return;
    }
    case 's':
    case 'S': {
        BOOLEAN wide = Format->Long || (!Format->Short && (Conversion == 'S') != WideFormat);
        PutString(Out, Format, __builtin_va_arg(*Arguments, const VOID *), wide);
        return;
    }
    case 'Z': {
        /* ANSI_STRING, or UNICODE_STRING with w or l: both begin alike. */
        const UNICODE_STRING *text = __builtin_va_arg(*Arguments, const UNICODE_STRING *);
        if (!text || !text->Buffer)
            PutString(Out, Format, NULL, FALSE);
        else if (Format->Long || (WideFormat && !Format->Short))
            PutText(Out, Format, text->Buffer, text->Length / (LONG)sizeof(WCHAR), TRUE);
        else
            PutText(Out, Format, text->Buffer, text->Length, FALSE);
        return;
    }
    case 'e':
    case 'E':
    case 'f':
    case 'g':
    case 'G': /* the kernel prints no floating point: the argument is skipped */
        (void)__builtin_va_arg(*Arguments, ULONG64);
        Put(Out, '%');
        Put(Out, Conversion);
        return;
    case 'n':
        (void)__builtin_va_arg(*Arguments, PVOID);
        return;
    default:
        Put(Out, Conversion);
    }
}

VOID RtlpPrint(RTL_OUTPUT *Out, const VOID * Format, BOOLEAN WideFormat, __builtin_ms_va_list Arguments)
{
    READER reader = { Format, WideFormat, 0 };
    for (; Peek(&reader, 0); reader.At++) {
        if (Peek(&reader, 0) != '%') {
            Put(Out, Peek(&reader, 0));
            continue;
        }
        reader.At++;
        FORMAT format = ReadFormat(&reader, &Arguments);
        if (!Peek(&reader, 0))
            return;
        PutArgument(Out, Peek(&reader, 0), &format, WideFormat, &Arguments);
    }
}

/* --- sprintf -------------------------------------------------------------------------------------------------------*/

/* As the C library of Windows: -1 if it does not fit, and a NUL if there is room for one. */
static int PrintInto(PVOID Buffer, SIZE_T Size, BOOLEAN Wide, const VOID * Format, __builtin_ms_va_list Arguments)
{
    RTL_OUTPUT out = { Buffer, Size, 0, Wide };
    RtlpPrint(&out, Format, Wide, Arguments);
    if (out.Used < Size) {
        if (Wide)
            ((PWSTR)Buffer)[out.Used] = 0;
        else
            ((PSTR)Buffer)[out.Used] = 0;
    }
    return out.Used > Size ? -1 : (int)out.Used;
}

#define UNLIMITED 0x7FFFFFFF
#define PRINTS(name, kind, wide, ...)                                                                                  \
    int __cdecl name(__VA_ARGS__, const kind *Format, ...)                                                             \
    {                                                                                                                  \
        __builtin_ms_va_list arguments;                                                                                \
        __builtin_ms_va_start(arguments, Format);                                                                      \
        int length = PrintInto(Buffer, Size, wide, Format, arguments);                                                 \
        __builtin_ms_va_end(arguments);                                                                                \
        return length;                                                                                                 \
    }

int __cdecl _vsnprintf(char *Buffer, size_t Size, const char *Format, va_list Arguments)
{
    return PrintInto(Buffer, Size, FALSE, Format, Arguments);
}

int __cdecl _vsnwprintf(WCHAR *Buffer, size_t Size, const WCHAR *Format, va_list Arguments)
{
    return PrintInto(Buffer, Size, TRUE, Format, Arguments);
}

PRINTS(_snprintf, char, FALSE, char *Buffer, size_t Size)
PRINTS(_snwprintf, WCHAR, TRUE, WCHAR *Buffer, size_t Size)
PRINTS(sprintf_s, char, FALSE, char *Buffer, size_t Size)
PRINTS(swprintf_s, WCHAR, TRUE, WCHAR *Buffer, size_t Size)

int __cdecl vsprintf(char *Buffer, const char *Format, va_list Arguments)
{
    return PrintInto(Buffer, UNLIMITED, FALSE, Format, Arguments);
}

int __cdecl vsprintf_s(char *Buffer, size_t Size, const char *Format, va_list Arguments)
{
    return PrintInto(Buffer, Size, FALSE, Format, Arguments);
}

int __cdecl vswprintf_s(WCHAR *Buffer, size_t Size, const WCHAR *Format, va_list Arguments)
{
    return PrintInto(Buffer, Size, TRUE, Format, Arguments);
}

int __cdecl sprintf(char *Buffer, const char *Format, ...)
{
    __builtin_ms_va_list arguments;
    __builtin_ms_va_start(arguments, Format);
    int length = PrintInto(Buffer, UNLIMITED, FALSE, Format, arguments);
    __builtin_ms_va_end(arguments);
    return length;
}

int __cdecl RtlpSwprintf(WCHAR *Buffer, const WCHAR *Format, ...) /* exported as swprintf: two arguments, as ntoskrnl's */
{
    __builtin_ms_va_list arguments;
    __builtin_ms_va_start(arguments, Format);
    int length = PrintInto(Buffer, UNLIMITED, TRUE, Format, arguments);
    __builtin_ms_va_end(arguments);
    return length;
}

/* --- DbgPrint ------------------------------------------------------------------------------------------------------*/

#define PRINT_SIZE 512 /* DbgPrint: "at most 512 bytes" */
extern CHAR KdPrintCircularBuffer[];
extern PCHAR KdPrintWritePointer;
extern ULONG KdPrintRolloverCount, KdPrintBufferSize;

static ULONG PrintToDebugger(PCSTR Prefix, PCSTR Format, __builtin_ms_va_list Arguments)
{
    CHAR text[PRINT_SIZE];
    RTL_OUTPUT out = { text, sizeof text, 0, FALSE };
    for (; Prefix && *Prefix; Prefix++)
        Put(&out, (UCHAR)*Prefix);
    RtlpPrint(&out, Format, FALSE, Arguments);
    SIZE_T length = min(out.Used, sizeof text);
    for (SIZE_T i = 0; i < length; i++) {
        *KdPrintWritePointer++ = text[i];
        if (KdPrintWritePointer == KdPrintCircularBuffer + KdPrintBufferSize) {
            KdPrintWritePointer = KdPrintCircularBuffer;
            KdPrintRolloverCount++;
        }
    }
    KiHypercall(HYPERCALL_PRINT, (ULONG64)text, length, 0);
    return STATUS_SUCCESS;
}

ULONG __cdecl vDbgPrintEx(ULONG ComponentId, ULONG Level, PCCH Format, va_list Arguments)
{
    (void)ComponentId, (void)Level;
    return PrintToDebugger(NULL, Format, Arguments);
}

ULONG __cdecl vDbgPrintExWithPrefix(PCCH Prefix, ULONG ComponentId, ULONG Level, PCCH Format, va_list Arguments)
{
    (void)ComponentId, (void)Level;
    return PrintToDebugger(Prefix, Format, Arguments);
}

ULONG __cdecl DbgPrint(PCSTR Format, ...)
{
    __builtin_ms_va_list arguments;
    __builtin_ms_va_start(arguments, Format);
    ULONG status = PrintToDebugger(NULL, Format, arguments);
    __builtin_ms_va_end(arguments);
    return status;
}

ULONG __cdecl DbgPrintReturnControlC(PCCH Format, ...)
{
    __builtin_ms_va_list arguments;
    __builtin_ms_va_start(arguments, Format);
    ULONG status = PrintToDebugger(NULL, Format, arguments);
    __builtin_ms_va_end(arguments);
    return status;
}

/* Every component and level is shown: nobody filters here. */
ULONG __cdecl DbgPrintEx(ULONG ComponentId, ULONG Level, PCSTR Format, ...)
{
    __builtin_ms_va_list arguments;
    __builtin_ms_va_start(arguments, Format);
    ULONG status = vDbgPrintEx(ComponentId, Level, Format, arguments);
    __builtin_ms_va_end(arguments);
    return status;
}

NTSTATUS DbgQueryDebugFilterState(ULONG ComponentId, ULONG Level) { return (void)ComponentId, (void)Level, TRUE; }

NTSTATUS DbgSetDebugFilterState(ULONG ComponentId, ULONG Level, BOOLEAN State)
{
    return (void)ComponentId, (void)Level, (void)State, STATUS_SUCCESS;
}
