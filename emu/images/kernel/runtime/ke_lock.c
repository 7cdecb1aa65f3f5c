/* Spin locks, fast and guarded mutexes, interlocked lists. Driver Verifier's checks of them are always on: bug check
   0xC4 with the kinds of its reference page. */
#include "runtime.h"

/* --- spin locks ----------------------------------------------------------------------------------------------------*/

/* A lock holds its owner's thread | 1, as that of the checked kernel. 0xC4 (0x1000): the owner would wait for itself. */
static void KiTakeSpinLock(PKSPIN_LOCK Lock)
{
    KSPIN_LOCK mine = (KSPIN_LOCK)KiCurrentThread() | 1;
    for (;;) {
        KSPIN_LOCK free = 0;
        if (__atomic_compare_exchange_n(Lock, &free, mine, FALSE, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
        if (free == mine)
            VfViolation(0x1000, (ULONG_PTR)Lock, 0, 0);
        YieldProcessor();
    }
}

static void KiDropSpinLock(PKSPIN_LOCK Lock)
{
    if (!*Lock)
        KeBugCheckEx(SPIN_LOCK_NOT_OWNED, (ULONG_PTR)Lock, 0, 0, 0);
    __atomic_store_n(Lock, 0, __ATOMIC_RELEASE);
}

static KIRQL KiRaiseForLock(PVOID Lock)
{
    KIRQL old = KeGetCurrentIrql();
    if (old > DISPATCH_LEVEL)
        VfViolation(0x42, old, (ULONG_PTR)Lock, 0);
    if (old < DISPATCH_LEVEL)
        MiTrimPagedPool();
    KiPcr()->Irql = DISPATCH_LEVEL;
    return old;
}

VOID KeInitializeSpinLock(PKSPIN_LOCK Lock) { *Lock = 0; }

KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK Lock)
{
    KIRQL old = KiRaiseForLock(Lock);
    KiTakeSpinLock(Lock);
    return old;
}

VOID KeAcquireSpinLock(PKSPIN_LOCK Lock, PKIRQL OldIrql) { *OldIrql = KeAcquireSpinLockRaiseToDpc(Lock); }

VOID KeReleaseSpinLock(PKSPIN_LOCK Lock, KIRQL OldIrql)
{
    if (KeGetCurrentIrql() != DISPATCH_LEVEL)
        VfViolation(0x32, KeGetCurrentIrql(), (ULONG_PTR)Lock, 0);
    KiDropSpinLock(Lock);
    KeLowerIrql(OldIrql);
}

VOID KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK Lock)
{
    if (KeGetCurrentIrql() < DISPATCH_LEVEL)
        VfViolation(0x40, KeGetCurrentIrql(), (ULONG_PTR)Lock, 0);
    KiTakeSpinLock(Lock);
}

VOID KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK Lock)
{
    if (KeGetCurrentIrql() < DISPATCH_LEVEL)
        VfViolation(0x41, KeGetCurrentIrql(), (ULONG_PTR)Lock, 0);
    KiDropSpinLock(Lock);
}

BOOLEAN KeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK Lock)
{
    KSPIN_LOCK free = 0;
    return __atomic_compare_exchange_n(
        Lock, &free, (KSPIN_LOCK)KiCurrentThread() | 1, FALSE, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

BOOLEAN KeTestSpinLock(PKSPIN_LOCK Lock) { return *Lock == 0; }

KIRQL KeAcquireSpinLockForDpc(PKSPIN_LOCK Lock) { return KeAcquireSpinLockRaiseToDpc(Lock); }

VOID KeReleaseSpinLockForDpc(PKSPIN_LOCK Lock, KIRQL OldIrql) { KeReleaseSpinLock(Lock, OldIrql); }

/* The queue of an in-stack queued lock is of no use to processors that take turns: the lock alone is taken. */
VOID KeAcquireInStackQueuedSpinLock(PKSPIN_LOCK Lock, PKLOCK_QUEUE_HANDLE Handle)
{
    Handle->LockQueue.Next = NULL;
    Handle->LockQueue.Lock = Lock;
    Handle->OldIrql = KeAcquireSpinLockRaiseToDpc(Lock);
}

VOID KeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE Handle)
{
    KeReleaseSpinLock((PKSPIN_LOCK)Handle->LockQueue.Lock, Handle->OldIrql);
}

VOID KeAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK Lock, PKLOCK_QUEUE_HANDLE Handle)
{
    Handle->LockQueue.Next = NULL;
    Handle->LockQueue.Lock = Lock;
    KeAcquireSpinLockAtDpcLevel(Lock);
}

