/* The debugger data block, decoded as a dump has to hold it, and the version block beside it in one page. */
#include "ntos_kd.h"

extern UCHAR __ImageBase;
extern LIST_ENTRY KeBugCheckCallbackListHead;
extern ULONG64 MmLowestPhysicalPage, MmHighestPhysicalPage, MmNumberOfPhysicalPages, MmAvailablePages;
extern ULONG64 MmResidentAvailablePages, MmAllocatedNonPagedPool, MmUserProbeAddress;
extern MMPFNLIST MmZeroedPageListHead, MmFreePageListHead, MmStandbyPageListHead, MmModifiedPageListHead;
extern MMPFNLIST MmModifiedNoWritePageListHead;
extern PVOID MmSystemRangeStart;
extern CHAR KdPrintCircularBuffer[];
extern PCHAR KdPrintCircularBufferPtr, KdPrintWritePointer;
extern ULONG KdPrintRolloverCount, KdPrintBufferSize, MmLastUnloadedDriver;
extern UNLOADED_DRIVERS *MmUnloadedDrivers;
extern BOOT_PARAMETERS *KeLoaderBlock;
extern ULONG64 IopTriageDumpDataBlocks[MAXIMUM_BUGCHECK_RANGES][2];
extern ULONG IopNumTriageDumpDataBlocks;

/* Variables that exist for debuggers: nothing in this kernel changes them. */
LIST_ENTRY ExpSystemResourcesList = { &ExpSystemResourcesList, &ExpSystemResourcesList };
LIST_ENTRY IopErrorLogListHead = { &IopErrorLogListHead, &IopErrorLogListHead };
PVOID ObpRootDirectoryObject, ObpTypeObjectType, PoolTrackTable;
ULONG64 MmSizeOfPagedPoolInBytes, MmMaximumNonPagedPoolInBytes, MmPagedPoolCommit;
PVOID MmPagedPoolStart, MmPagedPoolEnd, MmNonPagedPoolStart, MmNonPagedPoolEnd;
ULONG MmTriageActionTaken, MmSpecialPoolTag, KernelVerifier, CmNtCSDVersion;
ULONG MmVerifierData[0x9C / 4];
ULONG64 MmBadPagesDetected, MmZeroedPageSingleBitErrorsDetected, EtwpDebuggerData;
CHAR NtBuildLab[0x100];
ULONG NtBuildNumber;
UCHAR KdpDataBlockEncoded; /* 0: the block is never encoded here */
static LIST_ENTRY64 KdpDebuggerDataListHead;

VOID DbgBreakPointWithStatus(ULONG Status)
{
    (void)Status;
    __debugbreak();
}

#define ADDRESS(name) .name = (ULONG64)&name
#define OFFSET(name, type, field) .name = __builtin_offsetof(type, field)

