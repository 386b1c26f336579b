/* RT Structure Sets (PS3.3 A.19): structures as closed contours in patient coordinates, read into
 * masks and written from a label map.
 *
 * Contours are painted by the even-odd rule at voxel centres (io/contour.h). They find their slice
 * by their position along the normal; the images that they refer to need not be there.
 */
#ifndef CTAUG_IO_DICOM_RTSTRUCT_H
#define CTAUG_IO_DICOM_RTSTRUCT_H

#include "io/dicom.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What became of the contours of a structure set. */
typedef struct rtstruct_tally {
    int64_t painted;
    int64_t not_closed; /* points, open contours, closed ones of fewer than 3 points: no area */
    int64_t off_slices; /* closed, but on no slice: ignored */
} rtstruct_tally;

/* Adds the ROIs of a structure set to the masks of a volume of geometry `space`, and to *tally.
 * `names` says what an ROI is called, and which are left out: those are not in the tally.
 *
 * A contour lies on a slice if all its points are nearer to it than half a slice spacing. If the
 * contours of an ROI lie at several heights about one slice (they were drawn on thinner slices),
 * those at the height nearest to it count. All contours of an ROI on one slice are painted
 * together. ROIs of one name are one structure, an ROI without a name is "ROI N", and one without
 * closed contours does not count.
 *
 * ST_INPUT naming the file and the number of the ROI, and showing no name: coordinates that are no
 * finite numbers or no triples; a number of points other than that claimed; ROI Numbers that occur
 * twice or refer to nothing; no closed contour, or none on a slice of `space`; an ROI drawn on
 * every second, third or fourth slice only, since contours are not interpolated; a name that is no
 * text, or not in `names`. *tally is then as before. Local. */
status dicom_read_rtstruct(const char *path, const geometry *space, const structure_names *names,
                           masks *out, rtstruct_tally *tally);

/* Adds the names of the ROIs that have closed contours, in UTF-8, to a list. Makes the checks of
 * dicom_read_rtstruct() that need no CT. Local. */
status dicom_rtstruct_texts(const char *path, structure_texts *texts);

/* Writes directory/rtstruct.dcm for the CT that dicom_write_volume() writes for the same `who` and
 * v: an ROI for each label of `set` that occurs, its value as ROI Number, with contours along voxel
 * borders; no file if no label occurs. dicom_read_rtstruct() gives back the same voxels. The same
 * arguments give the same bytes. Local. */
status dicom_write_rtstruct(const char *directory, const dicom_identity *who, const volume *v,
                            const label_set *set);

#ifdef __cplusplus
}
#endif
#endif
