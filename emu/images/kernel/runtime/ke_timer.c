/* Timers and deferred procedure calls. */
#include "runtime.h"

LIST_ENTRY KiTimerListHead = { &KiTimerListHead, &KiTimerListHead };
static LIST_ENTRY KiDpcQueues[MAXIMUM_BOOT_PROCESSORS];
static volatile ULONG64 KiDpcLock;

enum { DpcObject = 19, ThreadedDpcObject = 24 }; /* KOBJECTS */
#define ANY_PROCESSOR 0xFFFF

/* --- DPCs ----------------------------------------------------------------------------------------------------------*/

static LIST_ENTRY *KiDpcQueue(ULONG Processor)
{
    LIST_ENTRY *queue = &KiDpcQueues[Processor];
    if (!queue->Flink)
        KiListInitialize(queue);
    return queue;
}

/* With interrupts off, since an interrupt queues too. */
static ULONG64 KiLockDpcs(void)
{
    ULONG64 flags = __readeflags();
    KiDisableInterrupts();
    KiAcquireLock(&KiDpcLock);
    return flags;
}

static void KiUnlockDpcs(ULONG64 Flags)
{
    KiReleaseLock(&KiDpcLock);
    __writeeflags(Flags);
}

static void KiInitializeDpcAs(UCHAR Type, PRKDPC Dpc, PKDEFERRED_ROUTINE Routine, PVOID Context)
{
    RtlZeroMemory(Dpc, sizeof *Dpc);
    Dpc->Type = Type;
    Dpc->Importance = MediumImportance;
    Dpc->Number = ANY_PROCESSOR;
    Dpc->DeferredRoutine = Routine;
    Dpc->DeferredContext = Context;
}

VOID KeInitializeDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE Routine, PVOID Context)
{
    KiInitializeDpcAs(DpcObject, Dpc, Routine, Context);
}

/* As on a system where threaded DPCs are turned off: they run as ordinary ones. */
VOID KeInitializeThreadedDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE Routine, PVOID Context)
{
    KiInitializeDpcAs(ThreadedDpcObject, Dpc, Routine, Context);
}

static BOOLEAN KiQueueDpc(PRKDPC Dpc, PVOID Argument1, PVOID Argument2)
{
    ULONG64 flags = KiLockDpcs();
    BOOLEAN queued = !Dpc->DpcData;
    if (queued) {
        ULONG processor = Dpc->Number < (ULONG)KeNumberProcessors ? Dpc->Number : KiPrcb()->Number;
        LIST_ENTRY *queue = KiDpcQueue(processor);
        Dpc->DpcData = queue;
        Dpc->SystemArgument1 = Argument1;
        Dpc->SystemArgument2 = Argument2;
        if (Dpc->Importance == HighImportance) {
            KiListInsertTail(queue->Flink, &Dpc->DpcListEntry); /* first */
        } else {
            KiListInsertTail(queue, &Dpc->DpcListEntry);
        }
    }
    KiUnlockDpcs(flags);
    return queued;
}

BOOLEAN KeInsertQueueDpc(PRKDPC Dpc, PVOID Argument1, PVOID Argument2)
{
    KIRQL irql = KfRaiseIrql(max(DISPATCH_LEVEL, KeGetCurrentIrql()));
    BOOLEAN queued = KiQueueDpc(Dpc, Argument1, Argument2);
    KeLowerIrql(irql);
    return queued;
}

BOOLEAN KeRemoveQueueDpc(PRKDPC Dpc)
{
    ULONG64 flags = KiLockDpcs();
    BOOLEAN queued = Dpc->DpcData != NULL;
    if (queued) {
        KiListRemove(&Dpc->DpcListEntry);
        Dpc->DpcData = NULL;
    }
    KiUnlockDpcs(flags);
    return queued;
}

VOID KeSetTargetProcessorDpc(PRKDPC Dpc, CCHAR Number) { Dpc->Number = (USHORT)Number; }

VOID KeSetImportanceDpc(PRKDPC Dpc, KDPC_IMPORTANCE Importance) { Dpc->Importance = (UCHAR)Importance; }

