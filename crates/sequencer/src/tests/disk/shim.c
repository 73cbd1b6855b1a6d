// SPDX-License-Identifier: Apache-2.0
//
// A disk with faults, for tests: a shared object that stands between a process and its files (LD_PRELOAD, Linux).
//
// Every call of libc that changes a file or a name below DISK_ROOT is carried out and written to the journal DISK_LOG, in the one order in which it
// happened: one lock is held over the call and its record. A test reads the journal when the process is gone, and works out from it what a power cut
// at that moment could have left on the disk (disk/replay.rs). fsync and fdatasync reach no disk: they are records only, which makes a run fast.
//
// DISK_FAULT says what goes wrong: "KIND CLASSES AT COUNT"
//   cut-before, cut-after   the process is killed at once, before or after the effect of the operation
//   eio                     operations fail with EIO; a failed fsync leaves its pages clean, as Linux does
//   enospc                  operations that take space fail with ENOSPC, after half of a write if there are two bytes or more
// CLASSES are letters: w (write, allocate), s (fsync, fdatasync), d (names: create, rename, link, unlink, mkdir), t (truncate), r (read). AT is the
// number, from 1, of the first such operation that fails, COUNT how many from there on; 0 is all.
//
// What goes around libc (raw system calls, writes through a mapping) is not seen. The test notices: what the journal says must be what the
// directory holds. The one known case, rename in the crate tempfile, is seen when the file is next opened, by its inode number under another name.
// Calls that nothing here uses are refused (abort), so that a new version of a dependency that uses them is noticed.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

// The records of the journal; disk/replay.rs has the same numbers.
enum kind {
    CREATED = 1,      // a: path, x: file
    OPENED = 2,       // a: path, x: file
    WRITTEN = 3,      // x: file, y: offset, data
    LENGTH = 4,       // x: file, y: length
    FILE_SYNCED = 5,  // x: file
    DIR_SYNCED = 6,   // a: path
    SYNC_FAILED = 7,  // x: file
    RENAMED = 8,      // a: old path, b: new path
    LINKED = 9,       // a: old path, b: new path
    UNLINKED = 10,    // a: path
    DIR_MADE = 11,    // a: path
    DIR_REMOVED = 12, // a: path
    FAULT = 13,       // a: what
};

struct record {
    uint32_t kind, a_bytes, b_bytes, data_bytes;
    uint64_t x, y;
};

// A file is known by a number of its own, because inode numbers are used again.
struct file {
    ino_t inode;
    uint64_t number;
    struct file *next;
};

#define FILES 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_bytes; // 0: the shim does nothing
static int log_fd = -1;
static struct file *files[FILES];
static uint64_t files_made;

static enum { NOTHING, CUT_BEFORE, CUT_AFTER, FAIL_EIO, FAIL_ENOSPC } fault;
static char fault_classes[16];
static uint64_t fault_at, fault_count, operations;

static void die(const char *what) {
    dprintf(2, "disk shim: %s\n", what);
    abort();
}

__attribute__((constructor)) static void start(void) {
    const char *dir = getenv("DISK_ROOT"), *log = getenv("DISK_LOG"), *plan = getenv("DISK_FAULT");
    if (dir == NULL || log == NULL) return;
    if (strlen(dir) >= sizeof root) die("DISK_ROOT is too long");
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) die("DISK_LOG cannot be opened");
    if (plan != NULL && *plan != '\0') {
        char kind[16];
        unsigned long long at, count;
        if (sscanf(plan, "%15s %15s %llu %llu", kind, fault_classes, &at, &count) != 4) die("DISK_FAULT is malformed");
        fault_at = at, fault_count = count;
        if (strcmp(kind, "cut-before") == 0) fault = CUT_BEFORE;
        else if (strcmp(kind, "cut-after") == 0) fault = CUT_AFTER;
        else if (strcmp(kind, "eio") == 0) fault = FAIL_EIO;
        else if (strcmp(kind, "enospc") == 0) fault = FAIL_ENOSPC;
        else die("DISK_FAULT is of no known kind");
    }
    strcpy(root, dir);
    root_bytes = strlen(dir);
}

// The end of a process kills its other threads, and a write that is then under way stops after some page without a record. So none is: the lock is
// taken and never given back.
__attribute__((destructor)) static void end(void) {
    if (root_bytes != 0) pthread_mutex_lock(&lock);
}

// ---- the journal; the lock is held ----

