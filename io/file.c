/* Files through POSIX calls, every return value of which is checked.
 *
 * A file system may report a full disk as late as fsync() or close(), so data count as written only
 * after both have succeeded. A rename is durable only after an fsync of the containing directory.
 */
#include "io/file.h"
#include "io/activity.h"
#include "io/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Long writes and reads go in pieces, each of which is progress for the watchdog. */
enum { HASH_BUFFER = 1 << 18, PIECE = 1 << 26, OPEN_DIRECTORIES = 16 };

static status storage(const char *what, const char *path) {
    return status_fail(ST_STORAGE, "%s: cannot %s: %s", path, what, strerror(errno));
}

status path_join(char out[PATH_SIZE], const char *directory, const char *name) {
    size_t length = strlen(directory);
    const char *between = length > 0 && directory[length - 1] != '/' ? "/" : "";
    int need = snprintf(out, PATH_SIZE, "%s%s%s", directory, between, name);
    if (need >= 0 && need < PATH_SIZE) return ST_OK;
    return status_fail(ST_USAGE, "path is longer than %d bytes: %s/%s", PATH_SIZE - 1, directory,
                       name);
}

status file_refuse_link(const char *path) {
    struct stat s;
    if (lstat(path, &s) != 0 || !S_ISLNK(s.st_mode)) return ST_OK;
    return status_fail(ST_INTEGRITY, "%s is a symbolic link, where a file is expected", path);
}

static int refuse_one(const char *path, const struct stat *s, int type, struct FTW *at) {
    (void)s, (void)at;
    return type == FTW_SL ? (int)file_refuse_link(path) : 0;
}

status file_refuse_links_below(const char *path) {
    int result = nftw(path, refuse_one, OPEN_DIRECTORIES, FTW_PHYS);
    if (result > 0) return (status)result; /* refuse_one() has set the message */
    return result < 0 && errno != ENOENT ? storage("list", path) : ST_OK;
}

bool file_exists(const char *path) {
    struct stat s;
    return stat(path, &s) == 0;
}

static status write_all(int fd, const char *data, int64_t bytes, const char *path) {
    while (bytes > 0) {
        ssize_t n = write(fd, data, bytes < PIECE ? (size_t)bytes : PIECE);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return storage("write", path);
        activity_progress();
        data += n;
        bytes -= n;
    }
    return ST_OK;
}

/* Some network file systems do not support fsync of a directory (EINVAL). */
status file_sync(const char *path) {
    status st = ST_OK;
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return storage("open", path);
    if (fstat(fd, &s) != 0) TRY(storage("inspect", path));
    if (fsync(fd) != 0 && !(errno == EINVAL && S_ISDIR(s.st_mode))) TRY(storage("fsync", path));
done:
    if (close(fd) != 0 && st == ST_OK) st = storage("close", path);
    return st;
}

/* The directory that contains `path`. */
static status parent_of(const char *path, char directory[PATH_SIZE]) {
    status st = path_join(directory, "", path);
    if (st != ST_OK) return st;
    char *slash = strrchr(directory, '/');
    if (!slash) return path_join(directory, "", ".");
    slash[slash == directory] = 0; /* the parent of "/x" is "/" */
    return ST_OK;
}

/* A new directory is durable only after an fsync of its parent. A parent without read permission
 * (a shared scratch root) cannot be opened and is left out. */
static status make_dir(const char *path) {
    status st = ST_OK;
    struct stat s;
    char parent[PATH_SIZE];
    if (mkdir(path, 0777) != 0) {
        int reason = errno; /* EROFS and EACCES are also reported for existing directories */
        if (stat(path, &s) == 0 && S_ISDIR(s.st_mode)) return ST_OK;
        errno = reason;
        return storage("make the directory", path);
    }
    TRY(parent_of(path, parent));
    if (access(parent, R_OK) == 0) TRY(file_sync(parent));
done:
    return st;
}

status file_make_dirs(const char *path) {
    status st;
    char part[PATH_SIZE];
    TRY(path_join(part, "", path));
    for (char *at = part + 1; part[0] && *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        TRY(make_dir(part));
        *at = '/';
    }
    TRY(make_dir(part));
done:
    return st;
}