/* One section for the two blocks: searchers look for the version block in the page of the other. */
__attribute__((section("KDDATA"))) KDDEBUGGER_DATA64 KdDebuggerDataBlock = {
    .Header.List = { (ULONG64)&KdpDebuggerDataListHead, (ULONG64)&KdpDebuggerDataListHead },
    .Header.OwnerTag = 0x4742444B, /* KDBG */
    .Header.Size = sizeof(KDDEBUGGER_DATA64),
    .KernBase = (ULONG64)&__ImageBase,
    .BreakpointWithStatus = (ULONG64)DbgBreakPointWithStatus,
    .PaeEnabled = 1,
    .KiCallUserMode = (ULONG64)KiUserStart,
    ADDRESS(PsLoadedModuleList),
    ADDRESS(PsActiveProcessHead),
    ADDRESS(PspCidTable),
    ADDRESS(ExpSystemResourcesList),
    ADDRESS(KeTimeIncrement),
    ADDRESS(KeBugCheckCallbackListHead),
    .KiBugcheckData = (ULONG64)KiBugCheckData,
    ADDRESS(IopErrorLogListHead),
    ADDRESS(ObpRootDirectoryObject),
    ADDRESS(ObpTypeObjectType),
    ADDRESS(MmPfnDatabase),
    ADDRESS(MmLowestPhysicalPage),
    ADDRESS(MmHighestPhysicalPage),
    ADDRESS(MmNumberOfPhysicalPages),
    ADDRESS(MmMaximumNonPagedPoolInBytes),
    ADDRESS(MmNonPagedPoolStart),
    ADDRESS(MmNonPagedPoolEnd),
    ADDRESS(MmPagedPoolStart),
    ADDRESS(MmPagedPoolEnd),
    .MmPageSize = PAGE_SIZE,
    ADDRESS(MmSizeOfPagedPoolInBytes),
    ADDRESS(MmPagedPoolCommit),
    ADDRESS(MmZeroedPageListHead),
    ADDRESS(MmFreePageListHead),
    ADDRESS(MmStandbyPageListHead),
    ADDRESS(MmModifiedPageListHead),
    ADDRESS(MmModifiedNoWritePageListHead),
    ADDRESS(MmAvailablePages),
    ADDRESS(MmResidentAvailablePages),
    ADDRESS(PoolTrackTable),
    ADDRESS(NonPagedPoolDescriptor),
    ADDRESS(MmHighestUserAddress),
    ADDRESS(MmSystemRangeStart),
    ADDRESS(MmUserProbeAddress),
    ADDRESS(KdPrintCircularBuffer),
    .KdPrintCircularBufferEnd = (ULONG64)KdPrintCircularBuffer + 0x400,
    ADDRESS(KdPrintWritePointer),
    ADDRESS(KdPrintRolloverCount),
    ADDRESS(NtBuildLab),
    ADDRESS(KiProcessorBlock),
    ADDRESS(MmUnloadedDrivers),
    ADDRESS(MmLastUnloadedDriver),
    ADDRESS(MmTriageActionTaken),
    ADDRESS(MmSpecialPoolTag),
    ADDRESS(KernelVerifier),
    ADDRESS(MmVerifierData),
    ADDRESS(MmAllocatedNonPagedPool),
    ADDRESS(CmNtCSDVersion),
    ADDRESS(MmPhysicalMemoryBlock),
    OFFSET(OffsetKThreadNextProcessor, KTHREAD, NextProcessor),
    OFFSET(OffsetKThreadTeb, KTHREAD, Teb),
    OFFSET(OffsetKThreadKernelStack, KTHREAD, KernelStack),
    OFFSET(OffsetKThreadInitialStack, KTHREAD, InitialStack),
    OFFSET(OffsetKThreadApcProcess, KTHREAD, ApcState.Process),
    OFFSET(OffsetKThreadState, KTHREAD, State),
    .SizeEProcess = sizeof(EPROCESS),
    OFFSET(OffsetEprocessPeb, EPROCESS, Peb),
    OFFSET(OffsetEprocessParentCID, EPROCESS, InheritedFromUniqueProcessId),
    OFFSET(OffsetEprocessDirectoryTableBase, EPROCESS, Pcb.DirectoryTableBase),
    .SizePrcb = sizeof(KPRCB),
    OFFSET(OffsetPrcbDpcRoutine, KPRCB, DpcRoutineActive),
    OFFSET(OffsetPrcbCurrentThread, KPRCB, CurrentThread),
    OFFSET(OffsetPrcbMhz, KPRCB, MHz),
    OFFSET(OffsetPrcbCpuType, KPRCB, CpuType),
    OFFSET(OffsetPrcbVendorString, KPRCB, VendorString),
    OFFSET(OffsetPrcbProcStateContext, KPRCB, ProcessorState.ContextFrame),
    OFFSET(OffsetPrcbNumber, KPRCB, Number),
    .SizeEThread = sizeof(ETHREAD),
    ADDRESS(KdPrintCircularBufferPtr),
    ADDRESS(KdPrintBufferSize),
    ADDRESS(KeLoaderBlock),
    .SizePcr = sizeof(KPCR),
    OFFSET(OffsetPcrSelfPcr, KPCR, Self),
    OFFSET(OffsetPcrCurrentPrcb, KPCR, CurrentPrcb),
    OFFSET(OffsetPcrContainedPrcb, KPCR, Prcb),
    OFFSET(OffsetPrcbProcStateSpecialReg, KPRCB, ProcessorState.SpecialRegisters),
    .GdtR0Code = KGDT64_R0_CODE,
    .GdtR0Data = KGDT64_R0_DATA,
    .GdtR3Code = KGDT64_R3_CODE | RPL_MASK,
    .GdtR3Data = KGDT64_R3_DATA | RPL_MASK,
    .GdtTss = KGDT64_SYS_TSS,
    .Gdt64R3CmCode = KGDT64_R3_CMCODE | RPL_MASK,
    .Gdt64R3CmTeb = KGDT64_R3_CMTEB | RPL_MASK,
    ADDRESS(IopNumTriageDumpDataBlocks),
    ADDRESS(IopTriageDumpDataBlocks),
    ADDRESS(MmBadPagesDetected),
    ADDRESS(MmZeroedPageSingleBitErrorsDetected),
    ADDRESS(EtwpDebuggerData),
    OFFSET(OffsetPrcbContext, KPRCB, Context),
    OFFSET(OffsetKThreadStackLimit, KTHREAD, StackLimit),
    OFFSET(OffsetKThreadStackBase, KTHREAD, StackBase),
    OFFSET(OffsetKThreadQueueListEntry, KTHREAD, QueueListEntry),
    OFFSET(OffsetEThreadIrpList, ETHREAD, IrpList),
    OFFSET(OffsetPrcbIdleThread, KPRCB, IdleThread),
    OFFSET(OffsetPrcbDpcStack, KPRCB, DpcStack),
    OFFSET(OffsetPrcbIsrStack, KPRCB, IsrStack),
    .PteBase = PTE_BASE,
};

