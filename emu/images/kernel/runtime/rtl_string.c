/* Counted strings: UNICODE_STRING, ANSI_STRING, their comparison and conversion. Characters beyond U+007F have no case
   here, and are U+00xx of code page 1252's Latin part. */
#include "runtime.h"

static SIZE_T WideLength(PCWSTR Text)
{
    SIZE_T length = 0;
    while (Text && Text[length])
        length++;
    return length;
}

WCHAR RtlUpcaseUnicodeChar(WCHAR Character)
{
    return Character >= 'a' && Character <= 'z' ? (WCHAR)(Character - 32) : Character;
}

WCHAR RtlDowncaseUnicodeChar(WCHAR Character)
{
    return Character >= 'A' && Character <= 'Z' ? (WCHAR)(Character + 32) : Character;
}

CHAR RtlUpperChar(CHAR Character) { return (CHAR)RtlUpcaseUnicodeChar((UCHAR)Character); }

/* --- initialization ------------------------------------------------------------------------------------------------*/

NTSTATUS RtlInitUnicodeStringEx(PUNICODE_STRING String, PCWSTR Text)
{
    if (WideLength(Text) * sizeof(WCHAR) > 0xFFFC)
        return STATUS_NAME_TOO_LONG;
    RtlInitUnicodeString(String, Text);
    return STATUS_SUCCESS;
}

VOID RtlInitAnsiString(PANSI_STRING String, PCSZ Text)
{
    SIZE_T length = 0;
    while (Text && Text[length])
        length++;
    String->Length = (USHORT)length;
    String->MaximumLength = (USHORT)(Text ? length + 1 : 0);
    String->Buffer = (PCHAR)Text;
}

VOID RtlInitString(PSTRING String, PCSZ Text) { RtlInitAnsiString(String, Text); }

/* --- comparison ----------------------------------------------------------------------------------------------------*/

LONG RtlCompareUnicodeStrings(PCWCH Left, SIZE_T LeftLength, PCWCH Right, SIZE_T RightLength, BOOLEAN IgnoreCase)
{
    for (SIZE_T i = 0; i < LeftLength && i < RightLength; i++) {
        WCHAR a = Left[i], b = Right[i];
        if (IgnoreCase)
            a = RtlUpcaseUnicodeChar(a), b = RtlUpcaseUnicodeChar(b);
        if (a != b)
            return (LONG)a - (LONG)b;
    }
    return (LONG)LeftLength - (LONG)RightLength;
}

LONG RtlCompareUnicodeString(PCUNICODE_STRING Left, PCUNICODE_STRING Right, BOOLEAN IgnoreCase)
{
    return RtlCompareUnicodeStrings(
        Left->Buffer, Left->Length / sizeof(WCHAR), Right->Buffer, Right->Length / sizeof(WCHAR), IgnoreCase);
}

BOOLEAN RtlPrefixUnicodeString(PCUNICODE_STRING Prefix, PCUNICODE_STRING String, BOOLEAN IgnoreCase)
{
    UNICODE_STRING head = { Prefix->Length, Prefix->Length, String->Buffer };
    return Prefix->Length <= String->Length && RtlEqualUnicodeString(Prefix, &head, IgnoreCase);
}

LONG RtlCompareString(const PSTRING Left, const PSTRING Right, BOOLEAN IgnoreCase)
{
    for (ULONG i = 0; i < Left->Length && i < Right->Length; i++) {
        UCHAR a = (UCHAR)Left->Buffer[i], b = (UCHAR)Right->Buffer[i];
        if (IgnoreCase)
            a = (UCHAR)RtlUpperChar((CHAR)a), b = (UCHAR)RtlUpperChar((CHAR)b);
        if (a != b)
            return a - b;
    }
    return Left->Length - Right->Length;
}

BOOLEAN RtlEqualString(const PSTRING Left, const PSTRING Right, BOOLEAN IgnoreCase)
{
    return Left->Length == Right->Length && !RtlCompareString(Left, Right, IgnoreCase);
}

NTSTATUS RtlHashUnicodeString(PCUNICODE_STRING String, BOOLEAN IgnoreCase, ULONG Algorithm, PULONG Hash)
{
    if (Algorithm > 1) /* HASH_STRING_ALGORITHM_DEFAULT, _X65599 */
        return STATUS_INVALID_PARAMETER;
    *Hash = 0;
    for (ULONG i = 0; i < String->Length / sizeof(WCHAR); i++)
        *Hash = *Hash * 65599 + (IgnoreCase ? RtlUpcaseUnicodeChar(String->Buffer[i]) : String->Buffer[i]);
    return STATUS_SUCCESS;
}

/* --- copies --------------------------------------------------------------------------------------------------------*/

static void EndWide(PUNICODE_STRING String)
{
    if (String->Length + sizeof(WCHAR) <= String->MaximumLength)
        String->Buffer[String->Length / sizeof(WCHAR)] = 0;
}

VOID RtlCopyUnicodeString(PUNICODE_STRING To, PCUNICODE_STRING From)
{
    To->Length = From ? min(From->Length, To->MaximumLength) : 0;
    if (To->Length)
        RtlMoveMemory(To->Buffer, From->Buffer, To->Length);
    if (From)
        EndWide(To);
}

