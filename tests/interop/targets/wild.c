// Reserved, committed and released memory, code in a page of its own, and a call to an address that is none.
#include <windows.h>
#include <string.h>

int main(void) {
    char *block = VirtualAlloc(0, 0x40000, MEM_RESERVE, PAGE_READWRITE);
    VirtualAlloc(block + 0x10000, 0x3000, MEM_COMMIT, PAGE_READWRITE);
    VirtualAlloc(block + 0x20000, 0x1000, MEM_COMMIT, PAGE_EXECUTE_READWRITE);
    memset(block + 0x10000, 'w', 0x3000);
    memset(block + 0x20000, 0x90, 0xFFF);
    block[0x20FFF] = (char)0xC3;
    DWORD old;
    VirtualProtect(block + 0x11000, 0x1000, PAGE_READONLY, &old);
    volatile ULONG_PTR words[4] = {
        (ULONG_PTR)block, (ULONG_PTR)(block + 0x10FF8), (ULONG_PTR)(block + 0x12100), (ULONG_PTR)(block + 0x20010),
    };
    ((void (*)(void))words[3])();
    ((void (*)(void))0x41414141)();
    return (int)words[0];
}
