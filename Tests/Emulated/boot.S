// From a multiboot loader to main in long mode: the first GB mapped to itself, the registers of AVX-512 enabled.
.section .note.GNU-stack, "", @progbits
.section .boot, "ax"
.code32
.align 4
header:
    .long 0x1BADB002, 0x00010000, -(0x1BADB002 + 0x00010000), header, image_start, image_end, bss_end, entry
.globl entry
entry:
    cli
    movl $page_tables + 0x1003, page_tables
    movl $page_tables + 0x2003, page_tables + 0x1000
    movl $page_tables + 0x2000, %edi
    movl $0x83, %eax            // present, writable, a page of 2 MB
    movl $512, %ecx
1:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 1b
    movl %cr4, %eax
    orl $0x40620, %eax          // PAE, OSFXSR, OSXMMEXCPT, OSXSAVE
    movl %eax, %cr4
    movl $page_tables, %eax
    movl %eax, %cr3
    movl $0xC0000080, %ecx      // EFER: long mode
    rdmsr
    orl $0x100, %eax
    wrmsr
    lgdt gdt_pointer
    movl %cr0, %eax
    andl $~0xC, %eax            // no emulation of the floating point unit
    orl $0x80000003, %eax       // paging, protection, monitor
    movl %eax, %cr0
    ljmp $8, $long_mode
.align 16
gdt:
    .quad 0, 0x00AF9A000000FFFF, 0x00CF92000000FFFF
gdt_pointer:
    .word 23
    .long gdt
.code64
long_mode:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movq $stack_top, %rsp
    xorl %ecx, %ecx
    xgetbv
    orl $0xe7, %eax             // x87, SSE, AVX and the three of AVX-512
    xsetbv
    fninit
    call main
2:  hlt
    jmp 2b
.section .bss
.align 4096
page_tables:
    .space 0x4000
    .space 0x100000
stack_top:
