/* The C runtime: how the DLL and a program start and end. */
#include "ucrt.h"

static DWORD thread_slot = TLS_OUT_OF_INDEXES;
int c_program_ends;

/* Made at the first use, since threads may exist before the DLL is loaded. */
thread_data *this_thread(void)
{
    DWORD error = GetLastError();
    thread_data *data = TlsGetValue(thread_slot);
    if (data == NULL) {
        data = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, sizeof(*data));
        if (data == NULL)
            TerminateProcess(GetCurrentProcess(), 255); /* _RT_THREAD: no room for thread data */
        data->random = 1;
        TlsSetValue(thread_slot, data);
    }
    SetLastError(error);
    return data;
}

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, LPVOID reserved)
{
    UNREFERENCED_PARAMETER(instance);
    UNREFERENCED_PARAMETER(reserved);
    switch (reason) {
    case DLL_PROCESS_ATTACH:
        thread_slot = TlsAlloc();
        if (thread_slot == TLS_OUT_OF_INDEXES)
            return FALSE;
        initialize_files();
        initialize_streams();
        return initialize_environment();
    case DLL_THREAD_DETACH:
        HeapFree(GetProcessHeap(), 0, TlsGetValue(thread_slot));
        TlsSetValue(thread_slot, NULL);
        break;
    case DLL_PROCESS_DETACH:
        if (!c_program_ends)
            _flushall();
        break;
    }
    return TRUE;
}

void _initterm(void_function *first, void_function *last)
{
    for (; first < last; first++)
        if (*first != NULL)
            (*first)();
}

int _initterm_e(int_function *first, int_function *last)
{
    int error = 0;
    for (; first < last && error == 0; first++)
        if (*first != NULL)
            error = (*first)();
    return error;
}

/* --- tables of functions that run at the end; _onexit_table_t of corecrt_startup.h */
typedef struct exit_table {
    void_function *first;
    void_function *last;
    void_function *end;
} exit_table;

static CRITICAL_SECTION table_lock = {NULL, -1, 0, NULL, NULL, 0};
static exit_table at_exit, at_quick_exit;

int _initialize_onexit_table(exit_table *table)
{
    if (table == NULL)
        return -1;
    if (table->first == table->end)
        table->first = table->last = table->end = NULL;
    return 0;
}

int _register_onexit_function(exit_table *table, void_function function)
{
    int result = 0;
    if (table == NULL)
        return -1;
    EnterCriticalSection(&table_lock);
    if (table->last == table->end) {
        size_t used = (size_t)(table->last - table->first);
        size_t room = used != 0 ? used * 2 : 32;
        void_function *moved = realloc(table->first, room * sizeof(*moved));
        if (moved == NULL)
            result = -1;
        else {
            table->first = moved;
            table->last = moved + used;
            table->end = moved + room;
        }
    }
    if (result == 0)
        *table->last++ = function;
    LeaveCriticalSection(&table_lock);
    return result;
}

int _execute_onexit_table(exit_table *table)
{
    if (table == NULL)
        return -1;
    for (;;) {
        EnterCriticalSection(&table_lock);
        void_function function = table->last > table->first ? *--table->last : NULL;
        BOOL more = table->last > table->first;
        LeaveCriticalSection(&table_lock);
        if (function != NULL)
            function();
        else if (!more)
            break;
    }
    free(table->first);
    table->first = table->last = table->end = NULL;
    return 0;
}

int _crt_atexit(void_function function)
{
    return _register_onexit_function(&at_exit, function);
}

int _crt_at_quick_exit(void_function function)
{
    return _register_onexit_function(&at_quick_exit, function);
}

typedef void(WINAPI *tls_callback)(void *, DWORD, void *);
static tls_callback thread_local_exit;

void _register_thread_local_exe_atexit_callback(tls_callback callback)
{
    thread_local_exit = callback;
}

static void run_table(exit_table *table)
{
    if (table == &at_exit && thread_local_exit != NULL)
        thread_local_exit(NULL, DLL_PROCESS_DETACH, NULL);
    _execute_onexit_table(table);
}

void _cexit(void)
{
    run_table(&at_exit);
    _flushall();
}

void _c_exit(void)
{
}

void exit(int status)
{
    _cexit();
    c_program_ends = 1;
    ExitProcess((UINT)status);
}

void _exit(int status)
{
    c_program_ends = 1;
    ExitProcess((UINT)status);
}

void _Exit(int status)
{
    _exit(status);
}

void quick_exit(int status)
{
    run_table(&at_quick_exit);
    _exit(status);
}

/* --- what start-up code sets and asks; corecrt_startup.h */
static int application_type, error_mode, new_mode, commit_mode, new_handler_mode;
int default_mode = _O_TEXT;
static int(__cdecl *math_error)(void *);

void _set_app_type(int type)
{
    application_type = type;
}

int _query_app_type(void)
{
    return application_type;
}

void __setusermatherr(int(__cdecl *handler)(void *))
{
    math_error = handler; /* the math functions here set errno and call no handler */
}

int _configthreadlocale(int mode)
{
    UNREFERENCED_PARAMETER(mode);
    return 2; /* _DISABLE_PER_THREAD_LOCALE: there is one locale */
}

int _set_new_mode(int mode)
{
    int old = new_mode;
    new_mode = mode;
    return old;
}

int _query_new_mode(void)
{
    return new_mode;
}

static int(__cdecl *new_handler)(size_t);

int(__cdecl *_set_new_handler(int(__cdecl *handler)(size_t)))(size_t)
{
    int(__cdecl *old)(size_t) = new_handler;
    new_handler = handler;
    return old;
}

int(__cdecl *_query_new_handler(void))(size_t)
{
    return new_handler;
}

int _callnewh(size_t size)
{
    UNREFERENCED_PARAMETER(new_handler_mode);
    return new_handler != NULL && new_handler(size) != 0;
}

int *__p__commode(void)
{
    return &commit_mode;
}

int *__p__fmode(void)
{
    return &default_mode;
}

int _set_fmode(int mode)
{
    REQUIRE(mode == _O_TEXT || mode == _O_BINARY || mode == _O_WTEXT, EINVAL, EINVAL);
    default_mode = mode;
    return 0;
}

int _get_fmode(int *mode)
{
    REQUIRE(mode != NULL, EINVAL, EINVAL);
    *mode = default_mode;
    return 0;
}

int _set_error_mode(int mode)
{
    int old = error_mode;
    if (mode >= 0 && mode <= 2)
        error_mode = mode;
    return old;
}

int is_gui_program(void)
{
    return application_type == 2; /* _crt_gui_app */
}
