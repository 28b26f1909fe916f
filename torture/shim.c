/* Make one call to the file system fail, or end the process there: for LD_PRELOAD.
 *
 * TORTURE_FILES names a plan of one line, which is read once by each process:
 *
 *   record                    note the calls
 *   fault OP NTH KIND ROLE PATH   have the NTH call OP of ROLE to PATH fail as KIND says, once
 *
 * Beside it, PLAN.calls gets a line for each call that is noted, PLAN.fired one when the fault has
 * come. Only paths below TORTURE_ROOT count, with what is random in their names as a star. ROLE is
 * $TORTURE_ROLE. The plan may be gone or empty: then nothing is done.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST_FILES = 4096, MOST_COUNTED = 8192 };
enum { UNREAD, NOTHING, RECORD, FAULT };

static int mode = UNREAD, is_full;
static char root[PATH_MAX], role[64], plan[PATH_MAX];
static char wanted_op[32], wanted_kind[32], wanted_path[PATH_MAX];
static int wanted_number;
static char *names[MOST_FILES]; /* of the open files below the root, by descriptor */
static char *counted[MOST_COUNTED];
static int counts[MOST_COUNTED], used;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static __thread int is_inside;

/* System calls rather than functions, which may be this library's own. */
static int raw_open(const char *path, int flags) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0644);
}

static void note(const char *suffix, const char *line) {
    char name[PATH_MAX + 16];
    snprintf(name, sizeof name, "%s%s", plan, suffix);
    int file = raw_open(name, O_WRONLY | O_CREAT | O_APPEND);
    if (file < 0) return;
    syscall(SYS_write, file, line, strlen(line));
    syscall(SYS_close, file);
}

static int has_fired(void) {
    char name[PATH_MAX + 16];
    snprintf(name, sizeof name, "%s.fired", plan);
    return syscall(SYS_faccessat, AT_FDCWD, name, F_OK) == 0;
}

static void read_plan(void) {
    const char *where = getenv("TORTURE_FILES"), *below = getenv("TORTURE_ROOT");
    if (!where || !below) return; /* it may get them yet: a fork that is to become a run */
    const char *as = getenv("TORTURE_ROLE");
    snprintf(plan, sizeof plan, "%s", where);
    snprintf(root, sizeof root, "%s", below);
    snprintf(role, sizeof role, "%s", as ? as : "worker");
    mode = NOTHING;
    char line[PATH_MAX + 256] = "", wanted_role[64] = "";
    int file = raw_open(plan, O_RDONLY);
    if (file < 0) return;
    long size = syscall(SYS_read, file, line, sizeof line - 1);
    syscall(SYS_close, file);
    if (size <= 0) return;
    line[size] = 0;
    if (!strncmp(line, "record", 6)) {
        mode = RECORD;
    } else if (sscanf(line, "fault %31s %d %31s %63s %4095[^\n]", wanted_op, &wanted_number,
                      wanted_kind, wanted_role, wanted_path) == 5) {
        if (strcmp(role, wanted_role)) return;
        mode = FAULT;
        is_full = !strcmp(wanted_kind, "FULL") && has_fired();
    }
}

static void begin_anew(void) {
    mode = UNREAD;
    used = is_full = 0;
    is_inside = 0;
    pthread_mutex_init(&guard, NULL);
}

__attribute__((constructor)) static void start(void) { pthread_atfork(NULL, NULL, begin_anew); }

static int is_random(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* A name without what is random in it: mkdtemp's eight characters, digests, the names of loads. */
static void add_component(char *out, const char *name, size_t length, int is_in_work) {
    char copy[NAME_MAX + 1];
    if (length > NAME_MAX) length = NAME_MAX;
    memcpy(copy, name, length);
    copy[length] = 0;
    size_t tail = 0;
    while (tail < length && is_random(copy[length - 1 - tail])) tail++;
    char *load = strstr(copy, "_load-");
    if (load) {
        strcpy(load + 6, "*");
    } else if (is_in_work && tail >= 8 && length > 8) {
        strcpy(copy + length - 8, "*");
    } else if (length > 11 && tail >= 8 && !strncmp(copy, "job-", 4)) {
        strcpy(copy + 4, "*");
    } else if (!strncmp(copy, "tmp", 3) && length == 11) {
        strcpy(copy + 3, "*");
    } else if (length > 36 && !strcmp(copy + length - 4, ".tmp") &&
               strspn(copy + length - 36, "0123456789abcdef") == 32) {
        strcpy(copy + length - 36, "*.tmp");
    }
    strncat(out, copy, PATH_MAX - strlen(out) - 1);
}

/* The name below the root of a path, in out; whether it is there. */
static int name_of(int folder, const char *path, char *out) {
    char whole[2 * PATH_MAX];
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char base[PATH_MAX];
        if (folder == AT_FDCWD) {
            if (syscall(SYS_getcwd, base, sizeof base) <= 0) return 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            long size = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
            if (size <= 0) return 0;
            base[size] = 0;
        }
        snprintf(whole, sizeof whole, "%s/%s", base, path);
    }
    size_t length = strlen(root);
    if (strncmp(whole, root, length) || (whole[length] && whole[length] != '/')) return 0;
    out[0] = 0;
    int is_in_work = 0;
    for (const char *at = whole + length; *at;) {
        while (*at == '/') at++;
        size_t size = strcspn(at, "/");
        if (!size) break;
        if (out[0]) strncat(out, "/", PATH_MAX - strlen(out) - 1);
        add_component(out, at, size, is_in_work);
        is_in_work = size == 4 && !strncmp(at, "work", 4);
        at += size;
    }
    if (!out[0]) strcpy(out, ".");
    return 1;
}

