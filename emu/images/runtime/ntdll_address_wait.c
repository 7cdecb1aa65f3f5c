/* ntdll: waits for a change of memory, and what is made of them: slim locks, condition variables, one-time
   initialization. A thread that waits sleeps in NtWaitForAlertByThreadId, without a limit or with its own: so a deadlock
   is seen as one. */
#define _NTSYSTEM_
#include "ntdll_runtime.h"

/* --- RtlWaitOnAddress: a list of those who wait, under a lock that is held for a few instructions only */
typedef struct WAITER {
    struct WAITER *Next;
    const VOID volatile *Address;
    HANDLE ThreadId;
    BOOLEAN volatile Woken;
} WAITER;

static WAITER *waiters; /* the oldest first */
static LONG volatile waiters_lock;

static void lock_waiters(void)
{
    while (InterlockedExchange(&waiters_lock, 1))
        NtYieldExecution();
}

static void unlock_waiters(void)
{
    InterlockedExchange(&waiters_lock, 0);
}

static BOOLEAN same(const VOID volatile *address, const VOID *compare, SIZE_T size)
{
    switch (size) {
    case 1:
        return *(const UCHAR volatile *)address == *(const UCHAR *)compare;
    case 2:
        return *(const USHORT volatile *)address == *(const USHORT *)compare;
    case 4:
        return *(const ULONG volatile *)address == *(const ULONG *)compare;
    default:
        return *(const ULONG64 volatile *)address == *(const ULONG64 *)compare;
    }
}

static void remove_waiter(WAITER *waiter)
{
    for (WAITER **link = &waiters; *link != NULL; link = &(*link)->Next)
        if (*link == waiter) {
            *link = waiter->Next;
            return;
        }
}

/* A relative timeout becomes absolute, as the wait may begin more than once. */
static PLARGE_INTEGER absolute(PLARGE_INTEGER timeout, PLARGE_INTEGER room)
{
    if (timeout == NULL || timeout->QuadPart >= 0)
        return timeout;
    NtQuerySystemTime(room);
    room->QuadPart -= timeout->QuadPart;
    return room;
}

NTSTATUS NTAPI RtlWaitOnAddress(const VOID volatile *address, const VOID *compare, SIZE_T size, PLARGE_INTEGER timeout)
{
    WAITER self = {NULL, address, NtCurrentTeb()->ClientId.UniqueThread, FALSE};
    LARGE_INTEGER end;
    if (size != 1 && size != 2 && size != 4 && size != 8)
        return STATUS_INVALID_PARAMETER;
    lock_waiters();
    if (!same(address, compare, size)) {
        unlock_waiters();
        return STATUS_SUCCESS;
    }
    WAITER **last = &waiters;
    while (*last != NULL)
        last = &(*last)->Next;
    *last = &self;
    unlock_waiters();
    timeout = absolute(timeout, &end);
    while (!self.Woken)
        if (NtWaitForAlertByThreadId((PVOID)address, timeout) == STATUS_TIMEOUT) {
            lock_waiters();
            BOOLEAN woken = self.Woken;
            remove_waiter(&self);
            unlock_waiters();
            return woken ? STATUS_SUCCESS : STATUS_TIMEOUT;
        }
    return STATUS_SUCCESS;
}

static void wake(const VOID *address, BOOLEAN all)
{
    for (;;) {
        lock_waiters();
        WAITER *found = waiters;
        while (found != NULL && found->Address != address)
            found = found->Next;
        HANDLE thread = NULL;
        if (found != NULL) {
            thread = found->ThreadId;
            remove_waiter(found);
            found->Woken = TRUE; /* from here on, it may be gone */
        }
        unlock_waiters();
        if (thread != NULL)
            NtAlertThreadByThreadId(thread);
        if (thread == NULL || !all)
            return;
    }
}

VOID NTAPI RtlWakeAddressSingle(PVOID address)
{
    wake(address, FALSE);
}

VOID NTAPI RtlWakeAddressAll(PVOID address)
{
    wake(address, TRUE);
}

/* --- slim locks. One pointer: bit 0 says locked, bit 1 that somebody waits, the bits from 4 up count the readers (0 for
   a writer). Without waiters it looks as Windows' own. */
#define SRW_LOCKED ((LONG_PTR)1)
#define SRW_WAITED ((LONG_PTR)2)
#define SRW_READER ((LONG_PTR)0x10)

static LONG_PTR srw_value(PRTL_SRWLOCK lock)
{
    return *(LONG_PTR volatile *)&lock->Ptr;
}

static BOOLEAN srw_exchange(PRTL_SRWLOCK lock, LONG_PTR old, LONG_PTR new)
{
    return InterlockedCompareExchangePointer(&lock->Ptr, (PVOID)new, (PVOID)old) == (PVOID)old;
}

