/* errno, and the ends of a program that went wrong: signals, abort, assert, invalid parameter, pure call. */
#include "ucrt.h"

int *_errno(void)
{
    return &this_thread()->error;
}

unsigned long *__doserrno(void)
{
    return &this_thread()->dos_error;
}

int _set_errno(int value)
{
    *_errno() = value;
    return 0;
}

int _get_errno(int *value)
{
    REQUIRE(value != NULL, EINVAL, EINVAL);
    *value = *_errno();
    return 0;
}

int _set_doserrno(unsigned long value)
{
    *__doserrno() = value;
    return 0;
}

int _get_doserrno(unsigned long *value)
{
    REQUIRE(value != NULL, EINVAL, EINVAL);
    *value = *__doserrno();
    return 0;
}

/* learn.microsoft.com "errno, _doserrno, _sys_errlist, and _sys_nerr", and the table that POSIX layers share */
static const struct {
    unsigned short win32;
    unsigned char error;
} errors[] = {
    {ERROR_INVALID_FUNCTION, EINVAL},      {ERROR_FILE_NOT_FOUND, ENOENT},     {ERROR_PATH_NOT_FOUND, ENOENT},
    {ERROR_TOO_MANY_OPEN_FILES, EMFILE},   {ERROR_ACCESS_DENIED, EACCES},      {ERROR_INVALID_HANDLE, EBADF},
    {ERROR_NOT_ENOUGH_MEMORY, ENOMEM},     {ERROR_INVALID_ACCESS, EINVAL},     {ERROR_INVALID_DATA, EINVAL},
    {ERROR_INVALID_DRIVE, ENOENT},         {ERROR_CURRENT_DIRECTORY, EACCES},  {ERROR_NOT_SAME_DEVICE, EXDEV},
    {ERROR_NO_MORE_FILES, ENOENT},         {ERROR_LOCK_VIOLATION, EACCES},     {ERROR_BAD_NETPATH, ENOENT},
    {ERROR_SHARING_VIOLATION, EACCES},     {ERROR_FILE_EXISTS, EEXIST},        {ERROR_CANNOT_MAKE, EACCES},
    {ERROR_INVALID_PARAMETER, EINVAL},     {ERROR_NO_PROC_SLOTS, EAGAIN},      {ERROR_BROKEN_PIPE, EPIPE},
    {ERROR_DISK_FULL, ENOSPC},             {ERROR_WAIT_NO_CHILDREN, ECHILD},   {ERROR_DIRECT_ACCESS_HANDLE, EBADF},
    {ERROR_NEGATIVE_SEEK, EINVAL},         {ERROR_SEEK_ON_DEVICE, EACCES},     {ERROR_DIR_NOT_EMPTY, ENOTEMPTY},
    {ERROR_BAD_PATHNAME, ENOENT},          {ERROR_ALREADY_EXISTS, EEXIST},     {ERROR_FILENAME_EXCED_RANGE, ENOENT},
    {ERROR_NOT_ENOUGH_QUOTA, ENOMEM},      {ERROR_INVALID_NAME, EINVAL},       {ERROR_BAD_FORMAT, ENOEXEC},
};

void map_error(DWORD error)
{
    int value = EINVAL;
    for (size_t i = 0; i < RTL_NUMBER_OF(errors); i++)
        if (errors[i].win32 == error)
            value = errors[i].error;
    this_thread()->dos_error = error;
    *_errno() = value;
}

/* --- the invalid parameter handler */
static invalid_parameter_handler global_handler;

invalid_parameter_handler _set_invalid_parameter_handler(invalid_parameter_handler handler)
{
    return InterlockedExchangePointer((void *volatile *)&global_handler, (void *)handler);
}

invalid_parameter_handler _get_invalid_parameter_handler(void)
{
    return global_handler;
}

invalid_parameter_handler _set_thread_local_invalid_parameter_handler(invalid_parameter_handler handler)
{
    invalid_parameter_handler old = this_thread()->invalid_parameter;
    this_thread()->invalid_parameter = handler;
    return old;
}

invalid_parameter_handler _get_thread_local_invalid_parameter_handler(void)
{
    return this_thread()->invalid_parameter;
}

