/* Part files: intermediate results of a stage, kept so that a stopped stage can resume.
 *
 * A part is taken again only if it is whole and follows from the same inputs: its header holds the
 * fingerprint of these inputs and the SHA-256 of the content.
 */
#ifndef CTAUG_IO_PART_FILE_H
#define CTAUG_IO_PART_FILE_H

#include "io/file.h"

/* Publishes `bytes` bytes of data under `path`, atomically. Local. */
status part_write(const char *path, const char fingerprint[SHA256_HEX], const void *data,
                  int64_t bytes);

/* Reads a part of exactly `bytes` content bytes into data. ST_INPUT if there is none, ST_INTEGRITY
 * with the reason if it is not whole, was changed, or follows from other inputs: it is then to be
 * recomputed. Local. */
status part_read(const char *path, const char fingerprint[SHA256_HEX], void *data, int64_t bytes);

/* The same for content of any length: *data (free()) and *bytes. Local. */
status part_load(const char *path, const char fingerprint[SHA256_HEX], void **data, int64_t *bytes);

#endif
