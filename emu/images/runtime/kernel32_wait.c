/* kernel32: waits on addresses, condition variables, one-time initialization, waitable timers. */
#include "kernel32_runtime.h"

WINBOOL WINAPI WaitOnAddress(volatile VOID *address, PVOID compare, SIZE_T size, DWORD milliseconds)
{
    LARGE_INTEGER interval;
    NTSTATUS status = RtlWaitOnAddress(address, compare, size, wait_interval(milliseconds, &interval));
    return status == STATUS_TIMEOUT ? fails(ERROR_TIMEOUT) : succeeded(status);
}

VOID WINAPI WakeByAddressSingle(PVOID address)
{
    RtlWakeAddressSingle(address);
}

VOID WINAPI WakeByAddressAll(PVOID address)
{
    RtlWakeAddressAll(address);
}

VOID WINAPI WakeAllConditionVariable(PCONDITION_VARIABLE variable)
{
    RtlWakeAllConditionVariable(variable);
}

VOID WINAPI WakeConditionVariable(PCONDITION_VARIABLE variable)
{
    RtlWakeConditionVariable(variable);
}

WINBOOL WINAPI SleepConditionVariableCS(PCONDITION_VARIABLE variable, PCRITICAL_SECTION section, DWORD milliseconds)
{
    LARGE_INTEGER interval;
    NTSTATUS status = RtlSleepConditionVariableCS(variable, section, wait_interval(milliseconds, &interval));
    return status == STATUS_TIMEOUT ? fails(ERROR_TIMEOUT) : succeeded(status);
}

WINBOOL WINAPI SleepConditionVariableSRW(PCONDITION_VARIABLE variable, PSRWLOCK lock, DWORD milliseconds, ULONG flags)
{
    LARGE_INTEGER interval;
    NTSTATUS status = RtlSleepConditionVariableSRW(variable, lock, wait_interval(milliseconds, &interval), flags);
    return status == STATUS_TIMEOUT ? fails(ERROR_TIMEOUT) : succeeded(status);
}

/* --- one-time initialization: flags INIT_ONCE_* are RTL_RUN_ONCE_* */
VOID WINAPI InitOnceInitialize(PINIT_ONCE once)
{
    once->Ptr = NULL;
}

WINBOOL WINAPI InitOnceBeginInitialize(LPINIT_ONCE once, DWORD flags, PBOOL pending, LPVOID *context)
{
    NTSTATUS status = RtlRunOnceBeginInitialize(once, flags, context);
    if (!NT_SUCCESS(status))
        return succeeded(status);
    *pending = status == STATUS_PENDING;
    return TRUE;
}

WINBOOL WINAPI InitOnceComplete(LPINIT_ONCE once, DWORD flags, LPVOID context)
{
    return succeeded(RtlRunOnceComplete(once, flags, context));
}

WINBOOL WINAPI InitOnceExecuteOnce(PINIT_ONCE once, PINIT_ONCE_FN function, PVOID parameter, LPVOID *context)
{
    PVOID made = NULL;
    NTSTATUS status = RtlRunOnceBeginInitialize(once, 0, context);
    if (status != STATUS_PENDING)
        return succeeded(status);
    if (!function(once, parameter, &made)) {
        DWORD error = GetLastError();
        RtlRunOnceComplete(once, INIT_ONCE_INIT_FAILED, NULL);
        return fails(error);
    }
    if (context != NULL)
        *context = made;
    return succeeded(RtlRunOnceComplete(once, 0, made));
}

/* --- objects without a name in their Ex forms */
HANDLE WINAPI CreateSemaphoreExW(LPSECURITY_ATTRIBUTES security, LONG initial, LONG maximum, LPCWSTR name, DWORD flags,
                                 DWORD access)
{
    UNREFERENCED_PARAMETER(access); /* all access is given */
    if (flags != 0) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    return CreateSemaphoreW(security, initial, maximum, name);
}

HANDLE WINAPI CreateSemaphoreExA(LPSECURITY_ATTRIBUTES security, LONG initial, LONG maximum, LPCSTR name, DWORD flags,
                                 DWORD access)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return NULL;
    HANDLE handle = CreateSemaphoreExW(security, initial, maximum, wide.Buffer, flags, access);
    RtlFreeUnicodeString(&wide);
    return handle;
}

HANDLE WINAPI CreateEventExA(LPSECURITY_ATTRIBUTES security, LPCSTR name, DWORD flags, DWORD access)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return NULL;
    HANDLE handle = CreateEventExW(security, wide.Buffer, flags, access);
    RtlFreeUnicodeString(&wide);
    return handle;
}

HANDLE WINAPI CreateMutexExA(LPSECURITY_ATTRIBUTES security, LPCSTR name, DWORD flags, DWORD access)
{
    UNICODE_STRING wide;
    if (!widen(name, &wide))
        return NULL;
    HANDLE handle = CreateMutexExW(security, wide.Buffer, flags, access);
    RtlFreeUnicodeString(&wide);
    return handle;
}

/* --- waitable timers. A name is refused, and so is a completion routine, as there are no asynchronous procedure calls. */
HANDLE WINAPI CreateWaitableTimerExW(LPSECURITY_ATTRIBUTES security, LPCWSTR name, DWORD flags, DWORD access)
{
    OBJECT_ATTRIBUTES attributes;
    HANDLE timer = NULL;
    if (name != NULL) {
        SetLastError(ERROR_NOT_SUPPORTED);
        return NULL;
    }
    InitializeObjectAttributes(&attributes, NULL, security && security->bInheritHandle ? OBJ_INHERIT : 0, NULL, NULL);
    ULONG type = flags & CREATE_WAITABLE_TIMER_MANUAL_RESET ? 0 : 1;
    return succeeded(NtCreateTimer(&timer, access, &attributes, type)) ? timer : NULL;
}

HANDLE WINAPI CreateWaitableTimerW(LPSECURITY_ATTRIBUTES security, WINBOOL manual, LPCWSTR name)
{
    return CreateWaitableTimerExW(security, name, manual ? CREATE_WAITABLE_TIMER_MANUAL_RESET : 0, TIMER_ALL_ACCESS);
}

WINBOOL WINAPI SetWaitableTimer(HANDLE timer, const LARGE_INTEGER *due, LONG period, PTIMERAPCROUTINE routine,
                                LPVOID argument, WINBOOL resume)
{
    UNREFERENCED_PARAMETER(argument);
    if (routine != NULL)
        return fails(ERROR_NOT_SUPPORTED);
    return succeeded(NtSetTimer(timer, (PLARGE_INTEGER)due, NULL, NULL, (BOOLEAN)resume, period, NULL));
}

WINBOOL WINAPI CancelWaitableTimer(HANDLE timer)
{
    return succeeded(NtCancelTimer(timer, NULL));
}
