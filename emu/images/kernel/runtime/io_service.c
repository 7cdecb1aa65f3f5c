/* System services: what programs in ring 3 ask. Beside Windows' own there are three for the program that calls a user's
   driver (caller.c), which has to find out what there is to call. */
#include "runtime.h"
#include "ntos_services.h"
#include "caller.h"

#define MAXIMUM_CODES 128
#define TABLE 32 /* entries of a jump table that are tried */
volatile BOOLEAN IopCallerIsDone;

static BOOLEAN IsUserRange(const VOID *Address, SIZE_T Size)
{
    extern PVOID MmHighestUserAddress;
    ULONG64 start = (ULONG64)Address, limit = (ULONG64)MmHighestUserAddress, end = start + Size;
    if (!Size)
        return TRUE;
    if (start >= limit || Size > limit - start)
        return FALSE;
    for (ULONG64 page = start & ~(ULONG64)(PAGE_SIZE - 1); page < end; page += PAGE_SIZE)
        if (!MmIsAddressValid((PVOID)page))
            return FALSE;
    return TRUE;
}

/* --- files ---------------------------------------------------------------------------------------------------------*/

static NTSTATUS OpenFile(HANDLE *Handle, ACCESS_MASK Access, const OBJECT_ATTRIBUTES *Attributes)
{
    ULONG_PTR information;
    PFILE_OBJECT file;
    if (!IsUserRange(Handle, sizeof *Handle) || !IsUserRange(Attributes, sizeof *Attributes) ||
        !IsUserRange(Attributes->ObjectName, sizeof(UNICODE_STRING)) ||
        !IsUserRange(Attributes->ObjectName->Buffer, Attributes->ObjectName->Length))
        return STATUS_ACCESS_VIOLATION;
    UNICODE_STRING name = *Attributes->ObjectName;
    NTSTATUS status = IopOpen(
        &name, Access, FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT, UserMode, &file,
        &information);
    if (!NT_SUCCESS(status))
        return status;
    status = ObpCreateHandle(file, UserMode, Handle);
    ObfDereferenceObject(file);
    return status;
}

/* The arguments from the fifth on are on the user's stack, behind its return address. */
static NTSTATUS Transfer(HANDLE Handle, ULONG Major, const ULONG64 *Stack)
{
    PFILE_OBJECT file = ObpFromHandle(Handle, UserMode);
    BOOLEAN control = Major == IRP_MJ_DEVICE_CONTROL;
    if (!file || ObpTypeOf(file) != &ObpFileType)
        return STATUS_INVALID_HANDLE;
    if (!IsUserRange(Stack, (control ? 11 : 10) * sizeof *Stack))
        return STATUS_ACCESS_VIOLATION;
    IO_STATUS_BLOCK *status_block = (IO_STATUS_BLOCK *)Stack[5], result = { 0 };
    ULONG code = control ? (ULONG)Stack[6] : 0;
    PVOID in = (PVOID)(control ? Stack[7] : Stack[6]), out = (PVOID)(control ? Stack[9] : Stack[6]);
    ULONG in_length = control ? (ULONG)Stack[8] : Major == IRP_MJ_WRITE ? (ULONG)Stack[7] : 0;
    ULONG out_length = control ? (ULONG)Stack[10] : Major == IRP_MJ_READ ? (ULONG)Stack[7] : 0;
    /* Buffers of METHOD_NEITHER are the driver's own concern. */
    BOOLEAN neither = control && METHOD_FROM_CTL_CODE(code) == METHOD_NEITHER;
    if (!IsUserRange(status_block, sizeof *status_block) ||
        (!neither && (!IsUserRange(in, in_length) || !IsUserRange(out, out_length))))
        return STATUS_ACCESS_VIOLATION;
    LARGE_INTEGER at = file->CurrentByteOffset;
    NTSTATUS status = IopRequest(file, Major, code, in, in_length, out, out_length, &at, UserMode, &result);
    if (!control && NT_SUCCESS(status))
        file->CurrentByteOffset.QuadPart += (LONGLONG)result.Information;
    *status_block = result;
    return status;
}

/* --- what there is to call -----------------------------------------------------------------------------------------*/

static ULONG Codes[MAXIMUM_CODES], CodeCount;

static void AddCode(ULONG Code)
{
    for (ULONG i = 0; i < CodeCount; i++)
        if (Codes[i] == Code)
            return;
    if (CodeCount < MAXIMUM_CODES)
        Codes[CodeCount++] = Code;
}

/* Whether a number in a driver's code is likely one of CTL_CODE: a device type of this device or of those that drivers
   choose, and a function from 0x800, as vendors' are. */
static BOOLEAN LooksLikeCode(ULONG Value, DEVICE_TYPE Type)
{
    ULONG type = Value >> 16;
    return (type == Type || type == FILE_DEVICE_UNKNOWN || type == 0x8000 || type == 0x9C40) && (Value >> 2 & 0x800);
}

/* Whether the 32 bits at `At` follow an opcode that takes a number: mov, add, sub or cmp of a register or of a variable,
   or lea. */
static BOOLEAN IsImmediate(const UCHAR *At)
{
    UCHAR one = At[-1], two = At[-2], three = At[-3];
    return one == 0x3D || one == 0x2D || one == 0x05 || (one & 0xF8) == 0xB8 || two == 0x81 || two == 0x8D ||
           three == 0x81 || three == 0xC7;
}

