/* The two pools. Small allocations are blocks with a POOL_HEADER in a page of their own kind; larger ones whole pages.
   What a caller does wrong is a bug check, 0xC2 or 0x19, with the parameters of its reference page; 0xC4 where only
   Driver Verifier looks. */
#include "runtime.h"

/* A section of its own, as Windows' kernel has it: MemProcFS knows a kernel by its name. */
#pragma clang attribute push(__attribute__((section("POOLCODE"))), apply_to = function)

#define BIG_PAGES 1024
#define UNIT sizeof(POOL_HEADER)
#define UNITS_OF_PAGE (PAGE_SIZE / UNIT)
#define BLOCK_END 0xFF  /* POOL_HEADER.PoolType of the unit that ends a page */
#define MAXIMUM_OWNERS 32

POOL_DESCRIPTOR NonPagedPoolDescriptor, PagedPoolDescriptor;
POOL_TRACKER_BIG_PAGES PoolBigPageTable[BIG_PAGES];
ULONG64 MmAllocatedNonPagedPool;
static UCHAR ExpBigOwners[BIG_PAGES]; /* who allocated an entry: PsDriverNumber */
static LONG ExpAllocations[MAXIMUM_OWNERS], ExpPagedBytes[MAXIMUM_OWNERS], ExpNonPagedBytes[MAXIMUM_OWNERS];

VOID MiInitializePool(POOL_DESCRIPTOR *Pool, POOL_TYPE Type, ULONG64 Base, ULONG64 Size)
{
    Pool->PoolType = Type;
    Pool->Base = Pool->PageUse = (PUCHAR)Base;
    Pool->Pages = Size / PAGE_SIZE;
    ULONG64 table = (Pool->Pages + PAGE_SIZE - 1) / PAGE_SIZE;
    if (Pool->Pages < table + 3)
        KiFatal("a pool is too small");
    RtlFillMemory(Pool->PageUse, table, POOL_PAGE_RESERVED);
}

static POOL_DESCRIPTOR *MiPoolOf(PVOID Address)
{
    POOL_DESCRIPTOR *pools[] = { &NonPagedPoolDescriptor, &PagedPoolDescriptor };
    for (ULONG i = 0; i < 2; i++)
        if ((PUCHAR)Address >= pools[i]->Base && (PUCHAR)Address < pools[i]->Base + pools[i]->Pages * PAGE_SIZE)
            return pools[i];
    return NULL;
}

static void ExpCount(POOL_DESCRIPTOR *Pool, ULONG Owner, SIZE_T Bytes, LONG Sign)
{
    LONG *bytes = Pool == &PagedPoolDescriptor ? ExpPagedBytes : ExpNonPagedBytes;
    ExpAllocations[Owner] += Sign;
    bytes[Owner] += Sign * (LONG)Bytes;
    Pool->TotalBytes += (ULONG64)(Sign * (LONG64)Bytes);
    if (Pool == &NonPagedPoolDescriptor)
        MmAllocatedNonPagedPool = (Pool->TotalBytes + PAGE_SIZE - 1) / PAGE_SIZE;
}

ULONG ExpOutstanding(ULONG Owner) { return (ULONG)ExpAllocations[Owner % MAXIMUM_OWNERS]; }

/* --- paged pool at a raised IRQL -----------------------------------------------------------------------------------*/

#define TRANSITION (1ull << 11) /* MMPTE_SOFTWARE.Transition */
#define FRAME_BITS 0x000FFFFFFFFFF000ull
static BOOLEAN MiTrimmed; /* some page is in transition */

/* Driver Verifier's forced IRQL checking: when a driver raises the IRQL, paged memory leaves the working set. A page in
   transition keeps its content; it is read back by a fault below DISPATCH_LEVEL. */
VOID MiTrimPagedPool(void)
{
    POOL_DESCRIPTOR *pool = &PagedPoolDescriptor;
    for (ULONG64 page = 1; page < pool->Pages; page++) {
        PVOID address = pool->Base + page * PAGE_SIZE;
        MMPTE *pte = MiGetPteAddress(address);
        if (pool->PageUse[page] == POOL_PAGE_FREE || pool->PageUse[page] == POOL_PAGE_RESERVED || !pte->u.Hard.Valid)
            continue;
        MiTrimmed = TRUE;
        pte->u.Long = (pte->u.Long & FRAME_BITS) | TRANSITION | 4 << 5; /* MM_READWRITE */
        KiInvalidatePage(address);
    }
}

