/* kernel32: handles, processes, the system, interlocked lists, messages, and what is refused. */
#include "kernel32_runtime.h"

#define HANDLE_FLAGS ((OBJECT_INFORMATION_CLASS)4) /* ObjectHandleFlagInformation */

/* --- handles */
WINBOOL WINAPI GetHandleInformation(HANDLE handle, LPDWORD flags)
{
    BOOLEAN found[2]; /* Inherit, ProtectFromClose */
    if (!succeeded(NtQueryObject(handle, HANDLE_FLAGS, found, sizeof(found), NULL)))
        return FALSE;
    *flags = (found[0] ? HANDLE_FLAG_INHERIT : 0) | (found[1] ? HANDLE_FLAG_PROTECT_FROM_CLOSE : 0);
    return TRUE;
}

WINBOOL WINAPI SetHandleInformation(HANDLE handle, DWORD mask, DWORD flags)
{
    DWORD old;
    if (!GetHandleInformation(handle, &old))
        return FALSE;
    DWORD new = (old & ~mask) | (flags & mask);
    BOOLEAN wanted[2] = {(new & HANDLE_FLAG_INHERIT) != 0, (new & HANDLE_FLAG_PROTECT_FROM_CLOSE) != 0};
    return succeeded(NtSetInformationObject(handle, HANDLE_FLAGS, wanted, sizeof(wanted)));
}

WINBOOL WINAPI CompareObjectHandles(HANDLE first, HANDLE second)
{
    return first == second;
}

/* --- processes and threads */
HANDLE WINAPI OpenProcess(DWORD access, WINBOOL inherit, DWORD id)
{
    OBJECT_ATTRIBUTES attributes;
    CLIENT_ID client = {(HANDLE)(ULONG_PTR)id, NULL};
    HANDLE handle = NULL;
    InitializeObjectAttributes(&attributes, NULL, inherit ? OBJ_INHERIT : 0, NULL, NULL);
    return succeeded(NtOpenProcess(&handle, access, &attributes, &client)) ? handle : NULL;
}

HANDLE WINAPI OpenThread(DWORD access, WINBOOL inherit, DWORD id)
{
    OBJECT_ATTRIBUTES attributes;
    CLIENT_ID client = {NULL, (HANDLE)(ULONG_PTR)id};
    HANDLE handle = NULL;
    InitializeObjectAttributes(&attributes, NULL, inherit ? OBJ_INHERIT : 0, NULL, NULL);
    return succeeded(NtOpenThread(&handle, access, &attributes, &client)) ? handle : NULL;
}

WINBOOL WINAPI GetExitCodeProcess(HANDLE process, LPDWORD code)
{
    if (GetProcessId(process) == 0)
        return FALSE;
    *code = STILL_ACTIVE; /* the only process is this one */
    return TRUE;
}

WINBOOL WINAPI GetProcessAffinityMask(HANDLE process, PDWORD_PTR mask, PDWORD_PTR system)
{
    if (GetProcessId(process) == 0)
        return FALSE;
    *mask = *system = NtCurrentPeb()->ActiveProcessAffinityMask;
    return TRUE;
}

NTSTATUS NTAPI NtGetContextThread(HANDLE thread, PCONTEXT context);
NTSTATUS NTAPI NtSetContextThread(HANDLE thread, const CONTEXT *context);

WINBOOL WINAPI GetThreadContext(HANDLE thread, LPCONTEXT context)
{
    return succeeded(NtGetContextThread(thread, context));
}

WINBOOL WINAPI SetThreadContext(HANDLE thread, CONST CONTEXT *context)
{
    return succeeded(NtSetContextThread(thread, context));
}

/* Every thread runs on the one processor that is simulated: only a mask of processors that exist is taken. */
WINBOOL WINAPI SetProcessAffinityMask(HANDLE process, DWORD_PTR mask)
{
    if (GetProcessId(process) == 0)
        return FALSE;
    if (mask == 0 || (mask & ~NtCurrentPeb()->ActiveProcessAffinityMask))
        return fails(ERROR_INVALID_PARAMETER);
    return TRUE;
}

WINBOOL WINAPI IsWow64Process(HANDLE process, PBOOL wow64)
{
    UNREFERENCED_PARAMETER(process);
    *wow64 = FALSE;
    return TRUE;
}

