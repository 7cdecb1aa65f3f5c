/* What the debugger reads first: KDDEBUGGER_DATA64 and DBGKD_GET_VERSION64 (docs/format/kernel-debugger-data.md). */
#pragma once

#include "ntos.h"

typedef struct _DBGKD_DEBUG_DATA_HEADER64 {
    LIST_ENTRY64 List;
    ULONG OwnerTag;
    ULONG Size;
} DBGKD_DEBUG_DATA_HEADER64;

/* A name of this kernel's own is stored as its address; KernBase, MmPageSize, PteBase, Offset..., Size... and Gdt...
   are values. The block of Windows 10 (Size 0x380). */
typedef struct _KDDEBUGGER_DATA64 {
    DBGKD_DEBUG_DATA_HEADER64 Header;
    ULONG64 KernBase, BreakpointWithStatus, SavedContext;
    USHORT ThCallbackStack, NextCallback, FramePointer;
    USHORT PaeEnabled; /* bit 0: PAE, bits 2 to 5: paging levels */
    ULONG64 KiCallUserMode, KeUserCallbackDispatcher, PsLoadedModuleList, PsActiveProcessHead, PspCidTable,
        ExpSystemResourcesList, ExpPagedPoolDescriptor, ExpNumberOfPagedPools, KeTimeIncrement,
        KeBugCheckCallbackListHead, KiBugcheckData, IopErrorLogListHead, ObpRootDirectoryObject, ObpTypeObjectType,
        MmSystemCacheStart, MmSystemCacheEnd, MmSystemCacheWs, MmPfnDatabase, MmSystemPtesStart, MmSystemPtesEnd,
        MmSubsectionBase, MmNumberOfPagingFiles, MmLowestPhysicalPage, MmHighestPhysicalPage,
        MmNumberOfPhysicalPages, MmMaximumNonPagedPoolInBytes, MmNonPagedSystemStart, MmNonPagedPoolStart,
        MmNonPagedPoolEnd, MmPagedPoolStart, MmPagedPoolEnd, MmPagedPoolInformation, MmPageSize,
        MmSizeOfPagedPoolInBytes, MmTotalCommitLimit, MmTotalCommittedPages, MmSharedCommit, MmDriverCommit,
        MmProcessCommit, MmPagedPoolCommit, MmExtendedCommit, MmZeroedPageListHead, MmFreePageListHead,
        MmStandbyPageListHead, MmModifiedPageListHead, MmModifiedNoWritePageListHead, MmAvailablePages,
        MmResidentAvailablePages, PoolTrackTable, NonPagedPoolDescriptor, MmHighestUserAddress, MmSystemRangeStart,
        MmUserProbeAddress, KdPrintCircularBuffer, KdPrintCircularBufferEnd, KdPrintWritePointer,
        KdPrintRolloverCount, MmLoadedUserImageList, NtBuildLab, KiNormalSystemCall, KiProcessorBlock,
        MmUnloadedDrivers, MmLastUnloadedDriver, MmTriageActionTaken, MmSpecialPoolTag, KernelVerifier,
        MmVerifierData, MmAllocatedNonPagedPool, MmPeakCommitment, MmTotalCommitLimitMaximum, CmNtCSDVersion,
        MmPhysicalMemoryBlock, MmSessionBase, MmSessionSize, MmSystemParentTablePage, MmVirtualTranslationBase;
    USHORT OffsetKThreadNextProcessor, OffsetKThreadTeb, OffsetKThreadKernelStack, OffsetKThreadInitialStack,
        OffsetKThreadApcProcess, OffsetKThreadState, OffsetKThreadBStore, OffsetKThreadBStoreLimit, SizeEProcess,
        OffsetEprocessPeb, OffsetEprocessParentCID, OffsetEprocessDirectoryTableBase, SizePrcb,
        OffsetPrcbDpcRoutine, OffsetPrcbCurrentThread, OffsetPrcbMhz, OffsetPrcbCpuType, OffsetPrcbVendorString,
        OffsetPrcbProcStateContext, OffsetPrcbNumber, SizeEThread;
    USHORT Padding0[3];
    ULONG64 KdPrintCircularBufferPtr, KdPrintBufferSize, KeLoaderBlock;
    USHORT SizePcr, OffsetPcrSelfPcr, OffsetPcrCurrentPrcb, OffsetPcrContainedPrcb, OffsetPcrInitialBStore,
        OffsetPcrBStoreLimit, OffsetPcrInitialStack, OffsetPcrStackLimit, OffsetPrcbPcrPage,
        OffsetPrcbProcStateSpecialReg, GdtR0Code, GdtR0Data, GdtR0Pcr, GdtR3Code, GdtR3Data, GdtR3Teb, GdtLdt,
        GdtTss, Gdt64R3CmCode, Gdt64R3CmTeb;
    ULONG64 IopNumTriageDumpDataBlocks, IopTriageDumpDataBlocks, VfCrashDataBlock, MmBadPagesDetected,
        MmZeroedPageSingleBitErrorsDetected, EtwpDebuggerData;
    USHORT OffsetPrcbContext, OffsetPrcbMaxBreakpoints, OffsetPrcbMaxWatchpoints, Padding1;
    ULONG OffsetKThreadStackLimit, OffsetKThreadStackBase, OffsetKThreadQueueListEntry, OffsetEThreadIrpList;
    USHORT OffsetPrcbIdleThread, OffsetPrcbNormalDpcState, OffsetPrcbDpcStack, OffsetPrcbIsrStack, SizeKDPC_STACK_FRAME;
    USHORT OffsetKPriQueueThreadListHead, OffsetKThreadWaitReason, Padding2;
    ULONG64 PteBase;
    ULONG64 RetpolineStubFunctionTable;
    ULONG RetpolineStubFunctionTableSize, RetpolineStubOffset, RetpolineStubSize;
    USHORT OffsetEProcessMmHotPatchContext, Padding3;
} KDDEBUGGER_DATA64;

