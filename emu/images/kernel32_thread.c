/* kernel32: threads, the process, thread-local storage. */
#include "kernel32_internal.h"

HANDLE WINAPI CreateThread(LPSECURITY_ATTRIBUTES security, SIZE_T stack, LPTHREAD_START_ROUTINE start, LPVOID parameter,
                           DWORD flags, LPDWORD id)
{
    OBJECT_ATTRIBUTES attributes;
    HANDLE thread;
    BOOL reserve = (flags & STACK_SIZE_PARAM_IS_A_RESERVATION) != 0;
    InitializeObjectAttributes(&attributes, NULL, security && security->bInheritHandle ? OBJ_INHERIT : 0, NULL, NULL);
    NTSTATUS status =
        NtCreateThreadEx(&thread, THREAD_ALL_ACCESS, &attributes, NtCurrentProcess(), start, parameter,
                         flags & CREATE_SUSPENDED ? 1 : 0, 0, reserve ? 0 : stack, reserve ? stack : 0, NULL);
    if (!succeeded(status))
        return NULL;
    if (id != NULL)
        *id = GetThreadId(thread);
    return thread;
}

VOID WINAPI ExitThread(DWORD code)
{
    RtlExitUserThread((NTSTATUS)code);
}

VOID WINAPI ExitProcess(UINT code)
{
    RtlExitUserProcess((NTSTATUS)code);
}

VOID WINAPI FreeLibraryAndExitThread(HMODULE module, DWORD code)
{
    LdrUnloadDll(module);
    RtlExitUserThread((NTSTATUS)code);
}

WINBOOL WINAPI TerminateThread(HANDLE thread, DWORD code)
{
    return succeeded(NtTerminateThread(thread, (NTSTATUS)code));
}

WINBOOL WINAPI TerminateProcess(HANDLE process, UINT code)
{
    return succeeded(NtTerminateProcess(process, (NTSTATUS)code));
}

DWORD WINAPI ResumeThread(HANDLE thread)
{
    ULONG previous;
    return succeeded(NtResumeThread(thread, &previous)) ? previous : (DWORD)-1;
}

DWORD WINAPI SuspendThread(HANDLE thread)
{
    ULONG previous;
    return succeeded(NtSuspendThread(thread, &previous)) ? previous : (DWORD)-1;
}

HANDLE WINAPI GetCurrentThread(VOID)
{
    return NtCurrentThread();
}

HANDLE WINAPI GetCurrentProcess(VOID)
{
    return NtCurrentProcess();
}

DWORD WINAPI GetCurrentThreadId(VOID)
{
    return (DWORD)(ULONG_PTR)NtCurrentTeb()->ClientId.UniqueThread;
}

DWORD WINAPI GetCurrentProcessId(VOID)
{
    return (DWORD)(ULONG_PTR)NtCurrentTeb()->ClientId.UniqueProcess;
}

static BOOL basic_information(HANDLE thread, THREAD_BASIC_INFORMATION *information)
{
    return succeeded(
        NtQueryInformationThread(thread, THREAD_BASIC_INFORMATION_CLASS, information, sizeof(*information), NULL));
}

DWORD WINAPI GetThreadId(HANDLE thread)
{
    THREAD_BASIC_INFORMATION information;
    return basic_information(thread, &information) ? (DWORD)(ULONG_PTR)information.ClientId.UniqueThread : 0;
}

DWORD WINAPI GetProcessIdOfThread(HANDLE thread)
{
    THREAD_BASIC_INFORMATION information;
    return basic_information(thread, &information) ? (DWORD)(ULONG_PTR)information.ClientId.UniqueProcess : 0;
}

WINBOOL WINAPI GetExitCodeThread(HANDLE thread, LPDWORD code)
{
    THREAD_BASIC_INFORMATION information;
    if (!basic_information(thread, &information))
        return FALSE;
    *code = (DWORD)information.ExitStatus;
    return TRUE;
}

DWORD WINAPI GetProcessId(HANDLE process)
{
    PROCESS_BASIC_INFORMATION information;
    NTSTATUS status =
        NtQueryInformationProcess(process, ProcessBasicInformation, &information, sizeof(information), NULL);
    return succeeded(status) ? (DWORD)information.UniqueProcessId : 0;
}

WINBOOL WINAPI GetThreadTimes(HANDLE thread, LPFILETIME creation, LPFILETIME exit, LPFILETIME kernel, LPFILETIME user)
{
    FILETIME times[4]; /* KERNEL_USER_TIMES: CreateTime, ExitTime, KernelTime, UserTime */
    if (!succeeded(NtQueryInformationThread(thread, THREAD_TIMES_CLASS, times, sizeof(times), NULL)))
        return FALSE;
    *creation = times[0];
    *exit = times[1];
    *kernel = times[2];
    *user = times[3];
    return TRUE;
}

WINBOOL WINAPI GetProcessTimes(HANDLE process, LPFILETIME creation, LPFILETIME exit, LPFILETIME kernel, LPFILETIME user)
{
    FILETIME times[4];
    if (!succeeded(NtQueryInformationProcess(process, (PROCESSINFOCLASS)4, times, sizeof(times), NULL)))
        return FALSE;
    *creation = times[0];
    *exit = times[1];
    *kernel = times[2];
    *user = times[3];
    return TRUE;
}

