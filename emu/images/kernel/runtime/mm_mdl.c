/* Memory descriptor lists, mapped pages and device memory. */
#include "runtime.h"

/* Where pages are mapped: in the directory of the kernel's stacks, which every process shares. */
#define SYSTEM_PTES 0xFFFFC58E20000000ull
#define SYSTEM_PTE_PAGES 2048
#define PTES_OF_A_TABLE 512

static KSPIN_LOCK MiSystemPteLock;

static MMPTE *PteOf(ULONG64 Page) { return MiGetPteAddress((PVOID)(SYSTEM_PTES + Page * PAGE_SIZE)); }

/* A page table is memory of the nonpaged pool. */
static BOOLEAN HasTable(ULONG64 Page)
{
    PVOID address = (PVOID)(SYSTEM_PTES + Page * PAGE_SIZE);
    MMPTE *directory = MiGetPteAddress(MiGetPteAddress(address));
    if (directory->u.Hard.Valid)
        return TRUE;
    PVOID table = ExAllocatePoolWithTag(NonPagedPool, PAGE_SIZE, 'eTmM');
    if (!table)
        return FALSE;
    RtlZeroMemory(table, PAGE_SIZE);
    directory->u.Long = (ULONG64)MmGetPhysicalAddress(table).QuadPart | 0x63;
    KiInvalidatePage(MiGetPteAddress(address));
    return TRUE;
}

/* One page after each range stays free, so that an overrun is a page fault. */
PVOID MiMapPages(const ULONG64 *Frames, SIZE_T Count, BOOLEAN Cached, BOOLEAN Write)
{
    for (ULONG64 page = 0, run = 0; page < SYSTEM_PTE_PAGES; page++) {
        if (!HasTable(page))
            return NULL;
        run = PteOf(page)->u.Long ? 0 : run + 1;
        if (run < Count + 1)
            continue;
        ULONG64 first = page - Count;
        for (ULONG64 i = 0; i < Count; i++)
            PteOf(first + i)->u.Long =
                Frames[i] << PAGE_SHIFT | 0x8000000000000061ull | (Write ? 2 : 0) | (Cached ? 0 : 0x10);
        return (PVOID)(SYSTEM_PTES + first * PAGE_SIZE);
    }
    return NULL;
}

VOID MiUnmapPages(PVOID Address, SIZE_T Count)
{
    for (SIZE_T i = 0; i < Count; i++) {
        PVOID page = (PUCHAR)((ULONG64)Address & ~(ULONG64)(PAGE_SIZE - 1)) + i * PAGE_SIZE;
        MiGetPteAddress(page)->u.Long = 0;
        KiInvalidatePage(page);
    }
}

static SIZE_T PagesSpanned(ULONG64 Address, SIZE_T Size)
{
    return (SIZE_T)((Address % PAGE_SIZE + Size + PAGE_SIZE - 1) / PAGE_SIZE);
}

/* --- lists ---------------------------------------------------------------------------------------------------------*/

SIZE_T MmSizeOfMdl(PVOID Base, SIZE_T Length)
{
    return sizeof(MDL) + PagesSpanned((ULONG64)Base, Length) * sizeof(PFN_NUMBER);
}

PMDL IoAllocateMdl(PVOID Base, ULONG Length, BOOLEAN Secondary, BOOLEAN ChargeQuota, PIRP Irp)
{
    (void)ChargeQuota;
    if (Length & 0x80000000)
        return NULL;
    PMDL mdl = ExAllocatePoolWithTag(NonPagedPool, MmSizeOfMdl(Base, Length), ' ldM');
    if (!mdl)
        return NULL;
    RtlZeroMemory(mdl, sizeof *mdl);
    mdl->Size = (CSHORT)MmSizeOfMdl(Base, Length);
    mdl->StartVa = (PVOID)((ULONG64)Base & ~(ULONG64)(PAGE_SIZE - 1));
    mdl->ByteOffset = (ULONG)((ULONG64)Base % PAGE_SIZE);
    mdl->ByteCount = Length;
    if (Irp) {
        PMDL *link = &Irp->MdlAddress;
        while (Secondary && *link)
            link = &(*link)->Next;
        *link = mdl;
    }
    return mdl;
}