/* Wait until the lock is no longer as it was seen. */
static void srw_wait(PRTL_SRWLOCK lock, LONG_PTR seen)
{
    LONG_PTR waited = seen | SRW_WAITED;
    if (seen == waited || srw_exchange(lock, seen, waited))
        RtlWaitOnAddress(&lock->Ptr, &waited, sizeof(waited), NULL);
}

BOOLEAN NTAPI RtlTryAcquireSRWLockExclusive(PRTL_SRWLOCK lock)
{
    LONG_PTR seen = srw_value(lock);
    return !(seen & SRW_LOCKED) && srw_exchange(lock, seen, seen | SRW_LOCKED);
}

VOID NTAPI RtlAcquireSRWLockExclusive(PRTL_SRWLOCK lock)
{
    for (;;) {
        LONG_PTR seen = srw_value(lock);
        if (!(seen & SRW_LOCKED)) {
            if (srw_exchange(lock, seen, seen | SRW_LOCKED))
                return;
        } else
            srw_wait(lock, seen);
    }
}

VOID NTAPI RtlReleaseSRWLockExclusive(PRTL_SRWLOCK lock)
{
    LONG_PTR seen = srw_value(lock);
    if (!(seen & SRW_LOCKED) || seen >= SRW_READER)
        RtlRaiseStatus(STATUS_RESOURCE_NOT_OWNED);
    seen = (LONG_PTR)InterlockedExchangePointer(&lock->Ptr, NULL);
    if (seen & SRW_WAITED)
        RtlWakeAddressAll(&lock->Ptr);
}

BOOLEAN NTAPI RtlTryAcquireSRWLockShared(PRTL_SRWLOCK lock)
{
    for (;;) {
        LONG_PTR seen = srw_value(lock);
        if ((seen & SRW_LOCKED) && seen < SRW_READER)
            return FALSE;
        if (srw_exchange(lock, seen, (seen | SRW_LOCKED) + SRW_READER))
            return TRUE;
    }
}

VOID NTAPI RtlAcquireSRWLockShared(PRTL_SRWLOCK lock)
{
    for (;;) {
        LONG_PTR seen = srw_value(lock);
        BOOLEAN writer = (seen & SRW_LOCKED) && seen < SRW_READER;
        /* A reader does not pass a writer that waits, as in Windows: a second shared lock of one thread may block. */
        if (writer || (seen >= SRW_READER && (seen & SRW_WAITED)))
            srw_wait(lock, seen);
        else if (srw_exchange(lock, seen, (seen | SRW_LOCKED) + SRW_READER))
            return;
    }
}

VOID NTAPI RtlReleaseSRWLockShared(PRTL_SRWLOCK lock)
{
    for (;;) {
        LONG_PTR seen = srw_value(lock);
        if (seen < SRW_READER)
            RtlRaiseStatus(STATUS_RESOURCE_NOT_OWNED);
        LONG_PTR left = seen - SRW_READER;
        BOOLEAN last = left < SRW_READER;
        if (!srw_exchange(lock, seen, last ? 0 : left))
            continue;
        if (last && (seen & SRW_WAITED))
            RtlWakeAddressAll(&lock->Ptr);
        return;
    }
}

/* --- condition variables: a count of the wakes. Documented: a sleeper may wake for nothing. */
VOID NTAPI RtlInitializeConditionVariable(PRTL_CONDITION_VARIABLE variable)
{
    variable->Ptr = NULL;
}

VOID NTAPI RtlWakeConditionVariable(PRTL_CONDITION_VARIABLE variable)
{
    InterlockedIncrement64((LONG64 volatile *)&variable->Ptr);
    RtlWakeAddressSingle(&variable->Ptr);
}

VOID NTAPI RtlWakeAllConditionVariable(PRTL_CONDITION_VARIABLE variable)
{
    InterlockedIncrement64((LONG64 volatile *)&variable->Ptr);
    RtlWakeAddressAll(&variable->Ptr);
}

NTSTATUS NTAPI RtlSleepConditionVariableCS(PRTL_CONDITION_VARIABLE variable, PRTL_CRITICAL_SECTION section,
                                           PLARGE_INTEGER timeout)
{
    PVOID seen = *(PVOID volatile *)&variable->Ptr;
    RtlLeaveCriticalSection(section);
    NTSTATUS status = RtlWaitOnAddress(&variable->Ptr, &seen, sizeof(seen), timeout);
    RtlEnterCriticalSection(section);
    return status;
}

