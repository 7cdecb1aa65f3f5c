/* The end: KeBugCheckEx (ke_trap.s) has saved the caller's context; here the machine is stopped and put in order for a
   dump. */
#include "ntos.h"

ULONG64 KiBugCheckData[5];
LIST_ENTRY KeBugCheckCallbackListHead = { &KeBugCheckCallbackListHead, &KeBugCheckCallbackListHead };
LIST_ENTRY KeBugCheckReasonCallbackListHead = { &KeBugCheckReasonCallbackListHead, &KeBugCheckReasonCallbackListHead };
BUGCHECK_BLOBS KiBugCheckBlobs;
BUGCHECK_RANGES KiBugCheckAddedPages, KiBugCheckTriageData;
ULONG64 IopTriageDumpDataBlocks[MAXIMUM_BUGCHECK_RANGES][2];
ULONG IopNumTriageDumpDataBlocks;

static volatile LONG KiFreezeOwner = -1; /* the processor that stops the others */
static volatile ULONG64 KiHardwareState; /* 1 while the others have to stay frozen */
static UCHAR KiSecondaryBuffer[0x1000];

#define MSR_GS_BASE 0xC0000101
#define SECONDARY_MAXIMUM 0x100000

/* The control registers and the present registers of this processor into KPRCB.ProcessorState. */
VOID KiSaveProcessorState(void)
{
    KPRCB *prcb = KiPrcb();
    KSPECIAL_REGISTERS *special = &prcb->ProcessorState.SpecialRegisters;
    KiSaveSpecialRegisters(special);
    special->Cr8 = KiPcr()->Irql;
    special->MsrGsBase = __readmsr(MSR_GS_BASE);
    special->MsrGsSwap = __readmsr(0xC0000102);
    special->MsrStar = __readmsr(0xC0000081);
    special->MsrLStar = __readmsr(0xC0000082);
    special->MsrCStar = __readmsr(0xC0000083);
    special->MsrSyscallMask = __readmsr(0xC0000084);
    special->MsrFsBase = __readmsr(0xC0000100);
    special->Xcr0 = 3;
    RtlCaptureContext(&prcb->ProcessorState.ContextFrame);
}

/* The NMI of another processor's bug check: this one saves its context and waits. */
VOID KiFreezeExecution(const KTRAP_FRAME *Frame, const KEXCEPTION_FRAME *Exception)
{
    KPRCB *prcb = KiPrcb();
    if (!KiHardwareState || KiFreezeOwner == (LONG)prcb->Number)
        return;
    KiContextFromFrames(prcb->Context, Frame, Exception);
    KiSaveProcessorState();
    prcb->IpiFrozen = 1;
    while (KiHardwareState)
        KiHypercall(HYPERCALL_YIELD, 0, 0, 0);
    prcb->IpiFrozen = 0;
}

static void KiFreezeOthers(void)
{
    ULONG64 others = 0;
    for (LONG number = 0; number < KeNumberProcessors; number++)
        if (number != (LONG)KiPrcb()->Number)
            others |= 1ull << number;
    KiHardwareState = 1;
    if (!others)
        return;
    HalRequestInterrupt(others, NMI_VECTOR);
    for (LONG number = 0; number < KeNumberProcessors; number++)
        while (others >> number & 1 && !KiProcessorBlock[number]->IpiFrozen)
            KiHypercall(HYPERCALL_YIELD, 0, 0, 0);
}

/* Only the first processor goes on; a later one is frozen by its NMI, or stays here. */
static void KiClaimFreeze(void)
{
    LONG number = (LONG)KiPrcb()->Number;
    LONG before = InterlockedCompareExchange(&KiFreezeOwner, number, -1);
    if (before == -1)
        return;
    if (before == number)
        KiFatal("a bug check inside a bug check");
    for (;;)
        KiHypercall(HYPERCALL_YIELD, 0, 0, 0);
}

/* --- callbacks -----------------------------------------------------------------------------------------------------*/

static void KiAddRange(BUGCHECK_RANGES *Ranges, ULONG64 Start, ULONG64 Count)
{
    if (!Count)
        return;
    if (Ranges->Count && Ranges == &KiBugCheckAddedPages) {
        BUGCHECK_RANGE *last = &Ranges->Ranges[Ranges->Count - 1];
        if (last->Start + last->Count == Start) {
            last->Count += Count;
            return;
        }
    }
    if (Ranges->Count < MAXIMUM_BUGCHECK_RANGES) {
        Ranges->Ranges[Ranges->Count].Start = Start;
        Ranges->Ranges[Ranges->Count++].Count = Count;
    }
}

