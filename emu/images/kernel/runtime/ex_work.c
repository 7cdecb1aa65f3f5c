/* Work items, lookaside lists, callbacks. */
#include "runtime.h"

/* --- work items ----------------------------------------------------------------------------------------------------*/

#define WORKERS 2

static LIST_ENTRY ExpWork = { &ExpWork, &ExpWork };
static KSPIN_LOCK ExpWorkLock;
static KSEMAPHORE ExpWorkSemaphore;

/* 0xE1: a work routine returns at a raised IRQL. */
static VOID Worker(PVOID Context)
{
    (void)Context;
    for (;;) {
        KIRQL irql;
        KeWaitForSingleObject(&ExpWorkSemaphore, Executive, KernelMode, FALSE, NULL);
        KeAcquireSpinLock(&ExpWorkLock, &irql);
        PWORK_QUEUE_ITEM item = CONTAINING_RECORD(ExpWork.Flink, WORK_QUEUE_ITEM, List);
        KiListRemove(&item->List);
        item->List.Flink = NULL;
        KeReleaseSpinLock(&ExpWorkLock, irql);
        PWORKER_THREAD_ROUTINE routine = item->WorkerRoutine;
        PVOID parameter = item->Parameter;
        routine(parameter);
        if (KeGetCurrentIrql() != PASSIVE_LEVEL)
            KeBugCheckEx(
                WORKER_THREAD_RETURNED_AT_BAD_IRQL, (ULONG_PTR)routine, KeGetCurrentIrql(), (ULONG_PTR)parameter,
                (ULONG_PTR)item);
    }
}

VOID ExInitializeWorkers(void)
{
    HANDLE handle;
    KeInitializeSemaphore(&ExpWorkSemaphore, 0, 0x7FFFFFFF);
    for (ULONG i = 0; i < WORKERS; i++)
        if (NT_SUCCESS(PsCreateSystemThread(&handle, 0, NULL, NULL, NULL, Worker, NULL)))
            ZwClose(handle);
}

/* 0x96: the item is in the queue already. */
VOID ExQueueWorkItem(PWORK_QUEUE_ITEM Item, WORK_QUEUE_TYPE Type)
{
    KIRQL irql;
    (void)Type;
    KeAcquireSpinLock(&ExpWorkLock, &irql);
    if (Item->List.Flink)
        KeBugCheckEx(INVALID_WORK_QUEUE_ITEM, 1, (ULONG_PTR)Item, (ULONG_PTR)&ExpWork, 0);
    KiListInsertTail(&ExpWork, &Item->List);
    KeReleaseSpinLock(&ExpWorkLock, irql);
    KeReleaseSemaphore(&ExpWorkSemaphore, 0, 1, FALSE);
}

/* wdm.h leaves the structure open. */
typedef struct _IO_WORKITEM {
    WORK_QUEUE_ITEM Item;
    PIO_WORKITEM_ROUTINE Routine;
    PIO_WORKITEM_ROUTINE_EX RoutineEx;
    PVOID Object, Context;
} IO_WORKITEM;

static VOID RunIoWork(PVOID Parameter)
{
    IO_WORKITEM *item = Parameter;
    PVOID object = item->Object, context = item->Context;
    if (item->RoutineEx)
        item->RoutineEx(object, context, item);
    else
        item->Routine(object, context);
    ObfDereferenceObject(object);
}

ULONG IoSizeofWorkItem(VOID) { return sizeof(IO_WORKITEM); }

VOID IoInitializeWorkItem(PVOID Object, PIO_WORKITEM Item)
{
    RtlZeroMemory(Item, sizeof *Item);
    Item->Object = Object;
}

VOID IoUninitializeWorkItem(PIO_WORKITEM Item) { Item->Object = NULL; }

PIO_WORKITEM IoAllocateWorkItem(PDEVICE_OBJECT Device)
{
    IO_WORKITEM *item = ExAllocatePoolWithTag(NonPagedPool, sizeof *item, 'IWoI');
    if (item)
        IoInitializeWorkItem(Device, item);
    return item;
}

VOID IoFreeWorkItem(PIO_WORKITEM Item) { ExFreePoolWithTag(Item, 'IWoI'); }

