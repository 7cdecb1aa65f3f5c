/* kernel32 of the runtime system: thread-local and fiber-local storage.

   The first 64 TLS slots are in the TEB; 1024 more are in a block that a thread makes when it first stores a value
   there (TEB.TlsExpansionSlots). The PEB's bitmaps say which slots are given out. */
#include "kernel32_runtime.h"

#define EXPANSION_SLOTS 1024
#define THREAD_ZERO_TLS_CELL ((THREADINFOCLASS)10) /* ntddk.h: ThreadZeroTlsCell */

static PVOID *expansion(BOOL make)
{
    PVOID *slots = TEB_POINTER(TEB_TLS_EXPANSION_SLOTS);
    if (slots == NULL && make) {
        slots = RtlAllocateHeap(GetProcessHeap(), HEAP_ZERO_MEMORY, EXPANSION_SLOTS * sizeof(PVOID));
        TEB_POINTER(TEB_TLS_EXPANSION_SLOTS) = slots;
    }
    return slots;
}

static LONG *bitmap_of(DWORD slot)
{
    PPEB peb = NtCurrentPeb();
    return slot < TLS_MINIMUM_AVAILABLE ? (LONG *)&peb->TlsBitmapBits[slot / 32]
                                        : (LONG *)&peb->TlsExpansionBitmapBits[(slot - TLS_MINIMUM_AVAILABLE) / 32];
}

DWORD WINAPI TlsAlloc(VOID)
{
    for (DWORD slot = 0; slot < TLS_MINIMUM_AVAILABLE + EXPANSION_SLOTS; slot++)
        if (!InterlockedBitTestAndSet(bitmap_of(slot), (LONG)(slot % 32))) {
            TlsSetValue(slot, NULL); /* TlsFree has cleared it in every thread */
            return slot;
        }
    SetLastError(ERROR_NO_MORE_ITEMS);
    return TLS_OUT_OF_INDEXES;
}

WINBOOL WINAPI TlsFree(DWORD slot)
{
    if (slot < TLS_MINIMUM_AVAILABLE + EXPANSION_SLOTS &&
        InterlockedBitTestAndReset(bitmap_of(slot), (LONG)(slot % 32))) {
        NtSetInformationThread(NtCurrentThread(), THREAD_ZERO_TLS_CELL, &slot, sizeof(slot));
        return TRUE;
    }
    SetLastError(ERROR_INVALID_PARAMETER);
    return FALSE;
}

LPVOID WINAPI TlsGetValue(DWORD slot)
{
    if (slot >= TLS_MINIMUM_AVAILABLE + EXPANSION_SLOTS) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    SetLastError(ERROR_SUCCESS); /* documented: NULL may be a value */
    if (slot < TLS_MINIMUM_AVAILABLE)
        return NtCurrentTeb()->TlsSlots[slot];
    PVOID *slots = expansion(FALSE);
    return slots != NULL ? slots[slot - TLS_MINIMUM_AVAILABLE] : NULL;
}

WINBOOL WINAPI TlsSetValue(DWORD slot, LPVOID value)
{
    if (slot >= TLS_MINIMUM_AVAILABLE + EXPANSION_SLOTS) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return FALSE;
    }
    if (slot < TLS_MINIMUM_AVAILABLE) {
        NtCurrentTeb()->TlsSlots[slot] = value;
        return TRUE;
    }
    PVOID *slots = expansion(value != NULL);
    if (slots != NULL)
        slots[slot - TLS_MINIMUM_AVAILABLE] = value;
    else if (value != NULL) {
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return FALSE;
    }
    return TRUE;
}

/* --- fiber-local storage */
DWORD WINAPI FlsAlloc(PFLS_CALLBACK_FUNCTION callback)
{
    ULONG slot;
    return succeeded(RtlFlsAlloc(callback, &slot)) ? slot : FLS_OUT_OF_INDEXES;
}

WINBOOL WINAPI FlsFree(DWORD slot)
{
    return succeeded(RtlFlsFree(slot));
}

PVOID WINAPI FlsGetValue(DWORD slot)
{
    PVOID value = NULL;
    if (succeeded(RtlFlsGetValue(slot, &value)))
        SetLastError(ERROR_SUCCESS);
    return value;
}

WINBOOL WINAPI FlsSetValue(DWORD slot, PVOID value)
{
    return succeeded(RtlFlsSetValue(slot, value));
}
