// No C library: one thread, one module of its own. It writes to address 0 at once.
void start(void) {
    *(volatile int *)0 = 1;
    for (;;) {
    }
}
