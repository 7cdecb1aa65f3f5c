/* Physical and virtual memory. Layouts: public symbols of Windows 7 (MMPFN) and later (the rest). */
#pragma once

#include "ntos_ke.h"
#include "ntos_boot.h"

typedef struct _MMPTE_HARDWARE {
    ULONG64 Valid : 1;
    ULONG64 Write : 1;
    ULONG64 Owner : 1;
    ULONG64 WriteThrough : 1;
    ULONG64 CacheDisable : 1;
    ULONG64 Accessed : 1;
    ULONG64 Dirty : 1;
    ULONG64 LargePage : 1;
    ULONG64 Global : 1;
    ULONG64 CopyOnWrite : 1;
    ULONG64 Unused : 1;
    ULONG64 Dirty1 : 1;
    ULONG64 PageFrameNumber : 36;
    ULONG64 Reserved : 15;
    ULONG64 NoExecute : 1;
} MMPTE_HARDWARE;

/* An entry that is not valid, or an MMPFN's OriginalPte. */
typedef struct _MMPTE_SOFTWARE {
    ULONG64 Valid : 1;
    ULONG64 PageFileReserved : 1;
    ULONG64 PageFileAllocated : 1;
    ULONG64 ColdPage : 1;
    ULONG64 SwizzleBit : 1;
    ULONG64 Protection : 5;
    ULONG64 Prototype : 1;
    ULONG64 Transition : 1;
    ULONG64 PageFileLow : 4;
    ULONG64 UsedPageTableEntries : 10;
    ULONG64 ShadowStack : 1;
    ULONG64 OnStandbyLookaside : 1;
    ULONG64 Unused : 4;
    ULONG64 PageFileHigh : 32;
} MMPTE_SOFTWARE;

typedef struct _MMPTE {
    union {
        ULONG64 Long;
        volatile ULONG64 VolatileLong;
        MMPTE_HARDWARE Hard;
        MMPTE_SOFTWARE Soft;
    } u;
} MMPTE;

typedef enum _MMLISTS {
    ZeroedPageList, FreePageList, StandbyPageList, ModifiedPageList, ModifiedNoWritePageList, BadPageList,
    ActiveAndValid, TransitionPage
} MMLISTS;

typedef struct _MMPFNENTRY {
    USHORT PageLocation : 3; /* MMLISTS */
    USHORT WriteInProgress : 1;
    USHORT Modified : 1;
    USHORT ReadInProgress : 1;
    USHORT CacheAttribute : 2;
    USHORT Priority : 3;
    USHORT Rom : 1;
    USHORT InPageError : 1;
    USHORT KernelStack : 1;
    USHORT RemovalRequested : 1;
    USHORT ParityError : 1;
} MMPFNENTRY;

typedef struct _MMPFN {
    union {
        ULONG64 Flink; /* PFN of the next page of its list */
        ULONG64 WsIndex;
    } u1;
    union {
        ULONG64 Blink;
        ULONG64 ShareCount;
    } u2;
    MMPTE *PteAddress;
    struct {
        USHORT ReferenceCount;
        MMPFNENTRY e1;
        ULONG UsedPageTableEntries;
    } u3;
    MMPTE OriginalPte;
    union {
        ULONG64 EntireField;
        struct {
            ULONG64 PteFrame : 40;
            ULONG64 ResidentPage : 1;
            ULONG64 Unused1 : 1;
            ULONG64 Unused2 : 1;
            ULONG64 Partition : 10;
            ULONG64 FileOnly : 1;
            ULONG64 PfnExists : 1;
            ULONG64 Spare : 5;
            ULONG64 PageIdentity : 3;
            ULONG64 PrototypePte : 1;
        };
    } u4;
} MMPFN;

#define MM_EMPTY_LIST (~0ull)

typedef struct _MMPFNLIST {
    ULONG64 Total;
    MMLISTS ListName;
    ULONG64 Flink; /* PFN, MM_EMPTY_LIST: none */
    ULONG64 Blink;
} MMPFNLIST;

typedef struct _PHYSICAL_MEMORY_RUN {
    ULONG64 BasePage;
    ULONG64 PageCount;
} PHYSICAL_MEMORY_RUN;

typedef struct _PHYSICAL_MEMORY_DESCRIPTOR {
    ULONG NumberOfRuns;
    ULONG64 NumberOfPages;
    PHYSICAL_MEMORY_RUN Run[1];
} PHYSICAL_MEMORY_DESCRIPTOR;

/* Blocks of a pool page are multiples of 16 bytes, this header included. */
typedef struct _POOL_HEADER {
    union {
        struct {
            ULONG PreviousSize : 8;
            ULONG PoolIndex : 8;
            ULONG BlockSize : 8;
            ULONG PoolType : 8; /* 0: free */
        };
        ULONG Ulong1;
    };
    ULONG PoolTag;
    ULONG64 ProcessBilled;
} POOL_HEADER;

/* One of the two pools. `PageUse` has one byte a page: POOL_PAGE_*; it lies in the pool's own first pages. */
typedef struct _POOL_DESCRIPTOR {
    POOL_TYPE PoolType;
    ULONG64 PoolLock;
    PUCHAR Base;
    ULONG64 Pages;
    PUCHAR PageUse;
    ULONG RunningAllocs;
    ULONG RunningDeAllocs;
    ULONG64 TotalBytes;
} POOL_DESCRIPTOR;
enum { POOL_PAGE_FREE, POOL_PAGE_BLOCKS, POOL_PAGE_BIG, POOL_PAGE_BIG_MORE, POOL_PAGE_RESERVED };

/* An allocation of whole pages: the tag has no header to stand in. */
typedef struct _POOL_TRACKER_BIG_PAGES {
    PVOID Va;
    ULONG Key; /* tag */
    ULONG PoolType;
    ULONG64 NumberOfBytes;
} POOL_TRACKER_BIG_PAGES;
#define MAXIMUM_BIG_PAGES 64

#undef PTE_BASE
#define PTE_BASE (0xFFFF000000000000ull | (ULONG64)SELF_MAP_INDEX << 39)

SIZE(MMPTE, 8);
SIZE(MMPFN, MMPFN_SIZE);
AT(MMPFN, u3.e1, 0x1A);
SIZE(PHYSICAL_MEMORY_DESCRIPTOR, 0x20);
SIZE(POOL_HEADER, 0x10);

extern MMPFN *MmPfnDatabase;
extern PHYSICAL_MEMORY_DESCRIPTOR *MmPhysicalMemoryBlock;
extern POOL_DESCRIPTOR NonPagedPoolDescriptor, PagedPoolDescriptor;

VOID MmInitSystem(const BOOT_PARAMETERS *Boot);
VOID MmInitializeVads(EPROCESS *Process, const BOOT_REGION *Regions, ULONG Count); /* mm_vad.c */
MMPTE *MiGetPteAddress(PVOID Address);  /* of the last level of the self map, mapped or not */
MMPTE *MiFindLeafPte(PVOID Address);    /* the entry that maps Address, of a large page too; NULL: none */
BOOLEAN MiTablesPresent(PVOID Address); /* whether the last-level table exists */
VOID MiFreeSystemPages(PVOID Address, SIZE_T Size); /* unmaps, and puts the pages on the free list */
PVOID MmCreateKernelStack(VOID);        /* its base, the highest address; NULL: none left */
