#pragma once
#include <dnnl.h>

/// A symbol of oneDNN or of what it brings with it, once that is loaded; NULL if there is none.
void *conednn_symbol(const char *name);
