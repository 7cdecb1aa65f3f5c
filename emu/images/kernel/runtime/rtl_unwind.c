/* Exceptions in frames: the function tables, unwinding by .pdata and .xdata, handlers. Structures and operations: the
   page "x64 exception handling" of Microsoft's C++ documentation. */
#include "runtime.h"

typedef struct _UNWIND_INFO_X64 {
    UCHAR Version : 3;
    UCHAR Flags : 5;
    UCHAR SizeOfProlog;
    UCHAR CountOfCodes;
    UCHAR FrameRegister : 4;
    UCHAR FrameOffset : 4;
    USHORT Codes[1]; /* offset in the prolog, operation (4 bits), information (4 bits) */
} UNWIND_INFO_X64;

enum {
    UWOP_PUSH_NONVOL, UWOP_ALLOC_LARGE, UWOP_ALLOC_SMALL, UWOP_SET_FPREG, UWOP_SAVE_NONVOL, UWOP_SAVE_NONVOL_FAR,
    UWOP_EPILOG, UWOP_SPARE, UWOP_SAVE_XMM128, UWOP_SAVE_XMM128_FAR, UWOP_PUSH_MACHFRAME,
};
#undef UNW_FLAG_EHANDLER
#undef UNW_FLAG_UHANDLER
#undef UNW_FLAG_CHAININFO
enum { UNW_FLAG_EHANDLER = 1, UNW_FLAG_UHANDLER = 2, UNW_FLAG_CHAININFO = 4 };

static ULONG64 *Register(CONTEXT *Context, ULONG Number) { return &Context->Rax + Number; }

static M128A *XmmRegister(CONTEXT *Context, ULONG Number) { return &Context->Xmm0 + Number; }

static const UNWIND_INFO_X64 *InfoOf(ULONG64 Base, const RUNTIME_FUNCTION *Function)
{
    return (const UNWIND_INFO_X64 *)(Base + Function->UnwindData);
}

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

PRUNTIME_FUNCTION RtlLookupFunctionEntry(ULONG64 ControlPc, PULONG64 ImageBase, PVOID History)
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

/* --- unwinding one frame -------------------------------------------------------------------------------------------*/

/* An epilogue: add rsp or lea rsp, then pops, then ret or a jump out. If the code at RIP is one, it is finished in
   `Context`. */
static BOOLEAN FinishEpilogue(
    CONTEXT *Context, ULONG64 Base, const RUNTIME_FUNCTION *Function, const UNWIND_INFO_X64 *Info)
{
    const UCHAR *code = (const UCHAR *)Context->Rip;
    ULONG64 rsp = Context->Rsp;
    ULONG64 registers[16];
    for (ULONG i = 0; i < 16; i++)
        registers[i] = *Register(Context, i);
    if (code[0] == 0x48 && code[1] == 0x83 && code[2] == 0xC4) {
        rsp += (ULONG64)(LONG64)(CHAR)code[3];
        code += 4;
    } else if (code[0] == 0x48 && code[1] == 0x81 && code[2] == 0xC4) {
        rsp += (ULONG64)(LONG64) * (const LONG *)(code + 3);
        code += 7;
    } else if (Info->FrameRegister && (code[0] & 0xFE) == 0x48 && code[1] == 0x8D && (code[2] & 0x38) == 0x20) {
        ULONG64 frame = registers[Info->FrameRegister];
        if ((code[2] & 7) != (Info->FrameRegister & 7))
            return FALSE;
        if (code[2] >> 6 == 1)
            rsp = frame + (ULONG64)(LONG64)(CHAR)code[3], code += 4;
        else if (code[2] >> 6 == 2)
            rsp = frame + (ULONG64)(LONG64) * (const LONG *)(code + 3), code += 7;
        else
            return FALSE;
    }
    for (;;) {
        ULONG extended = code[0] == 0x41 ? 8 : 0;
        UCHAR operation = code[extended ? 1 : 0];
        if ((operation & 0xF8) != 0x58)
            break;
        registers[(operation & 7) + extended] = *(ULONG64 *)rsp;
        rsp += 8;
        code += extended ? 2 : 1;
    }
    ULONG64 next = (ULONG64)code - Base;
    BOOLEAN leaves = code[0] == 0xC3 || (code[0] == 0xF3 && code[1] == 0xC3);
    if (code[0] == 0xE9 || code[0] == 0xEB) {
        ULONG64 target = code[0] == 0xE9 ? next + 5 + (ULONG64)(LONG64) * (const LONG *)(code + 1)
                                         : next + 2 + (ULONG64)(LONG64)(CHAR)code[1];
        leaves = target < Function->BeginAddress || target >= Function->EndAddress;
    }
    if (!leaves)
        return FALSE;
    for (ULONG i = 0; i < 16; i++)
        *Register(Context, i) = registers[i];
    Context->Rip = *(ULONG64 *)rsp;
    Context->Rsp = rsp + 8;
    return TRUE;
}

