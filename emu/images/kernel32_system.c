/* kernel32: errors and debugging, time, system information, text. */
#include "kernel32_internal.h"

DWORD WINAPI GetLastError(VOID)
{
    return RtlGetLastWin32Error();
}

VOID WINAPI SetLastError(DWORD error)
{
    RtlSetLastWin32Error(error);
}

/* --- debugging. RaiseException is in kernel32.s. */
VOID WINAPI DebugBreak(VOID)
{
    DbgBreakPoint();
}

VOID WINAPI FatalExit(int code)
{
    RtlExitUserProcess(code);
}

WINBOOL WINAPI IsDebuggerPresent(VOID)
{
    return NtCurrentPeb()->BeingDebugged;
}

VOID WINAPI OutputDebugStringA(LPCSTR text)
{
    if (text != NULL)
        NtxDebugPrint((PCHAR)text, (ULONG)strlen(text));
}

VOID WINAPI OutputDebugStringW(LPCWSTR text)
{
    UNICODE_STRING wide;
    ANSI_STRING ansi;
    RtlInitUnicodeString(&wide, text);
    if (text == NULL || !NT_SUCCESS(RtlUnicodeStringToAnsiString(&ansi, &wide, TRUE)))
        return;
    NtxDebugPrint(ansi.Buffer, ansi.Length);
    RtlFreeAnsiString(&ansi);
}

/* Filters and handlers are kept but never called: the debugger takes every exception at first chance, and the run ends
 * there. */
static LPTOP_LEVEL_EXCEPTION_FILTER volatile top_level_filter;
static UINT volatile error_mode;
static PVECTORED_EXCEPTION_HANDLER vectored_handlers[16];

LPTOP_LEVEL_EXCEPTION_FILTER WINAPI SetUnhandledExceptionFilter(LPTOP_LEVEL_EXCEPTION_FILTER filter)
{
    return (LPTOP_LEVEL_EXCEPTION_FILTER)InterlockedExchangePointer((PVOID volatile *)&top_level_filter, filter);
}

PVOID WINAPI AddVectoredExceptionHandler(ULONG first, PVECTORED_EXCEPTION_HANDLER handler)
{
    UNREFERENCED_PARAMETER(first);
    for (ULONG i = 0; i < RTL_NUMBER_OF(vectored_handlers); i++)
        if (InterlockedCompareExchangePointer((PVOID volatile *)&vectored_handlers[i], (PVOID)handler, NULL) == NULL)
            return &vectored_handlers[i];
    return NULL;
}

ULONG WINAPI RemoveVectoredExceptionHandler(PVOID handle)
{
    PVECTORED_EXCEPTION_HANDLER *slot = handle;
    if (slot < vectored_handlers || slot >= vectored_handlers + RTL_NUMBER_OF(vectored_handlers) || *slot == NULL)
        return 0;
    *slot = NULL;
    return 1;
}

UINT WINAPI SetErrorMode(UINT mode)
{
    return (UINT)InterlockedExchange((LONG volatile *)&error_mode, (LONG)mode);
}

UINT WINAPI GetErrorMode(VOID)
{
    return error_mode;
}

/* --- time */
WINBOOL WINAPI QueryPerformanceCounter(LARGE_INTEGER *counter)
{
    return succeeded(NtQueryPerformanceCounter(counter, NULL));
}

WINBOOL WINAPI QueryPerformanceFrequency(LARGE_INTEGER *frequency)
{
    LARGE_INTEGER counter;
    return succeeded(NtQueryPerformanceCounter(&counter, frequency));
}

ULONGLONG WINAPI GetTickCount64(VOID)
{
    LARGE_INTEGER counter;
    LARGE_INTEGER frequency = {.QuadPart = 0};
    NtQueryPerformanceCounter(&counter, &frequency);
    return frequency.QuadPart >= 1000 ? (ULONGLONG)(counter.QuadPart / (frequency.QuadPart / 1000)) : 0;
}

DWORD WINAPI GetTickCount(VOID)
{
    return (DWORD)GetTickCount64();
}

VOID WINAPI GetSystemTimeAsFileTime(LPFILETIME time)
{
    LARGE_INTEGER now = {.QuadPart = 0};
    NtQuerySystemTime(&now);
    time->dwLowDateTime = now.LowPart;
    time->dwHighDateTime = (DWORD)now.HighPart;
}

VOID WINAPI GetSystemTimePreciseAsFileTime(LPFILETIME time)
{
    GetSystemTimeAsFileTime(time);
}

