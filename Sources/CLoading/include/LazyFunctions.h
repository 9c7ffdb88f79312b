// Makes functions of a library, each a jump through a pointer that at first leads to the loader (CLoading.h). All symbols are
// hidden, so that the libraries' own calls never come here. A function that is not listed does not link.
//
//     #define LOAD ccairo_load
//     #define FUNCTIONS ccairo_functions
//     #include "LazyFunctions.h"
//         LAZY cairo_fill
//         …
//         LAZY_END

#ifdef __x86_64__

    // Jumps on with all argument registers as they were; r11: where the pointer is.
    .text
.Lresolve:
    pushq %rbp
    movq %rsp, %rbp
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %r8
    pushq %r9
    pushq %rax
    pushq %r11
    subq $128, %rsp
    movups %xmm0, (%rsp)
    movups %xmm1, 16(%rsp)
    movups %xmm2, 32(%rsp)
    movups %xmm3, 48(%rsp)
    movups %xmm4, 64(%rsp)
    movups %xmm5, 80(%rsp)
    movups %xmm6, 96(%rsp)
    movups %xmm7, 112(%rsp)
    callq LOAD
    movups (%rsp), %xmm0
    movups 16(%rsp), %xmm1
    movups 32(%rsp), %xmm2
    movups 48(%rsp), %xmm3
    movups 64(%rsp), %xmm4
    movups 80(%rsp), %xmm5
    movups 96(%rsp), %xmm6
    movups 112(%rsp), %xmm7
    addq $128, %rsp
    popq %r11
    popq %rax
    popq %r9
    popq %r8
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    popq %rbp
    jmpq *(%r11)

.macro CODE name
\name:
    jmpq *.Lpointer_\name(%rip)
.Lfirst_\name:
    leaq .Lpointer_\name(%rip), %r11
    jmp .Lresolve
.endm

#elif defined(__aarch64__)

    // Jumps on with all argument registers as they were; x17: where the pointer is.
    .text
.Lresolve:
    stp x29, x30, [sp, #-224]!
    mov x29, sp
    stp x0, x1, [sp, #16]
    stp x2, x3, [sp, #32]
    stp x4, x5, [sp, #48]
    stp x6, x7, [sp, #64]
    stp x8, x17, [sp, #80]
    stp q0, q1, [sp, #96]
    stp q2, q3, [sp, #128]
    stp q4, q5, [sp, #160]
    stp q6, q7, [sp, #192]
    bl LOAD
    ldp x0, x1, [sp, #16]
    ldp x2, x3, [sp, #32]
    ldp x4, x5, [sp, #48]
    ldp x6, x7, [sp, #64]
    ldp x8, x17, [sp, #80]
    ldp q0, q1, [sp, #96]
    ldp q2, q3, [sp, #128]
    ldp q4, q5, [sp, #160]
    ldp q6, q7, [sp, #192]
    ldp x29, x30, [sp], #224
    ldr x16, [x17]
    br x16

.macro CODE name
\name:
    adrp x16, .Lpointer_\name
    ldr x16, [x16, :lo12:.Lpointer_\name]
    br x16
.Lfirst_\name:
    adrp x17, .Lpointer_\name
    add x17, x17, :lo12:.Lpointer_\name
    b .Lresolve
.endm

#else
#error "write the jump for this processor"
#endif

.macro LAZY name
    .text
    .globl \name
    .hidden \name
    .type \name, %function
    CODE \name
    .section .rodata.lazy, "a", %progbits
.Lname_\name:
    .asciz "\name"
    .section .data.rel.lazy_pointers, "aw", %progbits
    .balign 8
.Lpointer_\name:
    .quad .Lfirst_\name
    .section .data.rel.lazy_functions, "aw", %progbits
    .quad .Lname_\name, .Lpointer_\name
.endm

    .hidden LOAD

.macro LAZY_END
    .section .data.rel.lazy_functions, "aw", %progbits
    .quad 0, 0
    .section .note.GNU-stack, "", %progbits
.endm

    .section .data.rel.lazy_functions, "aw", %progbits
    .balign 8
    .globl FUNCTIONS
    .hidden FUNCTIONS
FUNCTIONS:
