// The functions of FFmpeg that we call: each is a jump through a pointer that at first leads to the loader (Loading.c). All
// symbols are hidden, so that the libraries' own calls never come here. A function that is missing here does not link.

#ifdef __x86_64__

    // Jumps on with all argument registers as they were; r11: where the pointer is.
    .text
    .type cff_resolve, @function
cff_resolve:
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
    callq cff_load
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
    jmp cff_resolve
.endm

#elif defined(__aarch64__)

    // Jumps on with all argument registers as they were; x17: where the pointer is.
    .text
    .type cff_resolve, @function
cff_resolve:
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
    bl cff_load
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
    b cff_resolve
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
    .section .rodata.cff, "a", %progbits
.Lname_\name:
    .asciz "\name"
    .section .data.rel.cff_pointers, "aw", %progbits
    .balign 8
.Lpointer_\name:
    .quad .Lfirst_\name
    .section .data.rel.cff_functions, "aw", %progbits
    .quad .Lname_\name, .Lpointer_\name
.endm

    .section .data.rel.cff_functions, "aw", %progbits
    .balign 8
    .globl cff_functions
    .hidden cff_functions
cff_functions:

    LAZY av_bsf_alloc
    LAZY av_bsf_free
    LAZY av_bsf_get_by_name
    LAZY av_bsf_init
    LAZY av_bsf_receive_packet
    LAZY av_bsf_send_packet
    LAZY av_channel_layout_default
    LAZY av_color_space_name
    LAZY av_color_transfer_name
    LAZY av_dict_free
    LAZY av_dict_get
    LAZY av_dict_set
    LAZY av_dict_set_int
    LAZY av_find_best_stream
    LAZY av_frame_alloc
    LAZY av_frame_free
    LAZY av_frame_get_buffer
    LAZY av_frame_get_side_data
    LAZY av_frame_unref
    LAZY av_free
    LAZY av_get_bytes_per_sample
    LAZY av_guess_sample_aspect_ratio
    LAZY av_interleaved_write_frame
    LAZY av_log_set_level
    LAZY av_malloc
    LAZY av_opt_set
    LAZY av_opt_set_double
    LAZY av_opt_set_int
    LAZY av_packet_alloc
    LAZY av_packet_free
    LAZY av_packet_rescale_ts
    LAZY av_packet_side_data_get
    LAZY av_packet_side_data_new
    LAZY av_packet_unref
    LAZY av_pix_fmt_desc_get
    LAZY av_read_frame
    LAZY av_sample_fmt_is_planar
    LAZY av_seek_frame
    LAZY av_stream_get_side_data
    LAZY av_stream_new_side_data
    LAZY av_strerror
    LAZY av_write_trailer
    LAZY avcodec_alloc_context3
    LAZY avcodec_find_decoder
    LAZY avcodec_find_encoder
    LAZY avcodec_find_encoder_by_name
    LAZY avcodec_flush_buffers
    LAZY avcodec_free_context
    LAZY avcodec_get_name
    LAZY avcodec_open2
    LAZY avcodec_parameters_copy
    LAZY avcodec_parameters_from_context
    LAZY avcodec_parameters_to_context
    LAZY avcodec_receive_frame
    LAZY avcodec_receive_packet
    LAZY avcodec_send_frame
    LAZY avcodec_send_packet
    LAZY avformat_alloc_context
    LAZY avformat_alloc_output_context2
    LAZY avformat_close_input
    LAZY avformat_find_stream_info
    LAZY avformat_free_context
    LAZY avformat_new_stream
    LAZY avformat_open_input
    LAZY avformat_write_header
    LAZY avio_alloc_context
    LAZY avio_closep
    LAZY avio_context_free
    LAZY avio_open
    LAZY swr_alloc_set_opts2
    LAZY swr_convert
    LAZY swr_free
    LAZY swr_get_out_samples
    LAZY swr_init
    LAZY sws_alloc_context
    LAZY sws_freeContext
    LAZY sws_getCoefficients
    LAZY sws_init_context
    LAZY sws_scale
    LAZY sws_setColorspaceDetails

    .section .data.rel.cff_functions, "aw", %progbits
    .quad 0, 0

    .section .note.GNU-stack, "", %progbits
