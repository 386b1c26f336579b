/* The user's own masks (generate.masks: DIR), on which synthetic volumes are painted as they are:
 * which files there are, which of them make one volume, and what their structures are called
 * (pipeline/generate/own_names.h).
 *
 * SEG, RT Structure Sets and NIfTI files are found at any depth. What belongs to a CT series in DIR
 * by the rules of ingest (io/series.h) makes one volume with it. Otherwise a SEG is a volume, and
 * so is a NIfTI label map; NIfTI files of one folder that are called after structures
 * ("liver.nii.gz") are one together. An RT Structure Set needs its series. A file that is at fault
 * costs its volume and no other one, as one of a patient whom the networks are tested on does
 * (pipeline/generate/own_patients.h).
 */
#ifndef CTAUG_PIPELINE_GENERATE_OWN_MASKS_H
#define CTAUG_PIPELINE_GENERATE_OWN_MASKS_H

#include "io/archive.h"
#include "io/series.h"
#include "io/structures.h"
#include "pipeline/data/split.h"
#include "pipeline/stage.h"

/* What is known of a file of masks. Only what ranks can add up as int64_t. */
typedef struct own_file {
    int64_t faulty;
    int64_t named; /* NIfTI: it is called after the structure that it marks */
    char sha256[SHA256_HEX + 7];
} own_file;

/* The files of one volume. */
typedef struct own_mask {
    const series *beside; /* the series that they belong to; NULL: they lie alone */
    int64_t *files;       /* [count]: places in own_masks.found; owned */
    int64_t count;
} own_mask;

enum { OWN_KINDS = 3 };

typedef struct own_masks {
    const stage_context *stage;
    archive found;                /* all files of the folder */
    own_file *files;              /* of each header of `found` */
    series_list lists[OWN_KINDS]; /* the series, with their masks of each kind */
    own_mask *items;              /* [count], in the order of their first files */
    int64_t count;
    structure_names names[2]; /* of DICOM files, of NIfTI files */
    fault_list faults;
    char fingerprint[SHA256_HEX]; /* over all that their label maps and images follow from */
} own_masks;

/* Finds the masks below study.generate.masks and reads what they are called in the store `real`.
 * Rank 0 warns of what is left out. ST_INPUT if nothing is left, or if anything is at fault and
 * --strict or ingest.strict is given. The caller calls own_masks_free(), also after a failure.
 * Collective. */
status own_masks_find(const stage_context *stage, const store *real, const split *sp,
                      own_masks *out);
void own_masks_free(own_masks *m);

/* The names for a file of this kind. Local. */
const structure_names *own_masks_names(const own_masks *m, dicom_kind kind);

/* The series that file i of m->found, a mask, was assigned to; NULL: none, or no mask. Local. */
const series *own_masks_series(const own_masks *m, int64_t i);

/* Warns on rank 0 of the faults from number `from` on; ST_INPUT if there are any and they are to be
 * none. The same on all ranks. Local. */
status own_masks_judge(const own_masks *m, int64_t from);

#endif
