/* HDF5 calls with every return value checked; the error stack of HDF5 becomes one line of text. */
#include "io/store_hdf5.h"
#include "io/alloc.h"
#include "io/file.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { RANK_MAX = 4, DEFLATE = 4, IMAGE_GROWTH = 16 << 20 /* bytes */ };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void hdf5_lock(void) { pthread_mutex_lock(&lock); }
void hdf5_unlock(void) { pthread_mutex_unlock(&lock); }

static herr_t keep_innermost(unsigned n, const H5E_error2_t *error, void *out) {
    if (n == 0 && error->desc) snprintf(out, 256, "%s", error->desc);
    return 0;
}

status hdf5_check(int64_t result, status code, const char *path, const char *what) {
    char reason[256] = "no reason given";
    if (result >= 0) return ST_OK;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, reason);
    /* The file driver embeds strerror() in a line of numbers: "... error message = 'No space left
     * on device', buf = ...". */
    static const char key[] = "error message = '";
    char *system_error = strstr(reason, key);
    if (system_error) {
        system_error += sizeof key - 1;
        system_error[strcspn(system_error, "'")] = 0;
    }
    return status_fail(code, "%s: cannot %s: %s", path, what, system_error ? system_error : reason);
}

/* Sets the state of the library that these files rely on: it prints no errors and loads no plugins
 * (code from paths in the environment). Repeated for each file because error stacks are per
 * thread. */
static status configure(const char *path) {
    status st;
    TRY(hdf5_check(H5Eset_auto2(H5E_DEFAULT, NULL, NULL), ST_INTERNAL, path, "silence HDF5"));
    TRY(hdf5_check(H5PLset_loading_state(0), ST_INTERNAL, path, "turn off plugins"));
done:
    return st;
}

/* File access: latest format, no file locks (published files do not change). */
static status make_access(const char *path, hid_t *access) {
    status st;
    TRY(hdf5_check(*access = H5Pcreate(H5P_FILE_ACCESS), ST_INTERNAL, path, "prepare"));
    TRY(hdf5_check(H5Pset_libver_bounds(*access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST), ST_INTERNAL,
                   path, "choose the format"));
#if H5_VERSION_GE(1, 10, 7)
    TRY(hdf5_check(H5Pset_file_locking(*access, false, true), ST_INTERNAL, path, "unlock"));
#endif
done:
    return st;
}

/* Creation properties of an object without times. */
static status make_without_times(hid_t class, const char *path, hid_t *list) {
    status st;
    TRY(hdf5_check(*list = H5Pcreate(class), ST_INTERNAL, path, "prepare"));
    TRY(hdf5_check(H5Pset_obj_track_times(*list, false), ST_INTERNAL, path, "leave out times"));
done:
    return st;
}

static void close_list(hid_t list) {
    if (list >= 0) H5Pclose(list);
}

/* ---- files built in memory ----
 *
 * HDF5's core driver keeps a file in memory that these callbacks manage. When HDF5 closes the file
 * the image is complete, and stays with us instead of being freed. */

typedef struct image {
    unsigned char *at;
    size_t room;
} image;

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *context) {
    (void)op;
    image *i = context;
    void *at = malloc(size);
    if (at) *i = (image){at, size};
    return at;
}

static void *image_realloc(void *old, size_t size, H5FD_file_image_op_t op, void *context) {
    (void)op;
    image *i = context;
    void *at = realloc(old, size);
    if (at) *i = (image){at, size};
    return at;
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t op,
                          void *context) {
    (void)op, (void)context;
    return memcpy(to, from, size);
}

static herr_t image_keep(void *at, H5FD_file_image_op_t op, void *context) {
    (void)at, (void)op, (void)context;
    return 0;
}

static void *context_copy(void *context) { return context; }
static herr_t context_keep(void *context) {
    (void)context;
    return 0;
}

static status build_in_memory(const char *path, hid_t access, image *i) {
    status st;
    H5FD_file_image_callbacks_t calls = {.image_malloc = image_malloc,
                                         .image_memcpy = image_memcpy,
                                         .image_realloc = image_realloc,
                                         .image_free = image_keep,
                                         .udata_copy = context_copy,
                                         .udata_free = context_keep,
                                         .udata = i};
    TRY(hdf5_check(H5Pset_fapl_core(access, IMAGE_GROWTH, false), ST_INTERNAL, path,
                   "build it in memory"));
    TRY(hdf5_check(H5Pset_file_image_callbacks(access, &calls), ST_INTERNAL, path,
                   "build it in memory"));
done:
    return st;
}

