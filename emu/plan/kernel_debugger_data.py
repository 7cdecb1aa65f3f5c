"""Reads KDDEBUGGER_DATA64 from a machine's memory (wdbgexts.h; docs/format/kernel-debugger-data.md)."""

from __future__ import annotations

import ctypes
from ctypes import c_uint16, c_uint32, c_uint64

from ..constants import Hresult
from ..request import DumpRefused
from .kernel_memory import VirtualMemory

KDBG_TAG = 0x4742444B  # "KDBG"
_HEADER_SIZE = 0x18
_SMALLEST, _LARGEST = 0x290, 0x800  # docs/format/kernel-debugger-data.md#size-of-the-block


def _addresses(names: str) -> list[tuple[str, type[c_uint64]]]:
    return [(name, c_uint64) for name in names.split()]


def _offsets(names: str) -> list[tuple[str, type[c_uint16]]]:
    return [(name, c_uint16) for name in names.split()]


def _offsets32(names: str) -> list[tuple[str, type[c_uint32]]]:
    return [(name, c_uint32) for name in names.split()]


class KDDEBUGGER_DATA64(ctypes.LittleEndianStructure):
    """Most fields are addresses of kernel variables. KernBase, Offset*, Size* and Gdt* are values.

    Fields are naturally aligned. docs/format/kernel-debugger-data.md#address-or-value
    """

    _fields_ = [
        *_addresses("Flink Blink"),
        *_offsets32("OwnerTag Size"),
        *_addresses("KernBase BreakpointWithStatus SavedContext"),
        *_offsets("ThCallbackStack NextCallback FramePointer PaeEnabled"),
        *_addresses(
            "KiCallUserMode KeUserCallbackDispatcher PsLoadedModuleList PsActiveProcessHead PspCidTable "
            "ExpSystemResourcesList ExpPagedPoolDescriptor ExpNumberOfPagedPools KeTimeIncrement "
            "KeBugCheckCallbackListHead KiBugcheckData IopErrorLogListHead ObpRootDirectoryObject ObpTypeObjectType "
            "MmSystemCacheStart MmSystemCacheEnd MmSystemCacheWs MmPfnDatabase MmSystemPtesStart MmSystemPtesEnd "
            "MmSubsectionBase MmNumberOfPagingFiles MmLowestPhysicalPage MmHighestPhysicalPage MmNumberOfPhysicalPages "
            "MmMaximumNonPagedPoolInBytes MmNonPagedSystemStart MmNonPagedPoolStart MmNonPagedPoolEnd MmPagedPoolStart "
            "MmPagedPoolEnd MmPagedPoolInformation MmPageSize MmSizeOfPagedPoolInBytes MmTotalCommitLimit "
            "MmTotalCommittedPages MmSharedCommit MmDriverCommit MmProcessCommit MmPagedPoolCommit MmExtendedCommit "
            "MmZeroedPageListHead MmFreePageListHead MmStandbyPageListHead MmModifiedPageListHead "
            "MmModifiedNoWritePageListHead MmAvailablePages MmResidentAvailablePages PoolTrackTable "
            "NonPagedPoolDescriptor MmHighestUserAddress MmSystemRangeStart MmUserProbeAddress KdPrintCircularBuffer "
            "KdPrintCircularBufferEnd KdPrintWritePointer KdPrintRolloverCount MmLoadedUserImageList NtBuildLab "
            "KiNormalSystemCall KiProcessorBlock MmUnloadedDrivers MmLastUnloadedDriver MmTriageActionTaken "
            "MmSpecialPoolTag KernelVerifier MmVerifierData MmAllocatedNonPagedPool MmPeakCommitment "
            "MmTotalCommitLimitMaximum CmNtCSDVersion MmPhysicalMemoryBlock MmSessionBase MmSessionSize "
            "MmSystemParentTablePage MmVirtualTranslationBase"
        ),
        *_offsets(
            "OffsetKThreadNextProcessor OffsetKThreadTeb OffsetKThreadKernelStack OffsetKThreadInitialStack "
            "OffsetKThreadApcProcess OffsetKThreadState OffsetKThreadBStore OffsetKThreadBStoreLimit SizeEProcess "
            "OffsetEprocessPeb OffsetEprocessParentCID OffsetEprocessDirectoryTableBase SizePrcb OffsetPrcbDpcRoutine "
            "OffsetPrcbCurrentThread OffsetPrcbMhz OffsetPrcbCpuType OffsetPrcbVendorString OffsetPrcbProcStateContext "
            "OffsetPrcbNumber SizeEThread"
        ),
        *_addresses("KdPrintCircularBufferPtr KdPrintBufferSize KeLoaderBlock"),
        *_offsets(
            "SizePcr OffsetPcrSelfPcr OffsetPcrCurrentPrcb OffsetPcrContainedPrcb OffsetPcrInitialBStore "
            "OffsetPcrBStoreLimit OffsetPcrInitialStack OffsetPcrStackLimit OffsetPrcbPcrPage "
            "OffsetPrcbProcStateSpecialReg GdtR0Code GdtR0Data GdtR0Pcr GdtR3Code GdtR3Data GdtR3Teb GdtLdt GdtTss "
            "Gdt64R3CmCode Gdt64R3CmTeb"
        ),
        *_addresses(
            "IopNumTriageDumpDataBlocks IopTriageDumpDataBlocks VfCrashDataBlock MmBadPagesDetected "
            "MmZeroedPageSingleBitErrorsDetected EtwpDebuggerData"
        ),
        *_offsets("OffsetPrcbContext OffsetPrcbMaxBreakpoints OffsetPrcbMaxWatchpoints"),
        *_offsets32("OffsetKThreadStackLimit OffsetKThreadStackBase OffsetKThreadQueueListEntry OffsetEThreadIrpList"),
        *_offsets(
            "OffsetPrcbIdleThread OffsetPrcbNormalDpcState OffsetPrcbDpcStack OffsetPrcbIsrStack SizeKDPC_STACK_FRAME "
            "OffsetKPriQueueThreadListHead OffsetKThreadWaitReason Padding"
        ),
        *_addresses("PteBase RetpolineStubFunctionTable"),
        *_offsets32("RetpolineStubFunctionTableSize RetpolineStubOffset RetpolineStubSize"),
        *_offsets("OffsetEProcessMmHotPatchContext"),
        *_offsets32("OffsetKThreadShadowStackLimit OffsetKThreadShadowStackBase"),
        *_addresses("ShadowStackEnabled PointerAuthMask"),
        *_offsets("OffsetPrcbExceptionStack"),
    ]


