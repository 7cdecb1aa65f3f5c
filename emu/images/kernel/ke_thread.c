/* The scheduler: a ready list for each processor, a list of waiting threads, clock ticks. A thread stays on its
   processor. */
#include "ntos.h"

volatile ULONG64 KiDispatcherLock;
LIST_ENTRY KiWaitListHead = { &KiWaitListHead, &KiWaitListHead };
static ULONG64 KiTickCount;

#define CLOCK_LEVEL_AMD64 13 /* wdm.h CLOCK_LEVEL */
#define MSR_KERNEL_GS_BASE 0xC0000102
#define INITIAL_FPCW 0x27F
#define STATE_SAVE_SIZE 0x200

KIRQL KeGetCurrentIrql(VOID) { return KiPcr()->Irql; }

KIRQL KfRaiseIrql(KIRQL NewIrql)
{
    KPCR *pcr = KiPcr();
    KIRQL old = pcr->Irql;
    if (NewIrql < old)
        KeBugCheckEx(IRQL_NOT_GREATER_OR_EQUAL, old, NewIrql, 0, 9);
    pcr->Irql = NewIrql;
    return old;
}

KIRQL KeRaiseIrqlToDpcLevel(VOID) { return KfRaiseIrql(DISPATCH_LEVEL); }

VOID KeLowerIrql(KIRQL NewIrql)
{
    KPCR *pcr = KiPcr();
    if (NewIrql > pcr->Irql)
        KeBugCheckEx(IRQL_NOT_LESS_OR_EQUAL, pcr->Irql, NewIrql, 0, (ULONG_PTR)KeLowerIrql);
    pcr->Irql = NewIrql;
    if (NewIrql < DISPATCH_LEVEL && pcr->Prcb.QuantumEnd)
        KiCheckQuantumEnd();
}

VOID KiAcquireLock(volatile ULONG64 *Lock)
{
    while (__atomic_exchange_n(Lock, 1, __ATOMIC_ACQUIRE))
        YieldProcessor();
}

VOID KiReleaseLock(volatile ULONG64 *Lock) { __atomic_store_n(Lock, 0, __ATOMIC_RELEASE); }

KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK Lock)
{
    KIRQL old = KeRaiseIrqlToDpcLevel();
    KiAcquireLock((volatile ULONG64 *)Lock);
    return old;
}

VOID KeReleaseSpinLock(PKSPIN_LOCK Lock, KIRQL OldIrql)
{
    KiReleaseLock((volatile ULONG64 *)Lock);
    KeLowerIrql(OldIrql);
}

/* --- threads -------------------------------------------------------------------------------------------------------*/

VOID KiInitializeThread(
    KTHREAD *Thread, KPROCESS *Process, PVOID StackBase, PKSTART_ROUTINE Routine, PVOID Context, ULONG Processor)
{
    Thread->Header.Type = ThreadObject;
    Thread->Header.Size = sizeof *Thread / 4 & 0xFF;
    KiListInitialize(&Thread->Header.WaitListHead);
    KiListInitialize(&Thread->ApcState.ApcListHead[0]);
    KiListInitialize(&Thread->ApcState.ApcListHead[1]);
    KiListInitialize(&Thread->QueueListEntry);
    Thread->ApcState.Process = Process;
    Thread->Process = Process;
    Thread->StackBase = StackBase;
    Thread->StackLimit = (PUCHAR)StackBase - KERNEL_STACK_SIZE;
    Thread->NextProcessor = Processor;
    Thread->State = Initialized;
    Thread->StartRoutine = (PVOID)Routine;
    Thread->StartContext = Context;

    KiListInsertTail(&Process->ThreadListHead, &Thread->ThreadListEntry);
}

/* What KiSwapStacks finds on the stack of a thread that has not run. An idle thread has run: its processor began on
   it. */
