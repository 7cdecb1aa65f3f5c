/* ntdll: the heap.

   A heap is a chain of segments, each one reserved region committed on demand. In a segment

     header pages | small blocks, growing upwards ...      ... runs of pages for large blocks, from the top downwards

   Small blocks carry 16-byte headers with boundary tags; free ones are kept in one list and merged with their
   neighbours. A block of 64 KiB or more gets pages of its own (first free run from the top of the segment); freeing it
   decommits them, so that a use after free faults. A fresh heap's first large block of N bytes begins at the end of the
   segment minus its N + 16 bytes rounded up to pages. */
#define _NTSYSTEM_
#include "ntdll_internal.h"

#define PAGE ((SIZE_T)0x1000)
#define SEGMENT_RESERVE ((SIZE_T)0x100000)
#define SEGMENT_SIGNATURE 0xFFEEFFEE /* as _HEAP_SEGMENT.SegmentSignature */
#define LARGE_THRESHOLD ((SIZE_T)0x10000)
#define SMALL_COMMIT ((SIZE_T)0x4000)
#define HEAPS 32

#define BLOCK_BUSY 0x4255u
#define BLOCK_FREE 0x4652u
#define BLOCK_LARGE 0x4C41u

typedef struct HEAP_BLOCK {
    ULONG Units;         /* size with this header, in 16 bytes */
    ULONG PreviousUnits; /* of the block before it; 0 for the first one of a segment */
    USHORT State;
    USHORT Unused; /* bytes at the end that were not asked for (small blocks) */
    ULONG Large;   /* pages of a large block */
} HEAP_BLOCK;

typedef struct HEAP_SEGMENT {
    UCHAR Entry[16];
    ULONG Signature;
    ULONG Pages;
    struct HEAP_SEGMENT *Next;
    PUCHAR SmallFirst;
    PUCHAR SmallEnd;  /* end of the last small block */
    PUCHAR Committed; /* end of the committed small area */
    ULONG SmallLastUnits;
    ULONG LargeLowest; /* page number of the lowest page ever given to a large block */
    UCHAR PageInUse[]; /* one per page, for large blocks */
} HEAP_SEGMENT;

typedef struct HEAP {
    ULONG Magic;
    ULONG Flags;
    LONG volatile Lock;
    HEAP_SEGMENT *Segments;
    LIST_ENTRY Free;
} HEAP;

C_ASSERT(sizeof(HEAP_BLOCK) == 16);

static PVOID heaps[HEAPS];
static ULONG heap_magic = 0x48454150;

static void lock_heap(HEAP *heap)
{
    if (!(heap->Flags & HEAP_NO_SERIALIZE))
        while (InterlockedExchange(&heap->Lock, 1))
            NtYieldExecution();
}

static void unlock_heap(HEAP *heap)
{
    if (!(heap->Flags & HEAP_NO_SERIALIZE))
        InterlockedExchange(&heap->Lock, 0);
}

static BOOLEAN commit(PVOID base, SIZE_T size)
{
    return NT_SUCCESS(NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_COMMIT, PAGE_READWRITE));
}

/* Make a segment of a reserved region (the caller's, or one reserved here); `extra` bytes stay free after its page
 * table. */
static HEAP_SEGMENT *make_segment(PVOID base, SIZE_T reserve, SIZE_T extra)
{
    SIZE_T pages = reserve / PAGE;
    SIZE_T header = (sizeof(HEAP_SEGMENT) + pages + extra + PAGE - 1) & ~(PAGE - 1);
    if (base == NULL &&
        !NT_SUCCESS(NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &reserve, MEM_RESERVE, PAGE_READWRITE)))
        return NULL;
    if (header >= reserve || !commit(base, header))
        return NULL;
    HEAP_SEGMENT *segment = base;
    segment->Signature = SEGMENT_SIGNATURE;
    segment->Pages = (ULONG)pages;
    segment->SmallFirst = segment->SmallEnd = segment->Committed = (PUCHAR)base + header;
    segment->LargeLowest = (ULONG)pages;
    return segment;
}

static HEAP_SEGMENT *add_segment(HEAP *heap, SIZE_T wanted)
{
    SIZE_T reserve = wanted + wanted / PAGE + sizeof(HEAP_SEGMENT) + 2 * PAGE;
    reserve = reserve < SEGMENT_RESERVE ? SEGMENT_RESERVE : (reserve + 0xFFFF) & ~(SIZE_T)0xFFFF;
    if (!(heap->Flags & HEAP_GROWABLE) || reserve < wanted)
        return NULL;
    HEAP_SEGMENT *segment = make_segment(NULL, reserve, 0);
    if (segment != NULL) {
        HEAP_SEGMENT **tail = &heap->Segments;
        while (*tail != NULL)
            tail = &(*tail)->Next;
        *tail = segment;
    }
    return segment;
}

