/* The arguments and the environment of a program. */
#include "ucrt.h"

char **narrow_environment;
wchar_t **wide_environment;
static char **initial_environment;
static wchar_t **initial_wide_environment;
static int argument_count;
static char **arguments;
static wchar_t **wide_arguments;
static char *narrow_command_line, *program_path;
static wchar_t *wide_command_line, *wide_program_path;

int strcpy_s(char *to, size_t size, const char *from);
int wcscpy_s(wchar_t *to, size_t size, const wchar_t *from);
int _strnicmp(const char *, const char *, size_t);
int _wcsnicmp(const wchar_t *, const wchar_t *, size_t);
char *strchr(const char *, int);

static size_t count_of(wchar_t **list)
{
    size_t n = 0;
    while (list[n] != NULL)
        n++;
    return n;
}

/* Entries such as `=C:=C:\path` belong to the command interpreter and are left out. */
int initialize_environment(void)
{
    wchar_t *block = GetEnvironmentStringsW(), *p = block;
    size_t n = 0;
    if (block == NULL)
        return FALSE;
    for (; *p; p += wcslen(p) + 1)
        n++;
    wide_environment = calloc(n + 1, sizeof(*wide_environment));
    narrow_environment = calloc(n + 1, sizeof(*narrow_environment));
    if (wide_environment == NULL || narrow_environment == NULL)
        return FALSE;
    n = 0;
    for (p = block; *p; p += wcslen(p) + 1) {
        if (*p == '=')
            continue;
        wide_environment[n] = _wcsdup(p);
        narrow_environment[n++] = widened_to_narrow(p);
    }
    FreeEnvironmentStringsW(block);
    initial_environment = narrow_environment;
    initial_wide_environment = wide_environment;
    static wchar_t path[MAX_PATH];
    GetModuleFileNameW(NULL, path, MAX_PATH);
    wide_program_path = path;
    program_path = widened_to_narrow(path);
    wide_command_line = GetCommandLineW();
    narrow_command_line = GetCommandLineA();
    return TRUE;
}

/* learn.microsoft.com "Parsing C command-line arguments". Counts, or fills `list` and `text`. */
static void parse(const wchar_t *line, wchar_t **list, wchar_t *text, int *count, size_t *size)
{
    int quoted = 0;
    *count = 0;
    *size = 0;
#define PUT(character)                                                                                                 \
    do {                                                                                                               \
        if (text != NULL)                                                                                              \
            *text++ = (character);                                                                                     \
        ++*size;                                                                                                       \
    } while (0)
#define BEGIN()                                                                                                        \
    do {                                                                                                               \
        if (list != NULL)                                                                                              \
            list[*count] = text;                                                                                       \
        ++*count;                                                                                                      \
    } while (0)
    /* the program's name: quotes group, backslashes mean nothing */
    BEGIN();
    for (; *line && (quoted || (*line != ' ' && *line != '\t')); line++) {
        if (*line == '"')
            quoted = !quoted;
        else
            PUT(*line);
    }
    PUT(0);
    quoted = 0;
    for (;;) {
        while (*line == ' ' || *line == '\t')
            line++;
        if (*line == 0)
            break;
        BEGIN();
        for (;;) {
            size_t slashes = 0;
            for (; *line == '\\'; line++)
                slashes++;
            int literal = 1;
            if (*line == '"') {
                if (slashes % 2 == 0) {
                    literal = 0;
                    if (quoted && line[1] == '"') {
                        line++;
                        literal = 1;
                    } else
                        quoted = !quoted;
                }
                slashes /= 2;
            }
            for (; slashes != 0; slashes--)
                PUT('\\');
            if (*line == 0 || (!quoted && (*line == ' ' || *line == '\t')))
                break;
            if (literal)
                PUT(*line);
            line++;
        }
        PUT(0);
    }
#undef PUT
#undef BEGIN
}

