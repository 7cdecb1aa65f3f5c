/* Waiting, and what can be waited for: events, mutexes, semaphores. Timers are in ke_timer.c. */
#include "runtime.h"

static BOOLEAN KiIsSignalled(const DISPATCHER_HEADER *Object, const KTHREAD *Thread)
{
    if (Object->Type == MutantObject && ((const KMUTANT *)Object)->OwnerThread == Thread)
        return TRUE;
    return Object->SignalState > 0;
}

/* A wait of `Thread` is satisfied. Returns whether the owner of a mutex ended without releasing it. */
static BOOLEAN KiTakeSignal(DISPATCHER_HEADER *Object, KTHREAD *Thread)
{
    switch (Object->Type) {
    case EventSynchronizationObject:
    case TimerSynchronizationObject:
        Object->SignalState = 0;
        break;
    case SemaphoreObject:
        Object->SignalState--;
        break;
    case MutantObject: {
        KMUTANT *mutant = (KMUTANT *)Object;
        if (--Object->SignalState == 0) {
            mutant->OwnerThread = Thread;
            KiThreadState(Thread)->KernelApcDisable -= mutant->ApcDisable;
            KiListInsertTail(&KiThreadState(Thread)->MutantListHead, &mutant->MutantListEntry);
            BOOLEAN abandoned = mutant->Abandoned;
            mutant->Abandoned = FALSE;
            return abandoned;
        }
        break;
    }
    default:
        break;
    }
    return FALSE;
}

/* Takes what `Thread` waits for, if it can have it now. */
static BOOLEAN KiTryWait(KTHREAD *Thread, NTSTATUS *Status)
{
    KI_THREAD_STATE *state = KiThreadState(Thread);
    if (state->WaitType == WaitAll) {
        for (ULONG i = 0; i < state->WaitCount; i++)
            if (!KiIsSignalled(state->WaitObjects[i], Thread))
                return FALSE;
        *Status = STATUS_WAIT_0;
        for (ULONG i = 0; i < state->WaitCount; i++)
            if (KiTakeSignal(state->WaitObjects[i], Thread))
                *Status = STATUS_ABANDONED;
        return state->WaitCount != 0;
    }
    for (ULONG i = 0; i < state->WaitCount; i++)
        if (KiIsSignalled(state->WaitObjects[i], Thread)) {
            *Status = (KiTakeSignal(state->WaitObjects[i], Thread) ? STATUS_ABANDONED : STATUS_WAIT_0) + (LONG)i;
            return TRUE;
        }
    return FALSE;
}

/* Readies the threads that wait for an object which is signalled. */
static void KiTestWaits(DISPATCHER_HEADER *Object)
{
    for (LIST_ENTRY *entry = KiWaitListHead.Flink, *next; entry != &KiWaitListHead; entry = next) {
        KTHREAD *thread = CONTAINING_RECORD(entry, KTHREAD, WaitListEntry);
        KI_THREAD_STATE *state = KiThreadState(thread);
        NTSTATUS status;
        BOOLEAN waits = FALSE;
        next = entry->Flink;
        for (ULONG i = 0; i < state->WaitCount; i++)
            waits |= state->WaitObjects[i] == Object;
        if (waits && KiTryWait(thread, &status)) {
            KiListRemove(entry);
            thread->WaitStatus = status;
            KiReadyThread(thread);
        }
        if (Object->SignalState <= 0)
            return;
    }
}

VOID KiSignalLocked(DISPATCHER_HEADER *Object, LONG State)
{
    Object->SignalState = State;
    if (State > 0)
        KiTestWaits(Object);
}