VOID IoFreeMdl(PMDL Mdl)
{
    if (Mdl->MdlFlags & MDL_PARTIAL_HAS_BEEN_MAPPED)
        MmUnmapLockedPages(Mdl->MappedSystemVa, Mdl);
    ExFreePoolWithTag(Mdl, ' ldM');
}

VOID IoBuildPartialMdl(PMDL Source, PMDL Target, PVOID Address, ULONG Length)
{
    ULONG64 start = (ULONG64)Source->StartVa + Source->ByteOffset, offset = (ULONG64)Address - start;
    if (!Length)
        Length = Source->ByteCount - (ULONG)offset;
    /* 0x12D: the range is not in the source (the bug check's reference page: a system call on behalf of MDLs). */
    if (offset + Length > Source->ByteCount)
        ExRaiseStatus(STATUS_INVALID_PARAMETER);
    Target->StartVa = (PVOID)((ULONG64)Address & ~(ULONG64)(PAGE_SIZE - 1));
    Target->ByteOffset = (ULONG)((ULONG64)Address % PAGE_SIZE);
    Target->ByteCount = Length;
    Target->Process = Source->Process;
    Target->MdlFlags = (CSHORT)(MDL_PARTIAL | (Source->MdlFlags & (MDL_SOURCE_IS_NONPAGED_POOL | MDL_MAPPED_TO_SYSTEM_VA)));
    if (Source->MdlFlags & (MDL_SOURCE_IS_NONPAGED_POOL | MDL_MAPPED_TO_SYSTEM_VA))
        Target->MappedSystemVa = (PUCHAR)Source->MappedSystemVa + offset;
    RtlCopyMemory(
        MmGetMdlPfnArray(Target),
        MmGetMdlPfnArray(Source) + ((ULONG64)Target->StartVa - (ULONG64)Source->StartVa) / PAGE_SIZE,
        PagesSpanned((ULONG64)Address, Length) * sizeof(PFN_NUMBER));
}

static BOOLEAN IsPaged(PVOID Address)
{
    return (PUCHAR)Address >= PagedPoolDescriptor.Base &&
           (PUCHAR)Address < PagedPoolDescriptor.Base + PagedPoolDescriptor.Pages * PAGE_SIZE;
}

static void FillFrames(PMDL Mdl)
{
    for (SIZE_T i = 0; i < PagesSpanned(Mdl->ByteOffset, Mdl->ByteCount); i++)
        MmGetMdlPfnArray(Mdl)[i] =
            (PFN_NUMBER)(MmGetPhysicalAddress((PUCHAR)Mdl->StartVa + i * PAGE_SIZE).QuadPart >> PAGE_SHIFT);
}

VOID MmBuildMdlForNonPagedPool(PMDL Mdl)
{
    PVOID address = (PUCHAR)Mdl->StartVa + Mdl->ByteOffset;
    if (IsPaged(address))
        VfViolation(0x7F, KeGetCurrentIrql(), (ULONG_PTR)Mdl, (ULONG_PTR)Mdl->MdlFlags);
    Mdl->MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
    Mdl->MappedSystemVa = address;
    Mdl->Process = NULL;
    FillFrames(Mdl);
}

VOID MmProbeAndLockPages(PMDL Mdl, KPROCESSOR_MODE Mode, LOCK_OPERATION Operation)
{
    extern ULONG64 MmUserProbeAddress;
    KIRQL irql = KeGetCurrentIrql();
    ULONG64 start = (ULONG64)Mdl->StartVa + Mdl->ByteOffset, end = start + Mdl->ByteCount;
    if (irql > DISPATCH_LEVEL)
        VfViolation(0x70, irql, (ULONG_PTR)Mdl, (ULONG_PTR)Mode);
    if (Mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL))
        VfViolation(0xB0, (ULONG_PTR)Mdl, (ULONG_PTR)Mdl->MdlFlags, MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL);
    if (Mode == UserMode && (end < start || end > MmUserProbeAddress))
        ExRaiseStatus(STATUS_ACCESS_VIOLATION);
    for (ULONG64 page = start & ~(ULONG64)(PAGE_SIZE - 1); page < end; page += PAGE_SIZE) {
        MiRestorePagedPage((PVOID)page);
        MMPTE *pte = MiFindLeafPte((PVOID)page);
        if (!pte || (Operation != IoReadAccess && !pte->u.Hard.Write))
            ExRaiseStatus(STATUS_ACCESS_VIOLATION);
    }
    FillFrames(Mdl);
    Mdl->MdlFlags |= MDL_PAGES_LOCKED | (Operation == IoReadAccess ? 0 : MDL_WRITE_OPERATION);
    Mdl->Process = start < MmUserProbeAddress ? (PEPROCESS)PspCurrentProcess() : NULL;
}

