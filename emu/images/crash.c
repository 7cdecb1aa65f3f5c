/* crash.exe: builds a rich state, then crashes as the last word of its command line says.

   scenario             code      exception address               parameters
   null-read            C0000005  crash_read_site                 0, 0x10
   null-write           C0000005  crash_write_site                1, 0x18
   write-read-only      C0000005  crash_write_site                1, READ_ONLY_PAGE + 0x18
   execute-nx           C0000005  NO_EXECUTE_PAGE + 0x40          8, NO_EXECUTE_PAGE + 0x40
   wild-call            C0000005  WILD_TARGET                     8, WILD_TARGET
   non-canonical        C0000005  crash_read_site                 0, FFFFFFFF`FFFFFFFF (the CPU names no address)
   divide-by-zero       C0000094  crash_divide_site               none
   illegal-instruction  C000001D  crash_illegal_site              none
   breakpoint           80000003  ntdll!DbgBreakPoint             0
   fast-fail            C0000409  crash_fast_fail_site            7 (FAST_FAIL_FATAL_APP_EXIT)
   stack-overflow       C00000FD  crash_overflow_site             1, the main stack's last guard page + 0xF00
   guard-page           80000001  crash_read_site                 0, GUARD_PAGE + 0x10
   heap-use-after-free  C0000005  crash_read_site                 0, PRIVATE_HEAP + 0xDF000 + 0x10 + 0x10
   raised-exception     E0425150  kernel32!RaiseException_return  0x1111, 0x22222222, 0x33333333`33333333
   dll-after-unload     C0000005  alpha!alpha_write_site          1, 0x20
   secondary-thread     C0000005  crash_secondary_site            0, 0x30 (on the thread "crasher")
   deadlock             none: every thread waits; "left" and "right" hold one mutex each and want the other's
   every-stream         C0000005  GENERATED_CODE + 0x45           1, 0x38

   every-stream also opens and closes handles while that is traced, opens the process's token, loads and unloads beta.dll
   once more, and crashes in code that it has generated, for which it has registered function tables. Its threads "main"
   and "computes" have AVX state: the scenario sets it, since Unicorn executes no AVX instruction.

   The heap's block is 0x20000 bytes in a fresh 1 MiB heap: it begins 0x21 pages below the end (ntdll_heap.c), its
   data 0x10 further.

   Threads besides the main one: "waits for event", "waits for mutex", "sleeps", "computes", "walks alpha", one without
   a name (it waits for an auto-reset event that nobody sets), and "crasher", or "left" and "right", where the scenario
   needs them. */
#include <windows.h>
#include "alpha.h"
#include "crash_sites.h"

#define READ_ONLY_PAGE ((char *)0x20000000000)
#define NO_EXECUTE_PAGE ((char *)0x20000010000)
#define GUARD_PAGE ((char *)0x20000020000)
#define RESERVED_REGION ((char *)0x20000030000)
#define CODE_PAGE ((char *)0x20000040000)
#define GENERATED_CODE ((char *)0x20000050000)
#define MAPPED_VIEW ((char *)0x20000060000)
#define PRIVATE_HEAP ((char *)0x20000100000)
#define PRIVATE_HEAP_SIZE 0x100000
#define WILD_TARGET ((char *)0x00000BAD00000BA0)
#define NON_CANONICAL ((char *)0x8000DEADBEEF0000)

/* ntpsapi.h of the public phnt headers */
#define ProcessHandleTracing 32
typedef struct {
    ULONG Flags;
} PROCESS_HANDLE_TRACING_ENABLE;
NTSYSAPI LONG NTAPI NtSetInformationProcess(HANDLE process, ULONG class, PVOID buffer, ULONG length);
NTSYSAPI LONG NTAPI NtOpenProcessToken(HANDLE process, ACCESS_MASK access, PHANDLE token);

/* ntifs.h: the base is a region that the caller reserved */
NTSYSAPI PVOID NTAPI RtlCreateHeap(ULONG flags, PVOID base, SIZE_T reserve, SIZE_T commit, PVOID lock,
                                   PVOID parameters);

