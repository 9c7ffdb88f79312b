#include "CFFmpeg.h"
#include "CLoading.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

// The versions that the headers are of.
LOADING_LIBRARIES(
    cff_load, cff_functions, "FFmpeg", "libavformat.so." TEXT(LIBAVFORMAT_VERSION_MAJOR), "libavcodec.so." TEXT(LIBAVCODEC_VERSION_MAJOR),
    "libswscale.so." TEXT(LIBSWSCALE_VERSION_MAJOR), "libswresample.so." TEXT(LIBSWRESAMPLE_VERSION_MAJOR),
    "libavutil.so." TEXT(LIBAVUTIL_VERSION_MAJOR))