static ULONG SlotsOf(ULONG Operation, ULONG Information)
{
    switch (Operation) {
    case UWOP_ALLOC_LARGE: return Information ? 3 : 2;
    case UWOP_SAVE_NONVOL:
    case UWOP_SAVE_XMM128:
    case UWOP_EPILOG: return 2;
    case UWOP_SAVE_NONVOL_FAR:
    case UWOP_SAVE_XMM128_FAR: return 3;
    default: return 1;
    }
}

/* Undoes the prologue of one UNWIND_INFO as far as it has run. Returns whether a machine frame set RIP. */
static BOOLEAN UndoPrologue(CONTEXT *Context, ULONG64 Frame, const UNWIND_INFO_X64 *Info, ULONG Offset)
{
    BOOLEAN machine = FALSE;
    for (ULONG i = 0; i < Info->CountOfCodes;) {
        const USHORT *code = &Info->Codes[i];
        ULONG operation = *code >> 8 & 0xF, information = *code >> 12;
        i += SlotsOf(operation, information);
        if (Offset < (*code & 0xFFu))
            continue;
        switch (operation) {
        case UWOP_PUSH_NONVOL:
            *Register(Context, information) = *(ULONG64 *)Context->Rsp;
            Context->Rsp += 8;
            break;
        case UWOP_ALLOC_LARGE:
            Context->Rsp += information ? (ULONG64)code[1] | (ULONG64)code[2] << 16 : (ULONG64)code[1] * 8;
            break;
        case UWOP_ALLOC_SMALL:
            Context->Rsp += information * 8 + 8;
            break;
        case UWOP_SET_FPREG:
            Context->Rsp = *Register(Context, Info->FrameRegister) - Info->FrameOffset * 16ull;
            break;
        case UWOP_SAVE_NONVOL:
            *Register(Context, information) = *(ULONG64 *)(Frame + code[1] * 8ull);
            break;
        case UWOP_SAVE_NONVOL_FAR:
            *Register(Context, information) = *(ULONG64 *)(Frame + ((ULONG64)code[1] | (ULONG64)code[2] << 16));
            break;
        case UWOP_SAVE_XMM128:
            *XmmRegister(Context, information) = *(M128A *)(Frame + code[1] * 16ull);
            break;
        case UWOP_SAVE_XMM128_FAR:
            *XmmRegister(Context, information) = *(M128A *)(Frame + ((ULONG64)code[1] | (ULONG64)code[2] << 16));
            break;
        case UWOP_PUSH_MACHFRAME: {
            ULONG64 *frame = (ULONG64 *)(Context->Rsp + information * 8);
            Context->Rip = frame[0];
            Context->SegCs = (USHORT)frame[1];
            Context->EFlags = (ULONG)frame[2];
            Context->Rsp = frame[3];
            machine = TRUE;
            break;
        }
        default:
            break;
        }
    }
    return machine;
}

