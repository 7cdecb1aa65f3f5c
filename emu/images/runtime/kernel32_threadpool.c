/* kernel32: the thread pool of the process (threadpoolapiset.h). Every environment uses it: pools of a program's own are
   only names. Workers run the callbacks. One more thread waits for timers and handles, and queues their callbacks. */
#include "kernel32_runtime.h"

#define MOST_WORKERS 16
#define MOST_WAITS (MAXIMUM_WAIT_OBJECTS - 1)

typedef enum { SIMPLE, WORK_ITEM, WORK, TIMER, WAIT } KIND;

typedef struct OBJECT {
    KIND kind;
    PVOID callback, context;
    struct OBJECT *next_watched; /* timers and waits that are set */
    BOOL set, closed;
    LONG pending, running;
    LONG64 due;     /* a system time; MAXLONG64: never */
    DWORD period;   /* of a timer, in milliseconds */
    HANDLE handle;  /* of a wait */
    DWORD result;
} OBJECT;

typedef struct ITEM {
    struct ITEM *next;
    OBJECT *object;
    DWORD result;
} ITEM;

/* What a callback asks to be done when it returns. */
typedef struct {
    HANDLE event, semaphore;
    DWORD releases;
    PCRITICAL_SECTION section;
    HANDLE mutex;
    HMODULE library;
} INSTANCE;

static SRWLOCK lock = SRWLOCK_INIT;
static CONDITION_VARIABLE work_comes = CONDITION_VARIABLE_INIT;
static CONDITION_VARIABLE work_ends = CONDITION_VARIABLE_INIT;
static ITEM *first_item, **last_item = &first_item;
static LONG workers, idle;
static OBJECT *watched;
static HANDLE watcher_event; /* set when what is watched changes */

static LONG64 now(void)
{
    LARGE_INTEGER time;
    NtQuerySystemTime(&time);
    return time.QuadPart;
}

static PVOID allocate(SIZE_T size)
{
    PVOID block = RtlAllocateHeap(GetProcessHeap(), HEAP_ZERO_MEMORY, size);
    if (block == NULL)
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    return block;
}

static void release(PVOID block)
{
    RtlFreeHeap(GetProcessHeap(), 0, block);
}

/* --- workers */
static void call(OBJECT *object, DWORD result)
{
    INSTANCE instance = {0};
    PTP_CALLBACK_INSTANCE handle = (PTP_CALLBACK_INSTANCE)&instance;
    switch (object->kind) {
    case SIMPLE:
        ((PTP_SIMPLE_CALLBACK)object->callback)(handle, object->context);
        break;
    case WORK_ITEM:
        ((LPTHREAD_START_ROUTINE)object->callback)(object->context);
        break;
    case WORK:
        ((PTP_WORK_CALLBACK)object->callback)(handle, object->context, (PTP_WORK)object);
        break;
    case TIMER:
        ((PTP_TIMER_CALLBACK)object->callback)(handle, object->context, (PTP_TIMER)object);
        break;
    case WAIT:
        ((PTP_WAIT_CALLBACK)object->callback)(handle, object->context, (PTP_WAIT)object, result);
        break;
    }
    if (instance.section != NULL)
        LeaveCriticalSection(instance.section);
    if (instance.mutex != NULL)
        ReleaseMutex(instance.mutex);
    if (instance.semaphore != NULL)
        ReleaseSemaphore(instance.semaphore, (LONG)instance.releases, NULL);
    if (instance.event != NULL)
        SetEvent(instance.event);
    if (instance.library != NULL)
        FreeLibrary(instance.library);
}

/* Under the lock. */
static void free_if_over(OBJECT *object)
{
    if (object->closed && object->pending == 0 && object->running == 0)
        release(object);
}

