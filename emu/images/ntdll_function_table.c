/* ntdll: function tables of code that is generated at run time. They form a list that a debugger walks from
 * RtlpDynamicFunctionTable, of which RtlGetFunctionTableListHead tells a program. */
#define _NTSYSTEM_
#include "ntdll_internal.h"

LIST_ENTRY RtlpDynamicFunctionTable = {&RtlpDynamicFunctionTable, &RtlpDynamicFunctionTable};
static RTL_SRWLOCK table_lock = RTL_SRWLOCK_INIT;

PLIST_ENTRY NTAPI RtlGetFunctionTableListHead(VOID)
{
    return &RtlpDynamicFunctionTable;
}

BOOLEAN __cdecl RtlAddFunctionTable(PRUNTIME_FUNCTION functions, DWORD count, DWORD64 base)
{
    if (count == 0)
        return FALSE;
    PDYNAMIC_FUNCTION_TABLE table = RtlAllocateHeap(NtCurrentPeb()->ProcessHeap, HEAP_ZERO_MEMORY, sizeof(*table));
    if (table == NULL)
        return FALSE;
    table->FunctionTable = functions;
    table->EntryCount = count;
    table->BaseAddress = base;
    table->Type = RF_SORTED;
    NtQuerySystemTime(&table->TimeStamp);
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
    RtlAcquireSRWLockExclusive(&table_lock);
    PLIST_ENTRY last = RtlpDynamicFunctionTable.Blink;
    table->ListEntry.Flink = &RtlpDynamicFunctionTable;
    table->ListEntry.Blink = last;
    last->Flink = &table->ListEntry;
    RtlpDynamicFunctionTable.Blink = &table->ListEntry;
    RtlReleaseSRWLockExclusive(&table_lock);
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

/* The entry that covers `address`, NULL when no table has one. */
PRUNTIME_FUNCTION lookup_dynamic_function(DWORD64 address, PDWORD64 base)
{
    PRUNTIME_FUNCTION found = NULL;
    RtlAcquireSRWLockShared(&table_lock);
    for (PLIST_ENTRY link = RtlpDynamicFunctionTable.Flink; link != &RtlpDynamicFunctionTable && found == NULL;
         link = link->Flink) {
        PDYNAMIC_FUNCTION_TABLE table = CONTAINING_RECORD(link, DYNAMIC_FUNCTION_TABLE, ListEntry);
        if (address < table->MinimumAddress || address >= table->MaximumAddress)
            continue;
        for (ULONG i = 0; i < table->EntryCount && found == NULL; i++) {
            PRUNTIME_FUNCTION function = &table->FunctionTable[i];
            if (address - table->BaseAddress >= function->BeginAddress &&
                address - table->BaseAddress < function->EndAddress) {
                *base = table->BaseAddress;
                found = function;
            }
        }
    }
    RtlReleaseSRWLockShared(&table_lock);
    return found;
}