NTSTATUS NTAPI RtlSleepConditionVariableSRW(PRTL_CONDITION_VARIABLE variable, PRTL_SRWLOCK lock, PLARGE_INTEGER timeout,
                                            ULONG flags)
{
    PVOID seen = *(PVOID volatile *)&variable->Ptr;
    BOOLEAN shared = (flags & RTL_CONDITION_VARIABLE_LOCKMODE_SHARED) != 0;
    if (shared)
        RtlReleaseSRWLockShared(lock);
    else
        RtlReleaseSRWLockExclusive(lock);
    NTSTATUS status = RtlWaitOnAddress(&variable->Ptr, &seen, sizeof(seen), timeout);
    if (shared)
        RtlAcquireSRWLockShared(lock);
    else
        RtlAcquireSRWLockExclusive(lock);
    return status;
}

/* --- one-time initialization. The low bits: 0 not begun, 1 in progress, 2 done with the context in the bits above, 3
   in progress by several threads (RTL_RUN_ONCE_ASYNC). */
#define ONCE_RUNS ((ULONG_PTR)1)
#define ONCE_DONE ((ULONG_PTR)2)
#define ONCE_ASYNC ((ULONG_PTR)3)
#define ONCE_STATE ((ULONG_PTR)3)

static ULONG_PTR once_value(PRTL_RUN_ONCE once)
{
    return (ULONG_PTR)*(PVOID volatile *)&once->Ptr;
}

static ULONG_PTR once_exchange(PRTL_RUN_ONCE once, ULONG_PTR old, ULONG_PTR new)
{
    return (ULONG_PTR)InterlockedCompareExchangePointer(&once->Ptr, (PVOID)new, (PVOID)old);
}

VOID NTAPI RtlRunOnceInitialize(PRTL_RUN_ONCE once)
{
    once->Ptr = NULL;
}

/* STATUS_PENDING tells the caller to initialize. */
NTSTATUS NTAPI RtlRunOnceBeginInitialize(PRTL_RUN_ONCE once, ULONG flags, PVOID *context)
{
    BOOLEAN async = (flags & RTL_RUN_ONCE_ASYNC) != 0;
    for (;;) {
        ULONG_PTR seen = once_value(once);
        if ((seen & ONCE_STATE) == ONCE_DONE) {
            if (context != NULL)
                *context = (PVOID)(seen & ~ONCE_STATE);
            return STATUS_SUCCESS;
        }
        if (flags & RTL_RUN_ONCE_CHECK_ONLY)
            return STATUS_UNSUCCESSFUL;
        if (seen == 0) {
            if (once_exchange(once, 0, async ? ONCE_ASYNC : ONCE_RUNS) == 0)
                return STATUS_PENDING;
        } else if (async != (seen == ONCE_ASYNC))
            return STATUS_INVALID_PARAMETER;
        else if (async)
            return STATUS_PENDING;
        else
            RtlWaitOnAddress(&once->Ptr, &seen, sizeof(seen), NULL);
    }
}

NTSTATUS NTAPI RtlRunOnceComplete(PRTL_RUN_ONCE once, ULONG flags, PVOID context)
{
    ULONG_PTR seen = once_value(once);
    BOOLEAN async = (flags & RTL_RUN_ONCE_ASYNC) != 0;
    BOOLEAN failed = (flags & RTL_RUN_ONCE_INIT_FAILED) != 0;
    if (((ULONG_PTR)context & ONCE_STATE) != 0 || (async && failed) || (failed && context != NULL))
        return STATUS_INVALID_PARAMETER;
    if (seen != (async ? ONCE_ASYNC : ONCE_RUNS))
        return STATUS_UNSUCCESSFUL;
    ULONG_PTR result = failed ? 0 : (ULONG_PTR)context | ONCE_DONE;
    if (once_exchange(once, seen, result) != seen)
        return STATUS_OBJECT_NAME_COLLISION; /* documented for the asynchronous form: another thread was faster */
    RtlWakeAddressAll(&once->Ptr);
    return STATUS_SUCCESS;
}

ULONG NTAPI RtlRunOnceExecuteOnce(PRTL_RUN_ONCE once, PRTL_RUN_ONCE_INIT_FN function, PVOID parameter, PVOID *context)
{
    PVOID made = NULL;
    NTSTATUS status = RtlRunOnceBeginInitialize(once, 0, context);
    if (status != STATUS_PENDING)
        return (ULONG)status;
    if (!function(once, parameter, &made)) {
        RtlRunOnceComplete(once, RTL_RUN_ONCE_INIT_FAILED, NULL);
        return (ULONG)STATUS_UNSUCCESSFUL;
    }
    if (context != NULL)
        *context = made;
    return (ULONG)RtlRunOnceComplete(once, 0, made);
}
