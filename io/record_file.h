/* Record files: many records of the same form in one HDF5 file, read one at a time.
 *
 * A file holds a dataset [records, ...] for each field, f32 or u8; chunk = record; shuffle,
 * deflate, Fletcher32. Equal content gives equal bytes. Files are published with a manifest
 * (io/manifest.h), whose hash the caller has compared before it opens one.
 */
#ifndef CTAUG_IO_RECORD_FILE_H
#define CTAUG_IO_RECORD_FILE_H

#include "io/status.h"

#include <stdbool.h>

enum { RECORD_RANK = 3, RECORD_FIELDS = 4 };

typedef struct record_field {
    const char *name;
    bool bytes;                 /* u8; otherwise f32 */
    int64_t shape[RECORD_RANK]; /* of a record, all positive; 1 where it has fewer axes */
} record_field;

/* Writes `records` records, over an old file and with an fsync. data[i]: those of field i, one
 * behind the other. Local. */
status record_file_write(const char *path, const record_field *fields, int n, int64_t records,
                         const void *const *data);

typedef struct record_file record_file;

/* Opens a file. ST_INTEGRITY unless it has these fields with this number of records. `fields` must
 * outlive *out. The caller calls record_file_close(). Local. */
status record_file_open(const char *path, const record_field *fields, int n, int64_t records,
                        record_file **out);
void record_file_close(record_file *f);

/* Reads record i (0..records-1): field k into data[k], which has room for it. ST_INTEGRITY if it is
 * damaged. Local. */
status record_file_read(record_file *f, int64_t i, void *const *data);

#endif
