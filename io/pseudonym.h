/* Pseudonyms of patients and series: HMAC-SHA-256 (RFC 2104) under a secret key.
 *
 * A plain hash of a patient ID hides nothing: all IDs of seven digits are tried in seconds. Only
 * who has the key can tell which ID is behind a pseudonym, or that two archives show one person.
 * The key is a file of 32 random bytes, for its owner alone (0600), outside of the run directory,
 * which may be passed on. Runs with one key give one patient one pseudonym; a lost key cannot be
 * replaced.
 */
#ifndef CTAUG_IO_PSEUDONYM_H
#define CTAUG_IO_PSEUDONYM_H

#include "io/comm.h"
#include "io/file.h"
#include "io/volume.h"

enum { PSEUDONYM_KEY = 32 };

typedef struct pseudonym_key {
    unsigned char bytes[PSEUDONYM_KEY];
} pseudonym_key;

/* HMAC-SHA-256 in lower-case hexadecimal. Local. */
status hmac_sha256(const void *key, int64_t key_bytes, const void *data, int64_t bytes,
                   char hex[SHA256_HEX]);

/* The file that holds the key if the study names none: $XDG_CONFIG_HOME/ctaug/pseudonym.key, or
 * ~/.config/ctaug/pseudonym.key. ST_USAGE if neither variable is set. Local. */
status pseudonym_key_place(char path[PATH_SIZE]);

/* The key in the file `path`, on every rank. Rank 0 reads it; if there is no such file, rank 0
 * makes it, with its folder, and sets *made on every rank. Of several programs that make it at
 * once, one does, and all use its key. ST_USAGE, never with anything of the key in the message: the
 * file lies in `run_directory`, is readable or writable for others than its owner, belongs to
 * somebody else, or has not 32 bytes. The caller clears *out by pseudonym_key_forget(). Collective.
 */
status pseudonym_key_open(const comm *c, const char *path, const char *run_directory,
                          pseudonym_key *out, bool *made);
void pseudonym_key_forget(pseudonym_key *key);

/* "p-" + 16 hexadecimal digits for the person (io/patients.h) + "-" + 8 for the series. Local. */
status pseudonym_make(const pseudonym_key *key, const char *person, const char *series_uid,
                      char out[VOLUME_ID]);

#endif