VOID KeReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE Handle)
{
    KeReleaseSpinLockFromDpcLevel((PKSPIN_LOCK)Handle->LockQueue.Lock);
}

/* --- EX_SPIN_LOCK: readers are counted, the highest bit is the writer's --------------------------------------------*/

#define WRITER 0x80000000u
typedef volatile LONG KI_READER_LOCK;

static void KiAcquireShared(KI_READER_LOCK *Lock)
{
    for (;;) {
        LONG seen = *Lock;
        if (!(seen & (LONG)WRITER) && InterlockedCompareExchange(Lock, seen + 1, seen) == seen)
            return;
        YieldProcessor();
    }
}

VOID ExAcquireSpinLockSharedAtDpcLevel(KI_READER_LOCK *Lock) { KiAcquireShared(Lock); }

KIRQL ExAcquireSpinLockShared(KI_READER_LOCK *Lock)
{
    KIRQL old = KiRaiseForLock((PVOID)Lock);
    KiAcquireShared(Lock);
    return old;
}

VOID ExReleaseSpinLockSharedFromDpcLevel(KI_READER_LOCK *Lock) { InterlockedDecrement(Lock); }

VOID ExReleaseSpinLockShared(KI_READER_LOCK *Lock, KIRQL OldIrql)
{
    InterlockedDecrement(Lock);
    KeLowerIrql(OldIrql);
}

VOID ExAcquireSpinLockExclusiveAtDpcLevel(KI_READER_LOCK *Lock)
{
    while (InterlockedCompareExchange(Lock, (LONG)WRITER, 0))
        YieldProcessor();
}

KIRQL ExAcquireSpinLockExclusive(KI_READER_LOCK *Lock)
{
    KIRQL old = KiRaiseForLock((PVOID)Lock);
    ExAcquireSpinLockExclusiveAtDpcLevel(Lock);
    return old;
}

VOID ExReleaseSpinLockExclusiveFromDpcLevel(KI_READER_LOCK *Lock) { InterlockedExchange(Lock, 0); }

VOID ExReleaseSpinLockExclusive(KI_READER_LOCK *Lock, KIRQL OldIrql)
{
    InterlockedExchange(Lock, 0);
    KeLowerIrql(OldIrql);
}

/* --- fast and guarded mutexes --------------------------------------------------------------------------------------*/

static void KiAcquireCounted(volatile LONG *Count, PKTHREAD volatile *Owner, PULONG Contention, PVOID Event)
{
    if (InterlockedDecrement(Count) < 0) {
        ++*Contention;
        KeWaitForSingleObject(Event, WrMutex, KernelMode, FALSE, NULL);
    }
    *Owner = KiCurrentThread();
}

static void KiReleaseCounted(volatile LONG *Count, PKTHREAD volatile *Owner, PVOID Event)
{
    *Owner = NULL;
    if (InterlockedIncrement(Count) <= 0)
        KeSetEvent(Event, 1, FALSE);
}

VOID FASTCALL ExAcquireFastMutexUnsafe(PFAST_MUTEX Mutex)
{
    KI_THREAD_STATE *state = KiThreadState(KiCurrentThread());
    if (KeGetCurrentIrql() != APC_LEVEL && !state->KernelApcDisable && !state->SpecialApcDisable)
        VfViolation(0x39, KeGetCurrentIrql(), 0, (ULONG_PTR)Mutex);
    KiAcquireCounted(&Mutex->Count, &Mutex->Owner, &Mutex->Contention, &Mutex->Event);
}