static void record(enum kind kind, const char *a, const char *b, uint64_t x, uint64_t y, const void *data, size_t bytes) {
    struct record head = { .kind = kind, .x = x, .y = y, .data_bytes = (uint32_t)bytes };
    head.a_bytes = a == NULL ? 0 : (uint32_t)strlen(a);
    head.b_bytes = b == NULL ? 0 : (uint32_t)strlen(b);
    struct iovec parts[] = {
        { &head, sizeof head }, { (void *)a, head.a_bytes }, { (void *)b, head.b_bytes }, { (void *)data, bytes },
    };
    ssize_t whole = (ssize_t)(sizeof head + head.a_bytes + head.b_bytes + bytes);
    if (syscall(SYS_writev, log_fd, parts, 4) != whole) die("the journal cannot be written");
}

static void cut(const char *when) {
    record(FAULT, when, NULL, operations, 0, NULL, 0);
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

// Counts an operation. Its error number if it is to fail, or 0.
static int step(char class) {
    if (fault == NOTHING || strchr(fault_classes, class) == NULL) return 0;
    operations++;
    if (operations < fault_at || (fault_count != 0 && operations - fault_at >= fault_count)) return 0;
    char what[32];
    switch (fault) {
    case CUT_BEFORE: cut("cut before"); return 0;
    case FAIL_EIO: snprintf(what, sizeof what, "EIO in %c", class); break;
    case FAIL_ENOSPC: snprintf(what, sizeof what, "ENOSPC in %c", class); break;
    default: return 0;
    }
    record(FAULT, what, NULL, operations, 0, NULL, 0);
    return fault == FAIL_EIO ? EIO : ENOSPC;
}

// After the effect and the record of an operation of this class.
static void done(char class) {
    if (fault == CUT_AFTER && strchr(fault_classes, class) != NULL && operations >= fault_at) cut("cut after");
}

// ---- which file it is; the lock is held ----

static struct file *find(ino_t inode) {
    struct file *file = files[inode % FILES];
    while (file != NULL && file->inode != inode) file = file->next;
    return file;
}

static uint64_t number_of(ino_t inode, int is_new) {
    struct file *file = find(inode);
    if (file == NULL) {
        file = malloc(sizeof *file);
        if (file == NULL) die("no memory");
        file->inode = inode, file->next = files[inode % FILES];
        files[inode % FILES] = file;
        is_new = 1;
    }
    if (is_new) file->number = ++files_made;
    return file->number;
}

// The number of the file behind a descriptor, or 0 if it is none of ours.
static uint64_t number_behind(int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return 0;
    struct file *file = find(status.st_ino);
    return file == NULL ? 0 : file->number;
}

static int is_regular(int fd) {
    int error = errno;
    struct stat status;
    int regular = root_bytes != 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    errno = error;
    return regular;
}

// The path below the root that a call means, in `out`; 0 if it is elsewhere.
static int below_root(int dir, const char *path, char out[PATH_MAX]) {
    if (root_bytes == 0 || path == NULL) return 0;
    char whole[2 * PATH_MAX];
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char base[PATH_MAX], link[64];
        if (dir == AT_FDCWD) {
            if (getcwd(base, sizeof base) == NULL) return 0;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
            ssize_t bytes = readlink(link, base, sizeof base - 1);
            if (bytes < 0) return 0;
            base[bytes] = '\0';
        }
        snprintf(whole, sizeof whole, "%s/%s", base, path);
    }
    if (strncmp(whole, root, root_bytes) != 0 || (whole[root_bytes] != '/' && whole[root_bytes] != '\0')) return 0;
    snprintf(out, PATH_MAX, "%s", whole + root_bytes);
    return 1;
}

static long failed(int error) {
    errno = error;
    return -1;
}

// ---- opening and names ----

static int opened(int dir, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    if (!below_root(dir, path, name)) return (int)syscall(SYS_openat, dir, path, flags, mode);
    if ((flags & O_TMPFILE) == O_TMPFILE) die("O_TMPFILE is not known");
    pthread_mutex_lock(&lock);
    int fd = -1, created = 0;
    if (flags & O_CREAT) {
        // Whether the file is new is known only if it must be.
        struct stat status;
        created = fstatat(dir, path, &status, 0) != 0;
        int error = created ? step('d') : 0;
        if (error != 0) {
            pthread_mutex_unlock(&lock);
            return (int)failed(error);
        }
    }
    fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    int error = errno;
    struct stat status;
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        uint64_t number = number_of(status.st_ino, created);
        record(created ? CREATED : OPENED, name, NULL, number, 0, NULL, 0);
        if (!created && (flags & O_TRUNC)) record(LENGTH, NULL, NULL, number, 0, NULL, 0);
        if (created) done('d');
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define WITH_MODE                                                                                                           \
    mode_t mode = 0;                                                                                                       \
    if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) {                                                                  \
        va_list rest;                                                                                                      \
        va_start(rest, flags);                                                                                             \
        mode = va_arg(rest, mode_t);                                                                                       \
        va_end(rest);                                                                                                      \
    }

