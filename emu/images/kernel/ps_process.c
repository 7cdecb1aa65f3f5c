/* Processes and threads: the System process, the idle threads, user processes that the loader prepared, system threads.
   */
#include "ntos.h"

LIST_ENTRY PsActiveProcessHead = { &PsActiveProcessHead, &PsActiveProcessHead };
EPROCESS *PsInitialSystemProcess, *PsIdleProcess;
HANDLE_TABLE *PspCidTable;
static ULONG64 PspNextThreadId = 8;

#define PRIORITY_CLASS_NORMAL 2
#define MAXIMUM_IMAGE_PATH (sizeof((BOOT_PROCESS *)0)->ImagePath / sizeof(USHORT))
#define SYSTEM_THREAD_HANDLE 0xFFFFFFFF80000000ull /* | thread id: what PsCreateSystemThread returns */

static PVOID PspAllocate(SIZE_T Size, ULONG Tag)
{
    PVOID memory = ExAllocatePool2(POOL_FLAG_NON_PAGED, Size, Tag);
    if (!memory)
        KiFatal("nonpaged pool is too small");
    return memory;
}

static EPROCESS *PspAllocateProcess(ULONG64 Id, ULONG64 Parent, ULONG64 Root, PCSTR Name, ULONG64 CreateTime)
{
    EPROCESS *process = PspAllocate(sizeof *process, 'corP');
    process->Pcb.Header.Type = ProcessObject;
    process->Pcb.Header.Size = sizeof process->Pcb / 4 & 0xFF;
    KiListInitialize(&process->Pcb.Header.WaitListHead);
    KiListInitialize(&process->Pcb.ProfileListHead);
    KiListInitialize(&process->Pcb.ThreadListHead);
    KiListInitialize(&process->ThreadListHead);
    process->Pcb.DirectoryTableBase = Root;
    process->UniqueProcessId = (HANDLE)Id;
    process->InheritedFromUniqueProcessId = (HANDLE)Parent;
    process->ExitStatus = STATUS_PENDING;
    process->PriorityClass = PRIORITY_CLASS_NORMAL;
    process->CreateTime.QuadPart = (LONGLONG)CreateTime;
    process->ObjectTable = PspAllocate(sizeof(HANDLE_TABLE), 'btbO');
    process->ObjectTable->QuotaProcess = process;
    for (ULONG i = 0; i < sizeof process->ImageFileName - 1 && Name[i]; i++)
        process->ImageFileName[i] = (UCHAR)Name[i];
    return process;
}

/* What the audit log would name: the path of the program. An empty one is none, as that of System is. */
static VOID PspSetImagePath(EPROCESS *Process, const USHORT *Path)
{
    OBJECT_NAME_INFORMATION *information = PspAllocate(sizeof *information + MAXIMUM_IMAGE_PATH * sizeof *Path, 'aPeS');
    UNICODE_STRING *name = &information->Name;
    name->Buffer = (PWSTR)(information + 1);
    while (Path && name->Length / sizeof *Path < MAXIMUM_IMAGE_PATH - 1 && Path[name->Length / sizeof *Path]) {
        name->Buffer[name->Length / sizeof *Path] = Path[name->Length / sizeof *Path];
        name->Length += sizeof *Path;
    }
    name->MaximumLength = name->Length ? (USHORT)(name->Length + sizeof *Path) : 0;
    if (!name->Length)
        name->Buffer = NULL;
    Process->SeAuditProcessCreationInfo.ImageFileName = information;
}

EPROCESS *PspCreateProcess(const BOOT_PROCESS *Process)
{
    EPROCESS *process = PspAllocateProcess(
        Process->ProcessId, Process->ParentProcessId, Process->DirectoryTableBase, Process->ImageFileName,
        Process->CreateTime);
    PspSetImagePath(process, Process->ImagePath);
    MmInitializeVads(process, Process->Regions, Process->RegionCount);
    process->Peb = (PVOID)Process->Peb;
    process->SectionBaseAddress = (PVOID)Process->SectionBaseAddress;
    process->BreakOnTermination = (Process->Flags & BOOT_PROCESS_CRITICAL) != 0;
    KiListInsertTail(&PsActiveProcessHead, &process->ActiveProcessLinks);
    return process;
}