static DWORD WINAPI worker(PVOID unused)
{
    UNREFERENCED_PARAMETER(unused);
    AcquireSRWLockExclusive(&lock);
    for (;;) {
        while (first_item == NULL) {
            idle++;
            SleepConditionVariableSRW(&work_comes, &lock, INFINITE, 0);
            idle--;
        }
        ITEM *item = first_item;
        first_item = item->next;
        if (first_item == NULL)
            last_item = &first_item;
        OBJECT *object = item->object;
        object->pending--;
        object->running++;
        ReleaseSRWLockExclusive(&lock);
        call(object, item->result);
        release(item);
        AcquireSRWLockExclusive(&lock);
        object->running--;
        WakeAllConditionVariable(&work_ends);
        free_if_over(object);
    }
}

/* Under the lock: queue a callback, and make a worker if none is free. */
static BOOL queue(OBJECT *object, DWORD result)
{
    ITEM *item = allocate(sizeof(*item));
    if (item == NULL)
        return FALSE;
    item->object = object;
    item->result = result;
    *last_item = item;
    last_item = &item->next;
    object->pending++;
    if (idle == 0 && workers < MOST_WORKERS) {
        HANDLE thread = CreateThread(NULL, 0, worker, NULL, 0, NULL);
        if (thread != NULL) {
            workers++;
            CloseHandle(thread);
        }
    }
    WakeConditionVariable(&work_comes);
    return TRUE;
}

static BOOL submit(OBJECT *object)
{
    AcquireSRWLockExclusive(&lock);
    BOOL done = queue(object, 0);
    ReleaseSRWLockExclusive(&lock);
    return done;
}

static OBJECT *make(KIND kind, PVOID callback, PVOID context)
{
    OBJECT *object = allocate(sizeof(*object));
    if (object != NULL) {
        object->kind = kind;
        object->callback = callback;
        object->context = context;
    }
    return object;
}

static BOOL submit_once(KIND kind, PVOID callback, PVOID context)
{
    OBJECT *object = make(kind, callback, context);
    if (object == NULL)
        return FALSE;
    object->closed = TRUE; /* gone after its only callback */
    if (submit(object))
        return TRUE;
    release(object);
    return FALSE;
}

/* --- timers and waits */
static void unwatch(OBJECT *object)
{
    for (OBJECT **link = &watched; *link != NULL; link = &(*link)->next_watched)
        if (*link == object) {
            *link = object->next_watched;
            break;
        }
    object->set = FALSE;
}

/* Under the lock: what is due is queued. The milliseconds to the next. */
static DWORD queue_what_is_due(void)
{
    LONG64 time = now();
    LONG64 next = MAXLONG64;
    for (OBJECT *object = watched, *following; object != NULL; object = following) {
        following = object->next_watched;
        if (object->due <= time) {
            if (object->period != 0)
                object->due += (1 + (time - object->due) / (object->period * 10000LL)) * (object->period * 10000LL);
            else
                unwatch(object);
            queue(object, WAIT_TIMEOUT);
        }
        if (object->set && object->due < next)
            next = object->due;
    }
    return next == MAXLONG64 ? INFINITE : (DWORD)((next - time + 9999) / 10000);
}

static DWORD WINAPI watcher(PVOID unused)
{
    HANDLE handles[MAXIMUM_WAIT_OBJECTS];
    OBJECT *objects[MAXIMUM_WAIT_OBJECTS];
    UNREFERENCED_PARAMETER(unused);
    for (;;) {
        DWORD count = 1;
        handles[0] = watcher_event;
        AcquireSRWLockExclusive(&lock);
        DWORD milliseconds = queue_what_is_due();
        for (OBJECT *object = watched; object != NULL && count <= MOST_WAITS; object = object->next_watched)
            if (object->kind == WAIT) {
                objects[count] = object;
                handles[count++] = object->handle;
            }
        ReleaseSRWLockExclusive(&lock);
        DWORD which = WaitForMultipleObjects(count, handles, FALSE, milliseconds);
        if (which == WAIT_OBJECT_0 || which == WAIT_TIMEOUT || which >= count)
            continue;
        AcquireSRWLockExclusive(&lock);
        OBJECT *object = objects[which];
        for (OBJECT *one = watched; one != NULL; one = one->next_watched)
            if (one == object && one->handle == handles[which]) {
                unwatch(one); /* documented: a wait is for one callback */
                queue(one, WAIT_OBJECT_0);
                break;
            }
        ReleaseSRWLockExclusive(&lock);
    }
}

