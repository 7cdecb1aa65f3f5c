/* Files by number: handles, and the conversion between LF and CR LF in text mode. */
#include "ucrt.h"

#define FILES 2048
#define OPEN 0x01
#define AT_END 0x02
#define CRLF_SEEN 0x04
#define APPEND 0x20
#define DEVICE 0x40
#define TEXT 0x80

typedef struct file_entry {
    HANDLE handle;
    UCHAR flags;
    UCHAR ahead_set; /* a byte was read after a CR that was no LF, from something that cannot seek */
    char ahead;
} file_entry;

static file_entry files[FILES];
static CRITICAL_SECTION files_lock = {NULL, -1, 0, NULL, NULL, 0};

void initialize_files(void)
{
    static const DWORD names[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
    for (int i = 0; i < 3; i++) {
        HANDLE handle = GetStdHandle(names[i]);
        DWORD type = handle != NULL && handle != INVALID_HANDLE_VALUE ? GetFileType(handle) & 0xFF : FILE_TYPE_UNKNOWN;
        files[i].handle = type != FILE_TYPE_UNKNOWN ? handle : (HANDLE)-2; /* _NO_CONSOLE_FILENO */
        files[i].flags = OPEN | TEXT | (type != FILE_TYPE_DISK ? DEVICE : 0);
    }
}

static file_entry *entry_of(int file)
{
    return (unsigned)file < FILES && (files[file].flags & OPEN) ? &files[file] : NULL;
}

#define REQUIRE_FILE(entry, result) REQUIRE((entry) != NULL, EBADF, result)

int file_is_text(int file)
{
    file_entry *entry = entry_of(file);
    return entry != NULL && (entry->flags & TEXT);
}

int file_had_crlf(int file)
{
    file_entry *entry = entry_of(file);
    return entry != NULL && (entry->flags & CRLF_SEEN);
}

int _isatty(int file)
{
    file_entry *entry = entry_of(file);
    return entry != NULL && (entry->flags & DEVICE);
}

static int new_file(HANDLE handle, UCHAR flags)
{
    int found = -1;
    EnterCriticalSection(&files_lock);
    for (int i = 3; i < FILES && found < 0; i++)
        if (!(files[i].flags & OPEN)) {
            files[i] = (file_entry){handle, flags | OPEN, 0, 0};
            found = i;
        }
    LeaveCriticalSection(&files_lock);
    if (found < 0)
        *_errno() = EMFILE;
    return found;
}

int open_file(const wchar_t *path, int flags, int share, int permissions)
{
    static const DWORD accesses[] = {GENERIC_READ, GENERIC_WRITE, GENERIC_READ | GENERIC_WRITE, 0};
    DWORD access = accesses[flags & 3], sharing, disposition, attributes = FILE_ATTRIBUTE_NORMAL;
    REQUIRE(path != NULL && access != 0, EINVAL, -1);
    switch (share) { /* share.h: _SH_DENYRW, _SH_DENYWR, _SH_DENYRD, _SH_DENYNO, _SH_SECURE */
    case 0x10:
        sharing = 0;
        break;
    case 0x20:
        sharing = FILE_SHARE_READ;
        break;
    case 0x30:
        sharing = FILE_SHARE_WRITE;
        break;
    case 0x80:
        sharing = access == GENERIC_READ ? FILE_SHARE_READ : 0;
        break;
    default:
        sharing = FILE_SHARE_READ | FILE_SHARE_WRITE;
    }
    switch (flags & (_O_CREAT | _O_EXCL | _O_TRUNC)) {
    case _O_CREAT:
        disposition = OPEN_ALWAYS;
        break;
    case _O_CREAT | _O_EXCL:
    case _O_CREAT | _O_EXCL | _O_TRUNC:
        disposition = CREATE_NEW;
        break;
    case _O_CREAT | _O_TRUNC:
        disposition = CREATE_ALWAYS;
        break;
    case _O_TRUNC:
    case _O_TRUNC | _O_EXCL:
        disposition = TRUNCATE_EXISTING;
        break;
    default:
        disposition = OPEN_EXISTING;
    }
    if ((flags & _O_CREAT) && !(permissions & 0x80)) /* _S_IWRITE */
        attributes = FILE_ATTRIBUTE_READONLY;
    if (flags & _O_TEMPORARY) {
        attributes |= FILE_FLAG_DELETE_ON_CLOSE;
        access |= DELETE;
        sharing |= FILE_SHARE_DELETE;
    }
    SECURITY_ATTRIBUTES security = {sizeof(security), NULL, !(flags & _O_NOINHERIT)};
    HANDLE handle = CreateFileW(path, access, sharing, &security, disposition, attributes, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        map_error(GetLastError());
        return -1;
    }
    int text = flags & _O_BINARY ? 0 : flags & (_O_TEXT | _O_WTEXT | _O_U8TEXT | _O_U16TEXT) ? 1 : default_mode != _O_BINARY;
    UCHAR kept = (text ? TEXT : 0) | (flags & _O_APPEND ? APPEND : 0);
    if ((GetFileType(handle) & 0xFF) != FILE_TYPE_DISK)
        kept |= DEVICE;
    int file = new_file(handle, kept);
    if (file < 0)
        CloseHandle(handle);
    return file;
}

int _wopen(const wchar_t *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    int permissions = flags & _O_CREAT ? va_arg(list, int) : 0x180;
    va_end(list);
    return open_file(path, flags, 0x40, permissions);
}

int _open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    int permissions = flags & _O_CREAT ? va_arg(list, int) : 0x180;
    va_end(list);
    wchar_t *wide = narrow_to_wide(path);
    int file = open_file(wide, flags, 0x40, permissions);
    free(wide);
    return file;
}

