/* The header is taken apart by the offsets of nifti1.h (NIfTI Data Format Working Group, 2003), in
 * the byte order in which its size is 348. Voxels are read row by row, through zlib, which also
 * passes on what is not compressed: what is allocated follows from a row, and a file that inflates
 * without end costs no memory.
 */
#include "io/nifti_read.h"
#include "io/file.h"
#include "io/printable.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum { HEADER = 348, NIFTI_2 = 540, VOXEL_MAX = 8 };

/* nifti1.h: offsets of the fields that are read. */
enum {
    AT_DIM = 40,
    AT_DATATYPE = 70,
    AT_BITPIX = 72,
    AT_PIXDIM = 76,
    AT_VOX_OFFSET = 108,
    AT_SLOPE = 112,
    AT_INTERCEPT = 116,
    AT_UNITS = 123,
    AT_QFORM = 252,
    AT_SFORM = 254,
    AT_QUATERNION = 256,
    AT_QOFFSET = 268,
    AT_SROW = 280,
    AT_MAGIC = 344
};

/* Cosine of the angle between two axes, at most: rounded cosines. */
static const double SKEW_MAX = 0.005;

typedef enum number_kind { NUMBER_UNSIGNED, NUMBER_SIGNED, NUMBER_FLOAT } number_kind;

static const struct voxel_type {
    int code, bytes;
    number_kind kind;
} TYPES[] = {{2, 1, NUMBER_UNSIGNED},   {256, 1, NUMBER_SIGNED}, {4, 2, NUMBER_SIGNED},
             {512, 2, NUMBER_UNSIGNED}, {8, 4, NUMBER_SIGNED},   {768, 4, NUMBER_UNSIGNED},
             {1024, 8, NUMBER_SIGNED},  {16, 4, NUMBER_FLOAT},   {64, 8, NUMBER_FLOAT},
             {1280, 8, NUMBER_UNSIGNED}};

/* A file whose header was read; the next byte of `stream` is the first voxel. */
typedef struct nifti_file {
    const char *path;
    gzFile stream;
    bool big_endian;
    int64_t shape[3]; /* x y z: the order of the file, x fastest */
    struct voxel_type type;
    double slope, intercept;
    double affine[3][4]; /* from indices (x y z) to LPS, mm */
    unsigned char *row;  /* shape[0] voxels */
} nifti_file;

static bool has_suffix(const char *text, const char *suffix) {
    const size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && strcasecmp(text + length - tail, suffix) == 0;
}

bool nifti_is_name(const char *path) {
    return has_suffix(path, ".nii") || has_suffix(path, ".nii.gz");
}

/* ---- numbers ---- */

static uint64_t load_bits(const unsigned char *at, int bytes, bool big_endian) {
    uint64_t bits = 0;
    for (int i = 0; i < bytes; i++) bits |= (uint64_t)at[big_endian ? bytes - 1 - i : i] << (8 * i);
    return bits;
}