VOID FASTCALL ExReleaseFastMutexUnsafe(PFAST_MUTEX Mutex)
{
    KiReleaseCounted(&Mutex->Count, &Mutex->Owner, &Mutex->Event);
}

VOID FASTCALL ExAcquireFastMutex(PFAST_MUTEX Mutex)
{
    KIRQL irql = KeGetCurrentIrql();
    if (irql > APC_LEVEL)
        VfViolation(0x33, irql, (ULONG_PTR)Mutex, 0);
    if (Mutex->Owner == KiCurrentThread())
        VfViolation(0x1000, (ULONG_PTR)Mutex, 0, 0);
    KiPcr()->Irql = APC_LEVEL;
    KiAcquireCounted(&Mutex->Count, &Mutex->Owner, &Mutex->Contention, &Mutex->Event);
    Mutex->OldIrql = irql;
}

VOID FASTCALL ExReleaseFastMutex(PFAST_MUTEX Mutex)
{
    KIRQL irql = (KIRQL)Mutex->OldIrql;
    if (KeGetCurrentIrql() != APC_LEVEL)
        VfViolation(0x34, KeGetCurrentIrql(), (ULONG_PTR)Mutex, 0);
    KiReleaseCounted(&Mutex->Count, &Mutex->Owner, &Mutex->Event);
    KeLowerIrql(irql);
}

BOOLEAN FASTCALL ExTryToAcquireFastMutex(PFAST_MUTEX Mutex)
{
    KIRQL irql = KeGetCurrentIrql();
    if (irql > APC_LEVEL)
        VfViolation(0x33, irql, (ULONG_PTR)Mutex, 0);
    if (InterlockedCompareExchange(&Mutex->Count, 0, 1) != 1)
        return FALSE;
    KiPcr()->Irql = APC_LEVEL;
    Mutex->Owner = KiCurrentThread();
    Mutex->OldIrql = irql;
    return TRUE;
}

VOID KeInitializeGuardedMutex(PKGUARDED_MUTEX Mutex)
{
    RtlZeroMemory(Mutex, sizeof *Mutex);
    Mutex->Count = 1;
    KeInitializeEvent((PKEVENT)&Mutex->Gate, SynchronizationEvent, FALSE);
}

VOID KeAcquireGuardedMutexUnsafe(PKGUARDED_MUTEX Mutex)
{
    KiAcquireCounted(&Mutex->Count, &Mutex->Owner, &Mutex->Contention, &Mutex->Gate);
}

VOID KeReleaseGuardedMutexUnsafe(PKGUARDED_MUTEX Mutex)
{
    KiReleaseCounted(&Mutex->Count, &Mutex->Owner, &Mutex->Gate);
}

VOID KeAcquireGuardedMutex(PKGUARDED_MUTEX Mutex)
{
    if (Mutex->Owner == KiCurrentThread())
        VfViolation(0x1000, (ULONG_PTR)Mutex, 0, 0);
    KeEnterGuardedRegion();
    KeAcquireGuardedMutexUnsafe(Mutex);
}

VOID KeReleaseGuardedMutex(PKGUARDED_MUTEX Mutex)
{
    KeReleaseGuardedMutexUnsafe(Mutex);
    KeLeaveGuardedRegion();
}

BOOLEAN KeTryToAcquireGuardedMutex(PKGUARDED_MUTEX Mutex)
{
    if (InterlockedCompareExchange(&Mutex->Count, 0, 1) != 1)
        return FALSE;
    KeEnterGuardedRegion();
    Mutex->Owner = KiCurrentThread();
    return TRUE;
}

/* --- interlocked lists ---------------------------------------------------------------------------------------------*/