typedef struct {
    LONG tag;
    HANDLE go;    /* event, never set: the waiting thread waits for it */
    HANDLE never; /* auto-reset event, never set */
    HANDLE mutex; /* named, held by the main thread */
    HANDLE left;
    HANDLE right;
    HANDLE both_held;
    volatile LONG ready;
    volatile LONG stop;
    volatile LONG holders;
} STATE;

static STATE state = {.tag = 0x44545254};                   /* .data */
static volatile unsigned results[64];                       /* .bss */
static const wchar_t log_name[] = L"crash.log";             /* .rdata */
static const wchar_t *volatile log_name_pointer = log_name; /* an absolute address: a relocation */
static const char log_text[] = "crash.exe: the state is built\r\n";

static void fail(const char *what)
{
    DWORD written;
    WriteFile(GetStdHandle(STD_ERROR_HANDLE), what, (DWORD)lstrlenA(what), &written, NULL);
    ExitProcess(2);
}

static void require(BOOL condition, const char *what)
{
    if (!condition)
        fail(what);
}

static DWORD WINAPI wait_for_event(void *parameter)
{
    STATE *s = parameter;
    InterlockedIncrement(&s->ready);
    return WaitForSingleObject(s->go, INFINITE);
}

static DWORD WINAPI wait_for_mutex(void *parameter)
{
    STATE *s = parameter;
    InterlockedIncrement(&s->ready);
    return WaitForSingleObject(s->mutex, INFINITE);
}

static DWORD WINAPI wait_unnamed(void *parameter)
{
    STATE *s = parameter;
    InterlockedIncrement(&s->ready);
    return WaitForSingleObject(s->never, INFINITE);
}

static DWORD WINAPI sleep_for_ever(void *parameter)
{
    STATE *s = parameter;
    InterlockedIncrement(&s->ready);
    Sleep(INFINITE);
    return 0;
}

static unsigned mix(unsigned value)
{
    value ^= value << 13;
    value ^= value >> 17;
    return value ^ value << 5;
}

/* Computes without a system service until told to stop, then waits like the others. */
static DWORD WINAPI compute(void *parameter)
{
    STATE *s = parameter;
    unsigned value = 0x2545F491;
    InterlockedIncrement(&s->ready);
    while (!s->stop) {
        value = mix(value);
        results[value % 32] += value;
    }
    return WaitForSingleObject(s->go, INFINITE);
}

static int WINAPI alpha_step(unsigned step, void *context)
{
    STATE *s = context;
    if (step == 0)
        InterlockedIncrement(&s->ready);
    results[32 + step % 32] = mix(step + 1);
    return s->stop;
}

static DWORD WINAPI walk_alpha(void *parameter)
{
    STATE *s = parameter;
    alpha_walk(0, alpha_step, s);
    return WaitForSingleObject(s->go, INFINITE);
}

static HANDLE start(LPTHREAD_START_ROUTINE routine, const wchar_t *name)
{
    HANDLE thread = CreateThread(NULL, 0, routine, &state, CREATE_SUSPENDED, NULL);
    require(thread != NULL, "crash.exe: no thread\r\n");
    if (name != NULL)
        require(SUCCEEDED(SetThreadDescription(thread, name)), "crash.exe: no thread name\r\n");
    require(ResumeThread(thread) == 1, "crash.exe: the thread did not start\r\n");
    return thread;
}

static void *pages(char *address, SIZE_T size, DWORD type, DWORD protect)
{
    void *base = VirtualAlloc(address, size, type, protect);
    require(base == address, "crash.exe: the address is taken\r\n");
    return base;
}

static void fill(char *address, unsigned seed)
{
    for (unsigned i = 0; i < 0x400; i++)
        ((volatile unsigned *)address)[i] = seed = mix(seed);
}