status file_publish(const char *temporary, const char *path) {
    status st;
    char directory[PATH_SIZE];
    TRY(file_sync(temporary));
    if (rename(temporary, path) != 0)
        TRY(status_fail(ST_STORAGE, "%s: cannot rename %s to it: %s", path, temporary,
                        strerror(errno)));
    TRY(parent_of(path, directory));
    TRY(file_sync(directory));
done:
    return st;
}

status file_write_synced(const char *path, const void *data, int64_t bytes) {
    status st;
    /* A new file: what has its name, be it a link, is left alone but loses the name. */
    if (unlink(path) != 0 && errno != ENOENT) return storage("replace", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) return storage("create", path);
    TRY(write_all(fd, data, bytes, path));
    if (fsync(fd) != 0) TRY(storage("fsync", path));
    int closed = close(fd);
    fd = -1;
    if (closed != 0) TRY(storage("close", path));
done:
    if (fd >= 0) close(fd); /* only after a failure, which is what is reported */
    return st;
}

status file_write_atomic(const char *path, const void *data, int64_t bytes) {
    status st;
    char temporary[PATH_SIZE];
    int length = snprintf(temporary, sizeof temporary, "%s.tmp.%ld", path, (long)getpid());
    if (length < 0 || length >= PATH_SIZE)
        return status_fail(ST_USAGE, "path is longer than %d bytes: %s", PATH_SIZE - 1, path);
    TRY(file_write_synced(temporary, data, bytes));
    TRY(file_publish(temporary, path));
done:
    if (st != ST_OK) unlink(temporary);
    return st;
}

status file_remove_temporaries(const char *directory) {
    status st = ST_OK;
    char path[PATH_SIZE];
    struct dirent *entry;
    DIR *d = opendir(directory);
    if (!d) return errno == ENOENT ? ST_OK : storage("list", directory);
    while (errno = 0, (entry = readdir(d))) {
        if (!strstr(entry->d_name, ".tmp.")) continue;
        TRY(path_join(path, directory, entry->d_name));
        TRY(file_remove_tree(path));
    }
    if (errno != 0) st = storage("list", directory);
done:
    closedir(d);
    return st;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *at) {
    (void)s, (void)at;
    if (type == FTW_DNR) return (int)storage("list", path);
    if (remove(path) == 0 || errno == ENOENT) return 0;
    return (int)storage("remove", path);
}

status file_remove_tree(const char *path) {
    int result = nftw(path, remove_one, OPEN_DIRECTORIES, FTW_DEPTH | FTW_PHYS);
    if (result > 0) return (status)result; /* remove_one() has set the message */
    if (result < 0 && errno != ENOENT) return storage("remove", path);
    return ST_OK;
}

/* The file is empty if its holder could not write its name. */
static status locked_by_another(const char *path, int fd) {
    char holder[320] = "";
    ssize_t n = read(fd, holder, sizeof holder - 1);
    holder[n > 0 ? n : 0] = 0;
    return status_fail(ST_USAGE, "%s: in use by %s; wait until it has ended, or end it", path,
                       holder[0] ? holder : "another process");
}

/* Ranks of a killed mpirun end with a delay: a run that is restarted at once waits for them.
 * Returns 0, or -1 with errno. */
static int lock_with_retries(int fd) {
    const struct timespec tenth = {.tv_nsec = 100000000};
    int got = -1;
    for (int tries = 0; tries < 100; tries++) {
        got = flock(fd, LOCK_EX | LOCK_NB);
        if (got == 0 || errno != EWOULDBLOCK) break;
        nanosleep(&tenth, NULL);
    }
    return got;
}

status file_lock(const char *path, int *lock) {
    char host[256] = "", text[320];
    *lock = -1;
    status link = file_refuse_link(path);
    if (link != ST_OK) return link;
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) return storage("open", path);
    if (lock_with_retries(fd) != 0) {
        status st = errno == EWOULDBLOCK ? locked_by_another(path, fd) : ST_OK;
        close(fd);
        return st;
    }
    (void)gethostname(host, sizeof host - 1);
    int length = snprintf(text, sizeof text, "process %ld on %s", (long)getpid(), host);
    if (ftruncate(fd, 0) != 0 || write(fd, text, (size_t)length) != length) {
        status st = storage("write", path);
        close(fd);
        return st;
    }
    *lock = fd;
    return ST_OK;
}

/* Truncated, not removed: another process may have it open and wait for the lock. */
void file_unlock(int lock) {
    if (lock < 0) return;
    (void)!ftruncate(lock, 0);
    close(lock);
}