VOID MmUnlockPages(PMDL Mdl)
{
    if (KeGetCurrentIrql() > DISPATCH_LEVEL)
        VfViolation(0x78, KeGetCurrentIrql(), (ULONG_PTR)Mdl, 0);
    if (Mdl->MdlFlags & MDL_SOURCE_IS_NONPAGED_POOL)
        VfViolation(0x7D, (ULONG_PTR)Mdl, (ULONG_PTR)Mdl->MdlFlags, 0);
    if (!(Mdl->MdlFlags & MDL_PAGES_LOCKED))
        VfViolation(0x7C, (ULONG_PTR)Mdl, (ULONG_PTR)Mdl->MdlFlags, 0);
    if (Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA)
        MmUnmapLockedPages(Mdl->MappedSystemVa, Mdl);
    Mdl->MdlFlags &= ~(MDL_PAGES_LOCKED | MDL_WRITE_OPERATION);
}

/* In ring 3 nothing is mapped here: it raises, as for lack of memory. */
PVOID MmMapLockedPagesSpecifyCache(
    PMDL Mdl, KPROCESSOR_MODE Mode, MEMORY_CACHING_TYPE Cache, PVOID Requested, ULONG BugCheck, MM_PAGE_PRIORITY Priority)
{
    (void)Requested, (void)BugCheck, (void)Priority;
    if (KeGetCurrentIrql() > (Mode == KernelMode ? DISPATCH_LEVEL : APC_LEVEL))
        VfViolation(Mode == KernelMode ? 0x76 : 0x77, KeGetCurrentIrql(), (ULONG_PTR)Mdl, (ULONG_PTR)Mode);
    if (Mode != KernelMode)
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    if (Mdl->MdlFlags & (MDL_SOURCE_IS_NONPAGED_POOL | MDL_MAPPED_TO_SYSTEM_VA))
        return Mdl->MappedSystemVa;
    KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
    KeAcquireSpinLockAtDpcLevel(&MiSystemPteLock);
    PUCHAR mapped = MiMapPages(
        (const ULONG64 *)MmGetMdlPfnArray(Mdl), PagesSpanned(Mdl->ByteOffset, Mdl->ByteCount), Cache == MmCached, TRUE);
    KeReleaseSpinLockFromDpcLevel(&MiSystemPteLock);
    KeLowerIrql(irql);
    if (!mapped)
        return NULL;
    Mdl->MappedSystemVa = mapped + Mdl->ByteOffset;
    Mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA | (Mdl->MdlFlags & MDL_PARTIAL ? MDL_PARTIAL_HAS_BEEN_MAPPED : 0);
    return Mdl->MappedSystemVa;
}

PVOID MmMapLockedPages(PMDL Mdl, KPROCESSOR_MODE Mode)
{
    return MmMapLockedPagesSpecifyCache(Mdl, Mode, MmCached, NULL, TRUE, HighPagePriority);
}

VOID MmUnmapLockedPages(PVOID Address, PMDL Mdl)
{
    if (KeGetCurrentIrql() > DISPATCH_LEVEL)
        VfViolation(0x79, KeGetCurrentIrql(), (ULONG_PTR)Address, (ULONG_PTR)Mdl);
    /* 0xDA (0x100 and following are PTE misuse): not a mapping of this list. */
    if (!(Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) || Address != Mdl->MappedSystemVa)
        KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x101, (ULONG_PTR)Mdl, (ULONG_PTR)Address, 0);
    MiUnmapPages(Address, PagesSpanned(Mdl->ByteOffset, Mdl->ByteCount));
    Mdl->MdlFlags &= ~(MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED);
}