static int count(const char *op, const char *name) {
    char key[PATH_MAX + 32];
    snprintf(key, sizeof key, "%s %s", op, name);
    for (int i = 0; i < used; i++)
        if (!strcmp(counted[i], key)) return ++counts[i];
    if (used == MOST_COUNTED) return 0;
    counted[used] = strdup(key);
    return counts[used++] = 1;
}

static void end_here(void) { syscall(SYS_kill, getpid(), SIGKILL); }

enum { GO_ON, FAIL, HALF_THEN_END, END_AFTER };

/* What is to be done with a call: its error is in errno if it is to fail. */
static int decide(const char *op, const char *name, int needs_room) {
    int what = GO_ON;
    pthread_mutex_lock(&guard);
    if (mode == RECORD) {
        char line[PATH_MAX + 128];
        snprintf(line, sizeof line, "%s %d %s %s\n", op, count(op, name), role, name);
        note(".calls", line);
    } else if (is_full && needs_room) {
        errno = ENOSPC;
        what = FAIL;
    } else if (!strcmp(op, wanted_op) && !strcmp(name, wanted_path) &&
               count(op, name) == wanted_number && !has_fired()) {
        note(".fired", "fired\n");
        what = FAIL;
        if (!strcmp(wanted_kind, "ENOSPC")) errno = ENOSPC;
        else if (!strcmp(wanted_kind, "EIO")) errno = EIO;
        else if (!strcmp(wanted_kind, "EACCES")) errno = EACCES;
        else if (!strcmp(wanted_kind, "FULL")) { is_full = 1; errno = ENOSPC; }
        else if (!strcmp(wanted_kind, "KILL-BEFORE")) end_here();
        else if (!strcmp(wanted_kind, "KILL-AFTER")) what = END_AFTER;
        else if (!strcmp(wanted_kind, "KILL-HALF")) what = HALF_THEN_END;
        else what = GO_ON;
    }
    pthread_mutex_unlock(&guard);
    return what;
}

/* Whether calls are looked at now; if so, whoever asks calls leave() afterwards. */
static int enter(void) {
    if (is_inside) return 0;
    is_inside = 1;
    if (mode == UNREAD) {
        pthread_mutex_lock(&guard);
        if (mode == UNREAD) read_plan();
        pthread_mutex_unlock(&guard);
    }
    if (mode > NOTHING) return 1;
    is_inside = 0;
    return 0;
}

static void leave(void) {
    int error = errno;
    is_inside = 0;
    errno = error;
}

static int decide_path(int folder, const char *path, const char *op, int needs_room, char *name) {
    name[0] = 0;
    if (!path || !name_of(folder, path, name)) return GO_ON;
    return decide(op, name, needs_room);
}

#define REAL(returned, function, ...)                                    \
    static returned (*real)(__VA_ARGS__);                                \
    if (!real) real = (returned(*)(__VA_ARGS__))dlsym(RTLD_NEXT, function)

static void remember(int file, const char *name) {
    if (file < 0 || file >= MOST_FILES) return;
    free(names[file]);
    names[file] = name && name[0] ? strdup(name) : NULL;
}

static int opened(int folder, const char *path, int flags, mode_t bits) {
    char name[PATH_MAX];
    int creates = flags & O_CREAT, what = GO_ON, watched = enter();
    int is_folder = flags & O_DIRECTORY;
    if (watched && !is_folder)
        what = decide_path(folder, path, creates ? "create" : "open", creates, name);
    else if (watched)
        name[0] = 0, name_of(folder, path, name);
    int file = what == FAIL ? -1 : (int)syscall(SYS_openat, folder, path, flags, bits);
    if (what == END_AFTER || what == HALF_THEN_END) end_here();
    if (watched) {
        remember(file, name);
        leave();
    }
    return file;
}

#define MODE_OF(flags)                                \
    mode_t bits = 0;                                  \
    if ((flags) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
        va_list more;                                 \
        va_start(more, flags);                        \
        bits = va_arg(more, mode_t);                  \
        va_end(more);                                 \
    }

int open(const char *path, int flags, ...) { MODE_OF(flags) return opened(AT_FDCWD, path, flags, bits); }
int open64(const char *path, int flags, ...) { MODE_OF(flags) return opened(AT_FDCWD, path, flags | O_LARGEFILE, bits); }
int openat(int folder, const char *path, int flags, ...) { MODE_OF(flags) return opened(folder, path, flags, bits); }
int openat64(int folder, const char *path, int flags, ...) { MODE_OF(flags) return opened(folder, path, flags | O_LARGEFILE, bits); }
int creat(const char *path, mode_t bits) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, bits); }

