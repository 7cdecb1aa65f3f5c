/* The kernel's part of exceptions: the function tables, restoring a context, raising. The unwinder, the search for
   handlers and __C_specific_handler are those of user mode (../../runtime). */
#include "rtl_unwind.h"

/* --- function tables -----------------------------------------------------------------------------------------------*/

KLDR_DATA_TABLE_ENTRY *PsImageOf(ULONG64 Address)
{
    for (LIST_ENTRY *entry = PsLoadedModuleList.Flink; entry != &PsLoadedModuleList; entry = entry->Flink) {
        KLDR_DATA_TABLE_ENTRY *image = CONTAINING_RECORD(entry, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
        if (Address - (ULONG64)image->DllBase < image->SizeOfImage)
            return image;
    }
    return NULL;
}

PVOID RtlPcToFileHeader(PVOID PcValue, PVOID *BaseOfImage)
{
    KLDR_DATA_TABLE_ENTRY *image = PsImageOf((ULONG64)PcValue);
    *BaseOfImage = image ? image->DllBase : NULL;
    return *BaseOfImage;
}

PRUNTIME_FUNCTION RtlLookupFunctionEntry(ULONG64 ControlPc, PULONG64 ImageBase, PUNWIND_HISTORY_TABLE History)
{
    (void)History;
    KLDR_DATA_TABLE_ENTRY *image = PsImageOf(ControlPc);
    if (!image || !image->ExceptionTable)
        return NULL;
    RUNTIME_FUNCTION *table = image->ExceptionTable;
    ULONG offset = (ULONG)(ControlPc - (ULONG64)image->DllBase);
    ULONG low = 0, high = image->ExceptionTableSize / sizeof *table;
    *ImageBase = (ULONG64)image->DllBase;
    while (low < high) {
        ULONG middle = (low + high) / 2;
        if (offset < table[middle].BeginAddress)
            high = middle;
        else if (offset >= table[middle].EndAddress)
            low = middle + 1;
        else
            return &table[middle];
    }
    return NULL;
}

/* --- dispatching ---------------------------------------------------------------------------------------------------*/

/* Asks the handlers of the frames from `Context` on. TRUE: one of them says that execution goes on in `Context`. */
BOOLEAN RtlDispatchException(EXCEPTION_RECORD *Record, CONTEXT *Context) { return dispatch_to_frames(Record, Context); }

VOID RtlRestoreContext(PCONTEXT Context, PEXCEPTION_RECORD Record)
{
    (void)Record;
    RtlpRestoreContext(Context);
}

/* --- raising -------------------------------------------------------------------------------------------------------*/

static VOID RtlpRaise(EXCEPTION_RECORD *Record, CONTEXT *Context)
{
    Record->ExceptionAddress = (PVOID)Context->Rip;
    Context->ContextFlags = CONTEXT_FULL | CONTEXT_SEGMENTS;
    if (RtlDispatchException(Record, Context))
        RtlpRestoreContext(Context);
    KiUnhandledException(Record, Context);
}

/* The context is the caller's, behind its call. */
static void RtlpToCaller(CONTEXT *Context)
{
    ULONG64 low, high;
    stack_limits(&low, &high);
    step_out(Context, low, high);
}

VOID RtlRaiseException(PEXCEPTION_RECORD Record)
{
    CONTEXT context;
    RtlCaptureContext(&context);
    RtlpToCaller(&context);
    RtlpRaise(Record, &context);
}

/* Raises `Status` at the caller of the routine that captured `Context`. */
DECLSPEC_NORETURN static VOID RtlpRaiseStatus(NTSTATUS Status, CONTEXT *Context)
{
    EXCEPTION_RECORD record;
    RtlpToCaller(Context);
    RtlZeroMemory(&record, sizeof record);
    record.ExceptionCode = (ULONG)Status;
    record.ExceptionFlags = EXCEPTION_NONCONTINUABLE;
    RtlpRaise(&record, Context);
    __builtin_unreachable();
}

VOID RtlRaiseStatus(NTSTATUS Status)
{
    CONTEXT context;
    RtlCaptureContext(&context);
    RtlpRaiseStatus(Status, &context);
}

VOID ExRaiseStatus(NTSTATUS Status)
{
    CONTEXT context;
    RtlCaptureContext(&context);
    RtlpRaiseStatus(Status, &context);
}

VOID ExRaiseAccessViolation(VOID) { ExRaiseStatus(STATUS_ACCESS_VIOLATION); }

VOID ExRaiseDatatypeMisalignment(VOID) { ExRaiseStatus(STATUS_DATATYPE_MISALIGNMENT); }
