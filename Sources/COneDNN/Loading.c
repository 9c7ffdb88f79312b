#include "COneDNN.h"

#include <dlfcn.h>

#include "CLoading.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
/// The version that the headers are of.
#define FILE_NAME "libdnnl.so." TEXT(DNNL_VERSION_MAJOR)

LOADING_LIBRARIES(conednn_load, conednn_functions, "oneDNN", FILE_NAME)

void *conednn_symbol(const char *name) {
    void *library = dlopen(FILE_NAME, RTLD_LAZY | RTLD_NOLOAD);
    return library ? dlsym(library, name) : NULL;
}