/* Images of the files that are open for writing. HDF5 does not hand our context out again, so they
 * are found by the file's identifier. Under hdf5_lock(), as all here. */
static struct open_image {
    hid_t file;
    image *image;
    struct open_image *next;
} * open_images;

/* Takes the image of a file out of the list; NULL if the file is not open for writing. */
static image *take_image(hid_t file) {
    for (struct open_image **link = &open_images; *link; link = &(*link)->next) {
        struct open_image *found = *link;
        if (found->file != file) continue;
        image *i = found->image;
        *link = found->next;
        free(found);
        return i;
    }
    return NULL;
}

/* Bytes of the complete file: the end-of-file address of its superblock (File Format Specification
 * 3.0, II.A, versions 2 and 3); -1 if it has none. */
static int64_t image_bytes(const image *i) {
    enum { VERSION = 8, OFFSET_SIZE = 9, END = 28, SUPERBLOCK = 48 };
    uint64_t end = 0;
    if (!i->at || i->room < SUPERBLOCK || i->at[VERSION] < 2 || i->at[OFFSET_SIZE] != sizeof end)
        return -1;
    for (int k = 7; k >= 0; k--) end = end << 8 | i->at[END + k];
    return end <= i->room ? (int64_t)end : -1;
}

static void image_free(image *i) {
    if (!i) return;
    free(i->at);
    free(i);
}

void hdf5_drop(hid_t *file) {
    if (*file < 0) return;
    image *i = take_image(*file);
    H5Fclose(*file);
    image_free(i);
    *file = -1;
}

status hdf5_create(const char *path, hid_t *file) {
    status st;
    hid_t access = -1, creation = -1;
    image *i = NULL;
    struct open_image *entry = NULL;
    *file = -1;
    TRY(configure(path));
    TRY(array_alloc(&entry, 1, sizeof *entry, path));
    TRY(array_alloc(&i, 1, sizeof *i, path));
    TRY(make_access(path, &access));
    TRY(build_in_memory(path, access, i));
    TRY(make_without_times(H5P_FILE_CREATE, path, &creation));
    TRY(hdf5_check(*file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access), ST_STORAGE, path,
                   "create"));
    *entry = (struct open_image){*file, i, open_images};
    open_images = entry;
    entry = NULL;
    i = NULL;
done:
    free(entry);
    image_free(i);
    close_list(creation);
    close_list(access);
    return st;
}

/* Stops at the first link that is not a hard link and copies its name. */
static herr_t find_other_link(hid_t group, const char *name, const H5L_info_t *info, void *found) {
    (void)group;
    if (info->type == H5L_TYPE_HARD) return 0;
    snprintf(found, 128, "%s", name);
    return 1;
}

status hdf5_open(const char *path, hid_t *file) {
    status st;
    hid_t access = -1;
    char found[128] = "";
    herr_t visited;
    *file = -1;
    TRY(configure(path));
    TRY(make_access(path, &access));
    TRY(hdf5_check(*file = H5Fopen(path, H5F_ACC_RDONLY, access), ST_INTEGRITY, path, "open"));
    visited = H5Lvisit(*file, H5_INDEX_NAME, H5_ITER_NATIVE, find_other_link, found);
    TRY(hdf5_check(visited, ST_INTEGRITY, path, "list its links"));
    if (visited > 0)
        TRY(status_fail(ST_INTEGRITY, "%s: \"%s\" is a soft or external link, which is refused",
                        path, found));
done:
    close_list(access);
    if (st != ST_OK && *file >= 0) {
        H5Fclose(*file);
        *file = -1;
    }
    return st;
}

status hdf5_finish(hid_t *file, const char *path) {
    status st;
    hid_t closing = *file;
    image *i = take_image(closing);
    *file = -1;
    TRY(hdf5_check(H5Fclose(closing), ST_INTERNAL, path, "build it in memory"));
    if (!i || image_bytes(i) < 0)
        TRY(status_fail(ST_INTERNAL, "%s: HDF5 built no complete file in memory", path));
    TRY(file_write_synced(path, i->at, image_bytes(i)));
done:
    image_free(i);
    return st;
}

