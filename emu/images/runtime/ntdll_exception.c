/* ntdll: dispatches an exception to vectored handlers, frames and the unhandled exception filter.
 *
 * Sources: learn.microsoft.com "Vectored Exception Handling", AddVectoredExceptionHandler, AddVectoredContinueHandler,
 * SetUnhandledExceptionFilter, RtlRestoreContext. */
#include "rtl_unwind.h"
#include "ntdll_exception.h"

typedef struct {
    LIST_ENTRY link;
    PVECTORED_EXCEPTION_HANDLER handler;
    LONG references; /* one of the list, one of each call that runs */
    BOOLEAN removed;
} VECTORED;

enum { EXCEPTION_LIST, CONTINUE_LIST, LISTS };

static LIST_ENTRY vectored[LISTS] = {
    {&vectored[EXCEPTION_LIST], &vectored[EXCEPTION_LIST]},
    {&vectored[CONTINUE_LIST], &vectored[CONTINUE_LIST]},
};
static RTL_SRWLOCK vectored_lock = RTL_SRWLOCK_INIT;

/* PEB.CrossProcessFlags: ProcessUsingVEH, ProcessUsingVCH (phnt ntpebteb.h). */
static const ULONG using_flag[LISTS] = {0x4, 0x8};

static PVOID add_vectored(ULONG list, ULONG first, PVECTORED_EXCEPTION_HANDLER handler)
{
    VECTORED *added = RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, 0, sizeof(*added));
    if (added == NULL)
        return NULL;
    added->handler = handler;
    added->references = 1;
    added->removed = FALSE;
    RtlAcquireSRWLockExclusive(&vectored_lock);
    PLIST_ENTRY after = first ? &vectored[list] : vectored[list].Blink;
    added->link.Blink = after;
    added->link.Flink = after->Flink;
    after->Flink->Blink = &added->link;
    after->Flink = &added->link;
    NtCurrentPeb()->CrossProcessFlags |= using_flag[list];
    RtlReleaseSRWLockExclusive(&vectored_lock);
    return added;
}

/* Drop one reference. The caller holds the lock. */
static void release(ULONG list, VECTORED *of)
{
    if (--of->references != 0)
        return;
    of->link.Blink->Flink = of->link.Flink;
    of->link.Flink->Blink = of->link.Blink;
    RtlFreeHeap(NtCurrentPeb()->ProcessHeap, 0, of);
    if (vectored[list].Flink == &vectored[list])
        NtCurrentPeb()->CrossProcessFlags &= ~using_flag[list];
}

static ULONG remove_vectored(ULONG list, PVOID handle)
{
    ULONG found = 0;
    RtlAcquireSRWLockExclusive(&vectored_lock);
    for (PLIST_ENTRY link = vectored[list].Flink; link != &vectored[list]; link = link->Flink) {
        VECTORED *of = CONTAINING_RECORD(link, VECTORED, link);
        if (of != handle || of->removed)
            continue;
        of->removed = TRUE;
        release(list, of);
        found = 1;
        break;
    }
    RtlReleaseSRWLockExclusive(&vectored_lock);
    return found;
}

/* TRUE if a handler of the list answers EXCEPTION_CONTINUE_EXECUTION. A handler may remove itself. */
static BOOLEAN call_vectored(ULONG list, PEXCEPTION_RECORD record, PCONTEXT context)
{
    EXCEPTION_POINTERS pointers = {record, context};
    BOOLEAN taken = FALSE;
    if (vectored[list].Flink == &vectored[list])
        return FALSE;
    RtlAcquireSRWLockExclusive(&vectored_lock);
    for (PLIST_ENTRY link = vectored[list].Flink; link != &vectored[list] && !taken;) {
        VECTORED *of = CONTAINING_RECORD(link, VECTORED, link);
        if (!of->removed) {
            of->references++;
            RtlReleaseSRWLockExclusive(&vectored_lock);
            taken = of->handler(&pointers) == EXCEPTION_CONTINUE_EXECUTION;
            RtlAcquireSRWLockExclusive(&vectored_lock);
            link = link->Flink;
            release(list, of);
        } else
            link = link->Flink;
    }
    RtlReleaseSRWLockExclusive(&vectored_lock);
    return taken;
}