VOID RtlCopyString(PSTRING To, const PSTRING From)
{
    To->Length = From ? min(From->Length, To->MaximumLength) : 0;
    if (To->Length)
        RtlMoveMemory(To->Buffer, From->Buffer, To->Length);
}

NTSTATUS RtlAppendUnicodeStringToString(PUNICODE_STRING To, PCUNICODE_STRING From)
{
    if ((ULONG)To->Length + From->Length > To->MaximumLength)
        return STATUS_BUFFER_TOO_SMALL;
    RtlMoveMemory((PUCHAR)To->Buffer + To->Length, From->Buffer, From->Length);
    To->Length += From->Length;
    EndWide(To);
    return STATUS_SUCCESS;
}

NTSTATUS RtlAppendUnicodeToString(PUNICODE_STRING To, PCWSTR From)
{
    UNICODE_STRING text;
    RtlInitUnicodeString(&text, From);
    return RtlAppendUnicodeStringToString(To, &text);
}

NTSTATUS RtlAppendStringToString(PSTRING To, const STRING *From)
{
    if ((ULONG)To->Length + From->Length > To->MaximumLength)
        return STATUS_BUFFER_TOO_SMALL;
    RtlMoveMemory(To->Buffer + To->Length, From->Buffer, From->Length);
    To->Length += From->Length;
    return STATUS_SUCCESS;
}

#define STRING_TAG 'grtS'

/* Memory for a converted string, if it is asked for; else the target has to be large enough. */
static NTSTATUS Provide(PUNICODE_STRING To, ULONG Bytes, ULONG Terminator, BOOLEAN Allocate)
{
    if (Bytes + Terminator > 0xFFFF)
        return STATUS_INVALID_PARAMETER_2;
    if (Allocate) {
        To->Buffer = ExAllocatePoolWithTag(PagedPool, Bytes + Terminator, STRING_TAG);
        if (!To->Buffer)
            return STATUS_NO_MEMORY;
        To->MaximumLength = (USHORT)(Bytes + Terminator);
    } else if (Bytes > To->MaximumLength) {
        return STATUS_BUFFER_OVERFLOW;
    }
    To->Length = (USHORT)Bytes;
    return STATUS_SUCCESS;
}

static NTSTATUS Recase(PUNICODE_STRING To, PCUNICODE_STRING From, BOOLEAN Allocate, WCHAR (*Case)(WCHAR))
{
    NTSTATUS status = Provide(To, From->Length, 0, Allocate);
    for (ULONG i = 0; NT_SUCCESS(status) && i < From->Length / sizeof(WCHAR); i++)
        To->Buffer[i] = Case(From->Buffer[i]);
    return status;
}

NTSTATUS RtlUpcaseUnicodeString(PUNICODE_STRING To, PCUNICODE_STRING From, BOOLEAN Allocate)
{
    return Recase(To, From, Allocate, RtlUpcaseUnicodeChar);
}

NTSTATUS RtlDowncaseUnicodeString(PUNICODE_STRING To, PCUNICODE_STRING From, BOOLEAN Allocate)
{
    return Recase(To, From, Allocate, RtlDowncaseUnicodeChar);
}

VOID RtlFreeUnicodeString(PUNICODE_STRING String)
{
    if (String->Buffer)
        ExFreePoolWithTag(String->Buffer, 0);
    RtlZeroMemory(String, sizeof *String);
}

VOID RtlFreeAnsiString(PANSI_STRING String) { RtlFreeUnicodeString((PUNICODE_STRING)String); }

NTSTATUS RtlDuplicateUnicodeString(ULONG Flags, PCUNICODE_STRING From, PUNICODE_STRING To)
{
    RtlZeroMemory(To, sizeof *To);
    NTSTATUS status = Provide(To, From->Length, Flags & 1 ? sizeof(WCHAR) : 0, TRUE);
    if (NT_SUCCESS(status)) {
        RtlCopyMemory(To->Buffer, From->Buffer, From->Length);
        EndWide(To);
    }
    return status;
}

/* --- conversion ----------------------------------------------------------------------------------------------------*/

NTSTATUS RtlAnsiStringToUnicodeString(PUNICODE_STRING To, PCANSI_STRING From, BOOLEAN Allocate)
{
    NTSTATUS status = Provide(To, From->Length * 2u, sizeof(WCHAR), Allocate);
    for (ULONG i = 0; NT_SUCCESS(status) && i < From->Length; i++)
        To->Buffer[i] = (UCHAR)From->Buffer[i];
    if (NT_SUCCESS(status))
        EndWide(To);
    return status;
}

NTSTATUS RtlUnicodeStringToAnsiString(PANSI_STRING To, PCUNICODE_STRING From, BOOLEAN Allocate)
{
    ULONG count = From->Length / sizeof(WCHAR);
    NTSTATUS status = Provide((PUNICODE_STRING)To, count, 1, Allocate);
    for (ULONG i = 0; NT_SUCCESS(status) && i < count; i++)
        To->Buffer[i] = From->Buffer[i] < 0x100 ? (CHAR)From->Buffer[i] : '?';
    if (NT_SUCCESS(status) && To->Length < To->MaximumLength)
        To->Buffer[To->Length] = 0;
    return status;
}

