/* Structures of the processor and the scheduler. Names and layouts are those of Windows' public symbols, build 19041
   where builds differ (docs/format/kernel-structures.md). Fields that this kernel does not use are padding. */
#pragma once

#include "ntos_ddk.h"

/* --- descriptor tables: AMD64 manual vol. 2, 4.8 and 12.2.5 --------------------------------------------------------*/

#define KGDT64_R0_CODE 0x10
#define KGDT64_R0_DATA 0x18
#define KGDT64_R3_CMCODE 0x20
#define KGDT64_R3_DATA 0x28
#define KGDT64_R3_CODE 0x30
#define KGDT64_SYS_TSS 0x40
#define KGDT64_R3_CMTEB 0x50
#define RPL_MASK 3

typedef union _KGDTENTRY64 {
    ULONG64 Raw;
} KGDTENTRY64;

typedef union _KIDTENTRY64 {
    struct {
        USHORT OffsetLow;
        USHORT Selector;
        USHORT IstIndex : 3;
        USHORT Reserved0 : 5;
        USHORT Type : 5;
        USHORT Dpl : 2;
        USHORT Present : 1;
        USHORT OffsetMiddle;
        ULONG OffsetHigh;
        ULONG Reserved1;
    };
    ULONG64 Alignment;
} KIDTENTRY64;

#pragma pack(push, 4)
typedef struct _KTSS64 {
    ULONG Reserved0;
    ULONG64 Rsp0;
    ULONG64 Rsp1;
    ULONG64 Rsp2;
    ULONG64 Ist[8]; /* Ist[1] to Ist[7] are used */
    ULONG64 Reserved1;
    USHORT Reserved2;
    USHORT IoMapBase;
} KTSS64;
#pragma pack(pop)

typedef struct _KDESCRIPTOR {
    USHORT Pad[3];
    USHORT Limit;
    PVOID Base;
} KDESCRIPTOR;

typedef struct _KSPECIAL_REGISTERS {
    ULONG64 Cr0, Cr2, Cr3, Cr4;
    ULONG64 KernelDr0, KernelDr1, KernelDr2, KernelDr3, KernelDr6, KernelDr7;
    KDESCRIPTOR Gdtr;
    KDESCRIPTOR Idtr;
    USHORT Tr;
    USHORT Ldtr;
    ULONG MxCsr;
    ULONG64 DebugControl;
    ULONG64 LastBranchToRip, LastBranchFromRip, LastExceptionToRip, LastExceptionFromRip;
    ULONG64 Cr8;
    ULONG64 MsrGsBase, MsrGsSwap, MsrStar, MsrLStar, MsrCStar, MsrSyscallMask;
    ULONG64 Xcr0;
    ULONG64 MsrFsBase;
    ULONG64 SpecialPadding0;
} KSPECIAL_REGISTERS;

typedef struct _KPROCESSOR_STATE {
    KSPECIAL_REGISTERS SpecialRegisters;
    CONTEXT ContextFrame;
} KPROCESSOR_STATE;

/* --- traps ---------------------------------------------------------------------------------------------------------*/

/* What a trap or system call leaves on the kernel stack; built by ke_trap.s, which knows these offsets. */
typedef struct _KTRAP_FRAME {
    ULONG64 P1Home, P2Home, P3Home, P4Home, P5;
    KPROCESSOR_MODE PreviousMode;
    KIRQL PreviousIrql;
    UCHAR FaultIndicator;
    UCHAR ExceptionActive; /* 0 interrupt, 1 exception, 2 system service */
    ULONG MxCsr;
    ULONG64 Rax, Rcx, Rdx, R8, R9, R10, R11;
    ULONG64 GsSwap; /* not 0: GS held the user's base */
    M128A Xmm0, Xmm1, Xmm2, Xmm3, Xmm4, Xmm5;
    ULONG64 FaultAddress;
    ULONG64 Dr0, Dr1, Dr2, Dr3, Dr6, Dr7;
    ULONG64 DebugControl, LastBranchToRip, LastBranchFromRip, LastExceptionToRip, LastExceptionFromRip;
    USHORT SegDs, SegEs, SegFs, SegGs;
    ULONG64 TrapFrame; /* the one before on this thread */
    ULONG64 Rbx, Rdi, Rsi, Rbp;
    ULONG64 ErrorCode;
    ULONG64 Rip;
    USHORT SegCs;
    USHORT Fill1[3];
    ULONG EFlags;
    ULONG Fill2;
    ULONG64 Rsp;
    USHORT SegSs;
    USHORT Fill3[3];
} KTRAP_FRAME;