HANDLER_ROUTINE RtlVirtualUnwind(
    ULONG HandlerType, ULONG64 ImageBase, ULONG64 ControlPc, PRUNTIME_FUNCTION Function, PCONTEXT Context,
    PVOID *HandlerData, PULONG64 EstablisherFrame, PVOID Pointers)
{
    const UNWIND_INFO_X64 *info = InfoOf(ImageBase, Function);
    ULONG offset = (ULONG)(ControlPc - ImageBase) - Function->BeginAddress;
    (void)Pointers;
    Context->Rip = ControlPc;

    /* The frame: of the frame register once the prologue has set it. */
    ULONG64 frame = Context->Rsp;
    if (info->FrameRegister) {
        BOOLEAN set = offset >= info->SizeOfProlog || info->Flags & UNW_FLAG_CHAININFO;
        for (ULONG i = 0; !set && i < info->CountOfCodes;
             i += SlotsOf(info->Codes[i] >> 8 & 0xF, info->Codes[i] >> 12))
            set = (info->Codes[i] >> 8 & 0xF) == UWOP_SET_FPREG && offset >= (info->Codes[i] & 0xFFu);
        if (set)
            frame = *Register(Context, info->FrameRegister) - info->FrameOffset * 16ull;
    }
    *EstablisherFrame = frame;
    if (offset >= info->SizeOfProlog && FinishEpilogue(Context, ImageBase, Function, info))
        return NULL;

    BOOLEAN machine = UndoPrologue(Context, frame, info, offset);
    const UNWIND_INFO_X64 *last = info;
    while (last->Flags & UNW_FLAG_CHAININFO) {
        const RUNTIME_FUNCTION *chained = (const RUNTIME_FUNCTION *)&last->Codes[(last->CountOfCodes + 1) & ~1];
        last = InfoOf(ImageBase, chained);
        machine |= UndoPrologue(Context, frame, last, ~0u);
    }
    if (!machine) {
        Context->Rip = *(ULONG64 *)Context->Rsp;
        Context->Rsp += 8;
    }
    if (offset >= info->SizeOfProlog && last->Flags & HandlerType) {
        const ULONG *handler = (const ULONG *)&last->Codes[(last->CountOfCodes + 1) & ~1];
        *HandlerData = (PVOID)(handler + 1);
        return (HANDLER_ROUTINE)(ImageBase + *handler);
    }
    return NULL;
}

/* --- dispatching ---------------------------------------------------------------------------------------------------*/

static BOOLEAN IsOnStack(ULONG64 Address)
{
    KTHREAD *thread = KiCurrentThread();
    return Address >= (ULONG64)thread->StackLimit && Address < (ULONG64)thread->StackBase && Address % 8 == 0;
}

/* Takes `Context` to the caller. Returns the handler of the frame left; `Dispatcher` describes that frame. */
static HANDLER_ROUTINE StepOut(CONTEXT *Context, ULONG HandlerType, DISPATCHER_CONTEXT *Dispatcher)
{
    Dispatcher->ControlPc = Context->Rip;
    Dispatcher->FunctionEntry = RtlLookupFunctionEntry(Context->Rip, &Dispatcher->ImageBase, NULL);
    if (!Dispatcher->FunctionEntry) { /* a leaf function */
        Dispatcher->EstablisherFrame = Context->Rsp;
        Context->Rip = *(ULONG64 *)Context->Rsp;
        Context->Rsp += 8;
        return NULL;
    }
    return RtlVirtualUnwind(
        HandlerType, Dispatcher->ImageBase, Context->Rip, Dispatcher->FunctionEntry, Context, &Dispatcher->HandlerData,
        &Dispatcher->EstablisherFrame, NULL);
}