WINBOOL WINAPI ProcessIdToSessionId(DWORD id, DWORD *session)
{
    if (id != GetCurrentProcessId())
        return fails(ERROR_INVALID_PARAMETER);
    *session = NtCurrentPeb()->SessionId;
    return TRUE;
}

DWORD WINAPI GetPriorityClass(HANDLE process)
{
    return GetProcessId(process) != 0 ? NORMAL_PRIORITY_CLASS : 0;
}

WINBOOL WINAPI SetThreadPriorityBoost(HANDLE thread, WINBOOL disabled)
{
    UNREFERENCED_PARAMETER(disabled);
    return GetThreadId(thread) != 0;
}

DWORD WINAPI SetThreadIdealProcessor(HANDLE thread, DWORD processor)
{
    UNREFERENCED_PARAMETER(processor);
    return GetThreadId(thread) != 0 ? 0 : (DWORD)-1;
}

VOID WINAPI GetCurrentThreadStackLimits(PULONG_PTR low, PULONG_PTR high)
{
    *low = (ULONG_PTR)TEB_POINTER(0x1478); /* TEB.DeallocationStack */
    *high = (ULONG_PTR)((PNT_TIB)NtCurrentTeb())->StackBase;
}

WINBOOL WINAPI CreateProcessW(LPCWSTR name, LPWSTR line, LPSECURITY_ATTRIBUTES process, LPSECURITY_ATTRIBUTES thread,
                              WINBOOL inherit, DWORD flags, LPVOID environment, LPCWSTR directory,
                              LPSTARTUPINFOW startup, LPPROCESS_INFORMATION information)
{
    UNREFERENCED_PARAMETER(name);
    UNREFERENCED_PARAMETER(line);
    UNREFERENCED_PARAMETER(process);
    UNREFERENCED_PARAMETER(thread);
    UNREFERENCED_PARAMETER(inherit);
    UNREFERENCED_PARAMETER(flags);
    UNREFERENCED_PARAMETER(environment);
    UNREFERENCED_PARAMETER(directory);
    UNREFERENCED_PARAMETER(startup);
    UNREFERENCED_PARAMETER(information);
    return fails(ERROR_ACCESS_DENIED); /* a target is one process */
}

WINBOOL WINAPI CreateProcessA(LPCSTR name, LPSTR line, LPSECURITY_ATTRIBUTES process, LPSECURITY_ATTRIBUTES thread,
                              WINBOOL inherit, DWORD flags, LPVOID environment, LPCSTR directory,
                              LPSTARTUPINFOA startup, LPPROCESS_INFORMATION information)
{
    UNREFERENCED_PARAMETER(name);
    UNREFERENCED_PARAMETER(line);
    UNREFERENCED_PARAMETER(directory);
    UNREFERENCED_PARAMETER(startup);
    return CreateProcessW(NULL, NULL, process, thread, inherit, flags, environment, NULL, NULL, information);
}

WINBOOL WINAPI CreatePipe(PHANDLE read, PHANDLE write, LPSECURITY_ATTRIBUTES security, DWORD size)
{
    UNREFERENCED_PARAMETER(security);
    UNREFERENCED_PARAMETER(size);
    *read = *write = NULL;
    return fails(ERROR_NOT_SUPPORTED);
}

/* --- the system */
DWORD WINAPI GetActiveProcessorCount(WORD group)
{
    return group == 0 || group == ALL_PROCESSOR_GROUPS ? NtCurrentPeb()->NumberOfProcessors
                                                       : (DWORD)fails(ERROR_INVALID_PARAMETER);
}

DWORD WINAPI GetCurrentProcessorNumber(VOID)
{
    return 0;
}

WINBOOL WINAPI IsProcessorFeaturePresent(DWORD feature)
{
    return feature < 64 && *(const UCHAR *)(ULONG_PTR)(0x7FFE0274 + feature); /* KUSER_SHARED_DATA.ProcessorFeatures */
}

WINBOOL WINAPI GetComputerNameW(LPWSTR name, LPDWORD size)
{
    DWORD room = *size;
    DWORD length = GetEnvironmentVariableW(L"COMPUTERNAME", name, room);
    *size = length;
    return length < room || fails(ERROR_BUFFER_OVERFLOW);
}