static ETHREAD *PspCreateThread(
    EPROCESS *Process, PVOID StackBase, PKSTART_ROUTINE Routine, PVOID Context, ULONG Processor)
{
    ETHREAD *thread = PspAllocate(sizeof *thread, 'erhT');
    KiInitializeThread(&thread->Tcb, &Process->Pcb, StackBase, Routine, Context, Processor);
    thread->Cid.UniqueProcess = Process->UniqueProcessId;
    thread->StartAddress = thread->Win32StartAddress = (PVOID)Routine;
    thread->ExitStatus = STATUS_PENDING;
    KiListInitialize(&thread->IrpList);
    KeQuerySystemTimePrecise(&thread->CreateTime);
    KiListInsertTail(&Process->ThreadListHead, &thread->ThreadListEntry);
    Process->ActiveThreads++;
    return thread;
}

static ETHREAD *PspCreateStackedThread(EPROCESS *Process, PKSTART_ROUTINE Routine, PVOID Context, ULONG Processor)
{
    PVOID stack = MmCreateKernelStack();
    if (!stack)
        return NULL;
    ETHREAD *thread = PspCreateThread(Process, stack, Routine, Context, Processor);
    KiInitializeStack(&thread->Tcb);
    thread->Cid.UniqueThread = (HANDLE)PspNextThreadId;
    PspNextThreadId += 4;
    return thread;
}

static void PspReady(ETHREAD *Thread)
{
    KIRQL irql = KeRaiseIrqlToDpcLevel();
    KiAcquireLock(&KiDispatcherLock);
    KiReadyThread(&Thread->Tcb);
    KiReleaseLock(&KiDispatcherLock);
    KeLowerIrql(irql);
}

VOID PsInitializeIdleThread(ULONG Number, const BOOT_PROCESSOR *Processor)
{
    KPCR *pcr = KiPcr();
    PVOID stack = (PVOID)Processor->IdleStack;
    ETHREAD *thread = PspCreateThread(PsIdleProcess, stack, (PKSTART_ROUTINE)KiIdleLoop, NULL, Number);
    thread->Tcb.State = Running;
    thread->Tcb.InitialStack = (PVOID)Processor->IdleStack;
    thread->Tcb.StateSaveArea = PspAllocate(0x200, 'tSeK');
    pcr->Prcb.IdleThread = pcr->Prcb.CurrentThread = &thread->Tcb;
}

VOID PsInitSystem(const BOOT_PARAMETERS *Boot)
{
    ULONG64 root = Boot->SystemDirectoryTableBase;
    PsIdleProcess = PspAllocateProcess(0, 0, root, "Idle", Boot->BootTime);
    PsInitialSystemProcess = PspAllocateProcess(4, 0, root, "System", Boot->BootTime);
    PspSetImagePath(PsInitialSystemProcess, NULL);
    /* Nothing of its user half is mapped, but KUSER_SHARED_DATA is reserved in it as in every process. */
    static const BOOT_REGION shared = { KUSER_USER, KUSER_USER + PAGE_SIZE, BOOT_REGION_PRIVATE, 1 /* MM_READONLY */ };
    MmInitializeVads(PsInitialSystemProcess, &shared, 1);
    KiListInsertTail(&PsActiveProcessHead, &PsInitialSystemProcess->ActiveProcessLinks);
    PspCidTable = PspAllocate(sizeof *PspCidTable, 'btbO');
    for (ULONG i = 0; i < Boot->ProcessCount; i++) {
        PspCreateProcess(&Boot->Processes[i]);
        PspNextThreadId = max(PspNextThreadId, Boot->Processes[i].ProcessId + 4);
    }
    ETHREAD *phase1 = PspCreateStackedThread(PsInitialSystemProcess, PspPhase1, NULL, 0);
    if (!phase1)
        KiFatal("no kernel stacks");
    KiReadyThread(&phase1->Tcb);
}

