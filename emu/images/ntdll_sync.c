/* ntdll: critical sections (waiting on an event, made when first needed), slim reader/writer locks (yielding). */
#define _NTSYSTEM_
#include "ntdll_internal.h"

NTSTATUS NTAPI RtlInitializeCriticalSection(PRTL_CRITICAL_SECTION section)
{
    return RtlInitializeCriticalSectionAndSpinCount(section, 0);
}

NTSTATUS NTAPI RtlInitializeCriticalSectionAndSpinCount(PRTL_CRITICAL_SECTION section, ULONG spin_count)
{
    section->DebugInfo = (PRTL_CRITICAL_SECTION_DEBUG)(LONG_PTR)-1; /* as Windows since 8: no debug information */
    section->LockCount = -1;
    section->RecursionCount = 0;
    section->OwningThread = NULL;
    section->LockSemaphore = NULL;
    section->SpinCount = spin_count & 0x00FFFFFF;
    return STATUS_SUCCESS;
}

/* The event that threads wait for: two threads may make one at once, then the second one's is thrown away. */
static HANDLE section_event(PRTL_CRITICAL_SECTION section)
{
    if (section->LockSemaphore == NULL) {
        HANDLE event;
        if (!NT_SUCCESS(NtCreateEvent(&event, EVENT_ALL_ACCESS, NULL, 1, FALSE)))
            return NULL;
        if (InterlockedCompareExchangePointer(&section->LockSemaphore, event, NULL) != NULL)
            NtClose(event);
    }
    return section->LockSemaphore;
}

NTSTATUS NTAPI RtlEnterCriticalSection(PRTL_CRITICAL_SECTION section)
{
    HANDLE self = NtCurrentTeb()->ClientId.UniqueThread;
    if (InterlockedIncrement(&section->LockCount) != 0) {
        if (section->OwningThread == self) {
            section->RecursionCount++;
            return STATUS_SUCCESS;
        }
        HANDLE event = section_event(section);
        NTSTATUS status = event != NULL ? NtWaitForSingleObject(event, FALSE, NULL) : STATUS_NO_MEMORY;
        if (!NT_SUCCESS(status))
            RtlRaiseStatus(status);
    }
    section->OwningThread = self;
    section->RecursionCount = 1;
    return STATUS_SUCCESS;
}

BOOLEAN NTAPI RtlTryEnterCriticalSection(PRTL_CRITICAL_SECTION section)
{
    HANDLE self = NtCurrentTeb()->ClientId.UniqueThread;
    if (InterlockedCompareExchange(&section->LockCount, 0, -1) == -1) {
        section->OwningThread = self;
        section->RecursionCount = 1;
        return TRUE;
    }
    if (section->OwningThread != self)
        return FALSE;
    InterlockedIncrement(&section->LockCount);
    section->RecursionCount++;
    return TRUE;
}

NTSTATUS NTAPI RtlLeaveCriticalSection(PRTL_CRITICAL_SECTION section)
{
    if (--section->RecursionCount != 0) {
        InterlockedDecrement(&section->LockCount);
        return STATUS_SUCCESS;
    }
    section->OwningThread = NULL;
    if (InterlockedDecrement(&section->LockCount) >= 0)
        return NtSetEvent(section_event(section), NULL);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlDeleteCriticalSection(PRTL_CRITICAL_SECTION section)
{
    if (section->LockSemaphore != NULL)
        NtClose(section->LockSemaphore);
    memset(section, 0, sizeof(*section));
    return STATUS_SUCCESS;
}

/* An SRW lock is one pointer: bit 0 says locked, the bits from 4 up count the readers (0 for a writer), as Windows
 * shows it uncontended. */
#define SRW_LOCKED ((LONG_PTR)1)
#define SRW_READER ((LONG_PTR)0x10)

static BOOLEAN srw_exchange(PRTL_SRWLOCK lock, LONG_PTR old, LONG_PTR new)
{
    return InterlockedCompareExchangePointer(&lock->Ptr, (PVOID)new, (PVOID)old) == (PVOID)old;
}

VOID NTAPI RtlInitializeSRWLock(PRTL_SRWLOCK lock)
{
    lock->Ptr = NULL;
}

BOOLEAN NTAPI RtlTryAcquireSRWLockExclusive(PRTL_SRWLOCK lock)
{
    return srw_exchange(lock, 0, SRW_LOCKED);
}

VOID NTAPI RtlAcquireSRWLockExclusive(PRTL_SRWLOCK lock)
{
    while (!RtlTryAcquireSRWLockExclusive(lock))
        NtYieldExecution();
}

VOID NTAPI RtlReleaseSRWLockExclusive(PRTL_SRWLOCK lock)
{
    if (!srw_exchange(lock, SRW_LOCKED, 0))
        RtlRaiseStatus(STATUS_RESOURCE_NOT_OWNED);
}

BOOLEAN NTAPI RtlTryAcquireSRWLockShared(PRTL_SRWLOCK lock)
{
    for (;;) {
        LONG_PTR value = *(LONG_PTR volatile *)&lock->Ptr;
        if (value == SRW_LOCKED)
            return FALSE;
        if (srw_exchange(lock, value, (value | SRW_LOCKED) + SRW_READER))
            return TRUE;
    }
}

VOID NTAPI RtlAcquireSRWLockShared(PRTL_SRWLOCK lock)
{
    while (!RtlTryAcquireSRWLockShared(lock))
        NtYieldExecution();
}

VOID NTAPI RtlReleaseSRWLockShared(PRTL_SRWLOCK lock)
{
    for (;;) {
        LONG_PTR value = *(LONG_PTR volatile *)&lock->Ptr;
        if (value < SRW_READER)
            RtlRaiseStatus(STATUS_RESOURCE_NOT_OWNED);
        LONG_PTR left = value - SRW_READER;
        if (srw_exchange(lock, value, left == SRW_LOCKED ? 0 : left))
            return;
    }
}
