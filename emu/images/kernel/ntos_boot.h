/* The contract between the firmware and boot loader (Python) and the kernel (C): what the loader has prepared when it
   enters the kernel, and how the kernel talks to it afterwards.

   The loader mirrors these structures; every field is naturally aligned, little-endian, and every pointer is a kernel
   virtual address that stays mapped for good. Nothing here describes Windows' own loader block.

   Entry. Each processor enters KiSystemStartup(BOOT_PARAMETERS *Boot, ULONG Number) (the entry point of ntoskrnl.exe)
   in ring 0 with: CR3 = Boot->SystemDirectoryTableBase, RCX = Boot, EDX = Number, RSP = Processors[Number].IdleStack
   - 0x28 (home space and a return address of 0), IF = 0, GsBase anything. Processor 0 enters first; the kernel asks
   for each of the others by HYPERCALL_START_PROCESSOR. The loader has to do nothing to GDTR, IDTR, TR or MSRs: the
   kernel loads them (LTR included).

   Memory. The loader has mapped, in the page tables at SystemDirectoryTableBase and shared by every process root
   (root entries 256 to 511, the self map excepted, which each root has of its own at index SELF_MAP_INDEX):
     - the images, relocated, imports bound, each section with its own rights,
     - KUSER_SHARED_DATA: KUSER_KERNEL (write, no execute) and, in every process that has user pages, KUSER_USER (read
       only, user) on one zeroed page,
     - per processor the KPROCESSOR_PAGES zeroed pages at Processors[n].Area,
     - the idle and IST stacks, the KernelStacks array, both pools, the PFN database (below), this block and its
       arrays. All data pages are no-execute.

   PFN database. One MMPFN (MMPFN_SIZE bytes) a page frame at PfnDatabase + MMPFN_SIZE * PFN, readable for every frame of
   RAM. An entry of zeros is a page on the zeroed list (PageLocation 0). So those pages of the array that hold an entry
   of some BOOT_PAGES descriptor are writable pages of its own; all others are one zero page, read-only, and the kernel
   writes no entry there. The kernel keeps it true afterwards: at capture, the state of every page of a descriptor is
   its entry's.

   Interrupts. The loader delivers through the IDT (emu.machine.traps): faults as they come; a fault that cannot be
   delivered (no stack) becomes DOUBLE_FAULT with error code 0; CLOCK_VECTOR when every processor has yielded, or when
   it likes, to any processor whose RFLAGS.IF is 1; NMI_VECTOR as asked for, whatever IF says. Each clock interrupt on
   processor 0 is one KeTimeIncrement of system time. CR8 does not exist here (Unicorn does not keep it): KPCR.Irql is
   the IRQL. */
#pragma once

#define BOOT_VERSION 2

#define SELF_MAP_INDEX 0x1ED
#define KUSER_KERNEL 0xFFFFF78000000000ull
#define KUSER_USER 0x7FFE0000ull

#define PAGE_BYTES 0x1000
#define KERNEL_STACK_SIZE 0x6000 /* idle, DPC and thread stacks */
#define IST_STACK_SIZE 0x2000    /* double fault and NMI stacks */
#define KPROCESSOR_PAGES 3       /* page 0: KPCR with its KPRCB; page 1: CONTEXT, GDT, TSS; page 2: IDT */
#define MMPFN_SIZE 0x30
#define MAXIMUM_BOOT_PROCESSORS 32

/* Vectors that the loader delivers. */
#define NMI_VECTOR 2
#define CLOCK_VECTOR 0xD1

/* --- hypercalls ------------------------------------------------------------------------------------------------------
   `hlt` in ring 0 with the code in EAX and arguments in RCX, RDX, R8. RIP is then behind the hlt; unless said otherwise
   the loader just lets the processor go on. No register is changed but RAX where a result is named. */

/* Nothing to do here until an interrupt comes or another processor gets on: run the others; when all have yielded and
   nothing is pending, deliver CLOCK_VECTOR to each processor with IF = 1. */
#define HYPERCALL_YIELD 1
/* A bug check has ended: every other processor is frozen, contexts and callback results are in place. RCX: the bug
   check code. Take the snapshot; this processor never goes on. */
#define HYPERCALL_STOPPED 2
/* The kernel cannot go on for a reason that is no bug check of the scenario (a bad boot block, no memory at boot).
   RCX: message, ANSI, NUL terminated. */
