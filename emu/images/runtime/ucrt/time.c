/* The clock and the calendar. The clock is the target's, the time zone is UTC. */
#include "ucrt.h"

#define TICKS_OF_SECOND 10000000ll
#define EPOCH 116444736000000000ll /* of 1970, as FILETIME */
#define LAST_TIME 32536850399ll    /* learn.microsoft.com "_gmtime64": 3000-12-31 and a zone's difference */
typedef long long time64;

char *strcpy(char *, const char *);
int _stricmp(const char *, const char *);

static long long now(void)
{
    FILETIME time;
    GetSystemTimePreciseAsFileTime(&time);
    return ((long long)time.dwHighDateTime << 32 | time.dwLowDateTime) - EPOCH;
}

time64 _time64(time64 *result)
{
    time64 value = now() / TICKS_OF_SECOND;
    if (result != NULL)
        *result = value;
    return value;
}

long _time32(long *result)
{
    long value = (long)_time64(NULL);
    if (result != NULL)
        *result = value;
    return value;
}

struct timespec64 {
    time64 seconds;
    long nanoseconds;
};

int _timespec64_get(struct timespec64 *result, int base)
{
    if (base != 1 || result == NULL)
        return 0;
    long long value = now();
    result->seconds = value / TICKS_OF_SECOND;
    result->nanoseconds = (long)(value % TICKS_OF_SECOND * 100);
    return base;
}

struct timeb64 {
    time64 time;
    unsigned short millisecond;
    short zone, daylight;
};

void _ftime64(struct timeb64 *result)
{
    long long value = now();
    result->time = value / TICKS_OF_SECOND;
    result->millisecond = (unsigned short)(value % TICKS_OF_SECOND / 10000);
    result->zone = result->daylight = 0;
}

int _ftime64_s(struct timeb64 *result)
{
    REQUIRE(result != NULL, EINVAL, EINVAL);
    _ftime64(result);
    return 0;
}

long clock(void)
{
    FILETIME created, ended, kernel, user;
    if (!GetProcessTimes(GetCurrentProcess(), &created, &ended, &kernel, &user))
        return -1;
    long long start = ((long long)created.dwHighDateTime << 32 | created.dwLowDateTime) - EPOCH;
    return (long)((now() - start) / 10000); /* documented: wall-clock milliseconds since the start */
}

double _difftime64(time64 end, time64 start)
{
    return (double)(end - start);
}

double _difftime32(long end, long start)
{
    return (double)end - (double)start;
}

/* --- days and dates of the Gregorian calendar */
static long long days_before(long long year, int month) /* month from 0; day 0 is 1970-01-01 */
{
    static const short cumulative[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    long long before = year - 1;
    long long days = 365 * before + before / 4 - before / 100 + before / 400 - 719162;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days + cumulative[month] + (leap && month > 1);
}

int _gmtime64_s(struct tm *result, const time64 *value)
{
    REQUIRE(result != NULL, EINVAL, EINVAL);
    memset(result, 0xFF, sizeof(*result));
    REQUIRE(value != NULL, EINVAL, EINVAL);
    if (*value < -43200 || *value > LAST_TIME) {
        *_errno() = EINVAL;
        return EINVAL;
    }
    long long days = *value / 86400, second = *value % 86400;
    if (second < 0) {
        second += 86400;
        days--;
    }
    long long year = 1970 + days / 366;
    while (days_before(year + 1, 0) <= days)
        year++;
    int month = 0;
    while (month < 11 && days_before(year, month + 1) <= days)
        month++;
    result->tm_year = (int)(year - 1900);
    result->tm_mon = month;
    result->tm_mday = (int)(days - days_before(year, month)) + 1;
    result->tm_yday = (int)(days - days_before(year, 0));
    result->tm_wday = (int)((days % 7 + 11) % 7); /* 1970-01-01 was a Thursday */
    result->tm_hour = (int)(second / 3600);
    result->tm_min = (int)(second / 60 % 60);
    result->tm_sec = (int)(second % 60);
    result->tm_isdst = 0;
    return 0;
}

int _localtime64_s(struct tm *result, const time64 *value)
{
    return _gmtime64_s(result, value);
}

struct tm *_gmtime64(const time64 *value)
{
    struct tm *result = &this_thread()->time;
    return _gmtime64_s(result, value) == 0 ? result : NULL;
}

struct tm *_localtime64(const time64 *value)
{
    return _gmtime64(value);
}

struct tm *_gmtime32(const long *value)
{
    time64 wide = *value;
    return _gmtime64(&wide);
}

struct tm *_localtime32(const long *value)
{
    return _gmtime32(value);
}

int _gmtime32_s(struct tm *result, const long *value)
{
    time64 wide = value != NULL ? *value : 0;
    return _gmtime64_s(result, value != NULL ? &wide : NULL);
}

int _localtime32_s(struct tm *result, const long *value)
{
    return _gmtime32_s(result, value);
}

time64 _mkgmtime64(struct tm *time)
{
    REQUIRE(time != NULL, EINVAL, -1);
    long long month = time->tm_mon, year = 1900ll + time->tm_year + month / 12;
    month %= 12;
    if (month < 0) {
        month += 12;
        year--;
    }
    long long days = days_before(year, (int)month) + time->tm_mday - 1;
    time64 value = ((days * 24 + time->tm_hour) * 60 + time->tm_min) * 60 + time->tm_sec;
    struct tm normal;
    if (value < 0 || _gmtime64_s(&normal, &value) != 0) {
        *_errno() = EINVAL;
        return -1;
    }
    *time = normal;
    return value;
}

time64 _mktime64(struct tm *time)
{
    return _mkgmtime64(time);
}

long _mktime32(struct tm *time)
{
    return (long)_mkgmtime64(time);
}

long _mkgmtime32(struct tm *time)
{
    return (long)_mkgmtime64(time);
}

static const char day_names[7][10] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char month_names[12][10] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};