/* Count 0: only the time. Interval as documented: negative = relative, positive = system time, NULL = for ever. */
static NTSTATUS KiWait(ULONG Count, PVOID *Objects, WAIT_TYPE Type, const LARGE_INTEGER *Interval)
{
    KTHREAD *thread = KiCurrentThread();
    KI_THREAD_STATE *state = KiThreadState(thread);
    BOOLEAN blocks = !Interval || Interval->QuadPart;
    KIRQL irql = KeGetCurrentIrql();
    if (blocks && irql >= DISPATCH_LEVEL) {
        /* Bug check 0xB8: a wait in a DPC. Else 0xC4 (0x3B): KeWaitXxx at DISPATCH_LEVEL or above. */
        if (KiPrcb()->DpcRoutineActive)
            KeBugCheckEx(ATTEMPTED_SWITCH_FROM_DPC, (ULONG_PTR)thread, (ULONG_PTR)KiPrcb()->IdleThread, 0, 0);
        VfViolation(0x3B, irql, Count ? (ULONG_PTR)Objects[0] : 0, (ULONG_PTR)Interval);
    }
    NTSTATUS status = STATUS_SUCCESS;
    irql = KiLockDispatcher();
    state->WaitCount = Count;
    state->WaitObjects = Objects;
    state->WaitType = Type;
    if (Count && KiTryWait(thread, &status)) {
        KiUnlockDispatcher(irql);
        return status;
    }
    if (!blocks) {
        if (irql >= DISPATCH_LEVEL) {
            KiUnlockDispatcher(irql);
        } else {
            KiReadyThread(thread);
            KiSwitchAway();
            KeLowerIrql(irql);
        }
        return Count ? STATUS_TIMEOUT : STATUS_SUCCESS;
    }
    thread->DueTime = Interval ? max(1, KiDueTime(Interval)) : 0;
    thread->WaitObject = Count ? Objects[0] : NULL;
    thread->WaitStatus = STATUS_SUCCESS;
    thread->State = Waiting;
    KiListInsertTail(&KiWaitListHead, &thread->WaitListEntry);
    KiSwitchAway();
    thread->WaitObject = NULL;
    state->WaitCount = 0;
    KeLowerIrql(irql);
    return (NTSTATUS)thread->WaitStatus;
}

NTSTATUS KeDelayExecutionThread(KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Interval)
{
    (void)WaitMode, (void)Alertable;
    return KiWait(0, NULL, WaitAny, Interval);
}

NTSTATUS KeWaitForSingleObject(
    PVOID Object, KWAIT_REASON Reason, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    (void)Reason, (void)WaitMode, (void)Alertable;
    if (ObpTypeOf(Object) == &ObpFileType)
        Object = &((PFILE_OBJECT)Object)->Event;
    return KiWait(1, &Object, WaitAny, Timeout);
}

NTSTATUS KeWaitForMutexObject(
    PRKMUTEX Mutex, KWAIT_REASON Reason, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    return KeWaitForSingleObject(Mutex, Reason, WaitMode, Alertable, Timeout);
}

NTSTATUS KeWaitForMultipleObjects(
    ULONG Count, PVOID Objects[], WAIT_TYPE WaitType, KWAIT_REASON Reason, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable,
    PLARGE_INTEGER Timeout, PKWAIT_BLOCK Blocks)
{
    (void)Reason, (void)WaitMode, (void)Alertable;
    /* 0xC: more objects than wait blocks (the bug check's reference page). */
    if (Count > (Blocks ? MAXIMUM_WAIT_OBJECTS : THREAD_WAIT_OBJECTS) || !Count)
        KeBugCheckEx(MAXIMUM_WAIT_OBJECTS_EXCEEDED, 0, 0, 0, 0);
    return KiWait(Count, Objects, WaitType, Timeout);
}

/* --- events --------------------------------------------------------------------------------------------------------*/

static void KiInitializeHeader(DISPATCHER_HEADER *Header, ULONG Type, SIZE_T Size, LONG State)
{
    Header->Lock = 0;
    Header->Type = (UCHAR)Type;
    Header->Size = (UCHAR)(Size / 4);
    Header->SignalState = State;
    KiListInitialize(&Header->WaitListHead);
}