__attribute__((section("KDDATA"))) DBGKD_GET_VERSION64 KdVersionBlock = {
    .MajorVersion = 0xF,
    .ProtocolVersion = 6,
    .KdSecondaryVersion = 2, /* the AMD64 CONTEXT of today */
    .Flags = 0x0006,         /* DBGKD_VERS_FLAG_DATA, PTR64; MP below */
    .MachineType = IMAGE_FILE_MACHINE_AMD64,
    .MaxPacketType = 0xC,
    .MaxStateChange = 4,
    .MaxManipulate = 0x2F,
    .KernBase = (ULONG64)&__ImageBase,
    .PsLoadedModuleList = (ULONG64)&PsLoadedModuleList,
    .DebuggerDataList = (ULONG64)&KdpDebuggerDataListHead,
};

VOID KdInitSystem(const BOOT_PARAMETERS *Boot)
{
    KdpDebuggerDataListHead.Flink = KdpDebuggerDataListHead.Blink = (ULONG64)&KdDebuggerDataBlock;
    KdVersionBlock.MinorVersion = (USHORT)Boot->BuildNumber;
    if (Boot->ProcessorCount > 1)
        KdVersionBlock.Flags |= 1; /* DBGKD_VERS_FLAG_MP */
    KdDebuggerDataBlock.PaeEnabled |= (USHORT)(Boot->PagingLevels << 2);
    NtBuildNumber = Boot->BuildNumber | 0xF0000000;
    for (ULONG i = 0; i < sizeof Boot->NtBuildLab - 1 && Boot->NtBuildLab[i]; i++)
        NtBuildLab[i] = Boot->NtBuildLab[i];
    MmNonPagedPoolStart = (PVOID)Boot->NonPagedPool;
    MmNonPagedPoolEnd = (PVOID)(Boot->NonPagedPool + Boot->NonPagedPoolSize);
    MmMaximumNonPagedPoolInBytes = Boot->NonPagedPoolSize;
    MmPagedPoolStart = (PVOID)Boot->PagedPool;
    MmPagedPoolEnd = (PVOID)(Boot->PagedPool + Boot->PagedPoolSize - 1);
    MmSizeOfPagedPoolInBytes = Boot->PagedPoolSize;
    MmPagedPoolCommit = Boot->PagedPoolSize / PAGE_SIZE;
}