WINBOOL WINAPI GetComputerNameA(LPSTR name, LPDWORD size)
{
    DWORD room = *size;
    DWORD length = GetEnvironmentVariableA("COMPUTERNAME", name, room);
    *size = length;
    return length < room || fails(ERROR_BUFFER_OVERFLOW);
}

WINBOOL WINAPI GetVersionExW(LPOSVERSIONINFOW information)
{
    PPEB peb = NtCurrentPeb();
    if (information->dwOSVersionInfoSize < sizeof(OSVERSIONINFOW))
        return fails(ERROR_INSUFFICIENT_BUFFER);
    information->dwMajorVersion = peb->OSMajorVersion;
    information->dwMinorVersion = peb->OSMinorVersion;
    information->dwBuildNumber = peb->OSBuildNumber;
    information->dwPlatformId = VER_PLATFORM_WIN32_NT;
    memset(information->szCSDVersion, 0, sizeof(information->szCSDVersion));
    return TRUE;
}

WINBOOL WINAPI GlobalMemoryStatusEx(LPMEMORYSTATUSEX status)
{
    if (status->dwLength != sizeof(*status))
        return fails(ERROR_INVALID_PARAMETER);
    status->dwMemoryLoad = 44; /* of the system information that a dump holds: 8 GiB, of which 4.4 are free */
    status->ullTotalPhys = 0x1FE8A1ULL << 12;
    status->ullAvailPhys = 0x11C3D2ULL << 12;
    status->ullTotalPageFile = 0x25E8A1ULL << 12;
    status->ullAvailPageFile = (0x25E8A1ULL - 0x0F1B04ULL) << 12;
    status->ullTotalVirtual = 0x7FFFFFFE0000ULL;
    status->ullAvailVirtual = 0x7FFFF0000000ULL;
    status->ullAvailExtendedVirtual = 0;
    return TRUE;
}

/* --- pointers that are hidden: exclusive or and a rotation by the cookie of the process, which is fixed here */
#define COOKIE ((ULONG_PTR)0x2B992DDFA23249D6)

PVOID WINAPI EncodePointer(PVOID pointer)
{
    ULONG_PTR value = (ULONG_PTR)pointer ^ COOKIE;
    return (PVOID)(value >> 22 | value << 42);
}

PVOID WINAPI DecodePointer(PVOID pointer)
{
    ULONG_PTR value = (ULONG_PTR)pointer;
    return (PVOID)((value << 22 | value >> 42) ^ COOKIE);
}

PVOID WINAPI EncodeSystemPointer(PVOID pointer)
{
    return EncodePointer(pointer);
}

PVOID WINAPI DecodeSystemPointer(PVOID pointer)
{
    return DecodePointer(pointer);
}

/* --- interlocked lists: SLIST_HEADER of amd64 (winnt.h): depth 16 bits, sequence 48; reserved 4, next entry 60 */
static BOOLEAN exchange_header(PSLIST_HEADER header, SLIST_HEADER *seen, PSLIST_ENTRY first, LONG64 depth)
{
    ULONG64 low = ((ULONG64)depth & 0xFFFF) | ((seen->Alignment & ~0xFFFFULL) + 0x10000);
    BOOLEAN done;
    __asm__ volatile("lock cmpxchg16b %1\n\tsete %0"
                     : "=q"(done), "+m"(*header), "+a"(seen->Alignment), "+d"(seen->Region)
                     : "b"(low), "c"(first)
                     : "cc", "memory");
    return done;
}

static PSLIST_ENTRY first_of(const SLIST_HEADER *header)
{
    return (PSLIST_ENTRY)(header->Region & ~15ULL);
}

VOID WINAPI InitializeSListHead(PSLIST_HEADER header)
{
    memset(header, 0, sizeof(*header));
}

PSLIST_ENTRY WINAPI InterlockedPushEntrySList(PSLIST_HEADER header, PSLIST_ENTRY entry)
{
    SLIST_HEADER seen = *header;
    do
        entry->Next = first_of(&seen);
    while (!exchange_header(header, &seen, entry, (LONG64)(seen.Alignment & 0xFFFF) + 1));
    return first_of(&seen);
}