int asctime_s(char *buffer, size_t size, const struct tm *time)
{
    REQUIRE(buffer != NULL && size >= 26, EINVAL, EINVAL);
    REQUIRE(time != NULL && (unsigned)time->tm_wday < 7 && (unsigned)time->tm_mon < 12, EINVAL, EINVAL);
    format_text(buffer, size, "%.3s %.3s %02d %02d:%02d:%02d %d\n", day_names[time->tm_wday], month_names[time->tm_mon],
                time->tm_mday, time->tm_hour, time->tm_min, time->tm_sec, 1900 + time->tm_year);
    return 0;
}

char *asctime(const struct tm *time)
{
    char *buffer = this_thread()->asctime;
    return asctime_s(buffer, 26, time) == 0 ? buffer : NULL;
}

wchar_t *_wasctime(const struct tm *time)
{
    char *narrow = asctime(time);
    if (narrow == NULL)
        return NULL;
    mbstowcs(this_thread()->wasctime, narrow, 26);
    return this_thread()->wasctime;
}

char *_ctime64(const time64 *value)
{
    struct tm *time = _localtime64(value);
    return time != NULL ? asctime(time) : NULL;
}

char *_ctime32(const long *value)
{
    time64 wide = *value;
    return _ctime64(&wide);
}

int _ctime64_s(char *buffer, size_t size, const time64 *value)
{
    struct tm time;
    int error = _localtime64_s(&time, value);
    return error != 0 ? error : asctime_s(buffer, size, &time);
}

wchar_t *_wctime64(const time64 *value)
{
    struct tm *time = _localtime64(value);
    return time != NULL ? _wasctime(time) : NULL;
}

char *_strdate(char *buffer)
{
    time64 value = _time64(NULL);
    struct tm time;
    _localtime64_s(&time, &value);
    format_text(buffer, 9, "%02d/%02d/%02d", time.tm_mon + 1, time.tm_mday, time.tm_year % 100);
    return buffer;
}

char *_strtime(char *buffer)
{
    time64 value = _time64(NULL);
    struct tm time;
    _localtime64_s(&time, &value);
    format_text(buffer, 9, "%02d:%02d:%02d", time.tm_hour, time.tm_min, time.tm_sec);
    return buffer;
}

/* --- strftime */
static int iso_week(const struct tm *t, int *year)
{
    int monday_based = (t->tm_wday + 6) % 7;
    int week = (t->tm_yday - monday_based + 10) / 7;
    *year = 1900 + t->tm_year;
    if (week < 1) {
        --*year;
        int days = (int)(days_before(*year + 1, 0) - days_before(*year, 0));
        week = (t->tm_yday + days - monday_based + 10) / 7;
    } else if (week == 53 && days_before(*year + 1, 0) - days_before(*year, 0) - t->tm_yday <= 3 - monday_based) {
        ++*year;
        week = 1;
    }
    return week;
}

