/* kernel32: calendars and time zones. All time is that of the target's clock. */
#include "kernel32_runtime.h"

#define TIME_ZONE_BIAS (*(const LONG64 volatile *)0x7FFE0020) /* KUSER_SHARED_DATA.TimeZoneBias (ntddk.h), 100 ns */

static LONG64 ticks_of(const FILETIME *time)
{
    return (LONG64)((ULONG64)time->dwHighDateTime << 32 | time->dwLowDateTime);
}

static BOOL put_ticks(LPFILETIME time, LONG64 ticks)
{
    if (ticks < 0)
        return fails(ERROR_INVALID_PARAMETER);
    time->dwLowDateTime = (DWORD)ticks;
    time->dwHighDateTime = (DWORD)(ticks >> 32);
    return TRUE;
}

static LONG64 bias(void)
{
    LONG64 value = TIME_ZONE_BIAS; /* KSYSTEM_TIME: LowPart, High1Time, High2Time */
    return value;
}

static BOOL is_leap(WORD year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Documented: the years 1601 to 30827; the day of the week is not looked at. */
WINBOOL WINAPI SystemTimeToFileTime(const SYSTEMTIME *time, LPFILETIME file_time)
{
    static const BYTE days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (time->wYear < 1601 || time->wYear > 30827 || time->wMonth < 1 || time->wMonth > 12 || time->wDay < 1 ||
        time->wDay > days_of[time->wMonth - 1] + (time->wMonth == 2 && is_leap(time->wYear)) || time->wHour > 23 ||
        time->wMinute > 59 || time->wSecond > 59 || time->wMilliseconds > 999)
        return fails(ERROR_INVALID_PARAMETER);
    LONG64 years = time->wYear - 1601;
    LONG64 days = years * 365 + years / 4 - years / 100 + years / 400 + time->wDay - 1;
    for (WORD month = 1; month < time->wMonth; month++)
        days += days_of[month - 1] + (month == 2 && is_leap(time->wYear));
    LONG64 milliseconds =
        ((days * 24 + time->wHour) * 60 + time->wMinute) * 60000 + time->wSecond * 1000 + time->wMilliseconds;
    return put_ticks(file_time, milliseconds * 10000);
}

WINBOOL WINAPI FileTimeToLocalFileTime(CONST FILETIME *time, LPFILETIME local)
{
    return put_ticks(local, ticks_of(time) - bias());
}

WINBOOL WINAPI LocalFileTimeToFileTime(CONST FILETIME *local, LPFILETIME time)
{
    return put_ticks(time, ticks_of(local) + bias());
}

LONG WINAPI CompareFileTime(CONST FILETIME *first, CONST FILETIME *second)
{
    ULONG64 a = (ULONG64)ticks_of(first);
    ULONG64 b = (ULONG64)ticks_of(second);
    return a < b ? -1 : a > b;
}

VOID WINAPI GetLocalTime(LPSYSTEMTIME time)
{
    FILETIME now;
    GetSystemTimeAsFileTime(&now);
    FileTimeToLocalFileTime(&now, &now);
    FileTimeToSystemTime(&now, time);
}

/* The zone that the system information of a dump has: UTC+1, its standard time. */
DWORD WINAPI GetTimeZoneInformation(LPTIME_ZONE_INFORMATION zone)
{
    memset(zone, 0, sizeof(*zone));
    zone->Bias = (LONG)(bias() / 600000000);
    zone->DaylightBias = -60;
    wcscpy(zone->StandardName, L"W. Europe Standard Time");
    wcscpy(zone->DaylightName, L"W. Europe Daylight Time");
    zone->StandardDate = (SYSTEMTIME){0, 10, 0, 5, 3, 0, 0, 0}; /* the last Sunday of October, 3:00 */
    zone->DaylightDate = (SYSTEMTIME){0, 3, 0, 5, 2, 0, 0, 0};
    return TIME_ZONE_ID_STANDARD;
}

DWORD WINAPI GetDynamicTimeZoneInformation(PDYNAMIC_TIME_ZONE_INFORMATION zone)
{
    memset(zone, 0, sizeof(*zone));
    wcscpy(zone->TimeZoneKeyName, L"W. Europe Standard Time");
    return GetTimeZoneInformation((LPTIME_ZONE_INFORMATION)zone);
}

/* The bias of today is taken, as for files. */
WINBOOL WINAPI SystemTimeToTzSpecificLocalTime(const TIME_ZONE_INFORMATION *zone, const SYSTEMTIME *universal,
                                               LPSYSTEMTIME local)
{
    FILETIME time;
    if (!SystemTimeToFileTime(universal, &time))
        return FALSE;
    LONG64 minutes = zone != NULL ? zone->Bias + zone->StandardBias : bias() / 600000000;
    return put_ticks(&time, ticks_of(&time) - minutes * 600000000) && FileTimeToSystemTime(&time, local);
}

WINBOOL WINAPI TzSpecificLocalTimeToSystemTime(const TIME_ZONE_INFORMATION *zone, const SYSTEMTIME *local,
                                               LPSYSTEMTIME universal)
{
    FILETIME time;
    if (!SystemTimeToFileTime(local, &time))
        return FALSE;
    LONG64 minutes = zone != NULL ? zone->Bias + zone->StandardBias : bias() / 600000000;
    return put_ticks(&time, ticks_of(&time) + minutes * 600000000) && FileTimeToSystemTime(&time, universal);
}

/* MS-DOS: two seconds, five bits each of day and hour; years from 1980. */
WINBOOL WINAPI FileTimeToDosDateTime(CONST FILETIME *time, LPWORD date, LPWORD clock)
{
    SYSTEMTIME parts;
    if (!FileTimeToSystemTime(time, &parts))
        return FALSE;
    if (parts.wYear < 1980 || parts.wYear > 2107)
        return fails(ERROR_INVALID_PARAMETER);
    *date = (WORD)((parts.wYear - 1980) << 9 | parts.wMonth << 5 | parts.wDay);
    *clock = (WORD)(parts.wHour << 11 | parts.wMinute << 5 | parts.wSecond / 2);
    return TRUE;
}

WINBOOL WINAPI DosDateTimeToFileTime(WORD date, WORD clock, LPFILETIME time)
{
    SYSTEMTIME parts = {.wYear = (WORD)(1980 + (date >> 9)),
                        .wMonth = (WORD)(date >> 5 & 15),
                        .wDay = date & 31,
                        .wHour = clock >> 11,
                        .wMinute = (WORD)(clock >> 5 & 63),
                        .wSecond = (WORD)((clock & 31) * 2)};
    return SystemTimeToFileTime(&parts, time);
}

WINBOOL WINAPI GetSystemTimeAdjustment(PDWORD adjustment, PDWORD increment, PBOOL disabled)
{
    *adjustment = *increment = 156250; /* a clock interrupt in 100 ns */
    *disabled = TRUE;
    return TRUE;
}

/* InterruptTime of KUSER_SHARED_DATA is kept in ticks, as the counter of the performance counter is not. */
VOID WINAPI QueryInterruptTime(PULONGLONG time)
{
    LARGE_INTEGER counter = {.QuadPart = 0};
    LARGE_INTEGER frequency;
    NtQueryPerformanceCounter(&counter, &frequency);
    *time = (ULONGLONG)(counter.QuadPart * (10000000 / frequency.QuadPart));
}

VOID WINAPI QueryUnbiasedInterruptTimePrecise(PULONGLONG time)
{
    QueryInterruptTime(time);
}

WINBOOL WINAPI QueryUnbiasedInterruptTime(PULONGLONG time)
{
    QueryInterruptTime(time);
    return TRUE;
}