VOID KiInitializeStack(KTHREAD *Thread)
{
    PUCHAR top = (PUCHAR)Thread->StackBase - STATE_SAVE_SIZE;
    Thread->StateSaveArea = Thread->InitialStack = top;

    /* FXSAVE image of a thread that has not computed: control words of winnt.h INITIAL_FPCSR and INITIAL_MXCSR. */
    RtlZeroMemory(top, STATE_SAVE_SIZE);
    *(USHORT *)top = INITIAL_FPCW;
    *(ULONG *)(top + 24) = 0x1F80;

    /* Below room for the trap frame of ring 3: what KiThreadEntry finds (no return address, its two arguments), and
       below that what KiSwapStacks leaves. */
    PVOID *call = (PVOID *)(top - sizeof(KTRAP_FRAME) - 0x28);
    KSWITCH_FRAME *frame = (KSWITCH_FRAME *)call - 1;
    RtlZeroMemory(frame, sizeof *frame + 0x28);
    call[1] = Thread->StartRoutine;
    call[2] = Thread->StartContext;
    frame->Return = (ULONG64)KiThreadEntry;
    Thread->KernelStack = frame;
}

/* The first C code of a thread: the switch left the dispatcher lock held. */
VOID KiThreadStart(PKSTART_ROUTINE Routine, PVOID Context)
{
    KiReleaseLock(&KiDispatcherLock);
    KiEnableInterrupts();
    KeLowerIrql(PASSIVE_LEVEL);
    Routine(Context);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

VOID KiReadyThread(KTHREAD *Thread)
{
    Thread->State = Ready;
    KiListInsertTail(&KiProcessorBlock[Thread->NextProcessor]->DispatcherReadyListHead, &Thread->WaitListEntry);
}

/* Runs the next ready thread of this processor, or the idle thread. The current one has been put where it belongs. */
VOID KiSwitchAway(VOID)
{
    KPCR *pcr = KiPcr();
    KPRCB *prcb = &pcr->Prcb;
    KTHREAD *old = prcb->CurrentThread, *next = prcb->IdleThread;
    KIRQL irql = pcr->Irql;
    ULONG64 flags = __readeflags();
    LIST_ENTRY *head = &prcb->DispatcherReadyListHead;
    KiDisableInterrupts();
    if (head->Flink != head) {
        next = CONTAINING_RECORD(head->Flink, KTHREAD, WaitListEntry);
        KiListRemove(&next->WaitListEntry);
    }
    prcb->QuantumEnd = FALSE;
    next->State = Running;
    if (next != old) {
        prcb->CurrentThread = next;
        prcb->RspBase = next->InitialStack;
        pcr->TssBase->Rsp0 = (ULONG64)next->InitialStack;
        __writemsr(MSR_KERNEL_GS_BASE, (ULONG64)next->Teb);
        if (next->Process->DirectoryTableBase != __readcr3())
            __writecr3(next->Process->DirectoryTableBase);
        KiSwapContext(old, next);
    }
    KiPcr()->Irql = irql;
    KiReleaseLock(&KiDispatcherLock);
    __writeeflags(flags);
}

/* A tick found other threads ready: the current one goes behind them. */
VOID KiCheckQuantumEnd(VOID)
{
    KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
    KPRCB *prcb = KiPrcb();
    prcb->QuantumEnd = FALSE;
    KiAcquireLock(&KiDispatcherLock);
    LIST_ENTRY *ready = &prcb->DispatcherReadyListHead;
    if (prcb->CurrentThread != prcb->IdleThread && ready->Flink != ready) {
        KiReadyThread(prcb->CurrentThread);
        KiSwitchAway();
    } else {
        KiReleaseLock(&KiDispatcherLock);
    }
    KiPcr()->Irql = irql;
}

DECLSPEC_NORETURN VOID KiIdleLoop(VOID)
{
    for (;;) {
        KPRCB *prcb = KiPrcb();
        KiDisableInterrupts();
        if (prcb->DispatcherReadyListHead.Flink != &prcb->DispatcherReadyListHead) {
            KiAcquireLock(&KiDispatcherLock);
            KiSwitchAway();
            continue;
        }
        KiEnableInterrupts();
        KiHypercall(HYPERCALL_YIELD, 0, 0, 0);
    }
}

/* --- time ----------------------------------------------------------------------------------------------------------*/

static void KiWriteTime(volatile KSYSTEM_TIME *Time, ULONG64 Value)
{
    Time->High2Time = (LONG)(Value >> 32);
    Time->LowPart = (ULONG)Value;
    Time->High1Time = (LONG)(Value >> 32);
}

static ULONG64 KiInterruptTime(void) { return KiBootParameters->InterruptTime + KiTickCount * KeTimeIncrement; }

/* Puts the time where everybody reads it. */
VOID KiUpdateTime(VOID)
{
    ULONG64 ticks = KiInterruptTime() / KeTimeIncrement;
    KiWriteTime(&KiUserSharedData->InterruptTime, KiInterruptTime());
    KiWriteTime(&KiUserSharedData->SystemTime, KiBootParameters->BootTime + KiInterruptTime());
    KiWriteTime((volatile KSYSTEM_TIME *)(KUSER_KERNEL + 0x320), ticks); /* TickCount */
    KiUserSharedData->TickCountLowDeprecated = (ULONG)ticks;
}

/* Readies the threads whose time has come. */
static void KiExpireWaits(void)
{
    KiPcr()->Irql = DISPATCH_LEVEL;
    KiAcquireLock(&KiDispatcherLock);
    for (LIST_ENTRY *entry = KiWaitListHead.Flink, *next; entry != &KiWaitListHead; entry = next) {
        KTHREAD *thread = CONTAINING_RECORD(entry, KTHREAD, WaitListEntry);
        next = entry->Flink;
        if (thread->DueTime && thread->DueTime <= KiInterruptTime()) {
            KiListRemove(entry);
            thread->WaitStatus = thread->WaitObject ? STATUS_TIMEOUT : STATUS_SUCCESS;
            KiReadyThread(thread);
        }
    }
    KiReleaseLock(&KiDispatcherLock);
}

/* The clock interrupt, on every processor; processor 0 keeps the time. */
VOID KiClockTick(const KTRAP_FRAME *Frame)
{
    KPCR *pcr = KiPcr();
    KPRCB *prcb = &pcr->Prcb;
    KIRQL irql = pcr->Irql;
    prcb->InterruptCount++;
    if (irql >= CLOCK_LEVEL_AMD64)
        return; /* masked: the tick is lost */
    pcr->Irql = CLOCK_LEVEL_AMD64;
    if (prcb->Number == 0) {
        const BOOT_PARAMETERS *boot = KiBootParameters;
        KiTickCount++;
        KiUpdateTime();
        if (boot->Scenario == SCENARIO_NONE && boot->ScenarioTicks && KiTickCount >= boot->ScenarioTicks)
            KiHypercall(HYPERCALL_FINISHED, 0, 0, 0);
        /* Not while this processor may hold the dispatcher lock: then the next tick looks. */
        if (irql < DISPATCH_LEVEL || prcb->CurrentThread == prcb->IdleThread)
            KiExpireWaits();
    }
    prcb->QuantumEnd = TRUE;
    pcr->Irql = irql;
    if (irql < DISPATCH_LEVEL && Frame->EFlags & 0x200)
        KiCheckQuantumEnd();
}

ULONG KeQueryTimeIncrement(VOID) { return KeTimeIncrement; }

VOID KeQuerySystemTimePrecise(PLARGE_INTEGER Time)
{
    Time->QuadPart = (LONGLONG)(KiBootParameters->BootTime + KiInterruptTime());
}

/* --- waiting -------------------------------------------------------------------------------------------------------*/

static BOOLEAN KiTakeSignal(DISPATCHER_HEADER *Object)
{
    if (Object->SignalState <= 0)
        return FALSE;
    if (Object->Type == EventSynchronizationObject)
        Object->SignalState = 0;
    return TRUE;
}

/* NULL Object: only the time. Interval as documented: negative = relative, positive = system time, NULL = for ever. */
static NTSTATUS KiWait(DISPATCHER_HEADER *Object, PLARGE_INTEGER Interval)
{
    KTHREAD *thread = KiCurrentThread();
    if (KeGetCurrentIrql() > DISPATCH_LEVEL)
        KeBugCheckEx(ATTEMPTED_SWITCH_FROM_DPC, 0, 0, 0, 0);
    KIRQL irql = KeRaiseIrqlToDpcLevel();
    KiAcquireLock(&KiDispatcherLock);
    if (Object && KiTakeSignal(Object)) {
        KiReleaseLock(&KiDispatcherLock);
        KeLowerIrql(irql);
        return STATUS_SUCCESS;
    }
    if (Interval && !Interval->QuadPart) {
        NTSTATUS status = Object ? STATUS_TIMEOUT : STATUS_SUCCESS;
        KiReadyThread(thread);
        KiSwitchAway();
        KeLowerIrql(irql);
        return status;
    }
    thread->DueTime = 0;
    if (Interval)
        thread->DueTime = Interval->QuadPart < 0 ? KiInterruptTime() - (ULONG64)Interval->QuadPart
                                                 : (ULONG64)Interval->QuadPart - KiBootParameters->BootTime;
    thread->WaitObject = Object;
    thread->WaitStatus = STATUS_SUCCESS;
    thread->State = Waiting;
    KiListInsertTail(&KiWaitListHead, &thread->WaitListEntry);
    KiSwitchAway();
    thread->WaitObject = NULL;
    KeLowerIrql(irql);
    return (NTSTATUS)thread->WaitStatus;
}

NTSTATUS KeDelayExecutionThread(KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Interval)
{
    (void)WaitMode, (void)Alertable;
    return KiWait(NULL, Interval);
}

NTSTATUS KeWaitForSingleObject(
    PVOID Object, KWAIT_REASON Reason, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    (void)Reason, (void)WaitMode, (void)Alertable;
    return KiWait(Object, Timeout);
}

VOID KeInitializeEvent(PRKEVENT Event, EVENT_TYPE Type, BOOLEAN State)
{
    Event->Header.Type = (UCHAR)Type;
    Event->Header.Size = sizeof *Event / 4;
    Event->Header.SignalState = State;
    KiListInitialize(&Event->Header.WaitListHead);
}

/* Signals a dispatcher object and readies who waits for it. Returns its state before. */
static LONG KiSignal(DISPATCHER_HEADER *Object)
{
    KIRQL irql = KeRaiseIrqlToDpcLevel();
    KiAcquireLock(&KiDispatcherLock);
    LONG before = Object->SignalState;
    Object->SignalState = 1;
    for (LIST_ENTRY *entry = KiWaitListHead.Flink, *next; entry != &KiWaitListHead; entry = next) {
        KTHREAD *thread = CONTAINING_RECORD(entry, KTHREAD, WaitListEntry);
        next = entry->Flink;
        if (thread->WaitObject == Object && KiTakeSignal(Object)) {
            KiListRemove(entry);
            KiReadyThread(thread);
        }
    }
    KiReleaseLock(&KiDispatcherLock);
    KeLowerIrql(irql);
    return before;
}

LONG KeSetEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait)
{
    (void)Increment, (void)Wait;
    return KiSignal(&Event->Header);
}

