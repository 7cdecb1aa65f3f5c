"""The thread pool of kernel32."""

from __future__ import annotations

from pathlib import Path

from ...marks import needs_compiler
from .win32_programs import output

pytestmark = needs_compiler


def test_work_timers_and_waits_run_on_workers(tmp_path: Path) -> None:
    output(
        tmp_path,
        """
static LONG simple, worked, ticks, waited, timed_out;
static HANDLE done, signal;
static CRITICAL_SECTION section;
static VOID CALLBACK on_simple(PTP_CALLBACK_INSTANCE instance, PVOID context)
{
    CHECK(context == (PVOID)7);
    InterlockedIncrement(&simple);
    SetEventWhenCallbackReturns(instance, done);
}
static VOID CALLBACK on_work(PTP_CALLBACK_INSTANCE instance, PVOID context, PTP_WORK work)
{
    (void)instance, (void)work;
    Sleep(3);
    InterlockedAdd(&worked, *(LONG *)context);
}
static VOID CALLBACK on_timer(PTP_CALLBACK_INSTANCE instance, PVOID context, PTP_TIMER timer)
{
    (void)instance, (void)context, (void)timer;
    InterlockedIncrement(&ticks);
}
static VOID CALLBACK on_wait(PTP_CALLBACK_INSTANCE instance, PVOID context, PTP_WAIT wait, TP_WAIT_RESULT result)
{
    (void)instance, (void)context, (void)wait;
    InterlockedIncrement(result == WAIT_OBJECT_0 ? &waited : &timed_out);
}
static DWORD WINAPI on_item(void *context)
{
    SetEvent(context);
    return 0;
}
int mainCRTStartup(void)
{
    LONG two = 2;
    done = CreateEventW(NULL, FALSE, FALSE, NULL);
    signal = CreateEventW(NULL, TRUE, FALSE, NULL);
    CHECK(TrySubmitThreadpoolCallback(on_simple, (PVOID)7, NULL));
    CHECK(WaitForSingleObject(done, INFINITE) == WAIT_OBJECT_0 && simple == 1);
    CHECK(QueueUserWorkItem(on_item, done, 0) && WaitForSingleObject(done, INFINITE) == WAIT_OBJECT_0);
    PTP_WORK work = CreateThreadpoolWork(on_work, &two, NULL);
    for (int i = 0; i < 5; i++)
        SubmitThreadpoolWork(work);
    WaitForThreadpoolWorkCallbacks(work, FALSE);
    CHECK(worked == 10);
    for (int i = 0; i < 40; i++)
        SubmitThreadpoolWork(work);
    WaitForThreadpoolWorkCallbacks(work, TRUE);
    CHECK(worked <= 90);
    CloseThreadpoolWork(work);
    PTP_TIMER timer = CreateThreadpoolTimer(on_timer, NULL, NULL);
    LARGE_INTEGER due = {.QuadPart = -200000};
    FILETIME time = {due.LowPart, (DWORD)due.HighPart};
    SetThreadpoolTimer(timer, &time, 100, 0);
    CHECK(IsThreadpoolTimerSet(timer));
    Sleep(350);
    SetThreadpoolTimer(timer, NULL, 0, 0);
    WaitForThreadpoolTimerCallbacks(timer, TRUE);
    LONG seen = ticks;
    CHECK(!IsThreadpoolTimerSet(timer) && seen >= 3 && seen <= 4);
    Sleep(300);
    CHECK(ticks == seen);
    CloseThreadpoolTimer(timer);
    PTP_WAIT wait = CreateThreadpoolWait(on_wait, NULL, NULL);
    SetThreadpoolWait(wait, signal, &time);
    Sleep(200);
    CHECK(timed_out == 1 && waited == 0);
    SetThreadpoolWait(wait, signal, NULL);
    SetEvent(signal);
    Sleep(200);
    WaitForThreadpoolWaitCallbacks(wait, FALSE);
    CHECK(waited == 1 && timed_out == 1);
    CloseThreadpoolWait(wait);
    return 0;
}
""",
    )


def test_interlocked_lists_are_last_in_first_out(tmp_path: Path) -> None:
    output(
        tmp_path,
        """
static SLIST_HEADER list;
static struct { SLIST_ENTRY entry; int value; } __attribute__((aligned(16))) items[100];
static LONG popped;
static DWORD WINAPI pop(void *argument)
{
    (void)argument;
    while (InterlockedPopEntrySList(&list) != NULL)
        InterlockedIncrement(&popped);
    return 0;
}
int mainCRTStartup(void)
{
    InitializeSListHead(&list);
    CHECK(InterlockedPopEntrySList(&list) == NULL);
    for (int i = 0; i < 100; i++)
        CHECK(InterlockedPushEntrySList(&list, &items[i].entry) == (i ? &items[i - 1].entry : NULL));
    CHECK(QueryDepthSList(&list) == 100 && InterlockedPopEntrySList(&list) == &items[99].entry);
    HANDLE threads[3];
    for (int i = 0; i < 3; i++)
        threads[i] = CreateThread(NULL, 0, pop, NULL, 0, NULL);
    WaitForMultipleObjects(3, threads, TRUE, INFINITE);
    CHECK(popped == 99 && QueryDepthSList(&list) == 0 && InterlockedFlushSList(&list) == NULL);
    CHECK(DecodePointer(EncodePointer(&list)) == &list && EncodePointer(&list) != &list);
    return 0;
}
""",
    )
