# An address of the image's own, as every image of Windows holds some (in its load configuration): without one the
# linker makes no relocations, and the image could not be loaded but at its preferred base.
    .section .rdata,"dr"
    .p2align 3
    .quad   __ImageBase
