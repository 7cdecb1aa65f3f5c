// Threads, two of them suspended; handles with and without names; a mapped file; an unloaded DLL; thread-local data.
// The stacks point into heaps, mappings and sections. Then an exception with four parameters.
#include <windows.h>

static char initialised[8192] = "initialised data";
static char zeroed[8192];
static __thread int local = 77;
static HANDLE never;

static DWORD WINAPI worker(void *started) {
    volatile ULONG_PTR here[3];
    here[0] = (ULONG_PTR)HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, 100);
    here[1] = (ULONG_PTR)VirtualAlloc(0, 0x3000, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE) + 0x1008;
    here[2] = 0x123456789ABCDEF0ull;
    *(char *)here[1] = 'w';
    local = (int)here[0];
    SetEvent(started);
    WaitForSingleObject(never, INFINITE);
    return (DWORD)here[2];
}

int main(void) {
    never = CreateEventW(0, TRUE, FALSE, L"objects-event");
    CreateMutexW(0, FALSE, L"objects-mutex");
    CreateSemaphoreW(0, 1, 9, L"objects-semaphore");
    HANDLE threads[6];
    for (int index = 0; index < 6; index++) {
        HANDLE started = CreateEventW(0, FALSE, FALSE, 0);
        threads[index] = CreateThread(0, 0, worker, started, 0, 0);
        WaitForSingleObject(started, 5000);
    }
    SetThreadPriority(threads[1], THREAD_PRIORITY_HIGHEST);
    SuspendThread(threads[2]);
    SuspendThread(threads[2]);
    SuspendThread(threads[3]);
    wchar_t folder[MAX_PATH], path[MAX_PATH];
    GetTempPathW(MAX_PATH, folder);
    GetTempFileNameW(folder, L"obj", 0, path);
    HANDLE file = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, 0, CREATE_ALWAYS, FILE_FLAG_DELETE_ON_CLOSE, 0);
    DWORD written;
    WriteFile(file, initialised, sizeof initialised, &written, 0);
    char *view = MapViewOfFile(CreateFileMappingW(file, 0, PAGE_READWRITE, 0, 0, 0), FILE_MAP_READ, 0, 0, 0);
    HANDLE anonymous = CreateFileMappingW(INVALID_HANDLE_VALUE, 0, PAGE_READWRITE, 0, 0x4000, L"objects-map");
    char *shared = MapViewOfFile(anonymous, FILE_MAP_WRITE, 0, 0, 0);
    shared[5] = 's';
    HMODULE library = LoadLibraryW(L"version.dll");
    if (library) FreeLibrary(library);
    volatile ULONG_PTR words[6];
    words[0] = (ULONG_PTR)HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, 300);
    words[1] = (ULONG_PTR)view + 0x10;
    words[2] = (ULONG_PTR)shared + 0x2001;
    words[3] = (ULONG_PTR)initialised;
    words[4] = (ULONG_PTR)zeroed;
    words[5] = (ULONG_PTR)main;
    ULONG_PTR parameters[4] = {0x1000, 0x1001, words[0], words[5]};
    RaiseException(0xE0001234, 0, 4, parameters);
    return (int)words[1];
}