NTSTATUS MmProtectMdlSystemAddress(PMDL Mdl, ULONG Protect)
{
    if (!(Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) || Mdl->MdlFlags & MDL_SOURCE_IS_NONPAGED_POOL)
        return STATUS_NOT_MAPPED_VIEW;
    for (SIZE_T i = 0; i < PagesSpanned(Mdl->ByteOffset, Mdl->ByteCount); i++) {
        PVOID page = (PUCHAR)Mdl->MappedSystemVa + i * PAGE_SIZE;
        MMPTE *pte = MiGetPteAddress(page);
        pte->u.Hard.Write = Protect == PAGE_READWRITE || Protect == PAGE_EXECUTE_READWRITE;
        pte->u.Hard.NoExecute = Protect == PAGE_READWRITE || Protect == PAGE_READONLY;
        KiInvalidatePage(page);
    }
    return STATUS_SUCCESS;
}

/* --- device memory -------------------------------------------------------------------------------------------------*/

PVOID MmMapIoSpace(PHYSICAL_ADDRESS Physical, SIZE_T Size, MEMORY_CACHING_TYPE Cache)
{
    if (KeGetCurrentIrql() > DISPATCH_LEVEL)
        VfViolation(0x73, KeGetCurrentIrql(), (ULONG_PTR)Physical.QuadPart, Size);
    SIZE_T count = PagesSpanned((ULONG64)Physical.QuadPart, Size);
    if (!Size || count > SYSTEM_PTE_PAGES)
        return NULL;
    ULONG64 *frames = ExAllocatePoolWithTag(NonPagedPool, count * sizeof *frames, 'oImM');
    if (!frames)
        return NULL;
    for (SIZE_T i = 0; i < count; i++)
        frames[i] = ((ULONG64)Physical.QuadPart >> PAGE_SHIFT) + i;
    PUCHAR mapped = MiMapPages(frames, count, Cache == MmCached, TRUE);
    ExFreePoolWithTag(frames, 'oImM');
    return mapped ? mapped + (ULONG64)Physical.QuadPart % PAGE_SIZE : NULL;
}

PVOID MmMapIoSpaceEx(PHYSICAL_ADDRESS Physical, SIZE_T Size, ULONG Protect)
{
    return MmMapIoSpace(Physical, Size, Protect & PAGE_NOCACHE ? MmNonCached : MmCached);
}

VOID MmUnmapIoSpace(PVOID Address, SIZE_T Size)
{
    if (KeGetCurrentIrql() > DISPATCH_LEVEL)
        VfViolation(0x7B, KeGetCurrentIrql(), (ULONG_PTR)Address, Size);
    if ((ULONG64)Address - SYSTEM_PTES >= SYSTEM_PTE_PAGES * PAGE_SIZE || !MmIsAddressValid(Address))
        KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x101, 0, (ULONG_PTR)Address, 0);
    MiUnmapPages(Address, PagesSpanned((ULONG64)Address, Size));
}

/* --- memory that is contiguous or has no cache: the nonpaged pool is contiguous throughout each of its two parts ----*/

static PVOID AllocatePages(SIZE_T Size)
{
    PVOID memory = ExAllocatePoolWithTag(NonPagedPoolNx, max(Size, PAGE_SIZE), 'tnoC');
    return memory;
}

PVOID MmAllocateContiguousMemory(SIZE_T Size, PHYSICAL_ADDRESS Highest) { return (void)Highest, AllocatePages(Size); }

PVOID MmAllocateContiguousMemorySpecifyCache(
    SIZE_T Size, PHYSICAL_ADDRESS Lowest, PHYSICAL_ADDRESS Highest, PHYSICAL_ADDRESS Boundary, MEMORY_CACHING_TYPE Cache)
{
    (void)Lowest, (void)Highest, (void)Boundary, (void)Cache;
    return AllocatePages(Size);
}

VOID MmFreeContiguousMemory(PVOID Address) { ExFreePoolWithTag(Address, 0); }