#define HYPERCALL_FATAL 3
/* DbgPrint. RCX: text, RDX: bytes. */
#define HYPERCALL_PRINT 4
/* Deliver vector RDX (NMI_VECTOR or CLOCK_VECTOR) to each processor whose bit is set in RCX, before it next runs. */
#define HYPERCALL_INTERRUPT 5
/* A live dump: all is as for HYPERCALL_STOPPED, but after the snapshot the machine goes on. RCX: code (0x161). */
#define HYPERCALL_LIVE_DUMP 6
/* Start processor ECX; see Entry. */
#define HYPERCALL_START_PROCESSOR 7
/* The machine has come to its end without a bug check: what the scenario asked for is done. */
#define HYPERCALL_FINISHED 8

/* --- memory --------------------------------------------------------------------------------------------------------*/

/* A run of RAM, ascending, disjoint, not adjacent: these become MmPhysicalMemoryBlock. */
typedef struct _BOOT_MEMORY_RUN {
    unsigned long long BasePage;  /* PFN */
    unsigned long long PageCount;
} BOOT_MEMORY_RUN;

/* Page frames in one state; frames of RAM that no descriptor names are on the zeroed list. Disjoint; order is free. */
typedef struct _BOOT_PAGES {
    unsigned long long BasePage;  /* PFN */
    unsigned long long PageCount;
    unsigned long long PteAddress; /* self-map address of the first frame's PTE, the others' follow; 0: none */
    unsigned int State;           /* MMLISTS: 1 free, 2 standby, 3 modified, 4 same, no write, 5 bad, 6 active */
    unsigned int Reserved;
} BOOT_PAGES;

/* --- images --------------------------------------------------------------------------------------------------------*/

/* A driver whose DriverEntry the kernel calls; without, the image is only listed (kernel, HAL). */
#define BOOT_IMAGE_START 1
/* After all drivers have started, unload it: DriverUnload, then its entry moves from PsLoadedModuleList to
   MmUnloadedDrivers and its pages are unmapped and freed. */
#define BOOT_IMAGE_UNLOAD 2

typedef struct _BOOT_IMAGE {
    unsigned long long Base;
    unsigned long long EntryPoint; /* virtual address, 0: none */
    unsigned int SizeOfImage;
    unsigned int CheckSum;
    unsigned int TimeDateStamp;
    unsigned int Flags;            /* BOOT_IMAGE_* */
    unsigned short FullName[64];   /* UTF-16, NUL terminated: \SystemRoot\system32\ntoskrnl.exe */
    unsigned short BaseName[24];   /* ntoskrnl.exe */
} BOOT_IMAGE;

/* --- processors, processes -----------------------------------------------------------------------------------------*/

/* A stack is named by its end, the address just above its highest byte. Page-aligned; the page below it is unmapped. */
typedef struct _BOOT_PROCESSOR {
    unsigned long long Area;             /* KPROCESSOR_PAGES zeroed pages */
    unsigned long long IdleStack;        /* KERNEL_STACK_SIZE bytes: idle thread, boot */
    unsigned long long DpcStack;         /* KERNEL_STACK_SIZE bytes: KPRCB.DpcStack */
    unsigned long long DoubleFaultStack; /* IST_STACK_SIZE bytes: IST1 */
    unsigned long long NmiStack;         /* IST_STACK_SIZE bytes: IST3 */
} BOOT_PROCESSOR;

/* A thread that starts in ring 3 with RCX = Argument. */
typedef struct _BOOT_THREAD {
    unsigned long long Teb;
    unsigned long long Rip;
    unsigned long long Rsp;              /* as at a function's entry: 16-byte boundary + 8 */
    unsigned long long Argument;         /* app.exe: PROGRAM_* */
} BOOT_THREAD;

/* A part of a process's user half, for its VAD tree. */
typedef struct _BOOT_REGION {
    unsigned long long Start;
    unsigned long long End;              /* the address behind the last byte; both are page-aligned */
    unsigned int Type;                   /* BOOT_REGION_* */
    unsigned int Protection;             /* MM_* */
} BOOT_REGION;
#define BOOT_REGION_PRIVATE 0
#define BOOT_REGION_IMAGE 1

/* The process ends the system when it ends (bug check 0xEF). */
#define BOOT_PROCESS_CRITICAL 1

