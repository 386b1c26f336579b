/* Reading label masks from NIfTI-1 single files, .nii and .nii.gz, onto the grid of a CT.
 *
 * The affine is that of the sform, else of the qform. The voxels of the mask must be those of the
 * CT, in whatever order: axes may be exchanged and run backwards, and every voxel must lie within
 * half a voxel of one of the CT. Masks are not resampled.
 *
 * Names. A file called after a structure ("liver.nii.gz") that holds 0 and 1 marks this structure.
 * Otherwise value N is "structure-N": where other values occur, and in label maps, which by their
 * name are nothing but that ("labels", "CT_mask", "case-7_seg.nii.gz": the last word is label,
 * labels, mask, masks, seg or segmentation), so that a map in which only 1 occurs means what it
 * means in those of other patients.
 */
#ifndef CTAUG_IO_NIFTI_READ_H
#define CTAUG_IO_NIFTI_READ_H

#include "io/volume.h"

/* Whether the name of a file ends in .nii or .nii.gz, in capitals or not. Local. */
bool nifti_is_name(const char *path);

/* Appends the names of the structures that occur in the file to `set`, if they are not there
 * ("background" first if it is empty), by growing values. ST_INPUT naming the file: not NIfTI-1 in
 * a single file; a type other than integers of 8 to 64 bits and floats of 32 and 64; neither sform
 * nor qform; more than three dimensions; cut off; values that are not whole, below 0 or above 255;
 * no voxel marked; more structures than `set` holds. Local. */
status nifti_label_names(const char *path, label_set *set);

/* Writes the structures of the file into labels (z y x, geometry `space`), over what is there;
 * appends names as nifti_label_names() does. ST_INPUT also if the grid is not that of `space`.
 * Local. */
status nifti_read_labels(const char *path, const geometry *space, label_set *set, uint8_t *labels);

#endif
