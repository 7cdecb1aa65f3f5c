/* Bit maps, times, versions. */
#include "runtime.h"

/* --- bit maps ------------------------------------------------------------------------------------------------------*/

VOID RtlInitializeBitMap(PRTL_BITMAP Map, PULONG Buffer, ULONG Size)
{
    Map->SizeOfBitMap = Size;
    Map->Buffer = Buffer;
}

BOOLEAN RtlTestBit(PRTL_BITMAP Map, ULONG Bit) { return Map->Buffer[Bit / 32] >> Bit % 32 & 1; }

VOID RtlSetBit(PRTL_BITMAP Map, ULONG Bit) { Map->Buffer[Bit / 32] |= 1u << Bit % 32; }

VOID RtlClearBit(PRTL_BITMAP Map, ULONG Bit) { Map->Buffer[Bit / 32] &= ~(1u << Bit % 32); }

VOID RtlSetBits(PRTL_BITMAP Map, ULONG Start, ULONG Count)
{
    for (; Count--; Start++)
        RtlSetBit(Map, Start);
}

VOID RtlClearBits(PRTL_BITMAP Map, ULONG Start, ULONG Count)
{
    for (; Count--; Start++)
        RtlClearBit(Map, Start);
}

VOID RtlSetAllBits(PRTL_BITMAP Map) { memset(Map->Buffer, 0xFF, (Map->SizeOfBitMap + 31) / 32 * 4); }

VOID RtlClearAllBits(PRTL_BITMAP Map) { memset(Map->Buffer, 0, (Map->SizeOfBitMap + 31) / 32 * 4); }

static BOOLEAN AreBits(PRTL_BITMAP Map, ULONG Start, ULONG Count, BOOLEAN Value)
{
    if (Start > Map->SizeOfBitMap || Count > Map->SizeOfBitMap - Start)
        return FALSE;
    while (Count--)
        if (RtlTestBit(Map, Start++) != Value)
            return FALSE;
    return TRUE;
}

BOOLEAN RtlAreBitsSet(PRTL_BITMAP Map, ULONG Start, ULONG Count) { return Count && AreBits(Map, Start, Count, TRUE); }

BOOLEAN RtlAreBitsClear(PRTL_BITMAP Map, ULONG Start, ULONG Count) { return Count && AreBits(Map, Start, Count, FALSE); }

static ULONG FindBits(PRTL_BITMAP Map, ULONG Count, ULONG Hint, BOOLEAN Value)
{
    for (ULONG turn = 0; turn < 2; turn++, Hint = 0)
        for (ULONG at = Hint < Map->SizeOfBitMap ? Hint : 0; at + Count <= Map->SizeOfBitMap; at++)
            if (AreBits(Map, at, Count, Value))
                return at;
    return ~0u;
}

ULONG RtlFindClearBits(PRTL_BITMAP Map, ULONG Count, ULONG Hint) { return FindBits(Map, Count, Hint, FALSE); }

ULONG RtlFindSetBits(PRTL_BITMAP Map, ULONG Count, ULONG Hint) { return FindBits(Map, Count, Hint, TRUE); }

ULONG RtlFindClearBitsAndSet(PRTL_BITMAP Map, ULONG Count, ULONG Hint)
{
    ULONG found = FindBits(Map, Count, Hint, FALSE);
    if (found != ~0u)
        RtlSetBits(Map, found, Count);
    return found;
}

ULONG RtlFindSetBitsAndClear(PRTL_BITMAP Map, ULONG Count, ULONG Hint)
{
    ULONG found = FindBits(Map, Count, Hint, TRUE);
    if (found != ~0u)
        RtlClearBits(Map, found, Count);
    return found;
}

ULONG RtlNumberOfSetBits(PRTL_BITMAP Map)
{
    ULONG count = 0;
    for (ULONG i = 0; i < Map->SizeOfBitMap; i++)
        count += RtlTestBit(Map, i);
    return count;
}

ULONG RtlNumberOfClearBits(PRTL_BITMAP Map) { return Map->SizeOfBitMap - RtlNumberOfSetBits(Map); }

/* --- times: 100 ns units since 1601, the Gregorian calendar throughout ----------------------------------------------*/

#define SECOND 10000000ll
#define DAY (86400 * SECOND)

static BOOLEAN IsLeap(LONG Year) { return Year % 4 == 0 && (Year % 100 || Year % 400 == 0); }

static LONG DaysOfMonth(LONG Year, LONG Month)
{
    static const UCHAR days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return days[Month - 1] + (Month == 2 && IsLeap(Year));
}

