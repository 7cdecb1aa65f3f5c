/* kernel32: the virtual console. It shows UTF-8, has 80 columns and 25 rows and no input. */
#include "kernel32_runtime.h"

static UINT input_page = CP_UTF8;
static UINT output_page = CP_UTF8;
static DWORD modes[2] = {
    ENABLE_PROCESSED_INPUT | ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT | ENABLE_MOUSE_INPUT | ENABLE_INSERT_MODE |
        ENABLE_QUICK_EDIT_MODE | ENABLE_EXTENDED_FLAGS,
    ENABLE_PROCESSED_OUTPUT | ENABLE_WRAP_AT_EOL_OUTPUT,
};

static BOOL is_console(HANDLE handle)
{
    return GetFileType(handle) == FILE_TYPE_CHAR || fails(ERROR_INVALID_HANDLE);
}

static DWORD *mode_of(HANDLE console)
{
    return &modes[console == NtCurrentPeb()->ProcessParameters->StandardInput ? 0 : 1];
}

WINBOOL WINAPI GetConsoleMode(HANDLE console, LPDWORD mode)
{
    if (!is_console(console))
        return FALSE;
    *mode = *mode_of(console);
    return TRUE;
}

WINBOOL WINAPI SetConsoleMode(HANDLE console, DWORD mode)
{
    if (!is_console(console))
        return FALSE;
    *mode_of(console) = mode;
    return TRUE;
}

UINT WINAPI GetConsoleCP(VOID)
{
    return input_page;
}

UINT WINAPI GetConsoleOutputCP(VOID)
{
    return output_page;
}

WINBOOL WINAPI SetConsoleCP(UINT page)
{
    if (!IsValidCodePage(page))
        return fails(ERROR_INVALID_PARAMETER);
    input_page = page;
    return TRUE;
}

WINBOOL WINAPI SetConsoleOutputCP(UINT page)
{
    if (!IsValidCodePage(page))
        return fails(ERROR_INVALID_PARAMETER);
    output_page = page;
    return TRUE;
}

/* Nobody presses Ctrl-C: a handler is kept by the caller's wish, and never called. */
WINBOOL WINAPI SetConsoleCtrlHandler(PHANDLER_ROUTINE handler, WINBOOL add)
{
    UNREFERENCED_PARAMETER(handler);
    UNREFERENCED_PARAMETER(add);
    return TRUE;
}

WINBOOL WINAPI ReadConsoleA(HANDLE console, LPVOID buffer, DWORD count, LPDWORD read, PCONSOLE_READCONSOLE_CONTROL control)
{
    UNREFERENCED_PARAMETER(control);
    return is_console(console) && ReadFile(console, buffer, count, read, NULL);
}

WINBOOL WINAPI ReadConsoleW(HANDLE console, LPVOID buffer, DWORD count, LPDWORD read, PCONSOLE_READCONSOLE_CONTROL control)
{
    UNREFERENCED_PARAMETER(control);
    UNREFERENCED_PARAMETER(buffer);
    UNREFERENCED_PARAMETER(count);
    *read = 0; /* no input */
    return is_console(console);
}

WINBOOL WINAPI GetNumberOfConsoleInputEvents(HANDLE console, LPDWORD count)
{
    *count = 0;
    return is_console(console);
}

WINBOOL WINAPI PeekConsoleInputW(HANDLE console, PINPUT_RECORD buffer, DWORD length, LPDWORD read)
{
    UNREFERENCED_PARAMETER(buffer);
    UNREFERENCED_PARAMETER(length);
    *read = 0;
    return is_console(console);
}

WINBOOL WINAPI FlushConsoleInputBuffer(HANDLE console)
{
    return is_console(console);
}

WINBOOL WINAPI GetConsoleScreenBufferInfo(HANDLE console, PCONSOLE_SCREEN_BUFFER_INFO information)
{
    if (!is_console(console))
        return FALSE;
    memset(information, 0, sizeof(*information));
    information->dwSize = (COORD){80, 25};
    information->dwMaximumWindowSize = (COORD){80, 25};
    information->srWindow = (SMALL_RECT){0, 0, 79, 24};
    information->wAttributes = FOREGROUND_RED | FOREGROUND_GREEN | FOREGROUND_BLUE;
    return TRUE;
}

/* Colours and positions are not kept: the console is a stream of text. */
WINBOOL WINAPI SetConsoleTextAttribute(HANDLE console, WORD attributes)
{
    UNREFERENCED_PARAMETER(attributes);
    return is_console(console);
}

WINBOOL WINAPI SetConsoleCursorPosition(HANDLE console, COORD position)
{
    UNREFERENCED_PARAMETER(position);
    return is_console(console);
}

WINBOOL WINAPI SetConsoleTitleW(LPCWSTR title)
{
    UNREFERENCED_PARAMETER(title);
    return TRUE;
}

WINBOOL WINAPI SetConsoleTitleA(LPCSTR title)
{
    UNREFERENCED_PARAMETER(title);
    return TRUE;
}

HWND WINAPI GetConsoleWindow(VOID)
{
    return NULL;
}

WINBOOL WINAPI AllocConsole(VOID)
{
    return fails(ERROR_ACCESS_DENIED); /* documented: a process has one console */
}

WINBOOL WINAPI AttachConsole(DWORD process)
{
    UNREFERENCED_PARAMETER(process);
    return fails(ERROR_ACCESS_DENIED);
}

WINBOOL WINAPI FreeConsole(VOID)
{
    return TRUE;
}
