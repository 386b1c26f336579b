/* Writing NIfTI-1 single files (.nii), which nibabel, ITK-SNAP and 3D Slicer read.
 *
 * Voxels keep the order of the store (x fastest). The affine maps voxel indices (x y z) to RAS
 * millimetres, which are LPS with the first two axes reversed. The sform (code 1) always holds it.
 * The qform (code 1) holds it too, unless the axes are not orthogonal (tilted gantry): a quaternion
 * cannot represent that, and its code is 0.
 */
#ifndef CTAUG_IO_NIFTI_H
#define CTAUG_IO_NIFTI_H

#include "io/volume.h"

/* Publishes `path` atomically, compressed by gzip if it ends with ".gz". `description` is cut at 79
 * bytes. ST_INPUT if a side is beyond 32,767 (the format's limit), ST_STORAGE if it cannot be
 * written. Local. */
status nifti_write_i16(const char *path, const geometry *space, const int16_t *voxels,
                       const char *description);
status nifti_write_u8(const char *path, const geometry *space, const uint8_t *voxels,
                      const char *description);

#endif
