/* Streams: buffers over files by number. A stream on a device is not buffered, but one call's output is written at once. */
#include "ucrt.h"

#define STREAMS 512
#define READING 0x1 /* the bits are those of _IOREAD and so on of msvcrt's struct _iobuf */
#define WRITING 0x2
#define UNBUFFERED 0x4
#define OWN_BUFFER 0x8
#define AT_EOF 0x10
#define FAILED 0x20
#define STRING 0x40
#define BOTH 0x80
#define USER_BUFFER 0x100
#define IN_USE 0x4000
#define BUFFER_SIZE 4096
#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2

typedef struct stream_more {
    CRITICAL_SECTION lock;
    wchar_t *temporary; /* tmpfile's name: deleted at fclose */
    char unread[4];     /* pushed back before the buffer's begin */
    int unread_count;
} stream_more;

static FILE standard[3];
static stream_more standard_more[3];
static FILE *streams[STREAMS];
static CRITICAL_SECTION streams_lock = {NULL, -1, 0, NULL, NULL, 0};

int _wremove(const wchar_t *path);
int _commit(int file);
long long _telli64(int file);

FILE *__acrt_iob_func(unsigned index)
{
    return &standard[index < 3 ? index : 0];
}

void initialize_streams(void)
{
    for (int i = 0; i < 3; i++) {
        InitializeCriticalSection(&standard_more[i].lock);
        standard[i].file = i;
        standard[i].flags = IN_USE | (i == 0 ? READING : WRITING) | (i == 2 ? UNBUFFERED : 0);
        standard[i].more = &standard_more[i];
        streams[i] = &standard[i];
    }
}

void _lock_file(FILE *stream)
{
    if (stream->more != NULL)
        EnterCriticalSection(&stream->more->lock);
}

void _unlock_file(FILE *stream)
{
    if (stream->more != NULL)
        LeaveCriticalSection(&stream->more->lock);
}

static FILE *new_stream(void)
{
    FILE *stream = NULL;
    EnterCriticalSection(&streams_lock);
    for (int i = 3; i < STREAMS && stream == NULL; i++) {
        if (streams[i] == NULL && (streams[i] = calloc(1, sizeof(FILE))) != NULL &&
            (streams[i]->more = calloc(1, sizeof(stream_more))) != NULL)
            InitializeCriticalSection(&streams[i]->more->lock);
        if (streams[i] != NULL && !(streams[i]->flags & IN_USE)) {
            stream = streams[i];
            stream_more *more = stream->more;
            memset(stream, 0, sizeof(*stream));
            stream->more = more;
            stream->flags = IN_USE;
            stream->file = -1;
        }
    }
    LeaveCriticalSection(&streams_lock);
    if (stream == NULL)
        *_errno() = EMFILE;
    return stream;
}

static void need_buffer(FILE *stream)
{
    if (stream->base != NULL)
        return;
    if (!(stream->flags & UNBUFFERED) && (stream->base = malloc(BUFFER_SIZE)) != NULL) {
        stream->flags |= OWN_BUFFER;
        stream->size = BUFFER_SIZE;
    } else {
        stream->base = (char *)&stream->pushed;
        stream->size = 1;
        stream->flags |= UNBUFFERED;
    }
    stream->next = stream->base;
    stream->count = 0;
}

static void drop_buffer(FILE *stream)
{
    if (stream->flags & OWN_BUFFER)
        free(stream->base);
    stream->flags &= ~(OWN_BUFFER | USER_BUFFER);
    stream->base = stream->next = NULL;
    stream->count = stream->size = 0;
    stream->more->unread_count = 0;
}

/* Is what the buffer holds still to be written? */
static int holds_output(FILE *stream)
{
    return (stream->flags & WRITING) && !(stream->flags & READING) && stream->base != NULL;
}

static int write_all(FILE *stream, const char *data, size_t size)
{
    while (size != 0) {
        int done = _write(stream->file, data, size > 0x40000000 ? 0x40000000 : (unsigned)size);
        if (done <= 0) {
            stream->flags |= FAILED;
            return EOF;
        }
        data += done;
        size -= (unsigned)done;
    }
    return 0;
}

static int flush_output(FILE *stream)
{
    int result = 0;
    if (holds_output(stream) && stream->next > stream->base)
        result = write_all(stream, stream->base, (size_t)(stream->next - stream->base));
    if (holds_output(stream)) {
        stream->next = stream->base;
        stream->count = 0;
    }
    return result;
}

