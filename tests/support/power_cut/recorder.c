/* Records what a process does to the files below one directory, so that tests can rebuild what a power cut would leave.

   Preloaded into a process (LD_PRELOAD), it stands between it and libc. TASKD_RECORD_ROOT is the directory, by its real
   path; records go to TASKD_RECORD_TRACE.<pid>: a header, two names below the root, data. recorded_disk.py reads them.

   Files are known by their inode. A sync has two records, before and after: what was written meanwhile is not durable by it.
   SQLite's -shm files are left out: mapped, never synced, and made anew at each start. So are sockets, which hold nothing.

   SIGUSR2 is SIGKILL, but never between a deed and its record: the next process would find more than was recorded. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { CREATE = 1, MKDIR, UNLINK, RENAME, WRITE, TRUNCATE, EXTEND, SYNCING, SYNCED, UNSUPPORTED };

struct header {
    int64_t time_ns;
    uint32_t kind, first_bytes, second_bytes, data_bytes;
    uint64_t node;
    int64_t value;
};

#define FDS 65536

static char root[PATH_MAX];
static size_t root_bytes;
static int trace = -1;
static pid_t owner;
static uint64_t nodes[FDS]; /* the inode behind each descriptor of a file below the root, else 0 */
static uint64_t syncs;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A descendant that shares this memory until it calls exec must neither record nor touch what is known here. */
static bool recording(void) { return trace >= 0 && getpid() == owner; }

static uint64_t node_of(int fd) { return fd >= 0 && fd < FDS && recording() ? nodes[fd] : 0; }

static void record(enum kind kind, uint64_t node, int64_t value, const char *first, const char *second,
                   const void *data, size_t data_bytes)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct header header = {now.tv_sec * 1000000000LL + now.tv_nsec, kind, strlen(first), strlen(second), data_bytes,
                            node, value};
    struct iovec parts[] = {{&header, sizeof header},
                            {(void *)first, header.first_bytes},
                            {(void *)second, header.second_bytes},
                            {(void *)data, data_bytes}};
    ssize_t whole = sizeof header + header.first_bytes + header.second_bytes + data_bytes;
    if (syscall(SYS_writev, trace, parts, 4) != whole)
        abort(); /* a record that is missing would make the test lie */
}

static void record_file(enum kind kind, uint64_t node, int64_t value) { record(kind, node, value, "", "", NULL, 0); }

static void record_name(enum kind kind, const char *name, const struct stat *of)
{
    record(kind, of->st_ino, 0, name, "", NULL, 0);
}

static void unsupported(const char *what)
{
    pthread_mutex_lock(&lock);
    record(UNSUPPORTED, 0, 0, what, "", NULL, 0);
    pthread_mutex_unlock(&lock);
}

static bool absolute(int directory, const char *path, char *full, size_t size)
{
    char base[PATH_MAX] = "", link[64];
    if (path[0] != '/' && directory == AT_FDCWD && !getcwd(base, sizeof base))
        return false;
    if (path[0] != '/' && directory != AT_FDCWD) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0)
            return false;
        base[length] = 0;
    }
    return (size_t)snprintf(full, size, "%s/%s", base, path) < size;
}

/* Takes ".", ".." and double slashes out of an absolute path. */
static void simplify(const char *path, char *simple)
{
    char *end = simple;
    while (*path) {
        size_t length = strcspn(++path, "/");
        if (length == 2 && !strncmp(path, "..", 2)) {
            while (end > simple && *--end != '/')
                ;
        } else if (length && !(length == 1 && *path == '.')) {
            *end++ = '/';
            memcpy(end, path, length);
            end += length;
        }
        path += length;
    }
    *end = 0;
}

