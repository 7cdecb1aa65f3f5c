// A private page of every protection, each in a region of its own, and pointers to them on the stack. Then a read of
// address 8.
#include <windows.h>

static const DWORD PROTECTIONS[] = {
    PAGE_NOACCESS, PAGE_READONLY, PAGE_READWRITE, PAGE_EXECUTE, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE,
    PAGE_READWRITE | PAGE_GUARD, PAGE_READONLY | PAGE_GUARD, PAGE_READWRITE | PAGE_NOCACHE,
    PAGE_READWRITE | PAGE_WRITECOMBINE, PAGE_EXECUTE_READWRITE | PAGE_GUARD,
};
enum { COUNT = sizeof PROTECTIONS / sizeof *PROTECTIONS };

int main(void) {
    volatile ULONG_PTR pages[COUNT];
    for (int index = 0; index < COUNT; index++) {
        void *at = (void *)(0x5000000000ull + index * 0x100000ull);
        pages[index] = (ULONG_PTR)VirtualAlloc(at, 0x1000, MEM_COMMIT | MEM_RESERVE, PROTECTIONS[index]);
    }
    return *(volatile int *)(ULONG_PTR)(pages[0] ? 8 : 9);
}