static HEAP_SEGMENT *segment_of(HEAP *heap, PVOID address)
{
    for (HEAP_SEGMENT *s = heap->Segments; s != NULL; s = s->Next)
        if ((ULONG_PTR)address - (ULONG_PTR)s < s->Pages * PAGE)
            return s;
    return NULL;
}

static HEAP_BLOCK *block_after(HEAP_BLOCK *block)
{
    return block + block->Units;
}

static PLIST_ENTRY link_of(HEAP_BLOCK *block)
{
    return (PLIST_ENTRY)(block + 1);
}

static void unlink_free(HEAP_BLOCK *block)
{
    PLIST_ENTRY link = link_of(block);
    link->Blink->Flink = link->Flink;
    link->Flink->Blink = link->Blink;
}

static void link_free(HEAP *heap, HEAP_BLOCK *block)
{
    PLIST_ENTRY link = link_of(block);
    block->State = BLOCK_FREE;
    link->Flink = heap->Free.Flink;
    link->Blink = &heap->Free;
    heap->Free.Flink->Blink = link;
    heap->Free.Flink = link;
}

/* Change a block's size and tell the block after it. */
static void set_units(HEAP_SEGMENT *segment, HEAP_BLOCK *block, ULONG units)
{
    block->Units = units;
    if ((PUCHAR)block_after(block) >= segment->SmallEnd)
        segment->SmallLastUnits = units;
    else
        block_after(block)->PreviousUnits = units;
}

/* Give back the end of a block that is larger than needed. */
static void split(HEAP *heap, HEAP_SEGMENT *segment, HEAP_BLOCK *block, ULONG units)
{
    if (block->Units < units + 2)
        return;
    HEAP_BLOCK *rest = block + units;
    rest->Units = block->Units - units;
    rest->PreviousUnits = units;
    set_units(segment, rest, rest->Units);
    block->Units = units;
    link_free(heap, rest);
}

static HEAP_BLOCK *extend_small(HEAP_SEGMENT *segment, ULONG units)
{
    SIZE_T size = (SIZE_T)units * sizeof(HEAP_BLOCK);
    PUCHAR limit = (PUCHAR)segment + segment->LargeLowest * PAGE;
    if (size > (SIZE_T)(limit - segment->SmallEnd))
        return NULL;
    PUCHAR end = segment->SmallEnd + size;
    if (end > segment->Committed) {
        SIZE_T more = ((SIZE_T)(end - segment->Committed) + SMALL_COMMIT - 1) & ~(SMALL_COMMIT - 1);
        if (more > (SIZE_T)(limit - segment->Committed))
            more = (SIZE_T)(limit - segment->Committed);
        if (!commit(segment->Committed, more))
            return NULL;
        segment->Committed += more;
    }
    HEAP_BLOCK *block = (HEAP_BLOCK *)segment->SmallEnd;
    block->Units = units;
    block->PreviousUnits = segment->SmallLastUnits;
    segment->SmallEnd = end;
    segment->SmallLastUnits = units;
    return block;
}

static HEAP_BLOCK *allocate_small(HEAP *heap, ULONG units)
{
    for (PLIST_ENTRY link = heap->Free.Flink; link != &heap->Free; link = link->Flink) {
        HEAP_BLOCK *block = (HEAP_BLOCK *)link - 1;
        if (block->Units >= units) {
            unlink_free(block);
            split(heap, segment_of(heap, block), block, units);
            return block;
        }
    }
    for (HEAP_SEGMENT *s = heap->Segments; s != NULL; s = s->Next) {
        HEAP_BLOCK *block = extend_small(s, units);
        if (block != NULL)
            return block;
    }
    HEAP_SEGMENT *fresh = add_segment(heap, (SIZE_T)units * sizeof(HEAP_BLOCK));
    return fresh != NULL ? extend_small(fresh, units) : NULL;
}

static HEAP_BLOCK *take_pages(HEAP_SEGMENT *segment, ULONG pages)
{
    ULONG floor = (ULONG)((SIZE_T)(segment->Committed - (PUCHAR)segment) / PAGE);
    ULONG run = 0;
    for (ULONG page = segment->Pages; page-- > floor;) {
        run = segment->PageInUse[page] ? 0 : run + 1;
        if (run < pages)
            continue;
        HEAP_BLOCK *block = (HEAP_BLOCK *)((PUCHAR)segment + page * PAGE);
        if (!commit(block, pages * PAGE))
            return NULL;
        memset(&segment->PageInUse[page], 1, pages);
        if (page < segment->LargeLowest)
            segment->LargeLowest = page;
        block->Large = pages;
        return block;
    }
    return NULL;
}