BOOLEAN KiDpcsArePending(void)
{
    LIST_ENTRY *queue = KiDpcQueue(KiPrcb()->Number);
    return queue->Flink != queue;
}

/* Runs the DPCs of this processor. One that another interrupts (a nested call) leaves them to the outer call. */
VOID KiRetireDpcs(void)
{
    KPRCB *prcb = KiPrcb();
    if (prcb->DpcRoutineActive)
        return;
    while (KiDpcsArePending()) {
        ULONG64 flags = KiLockDpcs();
        LIST_ENTRY *queue = KiDpcQueue(prcb->Number);
        if (queue->Flink == queue) {
            KiUnlockDpcs(flags);
            break;
        }
        KDPC *dpc = CONTAINING_RECORD(queue->Flink, KDPC, DpcListEntry);
        KiListRemove(&dpc->DpcListEntry);
        PKDEFERRED_ROUTINE routine = dpc->DeferredRoutine;
        PVOID context = dpc->DeferredContext, argument1 = dpc->SystemArgument1, argument2 = dpc->SystemArgument2;
        dpc->DpcData = NULL;
        prcb->DpcRoutineActive = TRUE;
        KiUnlockDpcs(flags);
        LONG disabled = KiThreadState(prcb->CurrentThread)->KernelApcDisable;
        routine(dpc, context, argument1, argument2);
        prcb = KiPrcb();
        LONG after = KiThreadState(prcb->CurrentThread)->KernelApcDisable;
        if (KeGetCurrentIrql() != DISPATCH_LEVEL)
            KeBugCheckEx(
                IRQL_UNEXPECTED_VALUE, (ULONG_PTR)KeGetCurrentIrql() << 16 | DISPATCH_LEVEL << 8, (ULONG_PTR)routine,
                (ULONG_PTR)dpc, 0);
        if (disabled != after) /* 0xC7 (4): the count of APC disables has changed */
            KeBugCheckEx(
                TIMER_OR_DPC_INVALID, 4, (ULONG_PTR)routine, (ULONG_PTR)(LONG_PTR)disabled, (ULONG_PTR)(LONG_PTR)after);
        prcb->DpcRoutineActive = FALSE;
    }
}

VOID KeFlushQueuedDpcs(VOID)
{
    for (ULONG number = 0; number < (ULONG)KeNumberProcessors; number++)
        while (KiDpcQueue(number)->Flink != KiDpcQueue(number)) {
            LARGE_INTEGER tick = { .QuadPart = -1 };
            KeDelayExecutionThread(KernelMode, FALSE, &tick);
        }
}

/* --- timers --------------------------------------------------------------------------------------------------------*/

VOID KeInitializeTimerEx(PKTIMER Timer, TIMER_TYPE Type)
{
    RtlZeroMemory(Timer, sizeof *Timer);
    Timer->Header.Type = (UCHAR)(TimerNotificationObject + Type);
    Timer->Header.Size = sizeof *Timer / 4;
    KiListInitialize(&Timer->Header.WaitListHead);
}

VOID KeInitializeTimer(PKTIMER Timer) { KeInitializeTimerEx(Timer, NotificationTimer); }

static BOOLEAN KiRemoveTimer(PKTIMER Timer)
{
    BOOLEAN was = Timer->TimerListEntry.Flink != NULL;
    if (was)
        KiListRemove(&Timer->TimerListEntry);
    Timer->TimerListEntry.Flink = NULL;
    return was;
}

static void KiInsertTimer(PKTIMER Timer) { KiListInsertTail(&KiTimerListHead, &Timer->TimerListEntry); }

static void KiExpireTimer(PKTIMER Timer)
{
    PKDPC dpc = Timer->Dpc;
    KiRemoveTimer(Timer);
    if (Timer->Period) {
        Timer->DueTime.QuadPart = KiInterruptTime() + (ULONG64)Timer->Period * 10000;
        KiInsertTimer(Timer);
    }
    KiSignalLocked(&Timer->Header, 1);
    if (dpc) {
        ULONG64 now = KiBootParameters->BootTime + KiInterruptTime();
        KiQueueDpc(dpc, (PVOID)(ULONG_PTR)(ULONG)now, (PVOID)(ULONG_PTR)(now >> 32));
    }
}