int open(const char *path, int flags, ...) {
    WITH_MODE
    return opened(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    WITH_MODE
    return opened(AT_FDCWD, path, flags, mode);
}
int openat(int dir, const char *path, int flags, ...) {
    WITH_MODE
    return opened(dir, path, flags, mode);
}
int openat64(int dir, const char *path, int flags, ...) {
    WITH_MODE
    return opened(dir, path, flags, mode);
}
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

// A call that changes one or two names: fails by the plan, or is carried out and recorded.
#define NAMES(kind, a, b, call)                                                                                            \
    pthread_mutex_lock(&lock);                                                                                             \
    int error = step('d');                                                                                                 \
    long result = error != 0 ? failed(error) : (call);                                                                     \
    error = errno;                                                                                                         \
    if (result == 0) {                                                                                                     \
        record(kind, a, b, 0, 0, NULL, 0);                                                                                 \
        done('d');                                                                                                         \
    }                                                                                                                      \
    pthread_mutex_unlock(&lock);                                                                                           \
    errno = error;                                                                                                         \
    return (int)result;

int renameat2(int old_dir, const char *old, int new_dir, const char *new, unsigned flags) {
    char a[PATH_MAX], b[PATH_MAX];
    int from = below_root(old_dir, old, a), to = below_root(new_dir, new, b);
    if (!from && !to) return (int)syscall(SYS_renameat2, old_dir, old, new_dir, new, flags);
    if (!from || !to || (flags & ~1U) != 0) die("a rename over the edge of the disk, or of an unknown kind");
    NAMES(RENAMED, a, b, syscall(SYS_renameat2, old_dir, old, new_dir, new, flags))
}
int renameat(int old_dir, const char *old, int new_dir, const char *new) { return renameat2(old_dir, old, new_dir, new, 0); }
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }

