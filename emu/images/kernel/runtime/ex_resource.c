/* ERESOURCE: locks for many readers or one writer, which may be taken again by their owner. */
#include "runtime.h"

#define OWNERS 16 /* threads that share one resource at a time */
static LIST_ENTRY ExpResources = { &ExpResources, &ExpResources };
static KSPIN_LOCK ExpResourceLock;

NTSTATUS ExInitializeResourceLite(PERESOURCE Resource)
{
    KIRQL irql;
    RtlZeroMemory(Resource, sizeof *Resource);
    OWNER_ENTRY *owners = ExAllocatePool2(POOL_FLAG_NON_PAGED, OWNERS * sizeof *owners + sizeof(KEVENT), 'seRE');
    if (!owners)
        return STATUS_INSUFFICIENT_RESOURCES;
    Resource->OwnerTable = owners;
    Resource->ExclusiveWaiters = (PKEVENT)(owners + OWNERS);
    KeInitializeEvent(Resource->ExclusiveWaiters, NotificationEvent, FALSE);
    KeAcquireSpinLock(&ExpResourceLock, &irql);
    KiListInsertTail(&ExpResources, &Resource->SystemResourcesList);
    KeReleaseSpinLock(&ExpResourceLock, irql);
    return STATUS_SUCCESS;
}

NTSTATUS ExReinitializeResourceLite(PERESOURCE Resource)
{
    RtlZeroMemory(Resource->OwnerTable, OWNERS * sizeof(OWNER_ENTRY));
    Resource->ActiveCount = 0;
    Resource->Flag = 0;
    Resource->ActiveEntries = 0;
    RtlZeroMemory(&Resource->OwnerEntry, sizeof Resource->OwnerEntry);
    return STATUS_SUCCESS;
}

NTSTATUS ExDeleteResourceLite(PERESOURCE Resource)
{
    KIRQL irql;
    KeAcquireSpinLock(&ExpResourceLock, &irql);
    KiListRemove(&Resource->SystemResourcesList);
    KeReleaseSpinLock(&ExpResourceLock, irql);
    ExFreePoolWithTag(Resource->OwnerTable, 'seRE');
    RtlZeroMemory(Resource, sizeof *Resource);
    return STATUS_SUCCESS;
}

/* 0xC4 (0x17): a resource that is in use is freed with its memory. */
VOID ExpCheckForResource(PVOID Start, SIZE_T Size)
{
    for (LIST_ENTRY *entry = ExpResources.Flink; entry != &ExpResources; entry = entry->Flink)
        if ((ULONG64)entry - (ULONG64)Start < Size)
            VfViolation(0x17, (ULONG_PTR)entry, (ULONG_PTR)-1, (ULONG_PTR)Start);
}

/* 0xC4 (0x37, 0x38): APCs have to be disabled. Threads of the system are exempt. 0x3D: it is not aligned. */
static void CheckUse(PERESOURCE Resource, ULONG Kind)
{
    KI_THREAD_STATE *state = KiThreadState(KiCurrentThread());
    KIRQL irql = KeGetCurrentIrql();
    if ((ULONG64)Resource % 8)
        VfViolation(0x3D, 0, 0, (ULONG_PTR)Resource);
    if (irql > (Kind == 0x38 ? DISPATCH_LEVEL : APC_LEVEL))
        VfViolation(Kind, irql, (ULONG_PTR)(LONG_PTR)state->KernelApcDisable, (ULONG_PTR)Resource);
    if (irql < APC_LEVEL && KiIsUserThread() && !state->KernelApcDisable && !state->SpecialApcDisable)
        VfViolation(Kind, irql, 0, (ULONG_PTR)Resource);
}