/* Asks the handlers of the frames from `Context` on. TRUE: one of them says that execution goes on in `Context`. */
BOOLEAN RtlDispatchException(EXCEPTION_RECORD *Record, CONTEXT *Context)
{
    CONTEXT frame = *Context;
    while (frame.Rip && IsOnStack(frame.Rsp)) {
        DISPATCHER_CONTEXT dispatcher;
        RtlZeroMemory(&dispatcher, sizeof dispatcher);
        HANDLER_ROUTINE handler = StepOut(&frame, UNW_FLAG_EHANDLER, &dispatcher);
        if (!IsOnStack(dispatcher.EstablisherFrame))
            break;
        if (!handler)
            continue;
        dispatcher.ContextRecord = &frame;
        dispatcher.LanguageHandler = handler;
        EXCEPTION_DISPOSITION what = handler(Record, (PVOID)dispatcher.EstablisherFrame, Context, &dispatcher);
        if (what == ExceptionContinueExecution && Record->ExceptionFlags & EXCEPTION_NONCONTINUABLE)
            RtlRaiseStatus(STATUS_NONCONTINUABLE_EXCEPTION);
        if (what == ExceptionContinueExecution)
            return TRUE;
        if (what != ExceptionContinueSearch)
            RtlRaiseStatus(STATUS_INVALID_DISPOSITION);
    }
    Record->ExceptionFlags |= EXCEPTION_STACK_INVALID * (frame.Rip != 0 && !IsOnStack(frame.Rsp));
    return FALSE;
}

VOID RtlUnwindEx(
    PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD Record, PVOID ReturnValue, PCONTEXT Original,
    PVOID History)
{
    EXCEPTION_RECORD own;
    CONTEXT context;
    (void)History;
    RtlCaptureContext(&context);
    if (!Record) {
        RtlZeroMemory(&own, sizeof own);
        own.ExceptionCode = (ULONG)STATUS_UNWIND;
        own.ExceptionAddress = (PVOID)context.Rip;
        Record = &own;
    }
    Record->ExceptionFlags |= EXCEPTION_UNWINDING | (TargetFrame ? 0 : EXCEPTION_EXIT_UNWIND);
    for (;;) {
        CONTEXT before = context;
        DISPATCHER_CONTEXT dispatcher;
        RtlZeroMemory(&dispatcher, sizeof dispatcher);
        HANDLER_ROUTINE handler = StepOut(&context, UNW_FLAG_UHANDLER, &dispatcher);
        BOOLEAN target = (PVOID)dispatcher.EstablisherFrame == TargetFrame;
        if (!IsOnStack(dispatcher.EstablisherFrame) || (TargetFrame && (PVOID)dispatcher.EstablisherFrame > TargetFrame))
            RtlRaiseStatus(STATUS_BAD_STACK);
        if (handler) {
            dispatcher.TargetIp = (ULONG64)TargetIp;
            dispatcher.ContextRecord = &before;
            dispatcher.LanguageHandler = handler;
            if (target)
                Record->ExceptionFlags |= EXCEPTION_TARGET_UNWIND;
            before.Rax = (ULONG64)ReturnValue;
            handler(Record, (PVOID)dispatcher.EstablisherFrame, &before, &dispatcher);
            Record->ExceptionFlags &= ~(ULONG)EXCEPTION_TARGET_UNWIND;
        }
        if (target) {
            before.Rip = (ULONG64)TargetIp;
            before.Rax = (ULONG64)ReturnValue;
            if (Original)
                *Original = before;
            RtlpRestoreContext(&before);
        }
    }
}

VOID RtlUnwind(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD Record, PVOID ReturnValue)
{
    RtlUnwindEx(TargetFrame, TargetIp, Record, ReturnValue, NULL, NULL);
}

/* --- the C language handler ----------------------------------------------------------------------------------------*/

typedef LONG (*FILTER)(EXCEPTION_POINTERS *Pointers, PVOID Frame);
typedef VOID (*TERMINATION)(BOOLEAN Abnormal, PVOID Frame);