BOOLEAN MiRestorePagedPage(PVOID Address)
{
    POOL_DESCRIPTOR *pool = &PagedPoolDescriptor;
    if (MiPoolOf(Address) != pool)
        return FALSE;
    MMPTE *pte = MiGetPteAddress(Address);
    if (pte->u.Hard.Valid || !(pte->u.Long & TRANSITION))
        return FALSE;
    pte->u.Long = (pte->u.Long & FRAME_BITS) | 0x8000000000000063ull; /* present, writable, accessed, dirty; no execute */
    KiInvalidatePage(Address);
    return TRUE;
}

/* The pool's own headers are needed at DISPATCH_LEVEL. */
static void MiRestorePool(POOL_DESCRIPTOR *Pool)
{
    for (ULONG64 page = 1; Pool == &PagedPoolDescriptor && MiTrimmed && page < Pool->Pages; page++)
        MiRestorePagedPage(Pool->Base + page * PAGE_SIZE);
    if (Pool == &PagedPoolDescriptor)
        MiTrimmed = FALSE;
}

/* --- allocating ----------------------------------------------------------------------------------------------------*/

/* A run of free pages, marked as one allocation; NULL: none. */
static PVOID MiAllocatePages(POOL_DESCRIPTOR *Pool, ULONG64 Count, UCHAR First, UCHAR More)
{
    for (ULONG64 page = 0, run = 0; page < Pool->Pages; page++) {
        run = Pool->PageUse[page] == POOL_PAGE_FREE ? run + 1 : 0;
        if (run == Count) {
            ULONG64 start = page + 1 - Count;
            RtlFillMemory(Pool->PageUse + start, Count, More);
            Pool->PageUse[start] = First;
            return Pool->Base + start * PAGE_SIZE;
        }
    }
    return NULL;
}

static PVOID MiAllocateBig(POOL_DESCRIPTOR *Pool, SIZE_T Size, ULONG Tag, ULONG Owner)
{
    for (ULONG i = 0; i < BIG_PAGES; i++) {
        POOL_TRACKER_BIG_PAGES *entry = &PoolBigPageTable[i];
        if (entry->Va)
            continue;
        entry->Va = MiAllocatePages(Pool, (Size + PAGE_SIZE - 1) / PAGE_SIZE, POOL_PAGE_BIG, POOL_PAGE_BIG_MORE);
        if (!entry->Va)
            return NULL;
        entry->Key = Tag;
        entry->PoolType = Pool->PoolType;
        entry->NumberOfBytes = Size;
        ExpBigOwners[i] = (UCHAR)Owner;
        ExpCount(Pool, Owner, Size, 1);
        return entry->Va;
    }
    return NULL;
}

static POOL_HEADER *MiNextBlock(POOL_HEADER *Block)
{
    POOL_HEADER *next = Block + Block->BlockSize;
    return (ULONG64)next % PAGE_SIZE ? next : NULL;
}

/* 0x19 (0x20): the size in a header is corrupt, or that of its neighbour: a block was overrun. */
static void MiCheckBlock(POOL_HEADER *Block)
{
    POOL_HEADER *page = (POOL_HEADER *)((ULONG64)Block & ~(ULONG64)(PAGE_SIZE - 1)), *next = MiNextBlock(Block);
    if (!Block->BlockSize || Block + Block->BlockSize > page + UNITS_OF_PAGE)
        KeBugCheckEx(BAD_POOL_HEADER, 0x20, (ULONG_PTR)Block, (ULONG_PTR)(Block + Block->BlockSize), Block->Ulong1);
    if (next && next->PreviousSize != Block->BlockSize)
        KeBugCheckEx(BAD_POOL_HEADER, 0x20, (ULONG_PTR)Block, (ULONG_PTR)next, Block->Ulong1);
}

/* A page of one free block. Its last unit stays unused: a block's size has 8 bits. */
static POOL_HEADER *MiNewBlockPage(POOL_DESCRIPTOR *Pool)
{
    POOL_HEADER *page = MiAllocatePages(Pool, 1, POOL_PAGE_BLOCKS, POOL_PAGE_BLOCKS);
    if (!page)
        return NULL;
    RtlZeroMemory(page, PAGE_SIZE);
    page->BlockSize = UNITS_OF_PAGE - 1;
    POOL_HEADER *last = page + page->BlockSize;
    last->PreviousSize = page->BlockSize;
    last->BlockSize = 1;
    last->PoolType = BLOCK_END;
    last->PoolTag = ' dnE';
    return page;
}

