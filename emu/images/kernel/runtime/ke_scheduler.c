/* IRQL, the scheduler and the clock: a ready list for each processor, a list of waiting threads. A thread stays on its
   processor. */
#include "runtime.h"

volatile ULONG64 KiDispatcherLock;
LIST_ENTRY KiWaitListHead = { &KiWaitListHead, &KiWaitListHead };
static ULONG64 KiTickCount;
static volatile ULONG64 KiExpirationIsLate; /* a tick came while its processor could not look at waits and timers */

#define CLOCK_LEVEL_AMD64 13 /* wdm.h CLOCK_LEVEL */
#define MSR_KERNEL_GS_BASE 0xC0000102
#define INITIAL_FPCW 0x27F
#define STATE_SAVE_SIZE 0x200
#define RFLAGS_IF 0x200
/* A driver that has something left to do gets a minute. */
#define LONGEST_SCENARIO (60 * 64)

static void KiExpireWaits(void);

/* --- IRQL ----------------------------------------------------------------------------------------------------------*/

KIRQL KeGetCurrentIrql(VOID) { return KiPcr()->Irql; }

KIRQL KfRaiseIrql(KIRQL NewIrql)
{
    KPCR *pcr = KiPcr();
    KIRQL old = pcr->Irql;
    if (NewIrql < old || NewIrql > HIGH_LEVEL)
        VfViolation(0x30, old, NewIrql, 0);
    if (old < DISPATCH_LEVEL && NewIrql >= DISPATCH_LEVEL && !PsIsKernelImage((ULONG64)__builtin_return_address(0)))
        MiTrimPagedPool();
    pcr->Irql = NewIrql;
    return old;
}

KIRQL KeRaiseIrqlToDpcLevel(VOID)
{
    KPCR *pcr = KiPcr();
    KIRQL old = pcr->Irql;
    if (old > DISPATCH_LEVEL)
        VfViolation(0x30, old, DISPATCH_LEVEL, 0);
    if (old < DISPATCH_LEVEL && !PsIsKernelImage((ULONG64)__builtin_return_address(0)))
        MiTrimPagedPool();
    pcr->Irql = DISPATCH_LEVEL;
    return old;
}

KIRQL KeRaiseIrqlToSynchLevel(VOID) { return KfRaiseIrql(12); } /* wdm.h: SYNCH_LEVEL of amd64 */

VOID KeLowerIrql(KIRQL NewIrql)
{
    KPCR *pcr = KiPcr();
    if (NewIrql > pcr->Irql)
        VfViolation(0x31, pcr->Irql, NewIrql, 0);
    if (NewIrql < DISPATCH_LEVEL && pcr->Prcb.DpcRoutineActive)
        VfViolation(0x31, pcr->Irql, NewIrql, 1);
    if (NewIrql < DISPATCH_LEVEL && pcr->Irql >= DISPATCH_LEVEL) {
        pcr->Irql = DISPATCH_LEVEL;
        if (KiExpirationIsLate)
            KiExpireWaits();
        KiRetireDpcs();
    }
    KiPcr()->Irql = NewIrql;
    if (NewIrql < DISPATCH_LEVEL && KiPrcb()->QuantumEnd)
        KiCheckQuantumEnd();
}

VOID KiAcquireLock(volatile ULONG64 *Lock)
{
    while (__atomic_exchange_n(Lock, 1, __ATOMIC_ACQUIRE))
        YieldProcessor();
}

VOID KiReleaseLock(volatile ULONG64 *Lock) { __atomic_store_n(Lock, 0, __ATOMIC_RELEASE); }

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
    KiListInitialize(&KiThreadState(Thread)->MutantListHead);
    KiThreadState(Thread)->Priority = 8; /* wdm.h NORMAL_BASE_PRIORITY */
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

/* What KiSwapStacks finds on the stack of a thread that has not run. */
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
        ULONG64 root = ((KPROCESS *)next->ApcState.Process)->DirectoryTableBase;
        if (root != __readcr3())
            __writecr3(root);
        KiSwapContext(old, next);
    }
    KiPcr()->Irql = irql;
    KiReleaseLock(&KiDispatcherLock);
    __writeeflags(flags);
}