/* Whether the path is the root or below it, and its name there. Leaves errno as it is. */
static bool below(int directory, const char *path, char *name)
{
    char full[2 * PATH_MAX + 2], simple[2 * PATH_MAX + 2];
    int before = errno;
    bool known = recording() && absolute(directory, path, full, sizeof full);
    errno = before;
    if (!known)
        return false;
    simplify(full, simple);
    size_t length = strlen(simple);
    if (length >= PATH_MAX || strncmp(simple, root, root_bytes) || (simple[root_bytes] && simple[root_bytes] != '/'))
        return false;
    strcpy(name, simple + root_bytes + (simple[root_bytes] == '/'));
    return length < 4 || strcmp(simple + length - 4, "-shm");
}

#define REAL(name)                                                                                                     \
    static __typeof__(&name) real;                                                                                     \
    if (!real)                                                                                                         \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void *die_when_told(void *signals)
{
    int number;
    sigwait(signals, &number);
    pthread_mutex_lock(&lock);
    kill(getpid(), SIGKILL);
    return NULL;
}

/* Blocks SIGUSR2 for every thread there will be, so that it comes to the one that waits for it. */
static void wait_to_be_told(void)
{
    static sigset_t signals;
    pthread_t waiting;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (pthread_create(&waiting, NULL, die_when_told, &signals))
        abort();
}

__attribute__((constructor)) static void begin(void)
{
    const char *directory = getenv("TASKD_RECORD_ROOT"), *prefix = getenv("TASKD_RECORD_TRACE");
    char name[PATH_MAX];
    if (!directory || !prefix)
        return;
    root_bytes = snprintf(root, sizeof root, "%s", directory);
    snprintf(name, sizeof name, "%s.%d", prefix, (int)getpid());
    owner = getpid();
    trace = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0)
        abort();
    wait_to_be_told();
}

static int open_recorded(int directory, const char *path, int flags, mode_t mode)
{
    REAL(openat);
    char name[PATH_MAX];
    struct stat before, after;
    if (!below(directory, path, name))
        return real(directory, path, flags, mode);
    pthread_mutex_lock(&lock);
    bool fresh = (flags & O_CREAT) && fstatat(directory, path, &before, AT_SYMLINK_NOFOLLOW);
    int fd = real(directory, path, flags, mode);
    if (fd >= 0 && fd < FDS && !fstat(fd, &after)) {
        nodes[fd] = after.st_ino;
        if (fresh)
            record_name(CREATE, name, &after);
        else if (flags & O_TRUNC)
            record_file(TRUNCATE, after.st_ino, 0);
    }
    pthread_mutex_unlock(&lock);
    if (fd >= FDS || flags & O_DSYNC || (flags & O_TMPFILE) == O_TMPFILE)
        unsupported("open with O_DSYNC or O_TMPFILE");
    return fd;
}

static mode_t mode_in(va_list arguments, int flags)
{
    return flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        mode_t mode = mode_in(arguments, flags);                                                                       \
        va_end(arguments);                                                                                             \
        return open_recorded(AT_FDCWD, path, flags, mode);                                                             \
    }