WINBOOL WINAPI SetThreadPriority(HANDLE thread, int priority)
{
    LONG increment = priority;
    if (priority == THREAD_PRIORITY_TIME_CRITICAL || priority == THREAD_PRIORITY_IDLE)
        increment = priority > 0 ? 16 : -16; /* saturated */
    return succeeded(NtSetInformationThread(thread, THREAD_BASE_PRIORITY_CLASS, &increment, sizeof(increment)));
}

int WINAPI GetThreadPriority(HANDLE thread)
{
    THREAD_BASIC_INFORMATION information;
    if (!basic_information(thread, &information))
        return THREAD_PRIORITY_ERROR_RETURN;
    if (information.BasePriority == 16)
        return THREAD_PRIORITY_TIME_CRITICAL;
    return information.BasePriority == -16 ? THREAD_PRIORITY_IDLE : information.BasePriority;
}

DWORD_PTR WINAPI SetThreadAffinityMask(HANDLE thread, DWORD_PTR mask)
{
    THREAD_BASIC_INFORMATION information;
    if (!basic_information(thread, &information))
        return 0;
    NTSTATUS status = NtSetInformationThread(thread, THREAD_AFFINITY_MASK_CLASS, &mask, sizeof(mask));
    return succeeded(status) ? information.AffinityMask : 0;
}

HRESULT WINAPI SetThreadDescription(HANDLE thread, PCWSTR description)
{
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, description);
    NTSTATUS status = NtSetInformationThread(thread, THREAD_NAME_INFORMATION_CLASS, &name, sizeof(name));
    return NT_SUCCESS(status) ? S_OK : HRESULT_FROM_NT(status);
}

HRESULT WINAPI GetThreadDescription(HANDLE thread, PWSTR *description)
{
    ULONG size = sizeof(UNICODE_STRING) + 0x100;
    *description = NULL;
    for (;;) {
        PUNICODE_STRING name = LocalAlloc(0, size);
        if (name == NULL)
            return E_OUTOFMEMORY;
        ULONG needed = 0;
        NTSTATUS status = NtQueryInformationThread(thread, THREAD_NAME_INFORMATION_CLASS, name, size, &needed);
        if (NT_SUCCESS(status)) { /* the text becomes the block's beginning, for LocalFree */
            USHORT length = name->Length;
            memmove(name, name->Buffer, length);
            *(PWSTR)((PUCHAR)name + length) = 0;
            *description = (PWSTR)name;
            return S_OK;
        }
        LocalFree(name);
        if (needed + sizeof(WCHAR) <= size)
            return HRESULT_FROM_NT(status);
        size = needed + sizeof(WCHAR);
    }
}

WINBOOL WINAPI SwitchToThread(VOID)
{
    return NtYieldExecution() == STATUS_SUCCESS;
}

DWORD WINAPI SleepEx(DWORD milliseconds, WINBOOL alertable)
{
    LARGE_INTEGER interval;
    if (wait_interval(milliseconds, &interval) == NULL)
        interval.QuadPart = MINLONGLONG; /* for ever */
    NTSTATUS status = NtDelayExecution((BOOLEAN)alertable, &interval);
    return status == STATUS_USER_APC ? WAIT_IO_COMPLETION : 0;
}

VOID WINAPI Sleep(DWORD milliseconds)
{
    SleepEx(milliseconds, FALSE);
}

/* --- thread-local storage: the 64 slots of the TEB, given out by the PEB's bitmap */
DWORD WINAPI TlsAlloc(VOID)
{
    PPEB peb = NtCurrentPeb();
    for (DWORD slot = 0; slot < TLS_MINIMUM_AVAILABLE; slot++)
        if (!InterlockedBitTestAndSet(&peb->TlsBitmapBits[slot / 32], (LONG)(slot % 32))) {
            NtCurrentTeb()->TlsSlots[slot] = NULL;
            return slot;
        }
    SetLastError(ERROR_NO_MORE_ITEMS);
    return TLS_OUT_OF_INDEXES;
}

WINBOOL WINAPI TlsFree(DWORD slot)
{
    if (slot < TLS_MINIMUM_AVAILABLE &&
        InterlockedBitTestAndReset(&NtCurrentPeb()->TlsBitmapBits[slot / 32], (LONG)(slot % 32)))
        return TRUE;
    SetLastError(ERROR_INVALID_PARAMETER);
    return FALSE;
}

LPVOID WINAPI TlsGetValue(DWORD slot)
{
    if (slot >= TLS_MINIMUM_AVAILABLE) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    SetLastError(ERROR_SUCCESS); /* documented: NULL may be a value */
    return NtCurrentTeb()->TlsSlots[slot];
}

WINBOOL WINAPI TlsSetValue(DWORD slot, LPVOID value)
{
    if (slot >= TLS_MINIMUM_AVAILABLE) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return FALSE;
    }
    NtCurrentTeb()->TlsSlots[slot] = value;
    return TRUE;
}