static OWNER_ENTRY *Share(PERESOURCE Resource, ERESOURCE_THREAD Thread, BOOLEAN Make)
{
    OWNER_ENTRY *free = NULL;
    for (ULONG i = 0; i < OWNERS; i++) {
        OWNER_ENTRY *entry = &Resource->OwnerTable[i];
        if (entry->OwnerThread == Thread && Thread)
            return entry;
        if (!entry->OwnerThread && !free)
            free = entry;
    }
    return Make ? free : NULL;
}

static BOOLEAN TryExclusive(PERESOURCE Resource, ERESOURCE_THREAD Thread)
{
    if (Resource->Flag & ResourceOwnedExclusive) {
        if (Resource->OwnerEntry.OwnerThread != Thread)
            return FALSE;
        Resource->OwnerEntry.OwnerCount++;
        return TRUE;
    }
    if (Resource->ActiveEntries)
        return FALSE;
    Resource->Flag |= ResourceOwnedExclusive;
    Resource->OwnerEntry.OwnerThread = Thread;
    Resource->OwnerEntry.OwnerCount = 1;
    Resource->ActiveEntries = 1;
    Resource->ActiveCount = 1;
    return TRUE;
}

static BOOLEAN TryShared(PERESOURCE Resource, ERESOURCE_THREAD Thread, BOOLEAN Starve)
{
    if (Resource->Flag & ResourceOwnedExclusive)
        return Resource->OwnerEntry.OwnerThread == Thread && TryExclusive(Resource, Thread);
    OWNER_ENTRY *entry = Share(Resource, Thread, FALSE);
    if (!entry && Resource->NumberOfExclusiveWaiters && !Starve)
        return FALSE;
    if (!entry)
        entry = Share(Resource, Thread, TRUE);
    if (!entry)
        return FALSE;
    if (!entry->OwnerThread) {
        entry->OwnerThread = Thread;
        entry->OwnerCount = 0;
        Resource->ActiveEntries++;
        Resource->ActiveCount = 1;
    }
    entry->OwnerCount++;
    return TRUE;
}

static BOOLEAN Acquire(PERESOURCE Resource, BOOLEAN Wait, BOOLEAN Exclusive, BOOLEAN Starve)
{
    ERESOURCE_THREAD thread = (ERESOURCE_THREAD)KiCurrentThread();
    ULONG *waiters = Exclusive ? &Resource->NumberOfExclusiveWaiters : &Resource->NumberOfSharedWaiters;
    CheckUse(Resource, 0x37);
    for (BOOLEAN waited = FALSE;; waited = TRUE) {
        KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
        KeAcquireSpinLockAtDpcLevel(&Resource->SpinLock);
        BOOLEAN got = Exclusive ? TryExclusive(Resource, thread) : TryShared(Resource, thread, Starve);
        if (!got && Wait && !waited) {
            ++*waiters;
            Resource->ContentionCount++;
        } else if (got && waited) {
            --*waiters;
        }
        if (!got && Wait)
            KeResetEvent(Resource->ExclusiveWaiters);
        KeReleaseSpinLockFromDpcLevel(&Resource->SpinLock);
        KeLowerIrql(irql);
        if (got || !Wait)
            return got;
        KeWaitForSingleObject((PVOID)Resource->ExclusiveWaiters, WrResource, KernelMode, FALSE, NULL);
    }
}

BOOLEAN ExAcquireResourceExclusiveLite(PERESOURCE Resource, BOOLEAN Wait) { return Acquire(Resource, Wait, TRUE, FALSE); }

BOOLEAN ExAcquireResourceSharedLite(PERESOURCE Resource, BOOLEAN Wait) { return Acquire(Resource, Wait, FALSE, FALSE); }

BOOLEAN ExAcquireSharedStarveExclusive(PERESOURCE Resource, BOOLEAN Wait) { return Acquire(Resource, Wait, FALSE, TRUE); }

BOOLEAN ExAcquireSharedWaitForExclusive(PERESOURCE Resource, BOOLEAN Wait)
{
    return Acquire(Resource, Wait, FALSE, FALSE);
}