/* The position of the program in a file that is being read is before what the buffer still holds. */
static long long unread_bytes(FILE *stream)
{
    long long bytes = stream->count + stream->more->unread_count;
    if (file_is_text(stream->file) && file_had_crlf(stream->file))
        for (int i = 0; i < stream->count; i++)
            bytes += stream->next[i] == '\n';
    return bytes;
}

static int stop_reading(FILE *stream)
{
    if ((stream->flags & READING) && (stream->count > 0 || stream->more->unread_count > 0) && !_isatty(stream->file))
        _lseeki64(stream->file, -unread_bytes(stream), SEEK_CUR);
    stream->next = stream->base;
    stream->count = 0;
    stream->more->unread_count = 0;
    return 0;
}

static int start_writing(FILE *stream)
{
    if (!(stream->flags & (WRITING | BOTH))) {
        *_errno() = EBADF;
        stream->flags |= FAILED;
        return EOF;
    }
    if (stream->flags & READING && stream->flags & BOTH) {
        stop_reading(stream);
        stream->flags = (stream->flags & ~(READING | AT_EOF)) | WRITING;
    }
    if (!(stream->flags & WRITING))
        stream->flags |= WRITING;
    if (stream->base == NULL && _isatty(stream->file))
        stream->flags |= UNBUFFERED;
    need_buffer(stream);
    return 0;
}

static int start_reading(FILE *stream)
{
    if (!(stream->flags & (READING | BOTH)) || ((stream->flags & WRITING) && !(stream->flags & BOTH))) {
        *_errno() = EBADF;
        stream->flags |= FAILED;
        return EOF;
    }
    if (stream->flags & WRITING) {
        flush_output(stream);
        stream->flags &= ~WRITING;
    }
    stream->flags |= READING;
    need_buffer(stream);
    return 0;
}

int stream_write(FILE *stream, const char *data, size_t size)
{
    if (start_writing(stream) != 0)
        return EOF;
    if (stream->flags & UNBUFFERED)
        return write_all(stream, data, size);
    size_t room = (size_t)(stream->base + stream->size - stream->next);
    if (size > room) {
        if (flush_output(stream) != 0)
            return EOF;
        if (size >= (size_t)stream->size)
            return write_all(stream, data, size);
    }
    memcpy(stream->next, data, size);
    stream->next += size;
    return 0;
}

/* An unbuffered stream gets a buffer for one call, so that the call writes once. */
int begin_burst(FILE *stream)
{
    if (start_writing(stream) != 0 || !(stream->flags & UNBUFFERED))
        return 0;
    char *buffer = malloc(BUFFER_SIZE);
    if (buffer == NULL)
        return 0;
    stream->flags &= ~UNBUFFERED;
    stream->base = stream->next = buffer;
    stream->size = BUFFER_SIZE;
    return 1;
}

void end_burst(FILE *stream, int began)
{
    if (!began)
        return;
    flush_output(stream);
    free(stream->base);
    stream->base = stream->next = NULL;
    stream->size = 0;
    stream->flags |= UNBUFFERED;
}

static int refill(FILE *stream)
{
    if (stream->flags & AT_EOF && _isatty(stream->file) == 0)
        stream->flags &= ~AT_EOF;
    if (stream == stdin && _isatty(0))
        fflush(stdout);
    int got = _read(stream->file, stream->base, (unsigned)stream->size);
    stream->next = stream->base;
    stream->count = got > 0 ? got : 0;
    if (got <= 0) {
        stream->flags |= got == 0 ? AT_EOF : FAILED;
        return EOF;
    }
    return 0;
}

int _fgetc_nolock(FILE *stream)
{
    if (stream->more->unread_count > 0)
        return (unsigned char)stream->more->unread[--stream->more->unread_count];
    if (stream->count <= 0 && (start_reading(stream) != 0 || refill(stream) != 0))
        return EOF;
    stream->count--;
    return (unsigned char)*stream->next++;
}

int _ungetc_nolock(int character, FILE *stream)
{
    if (character == EOF || start_reading(stream) != 0 || stream->more->unread_count >= 4)
        return EOF;
    stream->flags &= ~AT_EOF;
    if (stream->more->unread_count == 0 && stream->next > stream->base && stream->next[-1] == (char)character) {
        stream->next--;
        stream->count++;
    } else
        stream->more->unread[stream->more->unread_count++] = (char)character;
    return (unsigned char)character;
}

