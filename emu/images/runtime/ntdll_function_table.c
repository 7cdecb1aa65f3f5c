/* ntdll: finds the function of an address, in the loaded images and in tables of code that is generated at run time.
 *
 * Those tables form a list that a debugger walks from RtlpDynamicFunctionTable, of which RtlGetFunctionTableListHead
 * tells a program. Source: learn.microsoft.com RtlAddFunctionTable, RtlInstallFunctionTableCallback,
 * RtlAddGrowableFunctionTable, RtlLookupFunctionEntry. */
#define _NTSYSTEM_
#include "ntdll_internal.h"

LIST_ENTRY RtlpDynamicFunctionTable = {&RtlpDynamicFunctionTable, &RtlpDynamicFunctionTable};
static RTL_SRWLOCK table_lock = RTL_SRWLOCK_INIT;

PLIST_ENTRY NTAPI RtlGetFunctionTableListHead(VOID)
{
    return &RtlpDynamicFunctionTable;
}

static PDYNAMIC_FUNCTION_TABLE new_table(DWORD64 base, FUNCTION_TABLE_TYPE type, SIZE_T extra)
{
    PDYNAMIC_FUNCTION_TABLE table =
        RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, HEAP_ZERO_MEMORY, sizeof(*table) + extra);
    if (table == NULL)
        return NULL;
    table->BaseAddress = base;
    table->Type = type;
    NtQuerySystemTime(&table->TimeStamp);
    return table;
}

static void insert_table(PDYNAMIC_FUNCTION_TABLE table)
{
    RtlAcquireSRWLockExclusive(&table_lock);
    PLIST_ENTRY last = RtlpDynamicFunctionTable.Blink;
    table->ListEntry.Flink = &RtlpDynamicFunctionTable;
    table->ListEntry.Blink = last;
    last->Flink = &table->ListEntry;
    RtlpDynamicFunctionTable.Blink = &table->ListEntry;
    RtlReleaseSRWLockExclusive(&table_lock);
}

BOOLEAN __cdecl RtlAddFunctionTable(PRUNTIME_FUNCTION functions, DWORD count, DWORD64 base)
{
    PDYNAMIC_FUNCTION_TABLE table = count != 0 ? new_table(base, RF_SORTED, 0) : NULL;
    if (table == NULL)
        return FALSE;
    table->FunctionTable = functions;
    table->EntryCount = count;
    DWORD low = functions[0].BeginAddress;
    DWORD high = functions[0].EndAddress;
    for (DWORD i = 1; i < count; i++) {
        if (functions[i].BeginAddress < functions[i - 1].BeginAddress)
            table->Type = RF_UNSORTED;
        if (functions[i].BeginAddress < low)
            low = functions[i].BeginAddress;
        if (functions[i].EndAddress > high)
            high = functions[i].EndAddress;
    }
    table->MinimumAddress = base + low;
    table->MaximumAddress = base + high;
    insert_table(table);
    return TRUE;
}

/* A callback gives the entries. Bits 0 and 1 of the identifier must be set, so that it is no table's address. */
BOOLEAN __cdecl RtlInstallFunctionTableCallback(DWORD64 identifier, DWORD64 base, DWORD length,
                                                PGET_RUNTIME_FUNCTION_CALLBACK callback, PVOID context,
                                                PCWSTR out_of_process_dll)
{
    SIZE_T name = out_of_process_dll != NULL ? (wcslen(out_of_process_dll) + 1) * sizeof(WCHAR) : 0;
    PDYNAMIC_FUNCTION_TABLE table = (identifier & 3) == 3 ? new_table(base, RF_CALLBACK, name) : NULL;
    if (table == NULL)
        return FALSE;
    table->FunctionTable = (PRUNTIME_FUNCTION)identifier;
    table->MinimumAddress = base;
    table->MaximumAddress = base + length;
    table->Callback = (PVOID)callback;
    table->Context = context;
    if (name != 0) {
        table->OutOfProcessCallbackDll = (PWSTR)(table + 1);
        memcpy(table->OutOfProcessCallbackDll, out_of_process_dll, name);
    }
    insert_table(table);
    return TRUE;
}