int _wsopen_s(int *file, const wchar_t *path, int flags, int share, int permissions)
{
    REQUIRE(file != NULL, EINVAL, EINVAL);
    *file = open_file(path, flags, share, permissions);
    return *file < 0 ? *_errno() : 0;
}

int _sopen_s(int *file, const char *path, int flags, int share, int permissions)
{
    wchar_t *wide = narrow_to_wide(path);
    int result = _wsopen_s(file, wide, flags, share, permissions);
    free(wide);
    return result;
}

int _creat(const char *path, int permissions)
{
    return _open(path, _O_CREAT | _O_TRUNC | _O_RDWR, permissions);
}

int _close(int file)
{
    file_entry *entry = entry_of(file);
    REQUIRE_FILE(entry, -1);
    BOOL done = entry->handle == (HANDLE)-2 || CloseHandle(entry->handle);
    DWORD error = GetLastError();
    entry->flags = 0;
    entry->ahead_set = 0;
    if (!done)
        map_error(error);
    return done ? 0 : -1;
}

static int read_raw(file_entry *entry, char *buffer, unsigned size)
{
    DWORD done = 0;
    if (entry->handle == (HANDLE)-2)
        return 0;
    if (!ReadFile(entry->handle, buffer, size, &done, NULL)) {
        DWORD error = GetLastError();
        if (error == ERROR_BROKEN_PIPE || error == ERROR_HANDLE_EOF)
            return 0;
        map_error(error);
        if (error == ERROR_ACCESS_DENIED)
            *_errno() = EBADF; /* documented: the file is not open for reading */
        return -1;
    }
    return (int)done;
}

int _read(int file, void *result, unsigned size)
{
    file_entry *entry = entry_of(file);
    char *buffer = result;
    REQUIRE_FILE(entry, -1);
    REQUIRE(buffer != NULL && size <= INT_MAX, EINVAL, -1);
    if (size == 0 || (entry->flags & AT_END))
        return 0;
    unsigned had = 0;
    if (entry->ahead_set) {
        buffer[had++] = entry->ahead;
        entry->ahead_set = 0;
    }
    int got = had < size ? read_raw(entry, buffer + had, size - had) : 0;
    if (got < 0)
        return -1;
    got += (int)had;
    if (!(entry->flags & TEXT))
        return got;
    /* text: CR LF is LF, Ctrl-Z ends the file */
    int n = 0;
    entry->flags &= (UCHAR)~CRLF_SEEN;
    for (int i = 0; i < got; i++) {
        if (buffer[i] == 0x1A) {
            if (!(entry->flags & DEVICE))
                entry->flags |= AT_END;
            break;
        }
        if (buffer[i] != '\r') {
            buffer[n++] = buffer[i];
            continue;
        }
        char next = 0;
        int know = i + 1 < got;
        if (know)
            next = buffer[i + 1];
        else if (read_raw(entry, &next, 1) == 1) { /* the LF may be beyond what was asked for */
            if (next == '\n')
                i = got;
            else if (entry->flags & DEVICE) {
                entry->ahead = next;
                entry->ahead_set = 1;
            } else
                SetFilePointerEx(entry->handle, (LARGE_INTEGER){.QuadPart = -1}, NULL, FILE_CURRENT);
        }
        if (next == '\n') {
            entry->flags |= CRLF_SEEN;
            buffer[n++] = '\n';
            i += know;
        } else
            buffer[n++] = '\r';
    }
    return n;
}

int _write(int file, const void *data, unsigned size)
{
    file_entry *entry = entry_of(file);
    const char *text = data;
    char chunk[1024];
    unsigned done = 0;
    REQUIRE_FILE(entry, -1);
    if (size == 0)
        return 0;
    REQUIRE(data != NULL, EINVAL, -1);
    if (entry->handle == (HANDLE)-2) {
        *_errno() = EBADF;
        return -1;
    }
    if (entry->flags & APPEND)
        SetFilePointerEx(entry->handle, (LARGE_INTEGER){.QuadPart = 0}, NULL, FILE_END);
    while (done < size) {
        const char *from = text + done;
        DWORD length = size - done, written;
        unsigned taken = length;
        if (entry->flags & TEXT) {
            length = 0;
            for (taken = 0; done + taken < size && length < sizeof(chunk) - 1; taken++) {
                if (from[taken] == '\n')
                    chunk[length++] = '\r';
                chunk[length++] = from[taken];
            }
            from = chunk;
        }
        if (!WriteFile(entry->handle, from, length, &written, NULL)) {
            DWORD error = GetLastError();
            if (done != 0)
                break;
            map_error(error);
            if (error == ERROR_ACCESS_DENIED)
                *_errno() = EBADF;
            return -1;
        }
        if (written < length) {
            *_errno() = ENOSPC;
            return done != 0 ? (int)done : -1;
        }
        done += taken;
    }
    return (int)done;
}

