#define LOAD copenblas_load
#define FUNCTIONS copenblas_functions
#include "LazyFunctions.h"

    LAZY cblas_sgemm
    LAZY openblas_set_num_threads

    LAZY_END
