// A preloaded library that watches what `understudy` asks of the file system, and can kill it between two such requests.
//
//     cc -shared -fPIC -O1 -o calls.so calls.c
//     LD_PRELOAD=./calls.so FAULTS_TRACE=trace FAULTS_KILL=17 understudy run …
//
// FAULTS_TRACE appends a record per request: kind, file (device:inode), path, second path, length, separated by tabs; the
// bytes written to an index follow their record. FAULTS_KILL=N ends the process by SIGKILL before its Nth change of a file or folder.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int trace = -1;
static long killAt = 0;
static atomic_long changes;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_TRACE");
    if (path) trace = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    // Programs that the engine starts inherit the variable; only the engine itself is to die of it.
    char name[PATH_MAX] = "";
    ssize_t length = readlink("/proc/self/exe", name, sizeof name - 1);
    const char *end = length > 0 ? strrchr(name, '/') : NULL;
    const char *number = getenv("FAULTS_KILL");
    if (number && end && strcmp(end, "/understudy") == 0) killAt = atol(number);
}

/// Called before every change of a file or folder.
static void change(void) {
    if (killAt > 0 && atomic_fetch_add(&changes, 1) + 1 == killAt) syscall(SYS_kill, getpid(), SIGKILL);
}

static void absolute(int folder, const char *path, char result[2 * PATH_MAX]) {
    char base[PATH_MAX] = "", link[64];
    if (path[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) base[0] = 0;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, base, sizeof base - 1);
            base[length > 0 ? length : 0] = 0;
        }
    }
    snprintf(result, 2 * PATH_MAX, "%s%s%s", base, base[0] ? "/" : "", path);
}

static void record(char kind, const struct stat *file, const char *path, const char *other, const struct iovec *data, int parts) {
    if (trace < 0) return;
    int saved = errno;
    char head[4 * PATH_MAX + 128];
    size_t length = 0;
    for (int i = 0; i < parts; i++) length += data[i].iov_len;
    struct iovec all[17];
    all[0].iov_base = head;
    all[0].iov_len = (size_t)snprintf(
        head, sizeof head, "%c\t%lu:%lu\t%s\t%s\t%zu\n", kind, file ? (unsigned long)file->st_dev : 0,
        file ? (unsigned long)file->st_ino : 0, path, other, length);
    for (int i = 0; i < parts; i++) all[i + 1] = data[i];
    // One call on a file opened for appending: records of other threads and processes do not come between.
    syscall(SYS_writev, trace, all, parts + 1);
    errno = saved;
}

static void recordDescriptor(char kind, int descriptor, const struct iovec *data, int parts) {
    if (trace < 0) return;
    int saved = errno;
    char link[64], path[PATH_MAX] = "";
    struct stat file;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    if (fstat(descriptor, &file) == 0 && (S_ISREG(file.st_mode) || S_ISDIR(file.st_mode))) {
        const char *name = strrchr(path, '/');
        int isIndex = name && strncmp(name, "/index.sqlite", 13) == 0 && parts <= 16;
        record(isIndex && kind == 'W' ? 'I' : kind, &file, path, "", isIndex ? data : NULL, isIndex ? parts : 0);
    }
    errno = saved;
}

static void recordPath(char kind, int folder, const char *path, int otherFolder, const char *other) {
    if (trace < 0) return;
    int saved = errno;
    char first[2 * PATH_MAX], second[2 * PATH_MAX] = "";
    struct stat file;
    absolute(folder, path, first);
    if (other) absolute(otherFolder, other, second);
    int isThere = lstat(other ? second : first, &file) == 0;
    record(kind, isThere ? &file : NULL, first, second, NULL, 0);
    errno = saved;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define ISFILE(descriptor) ({ struct stat s; int e = errno; int r = fstat(descriptor, &s) == 0 && S_ISREG(s.st_mode); errno = e; r; })

// Writing: recorded before it happens, so that nothing written counts as synced too early.

#define WRITE(descriptor, call, buffer, count) \
    if (ISFILE(descriptor)) { \
        change(); \
        struct iovec part = {(void *)(buffer), (count)}; \
        recordDescriptor('W', descriptor, &part, 1); \
    } \
    return call

ssize_t write(int d, const void *b, size_t n) { REAL(write); WRITE(d, real(d, b, n), b, n); }
ssize_t pwrite(int d, const void *b, size_t n, off_t o) { REAL(pwrite); WRITE(d, real(d, b, n, o), b, n); }
ssize_t pwrite64(int d, const void *b, size_t n, off64_t o) { REAL(pwrite64); WRITE(d, real(d, b, n, o), b, n); }

#define WRITEV(descriptor, call, parts, count) \
    if (ISFILE(descriptor)) { \
        change(); \
        recordDescriptor('W', descriptor, parts, count); \
    } \
    return call

ssize_t writev(int d, const struct iovec *p, int n) { REAL(writev); WRITEV(d, real(d, p, n), p, n); }
ssize_t pwritev(int d, const struct iovec *p, int n, off_t o) { REAL(pwritev); WRITEV(d, real(d, p, n, o), p, n); }
ssize_t pwritev64(int d, const struct iovec *p, int n, off64_t o) { REAL(pwritev64); WRITEV(d, real(d, p, n, o), p, n); }

int ftruncate(int d, off_t n) { REAL(ftruncate); change(); recordDescriptor('W', d, NULL, 0); return real(d, n); }
int ftruncate64(int d, off64_t n) { REAL(ftruncate64); change(); recordDescriptor('W', d, NULL, 0); return real(d, n); }

ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t n, unsigned flags) {
    REAL(copy_file_range);
    change();
    recordDescriptor('W', to, NULL, 0);
    return real(from, a, to, b, n, flags);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t n);
