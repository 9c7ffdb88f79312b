#include "CLoading.h"

LOADING_LIBRARIES(carchive_load, carchive_functions, "libarchive", "libarchive.so.13")
