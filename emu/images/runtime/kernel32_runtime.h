/* What the files of the runtime system's kernel32 share. */
#pragma once
#include "kernel32_internal.h"

#define TEB_POINTER(offset) (*(PVOID *)((PUCHAR)NtCurrentTeb() + (offset)))
#define TEB_TLS_EXPANSION_SLOTS 0x1780 /* TEB of amd64 (public symbols) */

/* --- ntdll.dll of the runtime system (phnt) */
NTSTATUS NTAPI RtlFlsAlloc(PFLS_CALLBACK_FUNCTION callback, PULONG slot);
NTSTATUS NTAPI RtlFlsFree(ULONG slot);
NTSTATUS NTAPI RtlFlsGetValue(ULONG slot, PVOID *value);
NTSTATUS NTAPI RtlFlsSetValue(ULONG slot, PVOID value);