ssize_t sendfile(int to, int from, off_t *offset, size_t n) {
    REAL(sendfile);
    change();
    recordDescriptor('W', to, NULL, 0);
    return real(to, from, offset, n);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t n);
ssize_t sendfile64(int to, int from, off64_t *offset, size_t n) {
    REAL(sendfile64);
    change();
    recordDescriptor('W', to, NULL, 0);
    return real(to, from, offset, n);
}

// Syncing: recorded after it has happened.

#define SYNC(descriptor) \
    change(); \
    int result = real(descriptor); \
    if (result == 0) recordDescriptor('S', descriptor, NULL, 0); \
    return result

int fsync(int d) { REAL(fsync); SYNC(d); }
int fdatasync(int d) { REAL(fdatasync); SYNC(d); }

int syncfs(int d) {
    REAL(syncfs);
    change();
    int result = real(d);
    if (result == 0) record('A', NULL, "", "", NULL, 0);
    return result;
}

// Names: recorded after the change, with the file that the name now has.

#define NAMED(kind, call, folder, path, otherFolder, other) \
    change(); \
    int result = call; \
    if (result == 0) recordPath(kind, folder, path, otherFolder, other); \
    return result

int rename(const char *a, const char *b) { REAL(rename); NAMED('R', real(a, b), AT_FDCWD, a, AT_FDCWD, b); }
int renameat(int f, const char *a, int g, const char *b) { REAL(renameat); NAMED('R', real(f, a, g, b), f, a, g, b); }
int renameat2(int f, const char *a, int g, const char *b, unsigned x) { REAL(renameat2); NAMED('R', real(f, a, g, b, x), f, a, g, b); }
int link(const char *a, const char *b) { REAL(link); NAMED('R', real(a, b), AT_FDCWD, a, AT_FDCWD, b); }
int linkat(int f, const char *a, int g, const char *b, int x) { REAL(linkat); NAMED('R', real(f, a, g, b, x), f, a, g, b); }
int unlink(const char *a) { REAL(unlink); NAMED('U', real(a), AT_FDCWD, a, 0, NULL); }
int unlinkat(int f, const char *a, int x) { REAL(unlinkat); NAMED('U', real(f, a, x), f, a, 0, NULL); }
int rmdir(const char *a) { REAL(rmdir); NAMED('U', real(a), AT_FDCWD, a, 0, NULL); }
int mkdir(const char *a, mode_t m) { REAL(mkdir); NAMED('M', real(a, m), AT_FDCWD, a, 0, NULL); }
int mkdirat(int f, const char *a, mode_t m) { REAL(mkdirat); NAMED('M', real(f, a, m), f, a, 0, NULL); }

#define OPEN(call, folder, path, flags) \
    int isNew = ((flags) & O_CREAT) && faccessat(folder, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0; \
    if (isNew || ((flags) & O_TRUNC)) change(); \
    int result = call; \
    if (result >= 0 && (isNew || ((flags) & O_TRUNC))) recordPath('C', folder, path, 0, NULL); \
    return result
#define MODE(flags) ({ mode_t m = 0; if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list l; va_start(l, flags); m = va_arg(l, mode_t); va_end(l); } m; })

int open(const char *p, int flags, ...) { mode_t m = MODE(flags); REAL(open); OPEN(real(p, flags, m), AT_FDCWD, p, flags); }
int open64(const char *p, int flags, ...) { mode_t m = MODE(flags); REAL(open64); OPEN(real(p, flags, m), AT_FDCWD, p, flags); }
int openat(int f, const char *p, int flags, ...) { mode_t m = MODE(flags); REAL(openat); OPEN(real(f, p, flags, m), f, p, flags); }
int openat64(int f, const char *p, int flags, ...) { mode_t m = MODE(flags); REAL(openat64); OPEN(real(f, p, flags, m), f, p, flags); }