static void QueueIo(PIO_WORKITEM Item, PIO_WORKITEM_ROUTINE Routine, PIO_WORKITEM_ROUTINE_EX RoutineEx, PVOID Context)
{
    Item->Routine = Routine;
    Item->RoutineEx = RoutineEx;
    Item->Context = Context;
    ObfReferenceObject(Item->Object);
    Item->Item.WorkerRoutine = RunIoWork;
    Item->Item.Parameter = Item;
    ExQueueWorkItem(&Item->Item, DelayedWorkQueue);
}

VOID IoQueueWorkItem(PIO_WORKITEM Item, PIO_WORKITEM_ROUTINE Routine, WORK_QUEUE_TYPE Type, PVOID Context)
{
    (void)Type;
    QueueIo(Item, Routine, NULL, Context);
}

VOID IoQueueWorkItemEx(PIO_WORKITEM Item, PIO_WORKITEM_ROUTINE_EX Routine, WORK_QUEUE_TYPE Type, PVOID Context)
{
    (void)Type;
    QueueIo(Item, NULL, Routine, Context);
}

/* --- lookaside lists -----------------------------------------------------------------------------------------------*/

static PVOID AllocateForList(POOL_TYPE Type, SIZE_T Size, ULONG Tag) { return ExAllocatePoolWithTag(Type, Size, Tag); }

static VOID FreeForList(PVOID Memory) { ExFreePoolWithTag(Memory, 0); }

static void InitializeList(
    GENERAL_LOOKASIDE *List, PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free, POOL_TYPE Type, SIZE_T Size, ULONG Tag,
    USHORT Depth)
{
    RtlZeroMemory(List, sizeof *List);
    List->MaximumDepth = 256;
    List->Depth = Depth ? Depth : 4;
    List->Type = Type;
    List->Tag = Tag;
    List->Size = (ULONG)max(Size, sizeof(SLIST_ENTRY));
    List->Allocate = Allocate ? Allocate : AllocateForList;
    List->Free = Free ? Free : FreeForList;
}

VOID ExInitializeNPagedLookasideList(
    PNPAGED_LOOKASIDE_LIST List, PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free, ULONG Flags, SIZE_T Size, ULONG Tag,
    USHORT Depth)
{
    InitializeList((GENERAL_LOOKASIDE *)List, Allocate, Free, NonPagedPool | (POOL_TYPE)Flags, Size, Tag, Depth);
}

VOID ExInitializePagedLookasideList(
    PPAGED_LOOKASIDE_LIST List, PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free, ULONG Flags, SIZE_T Size, ULONG Tag,
    USHORT Depth)
{
    InitializeList((GENERAL_LOOKASIDE *)List, Allocate, Free, PagedPool | (POOL_TYPE)Flags, Size, Tag, Depth);
}

NTSTATUS ExInitializeLookasideListEx(
    PLOOKASIDE_LIST_EX List, PALLOCATE_FUNCTION_EX Allocate, PFREE_FUNCTION_EX Free, POOL_TYPE Type, ULONG Flags,
    SIZE_T Size, ULONG Tag, USHORT Depth)
{
    if (Allocate || Free)
        return STATUS_NOT_SUPPORTED; /* nothing here calls routines with a list argument */
    InitializeList((GENERAL_LOOKASIDE *)List, NULL, NULL, Type | (POOL_TYPE)Flags, Size, Tag, Depth);
    return STATUS_SUCCESS;
}

static void DeleteList(GENERAL_LOOKASIDE *List)
{
    for (PVOID entry; (entry = ExpInterlockedPopEntrySList(&List->ListHead)) != NULL;)
        List->Free(entry);
}

VOID ExDeleteNPagedLookasideList(PNPAGED_LOOKASIDE_LIST List) { DeleteList((GENERAL_LOOKASIDE *)List); }

VOID ExDeletePagedLookasideList(PPAGED_LOOKASIDE_LIST List) { DeleteList((GENERAL_LOOKASIDE *)List); }

VOID ExDeleteLookasideListEx(PLOOKASIDE_LIST_EX List) { DeleteList((GENERAL_LOOKASIDE *)List); }

