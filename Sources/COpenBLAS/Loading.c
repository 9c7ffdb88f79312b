#include "CLoading.h"

LOADING_LIBRARIES(copenblas_load, copenblas_functions, "OpenBLAS", "libopenblas.so.0")
