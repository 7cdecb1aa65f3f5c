/* Offers an exception to the frames of the stack, and unwinds the stack to a frame.
 *
 * Sources: learn.microsoft.com "x64 exception handling" (language-specific handler, unwind procedure), RtlUnwindEx and
 * EXCEPTION_RECORD; the dispositions from winnt.h and the "Exception handling" samples of the Windows SDK; the order of
 * the steps as the Windows Research Kernel and ReactOS have it, as facts. */
#include "rtl_unwind.h"

/* One activation on the stack that has a language handler. */
typedef struct {
    ULONG64 pc;
    ULONG64 base;
    PRUNTIME_FUNCTION function;
    ULONG64 established;
    PEXCEPTION_ROUTINE handler;
    PVOID handler_data;
    ULONG scope_index;
} ACTIVATION;

/* As memcpy, without a block of code for each byte: the emulator counts every repetition of `rep movsb`. */
static void copy_context(PCONTEXT to, const CONTEXT *from)
{
    M128A *target = (M128A *)to;
    const M128A *source = (const M128A *)from;
#pragma clang loop unroll_count(11)
    for (ULONG i = 0; i < sizeof(*to) / sizeof(*target); i++)
        target[i] = source[i];
}

static BOOLEAN in_bounds(ULONG64 frame, ULONG64 low, ULONG64 high)
{
    return (frame & 7) == 0 && frame >= low && frame < high;
}

/* Raise `status` because of the exception `record`. Does not return, as nothing may go on. */
static VOID raise_because(NTSTATUS status, PEXCEPTION_RECORD record)
{
    EXCEPTION_RECORD raised;
    memset(&raised, 0, sizeof(raised));
    raised.ExceptionCode = (DWORD)status;
    raised.ExceptionFlags = EXCEPTION_NONCONTINUABLE;
    raised.ExceptionRecord = record;
    RtlRaiseException(&raised);
}

static void describe(PDISPATCHER_CONTEXT dispatcher, const ACTIVATION *of, ULONG64 target_pc, PCONTEXT context,
                     PUNWIND_HISTORY_TABLE history)
{
    *dispatcher = (DISPATCHER_CONTEXT){
        of->pc,      of->base,         of->function, of->established,  target_pc, context,
        of->handler, of->handler_data, history,      of->scope_index, 0,
    };
}

/* After a collided unwind: the activation that the interrupted unwind was working on. */
static ACTIVATION collided(PDISPATCHER_CONTEXT dispatcher)
{
    ACTIVATION of = {dispatcher->ControlPc,        dispatcher->ImageBase,       dispatcher->FunctionEntry,
                     dispatcher->EstablisherFrame, dispatcher->LanguageHandler, dispatcher->HandlerData,
                     dispatcher->ScopeIndex};
    return of;
}

/* Find the next activation and step `context` over it. `at->handler` is NULL for one that has none. */
static NTSTATUS next_activation(ACTIVATION *at, ULONG handler_type, PCONTEXT context, PUNWIND_HISTORY_TABLE history,
                                ULONG64 low, ULONG64 high)
{
    *at = (ACTIVATION){.pc = context->Rip};
    at->function = RtlLookupFunctionEntry(at->pc, &at->base, history);
    if (at->function == NULL) { /* a leaf function: its frame is the return address */
        at->established = context->Rsp;
        if (!in_bounds(context->Rsp, low, high))
            return STATUS_BAD_STACK;
        context->Rip = *(PULONG64)context->Rsp;
        context->Rsp += sizeof(ULONG64);
        return context->Rip != at->pc ? STATUS_SUCCESS : STATUS_BAD_FUNCTION_TABLE;
    }
    return unwind_frame(handler_type, at->base, at->pc, at->function, context, &at->handler_data, &at->established,
                        NULL, low, high, &at->handler);
}

