/* Datasets of records, written at once and read by hyperslabs of one record. */
#include "io/record_file.h"

#include "io/alloc.h"
#include "io/file.h"
#include "io/store_hdf5.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { AXES = RECORD_RANK + 1 };

struct record_file {
    char path[PATH_SIZE];
    const record_field *fields;
    int n;
    int64_t records;
    hid_t file, dataset[RECORD_FIELDS];
};

static hid_t file_type(const record_field *f) { return f->bytes ? H5T_STD_U8LE : H5T_IEEE_F32LE; }
static hid_t memory_type(const record_field *f) {
    return f->bytes ? H5T_NATIVE_UCHAR : H5T_NATIVE_FLOAT;
}

/* The shape of `records` records. */
static void shape_of(const record_field *f, int64_t records, hsize_t shape[AXES]) {
    shape[0] = (hsize_t)records;
    for (int k = 0; k < RECORD_RANK; k++) shape[k + 1] = (hsize_t)f->shape[k];
}

static status check_fields(const record_field *fields, int n, int64_t records, const char *path) {
    bool good = n >= 1 && n <= RECORD_FIELDS && records >= 1;
    for (int i = 0; good && i < n; i++)
        for (int k = 0; k < RECORD_RANK; k++) good &= fields[i].shape[k] >= 1;
    return good ? ST_OK : status_fail(ST_INTERNAL, "%s: records without a usable shape", path);
}

status record_file_write(const char *path, const record_field *fields, int n, int64_t records,
                         const void *const *data) {
    status st = ST_OK;
    hid_t file = -1;
    hsize_t shape[AXES], chunk[AXES];
    TRY(check_fields(fields, n, records, path));
    hdf5_lock();
    st = hdf5_create(path, &file);
    for (int i = 0; i < n && st == ST_OK; i++) {
        shape_of(&fields[i], records, shape);
        shape_of(&fields[i], 1, chunk);
        st = hdf5_write_dataset(file, fields[i].name, file_type(&fields[i]),
                                memory_type(&fields[i]), AXES, shape, chunk, data[i], path);
    }
    if (st == ST_OK) st = hdf5_finish(&file, path);
    hdf5_drop(&file);
    hdf5_unlock();
done:
    return st;
}

/* Opens dataset i and checks its form. Under the lock. */
static status open_dataset(record_file *f, int i) {
    status st = ST_OK;
    const record_field *field = &f->fields[i];
    hid_t access = -1;
    hsize_t shape[AXES], chunk[AXES];
    shape_of(field, f->records, shape);
    shape_of(field, 1, chunk);
    /* Records are asked for once in a while: HDF5 need not keep them. */
    TRY(hdf5_check(access = H5Pcreate(H5P_DATASET_ACCESS), ST_INTERNAL, f->path, "prepare"));
    TRY(hdf5_check(H5Pset_chunk_cache(access, 1, 0, 1), ST_INTERNAL, f->path, "prepare"));
    TRY(hdf5_check(f->dataset[i] = H5Dopen2(f->file, field->name, access), ST_INTEGRITY, f->path,
                   "open a dataset"));
    TRY(hdf5_check_dataset(f->dataset[i], field->name, file_type(field), AXES, shape, chunk,
                           f->path));
done:
    if (access >= 0) H5Pclose(access);
    return st;
}

status record_file_open(const char *path, const record_field *fields, int n, int64_t records,
                        record_file **out) {
    status st = ST_OK;
    record_file *f = NULL;
    *out = NULL;
    TRY(check_fields(fields, n, records, path));
    TRY(array_alloc(&f, 1, sizeof *f, "a file of records"));
    snprintf(f->path, sizeof f->path, "%s", path);
    f->fields = fields;
    f->n = n;
    f->records = records;
    for (int i = 0; i < RECORD_FIELDS; i++) f->dataset[i] = -1;
    hdf5_lock();
    st = hdf5_open(path, &f->file);
    for (int i = 0; i < n && st == ST_OK; i++) st = open_dataset(f, i);
    hdf5_unlock();
    if (st != ST_OK) goto done;
    *out = f;
    f = NULL;
done:
    record_file_close(f);
    return st;
}

void record_file_close(record_file *f) {
    if (!f) return;
    hdf5_lock();
    for (int i = 0; i < f->n; i++)
        if (f->dataset[i] >= 0) H5Dclose(f->dataset[i]);
    if (f->file >= 0) H5Fclose(f->file);
    hdf5_unlock();
    free(f);
}

/* Reads record i of a field. Under the lock. */
static status read_field(const record_file *f, int k, int64_t i, void *data) {
    status st = ST_OK;
    hid_t all = -1, one = -1;
    hsize_t count[AXES];
    const hsize_t start[AXES] = {(hsize_t)i};
    shape_of(&f->fields[k], 1, count);
    TRY(hdf5_check(all = H5Dget_space(f->dataset[k]), ST_INTEGRITY, f->path, "read a shape"));
    TRY(hdf5_check(H5Sselect_hyperslab(all, H5S_SELECT_SET, start, NULL, count, NULL), ST_INTERNAL,
                   f->path, "select a record"));
    TRY(hdf5_check(one = H5Screate_simple(AXES, count, NULL), ST_INTERNAL, f->path,
                   "describe a record"));
    TRY(hdf5_check(H5Dread(f->dataset[k], memory_type(&f->fields[k]), one, all, H5P_DEFAULT, data),
                   ST_INTEGRITY, f->path, "read a record"));
done:
    if (one >= 0) H5Sclose(one);
    if (all >= 0) H5Sclose(all);
    return st;
}

status record_file_read(record_file *f, int64_t i, void *const *data) {
    status st = ST_OK;
    if (i < 0 || i >= f->records)
        return status_fail(ST_INTERNAL, "%s: record %" PRId64 " of %" PRId64, f->path, i,
                           f->records);
    hdf5_lock();
    for (int k = 0; k < f->n && st == ST_OK; k++) st = read_field(f, k, i, data[k]);
    hdf5_unlock();
    return st;
}