int linkat(int old_dir, const char *old, int new_dir, const char *new, int flags) {
    char a[PATH_MAX], b[PATH_MAX];
    int from = below_root(old_dir, old, a), to = below_root(new_dir, new, b);
    if (!from && !to) return (int)syscall(SYS_linkat, old_dir, old, new_dir, new, flags);
    if (!from || !to) die("a link over the edge of the disk");
    NAMES(LINKED, a, b, syscall(SYS_linkat, old_dir, old, new_dir, new, flags))
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int unlinkat(int dir, const char *path, int flags) {
    char a[PATH_MAX];
    if (!below_root(dir, path, a)) return (int)syscall(SYS_unlinkat, dir, path, flags);
    NAMES((flags & AT_REMOVEDIR) ? DIR_REMOVED : UNLINKED, a, NULL, syscall(SYS_unlinkat, dir, path, flags))
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int dir, const char *path, mode_t mode) {
    char a[PATH_MAX];
    if (!below_root(dir, path, a)) return (int)syscall(SYS_mkdirat, dir, path, mode);
    NAMES(DIR_MADE, a, NULL, syscall(SYS_mkdirat, dir, path, mode))
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int symlinkat(const char *target, int dir, const char *path) {
    char a[PATH_MAX];
    if (below_root(dir, path, a)) die("symbolic links are not known");
    return (int)syscall(SYS_symlinkat, target, dir, path);
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

// ---- contents ----

// Carries a write out and records what was written, which may be less than was asked for. `offset` is -1 for the file's own position.
static ssize_t written(int fd, const void *data, size_t bytes, off_t offset) {
    pthread_mutex_lock(&lock);
    uint64_t number = number_behind(fd);
    ssize_t result;
    if (number == 0) {
        pthread_mutex_unlock(&lock);
        return offset < 0 ? syscall(SYS_write, fd, data, bytes) : syscall(SYS_pwrite64, fd, data, bytes, offset);
    }
    int error = step('w');
    if (error == ENOSPC && bytes >= 2) bytes /= 2, error = 0;
    if (error != 0) {
        pthread_mutex_unlock(&lock);
        return failed(error);
    }
    result = offset < 0 ? syscall(SYS_write, fd, data, bytes) : syscall(SYS_pwrite64, fd, data, bytes, offset);
    error = errno;
    if (result > 0) {
        off_t at = offset < 0 ? syscall(SYS_lseek, fd, 0, SEEK_CUR) - result : offset;
        record(WRITTEN, NULL, NULL, number, (uint64_t)at, data, (size_t)result);
        done('w');
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

ssize_t write(int fd, const void *data, size_t bytes) {
    return is_regular(fd) ? written(fd, data, bytes, -1) : syscall(SYS_write, fd, data, bytes);
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) {
    return is_regular(fd) ? written(fd, data, bytes, offset) : syscall(SYS_pwrite64, fd, data, bytes, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t offset) { return pwrite(fd, data, bytes, offset); }

// The first part that is not empty: a short write, which every caller must expect.
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!is_regular(fd)) return syscall(SYS_writev, fd, parts, count);
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len > 0) return written(fd, parts[i].iov_base, parts[i].iov_len, -1);
    return 0;
}

static int synced(int fd, long call) {
    struct stat status;
    if (root_bytes == 0 || fstat(fd, &status) != 0) return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    uint64_t number = number_behind(fd);
    char path[PATH_MAX];
    int is_dir = S_ISDIR(status.st_mode) && below_root(fd, ".", path);
    if (number == 0 && !is_dir) {
        pthread_mutex_unlock(&lock);
        return (int)syscall(call, fd);
    }
    int error = step('s');
    if (error != 0) {
        if (!is_dir) record(SYNC_FAILED, NULL, NULL, number, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
        return (int)failed(error);
    }
    record(is_dir ? DIR_SYNCED : FILE_SYNCED, is_dir ? path : NULL, NULL, number, 0, NULL, 0);
    done('s');
    pthread_mutex_unlock(&lock);
    return 0;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int ftruncate(int fd, off_t length) {
    if (!is_regular(fd)) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    uint64_t number = number_behind(fd);
    int error = number == 0 ? 0 : step('t');
    long result = error != 0 ? failed(error) : syscall(SYS_ftruncate, fd, length);
    error = errno;
    if (result == 0 && number != 0) {
        record(LENGTH, NULL, NULL, number, (uint64_t)length, NULL, 0);
        done('t');
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return (int)result;
}
int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

// ---- reading: only so that it can fail ----

static int read_fails(int fd) {
    if (fault != FAIL_EIO || strchr(fault_classes, 'r') == NULL || !is_regular(fd)) return 0;
    pthread_mutex_lock(&lock);
    int error = number_behind(fd) == 0 ? 0 : step('r');
    pthread_mutex_unlock(&lock);
    return error;
}
ssize_t read(int fd, void *data, size_t bytes) {
    int error = read_fails(fd);
    return error != 0 ? failed(error) : syscall(SYS_read, fd, data, bytes);
}
ssize_t pread(int fd, void *data, size_t bytes, off_t offset) {
    int error = read_fails(fd);
    return error != 0 ? failed(error) : syscall(SYS_pread64, fd, data, bytes, offset);
}
ssize_t pread64(int fd, void *data, size_t bytes, off_t offset) { return pread(fd, data, bytes, offset); }
ssize_t readv(int fd, const struct iovec *parts, int count) {
    int error = read_fails(fd);
    return error != 0 ? failed(error) : syscall(SYS_readv, fd, parts, count);
}

// ---- what nothing here uses ----

static void refuse(int fd, const char *what) {
    if (!is_regular(fd)) return;
    pthread_mutex_lock(&lock);
    if (number_behind(fd) != 0) die(what);
    pthread_mutex_unlock(&lock);
}
void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset) {
    if (fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE)) refuse(fd, "a shared writable mapping is not known");
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}
void *mmap64(void *address, size_t bytes, int protection, int flags, int fd, off_t offset) {
    return mmap(address, bytes, protection, flags, fd, offset);
}
int fallocate(int fd, int mode, off_t offset, off_t bytes) {
    refuse(fd, "fallocate is not known");
    return (int)syscall(SYS_fallocate, fd, mode, offset, bytes);
}
int fallocate64(int fd, int mode, off_t offset, off_t bytes) { return fallocate(fd, mode, offset, bytes); }
int posix_fallocate(int fd, off_t offset, off_t bytes) { return fallocate(fd, 0, offset, bytes) == 0 ? 0 : errno; }
int posix_fallocate64(int fd, off_t offset, off_t bytes) { return posix_fallocate(fd, offset, bytes); }
int sync_file_range(int fd, off_t offset, off_t bytes, unsigned flags) {
    refuse(fd, "sync_file_range is not known");
    return (int)syscall(SYS_sync_file_range, fd, offset, bytes, flags);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    refuse(fd, "pwritev is not known");
    return syscall(SYS_pwritev, fd, parts, count, offset, 0);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev(fd, parts, count, offset); }
ssize_t copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t bytes, unsigned flags) {
    refuse(out, "copy_file_range is not known");
    return syscall(SYS_copy_file_range, in, in_at, out, out_at, bytes, flags);
}
ssize_t sendfile(int out, int in, off_t *offset, size_t bytes) {
    refuse(out, "sendfile is not known");
    return syscall(SYS_sendfile, out, in, offset, bytes);
}
ssize_t sendfile64(int out, int in, off_t *offset, size_t bytes) { return sendfile(out, in, offset, bytes); }