typedef struct _DBGKD_GET_VERSION64 {
    USHORT MajorVersion; /* 0xF: free build */
    USHORT MinorVersion; /* build number */
    UCHAR ProtocolVersion;
    UCHAR KdSecondaryVersion;
    USHORT Flags;
    USHORT MachineType;
    UCHAR MaxPacketType, MaxStateChange, MaxManipulate, Simulation;
    USHORT Unused[1];
    ULONG64 KernBase;
    ULONG64 PsLoadedModuleList;
    ULONG64 DebuggerDataList;
} DBGKD_GET_VERSION64;

AT(KDDEBUGGER_DATA64, PaeEnabled, 0x36);
AT(KDDEBUGGER_DATA64, PsLoadedModuleList, 0x48);
AT(KDDEBUGGER_DATA64, MmPfnDatabase, 0xC0);
AT(KDDEBUGGER_DATA64, NtBuildLab, 0x208);
AT(KDDEBUGGER_DATA64, MmPhysicalMemoryBlock, 0x270);
AT(KDDEBUGGER_DATA64, OffsetKThreadNextProcessor, 0x298);
AT(KDDEBUGGER_DATA64, KdPrintCircularBufferPtr, 0x2C8);
AT(KDDEBUGGER_DATA64, SizePcr, 0x2E0);
AT(KDDEBUGGER_DATA64, IopNumTriageDumpDataBlocks, 0x308);
AT(KDDEBUGGER_DATA64, OffsetPrcbContext, 0x338);
AT(KDDEBUGGER_DATA64, PteBase, 0x360);
SIZE(KDDEBUGGER_DATA64, 0x380);
SIZE(DBGKD_GET_VERSION64, 0x28);

extern KDDEBUGGER_DATA64 KdDebuggerDataBlock;
extern DBGKD_GET_VERSION64 KdVersionBlock;
