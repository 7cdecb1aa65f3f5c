/* stacks.exe: crashes with a stack that is hard to walk, as the last word of its command line says.

   Every scenario is an access violation: it reads address N.

   scenario            address N  exception address     what is hard
   stack-leaf          0x10       leaf                  no unwind data, and none needed
   stack-tail-call     0x14       tail_target + 4       the caller's frame is gone
   stack-dynamic       0x18       dynamic_leaf          only a frame pointer leads to the caller
   stack-epilogue      0          epilogue + 0x15       the frame is gone, the return address is not
   stack-prologue      0x1C       prologue + 1          half of the frame is there
   stack-no-unwind     0x20       no_unwind_leaf        unwind data is missing
   stack-chained       0x24       chained_leaf          unwind data of a part of a function
   stack-corrupted     0x28       corrupted + 0x10      the return address is overwritten
   stack-long-jump     0x2C       long_jump + 0x1A      frames were left without a return
   stack-other         0x30       on_other_stack + 4    the frames lie on two stacks

   Two more threads wait: one in a system call, one for another thread. */
#include <windows.h>

unsigned leaf(void *null);
unsigned tail_caller(void *null);
unsigned dynamic_stack(void *null, size_t size);
unsigned epilogue(void *null);
unsigned prologue(void *null);
unsigned no_unwind(void *null);
unsigned chained(void *null);
unsigned corrupted(void *null);
unsigned long_jump(void *null);
unsigned other_stack(void *null, char *end);

static unsigned run_dynamic(void *null)
{
    return dynamic_stack(null, 0x210);
}

static unsigned run_other(void *null)
{
    char *stack = VirtualAlloc(NULL, 0x4000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    return other_stack(null, stack + 0x4000);
}

static const struct {
    const wchar_t *name;
    unsigned (*run)(void *null);
} scenarios[] = {
    {L"stack-leaf", leaf},           {L"stack-tail-call", tail_caller}, {L"stack-dynamic", run_dynamic},
    {L"stack-epilogue", epilogue},   {L"stack-prologue", prologue},     {L"stack-no-unwind", no_unwind},
    {L"stack-chained", chained},     {L"stack-corrupted", corrupted},   {L"stack-long-jump", long_jump},
    {L"stack-other", run_other},
};

static DWORD WINAPI sleeper(void *unused)
{
    (void)unused;
    Sleep(INFINITE);
    return 0;
}

static DWORD WINAPI waiter(void *thread)
{
    return WaitForSingleObject(thread, INFINITE);
}

static volatile unsigned depth = 1;

/* Three frames of C between the entry point and the function that crashes. */
__attribute__((noinline)) static unsigned inner(unsigned index, void *null)
{
    return scenarios[index].run(null) + 1;
}

__attribute__((noinline)) static unsigned middle(unsigned index)
{
    unsigned kept[8] = {depth++};
    unsigned found = inner(index, NULL);
    return found + ((volatile unsigned *)kept)[0];
}

__attribute__((noinline)) static unsigned outer(const wchar_t *wanted)
{
    for (unsigned i = 0; i < RTL_NUMBER_OF(scenarios); i++)
        if (lstrcmpiW(wanted, scenarios[i].name) == 0)
            return middle(i) + 1;
    return 2;
}

DWORD mainCRTStartup(void)
{
    HANDLE thread = CreateThread(NULL, 0, sleeper, NULL, 0, NULL);
    CreateThread(NULL, 0, waiter, thread, 0, NULL);
    Sleep(10);
    const wchar_t *last = GetCommandLineW();
    for (const wchar_t *at = last; *at; at++)
        if (*at == L' ')
            last = at + 1;
    return outer(last);
}