static double load_number(const unsigned char *at, struct voxel_type type, bool big_endian) {
    const uint64_t bits = load_bits(at, type.bytes, big_endian);
    const uint64_t sign = UINT64_C(1) << (8 * type.bytes - 1);
    if (type.kind == NUMBER_UNSIGNED) return (double)bits;
    if (type.kind == NUMBER_SIGNED) return (double)(int64_t)((bits ^ sign) - sign);
    if (type.bytes == 8) {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    const uint32_t low = (uint32_t)bits;
    float value;
    memcpy(&value, &low, sizeof value);
    return value;
}

static int load_short(const nifti_file *f, const unsigned char *header, int at) {
    const struct voxel_type type = {.bytes = 2, .kind = NUMBER_SIGNED};
    return (int)load_number(header + at, type, f->big_endian);
}

static double load_float(const nifti_file *f, const unsigned char *header, int at) {
    const struct voxel_type type = {.bytes = 4, .kind = NUMBER_FLOAT};
    return load_number(header + at, type, f->big_endian);
}

/* ---- header ---- */

/* Exactly `bytes` bytes of the file. */
static status read_bytes(const nifti_file *f, void *out, int64_t bytes) {
    for (int64_t done = 0; done < bytes;) {
        const int64_t left = bytes - done;
        const int n =
            gzread(f->stream, (char *)out + done, left < 1 << 20 ? (unsigned)left : 1 << 20);
        if (n <= 0) {
            int code = 0;
            const char *reason = gzerror(f->stream, &code);
            return status_fail(ST_INPUT, "%s: the file is cut off or damaged%s%s", f->path,
                               code < 0 ? ": " : "", code < 0 ? reason : "");
        }
        done += n;
    }
    return ST_OK;
}

/* The number of dimensions and the first three sides. */
static status read_shape(nifti_file *f, const unsigned char *header) {
    const int dimensions = load_short(f, header, AT_DIM);
    int64_t more = 1;
    if (dimensions < 1 || dimensions > 7)
        return status_fail(ST_INPUT, "%s: it claims %d dimensions", f->path, dimensions);
    for (int k = 1; k <= 7; k++) {
        const int side = k <= dimensions ? load_short(f, header, AT_DIM + 2 * k) : 1;
        if (side < 1) return status_fail(ST_INPUT, "%s: a side of %d voxels", f->path, side);
        if (k <= 3) f->shape[k - 1] = side;
        if (k > 3 && side > 1) more = side;
    }
    if (more > 1)
        return status_fail(ST_INPUT, "%s: a mask of more than three dimensions is not read",
                           f->path);
    return ST_OK;
}

static status read_type(nifti_file *f, const unsigned char *header) {
    const int code = load_short(f, header, AT_DATATYPE), bits = load_short(f, header, AT_BITPIX);
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (TYPES[i].code == code && 8 * TYPES[i].bytes == bits) {
            f->type = TYPES[i];
            return ST_OK;
        }
    return status_fail(ST_INPUT, "%s: voxels of type %d with %d bits are not read as labels",
                       f->path, code, bits);
}

/* The affine of the qform: a rotation, as a unit quaternion a b c d with a >= 0. */
static void affine_of_qform(nifti_file *f, const unsigned char *header) {
    double q[3], step[3];
    for (int i = 0; i < 3; i++) {
        q[i] = load_float(f, header, AT_QUATERNION + 4 * i);
        step[i] = load_float(f, header, AT_PIXDIM + 4 * (1 + i));
        f->affine[i][3] = load_float(f, header, AT_QOFFSET + 4 * i);
    }
    if (load_float(f, header, AT_PIXDIM) < 0) step[2] = -step[2];
    const double b = q[0], c = q[1], d = q[2], a = sqrt(fmax(0, 1 - b * b - c * c - d * d));
    const double r[3][3] = {
        {a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)},
        {2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)},
        {2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c}};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) f->affine[i][j] = r[i][j] * step[j];
}

/* The affine, in mm; nifti1.h has RAS, DICOM LPS. */
static status read_affine(nifti_file *f, const unsigned char *header) {
    enum { UNITS = 7, METRES = 1, MICROMETRES = 3 };
    const int units = header[AT_UNITS] & UNITS;
    const double mm = units == METRES ? 1e3 : units == MICROMETRES ? 1e-3 : 1;
    if (load_short(f, header, AT_SFORM) > 0) {
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 4; j++)
                f->affine[i][j] = load_float(f, header, AT_SROW + 16 * i + 4 * j);
    } else if (load_short(f, header, AT_QFORM) > 0) {
        affine_of_qform(f, header);
    } else {
        return status_fail(ST_INPUT, "%s: neither sform nor qform: no telling where the mask lies",
                           f->path);
    }
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++) {
            f->affine[i][j] *= i < 2 ? -mm : mm;
            if (!isfinite(f->affine[i][j]))
                return status_fail(ST_INPUT, "%s: its affine is not a number", f->path);
        }
    return ST_OK;
}

/* Skips to the first voxel. */
static status skip_to_voxels(nifti_file *f, const unsigned char *header) {
    enum { OFFSET_MAX = 1 << 24 }; /* extensions are small */
    const double offset = load_float(f, header, AT_VOX_OFFSET);
    if (!(offset >= HEADER && offset <= OFFSET_MAX))
        return status_fail(ST_INPUT, "%s: voxels at byte %g", f->path, offset);
    for (int64_t left = (int64_t)offset - HEADER; left > 0;) {
        unsigned char skipped[4096];
        const int64_t n = left < (int64_t)sizeof skipped ? left : (int64_t)sizeof skipped;
        status st = read_bytes(f, skipped, n);
        if (st != ST_OK) return st;
        left -= n;
    }
    return ST_OK;
}

