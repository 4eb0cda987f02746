/* Loaded before the C library by the proofs: loses what was not synced, dies at commits, sets the clock.
 *
 * PROOFS_SHADOW=DIR  keeps in DIR what a power cut would leave of the store: a file's content as of its last sync.
 * PROOFS_DIE=KIND:N  ends the process by SIGKILL at the Nth `write` to, or `before` or `after` the Nth sync of, the log.
 * PROOFS_STALL=FILE  waits before each sync of the log while somebody else has FILE locked, and counts that in FILE
 *                    (8 bytes, native order).
 * PROOFS_CLOCK=FILE  adds the seconds in FILE (8 bytes, native order, re-read at every look) to the time of day.
 *
 * The store is whatever file's name ends in ".db" or ".db-wal".
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum kind { OTHER, DATABASE, LOG };

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_gettimeofday)(struct timeval *, void *);
static time_t (*real_time)(time_t *);

static const char *shadow;
static const char *die_kind;
static long die_at;
static long seen;
static volatile int64_t *clock_offset;
static int stall = -1;
static volatile int64_t *stalled;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* What was written since the last sync, as one range: [0] to [1]. */
static off_t dirty[3][2];

static volatile int64_t *number_in(int fd, int protection) {
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 8, protection, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) abort();
    return map;
}

__attribute__((constructor)) static void start(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_gettimeofday = dlsym(RTLD_NEXT, "gettimeofday");
    real_time = dlsym(RTLD_NEXT, "time");
    shadow = getenv("PROOFS_SHADOW");
    const char *die = getenv("PROOFS_DIE");
    if (die) {
        const char *colon = strchr(die, ':');
        die_kind = die;
        die_at = colon ? atol(colon + 1) : 0;
    }
    const char *offset = getenv("PROOFS_CLOCK");
    if (offset) clock_offset = number_in(open(offset, O_RDONLY), PROT_READ);
    const char *stall_at = getenv("PROOFS_STALL");
    if (stall_at) {
        stall = open(stall_at, O_RDWR);
        stalled = number_in(stall, PROT_READ | PROT_WRITE);
    }
}

static int ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static enum kind kind_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, size - 1);
    if (n < 0) return OTHER;
    path[n] = 0;
    if (ends_with(path, ".db")) return DATABASE;
    if (ends_with(path, ".db-wal")) return LOG;
    return OTHER;
}

static void die_here(const char *here) {
    if (die_kind && strncmp(die_kind, here, strlen(here)) == 0 && ++seen == die_at) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

static void wrote(enum kind kind, off_t from, off_t to) {
    if (dirty[kind][1] == 0 || from < dirty[kind][0]) dirty[kind][0] = from;
    if (to > dirty[kind][1]) dirty[kind][1] = to;
}

static void wait_while_stalled(void) {
    if (flock(stall, LOCK_SH | LOCK_NB) != 0) {
        __sync_fetch_and_add(stalled, 1);
        flock(stall, LOCK_SH);
    }
    flock(stall, LOCK_UN);
}

/* Brings the shadow of a file up to date with what was just synced. */
static void keep(int fd, enum kind kind, const char *path) {
    char copy[4096];
    const char *name = strrchr(path, '/');
    snprintf(copy, sizeof copy, "%s%s", shadow, name);
    int to = open(copy, O_WRONLY | O_CREAT, 0600);
    if (to < 0) abort();
    static char buffer[1 << 16];
    for (off_t at = dirty[kind][0]; at < dirty[kind][1];) {
        size_t want = dirty[kind][1] - at < (off_t)sizeof buffer ? (size_t)(dirty[kind][1] - at) : sizeof buffer;
        ssize_t n = pread(fd, buffer, want, at);
        if (n <= 0) break;
        if (real_pwrite(to, buffer, n, at) != n) abort();
        at += n;
    }
    struct stat now;
    if (fstat(fd, &now) != 0 || real_ftruncate(to, now.st_size) != 0) abort();
    close(to);
    dirty[kind][0] = dirty[kind][1] = 0;
}

static int synced(int fd, int (*real)(int)) {
    char path[4096];
    enum kind kind = (shadow || die_kind || stall >= 0) ? kind_of(fd, path, sizeof path) : OTHER;
    if (kind == OTHER) return real(fd);
    if (kind == LOG && stall >= 0) wait_while_stalled();
    pthread_mutex_lock(&lock);
    if (kind == LOG) die_here("before");
    int result = real(fd);
    if (result == 0 && shadow) keep(fd, kind, path);
    if (kind == LOG) die_here("after");
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

ssize_t write(int fd, const void *data, size_t bytes) {
    char path[4096];
    enum kind kind = (shadow || die_kind) ? kind_of(fd, path, sizeof path) : OTHER;
    if (kind == OTHER) return real_write(fd, data, bytes);
    pthread_mutex_lock(&lock);
    if (kind == LOG) die_here("write");
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t n = real_write(fd, data, bytes);
    if (n > 0) wrote(kind, at, at + n);
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t at) {
    char path[4096];
    enum kind kind = (shadow || die_kind) ? kind_of(fd, path, sizeof path) : OTHER;
    if (kind == OTHER) return real_pwrite(fd, data, bytes, at);
    pthread_mutex_lock(&lock);
    if (kind == LOG) die_here("write");
    ssize_t n = real_pwrite(fd, data, bytes, at);
    if (n > 0) wrote(kind, at, at + n);
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) { return pwrite64(fd, data, bytes, at); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = real_clock_gettime(clock, now);
    if (result == 0 && clock_offset && clock == CLOCK_REALTIME) now->tv_sec += *clock_offset;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int result = real_gettimeofday(now, zone);
    if (result == 0 && clock_offset) now->tv_sec += *clock_offset;
    return result;
}

time_t time(time_t *out) {
    time_t now = real_time(NULL) + (clock_offset ? *clock_offset : 0);
    if (out) *out = now;
    return now;
}
