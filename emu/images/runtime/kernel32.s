# kernel32 of the runtime system: RaiseException is in kernel32_exception.c. The .def file that both systems share
# exports this name, by which the small system's scenario declares an address.
    .text
    .globl  RaiseException_return
    .p2align 4
RaiseException_return:
    int3