/* 100 ns since 1601-01-01 to the Gregorian calendar. */
WINBOOL WINAPI FileTimeToSystemTime(CONST FILETIME *file_time, LPSYSTEMTIME time)
{
    ULONGLONG ticks = ((ULONGLONG)file_time->dwHighDateTime << 32) | file_time->dwLowDateTime;
    if (ticks >> 63) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return FALSE;
    }
    ULONGLONG milliseconds = ticks / 10000;
    ULONG days = (ULONG)(milliseconds / 86400000);
    ULONG rest = (ULONG)(milliseconds % 86400000);
    time->wDayOfWeek = (WORD)((days + 1) % 7); /* a Monday */
    time->wHour = (WORD)(rest / 3600000);
    time->wMinute = (WORD)(rest / 60000 % 60);
    time->wSecond = (WORD)(rest / 1000 % 60);
    time->wMilliseconds = (WORD)(rest % 1000);
    days += 584694; /* from 0000-03-01, where leap days end the years */
    ULONG era = days / 146097;
    ULONG day_of_era = days % 146097;
    ULONG year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    ULONG day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    ULONG month = (5 * day_of_year + 2) / 153;
    time->wDay = (WORD)(day_of_year - (153 * month + 2) / 5 + 1);
    time->wMonth = (WORD)(month < 10 ? month + 3 : month - 9);
    time->wYear = (WORD)(era * 400 + year_of_era + (time->wMonth <= 2));
    return TRUE;
}

VOID WINAPI GetSystemTime(LPSYSTEMTIME time)
{
    FILETIME now;
    GetSystemTimeAsFileTime(&now);
    FileTimeToSystemTime(&now, time);
}

/* The system's time zone is UTC. */
VOID WINAPI GetLocalTime(LPSYSTEMTIME time)
{
    GetSystemTime(time);
}

/* --- system information */
VOID WINAPI GetSystemInfo(LPSYSTEM_INFO information)
{
    PPEB peb = NtCurrentPeb();
    memset(information, 0, sizeof(*information));
    information->wProcessorArchitecture = PROCESSOR_ARCHITECTURE_AMD64;
    information->dwPageSize = 0x1000;
    information->lpMinimumApplicationAddress = (LPVOID)0x10000;
    information->lpMaximumApplicationAddress = (LPVOID)0x7FFFFFFEFFFF;
    information->dwNumberOfProcessors = peb->NumberOfProcessors;
    information->dwActiveProcessorMask =
        peb->NumberOfProcessors < 64 ? ((DWORD_PTR)1 << peb->NumberOfProcessors) - 1 : (DWORD_PTR)-1;
    information->dwProcessorType = PROCESSOR_AMD_X8664;
    information->dwAllocationGranularity = 0x10000;
    information->wProcessorLevel = 6;
}

DWORD WINAPI GetVersion(VOID)
{
    PPEB peb = NtCurrentPeb();
    return peb->OSMajorVersion | peb->OSMinorVersion << 8 | (DWORD)peb->OSBuildNumber << 16;
}

VOID WINAPI GetNativeSystemInfo(LPSYSTEM_INFO information)
{
    GetSystemInfo(information);
}

/* --- text */
int WINAPI lstrlenA(LPCSTR text)
{
    return text != NULL ? (int)strlen(text) : 0;
}

int WINAPI lstrlenW(LPCWSTR text)
{
    return text != NULL ? (int)wcslen(text) : 0;
}

LPSTR WINAPI lstrcpyA(LPSTR destination, LPCSTR source)
{
    return strcpy(destination, source);
}

LPWSTR WINAPI lstrcpyW(LPWSTR destination, LPCWSTR source)
{
    return wcscpy(destination, source);
}

/* At most `room` characters, the end included; documented: always ended when there is any room. */
LPSTR WINAPI lstrcpynA(LPSTR destination, LPCSTR source, int room)
{
    SIZE_T n = room > 0 ? strnlen(source, (SIZE_T)room - 1) : 0;
    if (room > 0) {
        memcpy(destination, source, n);
        destination[n] = 0;
    }
    return destination;
}

LPWSTR WINAPI lstrcpynW(LPWSTR destination, LPCWSTR source, int room)
{
    if (room > 0) {
        int n = 0;
        for (; n < room - 1 && source[n]; n++)
            destination[n] = source[n];
        destination[n] = 0;
    }
    return destination;
}

LPSTR WINAPI lstrcatA(LPSTR destination, LPCSTR source)
{
    return strcat(destination, source);
}

LPWSTR WINAPI lstrcatW(LPWSTR destination, LPCWSTR source)
{
    return wcscat(destination, source);
}

