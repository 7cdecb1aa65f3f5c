/* The two pools. Small allocations are blocks with a POOL_HEADER in a page of their own kind; larger ones whole pages.
   */
#include "ntos.h"

/* A section of its own, as Windows' kernel has it: MemProcFS knows a kernel by its name. */
#pragma clang attribute push(__attribute__((section("POOLCODE"))), apply_to = function)

POOL_DESCRIPTOR NonPagedPoolDescriptor, PagedPoolDescriptor;
POOL_TRACKER_BIG_PAGES PoolBigPageTable[MAXIMUM_BIG_PAGES];
ULONG64 MmAllocatedNonPagedPool;

#define UNIT sizeof(POOL_HEADER)
#define UNITS_OF_PAGE (PAGE_SIZE / UNIT)

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

static PVOID MiAllocateBig(POOL_DESCRIPTOR *Pool, SIZE_T Size, ULONG Tag)
{
    for (ULONG i = 0; i < MAXIMUM_BIG_PAGES; i++) {
        POOL_TRACKER_BIG_PAGES *entry = &PoolBigPageTable[i];
        if (entry->Va)
            continue;
        entry->Va = MiAllocatePages(Pool, (Size + PAGE_SIZE - 1) / PAGE_SIZE, POOL_PAGE_BIG, POOL_PAGE_BIG_MORE);
        entry->Key = Tag;
        entry->PoolType = Pool->PoolType;
        entry->NumberOfBytes = Size;
        return entry->Va;
    }
    return NULL;
}

static POOL_HEADER *MiNextBlock(POOL_HEADER *Block)
{
    POOL_HEADER *next = Block + Block->BlockSize;
    return (ULONG64)next % PAGE_SIZE ? next : NULL;
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
    last->PoolType = 0xFF; /* never free */
    last->PoolTag = ' dnE';
    return page;
}

static POOL_HEADER *MiFindBlock(POOL_DESCRIPTOR *Pool, ULONG Units)
{
    for (ULONG64 page = 0; page < Pool->Pages; page++) {
        if (Pool->PageUse[page] != POOL_PAGE_BLOCKS)
            continue;
        for (POOL_HEADER *block = (POOL_HEADER *)(Pool->Base + page * PAGE_SIZE); block; block = MiNextBlock(block)) {
            if (!block->BlockSize)
                KeBugCheckEx(BAD_POOL_HEADER, 0x20, (ULONG_PTR)block, 0, 0);
            if (!block->PoolType && block->BlockSize >= Units)
                return block;
        }
    }
    return MiNewBlockPage(Pool);
}

static PVOID MiAllocateBlock(POOL_DESCRIPTOR *Pool, SIZE_T Size, ULONG Tag)
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
    block->PoolTag = Tag;
    return block + 1;
}

static PVOID MiAllocatePool(POOL_DESCRIPTOR *Pool, SIZE_T Size, ULONG Tag)
{
    KIRQL irql = KeGetCurrentIrql();
    if (irql > (Pool->PoolType == PagedPool ? APC_LEVEL : DISPATCH_LEVEL))
        KeBugCheckEx(BAD_POOL_CALLER, 8, irql, Pool->PoolType, Size);
    if (!Size)
        Size = 1;
    if (Size > Pool->Pages * PAGE_SIZE)
        return NULL;
    irql = KeRaiseIrqlToDpcLevel();
    KiAcquireLock(&Pool->PoolLock);
    BOOLEAN big = Size > (UNITS_OF_PAGE - 2) * UNIT;
    PVOID memory = big ? MiAllocateBig(Pool, Size, Tag) : MiAllocateBlock(Pool, Size, Tag);
    if (memory) {
        Pool->RunningAllocs++;
        Pool->TotalBytes += Size;
        if (Pool == &NonPagedPoolDescriptor)
            MmAllocatedNonPagedPool = (Pool->TotalBytes + PAGE_SIZE - 1) / PAGE_SIZE;
    }
    KiReleaseLock(&Pool->PoolLock);
    KeLowerIrql(irql);
    return memory;
}