static int one_field(char *out, size_t size, char kind, int plain, const struct tm *t)
{
    int hour12 = t->tm_hour % 12 == 0 ? 12 : t->tm_hour % 12, year;
    const char *two = plain ? "%d" : "%02d";
    switch (kind) {
    case 'a':
        return format_text(out, size, "%.3s", day_names[t->tm_wday % 7]);
    case 'A':
        return format_text(out, size, "%s", day_names[t->tm_wday % 7]);
    case 'b':
    case 'h':
        return format_text(out, size, "%.3s", month_names[t->tm_mon % 12]);
    case 'B':
        return format_text(out, size, "%s", month_names[t->tm_mon % 12]);
    case 'c':
        return format_text(out, size, "%.3s %.3s %2d %02d:%02d:%02d %d", day_names[t->tm_wday % 7],
                           month_names[t->tm_mon % 12], t->tm_mday, t->tm_hour, t->tm_min, t->tm_sec, 1900 + t->tm_year);
    case 'C':
        return format_text(out, size, two, (1900 + t->tm_year) / 100);
    case 'd':
        return format_text(out, size, two, t->tm_mday);
    case 'D':
    case 'x':
        return format_text(out, size, "%02d/%02d/%02d", t->tm_mon + 1, t->tm_mday, t->tm_year % 100);
    case 'e':
        return format_text(out, size, "%2d", t->tm_mday);
    case 'F':
        return format_text(out, size, "%d-%02d-%02d", 1900 + t->tm_year, t->tm_mon + 1, t->tm_mday);
    case 'g':
        iso_week(t, &year);
        return format_text(out, size, two, year % 100);
    case 'G':
        iso_week(t, &year);
        return format_text(out, size, "%d", year);
    case 'H':
        return format_text(out, size, two, t->tm_hour);
    case 'I':
        return format_text(out, size, two, hour12);
    case 'j':
        return format_text(out, size, plain ? "%d" : "%03d", t->tm_yday + 1);
    case 'm':
        return format_text(out, size, two, t->tm_mon + 1);
    case 'M':
        return format_text(out, size, two, t->tm_min);
    case 'n':
        return format_text(out, size, "\n");
    case 'p':
        return format_text(out, size, "%s", t->tm_hour < 12 ? "AM" : "PM");
    case 'r':
        return format_text(out, size, "%02d:%02d:%02d %s", hour12, t->tm_min, t->tm_sec, t->tm_hour < 12 ? "AM" : "PM");
    case 'R':
        return format_text(out, size, "%02d:%02d", t->tm_hour, t->tm_min);
    case 'S':
        return format_text(out, size, two, t->tm_sec);
    case 't':
        return format_text(out, size, "\t");
    case 'T':
    case 'X':
        return format_text(out, size, "%02d:%02d:%02d", t->tm_hour, t->tm_min, t->tm_sec);
    case 'u':
        return format_text(out, size, "%d", t->tm_wday == 0 ? 7 : t->tm_wday);
    case 'U':
        return format_text(out, size, two, (t->tm_yday + 7 - t->tm_wday) / 7);
    case 'V':
        return format_text(out, size, two, iso_week(t, &year));
    case 'w':
        return format_text(out, size, "%d", t->tm_wday);
    case 'W':
        return format_text(out, size, two, (t->tm_yday + 7 - (t->tm_wday + 6) % 7) / 7);
    case 'y':
        return format_text(out, size, two, t->tm_year % 100);
    case 'Y':
        return format_text(out, size, "%d", 1900 + t->tm_year);
    case 'z':
        return format_text(out, size, "+0000");
    case 'Z':
        return format_text(out, size, "UTC");
    case '%':
        return format_text(out, size, "%%");
    }
    return -1;
}

size_t strftime(char *buffer, size_t size, const char *format, const struct tm *time)
{
    size_t n = 0;
    REQUIRE(buffer != NULL && size != 0 && format != NULL, EINVAL, 0);
    buffer[0] = 0;
    for (; *format; format++) {
        char field[64] = {*format, 0};
        int length = 1;
        if (*format == '%') {
            REQUIRE(time != NULL, EINVAL, 0);
            int plain = format[1] == '#';
            format += 1 + plain;
            if (*format == 'E' || *format == 'O')
                format++;
            length = one_field(field, sizeof(field), *format, plain, time);
            REQUIRE(length >= 0, EINVAL, 0);
        }
        if (n + (size_t)length >= size) {
            buffer[0] = 0;
            *_errno() = ERANGE;
            return 0;
        }
        memcpy(buffer + n, field, (size_t)length);
        n += (size_t)length;
    }
    buffer[n] = 0;
    return n;
}

size_t _strftime_l(char *buffer, size_t size, const char *format, const struct tm *time, void *locale)
{
    UNREFERENCED_PARAMETER(locale);
    return strftime(buffer, size, format, time);
}

size_t wcsftime(wchar_t *buffer, size_t size, const wchar_t *format, const struct tm *time)
{
    char *narrow_format = widened_to_narrow(format), *narrow = malloc(size);
    size_t n = narrow_format != NULL && narrow != NULL ? strftime(narrow, size, narrow_format, time) : 0;
    if (narrow != NULL)
        mbstowcs(buffer, narrow, n + 1);
    free(narrow_format);
    free(narrow);
    return n;
}

/* --- the zone */
static int daylight, zone;
static long difference = -3600;
static char standard_name[] = "UTC", daylight_name[] = "UTC";
static char *zone_names[] = {standard_name, daylight_name};

void _tzset(void)
{
}

int *__daylight(void)
{
    return &daylight;
}

int *__timezone(void)
{
    return &zone;
}

long *__dstbias(void)
{
    return &difference;
}

char **__tzname(void)
{
    return zone_names;
}

int _get_timezone(int *value)
{
    *value = zone;
    return 0;
}

int _get_daylight(int *value)
{
    *value = daylight;
    return 0;
}
