/* Everything of the kernel: included first by each of its sources. */
#pragma once

#include "ntos_ps.h"
#include <ntimage.h>
#include "ntos_mm.h"

#define PCR_VALUE(offset) __readgsqword(offset)

extern BOOT_PARAMETERS *KiBootParameters;
extern KPRCB *KiProcessorBlock[MAXIMUM_BOOT_PROCESSORS];
extern ULONG64 KiBugCheckData[5];
extern volatile KUSER_SHARED_DATA *const KiUserSharedData;
extern LIST_ENTRY PsLoadedModuleList, PsActiveProcessHead, KiWaitListHead;
extern EPROCESS *PsInitialSystemProcess, *PsIdleProcess;
extern HANDLE_TABLE *PspCidTable;
extern volatile ULONG64 KiDispatcherLock;
extern ULONG KeTimeIncrement;

static inline KPCR *KiPcr(void) { return (KPCR *)PCR_VALUE(0x18); }
static inline KPRCB *KiPrcb(void) { return (KPRCB *)PCR_VALUE(0x20); }
static inline KTHREAD *KiCurrentThread(void) { return (KTHREAD *)PCR_VALUE(0x188); }
static inline EPROCESS *PspCurrentProcess(void) { return (EPROCESS *)KiCurrentThread()->Process; }

static inline void KiEnableInterrupts(void) { __asm__ volatile("sti" : : : "memory"); }
static inline void KiDisableInterrupts(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void KiInvalidatePage(PVOID page) { __asm__ volatile("invlpg (%0)" : : "r"(page) : "memory"); }

static inline void KiListInitialize(LIST_ENTRY *head) { head->Flink = head->Blink = head; }

static inline void KiListInsertTail(LIST_ENTRY *head, LIST_ENTRY *entry)
{
    entry->Flink = head;
    entry->Blink = head->Blink;
    head->Blink->Flink = entry;
    head->Blink = entry;
}

static inline void KiListRemove(LIST_ENTRY *entry)
{
    entry->Flink->Blink = entry->Blink;
    entry->Blink->Flink = entry->Flink;
}

/* ke_trap.s */
DECLSPEC_NORETURN VOID KiUserStart(KTRAP_FRAME *Frame);
VOID KiSystemCall64(VOID);
extern const PVOID KiTrapTable[22]; /* entries of the exceptions 0 to 21, NULL: none */
VOID KiClockInterrupt(VOID);
VOID KiRaiseSecurityCheckFailure(VOID);

/* ke_context.s */
VOID KiHypercall(ULONG Code, ULONG64 Argument1, ULONG64 Argument2, ULONG64 Argument3);
VOID KiSwapContext(KTHREAD *Old, KTHREAD *New);
VOID KiThreadEntry(VOID);
VOID KiLoadSegments(const KDESCRIPTOR *Gdtr, const KDESCRIPTOR *Idtr, USHORT Tr);
VOID RtlCaptureContext(CONTEXT *Context);
VOID KiSaveSpecialRegisters(KSPECIAL_REGISTERS *Registers);

/* ke_init.c, ke_thread.c */
VOID KiInitializeProcessor(const BOOT_PARAMETERS *Boot, ULONG Number);
VOID KiAcquireLock(volatile ULONG64 *Lock);
VOID KiReleaseLock(volatile ULONG64 *Lock);
DECLSPEC_NORETURN VOID KiFatal(PCSTR Message);
VOID KiInitializeThread(
    KTHREAD *Thread, KPROCESS *Process, PVOID StackBase, PKSTART_ROUTINE Routine, PVOID Context, ULONG Processor);
VOID KiInitializeStack(KTHREAD *Thread);
VOID KiReadyThread(KTHREAD *Thread);
VOID KiSwitchAway(VOID); /* the dispatcher lock is held; returns without it when the thread runs again */
DECLSPEC_NORETURN VOID KiIdleLoop(VOID);
VOID KiUpdateTime(VOID);
VOID KiCheckQuantumEnd(VOID);

/* ke_bugcheck.c */
VOID KiFreezeExecution(const KTRAP_FRAME *Frame, const KEXCEPTION_FRAME *Exception);
VOID KiContextFromFrames(CONTEXT *Context, const KTRAP_FRAME *Frame, const KEXCEPTION_FRAME *Exception);
VOID KiSaveProcessorState(void);

/* ps_*.c */
VOID PsInitSystem(const BOOT_PARAMETERS *Boot);
VOID PsInitializeIdleThread(ULONG Number, const BOOT_PROCESSOR *Processor);
EPROCESS *PspCreateProcess(const BOOT_PROCESS *Process);
VOID PspStartUserThreads(const BOOT_PARAMETERS *Boot);
DECLSPEC_NORETURN VOID PspExitThread(NTSTATUS Status);
DECLSPEC_NORETURN VOID PspExitProcess(NTSTATUS Status);
VOID PspPhase1(PVOID Context);
VOID PsLoadBootImages(const BOOT_PARAMETERS *Boot);
BOOLEAN PsIsKernelImage(ULONG64 Address); /* in the kernel or the HAL */
VOID IoStartDrivers(const BOOT_PARAMETERS *Boot);
VOID KdInitSystem(const BOOT_PARAMETERS *Boot);
NTSTATUS KiSystemService(KTRAP_FRAME *Frame);

/* rtl.c */
SIZE_T RtlpFormat(PSTR Buffer, SIZE_T Size, PCSTR Format, __builtin_ms_va_list Arguments);

/* hal.dll */
DECLSPEC_IMPORT VOID HalInitSystem(ULONG Processors);
DECLSPEC_IMPORT VOID HalRequestInterrupt(ULONG64 Processors, ULONG Vector);
