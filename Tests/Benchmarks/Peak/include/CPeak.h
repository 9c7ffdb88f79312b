#pragma once

/// What a loop of multiply-adds on registers is measured in; bf16 and 8 bits only where the processor multiplies them.
typedef enum { PEAK_F32, PEAK_BF16, PEAK_INT8 } peak_kind;

/// Runs `steps` steps on one thread and gives the operations done, or 0 where the processor has no such instruction.
double peak_run(peak_kind kind, long steps);