#define LOCKED(type, stream, expression)                                                                               \
    do {                                                                                                               \
        _lock_file(stream);                                                                                            \
        type locked_result = (expression);                                                                             \
        _unlock_file(stream);                                                                                          \
        return locked_result;                                                                                          \
    } while (0)

int fgetc(FILE *stream)
{
    REQUIRE(stream != NULL, EINVAL, EOF);
    LOCKED(int, stream, _fgetc_nolock(stream));
}

int getc(FILE *stream)
{
    return fgetc(stream);
}

int getchar(void)
{
    return fgetc(stdin);
}

int ungetc(int character, FILE *stream)
{
    REQUIRE(stream != NULL, EINVAL, EOF);
    LOCKED(int, stream, _ungetc_nolock(character, stream));
}

/* msvcrt's macros of getc and putc call these two. */
int _filbuf(FILE *stream)
{
    return _fgetc_nolock(stream);
}

int _fputc_nolock(int character, FILE *stream)
{
    char byte = (char)character;
    return stream_write(stream, &byte, 1) == 0 ? (unsigned char)character : EOF;
}

int _flsbuf(int character, FILE *stream)
{
    return _fputc_nolock(character, stream);
}

int fputc(int character, FILE *stream)
{
    REQUIRE(stream != NULL, EINVAL, EOF);
    LOCKED(int, stream, _fputc_nolock(character, stream));
}

int putc(int character, FILE *stream)
{
    return fputc(character, stream);
}

int putchar(int character)
{
    return fputc(character, stdout);
}

int fputs(const char *text, FILE *stream)
{
    REQUIRE(text != NULL && stream != NULL, EINVAL, EOF);
    LOCKED(int, stream, stream_write(stream, text, strlen(text)));
}

int puts(const char *text)
{
    REQUIRE(text != NULL, EINVAL, EOF);
    _lock_file(stdout);
    int began = begin_burst(stdout);
    int result = stream_write(stdout, text, strlen(text));
    if (result == 0)
        result = stream_write(stdout, "\n", 1);
    end_burst(stdout, began);
    _unlock_file(stdout);
    return result;
}

char *fgets(char *buffer, int size, FILE *stream)
{
    REQUIRE((buffer != NULL || size == 0) && size >= 0 && stream != NULL, EINVAL, NULL);
    int n = 0, character = 0;
    if (size == 0)
        return NULL;
    _lock_file(stream);
    while (n < size - 1 && character != '\n' && (character = _fgetc_nolock(stream)) != EOF)
        buffer[n++] = (char)character;
    buffer[n] = n == 0 && character == EOF ? buffer[0] : 0;
    _unlock_file(stream);
    return n == 0 && size > 1 ? NULL : buffer;
}

char *gets_s(char *buffer, size_t size)
{
    REQUIRE(buffer != NULL && size != 0, EINVAL, NULL);
    size_t n = 0;
    int character;
    while ((character = getchar()) != EOF && character != '\n') {
        if (n + 1 >= size) {
            buffer[0] = 0;
            REQUIRE(FALSE, ERANGE, NULL);
        }
        buffer[n++] = (char)character;
    }
    buffer[n] = 0;
    return n == 0 && character == EOF ? NULL : buffer;
}

char *gets(char *buffer)
{
    return gets_s(buffer, (size_t)-1);
}

size_t _fread_nolock(void *buffer, size_t size, size_t count, FILE *stream)
{
    size_t wanted = size * count, got = 0;
    char *to = buffer;
    if (wanted == 0)
        return 0;
    REQUIRE(buffer != NULL && stream != NULL && size <= (size_t)-1 / count, EINVAL, 0);
    while (got < wanted) {
        if (stream->more->unread_count == 0 && stream->count > 0) {
            size_t run = (size_t)stream->count < wanted - got ? (size_t)stream->count : wanted - got;
            memcpy(to + got, stream->next, run);
            stream->next += run;
            stream->count -= (int)run;
            got += run;
            continue;
        }
        int character = _fgetc_nolock(stream);
        if (character == EOF)
            break;
        to[got++] = (char)character;
    }
    return got / size;
}

size_t fread(void *buffer, size_t size, size_t count, FILE *stream)
{
    if (size == 0 || count == 0)
        return 0;
    REQUIRE(stream != NULL, EINVAL, 0);
    LOCKED(size_t, stream, _fread_nolock(buffer, size, count, stream));
}

