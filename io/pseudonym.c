/* The key file and the HMAC of pseudonyms. A new key is written under a temporary name and linked
 * to its own, which fails if another program was first: a key is never replaced. */
#include "io/pseudonym.h"

#include "io/real_path.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

status hmac_sha256(const void *key, int64_t key_bytes, const void *data, int64_t bytes,
                   char hex[SHA256_HEX]) {
    unsigned char code[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    if (key_bytes < 0 || key_bytes > INT32_MAX || bytes < 0 ||
        !HMAC(EVP_sha256(), key, (int)key_bytes, data, (size_t)bytes, code, &length) ||
        2 * length + 1 != SHA256_HEX)
        return status_fail(ST_INTERNAL, "OpenSSL failed in HMAC-SHA-256");
    for (unsigned int i = 0; i < length; i++) snprintf(hex + 2 * (size_t)i, 3, "%02x", code[i]);
    return ST_OK;
}

status pseudonym_key_place(char path[PATH_SIZE]) {
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && config[0] == '/') return path_join(path, config, "ctaug/pseudonym.key");
    if (home && home[0] == '/') return path_join(path, home, ".config/ctaug/pseudonym.key");
    return status_fail(ST_USAGE, "ingest.key is empty, and there is no home folder (HOME) for the "
                                 "key of pseudonyms: name a file outside of the run directory");
}

/* ST_USAGE if the key would lie where the run is. */
static status check_place(const char *path, const char *run_directory) {
    char key[PATH_SIZE], run[PATH_SIZE];
    status st;
    TRY(real_path(path, key));
    TRY(real_path(run_directory, run));
    if (real_path_is_in(key, run))
        TRY(status_fail(ST_USAGE,
                        "ingest.key, %s: the key of the pseudonyms must lie outside of the run "
                        "directory, which may be passed on: name another place",
                        path));
done:
    return st;
}

/* ST_USAGE unless the open file is for its owner alone. */
static status check_file(int fd, const char *path) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return status_fail(ST_STORAGE, "%s: cannot be read: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode) || info.st_size != PSEUDONYM_KEY)
        return status_fail(ST_USAGE,
                           "ingest.key, %s: not a key of pseudonyms, which is a file of %d bytes: "
                           "name another file, or one that is not there to have it made",
                           path, PSEUDONYM_KEY);
    if (info.st_uid != geteuid())
        return status_fail(ST_USAGE, "ingest.key, %s: it belongs to another user", path);
    if (info.st_mode & (S_IRWXG | S_IRWXO))
        return status_fail(ST_USAGE,
                           "ingest.key, %s: others can open it (mode %04o), and with it tell who "
                           "the patients are: chmod 600 it, or make a new one if they did",
                           path, (unsigned)info.st_mode & 07777);
    return ST_OK;
}

static status read_key(const char *path, pseudonym_key *out) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return status_fail(ST_USAGE, "ingest.key, %s: cannot be opened: %s", path, strerror(errno));
    status st = check_file(fd, path);
    if (st == ST_OK && read(fd, out->bytes, sizeof out->bytes) != (ssize_t)sizeof out->bytes)
        st = status_fail(ST_STORAGE, "%s: cannot be read", path);
    close(fd);
    return st;
}

/* Writes a new key to the file `temporary`. */
static status write_key(const char *temporary) {
    pseudonym_key key;
    status st = ST_OK;
    int fd = -1;
    if (getrandom(key.bytes, sizeof key.bytes, 0) != (ssize_t)sizeof key.bytes)
        TRY(status_fail(ST_INTERNAL, "no random numbers for the key: %s", strerror(errno)));
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0 || write(fd, key.bytes, sizeof key.bytes) != (ssize_t)sizeof key.bytes)
        st = status_fail(ST_STORAGE, "%s: cannot be written: %s", temporary, strerror(errno));
    if (fd >= 0 && close(fd) != 0 && st == ST_OK)
        st = status_fail(ST_STORAGE, "%s: cannot be closed: %s", temporary, strerror(errno));
    TRY(st);
    TRY(file_sync(temporary));
done:
    pseudonym_key_forget(&key);
    return st;
}

static status make_key(const char *path, bool *made) {
    char folder[PATH_SIZE], temporary[PATH_SIZE + 32];
    status st;
    TRY(path_join(folder, "", path));
    char *slash = strrchr(folder, '/');
    if (slash == folder)
        slash[1] = 0;
    else if (slash)
        *slash = 0;
    else
        snprintf(folder, sizeof folder, ".");
    TRY(file_make_dirs(folder));
    snprintf(temporary, sizeof temporary, "%s.tmp.%ld", path, (long)getpid());
    st = write_key(temporary);
    if (st == ST_OK) {
        *made = link(temporary, path) == 0;
        if (!*made && errno != EEXIST)
            st = status_fail(ST_STORAGE, "%s: cannot be made: %s", path, strerror(errno));
    }
    unlink(temporary);
    if (st == ST_OK) st = file_sync(folder);
done:
    return st;
}

/* Rank 0's part of pseudonym_key_open(). */
static status open_local(const char *path, const char *run_directory, pseudonym_key *out,
                         bool *made) {
    status st;
    TRY(check_place(path, run_directory));
    if (!file_exists(path)) TRY(make_key(path, made));
    TRY(read_key(path, out));
done:
    return st;
}

status pseudonym_key_open(const comm *c, const char *path, const char *run_directory,
                          pseudonym_key *out, bool *made) {
    status st = ST_OK;
    *made = false;
    if (comm_rank(c) == 0) st = open_local(path, run_directory, out, made);
    TRY(comm_agree(c, st));
    TRY(comm_broadcast(c, out, sizeof *out, 0));
    TRY(comm_broadcast(c, made, sizeof *made, 0));
done:
    if (st != ST_OK) pseudonym_key_forget(out);
    return st;
}

void pseudonym_key_forget(pseudonym_key *key) { OPENSSL_cleanse(key, sizeof *key); }

/* The kind keeps a patient and a series of the same text apart. */
static status keyed(const pseudonym_key *key, const char *kind, const char *text,
                    char hex[SHA256_HEX]) {
    char message[PATH_SIZE];
    const int length = snprintf(message, sizeof message, "%s\n%s", kind, text);
    if (length < 0 || length >= (int)sizeof message)
        return status_fail(ST_INTERNAL, "an identifier is longer than %zu bytes", sizeof message);
    return hmac_sha256(key->bytes, sizeof key->bytes, message, length, hex);
}

status pseudonym_make(const pseudonym_key *key, const char *person, const char *series_uid,
                      char out[VOLUME_ID]) {
    char patient[SHA256_HEX], series[SHA256_HEX];
    status st;
    TRY(keyed(key, "patient", person, patient));
    TRY(keyed(key, "series", series_uid, series));
    snprintf(out, VOLUME_ID, "p-%.16s-%.8s", patient, series);
done:
    return st;
}