static POOL_HEADER *MiFindBlock(POOL_DESCRIPTOR *Pool, ULONG Units)
{
    for (ULONG64 page = 0; page < Pool->Pages; page++) {
        if (Pool->PageUse[page] != POOL_PAGE_BLOCKS)
            continue;
        for (POOL_HEADER *block = (POOL_HEADER *)(Pool->Base + page * PAGE_SIZE); block; block = MiNextBlock(block)) {
            MiCheckBlock(block);
            if (!block->PoolType && block->BlockSize >= Units)
                return block;
        }
    }
    return MiNewBlockPage(Pool);
}

static PVOID MiAllocateBlock(POOL_DESCRIPTOR *Pool, SIZE_T Size, ULONG Tag, ULONG Owner)
{
    ULONG units = (ULONG)((Size + UNIT - 1) / UNIT) + 1;
    POOL_HEADER *block = MiFindBlock(Pool, units);
    if (!block)
        return NULL;
    if (block->BlockSize > units) {
        POOL_HEADER *rest = block + units;
        RtlZeroMemory(rest, sizeof *rest);
        rest->PreviousSize = units & 0xFF;
        rest->BlockSize = (block->BlockSize - units) & 0xFF;
        POOL_HEADER *next = MiNextBlock(rest);
        if (next)
            next->PreviousSize = rest->BlockSize;
        block->BlockSize = units & 0xFF;
    }
    block->PoolType = Pool->PoolType == PagedPool ? 3 : 2; /* POOL_TYPE + 1, in use */
    block->PoolIndex = Owner & 0xFF;
    block->PoolTag = Tag;
    ExpCount(Pool, Owner, (block->BlockSize - 1) * UNIT, 1);
    return block + 1;
}

/* `Type` is what the caller gave, for the bug check. */
static PVOID MiAllocatePool(POOL_DESCRIPTOR *Pool, ULONG Type, SIZE_T Size, ULONG Tag, ULONG64 Caller)
{
    KIRQL irql = KeGetCurrentIrql();
    ULONG owner = PsDriverNumber(Caller) % MAXIMUM_OWNERS;
    if (irql > (Pool->PoolType == PagedPool ? APC_LEVEL : DISPATCH_LEVEL))
        KeBugCheckEx(BAD_POOL_CALLER, 8, irql, Type, Size);
    if (!Size && owner)
        VfViolation(0, irql, Type, 0);
    if (!Size)
        Size = 1;
    if (Size > Pool->Pages * PAGE_SIZE)
        return NULL;
    MiRestorePool(Pool);
    irql = KfRaiseIrql(DISPATCH_LEVEL);
    KiAcquireLock(&Pool->PoolLock);
    BOOLEAN big = Size > (UNITS_OF_PAGE - 2) * UNIT;
    PVOID memory = big ? MiAllocateBig(Pool, Size, Tag, owner) : MiAllocateBlock(Pool, Size, Tag, owner);
    Pool->RunningAllocs += memory != NULL;
    KiReleaseLock(&Pool->PoolLock);
    KeLowerIrql(irql);
    return memory;
}

static POOL_DESCRIPTOR *MiPoolOfType(ULONG Type) { return Type & 1 ? &PagedPoolDescriptor : &NonPagedPoolDescriptor; }

#define CALLER ((ULONG64)__builtin_return_address(0))

PVOID ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    return MiAllocatePool(MiPoolOfType(PoolType), PoolType, NumberOfBytes, Tag, CALLER);
}

PVOID ExAllocatePoolWithTagPriority(
    POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag, EX_POOL_PRIORITY Priority)
{
    (void)Priority;
    return MiAllocatePool(MiPoolOfType(PoolType), PoolType, NumberOfBytes, Tag, CALLER);
}

#define POOL_QUOTA_FAIL_INSTEAD_OF_RAISE_BIT 8 /* wdm.h */