/* --- ring 3 --------------------------------------------------------------------------------------------------------*/

/* The kernel's part of a user thread: a trap frame at the top of its stack, left by KiTrapExit. */
static void PspUserThreadStart(PVOID Context)
{
    ETHREAD *thread = (ETHREAD *)KiCurrentThread();
    KTRAP_FRAME *frame = (KTRAP_FRAME *)thread->Tcb.InitialStack - 1;
    (void)Context;
    KiDisableInterrupts();
    RtlZeroMemory(frame, sizeof *frame);
    frame->GsSwap = 1;
    frame->MxCsr = 0x1F80;
    frame->Rip = (ULONG64)thread->Win32StartAddress;
    frame->Rcx = (ULONG64)thread->StartContext;
    frame->Rsp = (ULONG64)thread->UserStack;
    frame->SegCs = KGDT64_R3_CODE | RPL_MASK;
    frame->SegSs = KGDT64_R3_DATA | RPL_MASK;
    frame->EFlags = 0x202;
    KiUserStart(frame);
}

VOID PspStartUserThreads(const BOOT_PARAMETERS *Boot)
{
    LIST_ENTRY *entry = PsInitialSystemProcess->ActiveProcessLinks.Flink;
    ULONG processor = 0;
    for (ULONG i = 0; i < Boot->ProcessCount; i++, entry = entry->Flink) {
        EPROCESS *process = CONTAINING_RECORD(entry, EPROCESS, ActiveProcessLinks);
        for (ULONG n = 0; n < Boot->Processes[i].ThreadCount; n++) {
            const BOOT_THREAD *boot = &Boot->Processes[i].Threads[n];
            ULONG number = processor++ % Boot->ProcessorCount;
            ETHREAD *thread = PspCreateStackedThread(process, PspUserThreadStart, NULL, number);
            if (!thread)
                KiFatal("fewer kernel stacks than threads");
            thread->Tcb.Teb = (PVOID)boot->Teb;
            thread->CreateTime = process->CreateTime;
            thread->Win32StartAddress = (PVOID)boot->Rip;
            thread->UserStack = (PVOID)boot->Rsp;
            thread->StartContext = (PVOID)boot->Argument;
            PspReady(thread);
        }
    }
}

/* --- the end -------------------------------------------------------------------------------------------------------*/

DECLSPEC_NORETURN VOID KiTerminateThread(VOID);

DECLSPEC_NORETURN VOID PspExitThread(NTSTATUS Status)
{
    ETHREAD *thread = (ETHREAD *)KiCurrentThread();
    EPROCESS *process = PspCurrentProcess();
    if (process->BreakOnTermination && process->ActiveThreads == 1)
        KeBugCheckEx(CRITICAL_PROCESS_DIED, (ULONG_PTR)process, 0, 0, 0);
    thread->ExitStatus = Status;
    KeQuerySystemTimePrecise(&thread->ExitTime);
    KIRQL irql = KeRaiseIrqlToDpcLevel();
    KiAcquireLock(&KiDispatcherLock);
    KiListRemove(&thread->ThreadListEntry);
    BOOLEAN last = --process->ActiveThreads == 0;
    if (last) {
        process->ProcessExiting = 1;
        process->ExitStatus = Status;
        KeQuerySystemTimePrecise(&process->ExitTime);
        KiListRemove(&process->ActiveProcessLinks);
    }
    KiReleaseLock(&KiDispatcherLock);
    KeLowerIrql(irql);
    KiTerminateThread();
}

