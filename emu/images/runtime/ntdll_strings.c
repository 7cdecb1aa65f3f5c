/* ntdll of the runtime system: ANSI strings in Windows' code page 1252. */
#define _NTSYSTEM_
#include "ntdll_runtime.h"
#include "code_pages.h"

static WCHAR from_ansi(UCHAR c)
{
    return c >= 0x80 && c < 0xA0 ? cp1252_from_0x80[c - 0x80] : c;
}

static CHAR to_ansi(WCHAR c)
{
    for (UCHAR i = 0; i < RTL_NUMBER_OF(cp1252_from_0x80); i++)
        if (cp1252_from_0x80[i] == c)
            return (CHAR)(0x80 + i);
    return c < 0x80 || (c >= 0xA0 && c < 0x100) ? (CHAR)c : '?';
}

NTSTATUS NTAPI RtlAnsiStringToUnicodeString(PUNICODE_STRING destination, PCANSI_STRING source, BOOLEAN allocate)
{
    ULONG bytes = ((ULONG)source->Length + 1) * sizeof(WCHAR);
    if (bytes > 0xFFFE)
        return STATUS_INVALID_PARAMETER_2;
    if (allocate) {
        destination->Buffer = RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, 0, bytes);
        if (destination->Buffer == NULL)
            return STATUS_NO_MEMORY;
        destination->MaximumLength = (USHORT)bytes;
    } else if (destination->MaximumLength < bytes)
        return STATUS_BUFFER_OVERFLOW;
    for (USHORT i = 0; i < source->Length; i++)
        destination->Buffer[i] = from_ansi((UCHAR)source->Buffer[i]);
    destination->Buffer[source->Length] = 0;
    destination->Length = (USHORT)(bytes - sizeof(WCHAR));
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlUnicodeStringToAnsiString(PANSI_STRING destination, PCUNICODE_STRING source, BOOLEAN allocate)
{
    USHORT length = source->Length / sizeof(WCHAR);
    if (allocate) {
        destination->Buffer = RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, 0, (SIZE_T)length + 1);
        if (destination->Buffer == NULL)
            return STATUS_NO_MEMORY;
        destination->MaximumLength = length + 1;
    } else if (destination->MaximumLength <= length)
        return STATUS_BUFFER_OVERFLOW;
    for (USHORT i = 0; i < length; i++)
        destination->Buffer[i] = to_ansi(source->Buffer[i]);
    destination->Buffer[length] = 0;
    destination->Length = length;
    return STATUS_SUCCESS;
}
