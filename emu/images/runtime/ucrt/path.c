/* Names of files: removing, renaming, attributes, folders, temporary files. */
#include "ucrt.h"

FILE *_wfopen(const wchar_t *path, const wchar_t *mode);
size_t wcsftime(wchar_t *, size_t, const wchar_t *, const struct tm *);
wchar_t *wcscpy(wchar_t *, const wchar_t *);
char *strcpy(char *, const char *);
int _wcsicmp(const wchar_t *, const wchar_t *);
wchar_t *wcsrchr(const wchar_t *, wchar_t);
long long _mkgmtime64(struct tm *);
intptr_t _get_osfhandle(int file);

static int result_of(BOOL done)
{
    if (!done)
        map_error(GetLastError());
    return done ? 0 : -1;
}

int _wremove(const wchar_t *path)
{
    return result_of(DeleteFileW(path));
}

int _wunlink(const wchar_t *path)
{
    return _wremove(path);
}

int _wrename(const wchar_t *from, const wchar_t *to)
{
    return result_of(MoveFileExW(from, to, MOVEFILE_COPY_ALLOWED));
}

int _wmkdir(const wchar_t *path)
{
    return result_of(CreateDirectoryW(path, NULL));
}

int _wrmdir(const wchar_t *path)
{
    return result_of(RemoveDirectoryW(path));
}

int _wchdir(const wchar_t *path)
{
    return result_of(SetCurrentDirectoryW(path));
}

int _waccess_s(const wchar_t *path, int mode)
{
    REQUIRE(path != NULL && (mode & ~6) == 0, EINVAL, EINVAL);
    DWORD attributes = GetFileAttributesW(path);
    if (attributes == INVALID_FILE_ATTRIBUTES) {
        map_error(GetLastError());
        return *_errno();
    }
    if ((mode & 2) && (attributes & FILE_ATTRIBUTE_READONLY) && !(attributes & FILE_ATTRIBUTE_DIRECTORY)) {
        *_errno() = EACCES;
        return EACCES;
    }
    return 0;
}

int _waccess(const wchar_t *path, int mode)
{
    return _waccess_s(path, mode) == 0 ? 0 : -1;
}

int _wchmod(const wchar_t *path, int mode)
{
    DWORD attributes = GetFileAttributesW(path);
    if (attributes == INVALID_FILE_ATTRIBUTES)
        return result_of(FALSE);
    attributes = mode & 0x80 ? attributes & ~(DWORD)FILE_ATTRIBUTE_READONLY : attributes | FILE_ATTRIBUTE_READONLY;
    return result_of(SetFileAttributesW(path, attributes));
}

#define NARROW_PATH(name, wide_name)                                                                                   \
    int name(const char *path)                                                                                         \
    {                                                                                                                  \
        wchar_t *wide = narrow_to_wide(path);                                                                          \
        int result = wide_name(wide);                                                                                  \
        free(wide);                                                                                                    \
        return result;                                                                                                 \
    }
#define NARROW_PATH_MODE(name, wide_name)                                                                              \
    int name(const char *path, int mode)                                                                               \
    {                                                                                                                  \
        wchar_t *wide = narrow_to_wide(path);                                                                          \
        int result = wide_name(wide, mode);                                                                            \
        free(wide);                                                                                                    \
        return result;                                                                                                 \
    }
NARROW_PATH(remove, _wremove)
NARROW_PATH(_unlink, _wunlink)
NARROW_PATH(_mkdir, _wmkdir)
NARROW_PATH(_rmdir, _wrmdir)
NARROW_PATH(_chdir, _wchdir)
NARROW_PATH_MODE(_access, _waccess)
NARROW_PATH_MODE(_access_s, _waccess_s)
NARROW_PATH_MODE(_chmod, _wchmod)

int rename(const char *from, const char *to)
{
    wchar_t *wide_from = narrow_to_wide(from), *wide_to = narrow_to_wide(to);
    int result = _wrename(wide_from, wide_to);
    free(wide_from);
    free(wide_to);
    return result;
}

wchar_t *_wgetcwd(wchar_t *buffer, int size)
{
    wchar_t path[MAX_PATH];
    DWORD length = GetCurrentDirectoryW(MAX_PATH, path);
    if (buffer == NULL) {
        buffer = malloc((size > (int)length ? (size_t)size : length + 1) * sizeof(*buffer));
        if (buffer == NULL)
            return NULL;
    } else if (size <= (int)length) {
        *_errno() = ERANGE;
        return NULL;
    }
    return wcscpy(buffer, path);
}

char *_getcwd(char *buffer, int size)
{
    wchar_t *wide = _wgetcwd(NULL, 0);
    char *narrow = widened_to_narrow(wide);
    free(wide);
    if (buffer == NULL || narrow == NULL)
        return narrow;
    size_t length = strlen(narrow);
    if ((int)length < size)
        strcpy(buffer, narrow);
    free(narrow);
    if ((int)length < size)
        return buffer;
    *_errno() = ERANGE;
    return NULL;
}

