"""Slim locks, condition variables, waits on addresses, one-time initialization and timers; and their deadlocks."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.images.services import number_of
from dumptruth.emu.process.outcome import Deadlock

from ...marks import needs_compiler
from .win32_programs import output, run

pytestmark = needs_compiler

THREADS = """
static HANDLE start(LPTHREAD_START_ROUTINE routine)
{
    return CreateThread(NULL, 0, routine, NULL, 0, NULL);
}
"""


def test_locks_and_condition_variables_pass_work_between_threads(tmp_path: Path) -> None:
    output(
        tmp_path,
        THREADS
        + """
static SRWLOCK lock = SRWLOCK_INIT;
static CRITICAL_SECTION section;
static CONDITION_VARIABLE filled = CONDITION_VARIABLE_INIT, emptied = CONDITION_VARIABLE_INIT;
static CONDITION_VARIABLE done = CONDITION_VARIABLE_INIT;
static int queue, taken, finished;
static DWORD WINAPI take(void *argument)
{
    (void)argument;
    for (int i = 0; i < 50; i++) {
        AcquireSRWLockExclusive(&lock);
        while (queue == 0)
            CHECK(SleepConditionVariableSRW(&filled, &lock, INFINITE, 0));
        queue--;
        taken++;
        ReleaseSRWLockExclusive(&lock);
        WakeConditionVariable(&emptied);
    }
    EnterCriticalSection(&section);
    finished++;
    LeaveCriticalSection(&section);
    WakeAllConditionVariable(&done);
    return 0;
}
static DWORD WINAPI look(void *argument)
{
    (void)argument;
    for (int i = 0; i < 50; i++) {
        AcquireSRWLockShared(&lock);
        CHECK(queue >= 0 && queue <= 3);
        ReleaseSRWLockShared(&lock);
    }
    return 0;
}
int mainCRTStartup(void)
{
    InitializeCriticalSectionAndSpinCount(&section, 4000);
    HANDLE threads[4] = {start(take), start(take), start(look), start(look)};
    for (int i = 0; i < 100; i++) {
        AcquireSRWLockExclusive(&lock);
        while (queue == 3)
            SleepConditionVariableSRW(&emptied, &lock, INFINITE, 0);
        queue++;
        ReleaseSRWLockExclusive(&lock);
        WakeConditionVariable(&filled);
    }
    EnterCriticalSection(&section);
    while (finished < 2)
        SleepConditionVariableCS(&done, &section, INFINITE);
    LeaveCriticalSection(&section);
    WaitForMultipleObjects(4, threads, TRUE, INFINITE);
    CHECK(taken == 100 && queue == 0 && lock.Ptr == NULL);
    ULONGLONG before = GetTickCount64();
    AcquireSRWLockShared(&lock);
    CHECK(!SleepConditionVariableSRW(&done, &lock, 50, CONDITION_VARIABLE_LOCKMODE_SHARED));
    CHECK(GetLastError() == ERROR_TIMEOUT && GetTickCount64() - before >= 50);
    CHECK(!TryAcquireSRWLockExclusive(&lock) && TryAcquireSRWLockShared(&lock));
    ReleaseSRWLockShared(&lock);
    ReleaseSRWLockShared(&lock);
    CHECK(TryAcquireSRWLockExclusive(&lock) && !TryAcquireSRWLockShared(&lock));
    return 0;
}
""",
    )


def test_one_time_initialization_runs_once_in_both_forms(tmp_path: Path) -> None:
    output(
        tmp_path,
        THREADS
        + """
static INIT_ONCE once = INIT_ONCE_STATIC_INIT, other = INIT_ONCE_STATIC_INIT, async = INIT_ONCE_STATIC_INIT;
static LONG calls;
static BOOL CALLBACK initialize(PINIT_ONCE o, PVOID parameter, PVOID *context)
{
    (void)o, (void)parameter;
    InterlockedIncrement(&calls);
    Sleep(5);
    *context = (PVOID)0x40;
    return TRUE;
}
static DWORD WINAPI use(void *argument)
{
    PVOID context = NULL;
    (void)argument;
    CHECK(InitOnceExecuteOnce(&once, initialize, NULL, &context) && context == (PVOID)0x40);
    return 0;
}
int mainCRTStartup(void)
{
    HANDLE threads[3] = {start(use), start(use), start(use)};
    WaitForMultipleObjects(3, threads, TRUE, INFINITE);
    CHECK(calls == 1);
    BOOL pending;
    PVOID context;
    CHECK(!InitOnceBeginInitialize(&other, INIT_ONCE_CHECK_ONLY, &pending, &context));
    CHECK(InitOnceBeginInitialize(&other, 0, &pending, &context) && pending);
    CHECK(InitOnceComplete(&other, INIT_ONCE_INIT_FAILED, NULL));
    CHECK(InitOnceBeginInitialize(&other, 0, &pending, &context) && pending);
    CHECK(InitOnceComplete(&other, 0, (PVOID)0x80));
    CHECK(InitOnceBeginInitialize(&other, 0, &pending, &context) && !pending && context == (PVOID)0x80);
    CHECK(InitOnceBeginInitialize(&async, INIT_ONCE_ASYNC, &pending, &context) && pending);
    CHECK(InitOnceBeginInitialize(&async, INIT_ONCE_ASYNC, &pending, &context) && pending);
    CHECK(InitOnceComplete(&async, INIT_ONCE_ASYNC, (PVOID)0x10));
    CHECK(!InitOnceComplete(&async, INIT_ONCE_ASYNC, (PVOID)0x20));
    CHECK(InitOnceBeginInitialize(&async, INIT_ONCE_ASYNC, &pending, &context) && context == (PVOID)0x10);
    return 0;
}
""",
    )


def test_a_wait_on_an_address_ends_by_a_wake_or_by_time(tmp_path: Path) -> None:
    output(
        tmp_path,
        THREADS
        + """