/* O_NONBLOCK: without it open() would wait for a writer of a FIFO, which is refused below. */
static status open_to_read(const char *path, int *fd, int64_t *bytes) {
    struct stat s;
    *fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0) return status_fail(ST_INPUT, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(*fd, &s) == 0 && S_ISREG(s.st_mode)) {
        *bytes = s.st_size;
        return ST_OK;
    }
    close(*fd);
    *fd = -1;
    return status_fail(ST_INPUT, "%s: not a regular file", path);
}

/* Reads up to `bytes` bytes; *got is smaller only at the end of the file. */
static status read_some(int fd, char *data, int64_t bytes, int64_t *got, const char *path) {
    *got = 0;
    while (*got < bytes) {
        int64_t left = bytes - *got;
        ssize_t n = read(fd, data + *got, left < PIECE ? (size_t)left : PIECE);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return status_fail(ST_INPUT, "%s: cannot read: %s", path, strerror(errno));
        if (n == 0) break;
        activity_progress();
        *got += n;
    }
    return ST_OK;
}

status file_read(const char *path, int64_t max_bytes, char **data, int64_t *bytes) {
    status st;
    int fd = -1;
    int64_t size = 0, got = 0;
    char *text = NULL;
    *data = NULL;
    TRY(open_to_read(path, &fd, &size));
    if (size > max_bytes)
        TRY(status_fail(ST_INPUT, "%s: %" PRId64 " bytes, more than the %" PRId64 " allowed here",
                        path, size, max_bytes));
    TRY(array_alloc(&text, size + 1, 1, path));
    TRY(read_some(fd, text, size, &got, path));
    if (got != size) TRY(status_fail(ST_INPUT, "%s: became shorter while it was read", path));
    *data = text;
    *bytes = size;
    text = NULL;
done:
    free(text);
    if (fd >= 0) close(fd);
    return st;
}

status file_size(const char *path, int64_t *bytes) {
    struct stat s;
    if (stat(path, &s) != 0)
        return status_fail(ST_INPUT, "%s: cannot inspect: %s", path, strerror(errno));
    if (!S_ISREG(s.st_mode)) return status_fail(ST_INPUT, "%s: not a regular file", path);
    *bytes = s.st_size;
    return ST_OK;
}

static status hash_end(EVP_MD_CTX *hash, char hex[SHA256_HEX]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (!EVP_DigestFinal_ex(hash, digest, &length) || length != (SHA256_HEX - 1) / 2)
        return status_fail(ST_INTERNAL, "OpenSSL gives no SHA-256");
    for (unsigned i = 0; i < length; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return ST_OK;
}

static status hash_begin(EVP_MD_CTX **hash) {
    *hash = EVP_MD_CTX_new();
    if (*hash && EVP_DigestInit_ex(*hash, EVP_sha256(), NULL)) return ST_OK;
    return status_fail(ST_INTERNAL, "OpenSSL offers no SHA-256");
}

static status hash_add(EVP_MD_CTX *hash, const void *data, int64_t bytes) {
    if (EVP_DigestUpdate(hash, data, (size_t)bytes)) return ST_OK;
    return status_fail(ST_INTERNAL, "OpenSSL failed in SHA-256");
}

status file_sha256(const char *path, char hex[SHA256_HEX]) {
    status st;
    int fd = -1;
    int64_t size = 0, got = 0;
    char *buffer = NULL;
    EVP_MD_CTX *hash = NULL;
    TRY(open_to_read(path, &fd, &size));
    TRY(array_alloc(&buffer, HASH_BUFFER, 1, "hashing"));
    TRY(hash_begin(&hash));
    do {
        TRY(read_some(fd, buffer, HASH_BUFFER, &got, path));
        TRY(hash_add(hash, buffer, got));
    } while (got == HASH_BUFFER);
    TRY(hash_end(hash, hex));
done:
    EVP_MD_CTX_free(hash);
    free(buffer);
    if (fd >= 0) close(fd);
    return st;
}

status bytes_sha256(const void *data, int64_t bytes, char hex[SHA256_HEX]) {
    status st;
    EVP_MD_CTX *hash = NULL;
    TRY(hash_begin(&hash));
    TRY(hash_add(hash, data, bytes));
    TRY(hash_end(hash, hex));
done:
    EVP_MD_CTX_free(hash);
    return st;
}