static status read_header(nifti_file *f) {
    status st;
    unsigned char header[HEADER];
    TRY(read_bytes(f, header, HEADER));
    f->big_endian = load_bits(header, 4, true) == HEADER;
    if (load_bits(header, 4, false) == NIFTI_2 || load_bits(header, 4, true) == NIFTI_2)
        TRY(status_fail(ST_INPUT, "%s: NIfTI-2 is not read: convert it to NIfTI-1", f->path));
    if (load_bits(header, 4, f->big_endian) != HEADER || memcmp(header + AT_MAGIC, "n+1", 4) != 0)
        TRY(status_fail(ST_INPUT, "%s: not a NIfTI-1 single file", f->path));
    TRY(read_shape(f, header));
    TRY(read_type(f, header));
    TRY(read_affine(f, header));
    f->slope = load_float(f, header, AT_SLOPE);
    f->intercept = load_float(f, header, AT_INTERCEPT);
    if (f->slope == 0 || !isfinite(f->slope) || !isfinite(f->intercept)) {
        f->slope = 1; /* nifti1.h: 0 means unscaled; nibabel writes NaN for it */
        f->intercept = 0;
    }
    TRY(skip_to_voxels(f, header));
done:
    return st;
}

static void close_file(nifti_file *f) {
    if (f->stream) gzclose(f->stream);
    free(f->row);
}

/* Opens a file up to its first voxel; close_file() in any case. */
static status open_file(const char *path, nifti_file *f) {
    status st;
    int64_t bytes = 0;
    *f = (nifti_file){.path = path};
    TRY(file_size(path, &bytes));
    f->stream = gzopen(path, "rb");
    if (!f->stream) TRY(status_fail(ST_INPUT, "%s: cannot be opened", path));
    TRY(read_header(f));
    TRY(array_alloc(&f->row, f->shape[0], VOXEL_MAX, "a row of a mask"));
done:
    return st;
}

/* The next row of voxels as labels. */
static status next_row(nifti_file *f, uint8_t *labels) {
    status st = read_bytes(f, f->row, f->shape[0] * f->type.bytes);
    if (st != ST_OK) return st;
    for (int64_t x = 0; x < f->shape[0]; x++) {
        const double stored = load_number(f->row + x * f->type.bytes, f->type, f->big_endian);
        const double value = stored * f->slope + f->intercept;
        if (!(value >= 0 && value <= STRUCTURES_MAX && value == floor(value)))
            return status_fail(ST_INPUT,
                               "%s: a voxel has the value %g, which is no label (0 to %d): is it "
                               "an image?",
                               f->path, value, STRUCTURES_MAX);
        labels[x] = (uint8_t)value;
    }
    return ST_OK;
}

/* ---- names ---- */

/* Whether a name says only that the file holds labels. */
static bool is_map_name(const char *stem) {
    static const char *const words[] = {"label", "labels", "mask", "masks", "segmentation", "seg"};
    const char *last = stem;
    for (const char *at = stem; *at; at++)
        if (strchr("_-. ", *at)) last = at + 1;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(last, words[i]) == 0) return true;
    return false;
}

/* The structure that the file is called after; false if it is called after none. */
static bool name_of_file(const char *path, char name[LABEL_NAME]) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const size_t tail = has_suffix(base, ".gz") ? strlen(".nii.gz") : strlen(".nii");
    const size_t length = strlen(base) - tail;
    char shown[4 * LABEL_NAME];
    if (length == 0 || length >= LABEL_NAME) return false;
    snprintf(name, LABEL_NAME, "%.*s", (int)length, base);
    printable(name, false, shown, sizeof shown);
    return strcmp(shown, name) == 0 && strcmp(name, "background") != 0 && !is_map_name(name);
}

