#include "CLoading.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/// Takes the place of a function that this version of a library does not have; its headers keep it from being called.
static void missing(void) {
    fprintf(stderr, "error: a function of a library is missing; build against the version that is installed\n");
    exit(1);
}

void loading_load(const struct loading_function *functions, const char *const *files, const char *name) {
    void *handles[8];
    int count = 0;
    for (; files[count] && count < 8; count++) {
        handles[count] = dlopen(files[count], RTLD_LAZY | RTLD_LOCAL);
        if (!handles[count]) {
            fprintf(stderr, "error: %s cannot be loaded: %s; install it with Examples/setup.sh\n", name, dlerror());
            exit(1);
        }
    }
    for (int f = 0; functions[f].name; f++) {
        void *address = NULL;
        for (int i = 0; i < count && !address; i++) address = dlsym(handles[i], functions[f].name);
        __atomic_store_n(functions[f].pointer, address ? address : (void *)missing, __ATOMIC_RELEASE);
    }
}
