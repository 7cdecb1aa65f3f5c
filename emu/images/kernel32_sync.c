/* kernel32: critical sections, slim locks, condition variables, one-time initialization. */
#include "kernel32_internal.h"

VOID WINAPI InitializeCriticalSection(LPCRITICAL_SECTION section)
{
    RtlInitializeCriticalSection(section);
}

WINBOOL WINAPI InitializeCriticalSectionAndSpinCount(LPCRITICAL_SECTION section, DWORD spin_count)
{
    return succeeded(RtlInitializeCriticalSectionAndSpinCount(section, spin_count));
}

WINBOOL WINAPI InitializeCriticalSectionEx(LPCRITICAL_SECTION section, DWORD spin_count, DWORD flags)
{
    UNREFERENCED_PARAMETER(flags);
    return succeeded(RtlInitializeCriticalSectionAndSpinCount(section, spin_count));
}

VOID WINAPI EnterCriticalSection(LPCRITICAL_SECTION section)
{
    RtlEnterCriticalSection(section);
}

WINBOOL WINAPI TryEnterCriticalSection(LPCRITICAL_SECTION section)
{
    return RtlTryEnterCriticalSection(section);
}

VOID WINAPI LeaveCriticalSection(LPCRITICAL_SECTION section)
{
    RtlLeaveCriticalSection(section);
}

VOID WINAPI DeleteCriticalSection(LPCRITICAL_SECTION section)
{
    RtlDeleteCriticalSection(section);
}

VOID WINAPI InitializeSRWLock(PSRWLOCK lock)
{
    RtlInitializeSRWLock(lock);
}

VOID WINAPI AcquireSRWLockExclusive(PSRWLOCK lock)
{
    RtlAcquireSRWLockExclusive(lock);
}

VOID WINAPI ReleaseSRWLockExclusive(PSRWLOCK lock)
{
    RtlReleaseSRWLockExclusive(lock);
}

BOOLEAN WINAPI TryAcquireSRWLockExclusive(PSRWLOCK lock)
{
    return RtlTryAcquireSRWLockExclusive(lock);
}

VOID WINAPI AcquireSRWLockShared(PSRWLOCK lock)
{
    RtlAcquireSRWLockShared(lock);
}

VOID WINAPI ReleaseSRWLockShared(PSRWLOCK lock)
{
    RtlReleaseSRWLockShared(lock);
}

BOOLEAN WINAPI TryAcquireSRWLockShared(PSRWLOCK lock)
{
    return RtlTryAcquireSRWLockShared(lock);
}

/* A condition variable counts the wakes; a sleeper polls for a change every millisecond. Documented: a sleeper may wake
   for nothing, so waking one may wake all. */
VOID WINAPI InitializeConditionVariable(PCONDITION_VARIABLE variable)
{
    variable->Ptr = NULL;
}

VOID WINAPI WakeAllConditionVariable(PCONDITION_VARIABLE variable)
{
    InterlockedIncrement64((LONG64 volatile *)&variable->Ptr);
}

VOID WINAPI WakeConditionVariable(PCONDITION_VARIABLE variable)
{
    WakeAllConditionVariable(variable);
}

static BOOL wait_for_wake(PCONDITION_VARIABLE variable, PVOID seen, DWORD milliseconds)
{
    for (DWORD waited = 0; *(PVOID volatile *)&variable->Ptr == seen; waited++) {
        if (waited >= milliseconds && milliseconds != INFINITE) {
            SetLastError(ERROR_TIMEOUT);
            return FALSE;
        }
        Sleep(1);
    }
    return TRUE;
}

WINBOOL WINAPI SleepConditionVariableCS(PCONDITION_VARIABLE variable, PCRITICAL_SECTION section, DWORD milliseconds)
{
    PVOID seen = variable->Ptr;
    RtlLeaveCriticalSection(section);
    BOOL woken = wait_for_wake(variable, seen, milliseconds);
    RtlEnterCriticalSection(section);
    return woken;
}

WINBOOL WINAPI SleepConditionVariableSRW(PCONDITION_VARIABLE variable, PSRWLOCK lock, DWORD milliseconds, ULONG flags)
{
    PVOID seen = variable->Ptr;
    BOOL shared = (flags & CONDITION_VARIABLE_LOCKMODE_SHARED) != 0;
    if (shared)
        RtlReleaseSRWLockShared(lock);
    else
        RtlReleaseSRWLockExclusive(lock);
    BOOL woken = wait_for_wake(variable, seen, milliseconds);
    if (shared)
        RtlAcquireSRWLockShared(lock);
    else
        RtlAcquireSRWLockExclusive(lock);
    return woken;
}

/* States in the low bits, as RTL_RUN_ONCE: 0 not begun, 1 in progress, 2 done with the context in the bits above. */
WINBOOL WINAPI InitOnceExecuteOnce(PINIT_ONCE once, PINIT_ONCE_FN function, PVOID parameter, LPVOID *context)
{
    for (;;) {
        PVOID state = InterlockedCompareExchangePointer(&once->Ptr, (PVOID)1, NULL);
        if (state == NULL) {
            PVOID made = NULL;
            if (!function(once, parameter, &made)) {
                InterlockedExchangePointer(&once->Ptr, NULL);
                return FALSE;
            }
            InterlockedExchangePointer(&once->Ptr, (PVOID)((ULONG_PTR)made | 2));
        } else if (state != (PVOID)1) {
            if (context != NULL)
                *context = (PVOID)((ULONG_PTR)state & ~(ULONG_PTR)3);
            return TRUE;
        } else
            NtYieldExecution();
    }
}
