#include "CLoading.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/// Takes the place of a function that this version of a library does not have; its headers keep it from being called.
static void missing(void) {
    fprintf(stderr, "error: a function of a library is missing; build against the version that is installed\n");
    exit(1);
}

/// Whether a library was there, and the limit of address space left no room for it.
static int lacks_memory(const char *reason) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY) return 0;
    return strstr(reason, "failed to map") || strstr(reason, "annot allocate memory") || strstr(reason, "cannot map");
}

void loading_load(const struct loading_function *functions, const char *const *files, const char *name) {
    void *handles[8];
    int count = 0;
    for (; files[count] && count < 8; count++) {
        handles[count] = dlopen(files[count], RTLD_LAZY | RTLD_LOCAL);
        if (!handles[count]) {
            const char *reason = dlerror();
            fprintf(stderr, "error: %s cannot be loaded: %s; %s\n", name, reason, lacks_memory(reason) ? "raise the memory limit (ulimit -v)" : "install it with Examples/setup.sh");
            exit(1);
        }
    }
    for (int f = 0; functions[f].name; f++) {
        void *address = NULL;
        for (int i = 0; i < count && !address; i++) address = dlsym(handles[i], functions[f].name);
        __atomic_store_n(functions[f].pointer, address ? address : (void *)missing, __ATOMIC_RELEASE);
    }
}
