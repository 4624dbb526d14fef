/* Preloaded into the binary: makes one write, sync or rename below a folder fail, or every one after it.
 *
 * FAULT_BELOW   the folder; what happens elsewhere is left alone
 * FAULT_AT      the number of the operation that fails, from 1; 0 for none
 * FAULT_ERRNO   with what
 * FAULT_STAYS   set if all later operations that take space fail too, as on a full disk
 * FAULT_COUNT   a file that gets the number of operations at the end
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long done;
static char below[PATH_MAX];
static long at;
static int with, stays;

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("FAULT_BELOW");
    if (folder && realpath(folder, below) == NULL) below[0] = 0;
    at = getenv("FAULT_AT") ? atol(getenv("FAULT_AT")) : 0;
    with = getenv("FAULT_ERRNO") ? atoi(getenv("FAULT_ERRNO")) : EIO;
    stays = getenv("FAULT_STAYS") != NULL;
}

__attribute__((destructor)) static void end(void) {
    const char *file = getenv("FAULT_COUNT");
    if (!file) return;
    FILE *out = fopen(file, "w");
    if (!out) return;
    fprintf(out, "%ld", atomic_load(&done));
    fclose(out);
}

static int is_below(const char *path) {
    size_t n = strlen(below);
    return n && strncmp(path, below, n) == 0 && (path[n] == '/' || path[n] == 0);
}

/* Whether the file that is open as `fd` lies below the folder. */
static int fd_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return is_below(path);
}

/* The same of a path, which need not exist: its folder is looked at. */
static int path_below(const char *path) {
    char copy[PATH_MAX], real[PATH_MAX];
    if (strlen(path) >= sizeof copy) return 0;
    strcpy(copy, path);
    for (;;) {
        if (realpath(copy, real)) return is_below(real);
        char *slash = strrchr(copy, '/');
        if (!slash) return realpath(".", real) && is_below(real);
        if (slash == copy) return 0;
        *slash = 0;
    }
}

/* Counts an operation; true if it is to fail. */
static int fails(int takes_space) {
    long number = atomic_fetch_add(&done, 1) + 1;
    if (at && (number == at || (stays && takes_space && number > at))) {
        errno = with;
        return 1;
    }
    return 0;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    return fd > 2 && fd_below(fd) && fails(1) ? -1 : real(fd, bytes, count);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    return fd > 2 && fd_below(fd) && fails(1) ? -1 : real(fd, parts, count);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    REAL(pwrite);
    return fd_below(fd) && fails(1) ? -1 : real(fd, bytes, count, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    REAL(pwrite64);
    return fd_below(fd) && fails(1) ? -1 : real(fd, bytes, count, offset);
}
int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    return fd_below(fd) && fails(1) ? -1 : real(fd, size);
}
int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    return fd_below(fd) && fails(1) ? -1 : real(fd, size);
}
int fsync(int fd) {
    REAL(fsync);
    return fd_below(fd) && fails(0) ? -1 : real(fd);
}
int fdatasync(int fd) {
    REAL(fdatasync);
    return fd_below(fd) && fails(0) ? -1 : real(fd);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    return path_below(to) && fails(0) ? -1 : real(from, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    REAL(renameat2);
    return path_below(to) && fails(0) ? -1 : real(a, from, b, to, flags);
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return path_below(path) && fails(1) ? -1 : real(path, mode);
}
int symlink(const char *target, const char *path) {
    REAL(symlink);
    return path_below(path) && fails(1) ? -1 : real(target, path);
}

static int creates(const char *path, int flags) {
    return (flags & O_CREAT) && path_below(path) && fails(1);
}
static mode_t mode_of(int flags, va_list more) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
}
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = mode_of(flags, more); \
        va_end(more); \
        return creates(path, flags) ? -1 : real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name); \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = mode_of(flags, more); \
        va_end(more); \
        return creates(path, flags) ? -1 : real(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)