/* 0xE3: the thread does not own it. */
static void Release(PERESOURCE Resource, ERESOURCE_THREAD Thread)
{
    CheckUse(Resource, 0x38);
    KIRQL irql = KfRaiseIrql(max(DISPATCH_LEVEL, KeGetCurrentIrql()));
    KeAcquireSpinLockAtDpcLevel(&Resource->SpinLock);
    BOOLEAN exclusive = (Resource->Flag & ResourceOwnedExclusive) != 0;
    OWNER_ENTRY *entry = exclusive ? &Resource->OwnerEntry : Share(Resource, Thread, FALSE);
    if (!entry || (exclusive && entry->OwnerThread != Thread))
        KeBugCheckEx(
            RESOURCE_NOT_OWNED, (ULONG_PTR)Resource, (ULONG_PTR)Thread, (ULONG_PTR)Resource->OwnerTable,
            exclusive ? 1 : 2);
    if (--entry->OwnerCount == 0) {
        entry->OwnerThread = 0;
        Resource->Flag &= ~ResourceOwnedExclusive;
        if (--Resource->ActiveEntries == 0)
            Resource->ActiveCount = 0;
        KeSetEvent(Resource->ExclusiveWaiters, 0, FALSE);
    }
    KeReleaseSpinLockFromDpcLevel(&Resource->SpinLock);
    KeLowerIrql(irql);
}

VOID FASTCALL ExReleaseResourceLite(PERESOURCE Resource) { Release(Resource, (ERESOURCE_THREAD)KiCurrentThread()); }

VOID ExReleaseResourceForThreadLite(PERESOURCE Resource, ERESOURCE_THREAD Thread) { Release(Resource, Thread); }

VOID ExConvertExclusiveToSharedLite(PERESOURCE Resource)
{
    ERESOURCE_THREAD thread = (ERESOURCE_THREAD)KiCurrentThread();
    ULONG count = Resource->OwnerEntry.OwnerCount;
    OWNER_ENTRY *entry = Share(Resource, thread, TRUE);
    Resource->Flag &= ~ResourceOwnedExclusive;
    Resource->OwnerEntry.OwnerThread = 0;
    Resource->OwnerEntry.OwnerCount = 0;
    entry->OwnerThread = thread;
    entry->OwnerCount = count;
    KeSetEvent(Resource->ExclusiveWaiters, 0, FALSE);
}

BOOLEAN ExIsResourceAcquiredExclusiveLite(PERESOURCE Resource)
{
    return Resource->Flag & ResourceOwnedExclusive &&
           Resource->OwnerEntry.OwnerThread == (ERESOURCE_THREAD)KiCurrentThread();
}

ULONG ExIsResourceAcquiredSharedLite(PERESOURCE Resource)
{
    if (ExIsResourceAcquiredExclusiveLite(Resource))
        return Resource->OwnerEntry.OwnerCount;
    OWNER_ENTRY *entry = Share(Resource, (ERESOURCE_THREAD)KiCurrentThread(), FALSE);
    return entry ? entry->OwnerCount : 0;
}

ULONG ExGetExclusiveWaiterCount(PERESOURCE Resource) { return Resource->NumberOfExclusiveWaiters; }

ULONG ExGetSharedWaiterCount(PERESOURCE Resource) { return Resource->NumberOfSharedWaiters; }

PVOID ExEnterCriticalRegionAndAcquireResourceExclusive(PERESOURCE Resource)
{
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(Resource, TRUE);
    return NULL;
}

PVOID ExEnterCriticalRegionAndAcquireResourceShared(PERESOURCE Resource)
{
    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(Resource, TRUE);
    return NULL;
}

VOID FASTCALL ExReleaseResourceAndLeaveCriticalRegion(PERESOURCE Resource)
{
    ExReleaseResourceLite(Resource);
    KeLeaveCriticalRegion();
}
