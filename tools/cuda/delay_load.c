/* A link archive for one CUDA library whose functions look for the real library when they are first called.
 *
 * candle's `cuda` feature links libcuda and cuBLAS by name. Linked to the real ones, the program would not start on a
 * machine without them; linked to this, it starts anywhere, and the first CUDA call says whether there is a driver.
 *
 * setup.sh compiles this file once per library, with these macros:
 *   LIBRARY   what to open at run time, for example "libcublas.so.13"
 *   ABSENT    the status of every call where that library does not exist
 *   OUTDATED  the status of a call to a function that an older library lacks
 *   LIST      a header of one FUNCTION(name) line for each function
 *
 * Every function is a jump through its own slot, as in a linker's procedure linkage table: the slot leads to `bind` at
 * first and to the real function from then on, so a call costs one indirect jump more than dynamic linking's. */

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

#ifndef __x86_64__
#error "the jumps below are written for x86-64"
#endif

struct slot {
    void *target;
    const char *name;
};

static void *library;
static pthread_once_t opened = PTHREAD_ONCE_INIT;

static void open_library(void) {
    /* Global, because cuBLAS and the driver look for each other's functions. */
    library = dlopen(LIBRARY, RTLD_NOW | RTLD_GLOBAL);
}

static int absent(void) {
    return ABSENT;
}

static int outdated(void) {
    return OUTDATED;
}

/* Called by `bind` below, in assembly: the compiler cannot see that this is used. Two threads may come here for the
 * same slot; both store the same address. */
__attribute__((used)) static void *resolve(struct slot *slot) {
    pthread_once(&opened, open_library);
    void *target = library ? dlsym(library, slot->name) : (void *)absent;
    if (!target) {
        target = (void *)outdated;
    }
    __atomic_store_n(&slot->target, target, __ATOMIC_RELEASE);
    return target;
}

/* r11 (the slot) is free for use between caller and callee. All registers that may hold arguments survive the call of
 * `resolve`: six integers and eight vectors. Entered with the stack 8 bytes off 16; 48 + 136 bytes align it. */
__asm__(".text\n"
        ".type bind, @function\n"
        "bind:\n"
        "  .cfi_startproc\n"
        "  pushq %rdi\n  pushq %rsi\n  pushq %rdx\n  pushq %rcx\n  pushq %r8\n  pushq %r9\n"
        "  subq $136, %rsp\n"
        "  .cfi_adjust_cfa_offset 184\n"
        "  movups %xmm0, (%rsp)\n  movups %xmm1, 16(%rsp)\n  movups %xmm2, 32(%rsp)\n  movups %xmm3, 48(%rsp)\n"
        "  movups %xmm4, 64(%rsp)\n  movups %xmm5, 80(%rsp)\n  movups %xmm6, 96(%rsp)\n  movups %xmm7, 112(%rsp)\n"
        "  movq %r11, %rdi\n"
        "  call resolve\n"
        "  movq %rax, %r11\n"
        "  movups (%rsp), %xmm0\n  movups 16(%rsp), %xmm1\n  movups 32(%rsp), %xmm2\n  movups 48(%rsp), %xmm3\n"
        "  movups 64(%rsp), %xmm4\n  movups 80(%rsp), %xmm5\n  movups 96(%rsp), %xmm6\n  movups 112(%rsp), %xmm7\n"
        "  addq $136, %rsp\n"
        "  .cfi_adjust_cfa_offset -136\n"
        "  popq %r9\n  popq %r8\n  popq %rcx\n  popq %rdx\n  popq %rsi\n  popq %rdi\n"
        "  .cfi_adjust_cfa_offset -48\n"
        "  jmp *%r11\n"
        "  .cfi_endproc\n"
        ".size bind, . - bind\n");

/* Hidden: a library that is opened later must not find these instead of the real functions. */
#define FUNCTION(function)                                              \
    __asm__(".data\n"                                                   \
            ".balign 16\n"                                              \
            ".Lslot_" #function ":\n"                                   \
            "  .quad bind, .Lname_" #function "\n"                      \
            ".section .rodata\n"                                        \
            ".Lname_" #function ":\n"                                   \
            "  .asciz \"" #function "\"\n"                              \
            ".text\n"                                                   \
            ".globl " #function "\n"                                    \
            ".hidden " #function "\n"                                   \
            ".type " #function ", @function\n"                          \
            #function ":\n"                                             \
            "  endbr64\n"                                               \
            "  leaq .Lslot_" #function "(%rip), %r11\n"                 \
            "  jmp *(%r11)\n"                                           \
            ".size " #function ", . - " #function "\n");
#include LIST
