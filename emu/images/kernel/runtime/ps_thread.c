/* System threads, and what drivers ask of threads and processes. */
#include "runtime.h"

/* --- kernel stacks: those of ended threads are used again -----------------------------------------------------------*/

#define KEPT_STACKS 64
static PVOID MiFreeStacks[KEPT_STACKS];
static ULONG MiFreeStackCount, MiNextStack;

VOID MiReturnKernelStack(PVOID Base)
{
    if (MiFreeStackCount < KEPT_STACKS)
        MiFreeStacks[MiFreeStackCount++] = Base;
}

/* The one that was given back last may still be in use by a thread that is ending: it comes last. */
PVOID MmCreateKernelStack(VOID)
{
    const BOOT_PARAMETERS *boot = KiBootParameters;
    if (MiNextStack < boot->KernelStackCount) {
        ULONG number = MiNextStack++;
        return (PVOID)(boot->KernelStacks + (ULONG64)(number + 1) * (PAGE_SIZE + KERNEL_STACK_SIZE));
    }
    if (!MiFreeStackCount)
        return NULL;
    PVOID first = MiFreeStacks[0];
    MiFreeStackCount--;
    for (ULONG i = 0; i < MiFreeStackCount; i++)
        MiFreeStacks[i] = MiFreeStacks[i + 1];
    return first;
}

/* --- threads -------------------------------------------------------------------------------------------------------*/

NTSTATUS SmallPsCreateSystemThread(
    PHANDLE ThreadHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle,
    PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine, PVOID StartContext);

/* The new thread is the last of the System process's list, and not yet run by this processor. */
NTSTATUS PsCreateSystemThread(
    PHANDLE ThreadHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle,
    PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine, PVOID StartContext)
{
    HANDLE unused;
    if (KeGetCurrentIrql() > PASSIVE_LEVEL)
        VfViolation(0x3B, KeGetCurrentIrql(), (ULONG_PTR)StartRoutine, 0);
    if (ProcessHandle && ObpFromHandle(ProcessHandle, KernelMode) != PsInitialSystemProcess)
        return STATUS_INVALID_HANDLE;
    NTSTATUS status = SmallPsCreateSystemThread(
        &unused, DesiredAccess, ObjectAttributes, NULL, ClientId, StartRoutine, StartContext);
    if (!NT_SUCCESS(status))
        return status;
    ETHREAD *thread = CONTAINING_RECORD(PsInitialSystemProcess->ThreadListHead.Blink, ETHREAD, ThreadListEntry);
    return ThreadHandle ? ObpCreateHandle(thread, KernelMode, ThreadHandle) : STATUS_SUCCESS;
}

PETHREAD PsGetCurrentThread(VOID) { return (PETHREAD)KiCurrentThread(); }

HANDLE PsGetThreadId(PETHREAD Thread) { return Thread->Cid.UniqueThread; }

HANDLE PsGetThreadProcessId(PETHREAD Thread) { return Thread->Cid.UniqueProcess; }

PEPROCESS IoThreadToProcess(PETHREAD Thread) { return (PEPROCESS)Thread->Tcb.Process; }

PEPROCESS PsGetThreadProcess(PETHREAD Thread) { return (PEPROCESS)Thread->Tcb.Process; }

BOOLEAN PsIsSystemThread(PETHREAD Thread) { return Thread->Tcb.Process == &PsInitialSystemProcess->Pcb; }

BOOLEAN PsIsThreadTerminating(PETHREAD Thread) { return Thread->Tcb.State == Terminated; }

NTSTATUS PsGetThreadExitStatus(PETHREAD Thread) { return Thread->ExitStatus; }

KPROCESSOR_MODE ExGetPreviousMode(VOID) { return KiCurrentThread()->PreviousMode; }

VOID IoGetStackLimits(PULONG_PTR Low, PULONG_PTR High)
{
    *Low = (ULONG_PTR)KiCurrentThread()->StackLimit;
    *High = (ULONG_PTR)KiCurrentThread()->StackBase;
}

/* --- processes -----------------------------------------------------------------------------------------------------*/

static EPROCESS *NextProcess(EPROCESS *Process)
{
    LIST_ENTRY *entry = Process ? Process->ActiveProcessLinks.Flink : PsActiveProcessHead.Flink;
    return entry == &PsActiveProcessHead ? NULL : CONTAINING_RECORD(entry, EPROCESS, ActiveProcessLinks);
}

NTSTATUS PsLookupProcessByProcessId(HANDLE Id, PEPROCESS *Process)
{
    for (EPROCESS *process = NextProcess(NULL); process; process = NextProcess(process))
        if (process->UniqueProcessId == Id) {
            *Process = process;
            return STATUS_SUCCESS;
        }
    *Process = NULL;
    return STATUS_INVALID_CID;
}

