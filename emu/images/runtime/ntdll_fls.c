/* ntdll: fiber-local storage. There are no fibers yet, so each thread has one set of values, at TEB.FlsData. */
#define _NTSYSTEM_
#include "ntdll_runtime.h"

#define SLOTS 128 /* FLS_MAXIMUM_AVAILABLE of winnt.h */
#define USED ((PFLS_CALLBACK_FUNCTION)(LONG_PTR)-1) /* a slot without a callback */

typedef struct FLS_DATA {
    LIST_ENTRY Link;
    PVOID Values[SLOTS];
} FLS_DATA;

static PFLS_CALLBACK_FUNCTION volatile callbacks[SLOTS]; /* NULL: the slot is free */
static LIST_ENTRY sets = {&sets, &sets};                 /* under the loader lock */

static FLS_DATA *values_of_thread(void)
{
    FLS_DATA *data = TEB_POINTER(TEB_FLS_DATA);
    if (data != NULL)
        return data;
    data = RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, HEAP_ZERO_MEMORY, sizeof(*data));
    if (data == NULL)
        return NULL;
    RtlEnterCriticalSection(NtCurrentPeb()->LoaderLock);
    data->Link.Flink = &sets;
    data->Link.Blink = sets.Blink;
    sets.Blink->Flink = &data->Link;
    sets.Blink = &data->Link;
    RtlLeaveCriticalSection(NtCurrentPeb()->LoaderLock);
    TEB_POINTER(TEB_FLS_DATA) = data;
    return data;
}

static void clear(FLS_DATA *data, ULONG slot)
{
    PVOID value = data->Values[slot];
    PFLS_CALLBACK_FUNCTION callback = callbacks[slot];
    data->Values[slot] = NULL;
    if (value != NULL && callback != NULL && callback != USED)
        callback(value);
}

NTSTATUS NTAPI RtlFlsAlloc(PFLS_CALLBACK_FUNCTION callback, PULONG slot)
{
    for (ULONG i = 0; i < SLOTS; i++)
        if (InterlockedCompareExchangePointer((PVOID volatile *)&callbacks[i],
                                              callback != NULL ? (PVOID)callback : (PVOID)USED, NULL) == NULL) {
            *slot = i;
            return values_of_thread() != NULL ? STATUS_SUCCESS : STATUS_NO_MEMORY;
        }
    return STATUS_NO_MEMORY;
}

/* Documented: the callback runs for the value of every thread. */
NTSTATUS NTAPI RtlFlsFree(ULONG slot)
{
    if (slot >= SLOTS || callbacks[slot] == NULL)
        return STATUS_INVALID_PARAMETER;
    RtlEnterCriticalSection(NtCurrentPeb()->LoaderLock);
    for (PLIST_ENTRY link = sets.Flink; link != &sets; link = link->Flink)
        clear(CONTAINING_RECORD(link, FLS_DATA, Link), slot);
    callbacks[slot] = NULL;
    RtlLeaveCriticalSection(NtCurrentPeb()->LoaderLock);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlFlsGetValue(ULONG slot, PVOID *value)
{
    FLS_DATA *data = TEB_POINTER(TEB_FLS_DATA);
    if (slot >= SLOTS)
        return STATUS_INVALID_PARAMETER;
    *value = data != NULL ? data->Values[slot] : NULL;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlFlsSetValue(ULONG slot, PVOID value)
{
    if (slot >= SLOTS)
        return STATUS_INVALID_PARAMETER;
    FLS_DATA *data = values_of_thread();
    if (data == NULL)
        return STATUS_NO_MEMORY;
    data->Values[slot] = value;
    return STATUS_SUCCESS;
}

/* The thread ends: its callbacks run, and its values are gone. */
void call_fls_callbacks(void)
{
    FLS_DATA *data = TEB_POINTER(TEB_FLS_DATA);
    if (data == NULL)
        return;
    for (ULONG slot = 0; slot < SLOTS; slot++)
        clear(data, slot);
    RtlEnterCriticalSection(NtCurrentPeb()->LoaderLock);
    data->Link.Flink->Blink = data->Link.Blink;
    data->Link.Blink->Flink = data->Link.Flink;
    RtlLeaveCriticalSection(NtCurrentPeb()->LoaderLock);
    TEB_POINTER(TEB_FLS_DATA) = NULL;
    RtlFreeHeap(NtCurrentPeb()->ProcessHeap, 0, data);
}