status hdf5_make_group(hid_t at, const char *name, const char *path, hid_t *group) {
    status st;
    hid_t creation = -1;
    *group = -1;
    TRY(make_without_times(H5P_GROUP_CREATE, path, &creation));
    TRY(hdf5_check(*group = H5Gcreate2(at, name, H5P_DEFAULT, creation, H5P_DEFAULT), ST_STORAGE,
                   path, "make a group"));
done:
    close_list(creation);
    return st;
}

static status set_chunks(hid_t creation, int rank, const hsize_t *chunk, const char *path) {
    status st;
    TRY(hdf5_check(H5Pset_chunk(creation, rank, chunk), ST_INTERNAL, path, "choose chunks"));
    TRY(hdf5_check(H5Pset_shuffle(creation), ST_INTERNAL, path, "use shuffle"));
    TRY(hdf5_check(H5Pset_deflate(creation, DEFLATE), ST_INTERNAL, path, "use deflate"));
    TRY(hdf5_check(H5Pset_fletcher32(creation), ST_INTERNAL, path, "use Fletcher32"));
done:
    return st;
}

static status make_space(int rank, const hsize_t *shape, const char *path, hid_t *space) {
    *space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, shape, NULL);
    return hdf5_check(*space, ST_INTERNAL, path, "describe a shape");
}

/* A new dataset without content. */
static status make_dataset(hid_t at, const char *name, hid_t type, int rank, const hsize_t *shape,
                           const hsize_t *chunk, const char *path, hid_t *dataset) {
    status st;
    hid_t creation = -1, space = -1;
    *dataset = -1;
    TRY(make_without_times(H5P_DATASET_CREATE, path, &creation));
    if (chunk) TRY(set_chunks(creation, rank, chunk, path));
    TRY(make_space(rank, shape, path, &space));
    TRY(hdf5_check(*dataset = H5Dcreate2(at, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT),
                   ST_STORAGE, path, "make a dataset"));
done:
    if (space >= 0) H5Sclose(space);
    close_list(creation);
    return st;
}

/* Closes it, which flushes its chunks, whatever `st`. */
static status close_dataset(hid_t dataset, status st, const char *path) {
    if (dataset >= 0 && H5Dclose(dataset) < 0 && st == ST_OK)
        st = hdf5_check(-1, ST_STORAGE, path, "write");
    return st;
}

status hdf5_write_dataset(hid_t at, const char *name, hid_t type, hid_t memory, int rank,
                          const hsize_t *shape, const hsize_t *chunk, const void *data,
                          const char *path) {
    status st;
    hid_t dataset = -1;
    TRY(make_dataset(at, name, type, rank, shape, chunk, path, &dataset));
    TRY(hdf5_check(H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), ST_STORAGE, path,
                   "write"));
done:
    return close_dataset(dataset, st, path);
}

status hdf5_write_packed(hid_t at, const char *name, hid_t type, int rank, const hsize_t *shape,
                         const hsize_t *chunk, const int64_t *sizes, const uint8_t *bytes,
                         const char *path) {
    status st;
    hid_t dataset = -1;
    hsize_t offset[RANK_MAX] = {0};
    TRY(make_dataset(at, name, type, rank, shape, chunk, path, &dataset));
    for (hsize_t k = 0; k < shape[0]; bytes += sizes[k++]) {
        offset[0] = k;
        TRY(hdf5_check(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, offset, (size_t)sizes[k], bytes),
                       ST_STORAGE, path, "write"));
    }
done:
    return close_dataset(dataset, st, path);
}

status hdf5_put_attribute(hid_t object, const char *name, hid_t type, hid_t memory, int rank,
                          const hsize_t *shape, const void *data, const char *path) {
    status st;
    hid_t space = -1, attribute = -1;
    TRY(make_space(rank, shape, path, &space));
    TRY(hdf5_check(attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT),
                   ST_STORAGE, path, "make an attribute"));
    TRY(hdf5_check(H5Awrite(attribute, memory, data), ST_STORAGE, path, "write an attribute"));
    hid_t closing = attribute;
    attribute = -1;
    TRY(hdf5_check(H5Aclose(closing), ST_STORAGE, path, "write an attribute"));