NTSTATUS PsLookupThreadByThreadId(HANDLE Id, PETHREAD *Thread)
{
    for (EPROCESS *process = NextProcess(NULL); process; process = NextProcess(process))
        for (LIST_ENTRY *entry = process->ThreadListHead.Flink; entry != &process->ThreadListHead; entry = entry->Flink) {
            ETHREAD *thread = CONTAINING_RECORD(entry, ETHREAD, ThreadListEntry);
            if (thread->Cid.UniqueThread == Id) {
                *Thread = thread;
                return STATUS_SUCCESS;
            }
        }
    *Thread = NULL;
    return STATUS_INVALID_CID;
}

PUCHAR PsGetProcessImageFileName(PEPROCESS Process) { return Process->ImageFileName; }

HANDLE PsGetProcessInheritedFromUniqueProcessId(PEPROCESS Process) { return Process->InheritedFromUniqueProcessId; }

PVOID PsGetProcessPeb(PEPROCESS Process) { return Process->Peb; }

PVOID PsGetProcessSectionBaseAddress(PEPROCESS Process) { return Process->SectionBaseAddress; }

NTSTATUS PsGetProcessExitStatus(PEPROCESS Process) { return Process->ExitStatus; }

LONGLONG PsGetProcessCreateTimeQuadPart(PEPROCESS Process) { return Process->CreateTime.QuadPart; }

PVOID PsGetProcessWow64Process(PEPROCESS Process) { return (void)Process, NULL; }

NTSTATUS SeLocateProcessImageName(PEPROCESS Process, PUNICODE_STRING *Name)
{
    OBJECT_NAME_INFORMATION *information = Process->SeAuditProcessCreationInfo.ImageFileName;
    PUNICODE_STRING copy = ExAllocatePoolWithTag(PagedPool, sizeof *copy + information->Name.Length, 'nPeS');
    *Name = copy;
    if (!copy)
        return STATUS_NO_MEMORY;
    copy->Buffer = (PWSTR)(copy + 1);
    copy->Length = 0;
    copy->MaximumLength = information->Name.Length;
    RtlCopyUnicodeString(copy, &information->Name);
    return STATUS_SUCCESS;
}

/* --- another process's address space -------------------------------------------------------------------------------*/

static void EnterProcess(KPROCESS *Process)
{
    KIRQL irql = KfRaiseIrql(max(DISPATCH_LEVEL, KeGetCurrentIrql()));
    KiCurrentThread()->ApcState.Process = (PVOID)Process;
    __writecr3(Process->DirectoryTableBase);
    KeLowerIrql(irql);
}

/* 0x5: the thread is attached to a third process already. */
VOID KeAttachProcess(PKPROCESS Process)
{
    KTHREAD *thread = KiCurrentThread();
    if ((PVOID)thread->ApcState.Process != (PVOID)thread->Process && (PVOID)thread->ApcState.Process != (PVOID)Process)
        KeBugCheckEx(
            INVALID_PROCESS_ATTACH_ATTEMPT, (ULONG_PTR)Process, (ULONG_PTR)thread->ApcState.Process, 0,
            KiPrcb()->DpcRoutineActive);
    EnterProcess((KPROCESS *)Process);
}

VOID KeDetachProcess(VOID) { EnterProcess(KiCurrentThread()->Process); }

VOID KeStackAttachProcess(PKPROCESS Process, PRKAPC_STATE State)
{
    RtlZeroMemory(State, sizeof *State);
    State->Process = KiCurrentThread()->ApcState.Process;
    EnterProcess((KPROCESS *)Process);
}

VOID KeUnstackDetachProcess(PRKAPC_STATE State) { EnterProcess((KPROCESS *)State->Process); }

/* --- notification: who asks is remembered; no process, thread or image comes later -----------------------------------*/

#define NOTIFICATIONS 8
static PVOID PspNotifications[3][NOTIFICATIONS];

static NTSTATUS Notify(PVOID *List, PVOID Routine, BOOLEAN Remove)
{
    for (ULONG i = 0; i < NOTIFICATIONS; i++)
        if (List[i] == (Remove ? Routine : NULL)) {
            List[i] = Remove ? NULL : Routine;
            return STATUS_SUCCESS;
        }
    return Remove ? STATUS_PROCEDURE_NOT_FOUND : STATUS_INVALID_PARAMETER;
}

NTSTATUS PsSetCreateProcessNotifyRoutine(PCREATE_PROCESS_NOTIFY_ROUTINE Routine, BOOLEAN Remove)
{
    return Notify(PspNotifications[0], (PVOID)Routine, Remove);
}

NTSTATUS PsSetCreateProcessNotifyRoutineEx(PCREATE_PROCESS_NOTIFY_ROUTINE_EX Routine, BOOLEAN Remove)
{
    return Notify(PspNotifications[0], (PVOID)Routine, Remove);
}

NTSTATUS PsSetCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE Routine)
{
    return Notify(PspNotifications[1], (PVOID)Routine, FALSE);
}

NTSTATUS PsRemoveCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE Routine)
{
    return Notify(PspNotifications[1], (PVOID)Routine, TRUE);
}

NTSTATUS PsSetLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE Routine)
{
    return Notify(PspNotifications[2], (PVOID)Routine, FALSE);
}

NTSTATUS PsRemoveLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE Routine)
{
    return Notify(PspNotifications[2], (PVOID)Routine, TRUE);
}