typedef struct _KEXCEPTION_FRAME {
    ULONG64 P1Home, P2Home, P3Home, P4Home, P5, Spare1;
    M128A Xmm6, Xmm7, Xmm8, Xmm9, Xmm10, Xmm11, Xmm12, Xmm13, Xmm14, Xmm15;
    ULONG64 TrapFrame;
    ULONG64 OutputBuffer, OutputLength, Spare2;
    ULONG64 MxCsr;
    ULONG64 Rbp, Rbx, Rdi, Rsi, R12, R13, R14, R15;
    ULONG64 Return;
} KEXCEPTION_FRAME;

/* Where KTHREAD.KernelStack points while a thread does not run; built by ke_context.s. */
typedef struct _KSWITCH_FRAME {
    ULONG64 P1Home, P2Home, P3Home, P4Home, P5Home;
    KIRQL ApcBypass;
    UCHAR Fill1[7];
    ULONG64 Rbp;
    ULONG64 Return;
} KSWITCH_FRAME;

/* --- threads and processes -----------------------------------------------------------------------------------------*/

typedef enum _KTHREAD_STATE { Initialized, Ready, Running, Standby, Terminated, Waiting } KTHREAD_STATE;

/* KOBJECTS, the types of dispatcher objects (ntdef of the WDK's ntosp.h). */
enum { EventNotificationObject = 0, EventSynchronizationObject = 1, ProcessObject = 3, ThreadObject = 6 };

typedef struct _KTHREAD {
    DISPATCHER_HEADER Header;
    PVOID SListFaultAddress;
    ULONG64 QuantumTarget;
    PVOID InitialStack; /* where a trap from ring 3 begins to push */
    PVOID StackLimit;
    PVOID StackBase;
    ULONG64 ThreadLock;
    ULONG64 CycleTime;
    ULONG CurrentRunTime;
    ULONG ExpectedRunTime;
    PVOID KernelStack; /* RSP while it does not run: a KSWITCH_FRAME */
    PVOID StateSaveArea; /* FXSAVE image while it does not run */
    UCHAR Padding0[0x10];
    ULONG ThreadFlags;
    ULONG Tag;
    ULONG SystemCallNumber;
    ULONG ReadyTime;
    PVOID FirstArgument;
    KTRAP_FRAME *TrapFrame; /* the innermost */
    KAPC_STATE ApcState;
    LONG64 WaitStatus;
    PVOID WaitObject; /* the dispatcher object that it waits for, NULL: only for the time */
    LIST_ENTRY WaitListEntry; /* in the ready list of a processor or in KiWaitListHead */
    PVOID Queue;
    PVOID Teb;
    ULONG64 DueTime; /* interrupt time; 0: for ever */
    UCHAR Padding1[0x84];
    volatile UCHAR State;
    UCHAR Padding2[0x83];
    LIST_ENTRY QueueListEntry;
    ULONG NextProcessor;
    ULONG Padding3;
    struct _KPROCESS *Process;
    UCHAR Padding4[0xA];
    CHAR PreviousMode;
    UCHAR Padding5[0xBD];
    ULONG64 UserAffinity; /* KeSetSystemAffinityThreadEx: what to go back to */
    LIST_ENTRY ThreadListEntry;
    PVOID StartRoutine;
    PVOID StartContext;
    UCHAR Padding6[0x118];
} KTHREAD;

typedef struct _KPROCESS {
    DISPATCHER_HEADER Header;
    LIST_ENTRY ProfileListHead;
    ULONG64 DirectoryTableBase;
    LIST_ENTRY ThreadListHead;
    ULONG ProcessLock;
    ULONG ProcessTimerDelay;
    UCHAR Padding0[0x340];
    ULONG64 UserDirectoryTableBase; /* 0: no shadow root */
    UCHAR Padding1[0xA8];
} KPROCESS;

/* --- processors ----------------------------------------------------------------------------------------------------*/

/* SizePrcb is what this is long, far less than Windows': the fields that debuggers reach by KDBG offsets, and what the
   scheduler needs. */