static HEAP_BLOCK *allocate_large(HEAP *heap, SIZE_T size)
{
    ULONG pages = (ULONG)((size + sizeof(HEAP_BLOCK) + PAGE - 1) / PAGE);
    for (HEAP_SEGMENT *s = heap->Segments; s != NULL; s = s->Next) {
        HEAP_BLOCK *block = take_pages(s, pages);
        if (block != NULL)
            return block;
    }
    HEAP_SEGMENT *fresh = add_segment(heap, pages * PAGE);
    return fresh != NULL ? take_pages(fresh, pages) : NULL;
}

/* Windows ends a process whose heap is damaged, with the block as the parameter. */
static void heap_corruption(PVOID address)
{
    EXCEPTION_RECORD record;
    memset(&record, 0, sizeof(record));
    record.ExceptionCode = (DWORD)STATUS_HEAP_CORRUPTION;
    record.ExceptionFlags = EXCEPTION_NONCONTINUABLE;
    record.NumberParameters = 1;
    record.ExceptionInformation[0] = (ULONG_PTR)address;
    RtlRaiseException(&record);
}

static HEAP_BLOCK *block_of(HEAP *heap, PVOID address)
{
    HEAP_BLOCK *block = (HEAP_BLOCK *)address - 1;
    if (((ULONG_PTR)address & 15) || segment_of(heap, block) == NULL ||
        (block->State != BLOCK_BUSY && block->State != BLOCK_LARGE))
        heap_corruption(address);
    return block;
}

static SIZE_T capacity(HEAP_BLOCK *block)
{
    return (block->State == BLOCK_LARGE ? block->Large * PAGE : (SIZE_T)block->Units * sizeof(HEAP_BLOCK)) -
           sizeof(HEAP_BLOCK);
}

static SIZE_T size_of(HEAP_BLOCK *block)
{
    if (block->State == BLOCK_LARGE) /* a large block keeps its exact size in the fields of the boundary tags */
        return ((SIZE_T)block->PreviousUnits << 32) | block->Units;
    return capacity(block) - block->Unused;
}

static void set_size(HEAP_BLOCK *block, SIZE_T size)
{
    if (block->State == BLOCK_LARGE) {
        block->Units = (ULONG)size;
        block->PreviousUnits = (ULONG)(size >> 32);
    } else
        block->Unused = (USHORT)(capacity(block) - size);
}

static HEAP_BLOCK *allocate(HEAP *heap, SIZE_T size)
{
    HEAP_BLOCK *block = NULL;
    if (size >= LARGE_THRESHOLD && size < (SIZE_T)1 << 43) {
        block = allocate_large(heap, size);
        if (block != NULL)
            block->State = BLOCK_LARGE;
    } else if (size < LARGE_THRESHOLD) {
        /* room for the two links of a free block at least */
        SIZE_T bytes = (size < sizeof(LIST_ENTRY) ? sizeof(LIST_ENTRY) : size) + sizeof(HEAP_BLOCK);
        block = allocate_small(heap, (ULONG)((bytes + 15) / sizeof(HEAP_BLOCK)));
        if (block != NULL)
            block->State = BLOCK_BUSY;
    }
    if (block != NULL)
        set_size(block, size);
    return block;
}

static void release(HEAP *heap, HEAP_BLOCK *block)
{
    HEAP_SEGMENT *segment = segment_of(heap, block);
    if (block->State == BLOCK_LARGE) {
        PVOID base = block;
        SIZE_T size = block->Large * PAGE;
        memset(&segment->PageInUse[((PUCHAR)block - (PUCHAR)segment) / PAGE], 0, block->Large);
        NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_DECOMMIT);
        return;
    }
    HEAP_BLOCK *next = block_after(block);
    if ((PUCHAR)next < segment->SmallEnd && next->State == BLOCK_FREE) {
        unlink_free(next);
        set_units(segment, block, block->Units + next->Units);
    }
    if (block->PreviousUnits != 0 && (block - block->PreviousUnits)->State == BLOCK_FREE) {
        HEAP_BLOCK *previous = block - block->PreviousUnits;
        unlink_free(previous);
        set_units(segment, previous, previous->Units + block->Units);
        block->State = 0;
        block = previous;
    }
    link_free(heap, block);
}

PVOID NTAPI RtlAllocateHeap(PVOID handle, ULONG flags, SIZE_T size)
{
    HEAP *heap = handle;
    lock_heap(heap);
    HEAP_BLOCK *block = allocate(heap, size);
    unlock_heap(heap);
    if (block == NULL) {
        if ((heap->Flags | flags) & HEAP_GENERATE_EXCEPTIONS)
            RtlRaiseStatus(STATUS_NO_MEMORY);
        return NULL;
    }
    if (flags & HEAP_ZERO_MEMORY)
        memset(block + 1, 0, size);
    return block + 1;
}