void initialize_arguments(void)
{
    size_t size;
    if (wide_arguments != NULL)
        return;
    const wchar_t *line = wide_command_line != NULL && *wide_command_line ? wide_command_line : wide_program_path;
    parse(line, NULL, NULL, &argument_count, &size);
    wide_arguments = calloc((size_t)argument_count + 1, sizeof(*wide_arguments));
    arguments = calloc((size_t)argument_count + 1, sizeof(*arguments));
    wchar_t *text = malloc(size * sizeof(*text));
    parse(line, wide_arguments, text, &argument_count, &size);
    for (int i = 0; i < argument_count; i++)
        arguments[i] = widened_to_narrow(wide_arguments[i]);
}

int _configure_narrow_argv(int mode)
{
    UNREFERENCED_PARAMETER(mode);
    initialize_arguments();
    return 0;
}

int _configure_wide_argv(int mode)
{
    return _configure_narrow_argv(mode);
}

int _initialize_narrow_environment(void)
{
    return 0;
}

int _initialize_wide_environment(void)
{
    return 0;
}

char **_get_initial_narrow_environment(void)
{
    return initial_environment;
}

wchar_t **_get_initial_wide_environment(void)
{
    return initial_wide_environment;
}

/* The tail of the command line, for WinMain. */
#define COMMAND_TAIL(name, CHAR, line)                                                                                 \
    CHAR *name(void)                                                                                                   \
    {                                                                                                                  \
        static CHAR empty[1];                                                                                          \
        CHAR *p = line;                                                                                                \
        int quoted = 0;                                                                                                \
        if (p == NULL)                                                                                                 \
            return empty;                                                                                              \
        for (; (unsigned)*p > ' ' || (*p && quoted); p++)                                                              \
            if (*p == '"')                                                                                             \
                quoted = !quoted;                                                                                      \
        while (*p && (unsigned)*p <= ' ')                                                                              \
            p++;                                                                                                       \
        return p;                                                                                                      \
    }
COMMAND_TAIL(_get_narrow_winmain_command_line, char, narrow_command_line)
COMMAND_TAIL(_get_wide_winmain_command_line, wchar_t, wide_command_line)

#define POINTER_TO(name, type, variable)                                                                               \
    type *name(void)                                                                                                   \
    {                                                                                                                  \
        return &variable;                                                                                              \
    }
POINTER_TO(__p___argc, int, argument_count)
POINTER_TO(__p___argv, char **, arguments)
POINTER_TO(__p___wargv, wchar_t **, wide_arguments)
POINTER_TO(__p__environ, char **, narrow_environment)
POINTER_TO(__p__wenviron, wchar_t **, wide_environment)
POINTER_TO(__p__acmdln, char *, narrow_command_line)
POINTER_TO(__p__wcmdln, wchar_t *, wide_command_line)
POINTER_TO(__p__pgmptr, char *, program_path)
POINTER_TO(__p__wpgmptr, wchar_t *, wide_program_path)

int _get_pgmptr(char **value)
{
    *value = program_path;
    return 0;
}

int _get_wpgmptr(wchar_t **value)
{
    *value = wide_program_path;
    return 0;
}