/* KbCallbackAddPages: called again while it says that there are more. */
static void KiCallAddPages(KBUGCHECK_REASON_CALLBACK_RECORD *Record, ULONG Code)
{
    KBUGCHECK_ADD_PAGES data;
    RtlZeroMemory(&data, sizeof data);
    for (ULONG calls = 0; calls < MAXIMUM_BUGCHECK_RANGES; calls++) {
        data.Flags = 0;
        data.BugCheckCode = Code;
        Record->CallbackRoutine(KbCallbackAddPages, Record, &data, sizeof data);
        for (ULONG64 page = 0; page < data.Count; page++) {
            ULONG64 address = data.Address + page * PAGE_SIZE;
            if (data.Flags & KB_ADD_PAGES_FLAG_VIRTUAL_ADDRESS)
                address = (ULONG64)MmGetPhysicalAddress((PVOID)address).QuadPart;
            if (address)
                KiAddRange(&KiBugCheckAddedPages, address >> PAGE_SHIFT, 1);
        }
        if (!(data.Flags & KB_ADD_PAGES_FLAG_ADDITIONAL_RANGES_EXIST))
            break;
    }
}

/* KbCallbackSecondaryDumpData. Each callback gets what is left of the buffer; it may answer with a buffer of its own.
   */
static ULONG KiCallSecondaryData(KBUGCHECK_REASON_CALLBACK_RECORD *Record, ULONG Used)
{
    KBUGCHECK_SECONDARY_DUMP_DATA data;
    RtlZeroMemory(&data, sizeof data);
    data.InBuffer = KiSecondaryBuffer + Used;
    data.InBufferLength = sizeof KiSecondaryBuffer - Used;
    data.MaximumAllowed = SECONDARY_MAXIMUM;
    Record->CallbackRoutine(KbCallbackSecondaryDumpData, Record, &data, sizeof data);
    if (!data.OutBuffer || data.OutBufferLength > SECONDARY_MAXIMUM || KiBugCheckBlobs.Count == MAXIMUM_BUGCHECK_BLOBS)
        return Used;
    BUGCHECK_BLOB *blob = &KiBugCheckBlobs.Blobs[KiBugCheckBlobs.Count++];
    RtlCopyMemory(blob->Guid, &data.Guid, sizeof blob->Guid);
    blob->Address = (ULONG64)data.OutBuffer;
    blob->Length = data.OutBufferLength;
    if (data.OutBuffer == data.InBuffer)
        Used += (min(data.OutBufferLength, data.InBufferLength) + 15) & ~15u;
    return min(Used, (ULONG)sizeof KiSecondaryBuffer);
}

static void KiCallTriageData(KBUGCHECK_REASON_CALLBACK_RECORD *Record)
{
    KBUGCHECK_TRIAGE_DUMP_DATA data;
    RtlZeroMemory(&data, sizeof data);
    data.Flags = 1; /* KB_TRIAGE_DUMP_DATA_FLAG_BUGCHECK_ACTIVE */
    data.MaxVirtMemSize = SECONDARY_MAXIMUM;
    data.BugCheckCode = (ULONG)KiBugCheckData[0];
    data.BugCheckParameter1 = KiBugCheckData[1];
    data.BugCheckParameter2 = KiBugCheckData[2];
    data.BugCheckParameter3 = KiBugCheckData[3];
    data.BugCheckParameter4 = KiBugCheckData[4];
    Record->CallbackRoutine(KbCallbackTriageDumpData, Record, &data, sizeof data);
    if (!data.DataArray)
        return;
    for (ULONG i = 0; i < data.DataArray->NumBlocksUsed; i++) {
        KADDRESS_RANGE *block = &data.DataArray->Blocks[i];
        if (KiBugCheckTriageData.Count == MAXIMUM_BUGCHECK_RANGES)
            return;
        KiAddRange(&KiBugCheckTriageData, (ULONG64)block->Address, block->Size);
        IopTriageDumpDataBlocks[IopNumTriageDumpDataBlocks][0] = (ULONG64)block->Address;
        IopTriageDumpDataBlocks[IopNumTriageDumpDataBlocks++][1] = (ULONG64)block->Address + block->Size;
    }
}

static void KiRunCallbacks(void)
{
    ULONG used = 0;
    KiBugCheckBlobs.Count = KiBugCheckAddedPages.Count = KiBugCheckTriageData.Count = IopNumTriageDumpDataBlocks = 0;
    for (LIST_ENTRY *entry = KeBugCheckReasonCallbackListHead.Flink; entry != &KeBugCheckReasonCallbackListHead;
         entry = entry->Flink) {
        KBUGCHECK_REASON_CALLBACK_RECORD *record = CONTAINING_RECORD(entry, KBUGCHECK_REASON_CALLBACK_RECORD, Entry);
        record->State = BufferStarted;
        if (record->Reason == KbCallbackSecondaryDumpData)
            used = KiCallSecondaryData(record, used);
        else if (record->Reason == KbCallbackAddPages)
            KiCallAddPages(record, (ULONG)KiBugCheckData[0]);
        else if (record->Reason == KbCallbackTriageDumpData)
            KiCallTriageData(record);
        record->State = BufferFinished;
    }
}