#define OPENAT(name)                                                                                                   \
    int name(int directory, const char *path, int flags, ...)                                                          \
    {                                                                                                                  \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        mode_t mode = mode_in(arguments, flags);                                                                       \
        va_end(arguments);                                                                                             \
        return open_recorded(directory, path, flags, mode);                                                            \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int close(int fd)
{
    REAL(close);
    if (node_of(fd))
        nodes[fd] = 0; /* before the number can be given to somebody else */
    return real(fd);
}

/* Runs `call` and, if it did something, records `what` in the same step. */
#define RECORDED(type, call, what)                                                                                     \
    pthread_mutex_lock(&lock);                                                                                         \
    type done = (call);                                                                                                \
    if (done >= 0) {                                                                                                   \
        what;                                                                                                          \
    }                                                                                                                  \
    pthread_mutex_unlock(&lock);                                                                                       \
    return done

ssize_t write(int fd, const void *data, size_t bytes)
{
    REAL(write);
    if (!node_of(fd))
        return real(fd, data, bytes);
    RECORDED(ssize_t, real(fd, data, bytes),
             record(WRITE, nodes[fd], lseek(fd, 0, SEEK_CUR) - done, "", "", data, done));
}

#define PWRITE(name)                                                                                                   \
    ssize_t name(int fd, const void *data, size_t bytes, off_t at)                                                     \
    {                                                                                                                  \
        REAL(pwrite);                                                                                                  \
        if (!node_of(fd))                                                                                              \
            return real(fd, data, bytes, at);                                                                          \
        RECORDED(ssize_t, real(fd, data, bytes, at), record(WRITE, nodes[fd], at, "", "", data, done));                \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

static void record_parts(uint64_t node, const struct iovec *parts, int64_t at, ssize_t bytes)
{
    for (; bytes > 0; parts++) {
        ssize_t length = (ssize_t)parts->iov_len < bytes ? (ssize_t)parts->iov_len : bytes;
        record(WRITE, node, at, "", "", parts->iov_base, length);
        at += length;
        bytes -= length;
    }
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev);
    if (!node_of(fd))
        return real(fd, parts, count);
    RECORDED(ssize_t, real(fd, parts, count), record_parts(nodes[fd], parts, lseek(fd, 0, SEEK_CUR) - done, done));
}

#define PWRITEV(name)                                                                                                  \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t at)                                               \
    {                                                                                                                  \
        REAL(pwritev);                                                                                                 \
        if (!node_of(fd))                                                                                              \
            return real(fd, parts, count, at);                                                                         \
        RECORDED(ssize_t, real(fd, parts, count, at), record_parts(nodes[fd], parts, at, done));                       \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define FTRUNCATE(name)                                                                                                \
    int name(int fd, off_t bytes)                                                                                      \
    {                                                                                                                  \
        REAL(ftruncate);                                                                                               \
        if (!node_of(fd))                                                                                              \
            return real(fd, bytes);                                                                                    \
        RECORDED(int, real(fd, bytes), record_file(TRUNCATE, nodes[fd], bytes));                                       \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

static int truncate_recorded(const char *path, off_t bytes)
{
    REAL(truncate);
    char name[PATH_MAX];
    struct stat found;
    if (!below(AT_FDCWD, path, name) || stat(path, &found))
        return real(path, bytes);
    RECORDED(int, real(path, bytes), record_file(TRUNCATE, found.st_ino, bytes));
}
int truncate(const char *path, off_t bytes) { return truncate_recorded(path, bytes); }
int truncate64(const char *path, off_t bytes) { return truncate_recorded(path, bytes); }

#define POSIX_FALLOCATE(name)                                                                                          \
    int name(int fd, off_t at, off_t bytes)                                                                            \
    {                                                                                                                  \
        REAL(posix_fallocate);                                                                                         \
        if (!node_of(fd))                                                                                              \
            return real(fd, at, bytes);                                                                                \
        pthread_mutex_lock(&lock);                                                                                     \
        int error = real(fd, at, bytes);                                                                               \
        if (!error)                                                                                                    \
            record_file(EXTEND, nodes[fd], at + bytes);                                                                \
        pthread_mutex_unlock(&lock);                                                                                   \
        return error;                                                                                                  \
    }
POSIX_FALLOCATE(posix_fallocate)
POSIX_FALLOCATE(posix_fallocate64)

#define FALLOCATE(name)                                                                                                \
    int name(int fd, int mode, off_t at, off_t bytes)                                                                  \
    {                                                                                                                  \
        REAL(fallocate);                                                                                               \
        if (node_of(fd) && mode)                                                                                       \
            unsupported("fallocate with a mode");                                                                      \
        if (!node_of(fd))                                                                                              \
            return real(fd, mode, at, bytes);                                                                          \
        RECORDED(int, real(fd, mode, at, bytes), record_file(EXTEND, nodes[fd], at + bytes));                          \
    }
FALLOCATE(fallocate)
FALLOCATE(fallocate64)

static int sync_recorded(int (*real)(int), int fd)
{
    uint64_t node = node_of(fd);
    if (!node)
        return real(fd);
    pthread_mutex_lock(&lock);
    int64_t number = ++syncs;
    record_file(SYNCING, node, number);
    pthread_mutex_unlock(&lock);
    int done = real(fd); /* without the lock: others write meanwhile, as on a real disk */
    if (!done) {
        pthread_mutex_lock(&lock);
        record_file(SYNCED, node, number);
        pthread_mutex_unlock(&lock);
    }
    return done;
}

int fsync(int fd)
{
    REAL(fsync);
    return sync_recorded(real, fd);
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return sync_recorded(real, fd);
}

int mkdirat(int directory, const char *path, mode_t mode)
{
    REAL(mkdirat);
    char name[PATH_MAX];
    struct stat made;
    if (!below(directory, path, name))
        return real(directory, path, mode);
    RECORDED(int, real(directory, path, mode),
             if (!fstatat(directory, path, &made, AT_SYMLINK_NOFOLLOW)) record_name(MKDIR, name, &made));
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

static bool is_socket(int directory, const char *path)
{
    struct stat found;
    return fstatat(directory, path, &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(found.st_mode);
}

int unlinkat(int directory, const char *path, int flags)
{
    REAL(unlinkat);
    char name[PATH_MAX];
    if (!below(directory, path, name) || is_socket(directory, path))
        return real(directory, path, flags);
    RECORDED(int, real(directory, path, flags), record(UNLINK, 0, 0, name, "", NULL, 0));
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int renameat(int from, const char *old, int to, const char *new)
{
    REAL(renameat);
    char source[PATH_MAX], target[PATH_MAX];
    bool inside = below(from, old, source), into = below(to, new, target);
    if (inside != into)
        unsupported("rename into the directory or out of it");
    if (!inside || !into)
        return real(from, old, to, new);
    RECORDED(int, real(from, old, to, new), record(RENAME, 0, 0, source, target, NULL, 0));
}
int rename(const char *old, const char *new) { return renameat(AT_FDCWD, old, AT_FDCWD, new); }

/* What follows is not recorded, but said, so that no test relies on a record that lacks it. */

#define MMAP(name)                                                                                                     \
    void *name(void *at, size_t bytes, int access, int flags, int fd, off_t offset)                                    \
    {                                                                                                                  \
        REAL(mmap);                                                                                                    \
        if (fd >= 0 && access & PROT_WRITE && (flags & MAP_TYPE) != MAP_PRIVATE && node_of(fd))                        \
            unsupported("mmap for writing");                                                                           \
        return real(at, bytes, access, flags, fd, offset);                                                             \
    }
MMAP(mmap)
MMAP(mmap64)

#define PWRITEV2(name)                                                                                                 \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t at, int flags)                                    \
    {                                                                                                                  \
        REAL(pwritev2);                                                                                                \
        if (node_of(fd))                                                                                               \
            unsupported("pwritev2");                                                                                   \
        return real(fd, parts, count, at, flags);                                                                      \
    }
PWRITEV2(pwritev2)
PWRITEV2(pwritev64v2)

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    REAL(linkat);
    char name[PATH_MAX];
    if (below(to, new, name))
        unsupported("link");
    return real(from, old, to, new, flags);
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int symlinkat(const char *target, int directory, const char *path)
{
    REAL(symlinkat);
    char name[PATH_MAX];
    if (below(directory, path, name))
        unsupported("symlink");
    return real(target, directory, path);
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

#define SENDFILE(name)                                                                                                 \
    ssize_t name(int to, int from, off_t *at, size_t bytes)                                                            \
    {                                                                                                                  \
        REAL(sendfile);                                                                                                \
        if (node_of(to))                                                                                               \
            unsupported("sendfile");                                                                                   \
        return real(to, from, at, bytes);                                                                              \
    }
SENDFILE(sendfile)
SENDFILE(sendfile64)