VOID MmFreeContiguousMemorySpecifyCache(PVOID Address, SIZE_T Size, MEMORY_CACHING_TYPE Cache)
{
    (void)Size, (void)Cache;
    ExFreePoolWithTag(Address, 0);
}

PVOID MmAllocateNonCachedMemory(SIZE_T Size) { return AllocatePages(Size); }

VOID MmFreeNonCachedMemory(PVOID Address, SIZE_T Size) { (void)Size, ExFreePoolWithTag(Address, 0); }

/* The list's pages are a pool allocation, whose address is kept behind the frames. */
PMDL MmAllocatePagesForMdlEx(
    PHYSICAL_ADDRESS Low, PHYSICAL_ADDRESS High, PHYSICAL_ADDRESS Skip, SIZE_T Size, MEMORY_CACHING_TYPE Cache, ULONG Flags)
{
    (void)Low, (void)High, (void)Skip, (void)Cache, (void)Flags;
    if (KeGetCurrentIrql() > DISPATCH_LEVEL)
        VfViolation(0x7E, KeGetCurrentIrql(), DISPATCH_LEVEL, 0);
    SIZE_T count = PagesSpanned(0, Size);
    PVOID pages = AllocatePages(count * PAGE_SIZE);
    PMDL mdl = pages ? ExAllocatePoolWithTag(NonPagedPool, sizeof *mdl + (count + 1) * sizeof(PFN_NUMBER), ' ldM') : NULL;
    if (!mdl) {
        if (pages)
            ExFreePoolWithTag(pages, 0);
        return NULL;
    }
    RtlZeroMemory(pages, count * PAGE_SIZE);
    RtlZeroMemory(mdl, sizeof *mdl);
    mdl->Size = (CSHORT)(sizeof *mdl + (count + 1) * sizeof(PFN_NUMBER));
    mdl->StartVa = pages;
    mdl->ByteCount = (ULONG)(count * PAGE_SIZE);
    mdl->MdlFlags = MDL_PAGES_LOCKED;
    FillFrames(mdl);
    MmGetMdlPfnArray(mdl)[count] = (PFN_NUMBER)(ULONG64)pages;
    mdl->StartVa = NULL;
    return mdl;
}

PMDL MmAllocatePagesForMdl(PHYSICAL_ADDRESS Low, PHYSICAL_ADDRESS High, PHYSICAL_ADDRESS Skip, SIZE_T Size)
{
    return MmAllocatePagesForMdlEx(Low, High, Skip, Size, MmCached, 0);
}

VOID MmFreePagesFromMdl(PMDL Mdl)
{
    SIZE_T count = Mdl->ByteCount / PAGE_SIZE;
    if (Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA)
        MmUnmapLockedPages(Mdl->MappedSystemVa, Mdl);
    ExFreePoolWithTag((PVOID)(ULONG64)MmGetMdlPfnArray(Mdl)[count], 0);
    Mdl->MdlFlags &= ~MDL_PAGES_LOCKED;
}

/* --- probing -------------------------------------------------------------------------------------------------------*/

static void Probe(const VOID *Address, SIZE_T Length, ULONG Alignment)
{
    extern ULONG64 MmUserProbeAddress;
    ULONG64 start = (ULONG64)Address, end = start + Length;
    if (Length && start & (Alignment - 1))
        ExRaiseStatus(STATUS_DATATYPE_MISALIGNMENT);
    if (Length && (end < start || end > MmUserProbeAddress))
        ExRaiseStatus(STATUS_ACCESS_VIOLATION);
}

VOID ProbeForRead(CONST VOID *Address, SIZE_T Length, ULONG Alignment) { Probe(Address, Length, Alignment); }

VOID ProbeForWrite(PVOID Address, SIZE_T Length, ULONG Alignment)
{
    Probe(Address, Length, Alignment);
    ULONG64 end = (ULONG64)Address + Length;
    for (ULONG64 at = (ULONG64)Address; at < end; at = (at & ~(ULONG64)(PAGE_SIZE - 1)) + PAGE_SIZE)
        *(volatile UCHAR *)at = *(volatile UCHAR *)at;
}
