/* Physical memory: the memory block, the PFN database, the page lists, and the self map that reaches the page tables.
   */
#include "ntos.h"

MMPFN *MmPfnDatabase;
PHYSICAL_MEMORY_DESCRIPTOR *MmPhysicalMemoryBlock;
ULONG64 MmLowestPhysicalPage, MmHighestPhysicalPage, MmNumberOfPhysicalPages;
ULONG64 MmAvailablePages, MmResidentAvailablePages;
MMPFNLIST MmZeroedPageListHead = { 0, ZeroedPageList, MM_EMPTY_LIST, MM_EMPTY_LIST };
MMPFNLIST MmFreePageListHead = { 0, FreePageList, MM_EMPTY_LIST, MM_EMPTY_LIST };
MMPFNLIST MmStandbyPageListHead = { 0, StandbyPageList, MM_EMPTY_LIST, MM_EMPTY_LIST };
MMPFNLIST MmModifiedPageListHead = { 0, ModifiedPageList, MM_EMPTY_LIST, MM_EMPTY_LIST };
MMPFNLIST MmModifiedNoWritePageListHead = { 0, ModifiedNoWritePageList, MM_EMPTY_LIST, MM_EMPTY_LIST };
MMPFNLIST MmBadPageListHead = { 0, BadPageList, MM_EMPTY_LIST, MM_EMPTY_LIST };
PVOID MmHighestUserAddress = (PVOID)0x00007FFFFFFEFFFF;
PVOID MmSystemRangeStart = (PVOID)0xFFFF800000000000;
ULONG64 MmUserProbeAddress = 0x00007FFFFFFF0000;
static volatile ULONG64 MiPfnLock;
static ULONG MiNextKernelStack;

/* --- the self map --------------------------------------------------------------------------------------------------*/

/* The entry of `Level` (0: last, 3: root) that an address leads through. */
static MMPTE *MiEntryOf(ULONG64 Address, ULONG Level)
{
    for (ULONG i = 0; i <= Level; i++)
        Address = PTE_BASE | (Address >> 9 & 0x0000007FFFFFFFF8ull);
    return (MMPTE *)Address;
}

MMPTE *MiGetPteAddress(PVOID Address) { return MiEntryOf((ULONG64)Address, 0); }

static BOOLEAN MiIsCanonical(ULONG64 Address) { return (ULONG64)((LONG64)(Address << 16) >> 16) == Address; }

MMPTE *MiFindLeafPte(PVOID Address)
{
    if (!MiIsCanonical((ULONG64)Address))
        return NULL;
    for (ULONG level = 4; level-- > 0;) {
        MMPTE *entry = MiEntryOf((ULONG64)Address, level);
        if (!entry->u.Hard.Valid)
            return NULL;
        if (level == 0 || (level < 3 && entry->u.Hard.LargePage))
            return entry;
    }
    return NULL;
}

BOOLEAN MiTablesPresent(PVOID Address)
{
    if (!MiIsCanonical((ULONG64)Address))
        return FALSE;
    for (ULONG level = 4; level-- > 1;)
        if (!MiEntryOf((ULONG64)Address, level)->u.Hard.Valid)
            return FALSE;
    return TRUE;
}

BOOLEAN MmIsAddressValid(PVOID Address) { return MiFindLeafPte(Address) != NULL; }

PHYSICAL_ADDRESS MmGetPhysicalAddress(PVOID Address)
{
    PHYSICAL_ADDRESS physical = { .QuadPart = 0 };
    if (!MiIsCanonical((ULONG64)Address))
        return physical;
    for (ULONG level = 4; level-- > 0;) {
        MMPTE *entry = MiEntryOf((ULONG64)Address, level);
        if (!entry->u.Hard.Valid)
            return physical;
        if (level == 0 || (level < 3 && entry->u.Hard.LargePage)) {
            ULONG64 mask = (1ull << (12 + 9 * level)) - 1;
            ULONG64 frame = (ULONG64)entry->u.Hard.PageFrameNumber << PAGE_SHIFT;
            physical.QuadPart = (LONGLONG)((frame & ~mask) | ((ULONG64)Address & mask));
            return physical;
        }
    }
    return physical;
}

/* --- page frames ---------------------------------------------------------------------------------------------------*/

static MMPFNLIST *MiPageList(ULONG State)
{
    switch (State) {
    case FreePageList: return &MmFreePageListHead;
    case StandbyPageList: return &MmStandbyPageListHead;
    case ModifiedPageList: return &MmModifiedPageListHead;
    case ModifiedNoWritePageList: return &MmModifiedNoWritePageListHead;
    case BadPageList: return &MmBadPageListHead;
    default: return NULL;
    }
}

static void MiInsertPage(MMPFNLIST *List, ULONG64 Page)
{
    MMPFN *pfn = &MmPfnDatabase[Page];
    pfn->u1.Flink = MM_EMPTY_LIST;
    pfn->u2.Blink = List->Blink;
    pfn->u3.ReferenceCount = 0;
    pfn->u3.e1.PageLocation = List->ListName & 7;
    if (List->Blink == MM_EMPTY_LIST)
        List->Flink = Page;
    else
        MmPfnDatabase[List->Blink].u1.Flink = Page;
    List->Blink = Page;
    List->Total++;
}

