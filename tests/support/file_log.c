/* Records what a process does to the files under $FILE_LOG_FOLDER, in order, into $FILE_LOG:
 * for tests that take the power away. To be preloaded (LD_PRELOAD).
 * A record: kind, offset, length of data, length of path (4 x int64), path, data. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC, TRUNCATE, UNLINK };

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int log_file = -2;

static void record(int64_t kind, const char *path, int64_t offset, const void *data, int64_t size) {
    const char *folder = getenv("FILE_LOG_FOLDER");
    if (!folder || strncmp(path, folder, strlen(folder)) != 0) return;
    if (log_file == -2) log_file = open(getenv("FILE_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int64_t head[4] = {kind, offset, size, (int64_t)strlen(path)};
    struct iovec parts[3] = {{head, sizeof head}, {(void *)path, strlen(path)}, {(void *)data, data ? size : 0}};
    if (writev(log_file, parts, 3) < 0) abort();
}

static void record_of_file(int64_t kind, int file, int64_t offset, const void *data, int64_t size) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    record(kind, path, offset, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset) {
    ssize_t done = REAL(pwrite)(file, data, size, offset);
    if (done > 0) record_of_file(WRITE, file, offset, data, done);
    return done;
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) {
    ssize_t done = REAL(pwrite64)(file, data, size, offset);
    if (done > 0) record_of_file(WRITE, file, offset, data, done);
    return done;
}

int fsync(int file) {
    int failed = REAL(fsync)(file);
    if (!failed) record_of_file(SYNC, file, 0, NULL, 0);
    return failed;
}

int fdatasync(int file) {
    int failed = REAL(fdatasync)(file);
    if (!failed) record_of_file(SYNC, file, 0, NULL, 0);
    return failed;
}

int ftruncate(int file, off_t size) {
    int failed = REAL(ftruncate)(file, size);
    if (!failed) record_of_file(TRUNCATE, file, size, NULL, 0);
    return failed;
}

int ftruncate64(int file, off64_t size) {
    int failed = REAL(ftruncate64)(file, size);
    if (!failed) record_of_file(TRUNCATE, file, size, NULL, 0);
    return failed;
}

int unlink(const char *path) {
    int failed = REAL(unlink)(path);
    if (!failed) record(UNLINK, path, 0, NULL, 0);
    return failed;
}
