/* ntdll: static thread-local storage, for `__declspec(thread)` and `_Thread_local`.

   A module with a TLS directory gets an index, which is stored where its directory says. Each thread has a vector of
   pointers, TEB.ThreadLocalStoragePointer; the entry of that index points to the thread's copy of the template
   (PE format, "The .tls Section"). All of it is done under the loader lock, or before a second thread exists. */
#define _NTSYSTEM_
#include "ntdll_runtime.h"

#define TLS_MODULES 128 /* a further module with a TLS directory cannot be loaded: STATUS_NO_MEMORY */

typedef struct TLS_THREAD {
    LIST_ENTRY Link;
    PVOID Vector[TLS_MODULES];
} TLS_THREAD;

static PVOID modules[TLS_MODULES]; /* by index: the base, NULL for a free index */
static ULONG highest;              /* every index that was ever given is below */
static LIST_ENTRY threads = {&threads, &threads};

static PIMAGE_TLS_DIRECTORY tls_directory(PVOID base)
{
    ULONG size;
    return RtlImageDirectoryEntryToData(base, TRUE, IMAGE_DIRECTORY_ENTRY_TLS, &size);
}

/* The thread's copy of a module's template. The word before it is the heap block, as the copy may be aligned. */
static NTSTATUS make_copy(TLS_THREAD *thread, ULONG index)
{
    PIMAGE_TLS_DIRECTORY directory = tls_directory(modules[index]);
    SIZE_T size = (SIZE_T)(directory->EndAddressOfRawData - directory->StartAddressOfRawData);
    ULONG align_bits = directory->Characteristics >> 20 & 0xF; /* IMAGE_SCN_ALIGN_*: 2 to the power of bits - 1 */
    ULONG_PTR alignment = align_bits > 5 ? (ULONG_PTR)1 << (align_bits - 1) : 16;
    SIZE_T room = size + directory->SizeOfZeroFill + alignment + sizeof(PVOID);
    PUCHAR block = RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, HEAP_ZERO_MEMORY, room);
    if (block == NULL)
        return STATUS_NO_MEMORY;
    PUCHAR copy = (PUCHAR)(((ULONG_PTR)block + sizeof(PVOID) + alignment - 1) & ~(alignment - 1));
    ((PVOID *)copy)[-1] = block;
    memcpy(copy, (PVOID)directory->StartAddressOfRawData, size);
    thread->Vector[index] = copy;
    return STATUS_SUCCESS;
}

static void free_copy(TLS_THREAD *thread, ULONG index)
{
    if (thread->Vector[index] != NULL)
        RtlFreeHeap(NtCurrentPeb()->ProcessHeap, 0, ((PVOID *)thread->Vector[index])[-1]);
    thread->Vector[index] = NULL;
}

static NTSTATUS give_index(PVOID base)
{
    for (ULONG index = 0; index < TLS_MODULES; index++) {
        if (modules[index] != NULL)
            continue;
        modules[index] = base;
        if (index >= highest)
            highest = index + 1;
        *(PULONG)tls_directory(base)->AddressOfIndex = index;
        NTSTATUS status = STATUS_SUCCESS;
        for (PLIST_ENTRY link = threads.Flink; link != &threads && NT_SUCCESS(status); link = link->Flink)
            status = make_copy(CONTAINING_RECORD(link, TLS_THREAD, Link), index);
        return status;
    }
    return STATUS_NO_MEMORY;
}

/* Give an index to every module that needs one and has none, and copies of the template to every thread. */
NTSTATUS allocate_tls_of_new_modules(void)
{
    PLIST_ENTRY head = &NtCurrentPeb()->Ldr->InLoadOrderModuleList;
    for (PLIST_ENTRY link = head->Flink; link != head; link = link->Flink) {
        PLDR_DATA_TABLE_ENTRY module = CONTAINING_RECORD(link, LDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
        if (module->TlsIndex != 0 || tls_directory(module->DllBase) == NULL)
            continue;
        NTSTATUS status = give_index(module->DllBase);
        if (!NT_SUCCESS(status))
            return status;
        module->TlsIndex = 0xFFFF; /* the loader's sign that a module has static TLS */
    }
    return STATUS_SUCCESS;
}

NTSTATUS allocate_tls_of_thread(void)
{
    TLS_THREAD *thread = RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, HEAP_ZERO_MEMORY, sizeof(*thread));
    if (thread == NULL)
        return STATUS_NO_MEMORY;
    thread->Link.Flink = &threads;
    thread->Link.Blink = threads.Blink;
    threads.Blink->Flink = &thread->Link;
    threads.Blink = &thread->Link;
    NtCurrentTeb()->ThreadLocalStoragePointer = thread->Vector;
    NTSTATUS status = STATUS_SUCCESS;
    for (ULONG index = 0; index < highest && NT_SUCCESS(status); index++)
        if (modules[index] != NULL)
            status = make_copy(thread, index);
    return status;
}

void free_tls_of_thread(void)
{
    PVOID vector = NtCurrentTeb()->ThreadLocalStoragePointer;
    if (vector == NULL)
        return;
    TLS_THREAD *thread = CONTAINING_RECORD(vector, TLS_THREAD, Vector);
    NtCurrentTeb()->ThreadLocalStoragePointer = NULL;
    thread->Link.Flink->Blink = thread->Link.Blink;
    thread->Link.Blink->Flink = thread->Link.Flink;
    for (ULONG index = 0; index < highest; index++)
        free_copy(thread, index);
    RtlFreeHeap(NtCurrentPeb()->ProcessHeap, 0, thread);
}

/* The module's index is free again. */
void free_tls_of_module(PVOID base)
{
    for (ULONG index = 0; index < highest; index++) {
        if (modules[index] != base)
            continue;
        for (PLIST_ENTRY link = threads.Flink; link != &threads; link = link->Flink)
            free_copy(CONTAINING_RECORD(link, TLS_THREAD, Link), index);
        modules[index] = NULL;
    }
}

void call_tls_callbacks(PVOID base, DWORD reason)
{
    PIMAGE_TLS_DIRECTORY directory = tls_directory(base);
    if (directory == NULL || directory->AddressOfCallBacks == 0)
        return;
    for (PIMAGE_TLS_CALLBACK *callback = (PIMAGE_TLS_CALLBACK *)directory->AddressOfCallBacks; *callback != NULL;
         callback++)
        (*callback)(base, reason, NULL);
}
