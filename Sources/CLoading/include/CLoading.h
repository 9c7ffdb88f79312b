#pragma once
#include <pthread.h>

// Libraries that are loaded when the first of their functions is called: most runs call none of them, and they bring many others
// with them, which would take half of the program's start. LazyFunctions.h lists the functions of one and makes jumps of them.

/// A function by name, and where the pointer to it is kept.
struct loading_function {
    const char *name;
    void **pointer;
};

/// Loads the libraries and finds their functions. Ends the program if a library is not there: nothing can be returned through a call
/// to any function.
///
/// `functions` and `files` end with a NULL; `name` is for messages.
void loading_load(const struct loading_function *functions, const char *const *files, const char *name);

/// Defines the loader that LazyFunctions.h calls as `load`, for the functions that it lists as `functions`.
#define LOADING_LIBRARIES(load, functions, name, ...) \
    extern const struct loading_function functions[] __attribute__((visibility("hidden"))); \
    static void load##_once(void) { \
        static const char *const files[] = {__VA_ARGS__, NULL}; \
        loading_load(functions, files, name); \
    } \
    __attribute__((visibility("hidden"))) void load(void); \
    void load(void) { \
        static pthread_once_t once = PTHREAD_ONCE_INIT; \
        pthread_once(&once, load##_once); \
    }
