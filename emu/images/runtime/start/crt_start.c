/* The start of a program of the user: what the C runtime's start-up code does ("CRT initialization",
 * learn.microsoft.com). One of START_MAIN, START_WMAIN, START_WINMAIN and START_WWINMAIN is defined. */
#include <windows.h>

typedef void(__cdecl *initializer)(void);
typedef int(__cdecl *initializer_e)(void);

int *__p___argc(void);
char ***__p___argv(void);
wchar_t ***__p___wargv(void);
char **_get_initial_narrow_environment(void);
wchar_t **_get_initial_wide_environment(void);
char *_get_narrow_winmain_command_line(void);
wchar_t *_get_wide_winmain_command_line(void);
int _configure_narrow_argv(int mode);
int _configure_wide_argv(int mode);
int _initialize_narrow_environment(void);
int _initialize_wide_environment(void);
void _set_app_type(int type);
int _initterm_e(initializer_e *first, initializer_e *last);
void _initterm(initializer *first, initializer *last);
int _crt_atexit(initializer function);
int _crt_at_quick_exit(initializer function);
int _seh_filter_exe(unsigned long code, EXCEPTION_POINTERS *pointers);
__attribute__((noreturn)) void exit(int status);
__attribute__((noreturn)) void _exit(int status);

/* The linker sorts sections by what follows `$`: initializers of the program lie between these. */
__attribute__((section(".CRT$XIA"))) initializer_e __xi_a[] = {0};
__attribute__((section(".CRT$XIZ"))) initializer_e __xi_z[] = {0};
__attribute__((section(".CRT$XCA"))) initializer __xc_a[] = {0};
__attribute__((section(".CRT$XCZ"))) initializer __xc_z[] = {0};
/* Functions with the attributes constructor and destructor. This object is linked first, so its entries begin them. */
__attribute__((section(".ctors"))) initializer constructors_begin[] = {0};
__attribute__((section(".ctors$ZZZ"))) initializer constructors_end[] = {0};
__attribute__((section(".dtors"))) initializer destructors_begin[] = {0};
__attribute__((section(".dtors$ZZZ"))) initializer destructors_end[] = {0};

static void run_destructors(void)
{
    _initterm(destructors_begin, destructors_end);
}

/* The compiler calls it at the start of main. */
void __main(void)
{
}

int atexit(initializer function)
{
    return _crt_atexit(function);
}

int at_quick_exit(initializer function)
{
    return _crt_at_quick_exit(function);
}

#if defined(START_MAIN)
int main(int count, char **arguments, char **environment);
#define WIDE 0
#define APPLICATION 1 /* _crt_console_app */
#define CALL() main(*__p___argc(), *__p___argv(), _get_initial_narrow_environment())
#elif defined(START_WMAIN)
int wmain(int count, wchar_t **arguments, wchar_t **environment);
#define WIDE 1
#define APPLICATION 1
#define CALL() wmain(*__p___argc(), *__p___wargv(), _get_initial_wide_environment())
#elif defined(START_WINMAIN)
#define WIDE 0
#define APPLICATION 2 /* _crt_gui_app */
#define CALL() WinMain(GetModuleHandleW(NULL), NULL, _get_narrow_winmain_command_line(), SW_SHOWDEFAULT)
#else
int WINAPI wWinMain(HINSTANCE instance, HINSTANCE previous, LPWSTR command_line, int show);
#define WIDE 1
#define APPLICATION 2
#define CALL() wWinMain(GetModuleHandleW(NULL), NULL, _get_wide_winmain_command_line(), SW_SHOWDEFAULT)
#endif

int mainCRTStartup(void)
{
    _set_app_type(APPLICATION);
    if (_initterm_e(__xi_a, __xi_z) != 0)
        return 255;
    if (WIDE) {
        _configure_wide_argv(1); /* _crt_argv_unexpanded_arguments */
        _initialize_wide_environment();
    } else {
        _configure_narrow_argv(1);
        _initialize_narrow_environment();
    }
    _initterm(__xc_a, __xc_z);
    _initterm(constructors_begin, constructors_end);
    _crt_atexit(run_destructors);
    __try {
        exit(CALL());
    } __except (_seh_filter_exe(GetExceptionCode(), GetExceptionInformation())) {
        _exit((int)GetExceptionCode());
    }
}
