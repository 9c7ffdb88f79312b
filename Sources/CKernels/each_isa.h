// Includes BODY once for every instruction set, after tile.h. NAME(x) is x with the set's suffix.
#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)
#define NAME(x) JOIN(x, ISA)

#define ISA portable
#define TARGET
#define WIDTH 4
#define ROWS 4
#define VECTORS 2
#include "one_isa.h"

#if defined(__x86_64__)
#define ISA avx2
#define TARGET __attribute__((target("avx2,fma")))
#define WIDTH 8
#define ROWS 6
#define VECTORS 2
#include "one_isa.h"

#define ISA avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")))
#define WIDTH 16
#define ROWS 6
#define VECTORS 4
#include "one_isa.h"

#define ISA avx512vnni
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")))
#define WIDTH 16
#define ROWS 6
#define VECTORS 4
#define HAS_VNNI
#include "one_isa.h"

#define ISA avx512bf16
#define TARGET                                                                                                  \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma")))
#define WIDTH 16
#define ROWS 6
#define VECTORS 4
#define HAS_VNNI
#define HAS_BF16
#include "one_isa.h"
#endif