/* The control codes in the code of the device's driver. Compilers make differences and tables of them: so those next to
   them, and those next to a number that is subtracted. If there is none, one code of each method. */
static void CollectCodes(PDEVICE_OBJECT Device)
{
    PUCHAR base = Device->DriverObject->DriverStart;
    const IMAGE_NT_HEADERS64 *headers = (const IMAGE_NT_HEADERS64 *)(base + ((IMAGE_DOS_HEADER *)base)->e_lfanew);
    const IMAGE_SECTION_HEADER *section = IMAGE_FIRST_SECTION(headers);
    CodeCount = 0;
    for (ULONG i = 0; i < headers->FileHeader.NumberOfSections; i++, section++) {
        PUCHAR start = base + section->VirtualAddress;
        if (!(section->Characteristics & IMAGE_SCN_MEM_EXECUTE) || section->Characteristics & IMAGE_SCN_MEM_DISCARDABLE)
            continue;
        for (ULONG at = 3; at + sizeof(ULONG) <= section->Misc.VirtualSize; at++) {
            ULONG value = *(ULONG UNALIGNED *)(start + at);
            if (!IsImmediate(start + at))
                continue;
            if (LooksLikeCode(value, Device->DeviceType))
                AddCode(value);
            for (ULONG next = 0; LooksLikeCode(0 - value, Device->DeviceType) && next < TABLE; next++)
                AddCode(0 - value + next);
        }
    }
    for (ULONG i = 0, found = CodeCount; i < found && found < TABLE; i++)
        for (ULONG next = 1; next < 8; next++)
            AddCode(Codes[i] + next * 4);
    for (ULONG method = 0; !CodeCount || (method && method < 4); method++)
        AddCode(CTL_CODE(Device->DeviceType, 0x800, method, FILE_ANY_ACCESS));
}

static NTSTATUS NameDevice(ULONG Number, PUNICODE_STRING Result)
{
    PCUNICODE_STRING name;
    if (!IsUserRange(Result, sizeof *Result) || !IsUserRange(Result->Buffer, Result->MaximumLength))
        return STATUS_ACCESS_VIOLATION;
    UNICODE_STRING *target = ObpLinkByNumber(Number, &name);
    if (!target)
        return STATUS_NO_MORE_ENTRIES;
    PDEVICE_OBJECT device = ObpFind(target);
    Result->Length = 0;
    if (!device || ObpTypeOf(device) != &ObpDeviceType ||
        !PsDriverNumber((ULONG64)device->DriverObject->DriverStart))
        return STATUS_OBJECT_TYPE_MISMATCH; /* not of a driver that was loaded: the system's own */
    RtlCopyUnicodeString(Result, name);
    CollectCodes(device);
    return STATUS_SUCCESS;
}

/* The first arguments are in R10, RDX, R8, R9 of the frame. */
NTSTATUS KiSystemService(KTRAP_FRAME *Frame)
{
    HANDLE handle = (HANDLE)Frame->R10;
    const ULONG64 *stack = (const ULONG64 *)Frame->Rsp;
    KiCurrentThread()->SystemCallNumber = (ULONG)Frame->Rax;
    switch ((ULONG)Frame->Rax) {
    case SERVICE_NT_TERMINATE_PROCESS:
        PspExitProcess((NTSTATUS)Frame->Rdx);
    case SERVICE_NT_DELAY_EXECUTION: {
        if (!IsUserRange((PVOID)Frame->Rdx, sizeof(LARGE_INTEGER)))
            return STATUS_ACCESS_VIOLATION;
        LARGE_INTEGER interval = *(const LARGE_INTEGER *)Frame->Rdx;
        return KeDelayExecutionThread(UserMode, (BOOLEAN)Frame->R10, &interval);
    }
    case SERVICE_NT_OPEN_FILE:
        return OpenFile((HANDLE *)Frame->R10, (ACCESS_MASK)Frame->Rdx, (const OBJECT_ATTRIBUTES *)Frame->R8);
    case SERVICE_NT_READ_FILE:
        return Transfer(handle, IRP_MJ_READ, stack);
    case SERVICE_NT_WRITE_FILE:
        return Transfer(handle, IRP_MJ_WRITE, stack);
    case SERVICE_NT_DEVICE_IO_CONTROL_FILE:
        return Transfer(handle, IRP_MJ_DEVICE_CONTROL, stack);
    case SERVICE_NT_CLOSE:
        return ObpCloseHandle(handle, UserMode);
    case SERVICE_NT_DISPLAY_STRING: {
        const UNICODE_STRING *text = (const UNICODE_STRING *)Frame->R10;
        if (!IsUserRange(text, sizeof *text) || !IsUserRange(text->Buffer, text->Length))
            return STATUS_ACCESS_VIOLATION;
        DbgPrint("%wZ", text);
        return STATUS_SUCCESS;
    }
    case SERVICE_NAME_DEVICE:
        return NameDevice((ULONG)Frame->R10, (PUNICODE_STRING)Frame->Rdx);
    case SERVICE_CONTROL_CODE:
        return Frame->R10 < CodeCount ? (NTSTATUS)Codes[Frame->R10] : 0;
    case SERVICE_CALLER_DONE:
        IopCallerIsDone = TRUE;
        return STATUS_SUCCESS;
    default:
        return STATUS_INVALID_SYSTEM_SERVICE;
    }
}