VOID KiExpireTimersLocked(void)
{
    for (LIST_ENTRY *entry = KiTimerListHead.Flink, *next; entry != &KiTimerListHead; entry = next) {
        KTIMER *timer = CONTAINING_RECORD(entry, KTIMER, TimerListEntry);
        next = entry->Flink;
        if (timer->DueTime.QuadPart <= KiInterruptTime())
            KiExpireTimer(timer);
    }
}

BOOLEAN KeSetTimerEx(PKTIMER Timer, LARGE_INTEGER DueTime, LONG Period, PKDPC Dpc)
{
    KIRQL irql = KiLockDispatcher();
    BOOLEAN was = KiRemoveTimer(Timer);
    Timer->Header.SignalState = 0;
    Timer->Dpc = Dpc;
    Timer->Period = (ULONG)Period;
    Timer->DueTime.QuadPart = KiDueTime(&DueTime);
    KiInsertTimer(Timer);
    if (Timer->DueTime.QuadPart <= KiInterruptTime())
        KiExpireTimer(Timer);
    KiUnlockDispatcher(irql);
    return was;
}

BOOLEAN KeSetTimer(PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc) { return KeSetTimerEx(Timer, DueTime, 0, Dpc); }

BOOLEAN KeSetCoalescableTimer(PKTIMER Timer, LARGE_INTEGER DueTime, ULONG Period, ULONG TolerableDelay, PKDPC Dpc)
{
    (void)TolerableDelay;
    return KeSetTimerEx(Timer, DueTime, (LONG)Period, Dpc);
}

BOOLEAN KeCancelTimer(PKTIMER Timer)
{
    KIRQL irql = KiLockDispatcher();
    BOOLEAN was = KiRemoveTimer(Timer);
    KiUnlockDispatcher(irql);
    return was;
}

BOOLEAN KeReadStateTimer(PKTIMER Timer) { return Timer->Header.SignalState != 0; }

ULONG64 KeQueryTimerDueTime(PKTIMER Timer) { return Timer->TimerListEntry.Flink ? Timer->DueTime.QuadPart : 0; }

/* 0xC7: memory that is freed, or an image that is unloaded, holds a timer, a DPC or a DPC's routine. */
VOID KeCheckForTimer(PVOID Start, SIZE_T Size)
{
    ULONG64 start = (ULONG64)Start, end = start + Size;
    for (LIST_ENTRY *entry = KiTimerListHead.Flink; entry != &KiTimerListHead; entry = entry->Flink) {
        KTIMER *timer = CONTAINING_RECORD(entry, KTIMER, TimerListEntry);
        if ((ULONG64)timer - start < Size)
            KeBugCheckEx(TIMER_OR_DPC_INVALID, 0, (ULONG_PTR)timer, start, end);
        if (timer->Dpc && (ULONG64)timer->Dpc - start < Size)
            KeBugCheckEx(TIMER_OR_DPC_INVALID, 1, (ULONG_PTR)timer->Dpc, start, end);
        if (timer->Dpc && (ULONG64)timer->Dpc->DeferredRoutine - start < Size)
            KeBugCheckEx(TIMER_OR_DPC_INVALID, 2, (ULONG_PTR)timer->Dpc->DeferredRoutine, start, end);
    }
    for (ULONG number = 0; number < (ULONG)KeNumberProcessors; number++) {
        LIST_ENTRY *queue = KiDpcQueue(number);
        for (LIST_ENTRY *entry = queue->Flink; entry != queue; entry = entry->Flink)
            if ((ULONG64)CONTAINING_RECORD(entry, KDPC, DpcListEntry) - start < Size)
                KeBugCheckEx(
                    TIMER_OR_DPC_INVALID, 1, (ULONG_PTR)CONTAINING_RECORD(entry, KDPC, DpcListEntry), start, end);
    }
}
