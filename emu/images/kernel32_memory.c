/* kernel32: virtual memory, heaps, sections. */
#include "kernel32_internal.h"

LPVOID WINAPI VirtualAllocEx(HANDLE process, LPVOID address, SIZE_T size, DWORD type, DWORD protect)
{
    PVOID base = address;
    if (address != NULL && (ULONG_PTR)address < 0x10000) { /* as Windows: the first 64 KiB are never given out */
        SetLastError(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    return succeeded(NtAllocateVirtualMemory(process, &base, 0, &size, type, protect)) ? base : NULL;
}

LPVOID WINAPI VirtualAlloc(LPVOID address, SIZE_T size, DWORD type, DWORD protect)
{
    return VirtualAllocEx(NtCurrentProcess(), address, size, type, protect);
}

WINBOOL WINAPI VirtualFreeEx(HANDLE process, LPVOID address, SIZE_T size, DWORD type)
{
    if ((type & MEM_RELEASE) && size != 0) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return FALSE;
    }
    return succeeded(NtFreeVirtualMemory(process, &address, &size, type));
}

WINBOOL WINAPI VirtualFree(LPVOID address, SIZE_T size, DWORD type)
{
    return VirtualFreeEx(NtCurrentProcess(), address, size, type);
}

WINBOOL WINAPI VirtualProtectEx(HANDLE process, LPVOID address, SIZE_T size, DWORD protect, PDWORD old)
{
    return succeeded(NtProtectVirtualMemory(process, &address, &size, protect, old));
}

WINBOOL WINAPI VirtualProtect(LPVOID address, SIZE_T size, DWORD protect, PDWORD old)
{
    return VirtualProtectEx(NtCurrentProcess(), address, size, protect, old);
}

SIZE_T WINAPI VirtualQueryEx(HANDLE process, LPCVOID address, PMEMORY_BASIC_INFORMATION buffer, SIZE_T length)
{
    SIZE_T returned = 0;
    NTSTATUS status =
        NtQueryVirtualMemory(process, (PVOID)address, MEMORY_BASIC_INFORMATION_CLASS, buffer, length, &returned);
    return succeeded(status) ? returned : 0;
}

SIZE_T WINAPI VirtualQuery(LPCVOID address, PMEMORY_BASIC_INFORMATION buffer, SIZE_T length)
{
    return VirtualQueryEx(NtCurrentProcess(), address, buffer, length);
}

WINBOOL WINAPI ReadProcessMemory(HANDLE process, LPCVOID address, LPVOID buffer, SIZE_T size, SIZE_T *read)
{
    return succeeded(NtReadVirtualMemory(process, (PVOID)address, buffer, size, read));
}

WINBOOL WINAPI WriteProcessMemory(HANDLE process, LPVOID address, LPCVOID buffer, SIZE_T size, SIZE_T *written)
{
    return succeeded(NtWriteVirtualMemory(process, address, (PVOID)buffer, size, written));
}

/* x86 and amd64 see their own writes to code. */
WINBOOL WINAPI FlushInstructionCache(HANDLE process, LPCVOID base, SIZE_T size)
{
    UNREFERENCED_PARAMETER(process);
    UNREFERENCED_PARAMETER(base);
    UNREFERENCED_PARAMETER(size);
    return TRUE;
}

/* --- heaps */
HANDLE WINAPI GetProcessHeap(VOID)
{
    return NtCurrentPeb()->ProcessHeap;
}

HANDLE WINAPI HeapCreate(DWORD options, SIZE_T initial, SIZE_T maximum)
{
    ULONG flags = options & (HEAP_NO_SERIALIZE | HEAP_GENERATE_EXCEPTIONS | HEAP_CREATE_ENABLE_EXECUTE);
    PVOID heap = RtlCreateHeap(maximum == 0 ? flags | HEAP_GROWABLE : flags, NULL, maximum, initial, NULL, NULL);
    if (heap == NULL)
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    return heap;
}

WINBOOL WINAPI HeapDestroy(HANDLE heap)
{
    if (RtlDestroyHeap(heap) == NULL)
        return TRUE;
    SetLastError(ERROR_INVALID_HANDLE);
    return FALSE;
}

LPVOID WINAPI HeapAlloc(HANDLE heap, DWORD flags, SIZE_T size)
{
    return RtlAllocateHeap(heap, flags, size); /* documented: it sets no last error */
}

LPVOID WINAPI HeapReAlloc(HANDLE heap, DWORD flags, LPVOID block, SIZE_T size)
{
    return RtlReAllocateHeap(heap, flags, block, size);
}

WINBOOL WINAPI HeapFree(HANDLE heap, DWORD flags, LPVOID block)
{
    return RtlFreeHeap(heap, flags, block);
}

SIZE_T WINAPI HeapSize(HANDLE heap, DWORD flags, LPCVOID block)
{
    return RtlSizeHeap(heap, flags, (PVOID)block);
}

WINBOOL WINAPI HeapValidate(HANDLE heap, DWORD flags, LPCVOID block)
{
    return RtlValidateHeap(heap, flags, (PVOID)block);
}

DWORD WINAPI GetProcessHeaps(DWORD count, PHANDLE heaps)
{
    PPEB peb = NtCurrentPeb();
    DWORD found = 0;
    for (ULONG i = 0; i < peb->NumberOfHeaps; i++)
        if (peb->ProcessHeaps[i] != NULL) {
            if (found < count)
                heaps[found] = peb->ProcessHeaps[i];
            found++;
        }
    return found;
}

/* Only fixed blocks: a handle is the block's address. */
HLOCAL WINAPI LocalAlloc(UINT flags, SIZE_T size)
{
    PVOID block = RtlAllocateHeap(GetProcessHeap(), flags & LMEM_ZEROINIT ? HEAP_ZERO_MEMORY : 0, size);
    if (block == NULL)
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    return block;
}

HLOCAL WINAPI LocalFree(HLOCAL block)
{
    RtlFreeHeap(GetProcessHeap(), 0, block);
    return NULL;
}

HGLOBAL WINAPI GlobalAlloc(UINT flags, SIZE_T size)
{
    return LocalAlloc(flags, size); /* GMEM_ZEROINIT == LMEM_ZEROINIT */
}

HGLOBAL WINAPI GlobalFree(HGLOBAL block)
{
    return LocalFree(block);
}

LPVOID WINAPI GlobalLock(HGLOBAL block)
{
    return block;
}

WINBOOL WINAPI GlobalUnlock(HGLOBAL block)
{
    UNREFERENCED_PARAMETER(block);
    SetLastError(NO_ERROR); /* documented: FALSE with NO_ERROR when nothing stays locked */
    return FALSE;
}

/* --- views of sections */
LPVOID WINAPI MapViewOfFileEx(HANDLE mapping, DWORD access, DWORD offset_high, DWORD offset_low, SIZE_T size,
                              LPVOID address)
{
    LARGE_INTEGER offset = {.LowPart = offset_low, .HighPart = (LONG)offset_high};
    ULONG protect = PAGE_READONLY;
    if ((access & (FILE_MAP_COPY | FILE_MAP_WRITE)) == FILE_MAP_COPY)
        protect = PAGE_WRITECOPY;
    else if (access & FILE_MAP_WRITE)
        protect = PAGE_READWRITE;
    if (access & FILE_MAP_EXECUTE)
        protect <<= 4; /* PAGE_EXECUTE_READ is PAGE_READONLY << 4, and so on */
    PVOID base = address;
    NTSTATUS status =
        NtMapViewOfSection(mapping, NtCurrentProcess(), &base, 0, 0, &offset, &size, VIEW_UNMAP, 0, protect);
    return succeeded(status) ? base : NULL;
}

LPVOID WINAPI MapViewOfFile(HANDLE mapping, DWORD access, DWORD offset_high, DWORD offset_low, SIZE_T size)
{
    return MapViewOfFileEx(mapping, access, offset_high, offset_low, size, NULL);
}

WINBOOL WINAPI UnmapViewOfFile(LPCVOID address)
{
    return succeeded(NtUnmapViewOfSection(NtCurrentProcess(), (PVOID)address));
}
