// A deep stack: 4000 calls, each with bytes of its own, and at the end a write to address 16.
static int deeper(volatile int *place, int depth) {
    volatile char pad[48];
    pad[0] = (char)depth;
    return depth ? deeper(place, depth - 1) + pad[0] : (*place = 7);
}

int main(void) { return deeper((int *)0x10, 4000); }