PVOID ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    return MiAllocatePool(PoolType & 1 ? &PagedPoolDescriptor : &NonPagedPoolDescriptor, NumberOfBytes, Tag);
}

PVOID ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag)
{
    PVOID memory = MiAllocatePool(
        Flags & POOL_FLAG_PAGED ? &PagedPoolDescriptor : &NonPagedPoolDescriptor, NumberOfBytes, Tag);
    if (memory && !(Flags & POOL_FLAG_UNINITIALIZED))
        RtlZeroMemory(memory, NumberOfBytes);
    return memory;
}

static void MiFreeBig(POOL_DESCRIPTOR *Pool, PVOID Memory)
{
    for (ULONG i = 0; i < MAXIMUM_BIG_PAGES; i++) {
        POOL_TRACKER_BIG_PAGES *entry = &PoolBigPageTable[i];
        if (entry->Va != Memory)
            continue;
        ULONG64 first = (ULONG64)((PUCHAR)Memory - Pool->Base) / PAGE_SIZE;
        RtlFillMemory(Pool->PageUse + first, (entry->NumberOfBytes + PAGE_SIZE - 1) / PAGE_SIZE, POOL_PAGE_FREE);
        Pool->TotalBytes -= entry->NumberOfBytes;
        RtlZeroMemory(entry, sizeof *entry);
        return;
    }
    KeBugCheckEx(BAD_POOL_CALLER, 0x46, (ULONG_PTR)Memory, 0, 0);
}

static void MiFreeBlock(POOL_DESCRIPTOR *Pool, POOL_HEADER *Block)
{
    if (!Block->PoolType || Block->PoolType == 0xFF)
        KeBugCheckEx(BAD_POOL_CALLER, 7, 0, Block->PoolTag, (ULONG_PTR)(Block + 1)); /* freed twice */
    Pool->TotalBytes -= (Block->BlockSize - 1) * UNIT;
    Block->PoolType = 0;
    POOL_HEADER *next = MiNextBlock(Block);
    if (next && !next->PoolType)
        Block->BlockSize = (Block->BlockSize + next->BlockSize) & 0xFF;
    if (Block->PreviousSize && !(Block - Block->PreviousSize)->PoolType) {
        POOL_HEADER *previous = Block - Block->PreviousSize;
        previous->BlockSize = (previous->BlockSize + Block->BlockSize) & 0xFF;
        Block = previous;
    }
    next = MiNextBlock(Block);
    if (next)
        next->PreviousSize = Block->BlockSize;
}

VOID ExFreePoolWithTag(PVOID Memory, ULONG Tag)
{
    POOL_DESCRIPTOR *pool = MiPoolOf(Memory);
    (void)Tag; /* as on Windows without special pool, a wrong tag is not looked at */
    if (!pool)
        KeBugCheckEx(BAD_POOL_CALLER, 0x46, (ULONG_PTR)Memory, 0, 0);
    KIRQL irql = KeRaiseIrqlToDpcLevel();
    KiAcquireLock(&pool->PoolLock);
    if ((ULONG64)Memory % PAGE_SIZE)
        MiFreeBlock(pool, (POOL_HEADER *)Memory - 1);
    else
        MiFreeBig(pool, Memory);
    pool->RunningDeAllocs++;
    KiReleaseLock(&pool->PoolLock);
    KeLowerIrql(irql);
}

#undef ExAllocatePool
#undef ExFreePool
PVOID ExAllocatePool(POOL_TYPE PoolType, SIZE_T NumberOfBytes)
{
    return ExAllocatePoolWithTag(PoolType, NumberOfBytes, 'enoN');
}

VOID ExFreePool(PVOID Memory) { ExFreePoolWithTag(Memory, 0); }

#pragma clang attribute pop
