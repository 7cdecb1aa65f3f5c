/* Threads of Windows start with an x87 unit that rounds to 53 bits (control word 0x27F). musl's two files compute in the
 * extended type and need its 64 bits. */
static unsigned short extend_precision(void)
{
    unsigned short old, wanted = 0x37F;
    __asm__ volatile("fnstcw %0" : "=m"(old));
    __asm__ volatile("fldcw %0" : : "m"(wanted));
    return old;
}

static void restore_precision(unsigned short control)
{
    __asm__ volatile("fldcw %0" : : "m"(control));
}