wchar_t *_wfullpath(wchar_t *buffer, const wchar_t *path, size_t size)
{
    wchar_t full[MAX_PATH];
    DWORD length = GetFullPathNameW(path, MAX_PATH, full, NULL);
    if (length == 0 || length >= MAX_PATH)
        return NULL;
    if (buffer == NULL)
        return _wcsdup(full);
    REQUIRE(length < size, ERANGE, NULL);
    return wcscpy(buffer, full);
}

char *_fullpath(char *buffer, const char *path, size_t size)
{
    wchar_t *wide = narrow_to_wide(path), *full = _wfullpath(NULL, wide, 0);
    free(wide);
    char *narrow = widened_to_narrow(full);
    free(full);
    if (buffer == NULL || narrow == NULL)
        return narrow;
    if (strlen(narrow) < size)
        strcpy(buffer, narrow);
    else {
        *_errno() = ERANGE;
        buffer = NULL;
    }
    free(narrow);
    return buffer;
}

/* --- stat: struct _stat64 of sys/stat.h */
struct stat64 {
    unsigned device;
    unsigned short inode, mode;
    short links, user, group;
    unsigned special;
    long long size, accessed, modified, changed;
};
struct stat64i32 {
    unsigned device;
    unsigned short inode, mode;
    short links, user, group;
    unsigned special;
    long size;
    long long accessed, modified, changed;
};
C_ASSERT(sizeof(struct stat64) == 56);
C_ASSERT(sizeof(struct stat64i32) == 48);

static long long seconds_of(FILETIME time)
{
    long long ticks = (long long)time.dwHighDateTime << 32 | time.dwLowDateTime;
    return ticks == 0 ? 0 : (ticks - 116444736000000000ll) / 10000000;
}

static void fill_times(struct stat64 *result, DWORD attributes, FILETIME *times, long long size)
{
    int folder = attributes & FILE_ATTRIBUTE_DIRECTORY;
    unsigned short access = attributes & FILE_ATTRIBUTE_READONLY ? 0444 : 0666;
    memset(result, 0, sizeof(*result));
    result->mode = folder ? 0040777 : (unsigned short)(0100000 | access);
    result->links = 1;
    result->size = folder ? 0 : size;
    result->changed = seconds_of(times[0]);
    result->accessed = seconds_of(times[1]);
    result->modified = seconds_of(times[2]);
    result->device = result->special = 2; /* drive C */
}

int _wstat64(const wchar_t *path, struct stat64 *result)
{
    WIN32_FILE_ATTRIBUTE_DATA data;
    REQUIRE(path != NULL && result != NULL, EINVAL, -1);
    if (!GetFileAttributesExW(path, GetFileExInfoStandard, &data)) {
        map_error(GetLastError());
        *_errno() = ENOENT;
        return -1;
    }
    FILETIME times[] = {data.ftCreationTime, data.ftLastAccessTime, data.ftLastWriteTime};
    fill_times(result, data.dwFileAttributes, times, (long long)data.nFileSizeHigh << 32 | data.nFileSizeLow);
    const wchar_t *point = wcsrchr(path, '.');
    static const wchar_t *const programs[] = {L".exe", L".com", L".bat", L".cmd"};
    for (int i = 0; i < 4 && point != NULL; i++)
        if (_wcsicmp(point, programs[i]) == 0)
            result->mode |= 0111;
    return 0;
}

int _stat64(const char *path, struct stat64 *result)
{
    wchar_t *wide = narrow_to_wide(path);
    int code = _wstat64(wide, result);
    free(wide);
    return code;
}

int _fstat64(int file, struct stat64 *result)
{
    BY_HANDLE_FILE_INFORMATION data;
    REQUIRE(result != NULL, EINVAL, -1);
    intptr_t handle = _get_osfhandle(file);
    if (handle == -1)
        return -1;
    if (_isatty(file)) {
        memset(result, 0, sizeof(*result));
        result->mode = 0020000; /* _S_IFCHR */
        result->links = 1;
        result->device = result->special = (unsigned)file;
        return 0;
    }
    if (!GetFileInformationByHandle((HANDLE)handle, &data))
        return result_of(FALSE);
    FILETIME times[] = {data.ftCreationTime, data.ftLastAccessTime, data.ftLastWriteTime};
    fill_times(result, data.dwFileAttributes, times, (long long)data.nFileSizeHigh << 32 | data.nFileSizeLow);
    return 0;
}

static int narrow_size(int code, const struct stat64 *from, struct stat64i32 *to)
{
    if (code != 0)
        return code;
    memcpy(to, from, offsetof(struct stat64i32, size));
    to->size = (long)from->size;
    to->accessed = from->accessed;
    to->modified = from->modified;
    to->changed = from->changed;
    return 0;
}

int _stat64i32(const char *path, struct stat64i32 *result)
{
    struct stat64 wide;
    return narrow_size(_stat64(path, &wide), &wide, result);
}

