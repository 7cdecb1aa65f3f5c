/* kernel32: the unhandled exception filter, vectored handlers, the room for stack overflows.
 *
 * The process is not debugged while it runs. A top-level filter that answers EXCEPTION_EXECUTE_HANDLER ends the process
 * with the code of the exception. Without a filter, or if it answers EXCEPTION_CONTINUE_SEARCH, Windows would report the
 * error (WER) and end the process; here the second chance follows, where a debugger takes the dump. */
#include "kernel32_internal.h"
#include "ntdll_exception.h"

/* EXCEPTION_NONCONTINUABLE is the only flag that a caller may give. RtlRaiseException sets the address. */
VOID WINAPI RaiseException(DWORD code, DWORD flags, DWORD count, CONST ULONG_PTR *arguments)
{
    EXCEPTION_RECORD record;
    record.ExceptionCode = code;
    record.ExceptionFlags = flags & EXCEPTION_NONCONTINUABLE;
    record.ExceptionRecord = NULL;
    record.ExceptionAddress = (PVOID)RaiseException;
    record.NumberParameters = arguments == NULL                         ? 0
                              : count > EXCEPTION_MAXIMUM_PARAMETERS ? EXCEPTION_MAXIMUM_PARAMETERS
                                                                     : count;
    for (DWORD i = 0; i < record.NumberParameters; i++)
        record.ExceptionInformation[i] = arguments[i];
    RtlRaiseException(&record);
}

static LPTOP_LEVEL_EXCEPTION_FILTER volatile top_level_filter;

LONG WINAPI UnhandledExceptionFilter(PEXCEPTION_POINTERS pointers)
{
    LPTOP_LEVEL_EXCEPTION_FILTER filter = top_level_filter;
    if (NtCurrentPeb()->BeingDebugged || filter == NULL)
        return EXCEPTION_CONTINUE_SEARCH;
    return filter(pointers);
}

LPTOP_LEVEL_EXCEPTION_FILTER WINAPI SetUnhandledExceptionFilter(LPTOP_LEVEL_EXCEPTION_FILTER filter)
{
    RtlSetUnhandledExceptionFilter(UnhandledExceptionFilter);
    return (LPTOP_LEVEL_EXCEPTION_FILTER)InterlockedExchangePointer((PVOID volatile *)&top_level_filter, filter);
}

PVOID WINAPI AddVectoredExceptionHandler(ULONG first, PVECTORED_EXCEPTION_HANDLER handler)
{
    return RtlAddVectoredExceptionHandler(first, handler);
}

ULONG WINAPI RemoveVectoredExceptionHandler(PVOID handle)
{
    return RtlRemoveVectoredExceptionHandler(handle);
}

PVOID WINAPI AddVectoredContinueHandler(ULONG first, PVECTORED_EXCEPTION_HANDLER handler)
{
    return RtlAddVectoredContinueHandler(first, handler);
}

ULONG WINAPI RemoveVectoredContinueHandler(PVOID handle)
{
    return RtlRemoveVectoredContinueHandler(handle);
}

/* TEB.GuaranteedStackBytes (phnt ntpebteb.h, amd64). The memory manager leaves this room when the stack overflows. */
static PULONG guaranteed_stack_bytes(void)
{
    return (PULONG)((PUCHAR)NtCurrentTeb() + 0x1748);
}

WINBOOL WINAPI SetThreadStackGuarantee(PULONG size)
{
    PULONG guaranteed = guaranteed_stack_bytes();
    ULONG previous = *guaranteed;
    ULONG wanted = (*size + 0xFFF) & ~0xFFFu;
    PVOID lowest = *(PVOID *)((PUCHAR)NtCurrentTeb() + 0x1478); /* TEB.DeallocationStack */
    if (wanted >= (ULONG_PTR)NtCurrentTeb()->NtTib.StackBase - (ULONG_PTR)lowest) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return FALSE;
    }
    if (wanted > previous)
        *guaranteed = wanted;
    *size = previous;
    return TRUE;
}
