/* ntdll: modules by name, exports by name or ordinal, loading and unloading. The mapping itself is the system's
 * (NtxMapDll). */
#define _NTSYSTEM_
#include "ntdll_internal.h"

PIMAGE_NT_HEADERS NTAPI RtlImageNtHeader(PVOID base)
{
    PIMAGE_DOS_HEADER dos = base;
    if (base == NULL || dos->e_magic != IMAGE_DOS_SIGNATURE)
        return NULL;
    PIMAGE_NT_HEADERS nt = (PIMAGE_NT_HEADERS)((PUCHAR)base + dos->e_lfanew);
    return nt->Signature == IMAGE_NT_SIGNATURE ? nt : NULL;
}

PVOID NTAPI RtlImageDirectoryEntryToData(PVOID base, BOOLEAN mapped_as_image, USHORT directory, PULONG size)
{
    PIMAGE_NT_HEADERS nt = RtlImageNtHeader(base);
    *size = 0;
    if (nt == NULL || !mapped_as_image || directory >= nt->OptionalHeader.NumberOfRvaAndSizes)
        return NULL;
    PIMAGE_DATA_DIRECTORY entry = &nt->OptionalHeader.DataDirectory[directory];
    if (entry->VirtualAddress == 0)
        return NULL;
    *size = entry->Size;
    return (PUCHAR)base + entry->VirtualAddress;
}

