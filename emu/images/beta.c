/* beta.dll: loaded and unloaded while crash.exe runs. */
#include <windows.h>

static volatile LONG attached;                                 /* .bss */
static volatile unsigned calls = 0xBE7A0000;                   /* .data */
static const unsigned table[] = {3, 5, 7, 11, 13, 17, 19, 23}; /* .rdata */
static const unsigned *volatile table_pointer = table;         /* an absolute address: a relocation */
static PVOID scratch;

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, LPVOID reserved)
{
    (void)reserved;
    if (reason == DLL_PROCESS_ATTACH) {
        DisableThreadLibraryCalls(instance);
        scratch = VirtualAlloc(NULL, 0x3000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        attached = 1;
        return scratch != NULL;
    }
    if (reason == DLL_PROCESS_DETACH)
        VirtualFree(scratch, 0, MEM_RELEASE);
    return TRUE;
}

/* A sum that depends on `seed` only; 0 when the DLL was not initialized. */
__declspec(dllexport) unsigned WINAPI beta_work(unsigned seed)
{
    unsigned sum = seed;
    if (!attached)
        return 0;
    calls++;
    for (unsigned i = 0; i < RTL_NUMBER_OF(table); i++) {
        sum = sum * 31 + table_pointer[i];
        ((volatile unsigned *)scratch)[i] = sum;
    }
    return sum;
}