static void MiDescribePages(const BOOT_PAGES *Pages)
{
    MMPFNLIST *list = MiPageList(Pages->State);
    if (!list && Pages->State != ActiveAndValid)
        KiFatal("a page descriptor with an unknown state");
    for (ULONG64 i = 0; i < Pages->PageCount; i++) {
        MMPFN *pfn = &MmPfnDatabase[Pages->BasePage + i];
        pfn->PteAddress = Pages->PteAddress ? (MMPTE *)Pages->PteAddress + i : NULL;
        pfn->u3.e1.CacheAttribute = 1; /* MiCached */
        pfn->u3.e1.Priority = 5;
        if (list) {
            pfn->u3.e1.Modified = Pages->State == ModifiedPageList;
            MiInsertPage(list, Pages->BasePage + i);
        } else {
            pfn->u3.e1.PageLocation = ActiveAndValid;
            pfn->u3.e1.Modified = 1;
            pfn->u3.ReferenceCount = 1;
            pfn->u2.ShareCount = 1;
        }
    }
}

VOID MiFreeSystemPages(PVOID Address, SIZE_T Size)
{
    KIRQL irql = KeRaiseIrqlToDpcLevel();
    KiAcquireLock(&MiPfnLock);
    for (SIZE_T offset = 0; offset < Size; offset += PAGE_SIZE) {
        PVOID page = (PUCHAR)Address + offset;
        MMPTE *pte = MiFindLeafPte(page);
        if (!pte || pte != MiGetPteAddress(page))
            continue;
        ULONG64 frame = pte->u.Hard.PageFrameNumber;
        pte->u.Long = 0;
        KiInvalidatePage(page);
        MmPfnDatabase[frame].PteAddress = NULL;
        MiInsertPage(&MmFreePageListHead, frame);
        MmAvailablePages++;
    }
    KiReleaseLock(&MiPfnLock);
    KeLowerIrql(irql);
}

PVOID MmCreateKernelStack(VOID)
{
    const BOOT_PARAMETERS *boot = KiBootParameters;
    if (MiNextKernelStack == boot->KernelStackCount)
        return NULL;
    ULONG number = MiNextKernelStack++;
    return (PVOID)(boot->KernelStacks + (ULONG64)(number + 1) * (PAGE_SIZE + KERNEL_STACK_SIZE));
}

/* --- initialization ------------------------------------------------------------------------------------------------*/

static void MiBuildMemoryBlock(const BOOT_PARAMETERS *Boot)
{
    SIZE_T runs = Boot->MemoryRunCount;
    if (!runs)
        KiFatal("no memory");
    MmPhysicalMemoryBlock = ExAllocatePoolWithTag(
        NonPagedPool, sizeof(PHYSICAL_MEMORY_DESCRIPTOR) + (runs - 1) * sizeof(PHYSICAL_MEMORY_RUN), 'lBmM');
    MmPhysicalMemoryBlock->NumberOfRuns = (ULONG)runs;
    MmPhysicalMemoryBlock->NumberOfPages = 0;
    for (SIZE_T i = 0; i < runs; i++) {
        MmPhysicalMemoryBlock->Run[i].BasePage = Boot->MemoryRuns[i].BasePage;
        MmPhysicalMemoryBlock->Run[i].PageCount = Boot->MemoryRuns[i].PageCount;
        MmPhysicalMemoryBlock->NumberOfPages += Boot->MemoryRuns[i].PageCount;
    }
    MmNumberOfPhysicalPages = MmPhysicalMemoryBlock->NumberOfPages;
    MmLowestPhysicalPage = Boot->MemoryRuns[0].BasePage;
    MmHighestPhysicalPage = Boot->MemoryRuns[runs - 1].BasePage + Boot->MemoryRuns[runs - 1].PageCount - 1;
}

VOID MiInitializePool(POOL_DESCRIPTOR *Pool, POOL_TYPE Type, ULONG64 Base, ULONG64 Size);

VOID MmInitSystem(const BOOT_PARAMETERS *Boot)
{
    ULONG64 described = 0;
    MiInitializePool(&NonPagedPoolDescriptor, NonPagedPool, Boot->NonPagedPool, Boot->NonPagedPoolSize);
    MiInitializePool(&PagedPoolDescriptor, PagedPool, Boot->PagedPool, Boot->PagedPoolSize);
    MiBuildMemoryBlock(Boot);
    MmPfnDatabase = (MMPFN *)Boot->PfnDatabase;
    for (ULONG i = 0; i < Boot->PagesCount; i++) {
        MiDescribePages(&Boot->Pages[i]);
        described += Boot->Pages[i].PageCount;
    }
    MmZeroedPageListHead.Total = MmNumberOfPhysicalPages - described;
    MmAvailablePages = MmZeroedPageListHead.Total + MmFreePageListHead.Total + MmStandbyPageListHead.Total;
    MmResidentAvailablePages = MmAvailablePages;
}
