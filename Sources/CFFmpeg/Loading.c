#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "CFFmpeg.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

/// Loading.S: the functions by name, and where the pointer to each is kept; ends with NULL.
extern struct {
    const char *name;
    void **pointer;
} cff_functions[];

/// The versions that the headers are of.
static const char *const libraries[] = {
    "libavformat.so." TEXT(LIBAVFORMAT_VERSION_MAJOR), "libavcodec.so." TEXT(LIBAVCODEC_VERSION_MAJOR),
    "libswscale.so." TEXT(LIBSWSCALE_VERSION_MAJOR), "libswresample.so." TEXT(LIBSWRESAMPLE_VERSION_MAJOR),
    "libavutil.so." TEXT(LIBAVUTIL_VERSION_MAJOR),
};

/// Takes the place of a function that this version of FFmpeg does not have; the headers keep it from being called.
static void missing(void) {
    fprintf(stderr, "error: a function of FFmpeg is missing; build against the version that is installed\n");
    exit(1);
}

static void load(void) {
    enum { count = sizeof libraries / sizeof *libraries };
    void *handles[count];
    for (int i = 0; i < count; i++) {
        handles[i] = dlopen(libraries[i], RTLD_LAZY | RTLD_LOCAL);
        // Nothing can be returned through a call to any of seventy functions.
        if (!handles[i]) {
            fprintf(stderr, "error: FFmpeg cannot be loaded: %s; install it with Examples/setup.sh\n", dlerror());
            exit(1);
        }
    }
    for (int f = 0; cff_functions[f].name; f++) {
        void *address = NULL;
        for (int i = 0; i < count && !address; i++) address = dlsym(handles[i], cff_functions[f].name);
        __atomic_store_n(cff_functions[f].pointer, address ? address : (void *)missing, __ATOMIC_RELEASE);
    }
}

__attribute__((visibility("hidden"))) void cff_load(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
}