typedef struct _KPRCB {
    ULONG MxCsr;
    UCHAR LegacyNumber;
    UCHAR ReservedMustBeZero;
    BOOLEAN InterruptRequest;
    BOOLEAN IdleHalt;
    KTHREAD *CurrentThread;
    KTHREAD *NextThread;
    KTHREAD *IdleThread;
    UCHAR NestingLevel;
    UCHAR ClockOwner;
    UCHAR Spare[2];
    ULONG Number;
    PVOID RspBase; /* where a system call begins to push */
    ULONG64 PrcbLock;
    PVOID PriorityState;
    CHAR CpuType;
    CHAR CpuID;
    USHORT CpuStep;
    ULONG MHz;
    ULONG64 HalReserved[8];
    USHORT MinorVersion;
    USHORT MajorVersion;
    UCHAR BuildType;
    UCHAR CpuVendor;
    UCHAR Padding0[0x72];
    KPROCESSOR_STATE ProcessorState;
    CONTEXT *Context;
    ULONG ContextFlagsInit;
    volatile ULONG IpiFrozen; /* 1: stopped by a bug check of another processor */
    UCHAR VendorString[16];
    PVOID DpcStack;
    PVOID IsrStack;
    BOOLEAN DpcRoutineActive;
    BOOLEAN QuantumEnd; /* a thread switch waits for the IRQL to fall */
    UCHAR Padding1[6];
    ULONG64 KernelDirectoryTableBase;
    LIST_ENTRY DispatcherReadyListHead;
    ULONG InterruptCount;
    ULONG KeSystemCalls;
    ULONG64 StackPadding;
} KPRCB;

typedef struct _KPCR {
    KGDTENTRY64 *GdtBase;
    KTSS64 *TssBase;
    ULONG64 UserRsp;
    struct _KPCR *Self;
    KPRCB *CurrentPrcb;
    PVOID LockArray;
    PVOID Used_Self;
    KIDTENTRY64 *IdtBase;
    ULONG64 Unused[2];
    KIRQL Irql;
    UCHAR SecondLevelCacheAssociativity;
    UCHAR ObsoleteNumber;
    UCHAR Fill0;
    ULONG Unused0[3];
    USHORT MajorVersion;
    USHORT MinorVersion;
    ULONG StallScaleFactor;
    PVOID Unused1[3];
    ULONG KernelReserved[15];
    ULONG SecondLevelCacheSize;
    ULONG HalReserved[16];
    ULONG Unused2;
    PVOID KdVersionBlock;
    PVOID Unused3;
    ULONG PcrAlign1[24];
    KPRCB Prcb;
} KPCR;

#define AT(type, field, offset) _Static_assert(__builtin_offsetof(type, field) == (offset), #type "." #field)
#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)

SIZE(KIDTENTRY64, 16);
SIZE(KTSS64, 0x68);
SIZE(KSPECIAL_REGISTERS, 0xF0);
AT(KSPECIAL_REGISTERS, MsrGsBase, 0xA8);
SIZE(CONTEXT, 0x4D0);
SIZE(KTRAP_FRAME, 0x190);
AT(KTRAP_FRAME, GsSwap, 0x68);
AT(KTRAP_FRAME, FaultAddress, 0xD0);
AT(KTRAP_FRAME, TrapFrame, 0x138);
AT(KTRAP_FRAME, Rip, 0x168);
SIZE(KEXCEPTION_FRAME, 0x140);
AT(KEXCEPTION_FRAME, Rbp, 0xF8);
AT(KSWITCH_FRAME, Rbp, 0x30);
AT(KSWITCH_FRAME, Return, 0x38);
SIZE(KSWITCH_FRAME, 0x40);
AT(KTHREAD, KernelStack, 0x58);
AT(KTHREAD, StateSaveArea, 0x60);
AT(KTHREAD, TrapFrame, 0x90);
AT(KTHREAD, ApcState.Process, 0xB8);
AT(KTHREAD, Teb, 0xF0);
AT(KTHREAD, State, 0x184);
AT(KTHREAD, QueueListEntry, 0x208);
AT(KTHREAD, NextProcessor, 0x218);
AT(KTHREAD, Process, 0x220);
AT(KTHREAD, PreviousMode, 0x232);
AT(KTHREAD, ThreadListEntry, 0x2F8);
SIZE(KTHREAD, 0x430);
AT(KPROCESS, DirectoryTableBase, 0x28);
AT(KPROCESS, UserDirectoryTableBase, 0x388);
SIZE(KPROCESS, 0x438);
AT(KPRCB, CurrentThread, 8);
AT(KPRCB, Number, 0x24);
AT(KPRCB, RspBase, 0x28);
AT(KPRCB, MHz, 0x44);
AT(KPRCB, ProcessorState, 0x100);
AT(KPRCB, Context, 0x6C0);
_Static_assert(sizeof(KPRCB) % 16 == 0, "a small dump stores it whole, in multiples of 8");
AT(KPCR, IdtBase, 0x38);
AT(KPCR, Irql, 0x50);
AT(KPCR, KdVersionBlock, 0x108);
AT(KPCR, Prcb, 0x180);
_Static_assert(sizeof(KPCR) <= 0x1000, "one page: KPROCESSOR_PAGES");