int _wstat64i32(const wchar_t *path, struct stat64i32 *result)
{
    struct stat64 wide;
    return narrow_size(_wstat64(path, &wide), &wide, result);
}

int _fstat64i32(int file, struct stat64i32 *result)
{
    struct stat64 wide;
    return narrow_size(_fstat64(file, &wide), &wide, result);
}

int _umask(int mode)
{
    UNREFERENCED_PARAMETER(mode);
    return 0;
}

/* --- temporary files */
static LONG temporary_count;

wchar_t *_wtempnam(const wchar_t *folder, const wchar_t *prefix)
{
    wchar_t path[MAX_PATH + 32];
    size_t length = GetTempPathW(MAX_PATH, path);
    UNREFERENCED_PARAMETER(folder);
    for (; prefix != NULL && *prefix && length < MAX_PATH; prefix++)
        path[length++] = *prefix;
    LONG number = InterlockedIncrement(&temporary_count);
    path[length++] = 's';
    do {
        path[length++] = (wchar_t)('a' + number % 26);
        number /= 26;
    } while (number != 0);
    path[length++] = '.';
    path[length] = 0;
    return _wcsdup(path);
}

char *_tempnam(const char *folder, const char *prefix)
{
    wchar_t *wide_prefix = narrow_to_wide(prefix), *wide = _wtempnam(NULL, wide_prefix);
    UNREFERENCED_PARAMETER(folder);
    char *narrow = widened_to_narrow(wide);
    free(wide_prefix);
    free(wide);
    return narrow;
}

int tmpnam_s(char *buffer, size_t size)
{
    char *name = _tempnam(NULL, NULL);
    REQUIRE(buffer != NULL && name != NULL && strlen(name) < size, EINVAL, EINVAL);
    strcpy(buffer, name);
    free(name);
    return 0;
}

char *tmpnam(char *buffer)
{
    if (buffer == NULL)
        buffer = this_thread()->message;
    return tmpnam_s(buffer, sizeof(this_thread()->message)) == 0 ? buffer : NULL;
}

FILE *tmpfile(void)
{
    wchar_t *name = _wtempnam(NULL, L"t");
    FILE *stream = name != NULL ? _wfopen(name, L"w+bD") : NULL;
    free(name);
    return stream;
}

int tmpfile_s(FILE **stream)
{
    REQUIRE(stream != NULL, EINVAL, EINVAL);
    *stream = tmpfile();
    return *stream != NULL ? 0 : *_errno();
}

/* --- parts of a path: learn.microsoft.com "_splitpath", "_makepath" */
#define PARTS(split, make, CHAR, length_of)                                                                            \
    static void split##_part(CHAR *to, const CHAR *from, size_t count)                                                 \
    {                                                                                                                  \
        if (to == NULL)                                                                                                \
            return;                                                                                                    \
        memcpy(to, from, count * sizeof(CHAR));                                                                        \
        to[count] = 0;                                                                                                 \
    }                                                                                                                  \
    void split(const CHAR *path, CHAR *drive, CHAR *folder, CHAR *name, CHAR *extension)                               \
    {                                                                                                                  \
        size_t drive_length = path[0] && path[1] == ':' ? 2 : 0, length = length_of(path), base = drive_length;        \
        for (size_t i = drive_length; i < length; i++)                                                                 \
            if (path[i] == '\\' || path[i] == '/')                                                                     \
                base = i + 1;                                                                                          \
        size_t point = length;                                                                                         \
        for (size_t i = length; i-- > base;)                                                                           \
            if (path[i] == '.') {                                                                                      \
                point = i;                                                                                             \
                break;                                                                                                 \
            }                                                                                                          \
        split##_part(drive, path, drive_length);                                                                       \
        split##_part(folder, path + drive_length, base - drive_length);                                                \
        split##_part(name, path + base, point - base);                                                                 \
        split##_part(extension, path + point, length - point);                                                         \
    }                                                                                                                  \
    void make(CHAR *path, const CHAR *drive, const CHAR *folder, const CHAR *name, const CHAR *extension)              \
    {                                                                                                                  \
        if (drive != NULL && *drive) {                                                                                 \
            *path++ = *drive;                                                                                          \
            *path++ = ':';                                                                                             \
        }                                                                                                              \
        if (folder != NULL && *folder) {                                                                               \
            while (*folder)                                                                                            \
                *path++ = *folder++;                                                                                   \
            if (path[-1] != '\\' && path[-1] != '/')                                                                   \
                *path++ = '\\';                                                                                        \
        }                                                                                                              \
        while (name != NULL && *name)                                                                                  \
            *path++ = *name++;                                                                                         \
        if (extension != NULL && *extension && *extension != '.')                                                      \
            *path++ = '.';                                                                                             \
        while (extension != NULL && *extension)                                                                        \
            *path++ = *extension++;                                                                                    \
        *path = 0;                                                                                                     \
    }
PARTS(_splitpath, _makepath, char, strlen)
PARTS(_wsplitpath, _wmakepath, wchar_t, wcslen)