/* The name of each value that occurs, "" for the others; `names` has room for LABELS_MAX. */
static void name_values(const char *path, const bool occurs[LABELS_MAX],
                        char (*names)[LABEL_NAME]) {
    int highest = 0;
    char name[LABEL_NAME];
    for (int value = 0; value < LABELS_MAX; value++)
        if (occurs[value]) highest = value;
    const bool binary = highest == 1 && name_of_file(path, name);
    for (int value = 1; value <= highest; value++) {
        if (!occurs[value]) continue;
        if (binary)
            memcpy(names[value], name, sizeof name);
        else
            snprintf(names[value], LABEL_NAME, "structure-%d", value);
    }
}

/* Reads all voxels to see which values occur. */
static status find_values(const char *path, bool occurs[LABELS_MAX]) {
    status st;
    nifti_file f;
    uint8_t *row = NULL;
    TRY(open_file(path, &f));
    TRY(array_alloc(&row, f.shape[0], 1, "a row of a mask"));
    for (int64_t k = 0; k < f.shape[1] * f.shape[2]; k++) {
        TRY(next_row(&f, row));
        for (int64_t x = 0; x < f.shape[0]; x++) occurs[row[x]] = true;
    }
done:
    free(row);
    close_file(&f);
    return st;
}

/* The names of the values of a file, as name_values() gives them. */
static status read_names(const char *path, char (*names)[LABEL_NAME]) {
    bool occurs[LABELS_MAX] = {false};
    status st = find_values(path, occurs);
    if (st == ST_OK) name_values(path, occurs, names);
    return st;
}

status nifti_label_texts(const char *path, structure_texts *texts) {
    char names[LABELS_MAX][LABEL_NAME] = {""};
    status st = read_names(path, names);
    for (int value = 1; value < LABELS_MAX && st == ST_OK; value++)
        if (names[value][0]) st = structure_texts_add(texts, names[value]);
    return st;
}

/* The label of each value of the file; 0: left out. */
static status label_values(const char *path, const structure_names *names,
                           uint8_t label_of[LABELS_MAX]) {
    char own[LABELS_MAX][LABEL_NAME] = {""};
    status st = read_names(path, own);
    if (st != ST_OK) return st;
    for (int value = 1; value < LABELS_MAX; value++) {
        if (!own[value][0]) continue;
        const int label = structure_value(names, own[value]);
        if (label < 0)
            return status_fail(ST_INPUT,
                               "%s: its value %d is new: the file changed while it was read", path,
                               value);
        label_of[value] = (uint8_t)label;
    }
    return ST_OK;
}

/* ---- the grid ---- */

/* Where voxel (x y z) of the file lies in the CT, in its voxels (z y x). */
static void place_of(const nifti_file *f, const geometry *space, const int64_t at[3],
                     double voxel[3]) {
    double mm[3];
    for (int i = 0; i < 3; i++) {
        mm[i] = f->affine[i][3] - space->origin[i];
        for (int j = 0; j < 3; j++) mm[i] += f->affine[i][j] * (double)at[j];
    }
    for (int axis = 0; axis < 3; axis++) {
        const double *along = space->direction + 3 * axis;
        voxel[axis] =
            (mm[0] * along[0] + mm[1] * along[1] + mm[2] * along[2]) / space->spacing[axis];
    }
}

/* How the axes of a file lie in the CT. */
typedef struct axis_map {
    int64_t first;   /* index in the CT of the first voxel of the file */
    int64_t step[3]; /* what a step along x y z of the file adds to it */
} axis_map;

/* The axes of the CT (z y x) that the axes of the file run along, and whether backwards. The
 * corners then tell whether every voxel lies within half a voxel of one of the CT: between them the
 * distance changes linearly. */