def read_debugger_data(memory: VirtualMemory, address: int) -> KDDEBUGGER_DATA64:
    """Return the block at ``address``. Fields beyond its Size are zero.

    Raises DumpRefused with ERROR_PARTIAL_COPY when it cannot be read, with E_FAIL when OwnerTag or Size is wrong.
    """
    header = memory.read(address, _HEADER_SIZE)
    if header is None:
        raise DumpRefused(Hresult.ERROR_PARTIAL_COPY, f"KdDebuggerDataBlock {address:#x} cannot be read")
    tag, size = (int.from_bytes(header[at : at + 4], "little") for at in (0x10, 0x14))
    if tag != KDBG_TAG or not _SMALLEST <= size <= _LARGEST or size % 8:
        raise DumpRefused(
            Hresult.E_FAIL,
            f"KdDebuggerDataBlock {address:#x}: OwnerTag {tag:#x}, Size {size:#x}, expected {KDBG_TAG:#x} and a"
            f" multiple of 8 from {_SMALLEST:#x} to {_LARGEST:#x}",
        )
    data = memory.read(address, size)
    if data is None:
        raise DumpRefused(
            Hresult.ERROR_PARTIAL_COPY, f"KdDebuggerDataBlock {address:#x}: not all of its {size:#x} bytes can be read"
        )
    return KDDEBUGGER_DATA64.from_buffer_copy(data.ljust(ctypes.sizeof(KDDEBUGGER_DATA64), b"\0"))
