/* ntdll of the runtime system: where threads begin and end. It replaces the file of that name of the small system. */
#define _NTSYSTEM_
#include "ntdll_runtime.h"
#include "ntdll_exception.h"

static RTL_CRITICAL_SECTION loader_lock = {NULL, -1, 0, NULL, NULL, 0};
static RTL_CRITICAL_SECTION peb_lock = {NULL, -1, 0, NULL, NULL, 0}; /* Zig's standard library takes it */

static BOOLEAN process_runs; /* the DLLs that are loaded with the process are initialized */

/* The TLS callbacks and the entry point of every mapped DLL that was not called yet, dependencies first. Fails when one
 * refused. Documented: DllMain's lpvReserved is not NULL for a DLL that is loaded with the process. */
NTSTATUS call_init_routines(void)
{
    PVOID entry;
    PVOID base;
    while (NT_SUCCESS(NtxNextInitRoutine(&entry, &base))) {
        PLDR_DATA_TABLE_ENTRY module;
        if (NT_SUCCESS(LdrFindEntryForAddress(base, &module)))
            module->Flags |= LDRP_PROCESS_ATTACH_CALLED;
        call_tls_callbacks(base, DLL_PROCESS_ATTACH);
        if (entry != NULL && !((PDLL_ENTRY)entry)(base, DLL_PROCESS_ATTACH, process_runs ? NULL : (PVOID)1))
            return STATUS_DLL_INIT_FAILED;
    }
    return STATUS_SUCCESS;
}

/* The program's TLS callbacks run last, whether threads begin or end. */
static void notify_modules(DWORD reason, BOOLEAN backwards)
{
    PPEB peb = NtCurrentPeb();
    PLIST_ENTRY head = &peb->Ldr->InInitializationOrderModuleList;
    RtlEnterCriticalSection(peb->LoaderLock);
    for (PLIST_ENTRY link = backwards ? head->Blink : head->Flink; link != head;
         link = backwards ? link->Blink : link->Flink) {
        PLDR_DATA_TABLE_ENTRY module = CONTAINING_RECORD(link, LDR_DATA_TABLE_ENTRY, InInitializationOrderLinks);
        if (module->DllBase == peb->ImageBaseAddress || !(module->Flags & LDRP_PROCESS_ATTACH_CALLED))
            continue;
        if (reason != DLL_PROCESS_DETACH && (module->Flags & LDRP_DONT_CALL_FOR_THREADS))
            continue;
        call_tls_callbacks(module->DllBase, reason);
        if (module->EntryPoint != NULL)
            ((PDLL_ENTRY)module->EntryPoint)(module->DllBase, reason, reason == DLL_PROCESS_DETACH ? (PVOID)1 : NULL);
    }
    call_tls_callbacks(peb->ImageBaseAddress, reason);
    RtlLeaveCriticalSection(peb->LoaderLock);
}

/* Everything that must be there before the first instruction of the program. */
static NTSTATUS initialize_process(PPEB peb)
{
    peb->LoaderLock = &loader_lock;
    peb->FastPebLock = &peb_lock;
    initialize_process_heaps(peb);
    NTSTATUS status = allocate_tls_of_thread();
    if (NT_SUCCESS(status))
        status = allocate_tls_of_new_modules();
    if (NT_SUCCESS(status))
        status = call_init_routines();
    if (NT_SUCCESS(status))
        call_tls_callbacks(peb->ImageBaseAddress, DLL_PROCESS_ATTACH);
    process_runs = TRUE;
    return status;
}

/* The first instruction of the initial thread. */
DECLSPEC_NORETURN VOID NTAPI LdrInitializeThunk(PVOID entry, PPEB peb)
{
    NTSTATUS status = initialize_process(peb);
    RtlExitUserProcess(NT_SUCCESS(status) ? call_thread_start((PTHREAD_START_ROUTINE)entry, peb) : status);
}

/* The first instruction of every other thread. */
DECLSPEC_NORETURN VOID NTAPI RtlUserThreadStart(PTHREAD_START_ROUTINE start, PVOID parameter)
{
    PRTL_CRITICAL_SECTION lock = NtCurrentPeb()->LoaderLock;
    RtlEnterCriticalSection(lock);
    NTSTATUS status = allocate_tls_of_thread();
    RtlLeaveCriticalSection(lock);
    if (!NT_SUCCESS(status))
        RtlExitUserProcess(status);
    notify_modules(DLL_THREAD_ATTACH, FALSE);
    RtlExitUserThread(call_thread_start(start, parameter));
}

DECLSPEC_NORETURN VOID NTAPI RtlExitUserThread(NTSTATUS status)
{
    call_fls_callbacks();
    notify_modules(DLL_THREAD_DETACH, TRUE);
    RtlEnterCriticalSection(NtCurrentPeb()->LoaderLock);
    free_tls_of_thread();
    RtlLeaveCriticalSection(NtCurrentPeb()->LoaderLock);
    for (;;)
        NtTerminateThread(NtCurrentThread(), status);
}

/* Every other thread ends first, so the loader lock may be held by a dead one: it is taken over. */
DECLSPEC_NORETURN VOID NTAPI RtlExitUserProcess(NTSTATUS status)
{
    PRTL_CRITICAL_SECTION lock = NtCurrentPeb()->LoaderLock;
    NtTerminateProcess(NULL, status);
    if (lock != NULL) {
        RtlInitializeCriticalSection(lock);
        call_fls_callbacks();
        notify_modules(DLL_PROCESS_DETACH, TRUE);
    }
    for (;;)
        NtTerminateProcess(NtCurrentProcess(), status);
}