/* At any IRQL: interrupts are off while the lock is held. */
static ULONG64 KiEnterInterlocked(PKSPIN_LOCK Lock)
{
    ULONG64 flags = __readeflags();
    KiDisableInterrupts();
    KiTakeSpinLock(Lock);
    return flags;
}

static void KiLeaveInterlocked(PKSPIN_LOCK Lock, ULONG64 Flags)
{
    KiDropSpinLock(Lock);
    __writeeflags(Flags);
}

/* Fast fail 3, FAST_FAIL_CORRUPT_LIST_ENTRY of winnt.h: bug check 0x139. */
static void KiCheckLinks(const LIST_ENTRY *Entry)
{
    if (Entry->Flink->Blink != Entry || Entry->Blink->Flink != Entry)
        __fastfail(3);
}

PLIST_ENTRY FASTCALL ExInterlockedInsertHeadList(PLIST_ENTRY Head, PLIST_ENTRY Entry, PKSPIN_LOCK Lock)
{
    ULONG64 flags = KiEnterInterlocked(Lock);
    PLIST_ENTRY first = Head->Flink;
    KiCheckLinks(Head);
    KiListInsertTail(first, Entry);
    KiLeaveInterlocked(Lock, flags);
    return first == Head ? NULL : first;
}

PLIST_ENTRY FASTCALL ExInterlockedInsertTailList(PLIST_ENTRY Head, PLIST_ENTRY Entry, PKSPIN_LOCK Lock)
{
    ULONG64 flags = KiEnterInterlocked(Lock);
    PLIST_ENTRY last = Head->Blink;
    KiCheckLinks(Head);
    KiListInsertTail(Head, Entry);
    KiLeaveInterlocked(Lock, flags);
    return last == Head ? NULL : last;
}

PLIST_ENTRY FASTCALL ExInterlockedRemoveHeadList(PLIST_ENTRY Head, PKSPIN_LOCK Lock)
{
    ULONG64 flags = KiEnterInterlocked(Lock);
    PLIST_ENTRY first = Head->Flink;
    if (first != Head) {
        KiCheckLinks(first);
        KiListRemove(first);
    }
    KiLeaveInterlocked(Lock, flags);
    return first == Head ? NULL : first;
}

PSINGLE_LIST_ENTRY FASTCALL ExInterlockedPushEntryList(
    PSINGLE_LIST_ENTRY Head, PSINGLE_LIST_ENTRY Entry, PKSPIN_LOCK Lock)
{
    ULONG64 flags = KiEnterInterlocked(Lock);
    PSINGLE_LIST_ENTRY first = Head->Next;
    Entry->Next = first;
    Head->Next = Entry;
    KiLeaveInterlocked(Lock, flags);
    return first;
}

PSINGLE_LIST_ENTRY FASTCALL ExInterlockedPopEntryList(PSINGLE_LIST_ENTRY Head, PKSPIN_LOCK Lock)
{
    ULONG64 flags = KiEnterInterlocked(Lock);
    PSINGLE_LIST_ENTRY first = Head->Next;
    if (first)
        Head->Next = first->Next;
    KiLeaveInterlocked(Lock, flags);
    return first;
}

LARGE_INTEGER ExInterlockedAddLargeInteger(PLARGE_INTEGER Addend, LARGE_INTEGER Increment, PKSPIN_LOCK Lock)
{
    ULONG64 flags = KiEnterInterlocked(Lock);
    LARGE_INTEGER before = *Addend;
    Addend->QuadPart += Increment.QuadPart;
    KiLeaveInterlocked(Lock, flags);
    return before;
}

ULONG FASTCALL ExInterlockedAddUlong(PULONG Addend, ULONG Increment, PKSPIN_LOCK Lock)
{
    ULONG64 flags = KiEnterInterlocked(Lock);
    ULONG before = *Addend;
    *Addend += Increment;
    KiLeaveInterlocked(Lock, flags);
    return before;
}