VOID KeInitializeEvent(PRKEVENT Event, EVENT_TYPE Type, BOOLEAN State)
{
    KiInitializeHeader(&Event->Header, Type, sizeof *Event, State != 0);
}

static LONG KiSetSignal(DISPATCHER_HEADER *Object, LONG State)
{
    KIRQL irql = KiLockDispatcher();
    LONG before = Object->SignalState;
    KiSignalLocked(Object, State);
    KiUnlockDispatcher(irql);
    return before;
}

LONG KeSetEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait)
{
    (void)Increment, (void)Wait;
    if (KeGetCurrentIrql() > DISPATCH_LEVEL)
        VfViolation(0x80, KeGetCurrentIrql(), (ULONG_PTR)Event, 0);
    return KiSetSignal(&Event->Header, 1);
}

LONG KePulseEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait)
{
    LONG before = KeSetEvent(Event, Increment, Wait);
    KeResetEvent(Event);
    return before;
}

LONG KeResetEvent(PRKEVENT Event)
{
    LONG before = Event->Header.SignalState;
    Event->Header.SignalState = 0;
    return before;
}

VOID KeClearEvent(PRKEVENT Event) { Event->Header.SignalState = 0; }

LONG KeReadStateEvent(PRKEVENT Event) { return Event->Header.SignalState; }

/* --- semaphores ----------------------------------------------------------------------------------------------------*/

VOID KeInitializeSemaphore(PRKSEMAPHORE Semaphore, LONG Count, LONG Limit)
{
    KiInitializeHeader(&Semaphore->Header, SemaphoreObject, sizeof *Semaphore, Count);
    Semaphore->Limit = Limit;
}

