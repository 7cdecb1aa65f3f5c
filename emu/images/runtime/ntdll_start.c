/* ntdll: where threads begin and end. */
#define _NTSYSTEM_
#include "ntdll_internal.h"
#include "ntdll_exception.h"

static RTL_CRITICAL_SECTION loader_lock = {NULL, -1, 0, NULL, NULL, 0};

/* The entry point of every mapped DLL that was not called yet, dependencies first. Fails when one refused. */
NTSTATUS call_init_routines(void)
{
    PVOID entry;
    PVOID base;
    while (NT_SUCCESS(NtxNextInitRoutine(&entry, &base))) {
        PLDR_DATA_TABLE_ENTRY module;
        if (NT_SUCCESS(LdrFindEntryForAddress(base, &module)))
            module->Flags |= LDRP_PROCESS_ATTACH_CALLED;
        if (entry != NULL && !((PDLL_ENTRY)entry)(base, DLL_PROCESS_ATTACH, NULL))
            return STATUS_DLL_INIT_FAILED;
    }
    return STATUS_SUCCESS;
}

/* Tell every initialized DLL that a thread starts or ends, or that the process ends: in order of initialization, or
 * backwards. */
static void notify_modules(DWORD reason, BOOLEAN backwards)
{
    PPEB peb = NtCurrentPeb();
    PLIST_ENTRY head = &peb->Ldr->InInitializationOrderModuleList;
    RtlEnterCriticalSection(peb->LoaderLock);
    for (PLIST_ENTRY link = backwards ? head->Blink : head->Flink; link != head;
         link = backwards ? link->Blink : link->Flink) {
        PLDR_DATA_TABLE_ENTRY module = CONTAINING_RECORD(link, LDR_DATA_TABLE_ENTRY, InInitializationOrderLinks);
        if (module->EntryPoint == NULL || module->DllBase == peb->ImageBaseAddress ||
            !(module->Flags & LDRP_PROCESS_ATTACH_CALLED))
            continue;
        if (reason != DLL_PROCESS_DETACH && (module->Flags & LDRP_DONT_CALL_FOR_THREADS))
            continue;
        ((PDLL_ENTRY)module->EntryPoint)(module->DllBase, reason, reason == DLL_PROCESS_DETACH ? (PVOID)1 : NULL);
    }
    RtlLeaveCriticalSection(peb->LoaderLock);
}

/* The first instruction of the initial thread: make the process heap, initialize the DLLs, run the program. */
DECLSPEC_NORETURN VOID NTAPI LdrInitializeThunk(PVOID entry, PPEB peb)
{
    peb->LoaderLock = &loader_lock;
    initialize_process_heaps(peb);
    NTSTATUS status = call_init_routines();
    if (!NT_SUCCESS(status))
        RtlExitUserProcess(status);
    RtlExitUserProcess(call_thread_start((PTHREAD_START_ROUTINE)entry, peb));
}

/* The first instruction of every other thread. */
DECLSPEC_NORETURN VOID NTAPI RtlUserThreadStart(PTHREAD_START_ROUTINE start, PVOID parameter)
{
    notify_modules(DLL_THREAD_ATTACH, FALSE);
    RtlExitUserThread(call_thread_start(start, parameter));
}

DECLSPEC_NORETURN VOID NTAPI RtlExitUserThread(NTSTATUS status)
{
    notify_modules(DLL_THREAD_DETACH, TRUE);
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
        notify_modules(DLL_PROCESS_DETACH, TRUE);
    }
    for (;;)
        NtTerminateProcess(NtCurrentProcess(), status);
}