static PVOID MiAllocateOrRaise(ULONG Type, SIZE_T Size, ULONG Tag, ULONG64 Caller)
{
    PVOID memory = MiAllocatePool(MiPoolOfType(Type), Type, Size, Tag, Caller);
    if (!memory && !(Type & POOL_QUOTA_FAIL_INSTEAD_OF_RAISE_BIT))
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    return memory;
}

PVOID ExAllocatePoolWithQuotaTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    return MiAllocateOrRaise(PoolType, NumberOfBytes, Tag, CALLER);
}

PVOID ExAllocatePoolWithQuota(POOL_TYPE PoolType, SIZE_T NumberOfBytes)
{
    return MiAllocateOrRaise(PoolType, NumberOfBytes, 'enoN', CALLER);
}

PVOID ExAllocatePool(POOL_TYPE PoolType, SIZE_T NumberOfBytes)
{
    return MiAllocatePool(MiPoolOfType(PoolType), PoolType, NumberOfBytes, 'enoN', CALLER);
}

#define POOL_FLAG_RAISE_ON_FAILURE 0x20ull /* wdm.h */

static PVOID MiAllocateByFlags(POOL_FLAGS Flags, SIZE_T Size, ULONG Tag, ULONG64 Caller)
{
    ULONG type = Flags & POOL_FLAG_PAGED ? PagedPool : Flags & POOL_FLAG_NON_PAGED_EXECUTE ? NonPagedPool : NonPagedPoolNx;
    if (!(Flags & (POOL_FLAG_PAGED | POOL_FLAG_NON_PAGED | POOL_FLAG_NON_PAGED_EXECUTE)))
        return NULL;
    PVOID memory = MiAllocatePool(MiPoolOfType(type), type, Size, Tag, Caller);
    if (!memory && Flags & POOL_FLAG_RAISE_ON_FAILURE)
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    if (memory && !(Flags & POOL_FLAG_UNINITIALIZED))
        RtlZeroMemory(memory, Size);
    return memory;
}

PVOID ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag)
{
    return MiAllocateByFlags(Flags, NumberOfBytes, Tag, CALLER);
}

PVOID ExAllocatePool3(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag, PVOID Extended, ULONG Count)
{
    (void)Extended, (void)Count;
    return MiAllocateByFlags(Flags, NumberOfBytes, Tag, CALLER);
}

/* --- freeing -------------------------------------------------------------------------------------------------------*/

static void MiCheckTag(PVOID Memory, ULONG Tag, ULONG Given)
{
    const ULONG protected = 0x80000000; /* wdm.h PROTECTED_POOL */
    if (Given && (Given & ~protected) != (Tag & ~protected))
        KeBugCheckEx(BAD_POOL_CALLER, 0xA, (ULONG_PTR)Memory, Tag, Given);
}

static void MiCheckContent(PVOID Memory, SIZE_T Size)
{
    KeCheckForTimer(Memory, Size);
    ExpCheckForResource(Memory, Size);
}

static void MiFreeBig(POOL_DESCRIPTOR *Pool, PVOID Memory, ULONG Tag)
{
    for (ULONG i = 0; i < BIG_PAGES; i++) {
        POOL_TRACKER_BIG_PAGES *entry = &PoolBigPageTable[i];
        if (entry->Va != Memory)
            continue;
        MiCheckTag(Memory, entry->Key, Tag);
        MiCheckContent(Memory, entry->NumberOfBytes);
        ULONG64 first = (ULONG64)((PUCHAR)Memory - Pool->Base) / PAGE_SIZE;
        RtlFillMemory(Pool->PageUse + first, (entry->NumberOfBytes + PAGE_SIZE - 1) / PAGE_SIZE, POOL_PAGE_FREE);
        ExpCount(Pool, ExpBigOwners[i], entry->NumberOfBytes, -1);
        RtlZeroMemory(entry, sizeof *entry);
        return;
    }
    /* 0x41, 0x50: an address of this pool that is not allocated. */
    ULONG64 offset = (ULONG64)((PUCHAR)Memory - Pool->Base) / PAGE_SIZE;
    if (Pool == &PagedPoolDescriptor)
        KeBugCheckEx(BAD_POOL_CALLER, 0x50, (ULONG_PTR)Memory, offset, Pool->Pages * PAGE_SIZE);
    extern ULONG64 MmHighestPhysicalPage;
    KeBugCheckEx(
        BAD_POOL_CALLER, 0x41, (ULONG_PTR)Memory, (ULONG64)MmGetPhysicalAddress(Memory).QuadPart / PAGE_SIZE,
        MmHighestPhysicalPage);
}

