/* The instructions that crash, each at an export of crash.exe (crash_sites.s). */
#pragma once
#include <windows.h>

unsigned crash_read(const void *base);              /* crash_read_site: reads 4 bytes at base + 0x10 */
void crash_write(void *base, unsigned value);       /* crash_write_site: writes 4 bytes at base + 0x18 */
void crash_call(void *target);                      /* calls target; faults at target itself */
unsigned crash_divide(unsigned value, unsigned by); /* crash_divide_site */
void crash_illegal(void);                           /* crash_illegal_site */
void crash_fast_fail(unsigned code);                /* crash_fast_fail_site */
void crash_overflow(void);                          /* crash_overflow_site: writes 8 bytes at RSP */
unsigned crash_secondary(const void *base);         /* crash_secondary_site: reads 4 bytes at base + 0x30 */