/* A tick found other threads ready: the current one goes behind them. */
VOID KiCheckQuantumEnd(VOID)
{
    KPCR *pcr = KiPcr();
    KIRQL irql = pcr->Irql;
    pcr->Irql = DISPATCH_LEVEL;
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
        if (KiDpcsArePending()) {
            KiEnableInterrupts();
            KiRetireDpcs();
        }
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

BOOLEAN KiIsUserThread(void) { return KiCurrentThread()->Teb != NULL; }

/* --- time ----------------------------------------------------------------------------------------------------------*/

static void KiWriteTime(volatile KSYSTEM_TIME *Time, ULONG64 Value)
{
    Time->High2Time = (LONG)(Value >> 32);
    Time->LowPart = (ULONG)Value;
    Time->High1Time = (LONG)(Value >> 32);
}

ULONG64 KiInterruptTime(void) { return KiBootParameters->InterruptTime + KiTickCount * KeTimeIncrement; }

ULONG64 KiDueTime(const LARGE_INTEGER *Interval)
{
    return Interval->QuadPart < 0 ? KiInterruptTime() - (ULONG64)Interval->QuadPart
                                  : (ULONG64)Interval->QuadPart - KiBootParameters->BootTime;
}

/* Puts the time where everybody reads it. */
VOID KiUpdateTime(VOID)
{
    ULONG64 ticks = KiInterruptTime() / KeTimeIncrement;
    KiWriteTime(&KiUserSharedData->InterruptTime, KiInterruptTime());
    KiWriteTime(&KiUserSharedData->SystemTime, KiBootParameters->BootTime + KiInterruptTime());
    KiWriteTime((volatile KSYSTEM_TIME *)(KUSER_KERNEL + 0x320), ticks); /* TickCount */
    KiUserSharedData->TickCountLowDeprecated = (ULONG)ticks;
}

/* Readies the threads whose time has come, and signals the timers. At DISPATCH_LEVEL. */
static void KiExpireWaits(void)
{
    KiExpirationIsLate = 0;
    KiAcquireLock(&KiDispatcherLock);
    KiExpireTimersLocked();
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

static void KiCheckScenarioEnd(void)
{
    const BOOT_PARAMETERS *boot = KiBootParameters;
    if (boot->Scenario != SCENARIO_NONE || !boot->ScenarioTicks || KiTickCount < boot->ScenarioTicks)
        return;
    if (KiTickCount >= LONGEST_SCENARIO || IopDriversAreIdle())
        KiHypercall(HYPERCALL_FINISHED, 0, 0, 0);
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
    BOOLEAN idle = prcb->CurrentThread == prcb->IdleThread && !prcb->DpcRoutineActive;
    BOOLEAN open = irql < DISPATCH_LEVEL || idle; /* this processor holds no lock */
    pcr->Irql = CLOCK_LEVEL_AMD64;
    if (prcb->Number == 0) {
        KiTickCount++;
        KiUpdateTime();
        KiCheckScenarioEnd();
        KiExpirationIsLate = 1;
    }
    prcb->QuantumEnd = TRUE;
    if (open && Frame->EFlags & RFLAGS_IF) {
        pcr->Irql = DISPATCH_LEVEL;
        if (prcb->Number == 0)
            KiExpireWaits();
        KiEnableInterrupts();
        KiRetireDpcs();
        KiDisableInterrupts();
    }
    pcr->Irql = irql;
    if (irql < DISPATCH_LEVEL && Frame->EFlags & RFLAGS_IF)
        KiCheckQuantumEnd();
}

ULONG KeQueryTimeIncrement(VOID) { return KeTimeIncrement; }

VOID KeQuerySystemTimePrecise(PLARGE_INTEGER Time)
{
    Time->QuadPart = (LONGLONG)(KiBootParameters->BootTime + KiInterruptTime());
}

VOID KeQuerySystemTime(PLARGE_INTEGER Time) { KeQuerySystemTimePrecise(Time); }

ULONG64 KeQueryInterruptTime(VOID) { return KiInterruptTime(); }

ULONG64 KeQueryInterruptTimePrecise(PULONG64 QpcTimeStamp)
{
    if (QpcTimeStamp)
        *QpcTimeStamp = __rdtsc();
    return KiInterruptTime();
}

VOID KeQueryTickCount(PLARGE_INTEGER Count) { Count->QuadPart = (LONGLONG)(KiInterruptTime() / KeTimeIncrement); }

/* --- processors ----------------------------------------------------------------------------------------------------*/

KAFFINITY KeSetSystemAffinityThreadEx(KAFFINITY Affinity)
{
    KTHREAD *thread = KiCurrentThread();
    KAFFINITY before = 1ull << thread->NextProcessor;
    ULONG target = thread->NextProcessor;
    for (ULONG number = (ULONG)KeNumberProcessors; number-- > 0;)
        if (Affinity >> number & 1)
            target = number;
    if (target != thread->NextProcessor) {
        KIRQL irql = KiLockDispatcher();
        thread->NextProcessor = target;
        KiReadyThread(thread);
        KiSwitchAway();
        KeLowerIrql(irql);
    }
    return before;
}

VOID KeRevertToUserAffinityThreadEx(KAFFINITY Affinity) { KeSetSystemAffinityThreadEx(Affinity); }

VOID KeSetSystemAffinityThread(KAFFINITY Affinity) { KeSetSystemAffinityThreadEx(Affinity); }

VOID KeRevertToUserAffinityThread(VOID) {}

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
    return (ULONG)KeNumberProcessors;
}

ULONG KeQueryActiveProcessorCountEx(USHORT Group) { return (void)Group, (ULONG)KeNumberProcessors; }

ULONG KeQueryMaximumProcessorCount(VOID) { return (ULONG)KeNumberProcessors; }

ULONG KeQueryMaximumProcessorCountEx(USHORT Group) { return (void)Group, (ULONG)KeNumberProcessors; }

KAFFINITY KeQueryActiveProcessors(VOID) { return (1ull << KeNumberProcessors) - 1; }

PKTHREAD KeGetCurrentThread(VOID) { return KiCurrentThread(); }

KPRIORITY KeSetPriorityThread(PKTHREAD Thread, KPRIORITY Priority)
{
    LONG before = KiThreadState(Thread)->Priority;
    KiThreadState(Thread)->Priority = Priority;
    return before;
}

KPRIORITY KeQueryPriorityThread(PKTHREAD Thread) { return KiThreadState(Thread)->Priority; }