LONG KeResetEvent(PRKEVENT Event)
{
    LONG before = Event->Header.SignalState;
    Event->Header.SignalState = 0;
    return before;
}

/* The end of the current thread, for the scheduler: its object is signalled and it never runs again. */
DECLSPEC_NORETURN VOID KiTerminateThread(VOID)
{
    KTHREAD *thread = KiCurrentThread();
    KiSignal(&thread->Header);
    KeRaiseIrqlToDpcLevel();
    KiAcquireLock(&KiDispatcherLock);
    KiListRemove(&thread->ThreadListEntry);
    thread->State = Terminated;
    KiSwitchAway();
    KiFatal("a terminated thread ran");
}

/* --- processors ----------------------------------------------------------------------------------------------------*/

KAFFINITY KeSetSystemAffinityThreadEx(KAFFINITY Affinity)
{
    KTHREAD *thread = KiCurrentThread();
    KAFFINITY before = 1ull << thread->NextProcessor;
    ULONG target = thread->NextProcessor;
    for (ULONG number = KeNumberProcessors; number-- > 0;)
        if (Affinity >> number & 1)
            target = number;
    if (target != thread->NextProcessor) {
        KIRQL irql = KeRaiseIrqlToDpcLevel();
        KiAcquireLock(&KiDispatcherLock);
        thread->NextProcessor = target;
        KiReadyThread(thread);
        KiSwitchAway();
        KeLowerIrql(irql);
    }
    return before;
}

VOID KeRevertToUserAffinityThreadEx(KAFFINITY Affinity) { KeSetSystemAffinityThreadEx(Affinity); }

ULONG KeGetCurrentProcessorNumberEx(PPROCESSOR_NUMBER Number)
{
    ULONG number = KiPrcb()->Number;
    if (Number) {
        Number->Group = 0;
        Number->Number = (UCHAR)number;
        Number->Reserved = 0;
    }
    return number;
}

ULONG KeQueryActiveProcessorCount(PKAFFINITY Affinity)
{
    if (Affinity)
        *Affinity = (1ull << KeNumberProcessors) - 1;
    return KeNumberProcessors;
}
