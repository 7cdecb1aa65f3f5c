/* alpha.dll: imported by crash.exe, so it is there from the start to the end. Its export alpha_write_site is the
   instruction that the scenario dll-after-unload crashes at. */
#define ALPHA_DLL
#include "alpha.h"

volatile LONG alpha_notifications[4];                            /* .bss */
static volatile unsigned generation = 0xA1FA0001;                /* .data */
static const char banner[] = "alpha.dll: dumptruth's first DLL"; /* .rdata */
static const char *volatile banner_pointer = banner;             /* an absolute address: a relocation */
static HANDLE private_heap;

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, LPVOID reserved)
{
    (void)instance;
    (void)reserved;
    InterlockedIncrement(&alpha_notifications[reason == DLL_PROCESS_DETACH ? 3 : reason - 1]);
    if (reason == DLL_PROCESS_ATTACH) {
        private_heap = HeapCreate(0, 0x1000, 0x20000);
        return private_heap != NULL && HeapAlloc(private_heap, HEAP_ZERO_MEMORY, 0x180) != NULL;
    }
    return TRUE;
}

unsigned WINAPI alpha_walk(unsigned steps, ALPHA_CALLBACK callback, void *context)
{
    unsigned step = 0;
    do
        generation += (unsigned)*banner_pointer;
    while (callback(step++, context) == 0 && step != steps);
    return step;
}

static __attribute__((noinline)) void store(char *record, unsigned value)
{
    generation ^= value;
    __asm__ volatile(".globl alpha_write_site\n"
                     "alpha_write_site:\n\t"
                     "movl %1, 0x20(%0)"
                     :
                     : "c"(record), "d"(value)
                     : "memory");
    generation++;
}

void WINAPI alpha_store(void *record, unsigned value)
{
    store(record, value + 1);
    generation++;
}
