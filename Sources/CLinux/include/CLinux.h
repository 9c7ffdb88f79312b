// Calls of Linux that Swift's Glibc module does not show.

#include <stdint.h>

/// Tells the disk to begin with the bytes of a file from `offset` on, and does not wait for it. A hint: syncing does
/// whatever is left, all of it on file systems that do not know the call.
void begin_writeback(int descriptor, int64_t offset, int64_t count);