BOOLEAN dispatch_to_frames(PEXCEPTION_RECORD record, PCONTEXT context)
{
    ULONG64 low;
    ULONG64 high;
    ULONG64 nested_frame = 0;
    ULONG flags = record->ExceptionFlags & EXCEPTION_NONCONTINUABLE;
    CONTEXT walked;
    UNWIND_HISTORY_TABLE history;
    DISPATCHER_CONTEXT dispatcher;
    ACTIVATION at;
    copy_context(&walked, context);
    history.Count = 0;
    history.Search = UNWIND_HISTORY_TABLE_NONE;
    stack_limits(&low, &high);
    do {
        NTSTATUS status = next_activation(&at, UNW_FLAG_EHANDLER, &walked, &history, low, high);
        if (!NT_SUCCESS(status) || !in_bounds(at.established, low, high)) {
            if (status != STATUS_BAD_FUNCTION_TABLE)
                flags |= EXCEPTION_STACK_INVALID;
            break;
        }
        BOOLEAN again = at.handler != NULL;
        while (again) {
            again = FALSE;
            record->ExceptionFlags = flags;
            describe(&dispatcher, &at, 0, &walked, &history);
            EXCEPTION_DISPOSITION disposition =
                execute_handler_for_exception(record, at.established, context, &dispatcher);
            flags |= record->ExceptionFlags & EXCEPTION_NONCONTINUABLE;
            if (nested_frame == at.established) {
                flags &= ~EXCEPTION_NESTED_CALL;
                nested_frame = 0;
            }
            switch (disposition) {
            case ExceptionContinueExecution:
                if (flags & EXCEPTION_NONCONTINUABLE)
                    raise_because(STATUS_NONCONTINUABLE_EXCEPTION, record);
                return TRUE;
            case ExceptionContinueSearch:
                break;
            case ExceptionNestedException: /* it was raised inside a handler that still runs */
                flags |= EXCEPTION_NESTED_CALL;
                if (dispatcher.EstablisherFrame > nested_frame)
                    nested_frame = dispatcher.EstablisherFrame;
                break;
            case ExceptionCollidedUnwind: /* the frames above belong to an unwind: go on where it stands */
                at = collided(&dispatcher);
                copy_context(&walked, dispatcher.ContextRecord);
                walked.Rip = at.pc;
                {
                    ACTIVATION above;
                    if (!NT_SUCCESS(next_activation(&above, UNW_FLAG_NHANDLER, &walked, &history, low, high)))
                        return FALSE;
                }
                again = TRUE;
                break;
            default:
                raise_because(STATUS_INVALID_DISPOSITION, record);
            }
        }
    } while (in_bounds(walked.Rsp, low, high));
    record->ExceptionFlags = flags;
    return FALSE;
}