BOOLEAN NTAPI RtlFreeHeap(PVOID handle, ULONG flags, PVOID address)
{
    HEAP *heap = handle;
    UNREFERENCED_PARAMETER(flags);
    if (address == NULL)
        return TRUE;
    lock_heap(heap);
    release(heap, block_of(heap, address));
    unlock_heap(heap);
    return TRUE;
}

SIZE_T NTAPI RtlSizeHeap(PVOID handle, ULONG flags, PVOID address)
{
    UNREFERENCED_PARAMETER(flags);
    return size_of(block_of(handle, address));
}

PVOID NTAPI RtlReAllocateHeap(PVOID handle, ULONG flags, PVOID address, SIZE_T size)
{
    HEAP *heap = handle;
    HEAP_BLOCK *block = block_of(heap, address);
    SIZE_T old = size_of(block);
    BOOLEAN fits = size <= capacity(block) && (block->State == BLOCK_LARGE || capacity(block) - size <= MAXWORD);
    if (fits) {
        set_size(block, size);
        if ((flags & HEAP_ZERO_MEMORY) && size > old)
            memset((PUCHAR)address + old, 0, size - old);
        return address;
    }
    if (flags & HEAP_REALLOC_IN_PLACE_ONLY)
        return NULL;
    PVOID moved = RtlAllocateHeap(handle, flags, size);
    if (moved != NULL) {
        memcpy(moved, address, old < size ? old : size);
        RtlFreeHeap(handle, flags, address);
    }
    return moved;
}

BOOLEAN NTAPI RtlValidateHeap(PVOID handle, ULONG flags, PVOID address)
{
    HEAP *heap = handle;
    UNREFERENCED_PARAMETER(flags);
    if (heap->Magic != heap_magic)
        return FALSE;
    if (address == NULL)
        return TRUE;
    HEAP_BLOCK *block = (HEAP_BLOCK *)address - 1;
    return segment_of(heap, block) != NULL && (block->State == BLOCK_BUSY || block->State == BLOCK_LARGE);
}

/* HeapBase: a region that the caller reserved (ReserveSize bytes), or NULL. A ReserveSize with no HEAP_GROWABLE is the
 * heap's limit. */
PVOID NTAPI RtlCreateHeap(ULONG flags, PVOID base, SIZE_T reserve, SIZE_T commit_size, PVOID lock,
                          PRTL_HEAP_PARAMETERS parameters)
{
    UNREFERENCED_PARAMETER(lock);
    UNREFERENCED_PARAMETER(parameters);
    if (reserve < commit_size)
        reserve = commit_size;
    reserve = reserve == 0 ? SEGMENT_RESERVE : (reserve + 0xFFFF) & ~(SIZE_T)0xFFFF;
    HEAP_SEGMENT *segment = make_segment(base, reserve, sizeof(HEAP) + 16);
    if (segment == NULL)
        return NULL;
    HEAP *heap = (HEAP *)(((ULONG_PTR)&segment->PageInUse[segment->Pages] + 15) & ~(ULONG_PTR)15);
    heap->Magic = heap_magic;
    heap->Flags = flags;
    heap->Segments = segment;
    heap->Free.Flink = heap->Free.Blink = &heap->Free;
    PPEB peb = NtCurrentPeb();
    for (ULONG i = 0; i < HEAPS; i++)
        if (InterlockedCompareExchangePointer(&heaps[i], heap, NULL) == NULL) {
            if (peb->NumberOfHeaps < i + 1)
                peb->NumberOfHeaps = i + 1;
            break;
        }
    return heap;
}

PVOID NTAPI RtlDestroyHeap(PVOID handle)
{
    HEAP *heap = handle;
    if (handle == NtCurrentPeb()->ProcessHeap)
        return handle; /* it cannot be destroyed: the handle comes back */
    for (ULONG i = 0; i < HEAPS; i++)
        if (heaps[i] == handle)
            heaps[i] = NULL;
    for (HEAP_SEGMENT *s = heap->Segments; s != NULL;) {
        PVOID base = s;
        SIZE_T size = 0;
        s = s->Next;
        NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE);
    }
    return NULL;
}

void initialize_process_heaps(PPEB peb)
{
    peb->MaximumNumberOfHeaps = HEAPS;
    peb->ProcessHeaps = heaps;
    peb->ProcessHeap = RtlCreateHeap(HEAP_GROWABLE, NULL, peb->HeapSegmentReserve, 0, NULL, NULL);
}