static status match_grid(const nifti_file *f, const geometry *space, axis_map *map) {
    const int64_t zero[3] = {0, 0, 0};
    const int64_t stride[3] = {space->shape[1] * space->shape[2], space->shape[2], 1};
    double origin[3], first[3];
    int along[3];
    bool taken[3] = {false}, fits = true, backwards[3];
    place_of(f, space, zero, origin);
    map->first = 0;
    for (int j = 0; j < 3; j++) {
        double next[3];
        const int64_t one[3] = {j == 0, j == 1, j == 2};
        place_of(f, space, one, next);
        along[j] = 0;
        for (int axis = 0; axis < 3; axis++) {
            next[axis] -= origin[axis];
            if (fabs(next[axis]) > fabs(next[along[j]])) along[j] = axis;
        }
        const int axis = along[j];
        backwards[j] = next[axis] < 0;
        fits &= !taken[axis] && f->shape[j] == space->shape[axis];
        taken[axis] = true;
        first[axis] = backwards[j] ? (double)(space->shape[axis] - 1) : 0;
        map->step[j] = backwards[j] ? -stride[axis] : stride[axis];
        if (backwards[j]) map->first += (space->shape[axis] - 1) * stride[axis];
    }
    for (int corner = 0; fits && corner < 8; corner++) {
        int64_t at[3];
        double voxel[3];
        for (int j = 0; j < 3; j++) at[j] = corner >> j & 1 ? f->shape[j] - 1 : 0;
        place_of(f, space, at, voxel);
        for (int j = 0; j < 3; j++) {
            const double want = first[along[j]] + (double)(backwards[j] ? -at[j] : at[j]);
            fits &= fabs(voxel[along[j]] - want) < 0.5;
        }
    }
    if (fits) return ST_OK;
    return status_fail(ST_INPUT,
                       "%s: its grid of %" PRId64 " x %" PRId64 " x %" PRId64
                       " voxels (x y z), with the first at voxel %.2f %.2f %.2f of the CT, does "
                       "not fit the CT's %" PRId64 " x %" PRId64 " x %" PRId64 " (z y x)",
                       f->path, f->shape[0], f->shape[1], f->shape[2], origin[0], origin[1],
                       origin[2], space->shape[0], space->shape[1], space->shape[2]);
}

status nifti_grid(const char *path, geometry *space) {
    status st;
    nifti_file f;
    bool right = true;
    TRY(open_file(path, &f));
    for (int axis = 0; axis < 3; axis++) {
        const int j = 2 - axis;
        double *along = space->direction + 3 * axis, length = 0;
        for (int i = 0; i < 3; i++) length += f.affine[i][j] * f.affine[i][j];
        space->shape[axis] = f.shape[j];
        space->spacing[axis] = sqrt(length);
        space->origin[axis] = f.affine[axis][3];
        right &= isnormal(length);
        for (int i = 0; i < 3; i++) along[i] = f.affine[i][j] / space->spacing[axis];
        for (int before = 0; before < axis && right; before++) {
            const double *other = space->direction + 3 * before;
            right &=
                fabs(along[0] * other[0] + along[1] * other[1] + along[2] * other[2]) < SKEW_MAX;
        }
    }
    if (!right)
        TRY(status_fail(ST_INPUT, "%s: the axes of its voxels are not at right angles", path));
done:
    close_file(&f);
    return st;
}

/* Adds a label map of geometry `space` to its masks, slice by slice. */
static status add_slices(const geometry *space, const uint8_t *labels, masks *out) {
    status st = ST_OK;
    const int64_t pixels = space->shape[1] * space->shape[2];
    for (int64_t z = 0; z < space->shape[0] && st == ST_OK; z++) {
        const mask_box box = {.z = z, .rows = space->shape[1], .columns = space->shape[2]};
        st = masks_add(out, &box, labels + z * pixels);
    }
    return st;
}

status nifti_read_labels(const char *path, const geometry *space, const structure_names *names,
                         masks *out) {
    status st;
    nifti_file f = {0};
    axis_map map;
    int64_t voxels = 0;
    uint8_t *row = NULL, *labels = NULL, label_of[LABELS_MAX] = {0};
    TRY(label_values(path, names, label_of));
    TRY(open_file(path, &f));
    TRY(match_grid(&f, space, &map));
    TRY(geometry_voxels(space, &voxels));
    TRY(array_alloc(&labels, voxels, 1, "the labels of a mask"));
    TRY(array_alloc(&row, f.shape[0], 1, "a row of a mask"));
    for (int64_t z = 0; z < f.shape[2]; z++)
        for (int64_t y = 0; y < f.shape[1]; y++) {
            TRY(next_row(&f, row));
            const int64_t begin = map.first + y * map.step[1] + z * map.step[2];
            for (int64_t x = 0; x < f.shape[0]; x++)
                labels[begin + x * map.step[0]] = label_of[row[x]];
        }
    TRY(add_slices(space, labels, out));
done:
    free(row);
    free(labels);
    close_file(&f);
    return st;
}
