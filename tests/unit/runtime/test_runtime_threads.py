"""Threads of a program, with the locks, objects and thread-local storage of kernel32."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...marks import needs_compiler
from .guest_programs import passes

pytestmark = [needs_compiler, pytest.mark.usefixtures("precompiled_headers")]


def test_threads_share_locks_events_semaphores_and_thread_local_storage(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        static CRITICAL_SECTION section;
        static SRWLOCK lock = SRWLOCK_INIT;
        static CONDITION_VARIABLE changed = CONDITION_VARIABLE_INIT;
        static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
        static HANDLE semaphore, mutex;
        static DWORD slot;
        static unsigned plain, locked, initialized, done;
        static BOOL CALLBACK initialize(PINIT_ONCE o, PVOID parameter, PVOID *context)
        {
            initialized++;
            Sleep(2);
            *context = (PVOID)0x1230;
            return TRUE;
        }
        static DWORD WINAPI work(void *parameter)
        {
            PVOID context;
            CHECK(TlsGetValue(slot) == NULL && TlsSetValue(slot, parameter));
            CHECK(InitOnceExecuteOnce(&once, initialize, NULL, &context) && context == (PVOID)0x1230);
            for (int i = 0; i < 400; i++) {
                EnterCriticalSection(&section);
                EnterCriticalSection(&section);
                unsigned seen = plain;
                for (volatile int spin = 0; spin < 20; spin++)
                    ;
                plain = seen + 1;
                LeaveCriticalSection(&section);
                LeaveCriticalSection(&section);
                AcquireSRWLockExclusive(&lock);
                locked++;
                ReleaseSRWLockExclusive(&lock);
            }
            CHECK(WaitForSingleObject(mutex, INFINITE) == WAIT_OBJECT_0 && ReleaseMutex(mutex));
            CHECK(ReleaseSemaphore(semaphore, 1, NULL));
            CHECK(TlsGetValue(slot) == parameter);
            AcquireSRWLockExclusive(&lock);
            done++;
            ReleaseSRWLockExclusive(&lock);
            WakeConditionVariable(&changed);
            return (DWORD)(ULONG_PTR)parameter;
        }
        int mainCRTStartup(void)
        {
            HANDLE threads[4];
            DWORD code, id;
            InitializeCriticalSection(&section);
            slot = TlsAlloc();
            CHECK(slot != TLS_OUT_OF_INDEXES);
            semaphore = CreateSemaphoreA(NULL, 0, 10, NULL);
            mutex = CreateMutexA(NULL, TRUE, "Local\\\\m");
            CHECK(semaphore && mutex && GetLastError() == 0);
            HANDLE same = CreateMutexW(NULL, FALSE, L"m");
            CHECK(same && GetLastError() == ERROR_ALREADY_EXISTS && CloseHandle(same));
            for (ULONG_PTR i = 0; i < 4; i++) {
                threads[i] = CreateThread(NULL, 0, work, (void *)(i + 10), 0, &id);
                CHECK(threads[i] && GetThreadId(threads[i]) == id && id != GetCurrentThreadId());
            }
            CHECK(WaitForMultipleObjects(4, threads, FALSE, 20) == WAIT_TIMEOUT);
            CHECK(GetExitCodeThread(threads[0], &code) && code == STILL_ACTIVE);
            CHECK(ReleaseMutex(mutex));
            AcquireSRWLockExclusive(&lock);
            while (done != 4)
                CHECK(SleepConditionVariableSRW(&changed, &lock, 60000, 0));
            ReleaseSRWLockExclusive(&lock);
            CHECK(WaitForMultipleObjects(4, threads, TRUE, INFINITE) == WAIT_OBJECT_0);
            for (int i = 0; i < 4; i++) {
                CHECK(GetExitCodeThread(threads[i], &code) && code == (DWORD)i + 10);
                CHECK(WaitForSingleObject(semaphore, 0) == WAIT_OBJECT_0);
            }
            CHECK(WaitForSingleObject(semaphore, 0) == WAIT_TIMEOUT);
            CHECK(plain == 1600 && locked == 1600 && initialized == 1);
            CHECK(!ReleaseMutex(mutex) && GetLastError() == ERROR_NOT_OWNER);
            CHECK(TryAcquireSRWLockShared(&lock) && TryAcquireSRWLockShared(&lock));
            CHECK(lock.Ptr == (PVOID)0x21 && !TryAcquireSRWLockExclusive(&lock));
            ReleaseSRWLockShared(&lock);
            ReleaseSRWLockShared(&lock);
            CHECK(lock.Ptr == NULL && TlsFree(slot) && !TlsFree(slot));
            CHECK(TryEnterCriticalSection(&section));
            LeaveCriticalSection(&section);
            CHECK(section.LockCount == -1 && section.RecursionCount == 0 && section.OwningThread == NULL);
            DeleteCriticalSection(&section);
            PWSTR name;
            CHECK(SUCCEEDED(SetThreadDescription(GetCurrentThread(), L"a name")));
            CHECK(SUCCEEDED(GetThreadDescription(GetCurrentThread(), &name)) && lstrcmpW(name, L"a name") == 0);
            LocalFree(name);
            CHECK(SetThreadPriority(threads[0], 2) || GetLastError() != 0);
            HANDLE copy;
            CHECK(DuplicateHandle(GetCurrentProcess(), semaphore, GetCurrentProcess(), &copy, 0, FALSE, 2));
            CHECK(copy != semaphore && CloseHandle(semaphore) && ReleaseSemaphore(copy, 1, NULL));
            CHECK(!CloseHandle(semaphore) && GetLastError() == ERROR_INVALID_HANDLE);
            return 0;
        }
        """,
    )