/* --- getenv: the names are compared without case */
char *getenv(const char *name)
{
    REQUIRE(name != NULL, EINVAL, NULL);
    size_t length = strlen(name);
    for (char **entry = narrow_environment; entry != NULL && *entry != NULL; entry++)
        if (_strnicmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    return NULL;
}

wchar_t *_wgetenv(const wchar_t *name)
{
    REQUIRE(name != NULL, EINVAL, NULL);
    size_t length = wcslen(name);
    for (wchar_t **entry = wide_environment; entry != NULL && *entry != NULL; entry++)
        if (_wcsnicmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    return NULL;
}

int getenv_s(size_t *size, char *buffer, size_t room, const char *name)
{
    REQUIRE(size != NULL && (buffer != NULL || room == 0), EINVAL, EINVAL);
    *size = 0;
    if (buffer != NULL && room != 0)
        buffer[0] = 0;
    char *value = getenv(name);
    if (value == NULL)
        return 0;
    *size = strlen(value) + 1;
    if (room == 0)
        return 0;
    if (*size > room)
        return ERANGE;
    return strcpy_s(buffer, room, value);
}

int _wgetenv_s(size_t *size, wchar_t *buffer, size_t room, const wchar_t *name)
{
    REQUIRE(size != NULL && (buffer != NULL || room == 0), EINVAL, EINVAL);
    *size = 0;
    if (buffer != NULL && room != 0)
        buffer[0] = 0;
    wchar_t *value = _wgetenv(name);
    if (value == NULL)
        return 0;
    *size = wcslen(value) + 1;
    if (room == 0)
        return 0;
    if (*size > room)
        return ERANGE;
    return wcscpy_s(buffer, room, value);
}

int _dupenv_s(char **buffer, size_t *size, const char *name)
{
    REQUIRE(buffer != NULL, EINVAL, EINVAL);
    char *value = getenv(name);
    *buffer = value != NULL ? _strdup(value) : NULL;
    if (size != NULL)
        *size = value != NULL ? strlen(value) + 1 : 0;
    return value != NULL && *buffer == NULL ? ENOMEM : 0;
}

int _wdupenv_s(wchar_t **buffer, size_t *size, const wchar_t *name)
{
    REQUIRE(buffer != NULL, EINVAL, EINVAL);
    wchar_t *value = _wgetenv(name);
    *buffer = value != NULL ? _wcsdup(value) : NULL;
    if (size != NULL)
        *size = value != NULL ? wcslen(value) + 1 : 0;
    return value != NULL && *buffer == NULL ? ENOMEM : 0;
}

static int set_variable(wchar_t *text, wchar_t *equals)
{
    size_t length = (size_t)(equals - text), n = count_of(wide_environment), at = 0;
    while (at < n && !(_wcsnicmp(wide_environment[at], text, length) == 0 && wide_environment[at][length] == '='))
        at++;
    if (equals[1] == 0) { /* an empty value removes the variable */
        for (size_t i = at; i < n; i++) {
            wide_environment[i] = wide_environment[i + 1];
            narrow_environment[i] = narrow_environment[i + 1];
        }
    } else {
        if (at == n) {
            wchar_t **wide = calloc(n + 2, sizeof(*wide));
            char **narrow = calloc(n + 2, sizeof(*narrow));
            if (wide == NULL || narrow == NULL)
                return -1;
            memcpy(wide, wide_environment, n * sizeof(*wide));
            memcpy(narrow, narrow_environment, n * sizeof(*narrow));
            wide_environment = wide;
            narrow_environment = narrow;
        }
        wide_environment[at] = _wcsdup(text);
        narrow_environment[at] = widened_to_narrow(text);
    }
    *equals = 0;
    BOOL done = SetEnvironmentVariableW(text, equals[1] ? equals + 1 : NULL);
    *equals = '=';
    return done || equals[1] == 0 ? 0 : -1;
}

int _wputenv(const wchar_t *text)
{
    REQUIRE(text != NULL, EINVAL, -1);
    wchar_t *copy = _wcsdup(text), *equals = copy;
    while (*equals && *equals != '=')
        equals++;
    int result = *equals && equals != copy ? set_variable(copy, equals) : -1;
    if (result != 0)
        *_errno() = EINVAL;
    free(copy);
    return result;
}

int _putenv(const char *text)
{
    REQUIRE(text != NULL, EINVAL, -1);
    wchar_t *wide = narrow_to_wide(text);
    int result = _wputenv(wide);
    free(wide);
    return result;
}

int _putenv_s(const char *name, const char *value)
{
    REQUIRE(name != NULL && value != NULL && *name && strchr(name, '=') == NULL, EINVAL, EINVAL);
    size_t length = strlen(name);
    char *text = malloc(length + strlen(value) + 2);
    memcpy(text, name, length);
    text[length] = '=';
    memcpy(text + length + 1, value, strlen(value) + 1);
    int result = _putenv(text);
    free(text);
    return result == 0 ? 0 : *_errno();
}

int _wputenv_s(const wchar_t *name, const wchar_t *value)
{
    REQUIRE(name != NULL && value != NULL && *name, EINVAL, EINVAL);
    size_t length = wcslen(name);
    wchar_t *text = malloc((length + wcslen(value) + 2) * sizeof(*text));
    memcpy(text, name, length * sizeof(*text));
    text[length] = '=';
    memcpy(text + length + 1, value, (wcslen(value) + 1) * sizeof(*text));
    int result = _wputenv(text);
    free(text);
    return result == 0 ? 0 : *_errno();
}