/* A process besides System (id 4, made by the kernel). Its root and user pages exist. */
typedef struct _BOOT_PROCESS {
    unsigned long long ProcessId;        /* a multiple of 4, at least 8; thread ids start above the largest one */
    unsigned long long ParentProcessId;
    unsigned long long DirectoryTableBase;
    unsigned long long Peb;              /* user address; 0: none */
    unsigned long long SectionBaseAddress; /* of its program */
    unsigned long long CreateTime;       /* FILETIME, of its threads too */
    BOOT_THREAD *Threads;
    BOOT_REGION *Regions;                /* ascending, disjoint */
    unsigned int ThreadCount;
    unsigned int RegionCount;
    unsigned int Flags;                  /* BOOT_PROCESS_* */
    unsigned int Reserved;
    char ImageFileName[16];              /* at most 14 characters and a NUL */
    unsigned short ImagePath[64];        /* UTF-16, NUL terminated: \Device\HarddiskVolume3\...\app.exe; empty: none */
} BOOT_PROCESS;

/* --- what the run is about -----------------------------------------------------------------------------------------*/

/* BOOT_PARAMETERS.Scenario: crashdrv.sys reads it in its DriverEntry. In the comments: the bug check, and the exported
   symbol of the faulting instruction or caller. */
typedef enum _SCENARIO {
    SCENARIO_NONE = 0,          /* nothing; HYPERCALL_FINISHED when ScenarioTicks clock ticks have passed */
    SCENARIO_D1 = 1,            /* 0xD1: reads ScenarioArguments[0] (null + offset) at DISPATCH_LEVEL; CrashReadSite */
    SCENARIO_A = 2,             /* 0x0A: a kernel routine follows ScenarioArguments[0] at DISPATCH_LEVEL;
                                   ntoskrnl!ExpInterlockedPopEntrySListFault (a multiple of 16) */
    SCENARIO_50 = 3,            /* 0x50: writes to ScenarioArguments[0], an unmapped kernel address; CrashWriteSite */
    SCENARIO_7E = 4,            /* 0x7E: an illegal instruction (C000001D) in a system thread; CrashIllegalSite */
    SCENARIO_7E_DIVIDE = 5,     /* 0x7E: division by zero (C0000094) in a system thread; CrashDivideSite */
    SCENARIO_3B = 6,            /* 0x3B: reads ScenarioArguments[0] (null + offset) when app.exe
                                   (PROGRAM_CALL_DRIVER) calls the driver; CrashReadSite */
    SCENARIO_7F = 7,            /* 0x7F (8): pushes on the bad stack ScenarioArguments[0]; CrashStackSite */
    SCENARIO_7F_OVERFLOW = 8,   /* 0x7F (8): endless recursion runs off the kernel stack; CrashOverflowSite */
    SCENARIO_FC = 9,            /* 0xFC: jumps into nonpaged pool; the faulting address is the target itself */
    SCENARIO_BUGCHECK = 10,     /* code ScenarioCode with ScenarioArguments[0..3]; returns to CrashBugCheckSite */
    SCENARIO_EF = 11,           /* 0xEF: a critical process's program ends (PROGRAM_EXIT) */
    SCENARIO_D1_SECOND = 12,    /* as SCENARIO_D1, in a thread on processor 1 */
    SCENARIO_USER_CRASH = 13,   /* a program crashes (PROGRAM_CRASH), the kernel lives on; then as SCENARIO_LIVE */
    SCENARIO_LIVE = 14,         /* a live dump 0x161 with ScenarioArguments[0..3], then HYPERCALL_FINISHED */
    SCENARIO_7E_BREAKPOINT = 15 /* 0x7E: int 3 without a debugger (80000003) in a system thread; CrashBreakpointSite */
} SCENARIO;

/* What a thread of app.exe does: BOOT_THREAD.Argument. */
typedef enum _PROGRAM {
    PROGRAM_IDLE = 0,           /* touches its data, then sleeps for ever */
    PROGRAM_CALL_DRIVER = 1,    /* calls crashdrv.sys by NtDeviceIoControlFile */
    PROGRAM_CRASH = 2,          /* writes to address 0x18: only its process ends; AppCrashSite */
    PROGRAM_EXIT = 3            /* ends its process */
} PROGRAM;

/* What crashdrv.sys registers before it crashes: BOOT_PARAMETERS.Callbacks. */
#define CALLBACK_SECONDARY_DATA 1 /* tagged data: GUID and content of crashdrv.h */
#define CALLBACK_ADD_PAGES 2      /* the page of an allocation, and a physical page */
#define CALLBACK_TRIAGE_DATA 4    /* a range of its own data */