NTSTATUS NTAPI LdrFindEntryForAddress(PVOID address, PLDR_DATA_TABLE_ENTRY *entry)
{
    PLIST_ENTRY head = &NtCurrentPeb()->Ldr->InLoadOrderModuleList;
    for (PLIST_ENTRY link = head->Flink; link != head; link = link->Flink) {
        PLDR_DATA_TABLE_ENTRY module = CONTAINING_RECORD(link, LDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
        if ((ULONG_PTR)address - (ULONG_PTR)module->DllBase < module->SizeOfImage) {
            *entry = module;
            return STATUS_SUCCESS;
        }
    }
    return STATUS_NO_MORE_ENTRIES;
}

PVOID NTAPI RtlPcToFileHeader(PVOID address, PVOID *base)
{
    PLDR_DATA_TABLE_ENTRY module;
    *base = NT_SUCCESS(LdrFindEntryForAddress(address, &module)) ? module->DllBase : NULL;
    return *base;
}

PRUNTIME_FUNCTION NTAPI RtlLookupFunctionEntry(DWORD64 address, PDWORD64 base, PUNWIND_HISTORY_TABLE history)
{
    UNREFERENCED_PARAMETER(history);
    PVOID image = RtlPcToFileHeader((PVOID)address, (PVOID *)base);
    if (image == NULL)
        return lookup_dynamic_function(address, base);
    ULONG size;
    PRUNTIME_FUNCTION table = RtlImageDirectoryEntryToData(image, TRUE, IMAGE_DIRECTORY_ENTRY_EXCEPTION, &size);
    if (table == NULL)
        return NULL;
    for (ULONG i = 0; i < size / sizeof(*table); i++)
        if (address - *base >= table[i].BeginAddress && address - *base < table[i].EndAddress)
            return &table[i];
    return NULL;
}

/* Compare a wanted name (a file name, with or without a path and an extension) with a module's. */
static BOOLEAN module_has_name(PLDR_DATA_TABLE_ENTRY module, PCUNICODE_STRING wanted, BOOLEAN has_path,
                               BOOLEAN has_extension)
{
    UNICODE_STRING name = has_path ? module->FullDllName : module->BaseDllName;
    if (!has_extension) {
        USHORT length = wanted->Length;
        UNICODE_STRING dll = {8, 8, L".dll"};
        UNICODE_STRING extension = {8, 8, (PWSTR)((PUCHAR)name.Buffer + length)};
        if (name.Length != length + dll.Length || !RtlEqualUnicodeString(&extension, &dll, TRUE))
            return FALSE;
        name.Length = length;
    }
    return RtlEqualUnicodeString(&name, wanted, TRUE);
}

NTSTATUS NTAPI LdrGetDllHandle(PWSTR path, PULONG characteristics, PUNICODE_STRING name, PVOID *base)
{
    UNREFERENCED_PARAMETER(path);
    UNREFERENCED_PARAMETER(characteristics);
    PPEB peb = NtCurrentPeb();
    UNICODE_STRING wanted = *name;
    BOOLEAN has_path = FALSE;
    BOOLEAN has_extension = FALSE;
    for (USHORT i = 0; i < wanted.Length / sizeof(WCHAR); i++) {
        WCHAR c = wanted.Buffer[i];
        if (c == L'\\' || c == L'/') {
            has_path = TRUE;
            has_extension = FALSE;
        } else if (c == L'.')
            has_extension = TRUE;
    }
    if (wanted.Length && wanted.Buffer[wanted.Length / sizeof(WCHAR) - 1] == L'.')
        wanted.Length -= sizeof(WCHAR); /* a trailing point says: no extension */
    NTSTATUS status = STATUS_DLL_NOT_FOUND;
    PLIST_ENTRY head = &peb->Ldr->InLoadOrderModuleList;
    RtlEnterCriticalSection(peb->LoaderLock);
    for (PLIST_ENTRY link = head->Flink; link != head; link = link->Flink) {
        PLDR_DATA_TABLE_ENTRY module = CONTAINING_RECORD(link, LDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
        if (module_has_name(module, &wanted, has_path, has_extension)) {
            *base = module->DllBase;
            status = STATUS_SUCCESS;
            break;
        }
    }
    RtlLeaveCriticalSection(peb->LoaderLock);
    return status;
}

/* A forwarder is the text "MODULE.Name" or "MODULE.#ordinal" inside the export directory. */
static NTSTATUS follow_forwarder(PCHAR forwarder, PVOID *address)
{
    WCHAR buffer[64];
    USHORT n = 0;
    for (; forwarder[n] != '.' && forwarder[n] != 0 && n < RTL_NUMBER_OF(buffer); n++)
        buffer[n] = (UCHAR)forwarder[n];
    if (forwarder[n] != '.')
        return STATUS_ENTRYPOINT_NOT_FOUND;
    UNICODE_STRING module = {n * sizeof(WCHAR), n * sizeof(WCHAR), buffer};
    PVOID base;
    NTSTATUS status = LdrGetDllHandle(NULL, NULL, &module, &base);
    if (!NT_SUCCESS(status))
        return status;
    PCHAR symbol = forwarder + n + 1;
    if (*symbol != '#') {
        ANSI_STRING name;
        RtlInitAnsiString(&name, symbol);
        return LdrGetProcedureAddress(base, &name, 0, address);
    }
    ULONG ordinal = 0;
    while (*++symbol)
        ordinal = ordinal * 10 + (ULONG)(*symbol - '0');
    return LdrGetProcedureAddress(base, NULL, ordinal, address);
}

NTSTATUS NTAPI LdrGetProcedureAddress(PVOID base, PANSI_STRING name, ULONG ordinal, PVOID *address)
{
    ULONG size;
    PUCHAR image = base;
    PIMAGE_EXPORT_DIRECTORY exports = RtlImageDirectoryEntryToData(base, TRUE, IMAGE_DIRECTORY_ENTRY_EXPORT, &size);
    if (exports == NULL)
        return STATUS_ENTRYPOINT_NOT_FOUND;
    PULONG functions = (PULONG)(image + exports->AddressOfFunctions);
    ULONG index = ordinal - exports->Base;
    if (name != NULL) {
        PULONG names = (PULONG)(image + exports->AddressOfNames);
        PUSHORT ordinals = (PUSHORT)(image + exports->AddressOfNameOrdinals);
        index = MAXDWORD;
        for (ULONG low = 0, high = exports->NumberOfNames; low < high;) {
            ULONG middle = (low + high) / 2;
            PCHAR candidate = (PCHAR)(image + names[middle]);
            int order = strncmp(name->Buffer, candidate, name->Length);
            if (order == 0 && candidate[name->Length] == 0) {
                index = ordinals[middle];
                break;
            }
            if (order > 0)
                low = middle + 1;
            else
                high = middle;
        }
    }
    if (index >= exports->NumberOfFunctions || functions[index] == 0)
        return name != NULL ? STATUS_ENTRYPOINT_NOT_FOUND : STATUS_ORDINAL_NOT_FOUND;
    PUCHAR target = image + functions[index];
    if ((ULONG_PTR)(target - (PUCHAR)exports) < size)
        return follow_forwarder((PCHAR)target, address);
    *address = target;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI LdrLoadDll(PWSTR path, PULONG characteristics, PUNICODE_STRING name, PVOID *base)
{
    UNREFERENCED_PARAMETER(path);
    UNREFERENCED_PARAMETER(characteristics);
    PRTL_CRITICAL_SECTION lock = NtCurrentPeb()->LoaderLock;
    RtlEnterCriticalSection(lock);
    NTSTATUS status = NtxMapDll(name, base);
    if (NT_SUCCESS(status)) {
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
        if (entry != NULL)
            ((PDLL_ENTRY)entry)(base, DLL_PROCESS_DETACH, NULL);
        status = NtxUnmapDll(base);
    }
    RtlLeaveCriticalSection(lock);
    return status == STATUS_PENDING ? STATUS_SUCCESS : status;
}

NTSTATUS NTAPI LdrDisableThreadCalloutsForDll(PVOID base)
{
    PLDR_DATA_TABLE_ENTRY module;
    NTSTATUS status = LdrFindEntryForAddress(base, &module);
    if (!NT_SUCCESS(status))
        return STATUS_DLL_NOT_FOUND;
    module->Flags |= LDRP_DONT_CALL_FOR_THREADS;
    return STATUS_SUCCESS;
}
