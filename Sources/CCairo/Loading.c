#include "CLoading.h"

LOADING_LIBRARIES(ccairo_load, ccairo_functions, "cairo", "libcairo.so.2")