int WINAPI lstrcmpA(LPCSTR first, LPCSTR second)
{
    return strcmp(first, second);
}

int WINAPI lstrcmpW(LPCWSTR first, LPCWSTR second)
{
    return wcscmp(first, second);
}

int WINAPI lstrcmpiA(LPCSTR first, LPCSTR second)
{
    for (;; first++, second++) {
        int order = RtlUpcaseUnicodeChar((UCHAR)*first) - RtlUpcaseUnicodeChar((UCHAR)*second);
        if (order != 0 || *first == 0)
            return order;
    }
}

int WINAPI lstrcmpiW(LPCWSTR first, LPCWSTR second)
{
    for (;; first++, second++) {
        int order = RtlUpcaseUnicodeChar(*first) - RtlUpcaseUnicodeChar(*second);
        if (order != 0 || *first == 0)
            return order;
    }
}

/* The ANSI and OEM code pages are ISO 8859-1, as the runtime of ntdll takes them. */
static UINT code_pages[] = {28591, 28591};
static UINT *volatile code_page_table = code_pages;

UINT WINAPI GetACP(VOID)
{
    return code_page_table[0];
}

UINT WINAPI GetOEMCP(VOID)
{
    return code_page_table[1];
}

/* UTF-8 by its rules; every other code page is Latin-1. Both functions count only when the room is 0. */
int WINAPI MultiByteToWideChar(UINT page, DWORD flags, LPCCH source, int size, LPWSTR destination, int room)
{
    const UCHAR *in = (const UCHAR *)source;
    const UCHAR *end = in + (size >= 0 ? (SIZE_T)size : strlen(source) + 1);
    int count = 0;
    UNREFERENCED_PARAMETER(flags);
    while (in < end) {
        ULONG c = *in++;
        if (page == CP_UTF8 && c >= 0x80) {
            int more = c >= 0xF0 && c < 0xF5 ? 3 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xC2 && c < 0xE0 ? 1 : -1;
            ULONG value = more > 0 ? c & (0x3Fu >> more) : 0;
            int taken = 0;
            while (taken < more && in + taken < end && (in[taken] & 0xC0) == 0x80)
                value = value << 6 | (in[taken++] & 0x3F);
            BOOL valid = taken == more && (more != 2 || (value >= 0x800 && (value & 0xF800) != 0xD800)) &&
                         (more != 3 || (value >= 0x10000 && value < 0x110000));
            c = valid ? value : 0xFFFD;
            in += valid ? taken : 0;
        }
        int units = c >= 0x10000 ? 2 : 1;
        if (room != 0) {
            if (count + units > room) {
                SetLastError(ERROR_INSUFFICIENT_BUFFER);
                return 0;
            }
            if (units == 2) {
                destination[count] = (WCHAR)(0xD800 + ((c - 0x10000) >> 10));
                destination[count + 1] = (WCHAR)(0xDC00 + (c & 0x3FF));
            } else
                destination[count] = (WCHAR)c;
        }
        count += units;
    }
    return count;
}

int WINAPI WideCharToMultiByte(UINT page, DWORD flags, LPCWCH source, int size, LPSTR destination, int room,
                               LPCCH unknown, LPBOOL used_unknown)
{
    PCWCH end = source + (size >= 0 ? (SIZE_T)size : wcslen(source) + 1);
    int count = 0;
    UNREFERENCED_PARAMETER(flags);
    if (used_unknown != NULL)
        *used_unknown = FALSE;
    while (source < end) {
        CHAR bytes[4];
        int n = 1;
        ULONG c = *source++;
        if (page != CP_UTF8) {
            bytes[0] = c < 0x100 ? (CHAR)c : unknown != NULL ? *unknown : '?';
            if (c >= 0x100 && used_unknown != NULL)
                *used_unknown = TRUE;
        } else {
            if (IS_HIGH_SURROGATE(c) && source < end && IS_LOW_SURROGATE(*source))
                c = 0x10000 + ((c - 0xD800) << 10) + (ULONG)(*source++ - 0xDC00);
            else if ((c & 0xF800) == 0xD800)
                c = 0xFFFD;
            n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
            for (int i = n - 1; i > 0; i--, c >>= 6)
                bytes[i] = (CHAR)(0x80 | (c & 0x3F));
            bytes[0] = (CHAR)(n == 1 ? c : (0xF00u >> n & 0xFF) | c);
        }
        if (room != 0) {
            if (count + n > room) {
                SetLastError(ERROR_INSUFFICIENT_BUFFER);
                return 0;
            }
            memcpy(destination + count, bytes, (SIZE_T)n);
        }
        count += n;
    }
    return count;
}
