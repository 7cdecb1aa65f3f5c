/* What a user's driver includes before its own first line: <ntddk.h> as ntos_ddk.h mends it, and what wdm.h of a current
   WDK has and the headers lack. */
#pragma once

#include "../ntos_ddk.h"

/* The variables that hold object types. The headers import a pointer to them; ntoskrnl.exe exports the variable. */
#define DDK_OBJECT_TYPE(name) extern __declspec(dllimport) POBJECT_TYPE Ddk##name __asm__(#name)
DDK_OBJECT_TYPE(CmKeyObjectType);
DDK_OBJECT_TYPE(ExEventObjectType);
DDK_OBJECT_TYPE(IoDeviceObjectType);
DDK_OBJECT_TYPE(IoDriverObjectType);
DDK_OBJECT_TYPE(IoFileObjectType);
DDK_OBJECT_TYPE(PsProcessType);
DDK_OBJECT_TYPE(PsThreadType);
#define CmKeyObjectType (&DdkCmKeyObjectType)
#define ExEventObjectType (&DdkExEventObjectType)
#define IoDeviceObjectType (&DdkIoDeviceObjectType)
#define IoDriverObjectType (&DdkIoDriverObjectType)
#define IoFileObjectType (&DdkIoFileObjectType)
#define PsProcessType (&DdkPsProcessType)
#define PsThreadType (&DdkPsThreadType)

/* Annotations of the WDK (driverspecs.h, sal.h) that the headers do not know: they say nothing to a compiler. */
#ifndef _Dispatch_type_
#define _Dispatch_type_(type)
#endif
#ifndef _Function_class_
#define _Function_class_(name)
#endif
#ifndef _IRQL_requires_
#define _IRQL_requires_(irql)
#endif
#ifndef _IRQL_requires_max_
#define _IRQL_requires_max_(irql)
#endif
#ifndef _IRQL_requires_min_
#define _IRQL_requires_min_(irql)
#endif
#ifndef _IRQL_requires_same_
#define _IRQL_requires_same_
#endif
#ifndef _IRQL_raises_
#define _IRQL_raises_(irql)
#endif
#ifndef _IRQL_saves_
#define _IRQL_saves_
#endif
#ifndef _IRQL_restores_
#define _IRQL_restores_
#endif
#ifndef _Requires_lock_held_
#define _Requires_lock_held_(lock)
#endif
#ifndef _Requires_lock_not_held_
#define _Requires_lock_not_held_(lock)
#endif
#ifndef _Acquires_lock_
#define _Acquires_lock_(lock)
#endif
#ifndef _Releases_lock_
#define _Releases_lock_(lock)
#endif
#ifndef _Use_decl_annotations_
#define _Use_decl_annotations_
#endif
#ifndef _Must_inspect_result_
#define _Must_inspect_result_
#endif
#ifndef _Analysis_assume_
#define _Analysis_assume_(expression)
#endif

/* wdm.h since Windows 10 2004. */
#ifndef POOL_FLAG_RAISE_ON_FAILURE
#define POOL_FLAG_RAISE_ON_FAILURE 0x0000000000000020ull
#endif
#ifndef POOL_FLAG_CACHE_ALIGNED
#define POOL_FLAG_CACHE_ALIGNED 0x0000000000000008ull
#endif
NTKERNELAPI VOID ExFreePool2(PVOID P, ULONG Tag, PVOID ExtendedParameters, ULONG ExtendedParametersCount);

static inline PVOID ExAllocatePoolZero(POOL_TYPE Type, SIZE_T Size, ULONG Tag)
{
    PVOID memory = ExAllocatePoolWithTag(Type, Size, Tag);
    if (memory)
        RtlZeroMemory(memory, Size);
    return memory;
}

static inline PVOID ExAllocatePoolUninitialized(POOL_TYPE Type, SIZE_T Size, ULONG Tag)
{
    return ExAllocatePoolWithTag(Type, Size, Tag);
}

/* Documented for drivers, but not declared in the headers. */
NTKERNELAPI NTSTATUS PsLookupProcessByProcessId(HANDLE ProcessId, PEPROCESS *Process);
NTKERNELAPI NTSTATUS PsLookupThreadByThreadId(HANDLE ThreadId, PETHREAD *Thread);
NTKERNELAPI PUCHAR PsGetProcessImageFileName(PEPROCESS Process);
NTKERNELAPI ULONG64 KeQueryInterruptTimePrecise(PULONG64 QpcTimeStamp);
#ifndef KeMemoryBarrier
#define KeMemoryBarrier() __sync_synchronize()
#endif

/* The routines of <ntstrsafe.h> are inline; _mingw.h takes that away from code that is not optimized. */
#undef __CRT__NO_INLINE

typedef LONG EX_SPIN_LOCK, *PEX_SPIN_LOCK;
NTKERNELAPI KIRQL ExAcquireSpinLockShared(PEX_SPIN_LOCK SpinLock);
NTKERNELAPI KIRQL ExAcquireSpinLockExclusive(PEX_SPIN_LOCK SpinLock);
NTKERNELAPI VOID ExReleaseSpinLockShared(PEX_SPIN_LOCK SpinLock, KIRQL OldIrql);
NTKERNELAPI VOID ExReleaseSpinLockExclusive(PEX_SPIN_LOCK SpinLock, KIRQL OldIrql);
NTKERNELAPI VOID ExAcquireSpinLockSharedAtDpcLevel(PEX_SPIN_LOCK SpinLock);
NTKERNELAPI VOID ExAcquireSpinLockExclusiveAtDpcLevel(PEX_SPIN_LOCK SpinLock);
NTKERNELAPI VOID ExReleaseSpinLockSharedFromDpcLevel(PEX_SPIN_LOCK SpinLock);
NTKERNELAPI VOID ExReleaseSpinLockExclusiveFromDpcLevel(PEX_SPIN_LOCK SpinLock);