static void build_memory(void)
{
    static const unsigned char code[] = {0xB8, 0x2A, 0x00, 0x00, 0x00, 0xC3}; /* mov eax, 42 ; ret */
    DWORD old;
    pages(READ_ONLY_PAGE, 0x2000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    fill(READ_ONLY_PAGE, 1);
    require(VirtualProtect(READ_ONLY_PAGE, 0x1000, PAGE_READONLY, &old) && old == PAGE_READWRITE,
            "crash.exe: VirtualProtect\r\n");
    pages(NO_EXECUTE_PAGE, 0x1000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    fill(NO_EXECUTE_PAGE, 2);
    pages(GUARD_PAGE, 0x1000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    pages(RESERVED_REGION, 0x10000, MEM_RESERVE, PAGE_NOACCESS);
    pages(RESERVED_REGION + 0x4000, 0x1000, MEM_COMMIT, PAGE_READWRITE);
    pages(CODE_PAGE, 0x1000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    for (unsigned i = 0; i < sizeof(code); i++)
        ((volatile unsigned char *)CODE_PAGE)[i] = code[i];
    require(VirtualProtect(CODE_PAGE, 0x1000, PAGE_EXECUTE_READ, &old), "crash.exe: VirtualProtect\r\n");
    require(((int (*)(void))CODE_PAGE)() == 42, "crash.exe: generated code\r\n");

    HANDLE section =
        CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 0x4000, L"Local\\dumptruth.section");
    require(section != NULL, "crash.exe: no section\r\n");
    require(MapViewOfFileEx(section, FILE_MAP_WRITE, 0, 0, 0, MAPPED_VIEW) == MAPPED_VIEW, "crash.exe: no view\r\n");
    fill(MAPPED_VIEW, 3);

    void *blocks[8];
    HANDLE heap = GetProcessHeap();
    for (unsigned i = 0; i < RTL_NUMBER_OF(blocks); i++) {
        blocks[i] = HeapAlloc(heap, HEAP_ZERO_MEMORY, 24u << i);
        require(blocks[i] != NULL && HeapSize(heap, 0, blocks[i]) == 24u << i, "crash.exe: heap\r\n");
    }
    for (unsigned i = 0; i < RTL_NUMBER_OF(blocks); i += 3)
        HeapFree(heap, 0, blocks[i]);
}

static void use_beta(void)
{
    HMODULE beta = LoadLibraryW(L"beta.dll");
    require(beta != NULL, "crash.exe: beta.dll does not load\r\n");
    require(GetModuleHandleW(L"BETA") == beta, "crash.exe: beta.dll is not listed\r\n");
    unsigned(WINAPI * work)(unsigned) = (void *)GetProcAddress(beta, "beta_work");
    require(work != NULL && work(1) != 0, "crash.exe: beta_work\r\n");
    require(FreeLibrary(beta), "crash.exe: beta.dll does not unload\r\n");
    require(GetModuleHandleW(L"beta.dll") == NULL, "crash.exe: beta.dll is still listed\r\n");
}

static void build_threads(void)
{
    state.go = CreateEventW(NULL, TRUE, FALSE, L"Local\\dumptruth.go");
    state.never = CreateEventW(NULL, FALSE, FALSE, NULL);
    state.both_held = CreateEventW(NULL, TRUE, FALSE, NULL);
    state.mutex = CreateMutexW(NULL, TRUE, L"Local\\dumptruth.mutex");
    state.left = CreateMutexW(NULL, FALSE, NULL);
    state.right = CreateMutexW(NULL, FALSE, NULL);
    require(state.go && state.never && state.both_held && state.mutex && state.left && state.right,
            "crash.exe: objects\r\n");
    SetThreadDescription(GetCurrentThread(), L"main");
    start(wait_for_event, L"waits for event");
    start(wait_for_mutex, L"waits for mutex");
    start(wait_unnamed, NULL);
    start(sleep_for_ever, L"sleeps");
    start(compute, L"computes");
    start(walk_alpha, L"walks alpha");
    while (state.ready != 6)
        Sleep(1);
    Sleep(5); /* from "ready" to the wait itself */
}

static void build_state(void)
{
    DWORD written = 0;
    build_memory();
    HANDLE file = CreateFileW(log_name_pointer, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_ALWAYS,
                              FILE_ATTRIBUTE_NORMAL, NULL);
    require(file != INVALID_HANDLE_VALUE, "crash.exe: no file\r\n");
    require(WriteFile(file, log_text, sizeof(log_text) - 1, &written, NULL) && written == sizeof(log_text) - 1,
            "crash.exe: the file takes no bytes\r\n");
    use_beta();
    build_threads();
}

/* --- the scenarios. Where it helps to have some frames on the stack, the site is called through functions of this
 * file. */
static __attribute__((noinline)) unsigned read_deep(const char *base, unsigned depth)
{
    volatile unsigned local = depth * 0x1111;
    unsigned value = depth ? read_deep(base, depth - 1) : crash_read(base);
    return value + local;
}

static __attribute__((noinline)) void write_deep(char *base, unsigned depth)
{
    volatile unsigned local = depth * 0x1111;
    if (depth)
        write_deep(base, depth - 1);
    else
        crash_write(base, 0xC0FFEE);
    local++;
}

static void null_read(void)
{
    results[0] = read_deep(NULL, 3);
}

static void null_write(void)
{
    write_deep(NULL, 3);
}

static void write_read_only(void)
{
    write_deep(READ_ONLY_PAGE, 2);
}

static void execute_nx(void)
{
    crash_call(NO_EXECUTE_PAGE + 0x40);
}

static void wild_call(void)
{
    crash_call(WILD_TARGET);
}

static void non_canonical(void)
{
    results[0] = read_deep(NON_CANONICAL, 1);
}

static void divide_by_zero(void)
{
    results[0] = crash_divide(1000, results[63] & 0);
}

static void fast_fail(void)
{
    crash_fast_fail(7);
}

static void guard_page(void)
{
    results[0] = read_deep(GUARD_PAGE, 1);
}

static void heap_use_after_free(void)
{
    pages(PRIVATE_HEAP, PRIVATE_HEAP_SIZE, MEM_RESERVE, PAGE_READWRITE);
    HANDLE heap = RtlCreateHeap(0, PRIVATE_HEAP, PRIVATE_HEAP_SIZE, 0, NULL, NULL);
    char *block = heap != NULL ? HeapAlloc(heap, 0, 0x20000) : NULL;
    require(block != NULL, "crash.exe: no private heap\r\n");
    fill(block, 4);
    HeapFree(heap, 0, block);
    results[0] = read_deep(block, 2);
}

static void raised_exception(void)
{
    static const ULONG_PTR arguments[] = {0x1111, 0x22222222, 0x3333333333333333};
    RaiseException(0xE0425150, 0, RTL_NUMBER_OF(arguments), arguments);
}

static void dll_after_unload(void)
{
    use_beta();
    alpha_store(NULL, 0xA1);
}

static DWORD WINAPI crash_here(void *parameter)
{
    (void)parameter;
    results[0] = crash_secondary(NULL);
    return 0;
}

static void secondary_thread(void)
{
    WaitForSingleObject(start(crash_here, L"crasher"), INFINITE);
}

static DWORD hold_then_want(HANDLE held, HANDLE wanted)
{
    WaitForSingleObject(held, INFINITE);
    if (InterlockedIncrement(&state.holders) == 2)
        SetEvent(state.both_held);
    WaitForSingleObject(state.both_held, INFINITE);
    return WaitForSingleObject(wanted, INFINITE);
}

static DWORD WINAPI left_then_right(void *parameter)
{
    STATE *s = parameter;
    return hold_then_want(s->left, s->right);
}

static DWORD WINAPI right_then_left(void *parameter)
{
    STATE *s = parameter;
    return hold_then_want(s->right, s->left);
}

static void deadlock(void)
{
    HANDLE threads[2] = {start(left_then_right, L"left"), start(right_then_left, L"right")};
    state.stop = 1;
    WaitForMultipleObjects(2, threads, TRUE, INFINITE);
}

/* Two functions and, behind them, their UNWIND_INFO, as a compiler at run time would leave them. */
static void generate_code(void)
{
    static const unsigned char call[] = {
        0x48, 0x83, 0xEC, 0x28, /* sub rsp, 28h */
        0xFF, 0xD2,             /* call rdx */
        0x48, 0x83, 0xC4, 0x28, /* add rsp, 28h */
        0xC3,                   /* ret */
    };
    static const unsigned char store[] = {
        0x53,                   /* push rbx */
        0x48, 0x83, 0xEC, 0x20, /* sub rsp, 20h */
        0x89, 0x51, 0x38,       /* mov [rcx + 38h], edx: the crash */
        0x48, 0x83, 0xC4, 0x20, /* add rsp, 20h */
        0x5B,                   /* pop rbx */
        0xC3,                   /* ret */
    };
    static const unsigned char call_unwind[] = {1, 4, 1, 0, 4, 0x42};
    static const unsigned char store_unwind[] = {1, 5, 2, 0, 5, 0x32, 1, 0x30};
    static RUNTIME_FUNCTION functions[] = {{0x0, sizeof(call), 0x100}, {0x40, 0x40 + sizeof(store), 0x108}};
    DWORD old;
    pages(GENERATED_CODE, 0x1000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    CopyMemory(GENERATED_CODE, call, sizeof(call));
    CopyMemory(GENERATED_CODE + 0x40, store, sizeof(store));
    CopyMemory(GENERATED_CODE + 0x100, call_unwind, sizeof(call_unwind));
    CopyMemory(GENERATED_CODE + 0x108, store_unwind, sizeof(store_unwind));
    /* one table in the image, one in the generated page, and one that goes again */
    PRUNTIME_FUNCTION other = (PRUNTIME_FUNCTION)(GENERATED_CODE + 0x200);
    *other = (RUNTIME_FUNCTION){0x80, 0x90, 0x100};
    require(VirtualProtect(GENERATED_CODE, 0x1000, PAGE_EXECUTE_READ, &old), "crash.exe: VirtualProtect\r\n");
    DWORD64 base = (DWORD64)GENERATED_CODE;
    require(RtlAddFunctionTable(functions, 2, base) && RtlAddFunctionTable(functions + 1, 1, base) &&
                RtlAddFunctionTable(other, 1, base) && RtlDeleteFunctionTable(functions + 1),
            "crash.exe: no function table\r\n");
    DWORD64 found;
    require(RtlLookupFunctionEntry(base + 0x45, &found, NULL) == functions + 1 && found == base,
            "crash.exe: the function table does not help\r\n");
}

static void every_stream(void)
{
    PROCESS_HANDLE_TRACING_ENABLE enable = {0};
    HANDLE token;
    require(NtSetInformationProcess(GetCurrentProcess(), ProcessHandleTracing, &enable, sizeof(enable)) == 0,
            "crash.exe: handles are not traced\r\n");
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    require(event != NULL && CloseHandle(event), "crash.exe: no event\r\n");
    require(!CloseHandle(event) && GetLastError() == ERROR_INVALID_HANDLE, "crash.exe: a handle too many\r\n");
    require(NtOpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token) == 0, "crash.exe: no token\r\n");
    use_beta();
    generate_code();
    ((void (*)(void *, void *))GENERATED_CODE)(NULL, GENERATED_CODE + 0x40);
}

static const struct {
    const wchar_t *name;
    void (*run)(void);
} scenarios[] = {
    {L"null-read", null_read},
    {L"null-write", null_write},
    {L"write-read-only", write_read_only},
    {L"execute-nx", execute_nx},
    {L"wild-call", wild_call},
    {L"non-canonical", non_canonical},
    {L"divide-by-zero", divide_by_zero},
    {L"illegal-instruction", crash_illegal},
    {L"breakpoint", DebugBreak},
    {L"fast-fail", fast_fail},
    {L"stack-overflow", crash_overflow},
    {L"guard-page", guard_page},
    {L"heap-use-after-free", heap_use_after_free},
    {L"raised-exception", raised_exception},
    {L"dll-after-unload", dll_after_unload},
    {L"secondary-thread", secondary_thread},
    {L"deadlock", deadlock},
    {L"every-stream", every_stream},
};

static const wchar_t *last_word(const wchar_t *line)
{
    const wchar_t *word = line;
    for (; *line; line++)
        if (*line == L' ' && line[1] != 0 && line[1] != L' ')
            word = line + 1;
    return word;
}

DWORD mainCRTStartup(void)
{
    const wchar_t *wanted = last_word(GetCommandLineW());
    for (unsigned i = 0; i < RTL_NUMBER_OF(scenarios); i++)
        if (lstrcmpiW(wanted, scenarios[i].name) == 0) {
            build_state();
            OutputDebugStringA("crash.exe: crashing now\n");
            scenarios[i].run();
            return 1; /* it did not crash */
        }
    fail("crash.exe: the last word of the command line must be a scenario's name\r\n");
    return 2;
}