__attribute__((noreturn)) void _invoke_watson(const wchar_t *expression, const wchar_t *function, const wchar_t *file,
                                              unsigned line, uintptr_t reserved)
{
    UNREFERENCED_PARAMETER(expression);
    UNREFERENCED_PARAMETER(function);
    UNREFERENCED_PARAMETER(file);
    UNREFERENCED_PARAMETER(line);
    UNREFERENCED_PARAMETER(reserved);
    __fastfail(FAST_FAIL_INVALID_ARG);
}

void _invalid_parameter(const wchar_t *expression, const wchar_t *function, const wchar_t *file, unsigned line,
                        uintptr_t reserved)
{
    invalid_parameter_handler handler = this_thread()->invalid_parameter;
    if (handler == NULL)
        handler = global_handler;
    if (handler == NULL)
        _invoke_watson(expression, function, file, line, reserved);
    handler(expression, function, file, line, reserved);
}

void _invalid_parameter_noinfo(void)
{
    _invalid_parameter(NULL, NULL, NULL, 0, 0);
}

__attribute__((noreturn)) void _invalid_parameter_noinfo_noreturn(void)
{
    _invalid_parameter(NULL, NULL, NULL, 0, 0);
    _invoke_watson(NULL, NULL, NULL, 0, 0);
}

/* --- signals: learn.microsoft.com "signal" */
#define SIGINT 2
#define SIGILL 4
#define SIGFPE 8
#define SIGSEGV 11
#define SIGTERM 15
#define SIGBREAK 21
#define SIGABRT 22
#define SIGABRT_COMPAT 6
#define SIG_DFL ((signal_handler)0)
#define SIG_IGN ((signal_handler)1)
#define SIG_GET ((signal_handler)2)
#define SIG_ERR ((signal_handler)-1)

static signal_handler process_handlers[4]; /* SIGINT, SIGBREAK, SIGABRT, SIGTERM */

static signal_handler *handler_of(int number)
{
    switch (number) {
    case SIGINT:
        return &process_handlers[0];
    case SIGBREAK:
        return &process_handlers[1];
    case SIGABRT:
    case SIGABRT_COMPAT:
        return &process_handlers[2];
    case SIGTERM:
        return &process_handlers[3];
    case SIGILL:
        return &this_thread()->fault_handlers[0];
    case SIGFPE:
        return &this_thread()->fault_handlers[1];
    case SIGSEGV:
        return &this_thread()->fault_handlers[2];
    }
    return NULL;
}

signal_handler signal(int number, signal_handler handler)
{
    signal_handler *place = handler_of(number);
    REQUIRE(place != NULL && handler != SIG_ERR, EINVAL, SIG_ERR);
    signal_handler old = *place;
    if (handler != SIG_GET)
        *place = handler;
    return old;
}

int raise(int number)
{
    signal_handler *place = handler_of(number);
    REQUIRE(place != NULL, EINVAL, -1);
    signal_handler handler = *place;
    if (handler == SIG_IGN)
        return 0;
    if (handler == SIG_DFL)
        _exit(3);
    *place = SIG_DFL;
    handler(number, 0x8C); /* _FPE_EXPLICITGEN */
    return 0;
}

void **__pxcptinfoptrs(void)
{
    return (void **)&this_thread()->exception;
}

/* The filter of start-up code: signals of hardware exceptions. learn.microsoft.com "signal" names SIGILL, SIGFPE and
 * SIGSEGV; their handlers are a thread's. */
static const struct {
    DWORD code;
    int signal;
    int detail;
} signal_of_exception[] = {
    {EXCEPTION_ACCESS_VIOLATION, SIGSEGV, 0},      {EXCEPTION_ILLEGAL_INSTRUCTION, SIGILL, 0},
    {EXCEPTION_PRIV_INSTRUCTION, SIGILL, 0},       {EXCEPTION_FLT_DENORMAL_OPERAND, SIGFPE, 0x82},
    {EXCEPTION_FLT_DIVIDE_BY_ZERO, SIGFPE, 0x83},  {EXCEPTION_FLT_INEXACT_RESULT, SIGFPE, 0x86},
    {EXCEPTION_FLT_INVALID_OPERATION, SIGFPE, 0x81}, {EXCEPTION_FLT_OVERFLOW, SIGFPE, 0x84},
    {EXCEPTION_FLT_STACK_CHECK, SIGFPE, 0x8A},     {EXCEPTION_FLT_UNDERFLOW, SIGFPE, 0x85},
};

