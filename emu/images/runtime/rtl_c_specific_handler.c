/* The language handler of __try, __except and __finally: __C_specific_handler.
 *
 * Its data is a scope table (winnt.h SCOPE_TABLE_AMD64). A record with a JumpTarget is an __except: HandlerAddress is
 * the filter, or 1 for EXCEPTION_EXECUTE_HANDLER. One without is a __finally. Sources: "x64 exception handling",
 * learn.microsoft.com "try-except statement" and "try-finally statement"; ReactOS, as facts. */
#include "rtl_unwind.h"

static BOOLEAN covers(PSCOPES scopes, ULONG i, ULONG64 pc)
{
    return pc >= scopes->ScopeRecord[i].BeginAddress && pc < scopes->ScopeRecord[i].EndAddress;
}

static EXCEPTION_DISPOSITION search(PEXCEPTION_RECORD record, PVOID frame, PCONTEXT context,
                                    PDISPATCHER_CONTEXT dispatcher)
{
    ULONG64 base = dispatcher->ImageBase;
    PSCOPES scopes = dispatcher->HandlerData;
    EXCEPTION_POINTERS pointers = {record, context};
    for (ULONG i = dispatcher->ScopeIndex; i < scopes->Count; i++) {
        if (!covers(scopes, i, dispatcher->ControlPc - base) || scopes->ScopeRecord[i].JumpTarget == 0)
            continue;
        ULONG filter = scopes->ScopeRecord[i].HandlerAddress;
        LONG answer = filter == EXCEPTION_EXECUTE_HANDLER ? EXCEPTION_EXECUTE_HANDLER
                                                          : ((SCOPE_FILTER)(base + filter))(&pointers, frame);
        if (answer < 0)
            return ExceptionContinueExecution;
        if (answer > 0)
            RtlUnwindEx(frame, (PVOID)(base + scopes->ScopeRecord[i].JumpTarget), record,
                        (PVOID)(ULONG_PTR)record->ExceptionCode, dispatcher->ContextRecord, dispatcher->HistoryTable);
    }
    return ExceptionContinueSearch;
}

/* Whether the target of the unwind lies inside the guarded body of record `i`: then that body is not left. */
static BOOLEAN target_inside(PSCOPES scopes, ULONG i, ULONG64 target)
{
    for (ULONG j = 0; j < scopes->Count; j++)
        if (covers(scopes, j, target) && scopes->ScopeRecord[j].HandlerAddress == scopes->ScopeRecord[i].HandlerAddress &&
            scopes->ScopeRecord[j].JumpTarget == scopes->ScopeRecord[i].JumpTarget)
            return TRUE;
    return FALSE;
}

static EXCEPTION_DISPOSITION unwind(PEXCEPTION_RECORD record, PVOID frame, PDISPATCHER_CONTEXT dispatcher)
{
    ULONG64 base = dispatcher->ImageBase;
    ULONG64 target = dispatcher->TargetIp - base;
    BOOLEAN is_target = (record->ExceptionFlags & EXCEPTION_TARGET_UNWIND) != 0;
    PSCOPES scopes = dispatcher->HandlerData;
    for (ULONG i = dispatcher->ScopeIndex; i < scopes->Count; i++) {
        if (!covers(scopes, i, dispatcher->ControlPc - base))
            continue;
        if (is_target && target_inside(scopes, i, target))
            break;
        if (scopes->ScopeRecord[i].JumpTarget != 0) {
            if (is_target && target == scopes->ScopeRecord[i].JumpTarget)
                break;
            continue;
        }
        dispatcher->ScopeIndex = i + 1; /* a second unwind must not run this __finally again */
        ((SCOPE_FINALLY)(base + scopes->ScopeRecord[i].HandlerAddress))(TRUE, frame);
    }
    return ExceptionContinueSearch;
}

EXCEPTION_DISPOSITION __cdecl __C_specific_handler(PEXCEPTION_RECORD record, PVOID frame, PCONTEXT context,
                                                   PDISPATCHER_CONTEXT dispatcher)
{
    if (record->ExceptionFlags & UNWINDS)
        return unwind(record, frame, dispatcher);
    return search(record, frame, context, dispatcher);
}
