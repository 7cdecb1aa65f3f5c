/* ntdll of the runtime system: LdrLoadDll and LdrUnloadDll with static thread-local storage. */
#define _NTSYSTEM_
#include "ntdll_runtime.h"

NTSTATUS NTAPI LdrLoadDll(PWSTR path, PULONG characteristics, PUNICODE_STRING name, PVOID *base)
{
    UNREFERENCED_PARAMETER(path);
    UNREFERENCED_PARAMETER(characteristics);
    PRTL_CRITICAL_SECTION lock = NtCurrentPeb()->LoaderLock;
    RtlEnterCriticalSection(lock);
    NTSTATUS status = NtxMapDll(name, base);
    if (NT_SUCCESS(status)) {
        status = allocate_tls_of_new_modules();
        if (NT_SUCCESS(status))
            status = call_init_routines();
        if (!NT_SUCCESS(status)) {
            LdrUnloadDll(*base); /* as Windows does: the refusing DllMain is told DLL_PROCESS_DETACH too */
            *base = NULL;
        }
    }
    RtlLeaveCriticalSection(lock);
    return status;
}

NTSTATUS NTAPI LdrUnloadDll(PVOID base)
{
    PRTL_CRITICAL_SECTION lock = NtCurrentPeb()->LoaderLock;
    PVOID entry = NULL;
    RtlEnterCriticalSection(lock);
    NTSTATUS status = NtxReleaseDll(base, &entry);
    if (status == STATUS_SUCCESS) {
        call_tls_callbacks(base, DLL_PROCESS_DETACH);
        if (entry != NULL)
            ((PDLL_ENTRY)entry)(base, DLL_PROCESS_DETACH, NULL);
        free_tls_of_module(base);
        status = NtxUnmapDll(base);
    }
    RtlLeaveCriticalSection(lock);
    return status == STATUS_PENDING ? STATUS_SUCCESS : status;
}