PSLIST_ENTRY WINAPI InterlockedPushListSListEx(PSLIST_HEADER header, PSLIST_ENTRY first, PSLIST_ENTRY last, ULONG count)
{
    SLIST_HEADER seen = *header;
    do
        last->Next = first_of(&seen);
    while (!exchange_header(header, &seen, first, (LONG64)(seen.Alignment & 0xFFFF) + count));
    return first_of(&seen);
}

PSLIST_ENTRY WINAPI InterlockedPopEntrySList(PSLIST_HEADER header)
{
    SLIST_HEADER seen = *header;
    PSLIST_ENTRY first;
    do {
        first = first_of(&seen);
        if (first == NULL)
            return NULL;
    } while (!exchange_header(header, &seen, first->Next, (LONG64)(seen.Alignment & 0xFFFF) - 1));
    return first;
}

PSLIST_ENTRY WINAPI InterlockedFlushSList(PSLIST_HEADER header)
{
    SLIST_HEADER seen = *header;
    while (first_of(&seen) != NULL && !exchange_header(header, &seen, NULL, 0))
        ;
    return first_of(&seen);
}

USHORT WINAPI QueryDepthSList(PSLIST_HEADER header)
{
    return (USHORT)header->Alignment;
}

/* --- memory blocks by handle: every block is fixed */
SIZE_T WINAPI LocalSize(HLOCAL block)
{
    return RtlSizeHeap(GetProcessHeap(), 0, block);
}

SIZE_T WINAPI GlobalSize(HGLOBAL block)
{
    return LocalSize(block);
}

HLOCAL WINAPI LocalReAlloc(HLOCAL block, SIZE_T size, UINT flags)
{
    if (flags & LMEM_MODIFY)
        return block;
    return RtlReAllocateHeap(GetProcessHeap(), flags & LMEM_ZEROINIT ? HEAP_ZERO_MEMORY : 0, block, size);
}

HGLOBAL WINAPI GlobalReAlloc(HGLOBAL block, SIZE_T size, UINT flags)
{
    return LocalReAlloc(block, size, flags);
}

LPVOID WINAPI LocalLock(HLOCAL block)
{
    return block;
}

WINBOOL WINAPI LocalUnlock(HLOCAL block)
{
    return GlobalUnlock(block);
}

WINBOOL WINAPI HeapSetInformation(HANDLE heap, HEAP_INFORMATION_CLASS kind, PVOID information, SIZE_T size)
{
    UNREFERENCED_PARAMETER(heap);
    UNREFERENCED_PARAMETER(information);
    UNREFERENCED_PARAMETER(size);
    return kind == HeapCompatibilityInformation || kind == HeapEnableTerminationOnCorruption ||
           fails(ERROR_INVALID_PARAMETER);
}

SIZE_T WINAPI HeapCompact(HANDLE heap, DWORD flags)
{
    UNREFERENCED_PARAMETER(heap);
    UNREFERENCED_PARAMETER(flags);
    return 0x10000;
}

WINBOOL WINAPI VirtualLock(LPVOID address, SIZE_T size)
{
    UNREFERENCED_PARAMETER(address);
    UNREFERENCED_PARAMETER(size);
    return TRUE; /* nothing is ever paged out */
}

WINBOOL WINAPI VirtualUnlock(LPVOID address, SIZE_T size)
{
    return VirtualLock(address, size);
}

/* --- modules */
WINBOOL WINAPI GetModuleHandleExA(DWORD flags, LPCSTR name, HMODULE *module)
{
    UNICODE_STRING wide;
    if (flags & GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS)
        return GetModuleHandleExW(flags, (LPCWSTR)name, module);
    if (!widen(name, &wide))
        return FALSE;
    BOOL done = GetModuleHandleExW(flags, wide.Buffer, module);
    RtlFreeUnicodeString(&wide);
    return done;
}

WINBOOL WINAPI SetDllDirectoryW(LPCWSTR path)
{
    UNREFERENCED_PARAMETER(path);
    return TRUE; /* DLLs are found in the program's folder and in the system's */
}

WINBOOL WINAPI SetDefaultDllDirectories(DWORD flags)
{
    UNREFERENCED_PARAMETER(flags);
    return TRUE;
}