done:
    if (attribute >= 0) H5Aclose(attribute);
    if (space >= 0) H5Sclose(space);
    return st;
}

static bool space_is(hid_t space, int rank, const hsize_t *shape) {
    hsize_t found[RANK_MAX] = {0};
    if (H5Sis_simple(space) <= 0 || H5Sget_simple_extent_ndims(space) != rank) return false;
    if (H5Sget_simple_extent_type(space) == H5S_NULL) return false;
    if (rank == 0) return true;
    if (H5Sget_simple_extent_dims(space, found, NULL) != rank) return false;
    return memcmp(found, shape, (size_t)rank * sizeof *found) == 0;
}

status hdf5_get_attribute(hid_t object, const char *name, hid_t memory, int rank,
                          const hsize_t *shape, void *data, const char *path) {
    status st;
    hid_t attribute = -1, space = -1;
    TRY(hdf5_check(attribute = H5Aopen(object, name, H5P_DEFAULT), ST_INTEGRITY, path,
                   "find an attribute"));
    TRY(hdf5_check(space = H5Aget_space(attribute), ST_INTEGRITY, path, "read an attribute"));
    if (!space_is(space, rank, shape))
        TRY(status_fail(ST_INTEGRITY, "%s: attribute \"%s\" has another shape", path, name));
    TRY(hdf5_check(H5Aread(attribute, memory, data), ST_INTEGRITY, path, "read an attribute"));
done:
    if (space >= 0) H5Sclose(space);
    if (attribute >= 0) H5Aclose(attribute);
    return st;
}

const char *store_library_version(void) {
    static _Thread_local char text[64];
    unsigned major = 0, minor = 0, release = 0;
    hdf5_lock();
    herr_t known = H5get_libversion(&major, &minor, &release);
    hdf5_unlock();
    if (known < 0) return "";
    snprintf(text, sizeof text, "HDF5 %u.%u.%u", major, minor, release);
    return text;
}

/* Whether the layout and filters are those of hdf5_write_dataset(). */
static bool layout_is(hid_t creation, int rank, const hsize_t *chunk) {
    static const H5Z_filter_t known[] = {H5Z_FILTER_SHUFFLE, H5Z_FILTER_DEFLATE,
                                         H5Z_FILTER_FLETCHER32};
    hsize_t found[RANK_MAX] = {0};
    int filters = H5Pget_nfilters(creation);
    if (!chunk)
        return H5Pget_layout(creation) == H5D_CONTIGUOUS && filters == 0 &&
               H5Pget_external_count(creation) == 0;
    if (H5Pget_layout(creation) != H5D_CHUNKED || filters != 3) return false;
    if (H5Pget_chunk(creation, rank, found) != rank) return false;
    for (unsigned k = 0; k < 3; k++) {
        unsigned flags = 0, configuration = 0;
        size_t values = 0;
        if (H5Pget_filter2(creation, k, &flags, &values, NULL, 0, NULL, &configuration) != known[k])
            return false;
    }
    return memcmp(found, chunk, (size_t)rank * sizeof *found) == 0;
}

status hdf5_check_dataset(hid_t dataset, const char *name, hid_t type, int rank,
                          const hsize_t *shape, const hsize_t *chunk, const char *path) {
    status st;
    hid_t space = -1, found = -1, creation = -1;
    TRY(hdf5_check(space = H5Dget_space(dataset), ST_INTEGRITY, path, "read a shape"));
    TRY(hdf5_check(found = H5Dget_type(dataset), ST_INTEGRITY, path, "read a type"));
    TRY(hdf5_check(creation = H5Dget_create_plist(dataset), ST_INTEGRITY, path, "read a layout"));
    if (!space_is(space, rank, shape))
        TRY(status_fail(ST_INTEGRITY, "%s: \"%s\" has another shape than expected", path, name));
    if (H5Tequal(found, type) <= 0)
        TRY(status_fail(ST_INTEGRITY, "%s: \"%s\" has another type than expected", path, name));
    if (!layout_is(creation, rank, chunk))
        TRY(status_fail(ST_INTEGRITY, "%s: \"%s\" has another layout or filter than expected", path,
                        name));
done:
    close_list(creation);
    if (found >= 0) H5Tclose(found);
    if (space >= 0) H5Sclose(space);
    return st;
}