typedef struct _BOOT_PARAMETERS {
    unsigned int Version;                /* BOOT_VERSION */
    unsigned int Size;                   /* of this structure */

    unsigned long long SystemDirectoryTableBase; /* physical, page-aligned */
    BOOT_MEMORY_RUN *MemoryRuns;
    BOOT_PAGES *Pages;
    unsigned int MemoryRunCount;
    unsigned int PagesCount;
    unsigned long long PfnDatabase;      /* address of the entry of PFN 0 */

    unsigned long long NonPagedPool;     /* page-aligned, mapped throughout */
    unsigned long long NonPagedPoolSize; /* bytes, a multiple of a page, at least 16 pages */
    unsigned long long PagedPool;
    unsigned long long PagedPoolSize;    /* bytes, a multiple of a page, at least 4 pages */
    unsigned long long KernelStacks;     /* KernelStackCount times one unmapped page + KERNEL_STACK_SIZE bytes */
    unsigned int KernelStackCount;       /* at least: user threads + 4 */

    unsigned int ImageCount;             /* at least 2: the kernel, the HAL, then drivers in load order */
    BOOT_IMAGE *Images;
    BOOT_PROCESSOR *Processors;
    unsigned int ProcessorCount;         /* 1 to MAXIMUM_BOOT_PROCESSORS */
    unsigned int ProcessCount;
    BOOT_PROCESS *Processes;

    unsigned int BuildNumber;            /* 9600, 19041, 26100 */
    unsigned int ProductType;            /* 1 workstation, 2 domain controller, 3 server */
    unsigned int SuiteMask;
    unsigned int NtMajorVersion;         /* 6, 10 */
    unsigned int NtMinorVersion;         /* 3, 0 */
    unsigned int PagingLevels;           /* 4 */
    unsigned long long BootTime;         /* FILETIME of interrupt time 0 */
    unsigned long long InterruptTime;    /* 100 ns units at entry: system time is BootTime + InterruptTime */
    char NtBuildLab[64];                 /* NUL terminated: 26100.1.amd64fre.ge_release.240331-1435 */

    unsigned int Scenario;               /* SCENARIO_* */
    unsigned int Callbacks;              /* CALLBACK_* */
    unsigned int ScenarioCode;           /* SCENARIO_BUGCHECK: the code */
    unsigned int ScenarioTicks;          /* SCENARIO_NONE: clock ticks to run before HYPERCALL_FINISHED; 0: for ever */
    unsigned long long ScenarioArguments[4];
} BOOT_PARAMETERS;

/* --- where things are ------------------------------------------------------------------------------------------------
   ntoskrnl.exe exports, besides its documented routines and the variables of KDDEBUGGER_DATA64, these for the loader:
     KdDebuggerDataBlock, KdVersionBlock, PsLoadedModuleList, PsActiveProcessHead, MmPfnDatabase, MmPhysicalMemoryBlock,
     MmUnloadedDrivers, MmLastUnloadedDriver, KiBugCheckData, KiProcessorBlock, KeNumberProcessors,
     KiBugCheckBlobs (BUGCHECK_BLOBS), KiBugCheckAddedPages, KiBugCheckTriageData (BUGCHECK_RANGES), KiTrapFrame.
   The results of the callbacks: */

#define MAXIMUM_BUGCHECK_BLOBS 8
#define MAXIMUM_BUGCHECK_RANGES 64

typedef struct _BUGCHECK_BLOB {
    unsigned char Guid[16];
    unsigned long long Address;          /* the callback's own buffer, readable at the snapshot */
    unsigned int Length;
    unsigned int Reserved;
} BUGCHECK_BLOB;

/* In the order of the callbacks. */
typedef struct _BUGCHECK_BLOBS {
    unsigned int Count;
    unsigned int Reserved;
    BUGCHECK_BLOB Blobs[MAXIMUM_BUGCHECK_BLOBS];
} BUGCHECK_BLOBS;

/* KiBugCheckAddedPages: Start = PFN, Count = pages (virtual addresses are already translated).
   KiBugCheckTriageData: Start = virtual address, Count = bytes. */
typedef struct _BUGCHECK_RANGE {
    unsigned long long Start;
    unsigned long long Count;
} BUGCHECK_RANGE;

typedef struct _BUGCHECK_RANGES {
    unsigned int Count;
    unsigned int Reserved;
    BUGCHECK_RANGE Ranges[MAXIMUM_BUGCHECK_RANGES];
} BUGCHECK_RANGES;