LONG KeReleaseSemaphore(PRKSEMAPHORE Semaphore, KPRIORITY Increment, LONG Adjustment, BOOLEAN Wait)
{
    (void)Increment, (void)Wait;
    KIRQL irql = KiLockDispatcher();
    LONG before = Semaphore->Header.SignalState;
    BOOLEAN beyond = Adjustment <= 0 || before > Semaphore->Limit - Adjustment;
    if (!beyond)
        KiSignalLocked(&Semaphore->Header, before + Adjustment);
    KiUnlockDispatcher(irql);
    if (beyond)
        ExRaiseStatus(STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    return before;
}

LONG KeReadStateSemaphore(PRKSEMAPHORE Semaphore) { return Semaphore->Header.SignalState; }

/* --- mutexes -------------------------------------------------------------------------------------------------------*/

static void KiInitializeMutant(KMUTANT *Mutant, BOOLEAN Owned, UCHAR ApcDisable)
{
    KiInitializeHeader(&Mutant->Header, MutantObject, sizeof *Mutant, 1);
    KiListInitialize(&Mutant->MutantListEntry);
    Mutant->OwnerThread = NULL;
    Mutant->Abandoned = FALSE;
    Mutant->ApcDisable = ApcDisable;
    if (Owned)
        KiTakeSignal(&Mutant->Header, KiCurrentThread());
}

VOID KeInitializeMutex(PRKMUTEX Mutex, ULONG Level) { (void)Level, KiInitializeMutant(Mutex, FALSE, 1); }

VOID KeInitializeMutant(PRKMUTANT Mutant, BOOLEAN Owned) { KiInitializeMutant(Mutant, Owned, 0); }

static void KiReleaseOwnership(KMUTANT *Mutant)
{
    KiThreadState(Mutant->OwnerThread)->KernelApcDisable += Mutant->ApcDisable;
    KiListRemove(&Mutant->MutantListEntry);
    Mutant->OwnerThread = NULL;
}

LONG KeReleaseMutant(PRKMUTANT Mutant, KPRIORITY Increment, BOOLEAN Abandoned, BOOLEAN Wait)
{
    (void)Increment, (void)Wait;
    KIRQL irql = KiLockDispatcher();
    LONG before = Mutant->Header.SignalState;
    BOOLEAN owned = Mutant->OwnerThread == KiCurrentThread();
    if (owned) {
        if (before == 0 || Abandoned)
            KiReleaseOwnership(Mutant);
        Mutant->Abandoned = Abandoned;
        KiSignalLocked(&Mutant->Header, Abandoned ? 1 : before + 1);
    }
    KiUnlockDispatcher(irql);
    if (!owned)
        ExRaiseStatus(STATUS_MUTANT_NOT_OWNED);
    return before;
}

LONG KeReleaseMutex(PRKMUTEX Mutex, BOOLEAN Wait) { return KeReleaseMutant(Mutex, 1, FALSE, Wait); }

LONG KeReadStateMutex(PRKMUTEX Mutex) { return Mutex->Header.SignalState; }

LONG KeReadStateMutant(PRKMUTANT Mutant) { return Mutant->Header.SignalState; }

/* A thread ends. That it still holds a mutex is a bug check (0x4000008A); mutants are abandoned. */
VOID KiAbandonMutants(KTHREAD *Thread)
{
    LIST_ENTRY *head = &KiThreadState(Thread)->MutantListHead;
    while (head->Flink != head) {
        KMUTANT *mutant = CONTAINING_RECORD(head->Flink, KMUTANT, MutantListEntry);
        if (mutant->ApcDisable)
            KeBugCheckEx(THREAD_TERMINATE_HELD_MUTEX, (ULONG_PTR)Thread, (ULONG_PTR)mutant, 0, 0);
        KeReleaseMutant(mutant, 0, TRUE, FALSE);
    }
}

/* --- critical and guarded regions ----------------------------------------------------------------------------------*/

VOID KeEnterCriticalRegion(VOID) { KiThreadState(KiCurrentThread())->KernelApcDisable--; }

VOID KeLeaveCriticalRegion(VOID)
{
    if (KiThreadState(KiCurrentThread())->KernelApcDisable >= 0)
        VfViolation(0x3E, 0, 0, 0);
    KiThreadState(KiCurrentThread())->KernelApcDisable++;
}

VOID KeEnterGuardedRegion(VOID) { KiThreadState(KiCurrentThread())->SpecialApcDisable--; }

VOID KeLeaveGuardedRegion(VOID) { KiThreadState(KiCurrentThread())->SpecialApcDisable++; }

BOOLEAN KeAreApcsDisabled(VOID)
{
    KI_THREAD_STATE *state = KiThreadState(KiCurrentThread());
    return state->KernelApcDisable || state->SpecialApcDisable;
}

BOOLEAN KeAreAllApcsDisabled(VOID)
{
    return KiThreadState(KiCurrentThread())->SpecialApcDisable || KeGetCurrentIrql() >= APC_LEVEL;
}

/* --- the end of a thread -------------------------------------------------------------------------------------------*/

VOID MiReturnKernelStack(PVOID Base);

DECLSPEC_NORETURN VOID KiTerminateThread(VOID)
{
    KTHREAD *thread = KiCurrentThread();
    KI_THREAD_STATE *state = KiThreadState(thread);
    KiAbandonMutants(thread);
    /* 0x20: the thread ends with APCs disabled, or at a raised IRQL. */
    if (state->KernelApcDisable || state->SpecialApcDisable || KeGetCurrentIrql() > PASSIVE_LEVEL)
        KeBugCheckEx(
            KERNEL_APC_PENDING_DURING_EXIT, 0, (ULONG_PTR)(LONG_PTR)state->KernelApcDisable, KeGetCurrentIrql(), 1);
    KiLockDispatcher();
    KiSignalLocked(&thread->Header, 1);
    KiListRemove(&thread->ThreadListEntry);
    thread->State = Terminated;
    MiReturnKernelStack(thread->StackBase);
    KiSwitchAway();
    KiFatal("a terminated thread ran");
}