NTSTATUS RtlMultiByteToUnicodeN(PWCH To, ULONG Size, PULONG Bytes, const CHAR *From, ULONG FromBytes)
{
    ULONG count = min(Size / (ULONG)sizeof(WCHAR), FromBytes);
    for (ULONG i = 0; i < count; i++)
        To[i] = (UCHAR)From[i];
    if (Bytes)
        *Bytes = count * sizeof(WCHAR);
    return STATUS_SUCCESS;
}

NTSTATUS RtlUnicodeToMultiByteN(PCHAR To, ULONG Size, PULONG Bytes, PCWCH From, ULONG FromBytes)
{
    ULONG count = min(Size, FromBytes / (ULONG)sizeof(WCHAR));
    for (ULONG i = 0; i < count; i++)
        To[i] = From[i] < 0x100 ? (CHAR)From[i] : '?';
    if (Bytes)
        *Bytes = count;
    return STATUS_SUCCESS;
}

ULONG RtlxAnsiStringToUnicodeSize(PCANSI_STRING String) { return (String->Length + 1u) * sizeof(WCHAR); }

ULONG RtlxUnicodeStringToAnsiSize(PCUNICODE_STRING String) { return String->Length / sizeof(WCHAR) + 1; }

static NTSTATUS Digits(ULONG64 Value, ULONG Base, PUNICODE_STRING To)
{
    WCHAR digits[65];
    ULONG at = 64;
    if (!Base)
        Base = 10;
    if (Base != 2 && Base != 8 && Base != 10 && Base != 16)
        return STATUS_INVALID_PARAMETER;
    do
        digits[--at] = (WCHAR)"0123456789ABCDEF"[Value % Base];
    while (Value /= Base);
    ULONG bytes = (64 - at) * sizeof(WCHAR);
    if (bytes > To->MaximumLength)
        return STATUS_BUFFER_OVERFLOW;
    RtlCopyMemory(To->Buffer, digits + at, bytes);
    To->Length = (USHORT)bytes;
    EndWide(To);
    return STATUS_SUCCESS;
}

NTSTATUS RtlIntegerToUnicodeString(ULONG Value, ULONG Base, PUNICODE_STRING String) { return Digits(Value, Base, String); }

NTSTATUS RtlInt64ToUnicodeString(ULONGLONG Value, ULONG Base, PUNICODE_STRING String)
{
    return Digits(Value, Base, String);
}

/* Base 0: 0x, 0o or 0b before the digits, else 10. */
NTSTATUS RtlUnicodeStringToInteger(PCUNICODE_STRING String, ULONG Base, PULONG Value)
{
    ULONG count = String->Length / sizeof(WCHAR), i = 0;
    BOOLEAN negative = FALSE;
    while (i < count && String->Buffer[i] <= ' ')
        i++;
    if (i < count && (String->Buffer[i] == '-' || String->Buffer[i] == '+'))
        negative = String->Buffer[i++] == '-';
    if (!Base && i + 1 < count && String->Buffer[i] == '0') {
        WCHAR kind = String->Buffer[i + 1];
        Base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
        i += Base ? 2 : 0;
    }
    Base = Base ? Base : 10;
    if (Base != 2 && Base != 8 && Base != 10 && Base != 16)
        return STATUS_INVALID_PARAMETER;
    for (*Value = 0; i < count; i++) {
        WCHAR c = RtlUpcaseUnicodeChar(String->Buffer[i]);
        ULONG digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10u : 99;
        if (digit >= Base)
            break;
        *Value = *Value * Base + digit;
    }
    if (negative)
        *Value = 0 - *Value;
    return STATUS_SUCCESS;
}

NTSTATUS RtlCharToInteger(PCSZ Text, ULONG Base, PULONG Value)
{
    WCHAR wide[32];
    UNICODE_STRING string = { 0, sizeof wide, wide };
    for (; *Text && string.Length < sizeof wide; Text++, string.Length += sizeof(WCHAR))
        wide[string.Length / sizeof(WCHAR)] = (UCHAR)*Text;
    return RtlUnicodeStringToInteger(&string, Base, Value);
}

/* {xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx} */
NTSTATUS RtlStringFromGUID(REFGUID Guid, PUNICODE_STRING String)
{
    WCHAR text[39];
    int length = _snwprintf(
        text, 39, L"{%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x}", (unsigned)Guid->Data1, Guid->Data2, Guid->Data3,
        Guid->Data4[0], Guid->Data4[1], Guid->Data4[2], Guid->Data4[3], Guid->Data4[4], Guid->Data4[5], Guid->Data4[6],
        Guid->Data4[7]);
    NTSTATUS status = Provide(String, (ULONG)length * sizeof(WCHAR), sizeof(WCHAR), TRUE);
    if (NT_SUCCESS(status))
        RtlCopyMemory(String->Buffer, text, (SIZE_T)(length + 1) * sizeof(WCHAR));
    return status;
}