size_t fread_s(void *buffer, size_t room, size_t size, size_t count, FILE *stream)
{
    if (size == 0 || count == 0)
        return 0;
    REQUIRE(buffer != NULL && stream != NULL && size <= room / count, EINVAL, 0);
    return fread(buffer, size, count, stream);
}

size_t _fwrite_nolock(const void *buffer, size_t size, size_t count, FILE *stream)
{
    return stream_write(stream, buffer, size * count) == 0 ? count : 0;
}

size_t fwrite(const void *buffer, size_t size, size_t count, FILE *stream)
{
    if (size == 0 || count == 0)
        return 0;
    REQUIRE(buffer != NULL && stream != NULL && size <= (size_t)-1 / count, EINVAL, 0);
    LOCKED(size_t, stream, _fwrite_nolock(buffer, size, count, stream));
}

int _putw(int word, FILE *stream)
{
    return fwrite(&word, sizeof(word), 1, stream) == 1 ? word : EOF;
}

int _getw(FILE *stream)
{
    int word;
    return fread(&word, sizeof(word), 1, stream) == 1 ? word : EOF;
}

/* --- opening and closing */
static int mode_flags(const wchar_t *mode, int *stream_flags)
{
    int flags;
    while (*mode == ' ')
        mode++;
    switch (*mode++) {
    case 'r':
        flags = _O_RDONLY;
        *stream_flags = READING;
        break;
    case 'w':
        flags = _O_WRONLY | _O_CREAT | _O_TRUNC;
        *stream_flags = WRITING;
        break;
    case 'a':
        flags = _O_WRONLY | _O_CREAT | _O_APPEND;
        *stream_flags = WRITING;
        break;
    default:
        return -1;
    }
    for (; *mode && *mode != ','; mode++) {
        switch (*mode) {
        case '+':
            flags = (flags & ~3) | _O_RDWR;
            *stream_flags = BOTH;
            break;
        case 'b':
            flags |= _O_BINARY;
            break;
        case 't':
            flags |= _O_TEXT;
            break;
        case 'x':
            flags |= _O_EXCL;
            break;
        case 'D':
            flags |= _O_TEMPORARY;
            break;
        case 'N':
            flags |= _O_NOINHERIT;
            break;
        case 'c':
        case 'n':
        case 'S':
        case 'R':
        case 'T':
        case ' ':
            break;
        default:
            return -1;
        }
    }
    return flags; /* `, ccs=ENCODING` is taken as the C locale's bytes */
}

static FILE *open_stream(const wchar_t *path, const wchar_t *mode, int share, FILE *stream)
{
    int kept = 0;
    REQUIRE(path != NULL && mode != NULL, EINVAL, NULL);
    int flags = mode_flags(mode, &kept);
    REQUIRE(flags >= 0, EINVAL, NULL);
    if (stream == NULL && (stream = new_stream()) == NULL)
        return NULL;
    stream->file = open_file(path, flags, share, 0x180);
    if (stream->file < 0) {
        stream->flags = 0;
        return NULL;
    }
    stream->flags = IN_USE | kept;
    return stream;
}

FILE *_wfsopen(const wchar_t *path, const wchar_t *mode, int share)
{
    return open_stream(path, mode, share, NULL);
}

FILE *_wfopen(const wchar_t *path, const wchar_t *mode)
{
    return open_stream(path, mode, 0x40, NULL);
}

FILE *_fsopen(const char *path, const char *mode, int share)
{
    wchar_t *wide = narrow_to_wide(path), *wide_mode = narrow_to_wide(mode);
    FILE *stream = open_stream(wide, wide_mode, share, NULL);
    free(wide);
    free(wide_mode);
    return stream;
}

FILE *fopen(const char *path, const char *mode)
{
    return _fsopen(path, mode, 0x40);
}

int fopen_s(FILE **stream, const char *path, const char *mode)
{
    REQUIRE(stream != NULL, EINVAL, EINVAL);
    *stream = _fsopen(path, mode, 0x80);
    return *stream != NULL ? 0 : *_errno();
}

int _wfopen_s(FILE **stream, const wchar_t *path, const wchar_t *mode)
{
    REQUIRE(stream != NULL, EINVAL, EINVAL);
    *stream = _wfsopen(path, mode, 0x80);
    return *stream != NULL ? 0 : *_errno();
}

FILE *_wfdopen(int file, const wchar_t *mode)
{
    int kept = 0;
    REQUIRE(mode != NULL && mode_flags(mode, &kept) >= 0, EINVAL, NULL);
    FILE *stream = new_stream();
    if (stream != NULL) {
        stream->file = file;
        stream->flags = IN_USE | kept;
    }
    return stream;
}

