/* winmm: the clock of multimedia programs. */
#include <windows.h>

DWORD WINAPI timeGetTime(VOID)
{
    return GetTickCount();
}

UINT WINAPI timeBeginPeriod(UINT period)
{
    return period != 0 ? 0 : 97; /* TIMERR_NOCANDO */
}

UINT WINAPI timeEndPeriod(UINT period)
{
    return timeBeginPeriod(period);
}
