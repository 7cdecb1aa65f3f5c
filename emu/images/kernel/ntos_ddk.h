/* <ntifs.h> for the kernel itself, and for a user's driver before it includes <ntddk.h>.

   The mingw headers define the IRQL routines inline on CR8, and a partial KPCR. The emulated processor does not keep
   CR8, so these routines are the kernel's exports here; the KPCR is ours. Some documented names are too new for the
   headers. */
#pragma once

#define KeGetCurrentIrql DdkInlineGetCurrentIrql
#define KeLowerIrql DdkInlineLowerIrql
#define KfRaiseIrql DdkInlineRaiseIrql
#define KeRaiseIrqlToDpcLevel DdkInlineRaiseIrqlToDpcLevel
#define KeRaiseIrqlToSynchLevel DdkInlineRaiseIrqlToSynchLevel
#define _KPCR DDK_KPCR_TAG
#define KPCR DDK_KPCR
#define PKPCR PDDK_KPCR
#ifdef _NTOSKRNL_
#include <ntifs.h>
#else
#include <ntddk.h>
#endif
#undef KeGetCurrentIrql
#undef KeLowerIrql
#undef KfRaiseIrql
#undef KeRaiseIrqlToDpcLevel
#undef KeRaiseIrqlToSynchLevel
#undef _KPCR
#undef KPCR
#undef PKPCR

NTKERNELAPI KIRQL KeGetCurrentIrql(VOID);
NTKERNELAPI VOID KeLowerIrql(KIRQL NewIrql);
NTKERNELAPI KIRQL KfRaiseIrql(KIRQL NewIrql);
NTKERNELAPI KIRQL KeRaiseIrqlToDpcLevel(VOID);

/* wdm.h since Windows 10 2004. */
typedef ULONG64 POOL_FLAGS;
#define POOL_FLAG_UNINITIALIZED 0x0000000000000002ull
#define POOL_FLAG_NON_PAGED 0x0000000000000040ull
#define POOL_FLAG_NON_PAGED_EXECUTE 0x0000000000000080ull
#define POOL_FLAG_PAGED 0x0000000000000100ull
NTKERNELAPI PVOID ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);

/* wdm.h: KbCallbackTriageDumpData. */
typedef struct _KADDRESS_RANGE {
    PVOID Address;
    SIZE_T Size;
} KADDRESS_RANGE;

typedef struct _KTRIAGE_DUMP_DATA_ARRAY {
    LIST_ENTRY List;
    ULONG NumBlocksUsed;
    ULONG NumBlocksTotal;
    ULONG DataSize;
    ULONG MaxDataSize;
    ULONG ComponentNameBufferLength;
    PUCHAR ComponentName;
    KADDRESS_RANGE Blocks[1];
} KTRIAGE_DUMP_DATA_ARRAY, *PKTRIAGE_DUMP_DATA_ARRAY;

typedef struct _KBUGCHECK_TRIAGE_DUMP_DATA {
    PKTRIAGE_DUMP_DATA_ARRAY DataArray;
    ULONG Flags;
    ULONG MaxVirtMemSize;
    ULONG BugCheckCode;
    ULONG_PTR BugCheckParameter1;
    ULONG_PTR BugCheckParameter2;
    ULONG_PTR BugCheckParameter3;
    ULONG_PTR BugCheckParameter4;
} KBUGCHECK_TRIAGE_DUMP_DATA, *PKBUGCHECK_TRIAGE_DUMP_DATA;

NTKERNELAPI NTSTATUS KeInitializeTriageDumpDataArray(
    PKTRIAGE_DUMP_DATA_ARRAY Array, ULONG Size);
NTKERNELAPI NTSTATUS KeAddTriageDumpDataBlock(PKTRIAGE_DUMP_DATA_ARRAY Array, PVOID Address, SIZE_T Size);

NTKERNELAPI VOID KeQuerySystemTimePrecise(PLARGE_INTEGER Time);
NTKERNELAPI HANDLE PsGetProcessId(PEPROCESS Process);
NTKERNELAPI NTSTATUS DbgkWerCaptureLiveKernelDump(
    PCWSTR ComponentName, ULONG BugCheckCode, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4,
    PVOID DumpSelection, PVOID Callback, ULONG Flags);