BOOLEAN __cdecl RtlDeleteFunctionTable(PRUNTIME_FUNCTION functions)
{
    PDYNAMIC_FUNCTION_TABLE found = NULL;
    RtlAcquireSRWLockExclusive(&table_lock);
    for (PLIST_ENTRY link = RtlpDynamicFunctionTable.Flink; link != &RtlpDynamicFunctionTable; link = link->Flink) {
        PDYNAMIC_FUNCTION_TABLE table = CONTAINING_RECORD(link, DYNAMIC_FUNCTION_TABLE, ListEntry);
        if (table->FunctionTable == functions) {
            link->Blink->Flink = link->Flink;
            link->Flink->Blink = link->Blink;
            found = table;
            break;
        }
    }
    RtlReleaseSRWLockExclusive(&table_lock);
    if (found != NULL)
        RtlFreeHeap(NtCurrentPeb()->ProcessHeap, 0, found);
    return found != NULL;
}

/* The entry of a sorted table that covers `offset`, NULL if there is none. */
static PRUNTIME_FUNCTION find_sorted(PRUNTIME_FUNCTION functions, ULONG count, DWORD64 offset)
{
    ULONG low = 0;
    for (ULONG high = count; low < high;) {
        ULONG middle = low + (high - low) / 2;
        if (offset < functions[middle].BeginAddress)
            high = middle;
        else if (offset >= functions[middle].EndAddress)
            low = middle + 1;
        else
            return &functions[middle];
    }
    return NULL;
}

static PRUNTIME_FUNCTION find_unsorted(PRUNTIME_FUNCTION functions, ULONG count, DWORD64 offset)
{
    for (ULONG i = 0; i < count; i++)
        if (offset >= functions[i].BeginAddress && offset < functions[i].EndAddress)
            return &functions[i];
    return NULL;
}

/* The entry that covers `address`, NULL when no table has one. The callback runs without the lock. */
PRUNTIME_FUNCTION lookup_dynamic_function(DWORD64 address, PDWORD64 base)
{
    PRUNTIME_FUNCTION found = NULL;
    PGET_RUNTIME_FUNCTION_CALLBACK callback = NULL;
    PVOID context = NULL;
    RtlAcquireSRWLockShared(&table_lock);
    for (PLIST_ENTRY link = RtlpDynamicFunctionTable.Flink;
         link != &RtlpDynamicFunctionTable && found == NULL && callback == NULL; link = link->Flink) {
        PDYNAMIC_FUNCTION_TABLE table = CONTAINING_RECORD(link, DYNAMIC_FUNCTION_TABLE, ListEntry);
        if (address < table->MinimumAddress || address >= table->MaximumAddress)
            continue;
        DWORD64 offset = address - table->BaseAddress;
        *base = table->BaseAddress;
        if (table->Type == RF_CALLBACK) {
            callback = (PGET_RUNTIME_FUNCTION_CALLBACK)table->Callback;
            context = table->Context;
        } else if (table->Type == RF_SORTED)
            found = find_sorted(table->FunctionTable, table->EntryCount, offset);
        else
            found = find_unsorted(table->FunctionTable, table->EntryCount, offset);
    }
    RtlReleaseSRWLockShared(&table_lock);
    return callback != NULL ? callback(address, context) : found;
}

PRUNTIME_FUNCTION NTAPI RtlLookupFunctionEntry(DWORD64 address, PDWORD64 base, PUNWIND_HISTORY_TABLE history)
{
    UNREFERENCED_PARAMETER(history);
    PVOID image = RtlPcToFileHeader((PVOID)address, (PVOID *)base);
    if (image == NULL)
        return lookup_dynamic_function(address, base);
    ULONG size;
    PRUNTIME_FUNCTION table = RtlImageDirectoryEntryToData(image, TRUE, IMAGE_DIRECTORY_ENTRY_EXCEPTION, &size);
    return table != NULL ? find_sorted(table, size / sizeof(*table), address - *base) : NULL;
}
