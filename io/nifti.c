/* Writes the NIfTI-1 header (nifti1.h of the NIfTI Data Format Working Group, 2003) and the voxels
 * behind it. Numbers have the byte order of the machine; readers detect it by sizeof_hdr. */
#include "io/nifti.h"
#include "io/alloc.h"
#include "io/deflate.h"
#include "io/file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { VOXELS_AT = 352, TYPE_CODE_U8 = 2, TYPE_CODE_I16 = 4, FORM_SCANNER = 1, UNITS_MM = 2 };

/* The fields in the order of the standard; all are naturally aligned. */
typedef struct nifti_header {
    int32_t sizeof_hdr;
    char data_type[10], db_name[18];
    int32_t extents;
    int16_t session_error;
    char regular, dim_info;
    int16_t dim[8];
    float intent_p1, intent_p2, intent_p3;
    int16_t intent_code, datatype, bitpix, slice_start;
    float pixdim[8];
    float vox_offset, scl_slope, scl_inter;
    int16_t slice_end;
    char slice_code, xyzt_units;
    float cal_max, cal_min, slice_duration, toffset;
    int32_t glmax, glmin;
    char descrip[80], aux_file[24];
    int16_t qform_code, sform_code;
    float quatern_b, quatern_c, quatern_d;
    float qoffset_x, qoffset_y, qoffset_z;
    float srow_x[4], srow_y[4], srow_z[4];
    char intent_name[16], magic[4];
    char extension[4]; /* all 0: no extension follows */
} nifti_header;

_Static_assert(sizeof(nifti_header) == VOXELS_AT, "the header must have no padding");

/* Quaternion (b c d, with a >= 0) of a rotation matrix. The branch depends on the trace, so that no
 * small component is divided by (nifti1.h, method 2). */
static void quaternion(const double r[3][3], float *b, float *c, float *d) {
    double q[4]; /* a b c d */
    double trace = r[0][0] + r[1][1] + r[2][2];
    if (trace > 0) {
        q[0] = 0.5 * sqrt(1 + trace);
        q[1] = 0.25 * (r[2][1] - r[1][2]) / q[0];
        q[2] = 0.25 * (r[0][2] - r[2][0]) / q[0];
        q[3] = 0.25 * (r[1][0] - r[0][1]) / q[0];
    } else {
        /* i is the largest diagonal element, j and k follow in the cycle. */
        int i = r[1][1] > r[0][0] ? 1 : 0;
        if (r[2][2] > r[i][i]) i = 2;
        int j = (i + 1) % 3, k = (i + 2) % 3;
        double large = 0.5 * sqrt(fmax(1 + r[i][i] - r[j][j] - r[k][k], 0));
        q[0] = 0.25 * (r[k][j] - r[j][k]) / large;
        q[1 + i] = large;
        q[1 + j] = 0.25 * (r[j][i] + r[i][j]) / large;
        q[1 + k] = 0.25 * (r[k][i] + r[i][k]) / large;
    }
    double sign = q[0] < 0 ? -1 : 1;
    *b = (float)(sign * q[1]);
    *c = (float)(sign * q[2]);
    *d = (float)(sign * q[3]);
}

/* Sets sform and qform. Columns of `r`: unit vectors (RAS) along which x, y, z grow. */
static void set_geometry(nifti_header *h, const geometry *space) {
    static const double to_ras[3] = {-1, -1, 1};
    float *row[3] = {h->srow_x, h->srow_y, h->srow_z};
    double r[3][3], skew = 0, determinant;
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            int axis = 2 - j; /* store axes are z y x */
            r[i][j] = to_ras[i] * space->direction[3 * axis + i];
            row[i][j] = (float)(r[i][j] * space->spacing[axis]);
        }
        row[i][3] = (float)(to_ras[i] * space->origin[i]);
        h->pixdim[1 + i] = (float)space->spacing[2 - i];
    }
    h->sform_code = FORM_SCANNER;
    for (int j = 0; j < 3; j++) {
        int k = (j + 1) % 3;
        skew = fmax(skew, fabs(r[0][j] * r[0][k] + r[1][j] * r[1][k] + r[2][j] * r[2][k]));
    }
    h->pixdim[0] = 1;
    if (skew > 1e-4) return;
    h->qform_code = FORM_SCANNER;
    determinant = r[0][0] * (r[1][1] * r[2][2] - r[1][2] * r[2][1]) -
                  r[0][1] * (r[1][0] * r[2][2] - r[1][2] * r[2][0]) +
                  r[0][2] * (r[1][0] * r[2][1] - r[1][1] * r[2][0]);
    if (determinant < 0) {
        h->pixdim[0] = -1; /* qfac: the quaternion describes the matrix with column 3 negated */
        for (int i = 0; i < 3; i++) r[i][2] = -r[i][2];
    }
    quaternion(r, &h->quatern_b, &h->quatern_c, &h->quatern_d);
    h->qoffset_x = h->srow_x[3];
    h->qoffset_y = h->srow_y[3];
    h->qoffset_z = h->srow_z[3];
}

static status set_header(nifti_header *h, const char *path, const geometry *space, int type,
                         int bytes, const char *description) {
    *h = (nifti_header){.sizeof_hdr = 348,
                        .regular = 'r',
                        .datatype = (int16_t)type,
                        .bitpix = (int16_t)(8 * bytes),
                        .vox_offset = VOXELS_AT,
                        .scl_slope = 1,
                        .xyzt_units = UNITS_MM,
                        .magic = "n+1",
                        .dim = {3, 0, 0, 0, 1, 1, 1, 1},
                        .pixdim = {1, 0, 0, 0, 1, 1, 1, 1}};
    for (int axis = 0; axis < 3; axis++) {
        int64_t side = space->shape[2 - axis];
        if (side < 1 || side > INT16_MAX)
            return status_fail(ST_INPUT, "%s: a side of %" PRId64 " voxels: NIfTI-1 takes 1 to %d",
                               path, side, INT16_MAX);
        h->dim[1 + axis] = (int16_t)side;
    }
    snprintf(h->descrip, sizeof h->descrip, "%s", description);
    set_geometry(h, space);
    return ST_OK;
}

static bool is_compressed(const char *path) {
    const size_t n = strlen(path);
    return n >= 3 && strcmp(path + n - 3, ".gz") == 0;
}

static status write_nifti(const char *path, const geometry *space, int type, int bytes,
                          const void *voxels, const char *description) {
    nifti_header header;
    uint8_t *file = NULL, *packed = NULL;
    int64_t count = 0, size = 0, packed_size = 0;
    status st = ST_OK;
    TRY(set_header(&header, path, space, type, bytes, description));
    TRY(geometry_voxels(space, &count)); /* at most 2^40 */
    size = (int64_t)sizeof header + count * bytes;
    TRY(array_alloc(&file, size, 1, "a NIfTI file"));
    memcpy(file, &header, sizeof header);
    memcpy(file + sizeof header, voxels, (size_t)(count * bytes));
    if (is_compressed(path)) {
        TRY(deflate_gzip(file, size, &packed, &packed_size));
        TRY(file_write_atomic(path, packed, packed_size));
    } else {
        TRY(file_write_atomic(path, file, size));
    }
done:
    free(packed);
    free(file);
    return st;
}

status nifti_write_i16(const char *path, const geometry *space, const int16_t *voxels,
                       const char *description) {
    return write_nifti(path, space, TYPE_CODE_I16, 2, voxels, description);
}

status nifti_write_u8(const char *path, const geometry *space, const uint8_t *voxels,
                      const char *description) {
    return write_nifti(path, space, TYPE_CODE_U8, 1, voxels, description);
}