EXCEPTION_DISPOSITION __C_specific_handler(
    PEXCEPTION_RECORD Record, PVOID Frame, PCONTEXT Context, DISPATCHER_CONTEXT * Dispatcher)
{
    const SCOPE_TABLE_AMD64 *table = Dispatcher->HandlerData;
    ULONG64 base = Dispatcher->ImageBase, pc = Dispatcher->ControlPc - base, target = Dispatcher->TargetIp - base;
    BOOLEAN unwinding = (Record->ExceptionFlags & (EXCEPTION_UNWINDING | EXCEPTION_EXIT_UNWIND)) != 0;
    for (; Dispatcher->ScopeIndex < table->Count; Dispatcher->ScopeIndex++) {
        ULONG begin = table->ScopeRecord[Dispatcher->ScopeIndex].BeginAddress;
        ULONG end = table->ScopeRecord[Dispatcher->ScopeIndex].EndAddress;
        ULONG handler = table->ScopeRecord[Dispatcher->ScopeIndex].HandlerAddress;
        ULONG jump = table->ScopeRecord[Dispatcher->ScopeIndex].JumpTarget;
        if (pc < begin || pc >= end)
            continue;
        if (unwinding) {
            /* A __try that holds the target is not left. */
            if (Record->ExceptionFlags & EXCEPTION_TARGET_UNWIND && target >= begin && target < end && !jump)
                break;
            if (jump && jump == target && Record->ExceptionFlags & EXCEPTION_TARGET_UNWIND)
                break;
            if (!jump) {
                Dispatcher->ScopeIndex++;
                ((TERMINATION)(base + handler))(TRUE, Frame);
                Dispatcher->ScopeIndex--;
            }
            continue;
        }
        if (!jump)
            continue;
        EXCEPTION_POINTERS pointers = { Record, Context };
        LONG answer = handler == 1 ? EXCEPTION_EXECUTE_HANDLER : ((FILTER)(base + handler))(&pointers, Frame);
        if (answer < 0)
            return ExceptionContinueExecution;
        if (answer > 0)
            RtlUnwindEx(
                Frame, (PVOID)(base + jump), Record, (PVOID)(ULONG_PTR)Record->ExceptionCode, Dispatcher->ContextRecord,
                NULL);
    }
    return ExceptionContinueSearch;
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
    DISPATCHER_CONTEXT dispatcher;
    StepOut(Context, 0, &dispatcher);
}

VOID RtlRaiseException(PEXCEPTION_RECORD Record)
{
    CONTEXT context;
    RtlCaptureContext(&context);
    RtlpToCaller(&context);
    RtlpRaise(Record, &context);
}

VOID RtlRaiseStatus(NTSTATUS Status)
{
    CONTEXT context;
    EXCEPTION_RECORD record;
    RtlCaptureContext(&context);
    RtlpToCaller(&context);
    RtlZeroMemory(&record, sizeof record);
    record.ExceptionCode = (ULONG)Status;
    record.ExceptionFlags = EXCEPTION_NONCONTINUABLE;
    RtlpRaise(&record, &context);
    __builtin_unreachable();
}

VOID ExRaiseStatus(NTSTATUS Status)
{
    CONTEXT context;
    EXCEPTION_RECORD record;
    RtlCaptureContext(&context);
    RtlpToCaller(&context);
    RtlZeroMemory(&record, sizeof record);
    record.ExceptionCode = (ULONG)Status;
    record.ExceptionFlags = EXCEPTION_NONCONTINUABLE;
    RtlpRaise(&record, &context);
    __builtin_unreachable();
}

VOID ExRaiseAccessViolation(VOID) { ExRaiseStatus(STATUS_ACCESS_VIOLATION); }

VOID ExRaiseDatatypeMisalignment(VOID) { ExRaiseStatus(STATUS_DATATYPE_MISALIGNMENT); }