FILE *_fdopen(int file, const char *mode)
{
    wchar_t *wide = narrow_to_wide(mode);
    FILE *stream = _wfdopen(file, wide);
    free(wide);
    return stream;
}

static int close_stream(FILE *stream)
{
    int result = flush_output(stream);
    drop_buffer(stream);
    if (stream->file >= 0 && _close(stream->file) < 0)
        result = EOF;
    if (stream->more->temporary != NULL) {
        _wremove(stream->more->temporary);
        free(stream->more->temporary);
        stream->more->temporary = NULL;
    }
    stream->file = -1;
    return result;
}

int fclose(FILE *stream)
{
    REQUIRE(stream != NULL, EINVAL, EOF);
    if (!(stream->flags & IN_USE))
        return EOF;
    _lock_file(stream);
    int result = close_stream(stream);
    stream->flags = 0;
    _unlock_file(stream);
    return result;
}

int _fclose_nolock(FILE *stream)
{
    return fclose(stream);
}

FILE *_wfreopen(const wchar_t *path, const wchar_t *mode, FILE *stream)
{
    REQUIRE(path != NULL && mode != NULL && stream != NULL, EINVAL, NULL);
    _lock_file(stream);
    close_stream(stream);
    FILE *result = open_stream(path, mode, 0x40, stream);
    _unlock_file(stream);
    return result;
}

FILE *freopen(const char *path, const char *mode, FILE *stream)
{
    wchar_t *wide = narrow_to_wide(path), *wide_mode = narrow_to_wide(mode);
    FILE *result = _wfreopen(wide, wide_mode, stream);
    free(wide);
    free(wide_mode);
    return result;
}

int freopen_s(FILE **result, const char *path, const char *mode, FILE *stream)
{
    REQUIRE(result != NULL, EINVAL, EINVAL);
    *result = freopen(path, mode, stream);
    return *result != NULL ? 0 : *_errno();
}

int fflush(FILE *stream)
{
    if (stream == NULL) {
        _flushall();
        return 0;
    }
    _lock_file(stream);
    int result = flush_output(stream);
    if (stream->flags & READING && stream->base != NULL && !(stream->flags & WRITING))
        stop_reading(stream);
    _unlock_file(stream);
    return result;
}

int _fflush_nolock(FILE *stream)
{
    return fflush(stream);
}

int _flushall(void)
{
    int count = 0;
    for (int i = 0; i < STREAMS; i++) {
        FILE *stream = streams[i];
        if (stream == NULL || !(stream->flags & IN_USE))
            continue;
        count++;
        if (holds_output(stream))
            fflush(stream);
    }
    return count;
}

int _fcloseall(void)
{
    int count = 0;
    for (int i = 3; i < STREAMS; i++)
        if (streams[i] != NULL && (streams[i]->flags & IN_USE) && fclose(streams[i]) == 0)
            count++;
    return count;
}

/* --- position and state */
int _fseeki64(FILE *stream, long long offset, int origin)
{
    REQUIRE(stream != NULL && origin >= SEEK_SET && origin <= SEEK_END, EINVAL, -1);
    _lock_file(stream);
    flush_output(stream);
    if (origin == SEEK_CUR && (stream->flags & READING) && stream->base != NULL)
        offset -= unread_bytes(stream);
    stream->next = stream->base;
    stream->count = 0;
    stream->more->unread_count = 0;
    stream->flags &= ~AT_EOF;
    if (stream->flags & BOTH)
        stream->flags &= ~(READING | WRITING);
    int result = _lseeki64(stream->file, offset, origin) < 0 ? -1 : 0;
    _unlock_file(stream);
    return result;
}

int fseek(FILE *stream, long offset, int origin)
{
    return _fseeki64(stream, offset, origin);
}

long long _ftelli64(FILE *stream)
{
    REQUIRE(stream != NULL, EINVAL, -1);
    _lock_file(stream);
    long long position = _telli64(stream->file);
    if (position >= 0 && holds_output(stream)) {
        position += stream->next - stream->base;
        if (file_is_text(stream->file))
            for (char *p = stream->base; p < stream->next; p++)
                position += *p == '\n';
    } else if (position >= 0 && stream->base != NULL)
        position -= unread_bytes(stream);
    _unlock_file(stream);
    return position;
}