/* The block that a pointer into a page of blocks is of; NULL: none begins there. */
static POOL_HEADER *MiBlockAt(POOL_DESCRIPTOR *Pool, PVOID Memory)
{
    POOL_HEADER *wanted = (POOL_HEADER *)Memory - 1;
    POOL_HEADER *page = (POOL_HEADER *)((ULONG64)wanted & ~(ULONG64)(PAGE_SIZE - 1));
    if (Pool->PageUse[((PUCHAR)page - Pool->Base) / PAGE_SIZE] != POOL_PAGE_BLOCKS || (ULONG64)Memory % UNIT)
        return NULL;
    for (POOL_HEADER *block = page; block && block <= wanted; block = MiNextBlock(block)) {
        MiCheckBlock(block);
        if (block == wanted)
            return block;
    }
    return NULL;
}

static void MiFreeBlock(POOL_DESCRIPTOR *Pool, PVOID Memory, ULONG Tag)
{
    /* A freed block may have become part of the one before it. Its header is still there: */
    POOL_HEADER *block = (POOL_HEADER *)Memory - 1, *found = MiBlockAt(Pool, Memory);
    if ((ULONG64)Memory % UNIT == 0 && (!block->PoolType || block->PoolType == BLOCK_END) && block->PoolTag)
        KeBugCheckEx(BAD_POOL_CALLER, 7, 0, block->Ulong1, (ULONG_PTR)Memory);
    if (!found)
        KeBugCheckEx(BAD_POOL_CALLER, 0x46, (ULONG_PTR)Memory, 0, 0);
    MiCheckTag(Memory, block->PoolTag, Tag);
    MiCheckContent(Memory, (block->BlockSize - 1) * UNIT);
    ExpCount(Pool, block->PoolIndex, (block->BlockSize - 1) * UNIT, -1);
    block->PoolType = 0;
    POOL_HEADER *next = MiNextBlock(block);
    if (next && !next->PoolType)
        block->BlockSize = (block->BlockSize + next->BlockSize) & 0xFF;
    if (block->PreviousSize && !(block - block->PreviousSize)->PoolType) {
        POOL_HEADER *previous = block - block->PreviousSize;
        previous->BlockSize = (previous->BlockSize + block->BlockSize) & 0xFF;
        block = previous;
    }
    next = MiNextBlock(block);
    if (next)
        next->PreviousSize = block->BlockSize;
}

VOID ExFreePoolWithTag(PVOID Memory, ULONG Tag)
{
    extern PVOID MmSystemRangeStart;
    POOL_DESCRIPTOR *pool = MiPoolOf(Memory);
    KIRQL irql = KeGetCurrentIrql();
    if (Memory && Memory < MmSystemRangeStart)
        KeBugCheckEx(BAD_POOL_CALLER, 0x40, (ULONG_PTR)Memory, (ULONG_PTR)MmSystemRangeStart, 0);
    if (!pool)
        KeBugCheckEx(BAD_POOL_CALLER, 0x46, (ULONG_PTR)Memory, 0, 0);
    if (irql > (pool->PoolType == PagedPool ? APC_LEVEL : DISPATCH_LEVEL))
        KeBugCheckEx(BAD_POOL_CALLER, 9, irql, pool->PoolType, (ULONG_PTR)Memory);
    MiRestorePool(pool);
    irql = KfRaiseIrql(DISPATCH_LEVEL);
    KiAcquireLock(&pool->PoolLock);
    if ((ULONG64)Memory % PAGE_SIZE)
        MiFreeBlock(pool, Memory, Tag);
    else
        MiFreeBig(pool, Memory, Tag);
    pool->RunningDeAllocs++;
    KiReleaseLock(&pool->PoolLock);
    KeLowerIrql(irql);
}

VOID ExFreePool(PVOID Memory) { ExFreePoolWithTag(Memory, 0); }

VOID ExFreePool2(PVOID Memory, ULONG Tag, PVOID Extended, ULONG Count)
{
    (void)Extended, (void)Count;
    ExFreePoolWithTag(Memory, Tag);
}

#pragma clang attribute pop
