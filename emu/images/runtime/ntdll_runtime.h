/* What the files of the runtime system's ntdll share. */
#pragma once
#include "ntdll_internal.h"

/* Fields of the TEB of amd64 behind those that ntapi.h declares (docs/format/minidump-threads.md; public symbols). */
#define TEB_POINTER(offset) (*(PVOID *)((PUCHAR)NtCurrentTeb() + (offset)))
#define TEB_TLS_EXPANSION_SLOTS 0x1780
#define TEB_FLS_DATA 0x17C8

/* --- ntdll_tls.c: static thread-local storage (PE format, "The .tls Section") */
NTSTATUS allocate_tls_of_new_modules(void);
NTSTATUS allocate_tls_of_thread(void);
void free_tls_of_thread(void);
void free_tls_of_module(PVOID base);
void call_tls_callbacks(PVOID base, DWORD reason);

/* --- ntdll_fls.c */
void call_fls_callbacks(void);

/* --- ntdll_start.c */
/* Run the start routine of a thread, and return its exit status. */

/* --- system services of the runtime system (phnt) */
NTSTATUS NTAPI NtWaitForAlertByThreadId(PVOID address, PLARGE_INTEGER timeout);
NTSTATUS NTAPI NtAlertThreadByThreadId(HANDLE thread_id);

/* --- ntdll_address_wait.c (phnt) */
NTSTATUS NTAPI RtlWaitOnAddress(const VOID volatile *address, const VOID *compare, SIZE_T size, PLARGE_INTEGER timeout);
VOID NTAPI RtlWakeAddressSingle(PVOID address);
VOID NTAPI RtlWakeAddressAll(PVOID address);