static volatile char flag;
static volatile LONG woken;
static DWORD WINAPI waiter(void *argument)
{
    char zero = 0;
    (void)argument;
    while (flag == 0)
        CHECK(WaitOnAddress(&flag, &zero, 1, INFINITE));
    InterlockedIncrement(&woken);
    return 0;
}
int mainCRTStartup(void)
{
    char zero = 0, one = 1;
    HANDLE threads[2] = {start(waiter), start(waiter)};
    CHECK(WaitOnAddress(&flag, &one, 1, INFINITE)); /* it differs already */
    CHECK(!WaitOnAddress(&flag, &zero, 1, 20) && GetLastError() == ERROR_TIMEOUT);
    CHECK(!WaitOnAddress(&flag, &zero, 3, 20) && GetLastError() == ERROR_INVALID_PARAMETER);
    Sleep(200); /* both wait now */
    CHECK(woken == 0);
    flag = 1;
    WakeByAddressSingle((PVOID)&flag);
    Sleep(200);
    CHECK(woken == 1);
    WakeByAddressAll((PVOID)&flag);
    WaitForMultipleObjects(2, threads, TRUE, INFINITE);
    HANDLE timer = CreateWaitableTimerW(NULL, FALSE, NULL);
    LARGE_INTEGER due = {.QuadPart = -300000};
    CHECK(SetWaitableTimer(timer, &due, 10, NULL, NULL, FALSE));
    CHECK(WaitForSingleObject(timer, 29) == WAIT_TIMEOUT);
    CHECK(WaitForSingleObject(timer, 20) == WAIT_OBJECT_0);
    CHECK(WaitForSingleObject(timer, 11) == WAIT_OBJECT_0);
    CHECK(CancelWaitableTimer(timer) && WaitForSingleObject(timer, 100) == WAIT_TIMEOUT);
    return 0;
}
""",
    )


ALERT = number_of("NtWaitForAlertByThreadId")
LOCKED_OUT = {
    "slim lock": ("AcquireSRWLockExclusive(&lock); AcquireSRWLockExclusive(&lock);", ALERT),
    "condition variable": (
        "AcquireSRWLockExclusive(&lock); SleepConditionVariableSRW(&variable, &lock, INFINITE, 0);",
        ALERT,
    ),
    "critical section": ("EnterCriticalSection(&section);", number_of("NtWaitForSingleObject")),
    "address": ("WaitOnAddress(&taken, (PVOID)&zero, 4, INFINITE);", ALERT),
}


@pytest.mark.parametrize("kind", LOCKED_OUT)
def test_threads_that_wait_for_ever_are_a_deadlock(tmp_path: Path, kind: str) -> None:
    code, service = LOCKED_OUT[kind]
    process, outcome = run(
        tmp_path,
        """
static SRWLOCK lock = SRWLOCK_INIT;
static CONDITION_VARIABLE variable = CONDITION_VARIABLE_INIT;
static CRITICAL_SECTION section;
static volatile LONG taken, zero;
static DWORD WINAPI worker(void *argument)
{
    (void)argument;
    """
        + code
        + """
    return 0;
}
int mainCRTStartup(void)
{
    InitializeCriticalSection(&section);
    EnterCriticalSection(&section);
    HANDLE thread = CreateThread(NULL, 0, worker, NULL, 0, NULL);
    WaitForSingleObject(thread, INFINITE);
    return 0;
}
""",
    )
    assert isinstance(outcome, Deadlock), outcome
    process.cpu.restore(process.scheduler.threads[1].state)
    assert process.cpu.get("Rax") == service  # as in a dump of Windows: RAX holds the number of the service