/* A negative time is relative; NULL: never. */
static LONG64 due_of(PFILETIME time)
{
    if (time == NULL)
        return MAXLONG64;
    LONG64 value = (LONG64)((ULONG64)time->dwHighDateTime << 32 | time->dwLowDateTime);
    return value < 0 ? now() - value : value;
}

static BOOL watch(OBJECT *object, BOOL set, LONG64 due, DWORD period, HANDLE handle)
{
    AcquireSRWLockExclusive(&lock);
    BOOL was_set = object->set;
    unwatch(object);
    object->due = due;
    object->period = period;
    object->handle = handle;
    if (set) {
        object->set = TRUE;
        object->next_watched = watched;
        watched = object;
        if (watcher_event == NULL) {
            watcher_event = CreateEventW(NULL, FALSE, FALSE, NULL);
            CloseHandle(CreateThread(NULL, 0, watcher, NULL, 0, NULL));
        }
    }
    if (watcher_event != NULL)
        SetEvent(watcher_event);
    ReleaseSRWLockExclusive(&lock);
    return was_set;
}

/* --- waiting for callbacks, and closing */
static void wait_for(OBJECT *object, BOOL cancel)
{
    AcquireSRWLockExclusive(&lock);
    for (ITEM **link = &first_item; cancel && *link != NULL;) {
        ITEM *item = *link;
        if (item->object != object) {
            link = &item->next;
            continue;
        }
        *link = item->next;
        if (last_item == &item->next)
            last_item = link;
        object->pending--;
        release(item);
    }
    while (object->pending != 0 || object->running != 0)
        SleepConditionVariableSRW(&work_ends, &lock, INFINITE, 0);
    ReleaseSRWLockExclusive(&lock);
}

static void close(OBJECT *object)
{
    AcquireSRWLockExclusive(&lock);
    unwatch(object);
    object->closed = TRUE;
    free_if_over(object);
    ReleaseSRWLockExclusive(&lock);
}

WINBOOL WINAPI TrySubmitThreadpoolCallback(PTP_SIMPLE_CALLBACK callback, PVOID context, PTP_CALLBACK_ENVIRON environment)
{
    UNREFERENCED_PARAMETER(environment);
    return submit_once(SIMPLE, (PVOID)callback, context);
}

WINBOOL WINAPI QueueUserWorkItem(LPTHREAD_START_ROUTINE callback, PVOID context, ULONG flags)
{
    UNREFERENCED_PARAMETER(flags);
    return submit_once(WORK_ITEM, (PVOID)callback, context);
}

PTP_WORK WINAPI CreateThreadpoolWork(PTP_WORK_CALLBACK callback, PVOID context, PTP_CALLBACK_ENVIRON environment)
{
    UNREFERENCED_PARAMETER(environment);
    return (PTP_WORK)make(WORK, (PVOID)callback, context);
}

VOID WINAPI SubmitThreadpoolWork(PTP_WORK work)
{
    submit((OBJECT *)work);
}

VOID WINAPI WaitForThreadpoolWorkCallbacks(PTP_WORK work, WINBOOL cancel)
{
    wait_for((OBJECT *)work, cancel);
}

VOID WINAPI CloseThreadpoolWork(PTP_WORK work)
{
    close((OBJECT *)work);
}

PTP_TIMER WINAPI CreateThreadpoolTimer(PTP_TIMER_CALLBACK callback, PVOID context, PTP_CALLBACK_ENVIRON environment)
{
    UNREFERENCED_PARAMETER(environment);
    return (PTP_TIMER)make(TIMER, (PVOID)callback, context);
}

WINBOOL WINAPI SetThreadpoolTimerEx(PTP_TIMER timer, PFILETIME due, DWORD period, DWORD window)
{
    UNREFERENCED_PARAMETER(window);
    return watch((OBJECT *)timer, due != NULL, due_of(due), due != NULL ? period : 0, NULL);
}