long long _lseeki64(int file, long long offset, int origin)
{
    file_entry *entry = entry_of(file);
    LARGE_INTEGER position;
    REQUIRE_FILE(entry, -1);
    if (entry->flags & DEVICE) {
        *_errno() = ESPIPE;
        return -1;
    }
    if (!SetFilePointerEx(entry->handle, (LARGE_INTEGER){.QuadPart = offset}, &position, (DWORD)origin)) {
        map_error(GetLastError());
        return -1;
    }
    entry->flags &= (UCHAR)~AT_END;
    entry->ahead_set = 0;
    return position.QuadPart;
}

long _lseek(int file, long offset, int origin)
{
    return (long)_lseeki64(file, offset, origin);
}

long long _telli64(int file)
{
    return _lseeki64(file, 0, FILE_CURRENT);
}

long _tell(int file)
{
    return (long)_telli64(file);
}

long long _filelengthi64(int file)
{
    long long here = _telli64(file);
    if (here < 0)
        return -1;
    long long end = _lseeki64(file, 0, FILE_END);
    _lseeki64(file, here, FILE_BEGIN);
    return end;
}

long _filelength(int file)
{
    return (long)_filelengthi64(file);
}

int _eof(int file)
{
    long long here = _telli64(file);
    return here < 0 ? -1 : here == _filelengthi64(file);
}

int _chsize_s(int file, long long size)
{
    file_entry *entry = entry_of(file);
    REQUIRE_FILE(entry, EBADF);
    REQUIRE(size >= 0, EINVAL, EINVAL);
    long long here = _telli64(file);
    if (here < 0 || _lseeki64(file, size, FILE_BEGIN) < 0)
        return *_errno();
    BOOL done = SetEndOfFile(entry->handle);
    if (!done)
        map_error(GetLastError());
    _lseeki64(file, here, FILE_BEGIN);
    return done ? 0 : *_errno();
}

int _chsize(int file, long size)
{
    return _chsize_s(file, size) == 0 ? 0 : -1;
}

int _commit(int file)
{
    file_entry *entry = entry_of(file);
    REQUIRE_FILE(entry, -1);
    if (!(entry->flags & DEVICE) && !FlushFileBuffers(entry->handle)) {
        map_error(GetLastError());
        *_errno() = EBADF;
        return -1;
    }
    return 0;
}

int _setmode(int file, int mode)
{
    file_entry *entry = entry_of(file);
    REQUIRE_FILE(entry, -1);
    REQUIRE(mode == _O_TEXT || mode == _O_BINARY || mode == _O_WTEXT || mode == _O_U8TEXT || mode == _O_U16TEXT, EINVAL, -1);
    int old = entry->flags & TEXT ? _O_TEXT : _O_BINARY;
    entry->flags = (UCHAR)((entry->flags & ~TEXT) | (mode == _O_BINARY ? 0 : TEXT));
    return old;
}

intptr_t _get_osfhandle(int file)
{
    file_entry *entry = entry_of(file);
    REQUIRE_FILE(entry, -1);
    return (intptr_t)entry->handle;
}

int _open_osfhandle(intptr_t handle, int flags)
{
    UCHAR kept = (flags & _O_TEXT ? TEXT : 0) | (flags & _O_APPEND ? APPEND : 0);
    DWORD type = GetFileType((HANDLE)handle) & 0xFF;
    if (type == FILE_TYPE_UNKNOWN) {
        map_error(GetLastError());
        return -1;
    }
    return new_file((HANDLE)handle, kept | (type != FILE_TYPE_DISK ? DEVICE : 0));
}

static HANDLE duplicate(HANDLE handle)
{
    HANDLE copy = NULL;
    if (!DuplicateHandle(GetCurrentProcess(), handle, GetCurrentProcess(), &copy, 0, TRUE, DUPLICATE_SAME_ACCESS))
        map_error(GetLastError());
    return copy;
}

int _dup(int file)
{
    file_entry *entry = entry_of(file);
    REQUIRE_FILE(entry, -1);
    HANDLE copy = duplicate(entry->handle);
    return copy != NULL ? new_file(copy, entry->flags) : -1;
}

int _dup2(int file, int target)
{
    file_entry *entry = entry_of(file);
    REQUIRE(entry != NULL && (unsigned)target < FILES, EBADF, -1);
    if (file == target)
        return 0;
    HANDLE copy = duplicate(entry->handle);
    if (copy == NULL)
        return -1;
    if (files[target].flags & OPEN)
        _close(target);
    files[target] = (file_entry){copy, entry->flags, 0, 0};
    return 0;
}