VOID ExFlushLookasideListEx(PLOOKASIDE_LIST_EX List) { DeleteList((GENERAL_LOOKASIDE *)List); }

/* The headers have these inline, but drivers of other compilers import them. */
PVOID ExpAllocateFromLookaside(GENERAL_LOOKASIDE *List)
{
    PVOID entry = ExpInterlockedPopEntrySList(&List->ListHead);
    List->TotalAllocates++;
    if (entry)
        return entry;
    List->AllocateMisses++;
    return List->Allocate(List->Type, List->Size, List->Tag);
}

VOID ExpFreeToLookaside(GENERAL_LOOKASIDE *List, PVOID Entry)
{
    List->TotalFrees++;
    if (List->ListHead.HeaderX64.Depth >= List->Depth) {
        List->FreeMisses++;
        List->Free(Entry);
    } else {
        ExpInterlockedPushEntrySList(&List->ListHead, Entry);
    }
}

PSLIST_ENTRY ExpInterlockedFlushSList(PSLIST_HEADER List)
{
    PSLIST_ENTRY first = NULL, last = NULL, entry;
    while ((entry = ExpInterlockedPopEntrySList(List)) != NULL) {
        entry->Next = NULL;
        if (last)
            last->Next = entry;
        else
            first = entry;
        last = entry;
    }
    return first;
}

VOID InitializeSListHead(PSLIST_HEADER List) { RtlZeroMemory(List, sizeof *List); }

USHORT ExQueryDepthSList(PSLIST_HEADER List) { return (USHORT)List->HeaderX64.Depth; }

/* --- callback objects ----------------------------------------------------------------------------------------------*/

typedef struct _EXP_REGISTRATION {
    LIST_ENTRY Links;
    PVOID Object;
    PCALLBACK_FUNCTION Routine;
    PVOID Context;
} EXP_REGISTRATION;

NTSTATUS ExCreateCallback(
    PCALLBACK_OBJECT *Object, POBJECT_ATTRIBUTES Attributes, BOOLEAN Create, BOOLEAN AllowMultiple)
{
    (void)AllowMultiple;
    PVOID found = Attributes->ObjectName ? ObpFind(Attributes->ObjectName) : NULL;
    if (found) {
        ObfReferenceObject(found);
        *Object = found;
        return STATUS_SUCCESS;
    }
    if (!Create)
        return STATUS_OBJECT_NAME_NOT_FOUND;
    LIST_ENTRY *callback = ObpCreate(&ObpCallbackType, sizeof *callback);
    if (!callback)
        return STATUS_INSUFFICIENT_RESOURCES;
    KiListInitialize(callback);
    *Object = (PCALLBACK_OBJECT)callback;
    return Attributes->ObjectName ? ObpInsertName(callback, Attributes->ObjectName) : STATUS_SUCCESS;
}

PVOID ExRegisterCallback(PCALLBACK_OBJECT Object, PCALLBACK_FUNCTION Routine, PVOID Context)
{
    EXP_REGISTRATION *made = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof *made, 'RBxE');
    if (!made)
        return NULL;
    made->Object = Object;
    made->Routine = Routine;
    made->Context = Context;
    ObfReferenceObject(Object);
    KiListInsertTail((LIST_ENTRY *)Object, &made->Links);
    return made;
}

VOID ExUnregisterCallback(PVOID Registration)
{
    EXP_REGISTRATION *made = Registration;
    KiListRemove(&made->Links);
    ObfDereferenceObject(made->Object);
    ExFreePoolWithTag(made, 'RBxE');
}

VOID ExNotifyCallback(PCALLBACK_OBJECT Object, PVOID Argument1, PVOID Argument2)
{
    LIST_ENTRY *head = (LIST_ENTRY *)Object;
    for (LIST_ENTRY *entry = head->Flink, *next; entry != head; entry = next) {
        EXP_REGISTRATION *made = CONTAINING_RECORD(entry, EXP_REGISTRATION, Links);
        next = entry->Flink;
        made->Routine(made->Context, Argument1, Argument2);
    }
}
