/* Threads, and what the runtime asks of the process. */
#include "ucrt.h"

static DWORD WINAPI run_thread(void *parameter)
{
    thread_data *data = this_thread();
    thread_data *given = parameter;
    data->start = given->start;
    data->argument = given->argument;
    free(given);
    ExitThread(data->start(data->argument));
}

uintptr_t _beginthreadex(void *security, unsigned stack, unsigned (*start)(void *), void *argument, unsigned flags,
                         unsigned *id)
{
    REQUIRE(start != NULL, EINVAL, 0);
    thread_data *given = calloc(1, sizeof(*given));
    if (given == NULL)
        return 0;
    given->start = start;
    given->argument = argument;
    DWORD number;
    HANDLE thread = CreateThread(security, stack, run_thread, given, flags, &number);
    if (thread == NULL) {
        map_error(GetLastError());
        free(given);
    } else if (id != NULL)
        *id = number;
    return (uintptr_t)thread;
}

typedef struct plain_start {
    void (*start)(void *);
    void *argument;
    HANDLE handle;
} plain_start;

static unsigned run_plain(void *parameter)
{
    plain_start given = *(plain_start *)parameter;
    free(parameter);
    given.start(given.argument);
    CloseHandle(given.handle); /* as documented: _endthread closes the handle */
    return 0;
}

uintptr_t _beginthread(void (*start)(void *), unsigned stack, void *argument)
{
    REQUIRE(start != NULL, EINVAL, (uintptr_t)-1);
    plain_start *given = calloc(1, sizeof(*given));
    if (given == NULL)
        return (uintptr_t)-1;
    given->start = start;
    given->argument = argument;
    HANDLE thread = (HANDLE)_beginthreadex(NULL, stack, run_plain, given, CREATE_SUSPENDED, NULL);
    if (thread == NULL)
        return (uintptr_t)-1;
    given->handle = thread;
    ResumeThread(thread);
    return (uintptr_t)thread;
}

void _endthreadex(unsigned status)
{
    ExitThread(status);
}

void _endthread(void)
{
    ExitThread(0);
}

int _getpid(void)
{
    return (int)GetCurrentProcessId();
}

void _sleep(unsigned long milliseconds)
{
    Sleep(milliseconds);
}

/* There is no command interpreter: system(NULL) says so, as documented. */
int system(const char *command)
{
    if (command == NULL)
        return 0;
    *_errno() = ENOENT;
    return -1;
}

int _wsystem(const wchar_t *command)
{
    if (command == NULL)
        return 0;
    *_errno() = ENOENT;
    return -1;
}

/* --- the locks that old start-up code of programs takes */
static CRITICAL_SECTION numbered_locks[64];
static LONG lock_states[64];

static CRITICAL_SECTION *numbered_lock(int number)
{
    unsigned i = (unsigned)number & 63;
    for (;;) {
        LONG state = InterlockedCompareExchange(&lock_states[i], 1, 0);
        if (state == 2)
            return &numbered_locks[i];
        if (state == 0) {
            InitializeCriticalSection(&numbered_locks[i]);
            InterlockedExchange(&lock_states[i], 2);
        } else
            SwitchToThread(); /* another thread makes it */
    }
}

void _lock(int number)
{
    EnterCriticalSection(numbered_lock(number));
}

void _unlock(int number)
{
    LeaveCriticalSection(numbered_lock(number));
}