VOID NTAPI RtlUnwindEx(PVOID target_frame, PVOID target_pc, PEXCEPTION_RECORD record, PVOID return_value,
                       PCONTEXT context, PUNWIND_HISTORY_TABLE history)
{
    ULONG64 low;
    ULONG64 high;
    ULONG64 target = (ULONG64)target_frame;
    EXCEPTION_RECORD own;
    CONTEXT other;
    PCONTEXT current = context; /* at the activation that is unwound */
    PCONTEXT above = &other;    /* at its caller */
    DISPATCHER_CONTEXT dispatcher;
    ACTIVATION at;
    stack_limits(&low, &high);
    RtlCaptureContext(context);
    if (record == NULL) {
        record = &own;
        memset(record, 0, sizeof(*record));
        record->ExceptionCode = (DWORD)STATUS_UNWIND;
        record->ExceptionAddress = (PVOID)context->Rip;
    }
    ULONG flags = EXCEPTION_UNWINDING | (target_frame == NULL ? EXCEPTION_EXIT_UNWIND : 0);
    do {
        copy_context(above, current);
        NTSTATUS status = next_activation(&at, UNW_FLAG_UHANDLER, above, history, low, high);
        if (!NT_SUCCESS(status)) {
            if (status == STATUS_BAD_FUNCTION_TABLE)
                raise_because(status, record);
            break;
        }
        if (!in_bounds(at.established, low, high) || (target != 0 && at.function != NULL && target < at.established))
            raise_because(STATUS_BAD_STACK, record);
        BOOLEAN again = at.handler != NULL;
        while (again) {
            again = FALSE;
            if (at.established == target)
                flags |= EXCEPTION_TARGET_UNWIND;
            record->ExceptionFlags = flags;
            current->Rax = (ULONG64)return_value;
            describe(&dispatcher, &at, (ULONG64)target_pc, current, history);
            EXCEPTION_DISPOSITION disposition =
                execute_handler_for_unwind(record, at.established, current, &dispatcher);
            flags &= ~(EXCEPTION_COLLIDED_UNWIND | EXCEPTION_TARGET_UNWIND);
            switch (disposition) {
            case ExceptionContinueSearch:
                break;
            case ExceptionCollidedUnwind: /* another unwind was interrupted here: take over its place */
                at = collided(&dispatcher);
                copy_context(context, dispatcher.ContextRecord);
                context->Rip = at.pc;
                current = context;
                above = &other;
                copy_context(above, current);
                {
                    ACTIVATION caller;
                    if (!NT_SUCCESS(next_activation(&caller, UNW_FLAG_NHANDLER, above, history, low, high)))
                        raise_because(STATUS_BAD_STACK, record);
                }
                flags |= EXCEPTION_COLLIDED_UNWIND;
                again = TRUE;
                break;
            default:
                raise_because(STATUS_INVALID_DISPOSITION, record);
            }
        }
        if (at.established == target && at.function != NULL)
            break;
        PCONTEXT swapped = current;
        current = above;
        above = swapped;
    } while (in_bounds(current->Rsp, low, high));
    if (at.established != target || target == 0) { /* an exit unwind, or a frame that is not on the stack */
        last_chance(record, current);
        return;
    }
    current->Rax = (ULONG64)return_value;
    if ((DWORD)record->ExceptionCode != (DWORD)STATUS_UNWIND_CONSOLIDATE)
        current->Rip = (ULONG64)target_pc;
    RtlRestoreContext(current, record);
}

VOID NTAPI RtlUnwind(PVOID target_frame, PVOID target_pc, PEXCEPTION_RECORD record, PVOID return_value)
{
    CONTEXT context;
    RtlUnwindEx(target_frame, target_pc, record, return_value, &context, NULL);
}

/* The return addresses of the caller's frames after the first `skip`, as far as the unwind data leads. */
static ULONG walk_frames(PCONTEXT context, PVOID *found, ULONG count, ULONG skip)
{
    ULONG64 low;
    ULONG64 high;
    ULONG n = 0;
    stack_limits(&low, &high);
    for (ULONG i = 0; n < count && context->Rip != 0; i++) {
        if (i >= skip)
            found[n++] = (PVOID)context->Rip;
        if (!in_bounds(context->Rsp, low, high) || !step_out(context, low, high))
            break;
    }
    return n;
}

ULONG NTAPI RtlWalkFrameChain(PVOID *callers, ULONG count, ULONG flags)
{
    CONTEXT context;
    RtlCaptureContext(&context);
    return walk_frames(&context, callers, count, flags >> 8); /* ntifs.h: RTL_STACK_WALKING_MODE_FRAMES_TO_SKIP_SHIFT */
}

WORD NTAPI RtlCaptureStackBackTrace(DWORD skip, DWORD count, PVOID *found, PDWORD hash)
{
    CONTEXT context;
    RtlCaptureContext(&context);
    ULONG n = walk_frames(&context, found, count < 0xFFFF ? count : 0xFFFF, skip + 1); /* without its own frame */
    if (hash != NULL) {
        *hash = 0;
        for (ULONG i = 0; i < n; i++)
            *hash += (DWORD)(ULONG_PTR)found[i];
    }
    return (WORD)n;
}
