#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>

void begin_writeback(int descriptor, int64_t offset, int64_t count) {
    int before = errno;
    sync_file_range(descriptor, offset, count, SYNC_FILE_RANGE_WRITE);
    errno = before;
}