BOOLEAN KeRegisterBugCheckReasonCallback(
    PKBUGCHECK_REASON_CALLBACK_RECORD Record, PKBUGCHECK_REASON_CALLBACK_ROUTINE Routine,
    KBUGCHECK_CALLBACK_REASON Reason, PUCHAR Component)
{
    if (Record->State != BufferEmpty || !Routine || !Component)
        return FALSE;
    Record->CallbackRoutine = Routine;
    Record->Component = Component;
    Record->Reason = Reason;
    Record->Checksum = (ULONG_PTR)Routine + Reason + (ULONG_PTR)Component;
    Record->State = BufferInserted;
    KiListInsertTail(&KeBugCheckReasonCallbackListHead, &Record->Entry);
    return TRUE;
}

BOOLEAN KeDeregisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD Record)
{
    if (Record->State != BufferInserted)
        return FALSE;
    KiListRemove(&Record->Entry);
    Record->State = BufferEmpty;
    return TRUE;
}

NTSTATUS KeInitializeTriageDumpDataArray(PKTRIAGE_DUMP_DATA_ARRAY Array, ULONG Size)
{
    if (!Array || Size < sizeof *Array)
        return STATUS_INVALID_PARAMETER;
    RtlZeroMemory(Array, Size);
    KiListInitialize(&Array->List);
    Array->NumBlocksTotal = 1 + (Size - (ULONG)sizeof *Array) / sizeof(KADDRESS_RANGE);
    Array->MaxDataSize = SECONDARY_MAXIMUM;
    return STATUS_SUCCESS;
}

NTSTATUS KeAddTriageDumpDataBlock(PKTRIAGE_DUMP_DATA_ARRAY Array, PVOID Address, SIZE_T Size)
{
    if (!Array || !Address || !Size)
        return STATUS_INVALID_PARAMETER;
    if (Array->NumBlocksUsed == Array->NumBlocksTotal || Size > Array->MaxDataSize - Array->DataSize)
        return STATUS_BUFFER_OVERFLOW;
    Array->Blocks[Array->NumBlocksUsed].Address = Address;
    Array->Blocks[Array->NumBlocksUsed++].Size = Size;
    Array->DataSize += (ULONG)Size;
    return STATUS_SUCCESS;
}

/* --- bug checks and live dumps -------------------------------------------------------------------------------------*/

/* 0xA becomes 0xD1 when the instruction is a driver's (documented with 0xD1). */
DECLSPEC_NORETURN VOID KeBugCheck2(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4)
{
    KiClaimFreeze();
    KiPcr()->Irql = HIGH_LEVEL;
    if (Code == IRQL_NOT_LESS_OR_EQUAL && !PsIsKernelImage(P4))
        Code = DRIVER_IRQL_NOT_LESS_OR_EQUAL;
    KiBugCheckData[0] = Code;
    KiBugCheckData[1] = P1;
    KiBugCheckData[2] = P2;
    KiBugCheckData[3] = P3;
    KiBugCheckData[4] = P4;
    KiSaveProcessorState();
    KiFreezeOthers();
    KiRunCallbacks();
    for (;;)
        KiHypercall(HYPERCALL_STOPPED, Code, 0, 0);
}

DECLSPEC_NORETURN VOID KeBugCheck(ULONG Code) { KeBugCheckEx(Code, 0, 0, 0, 0); }

/* A live dump: the same state, and then everything goes on. */
NTSTATUS DbgkWerCaptureLiveKernelDump(
    PCWSTR ComponentName, ULONG BugCheckCode, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4,
    PVOID DumpSelection, PVOID Callback, ULONG Flags)
{
    (void)ComponentName, (void)DumpSelection, (void)Callback, (void)Flags;
    ULONG64 eflags = __readeflags();
    KiDisableInterrupts();
    KIRQL irql = KiPcr()->Irql;
    RtlCaptureContext(KiPrcb()->Context);
    KiClaimFreeze();
    KiPcr()->Irql = HIGH_LEVEL;
    KiBugCheckData[0] = BugCheckCode;
    KiBugCheckData[1] = P1;
    KiBugCheckData[2] = P2;
    KiBugCheckData[3] = P3;
    KiBugCheckData[4] = P4;
    KiSaveProcessorState();
    KiFreezeOthers();
    KiRunCallbacks();
    KiHypercall(HYPERCALL_LIVE_DUMP, BugCheckCode, 0, 0);
    RtlZeroMemory(KiBugCheckData, sizeof KiBugCheckData);
    KiHardwareState = 0;
    for (LONG number = 0; number < KeNumberProcessors; number++)
        while (KiProcessorBlock[number]->IpiFrozen)
            KiHypercall(HYPERCALL_YIELD, 0, 0, 0);
    KiFreezeOwner = -1;
    KiPcr()->Irql = irql;
    __writeeflags(eflags);
    return STATUS_SUCCESS;
}
