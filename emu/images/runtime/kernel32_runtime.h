/* What the files of the runtime system's kernel32 share. */
#pragma once
#include "kernel32_internal.h"

#define TEB_POINTER(offset) (*(PVOID *)((PUCHAR)NtCurrentTeb() + (offset)))
#define TEB_TLS_EXPANSION_SLOTS 0x1780 /* TEB of amd64 (public symbols) */

/* Set the last error; FALSE. */
static inline BOOL fails(DWORD error)
{
    SetLastError(error);
    return FALSE;
}

/* Copy a text of `length` characters with its end. The count without the end; if it does not fit, the room that it
 * needs, as most functions with a buffer answer. */
DWORD give_wide(PCWSTR text, DWORD length, LPWSTR buffer, DWORD room);
/* The same, in the ANSI code page. */
DWORD give_narrow(PCWSTR text, DWORD length, LPSTR buffer, DWORD room);

/* An NT path and attributes for it. FALSE and a last error; the caller frees by free_path. */
typedef struct {
    UNICODE_STRING name;
    OBJECT_ATTRIBUTES attributes;
} NT_PATH;
BOOL make_path(LPCWSTR path, NT_PATH *made);
void free_path(NT_PATH *made);

/* --- ntdll.dll of the runtime system (phnt, ntifs.h) */
NTSTATUS NTAPI RtlFlsAlloc(PFLS_CALLBACK_FUNCTION callback, PULONG slot);
NTSTATUS NTAPI RtlFlsFree(ULONG slot);
NTSTATUS NTAPI RtlFlsGetValue(ULONG slot, PVOID *value);
NTSTATUS NTAPI RtlFlsSetValue(ULONG slot, PVOID value);
NTSTATUS NTAPI RtlWaitOnAddress(const VOID volatile *address, const VOID *compare, SIZE_T size, PLARGE_INTEGER timeout);
VOID NTAPI RtlWakeAddressSingle(PVOID address);
VOID NTAPI RtlWakeAddressAll(PVOID address);
NTSTATUS NTAPI RtlSleepConditionVariableCS(PRTL_CONDITION_VARIABLE variable, PRTL_CRITICAL_SECTION section,
                                           PLARGE_INTEGER timeout);
NTSTATUS NTAPI RtlSleepConditionVariableSRW(PRTL_CONDITION_VARIABLE variable, PRTL_SRWLOCK lock, PLARGE_INTEGER timeout,
                                            ULONG flags);
VOID NTAPI RtlWakeConditionVariable(PRTL_CONDITION_VARIABLE variable);
VOID NTAPI RtlWakeAllConditionVariable(PRTL_CONDITION_VARIABLE variable);
NTSTATUS NTAPI RtlRunOnceBeginInitialize(PRTL_RUN_ONCE once, ULONG flags, PVOID *context);
NTSTATUS NTAPI RtlRunOnceComplete(PRTL_RUN_ONCE once, ULONG flags, PVOID context);
/* The full path of a DOS path: the characters with the end, 0 for an invalid path. See ntdll_path.c. */
ULONG NTAPI RtlGetFullPathName_U(PCWSTR path, ULONG size, PWSTR buffer, PWSTR *file_part);
NTSTATUS NTAPI NtQueryFullAttributesFile(POBJECT_ATTRIBUTES attributes, PVOID information);
NTSTATUS NTAPI NtFlushBuffersFile(HANDLE file, PIO_STATUS_BLOCK iosb);
NTSTATUS NTAPI NtQueryObject(HANDLE handle, OBJECT_INFORMATION_CLASS information_class, PVOID buffer, ULONG length,
                             PULONG returned);
NTSTATUS NTAPI NtSetInformationObject(HANDLE handle, OBJECT_INFORMATION_CLASS information_class, PVOID buffer,
                                      ULONG length);
NTSTATUS NTAPI NtOpenProcess(PHANDLE process, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes, CLIENT_ID *client);
NTSTATUS NTAPI NtOpenThread(PHANDLE thread, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes, CLIENT_ID *client);
NTSTATUS NTAPI NtCreateTimer(PHANDLE timer, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes, ULONG type);
NTSTATUS NTAPI NtSetTimer(HANDLE timer, PLARGE_INTEGER due, PVOID apc, PVOID context, BOOLEAN resume, LONG period,
                          PBOOLEAN previous);
NTSTATUS NTAPI NtCancelTimer(HANDLE timer, PBOOLEAN state);
