/* Preloaded into the binary: makes one write, sync or rename below a folder fail, or every one after it, or
 * kills the process there.
 *
 * FAULT_BELOW   the folder; what happens elsewhere is left alone
 * FAULT_AT      the number of the operation that fails, from 1; 0 for none
 * FAULT_ERRNO   with what
 * FAULT_STAYS   set if all later operations that take space fail too, as on a full disk
 * FAULT_KILL    set if the process is killed before the operation; removals count as operations then
 * FAULT_COUNT   a file that gets the number of operations at the end
 * FAULT_LOG     a file that gets a line for each operation that changes names or waits for the disk: its
 *               number, what it is, the path
 */
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
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long done;
static char below[PATH_MAX];
static long at;
static int with, stays, kills;
static FILE *told;

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("FAULT_BELOW");
    if (folder && realpath(folder, below) == NULL) below[0] = 0;
    at = getenv("FAULT_AT") ? atol(getenv("FAULT_AT")) : 0;
    with = getenv("FAULT_ERRNO") ? atoi(getenv("FAULT_ERRNO")) : EIO;
    stays = getenv("FAULT_STAYS") != NULL;
    kills = getenv("FAULT_KILL") != NULL;
    if (getenv("FAULT_LOG")) told = fopen(getenv("FAULT_LOG"), "a");
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
    if (kills && number == at) kill(getpid(), SIGKILL);
    if (at && (number == at || (stays && takes_space && number > at))) {
        errno = with;
        return 1;
    }
    return 0;
}

static void tell(const char *what, const char *path) {
    char here[PATH_MAX] = "";
    if (!told) return;
    if (*path != '/' && getcwd(here, sizeof here)) strncat(here, "/", sizeof here - strlen(here) - 1);
    fprintf(told, "%ld %s %s%s\n", atomic_load(&done), what, here, path);
    fflush(told);
}

static void tell_fd(const char *what, int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return;
    path[n] = 0;
    tell(what, path);
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
    if (!fd_below(fd)) {
        tell_fd("sync", fd); // the folder above is waited for too
        return real(fd);
    }
    if (fails(0)) return -1;
    tell_fd("sync", fd);
    return real(fd);
}
int fdatasync(int fd) {
    REAL(fdatasync);
    return fd_below(fd) && fails(0) ? -1 : real(fd);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    if (!path_below(to)) return real(from, to);
    if (fails(0)) return -1;
    tell("rename", from);
    return real(from, to);
}
/* Removals never fail here: they only warn. */
static void removes(const char *path) {
    if (!path_below(path)) return;
    if (kills) fails(0);
    tell("remove", path);
}
int unlink(const char *path) {
    REAL(unlink);
    removes(path);
    return real(path);
}
int rmdir(const char *path) {
    REAL(rmdir);
    removes(path);
    return real(path);
}
int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    if (folder == AT_FDCWD || *path == '/') {
        removes(path);
    } else if (fd_below(folder)) {
        if (kills) fails(0);
        tell_fd("remove in", folder);
    }
    return real(folder, path, flags);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    REAL(renameat2);
    return path_below(to) && fails(0) ? -1 : real(a, from, b, to, flags);
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    if (!path_below(path)) return real(path, mode);
    if (fails(1)) return -1;
    int made = real(path, mode);
    if (made == 0) tell("folder", path);
    return made;
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
