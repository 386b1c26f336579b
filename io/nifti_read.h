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

#include "io/masks.h"
#include "io/structures.h"

/* Whether the name of a file ends in .nii or .nii.gz, in capitals or not. Local. */
bool nifti_is_name(const char *path);

/* Adds the names of the structures that occur in the file to a list. ST_INPUT naming the file: not
 * NIfTI-1 in a single file; a type other than integers of 8 to 64 bits and floats of 32 and 64;
 * neither sform nor qform; more than three dimensions; cut off; values that are not whole, below 0
 * or above 255. A file that marks no voxel, as segmenters write it for an absent organ, has no
 * structure. Local. */
status nifti_label_texts(const char *path, structure_texts *texts);

/* The grid of the file: its axes z y x are those of the file in reverse order. ST_INPUT as
 * nifti_label_texts(), and if the axes are not at right angles. Voxels are not read. Local. */
status nifti_grid(const char *path, geometry *space);

/* Adds the structures of the file to the masks of a volume of geometry `space`; `names` says what
 * they are called, and which are left out. ST_INPUT as nifti_label_texts(), and if the grid is not
 * that of `space`, or a name is not in `names`. Local. */
status nifti_read_labels(const char *path, const geometry *space, const structure_names *names,
                         masks *out);

#endif