PVOID NTAPI RtlAddVectoredExceptionHandler(ULONG first, PVECTORED_EXCEPTION_HANDLER handler)
{
    return add_vectored(EXCEPTION_LIST, first, handler);
}

ULONG NTAPI RtlRemoveVectoredExceptionHandler(PVOID handle)
{
    return remove_vectored(EXCEPTION_LIST, handle);
}

PVOID NTAPI RtlAddVectoredContinueHandler(ULONG first, PVECTORED_EXCEPTION_HANDLER handler)
{
    return add_vectored(CONTINUE_LIST, first, handler);
}

ULONG NTAPI RtlRemoveVectoredContinueHandler(PVOID handle)
{
    return remove_vectored(CONTINUE_LIST, handle);
}

BOOLEAN NTAPI RtlDispatchException(PEXCEPTION_RECORD record, PCONTEXT context)
{
    BOOLEAN taken = call_vectored(EXCEPTION_LIST, record, context) || dispatch_to_frames(record, context);
    if (taken)
        call_vectored(CONTINUE_LIST, record, context);
    return taken;
}

/* --- the end of every stack */

static PRTLP_UNHANDLED_EXCEPTION_FILTER volatile unhandled_filter;

/* kernel32 gives its UnhandledExceptionFilter when the program sets a filter. */
VOID NTAPI RtlSetUnhandledExceptionFilter(PRTLP_UNHANDLED_EXCEPTION_FILTER filter)
{
    unhandled_filter = filter;
}

EXCEPTION_DISPOSITION thread_start_handler(PEXCEPTION_RECORD record, PVOID frame, PCONTEXT context,
                                           PDISPATCHER_CONTEXT dispatcher)
{
    EXCEPTION_POINTERS pointers = {record, context};
    if (record->ExceptionFlags & UNWINDS || unhandled_filter == NULL)
        return ExceptionContinueSearch;
    LONG answer = unhandled_filter(&pointers);
    if (answer < 0)
        return ExceptionContinueExecution;
    if (answer > 0)
        RtlUnwindEx(frame, thread_start_ended, record, (PVOID)(ULONG_PTR)record->ExceptionCode,
                    dispatcher->ContextRecord, dispatcher->HistoryTable);
    return ExceptionContinueSearch;
}

/* --- the jump into a context */

/* The buffer of setjmp (setjmp.h _JUMP_BUFFER, amd64) gives the registers that longjmp restores. */
static void take_jump_buffer(PCONTEXT context, const JUMP_BUFFER *buffer)
{
    context->Rbx = buffer->Rbx;
    context->Rsp = buffer->Rsp;
    context->Rbp = buffer->Rbp;
    context->Rsi = buffer->Rsi;
    context->Rdi = buffer->Rdi;
    context->R12 = buffer->R12;
    context->R13 = buffer->R13;
    context->R14 = buffer->R14;
    context->R15 = buffer->R15;
    context->Rip = buffer->Rip;
    context->MxCsr = buffer->MxCsr;
    context->FltSave.MxCsr = buffer->MxCsr;
    context->FltSave.ControlWord = buffer->FpCsr;
    memcpy(&context->Xmm6, buffer->Xmm, sizeof(buffer->Xmm));
}

VOID __cdecl RtlRestoreContext(PCONTEXT context, PEXCEPTION_RECORD record)
{
    if (record != NULL && record->NumberParameters >= 1) {
        if (record->ExceptionCode == (DWORD)STATUS_LONGJUMP)
            take_jump_buffer(context, (const JUMP_BUFFER *)record->ExceptionInformation[0]);
        else if (record->ExceptionCode == (DWORD)STATUS_UNWIND_CONSOLIDATE)
            context->Rip = consolidate_frames(record, context);
    }
    RtlRaiseStatus(NtContinue(context, FALSE)); /* it returns only for a context that cannot be read */
    __builtin_unreachable();
}