VOID WINAPI SetThreadpoolTimer(PTP_TIMER timer, PFILETIME due, DWORD period, DWORD window)
{
    SetThreadpoolTimerEx(timer, due, period, window);
}

WINBOOL WINAPI IsThreadpoolTimerSet(PTP_TIMER timer)
{
    return ((OBJECT *)timer)->set;
}

VOID WINAPI WaitForThreadpoolTimerCallbacks(PTP_TIMER timer, WINBOOL cancel)
{
    wait_for((OBJECT *)timer, cancel);
}

VOID WINAPI CloseThreadpoolTimer(PTP_TIMER timer)
{
    close((OBJECT *)timer);
}

PTP_WAIT WINAPI CreateThreadpoolWait(PTP_WAIT_CALLBACK callback, PVOID context, PTP_CALLBACK_ENVIRON environment)
{
    UNREFERENCED_PARAMETER(environment);
    return (PTP_WAIT)make(WAIT, (PVOID)callback, context);
}

WINBOOL WINAPI SetThreadpoolWaitEx(PTP_WAIT wait, HANDLE handle, PFILETIME timeout, PVOID reserved)
{
    UNREFERENCED_PARAMETER(reserved);
    return watch((OBJECT *)wait, handle != NULL, due_of(timeout), 0, handle);
}

VOID WINAPI SetThreadpoolWait(PTP_WAIT wait, HANDLE handle, PFILETIME timeout)
{
    SetThreadpoolWaitEx(wait, handle, timeout, NULL);
}

VOID WINAPI WaitForThreadpoolWaitCallbacks(PTP_WAIT wait, WINBOOL cancel)
{
    wait_for((OBJECT *)wait, cancel);
}

VOID WINAPI CloseThreadpoolWait(PTP_WAIT wait)
{
    close((OBJECT *)wait);
}

/* --- inside a callback */
VOID WINAPI SetEventWhenCallbackReturns(PTP_CALLBACK_INSTANCE instance, HANDLE event)
{
    ((INSTANCE *)instance)->event = event;
}

VOID WINAPI ReleaseSemaphoreWhenCallbackReturns(PTP_CALLBACK_INSTANCE instance, HANDLE semaphore, DWORD count)
{
    ((INSTANCE *)instance)->semaphore = semaphore;
    ((INSTANCE *)instance)->releases = count;
}

VOID WINAPI ReleaseMutexWhenCallbackReturns(PTP_CALLBACK_INSTANCE instance, HANDLE mutex)
{
    ((INSTANCE *)instance)->mutex = mutex;
}

VOID WINAPI LeaveCriticalSectionWhenCallbackReturns(PTP_CALLBACK_INSTANCE instance, PCRITICAL_SECTION section)
{
    ((INSTANCE *)instance)->section = section;
}

VOID WINAPI FreeLibraryWhenCallbackReturns(PTP_CALLBACK_INSTANCE instance, HMODULE library)
{
    ((INSTANCE *)instance)->library = library;
}

WINBOOL WINAPI CallbackMayRunLong(PTP_CALLBACK_INSTANCE instance)
{
    UNREFERENCED_PARAMETER(instance);
    return workers < MOST_WORKERS;
}

/* --- pools of a program's own: names for the one pool */
PTP_POOL WINAPI CreateThreadpool(PVOID reserved)
{
    UNREFERENCED_PARAMETER(reserved);
    return allocate(16);
}

VOID WINAPI CloseThreadpool(PTP_POOL pool)
{
    release(pool);
}

VOID WINAPI SetThreadpoolThreadMaximum(PTP_POOL pool, DWORD count)
{
    UNREFERENCED_PARAMETER(pool);
    UNREFERENCED_PARAMETER(count);
}

WINBOOL WINAPI SetThreadpoolThreadMinimum(PTP_POOL pool, DWORD count)
{
    UNREFERENCED_PARAMETER(pool);
    return count <= MOST_WORKERS;
}