/* Ends the current process. Its other threads are waiting or ready: they never run again. */
DECLSPEC_NORETURN VOID PspExitProcess(NTSTATUS Status)
{
    EPROCESS *process = PspCurrentProcess();
    if (process->BreakOnTermination)
        KeBugCheckEx(CRITICAL_PROCESS_DIED, (ULONG_PTR)process, 0, 0, 0);
    KIRQL irql = KeRaiseIrqlToDpcLevel();
    KiAcquireLock(&KiDispatcherLock);
    for (LIST_ENTRY *entry = process->ThreadListHead.Flink, *next; entry != &process->ThreadListHead; entry = next) {
        ETHREAD *thread = CONTAINING_RECORD(entry, ETHREAD, ThreadListEntry);
        next = entry->Flink;
        if (&thread->Tcb == KiCurrentThread() || thread->Tcb.State == Running)
            continue;
        KiListRemove(&thread->Tcb.WaitListEntry);
        KiListRemove(&thread->Tcb.ThreadListEntry);
        KiListRemove(entry);
        thread->Tcb.State = Terminated;
        process->ActiveThreads--;
    }
    KiReleaseLock(&KiDispatcherLock);
    KeLowerIrql(irql);
    PspExitThread(Status);
}

/* --- what drivers call ---------------------------------------------------------------------------------------------*/

NTSTATUS PsCreateSystemThread(
    PHANDLE ThreadHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle,
    PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine, PVOID StartContext)
{
    (void)DesiredAccess, (void)ObjectAttributes;
    if (ProcessHandle)
        return STATUS_INVALID_HANDLE;
    ETHREAD *thread = PspCreateStackedThread(PsInitialSystemProcess, StartRoutine, StartContext, KiPrcb()->Number);
    if (!thread)
        return STATUS_INSUFFICIENT_RESOURCES;
    *ThreadHandle = (HANDLE)(SYSTEM_THREAD_HANDLE | (ULONG64)thread->Cid.UniqueThread);
    if (ClientId)
        *ClientId = thread->Cid;
    PspReady(thread);
    return STATUS_SUCCESS;
}

NTSTATUS PsTerminateSystemThread(NTSTATUS Status)
{
    if (PspCurrentProcess() != PsInitialSystemProcess)
        return STATUS_INVALID_PARAMETER;
    PspExitThread(Status);
}

/* Only handles of system threads have objects here. */
NTSTATUS ObReferenceObjectByHandle(
    HANDLE Handle, ACCESS_MASK Access, POBJECT_TYPE Type, KPROCESSOR_MODE Mode, PVOID *Object,
    POBJECT_HANDLE_INFORMATION Information)
{
    (void)Access, (void)Type, (void)Mode, (void)Information;
    for (LIST_ENTRY *entry = PsInitialSystemProcess->ThreadListHead.Flink;
         entry != &PsInitialSystemProcess->ThreadListHead; entry = entry->Flink) {
        ETHREAD *thread = CONTAINING_RECORD(entry, ETHREAD, ThreadListEntry);
        if (((ULONG64)thread->Cid.UniqueThread | SYSTEM_THREAD_HANDLE) == (ULONG64)Handle) {
            *Object = thread;
            return STATUS_SUCCESS;
        }
    }
    *Object = NULL;
    return STATUS_INVALID_HANDLE;
}

/* Objects are not counted: none is ever freed. */
LONG_PTR ObfDereferenceObject(PVOID Object)
{
    (void)Object;
    return 1;
}

NTSTATUS ZwClose(HANDLE Handle)
{
    return ((ULONG64)Handle & SYSTEM_THREAD_HANDLE) == SYSTEM_THREAD_HANDLE ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
}

PEPROCESS IoGetCurrentProcess(VOID) { return PspCurrentProcess(); }

HANDLE PsGetProcessId(PEPROCESS Process) { return Process->UniqueProcessId; }

HANDLE PsGetCurrentProcessId(VOID) { return ((ETHREAD *)KiCurrentThread())->Cid.UniqueProcess; }

HANDLE PsGetCurrentThreadId(VOID) { return ((ETHREAD *)KiCurrentThread())->Cid.UniqueThread; }