int close(int file) {
    REAL(int, "close", int);
    if (file >= 0 && file < MOST_FILES && names[file]) {
        free(names[file]);
        names[file] = NULL;
    }
    return real(file);
}

static const char *name_at(int file) {
    return file >= 0 && file < MOST_FILES ? names[file] : NULL;
}

ssize_t write(int file, const void *bytes, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (!name_at(file) || !enter()) return real(file, bytes, size);
    int what = decide("write", name_at(file), 1);
    ssize_t done = what == FAIL ? -1 : real(file, bytes, what == HALF_THEN_END ? size / 2 : size);
    if (what == END_AFTER || what == HALF_THEN_END) end_here();
    leave();
    return done;
}

static ssize_t positioned(int file, const void *bytes, size_t size, off_t at) {
    if (!name_at(file) || !enter()) return syscall(SYS_pwrite64, file, bytes, size, at);
    int what = decide("write", name_at(file), 1);
    ssize_t done = -1;
    if (what != FAIL)
        done = syscall(SYS_pwrite64, file, bytes, what == HALF_THEN_END ? size / 2 : size, at);
    if (what == END_AFTER || what == HALF_THEN_END) end_here();
    leave();
    return done;
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) { return positioned(file, bytes, size, at); }
ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) { return positioned(file, bytes, size, at); }

ssize_t writev(int file, const struct iovec *parts, int number) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    if (!name_at(file) || !enter()) return real(file, parts, number);
    int what = decide("write", name_at(file), 1);
    ssize_t done = what == FAIL ? -1 : real(file, parts, number);
    if (what == END_AFTER || what == HALF_THEN_END) end_here();
    leave();
    return done;
}

/* A call of a descriptor that is only done or not done. */
#define OF_DESCRIPTOR(function, op, needs_room, parameters, types, arguments)        \
    int function parameters {                                                        \
        static int(*real) types;                                                     \
        if (!real) real = (int(*) types)dlsym(RTLD_NEXT, #function);                 \
        if (!name_at(file) || !enter()) return real arguments;                       \
        int what = decide(op, name_at(file), needs_room);                            \
        int done = what == FAIL ? -1 : real arguments;                               \
        if (what == END_AFTER || what == HALF_THEN_END) end_here();                  \
        leave();                                                                     \
        return done;                                                                 \
    }

OF_DESCRIPTOR(fsync, "fsync", 1, (int file), (int), (file))
OF_DESCRIPTOR(fdatasync, "fsync", 1, (int file), (int), (file))
OF_DESCRIPTOR(ftruncate, "truncate", 0, (int file, off_t size), (int, off_t), (file, size))
OF_DESCRIPTOR(ftruncate64, "truncate", 0, (int file, off64_t size), (int, off64_t), (file, size))

/* A call of a path that is only done or not done. */
#define OF_PATH(function, op, needs_room, folder, path, parameters, types, arguments) \
    int function parameters {                                                        \
        static int(*real) types;                                                     \
        if (!real) real = (int(*) types)dlsym(RTLD_NEXT, #function);                 \
        if (!enter()) return real arguments;                                         \
        char name[PATH_MAX];                                                         \
        int what = decide_path(folder, path, op, needs_room, name);                  \
        int done = what == FAIL ? -1 : real arguments;                               \
        if (what == END_AFTER || what == HALF_THEN_END) end_here();                  \
        leave();                                                                     \
        return done;                                                                 \
    }

OF_PATH(rename, "rename", 1, AT_FDCWD, to, (const char *from, const char *to),
        (const char *, const char *), (from, to))
OF_PATH(renameat, "rename", 1, folder, to, (int before, const char *from, int folder, const char *to),
        (int, const char *, int, const char *), (before, from, folder, to))
OF_PATH(renameat2, "rename", 1, folder, to,
        (int before, const char *from, int folder, const char *to, unsigned flags),
        (int, const char *, int, const char *, unsigned), (before, from, folder, to, flags))
OF_PATH(symlink, "symlink", 1, AT_FDCWD, path, (const char *to, const char *path),
        (const char *, const char *), (to, path))
OF_PATH(symlinkat, "symlink", 1, folder, path, (const char *to, int folder, const char *path),
        (const char *, int, const char *), (to, folder, path))
OF_PATH(unlink, "unlink", 0, AT_FDCWD, path, (const char *path), (const char *), (path))
OF_PATH(unlinkat, flags & AT_REMOVEDIR ? "rmdir" : "unlink", 0, folder, path,
        (int folder, const char *path, int flags), (int, const char *, int), (folder, path, flags))
OF_PATH(rmdir, "rmdir", 0, AT_FDCWD, path, (const char *path), (const char *), (path))
OF_PATH(mkdir, "mkdir", 1, AT_FDCWD, path, (const char *path, mode_t bits),
        (const char *, mode_t), (path, bits))
OF_PATH(mkdirat, "mkdir", 1, folder, path, (int folder, const char *path, mode_t bits),
        (int, const char *, mode_t), (folder, path, bits))
