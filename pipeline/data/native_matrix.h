/* Synthetic volumes at the matrix and pixel spacing of the series, or masks, that their label maps
 * are of: what a program expects that mixes them with real volumes.
 *
 * Volumes are made at data.size, in a square that covers the series (working_geometry()). Here HU
 * are enlarged by cubic convolution (Keys 1981, a = -1/2; at the border pixels are repeated; within
 * the HU that the volume has), labels by the largest weight of the four nearest pixels, bilinear
 * (ties: the larger label); both are reduced as slices are that the networks see (resize_image(),
 * resize_labels()). What is beyond the series is cut off. An enlarged volume shows no more than the
 * volume does.
 */
#ifndef CTAUG_PIPELINE_DATA_NATIVE_MATRIX_H
#define CTAUG_PIPELINE_DATA_NATIVE_MATRIX_H

#include "io/store.h"

/* Adds {"matrix": [rows, columns]} to the record of a volume in the provenance of its store.
 * ST_INTERNAL without memory. Local. */
status native_matrix_describe(int64_t rows, int64_t columns, json_t *record);

/* Reads it. ST_INPUT if the record has none (a store of an earlier version) or one that no series
 * can have. Local. */
status native_matrix_read(const json_t *record, int64_t *rows, int64_t *columns);

/* The slices of v, which are square, at rows x columns, 1..65535 each. *out has the id, class and
 * traits of v, the shape [slices, rows, columns], and the spacing and origin of the series.
 * ST_INPUT if the slices are not square or the volume would have more than 2^30 voxels; ST_INTERNAL
 * without memory. The caller calls volume_free(), also after a failure. Local. */
status native_matrix_resample(const volume *v, int64_t rows, int64_t columns, volume *out);

#endif