VOID RtlTimeToTimeFields(PLARGE_INTEGER Time, PTIME_FIELDS Fields)
{
    LONGLONG days = Time->QuadPart / DAY, rest = Time->QuadPart % DAY;
    LONG year = 1601, month = 1;
    Fields->Weekday = (CSHORT)((days + 1) % 7); /* the first of January 1601 was a Monday */
    for (; days >= 365 + IsLeap(year); year++)
        days -= 365 + IsLeap(year);
    for (; days >= DaysOfMonth(year, month); month++)
        days -= DaysOfMonth(year, month);
    Fields->Year = (CSHORT)year;
    Fields->Month = (CSHORT)month;
    Fields->Day = (CSHORT)(days + 1);
    Fields->Hour = (CSHORT)(rest / (3600 * SECOND));
    Fields->Minute = (CSHORT)(rest / (60 * SECOND) % 60);
    Fields->Second = (CSHORT)(rest / SECOND % 60);
    Fields->Milliseconds = (CSHORT)(rest / 10000 % 1000);
}

BOOLEAN RtlTimeFieldsToTime(PTIME_FIELDS Fields, PLARGE_INTEGER Time)
{
    if (Fields->Year < 1601 || Fields->Month < 1 || Fields->Month > 12 || Fields->Day < 1 ||
        Fields->Day > DaysOfMonth(Fields->Year, Fields->Month) || Fields->Hour < 0 || Fields->Hour > 23 ||
        Fields->Minute < 0 || Fields->Minute > 59 || Fields->Second < 0 || Fields->Second > 59)
        return FALSE;
    LONGLONG days = Fields->Day - 1;
    for (LONG year = 1601; year < Fields->Year; year++)
        days += 365 + IsLeap(year);
    for (LONG month = 1; month < Fields->Month; month++)
        days += DaysOfMonth(Fields->Year, month);
    Time->QuadPart = days * DAY + (Fields->Hour * 3600ll + Fields->Minute * 60ll + Fields->Second) * SECOND +
                     Fields->Milliseconds * 10000ll;
    return TRUE;
}

/* The system's time zone is UTC. */
VOID ExSystemTimeToLocalTime(PLARGE_INTEGER System, PLARGE_INTEGER Local) { *Local = *System; }

VOID ExLocalTimeToSystemTime(PLARGE_INTEGER Local, PLARGE_INTEGER System) { *System = *Local; }

ULONG ExSetTimerResolution(ULONG Desired, BOOLEAN Set) { return (void)Desired, (void)Set, KeTimeIncrement; }

/* --- versions ------------------------------------------------------------------------------------------------------*/

NTSTATUS RtlGetVersion(PRTL_OSVERSIONINFOW Version)
{
    const BOOT_PARAMETERS *boot = KiBootParameters;
    Version->dwMajorVersion = boot->NtMajorVersion;
    Version->dwMinorVersion = boot->NtMinorVersion;
    Version->dwBuildNumber = boot->BuildNumber;
    Version->dwPlatformId = 2; /* VER_PLATFORM_WIN32_NT */
    memset(Version->szCSDVersion, 0, sizeof Version->szCSDVersion);
    if (Version->dwOSVersionInfoSize >= sizeof(RTL_OSVERSIONINFOEXW)) {
        PRTL_OSVERSIONINFOEXW more = (PRTL_OSVERSIONINFOEXW)Version;
        more->wServicePackMajor = more->wServicePackMinor = 0;
        more->wSuiteMask = (USHORT)boot->SuiteMask;
        more->wProductType = (UCHAR)boot->ProductType;
        more->wReserved = 0;
    }
    return STATUS_SUCCESS;
}

BOOLEAN PsGetVersion(PULONG Major, PULONG Minor, PULONG Build, PUNICODE_STRING Csd)
{
    const BOOT_PARAMETERS *boot = KiBootParameters;
    if (Major)
        *Major = boot->NtMajorVersion;
    if (Minor)
        *Minor = boot->NtMinorVersion;
    if (Build)
        *Build = boot->BuildNumber;
    if (Csd)
        Csd->Length = 0;
    return FALSE; /* a free build */
}

BOOLEAN RtlIsNtDdiVersionAvailable(ULONG Version)
{
    const BOOT_PARAMETERS *boot = KiBootParameters;
    return Version <= (boot->NtMajorVersion << 24 | boot->NtMinorVersion << 16);
}

/* No verifier settings differ from what this kernel always checks. */
LOGICAL MmIsDriverVerifying(PDRIVER_OBJECT Driver) { return (void)Driver, TRUE; }

LOGICAL MmIsDriverVerifyingByAddress(PVOID Address) { return PsDriverNumber((ULONG64)Address) != 0; }