int _seh_filter_exe(unsigned long code, EXCEPTION_POINTERS *pointers)
{
    for (size_t i = 0; i < RTL_NUMBER_OF(signal_of_exception); i++) {
        if (signal_of_exception[i].code != code)
            continue;
        signal_handler *place = handler_of(signal_of_exception[i].signal);
        signal_handler handler = *place;
        if (handler == SIG_DFL)
            break;
        if (handler == SIG_IGN)
            return EXCEPTION_CONTINUE_EXECUTION;
        EXCEPTION_POINTERS *old = this_thread()->exception;
        this_thread()->exception = pointers;
        *place = SIG_DFL;
        handler(signal_of_exception[i].signal, signal_of_exception[i].detail);
        this_thread()->exception = old;
        return EXCEPTION_CONTINUE_EXECUTION;
    }
    return EXCEPTION_CONTINUE_SEARCH;
}

int _seh_filter_dll(unsigned long code, EXCEPTION_POINTERS *pointers)
{
    return code == 0xE06D7363 ? _seh_filter_exe(code, pointers) : EXCEPTION_CONTINUE_SEARCH;
}

int _XcptFilter(unsigned long code, EXCEPTION_POINTERS *pointers)
{
    return _seh_filter_exe(code, pointers);
}

/* --- abort, assert */
static unsigned abort_behavior = 3; /* _WRITE_ABORT_MSG | _CALL_REPORTFAULT */

unsigned _set_abort_behavior(unsigned flags, unsigned mask)
{
    unsigned old = abort_behavior;
    abort_behavior = (old & ~mask) | (flags & mask);
    return old;
}

/* learn.microsoft.com "abort": the handler of SIGABRT, then a fast fail if _CALL_REPORTFAULT is set, else exit code 3 */
void abort(void)
{
    signal_handler handler = process_handlers[2];
    if (handler != SIG_DFL)
        raise(SIGABRT);
    if (abort_behavior & 2)
        __fastfail(FAST_FAIL_FATAL_APP_EXIT);
    _exit(3);
}

/* learn.microsoft.com "assert": the message of a console program goes to stderr */
__attribute__((noreturn)) void _assert(const char *expression, const char *file, unsigned line)
{
    char text[512];
    format_text(text, sizeof(text), "Assertion failed: %s, file %s, line %d\n", expression, file, (int)line);
    fputs(text, stderr);
    fflush(stderr);
    abort();
}

__attribute__((noreturn)) void _wassert(const wchar_t *expression, const wchar_t *file, unsigned line)
{
    _assert(widened_to_narrow(expression), widened_to_narrow(file), line);
}

static void_function purecall_handler;

void_function _set_purecall_handler(void_function handler)
{
    void_function old = purecall_handler;
    purecall_handler = handler;
    return old;
}

void_function _get_purecall_handler(void)
{
    return purecall_handler;
}

/* learn.microsoft.com "_purecall" */
int _purecall(void)
{
    if (purecall_handler != NULL)
        purecall_handler();
    abort();
}

void_function set_terminate(void_function handler)
{
    void_function old = this_thread()->terminate_handler;
    this_thread()->terminate_handler = handler;
    return old;
}

void_function _get_terminate(void)
{
    return this_thread()->terminate_handler;
}

__attribute__((noreturn)) void terminate(void)
{
    if (this_thread()->terminate_handler != NULL)
        this_thread()->terminate_handler();
    abort();
}

static const char *const run_time_errors[] = {[8] = "not enough space for arguments", [9] = "not enough space for environment",
                                              [10] = "abort() has been called", [31] = "attempt to initialize the CRT more than once"};

__attribute__((noreturn)) void _amsg_exit(int number)
{
    const char *text = number >= 0 && number < (int)RTL_NUMBER_OF(run_time_errors) ? run_time_errors[number] : NULL;
    char line[128];
    format_text(line, sizeof(line), "\nruntime error R60%02d\n- %s\n", number, text != NULL ? text : "unknown");
    fputs(line, stderr);
    _exit(255);
}