long ftell(FILE *stream)
{
    return (long)_ftelli64(stream);
}

int fgetpos(FILE *stream, long long *position)
{
    REQUIRE(stream != NULL && position != NULL, EINVAL, -1);
    *position = _ftelli64(stream);
    return *position < 0 ? -1 : 0;
}

int fsetpos(FILE *stream, const long long *position)
{
    REQUIRE(stream != NULL && position != NULL, EINVAL, -1);
    return _fseeki64(stream, *position, SEEK_SET);
}

void rewind(FILE *stream)
{
    REQUIRE(stream != NULL, EINVAL, );
    _fseeki64(stream, 0, SEEK_SET);
    stream->flags &= ~(FAILED | AT_EOF);
}

int feof(FILE *stream)
{
    REQUIRE(stream != NULL, EINVAL, 0);
    return stream->flags & AT_EOF;
}

int ferror(FILE *stream)
{
    REQUIRE(stream != NULL, EINVAL, 0);
    return stream->flags & FAILED;
}

void clearerr(FILE *stream)
{
    REQUIRE(stream != NULL, EINVAL, );
    stream->flags &= ~(FAILED | AT_EOF);
}

int _fileno(FILE *stream)
{
    REQUIRE(stream != NULL, EINVAL, -1);
    return stream->file;
}

int setvbuf(FILE *stream, char *buffer, int mode, size_t size)
{
    REQUIRE(stream != NULL && (mode == 0 || mode == 0x40 || mode == 4), EINVAL, -1); /* _IOFBF, _IOLBF, _IONBF */
    REQUIRE(mode == 4 || (size >= 2 && size <= INT_MAX), EINVAL, -1);
    _lock_file(stream);
    flush_output(stream);
    drop_buffer(stream);
    stream->flags &= ~UNBUFFERED;
    if (mode == 4)
        stream->flags |= UNBUFFERED;
    else {
        stream->base = buffer != NULL ? buffer : malloc(size);
        stream->flags |= buffer != NULL ? USER_BUFFER : OWN_BUFFER;
        stream->size = (int)size;
        stream->next = stream->base;
    }
    _unlock_file(stream);
    return 0;
}

void setbuf(FILE *stream, char *buffer)
{
    setvbuf(stream, buffer, buffer != NULL ? 0 : 4, 512);
}

int _getmaxstdio(void)
{
    return STREAMS;
}

int _setmaxstdio(int count)
{
    return count;
}

/* --- wide characters: a byte each in a file */
unsigned short fgetwc(FILE *stream)
{
    int character = fgetc(stream);
    return character == EOF ? WEOF : (unsigned short)character;
}

unsigned short _fgetwc_nolock(FILE *stream)
{
    int character = _fgetc_nolock(stream);
    return character == EOF ? WEOF : (unsigned short)character;
}

unsigned short getwc(FILE *stream)
{
    return fgetwc(stream);
}

unsigned short getwchar(void)
{
    return fgetwc(stdin);
}

unsigned short ungetwc(unsigned short character, FILE *stream)
{
    return character == WEOF || ungetc(character, stream) == EOF ? WEOF : character;
}

unsigned short fputwc(wchar_t character, FILE *stream)
{
    int byte = wide_to_byte(character);
    if (byte < 0) {
        *_errno() = EILSEQ;
        return WEOF;
    }
    return fputc(byte, stream) == EOF ? WEOF : character;
}

unsigned short putwc(wchar_t character, FILE *stream)
{
    return fputwc(character, stream);
}

unsigned short putwchar(wchar_t character)
{
    return fputwc(character, stdout);
}

int fputws(const wchar_t *text, FILE *stream)
{
    REQUIRE(text != NULL && stream != NULL, EINVAL, EOF);
    for (; *text; text++)
        if (fputwc(*text, stream) == WEOF)
            return EOF;
    return 0;
}

int _putws(const wchar_t *text)
{
    return fputws(text, stdout) == 0 && fputwc('\n', stdout) != WEOF ? 0 : EOF;
}

wchar_t *fgetws(wchar_t *buffer, int size, FILE *stream)
{
    REQUIRE(buffer != NULL && size > 0 && stream != NULL, EINVAL, NULL);
    int n = 0;
    unsigned short character = 0;
    while (n < size - 1 && character != '\n' && (character = fgetwc(stream)) != WEOF)
        buffer[n++] = character;
    if (n == 0)
        return NULL;
    buffer[n] = 0;
    return buffer;
}
