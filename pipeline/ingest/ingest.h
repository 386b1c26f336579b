/* What the files of the ingest stage share. */
#ifndef CTAUG_PIPELINE_INGEST_INGEST_H
#define CTAUG_PIPELINE_INGEST_INGEST_H

#include "io/series.h"
#include "io/store.h"
#include "pipeline/ingest/findings.h"
#include "pipeline/ingest/input_hashes.h"
#include "pipeline/ingest/mask_labels.h"

enum { HU_VALUES = 65536, HU_ZERO = 32768 };

/* What became of a volume. */
enum { STORED_AS_PLANNED, STORED_UNLABELLED, LEFT_OUT };

typedef struct ingest {
    const stage_context *stage;
    char directory[PATH_SIZE], fingerprint[SHA256_HEX];
    char parts[PATH_SIZE]; /* directory of the finished volumes of an unfinished store */
    series_list list;
    const char **paths; /* of all input files: the slices and mask files of each series in turn */
    input_file *files;  /* of `paths` */
    int64_t file_count;
    pseudonym_key key;
    fault_list late; /* of the volumes that this rank has stored or left out */
    int64_t *fates;  /* of the volumes of the list; on all ranks after ingest_volumes() */
    int64_t scanned; /* findings of the scan; the late ones follow them */
    int64_t decoded; /* volumes; the others were taken from parts */
    stored_counts stored;
    int64_t without_seg, voxels;
    label_set labels;
    mask_labels masks;              /* labels from files; the label set of its names is `labels` */
    bool from_seg;                  /* labels come from files: SEG, RT Structure Sets or NIfTI */
    uint8_t label_of_hu[HU_VALUES]; /* labels from thresholds only: label of h at h + HU_ZERO */
    int64_t label_voxels[LABELS_MAX];
} ingest;

/* Scans the archive and plans what to store and with which labels. The caller calls ingest_close(),
 * also after a failure. Collective. */
status ingest_open(const stage_context *s, ingest **out);
void ingest_close(ingest *in);

/* Computes in->fingerprint, that of the archive and the keys of the study, and names in->parts.
 * Collective. */
status ingest_fingerprint(ingest *in);

/* Whether slice z is the first of a file; several frames of one file follow each other. Local. */
bool ingest_begins_file(const series *one, int64_t z);

/* The number of files of a series, with its masks. Local. */
int64_t ingest_file_count(const series *one);

/* Numbers of a volume. Only int64_t: parts hold them. */
typedef struct volume_counts {
    int64_t label_voxels[LABELS_MAX];
    int64_t overlapped; /* voxels in two or more structures */
    rtstruct_tally contours;
    int64_t fate; /* what can be stored */
} volume_counts;

typedef struct volume_outcome {
    volume_counts counts;
    fault_list faults;
} volume_outcome;

/* Decodes and labels volume i of the list. A fault of its files is recorded in *out. A volume that
 * is STORED_UNLABELLED beforehand (in->fates) gets no labels. The caller calls volume_free(v) and
 * faults_free(&out->faults), also after a failure. Local. */
status ingest_read_volume(const ingest *in, int64_t i, volume *v, volume_outcome *out);

/* Writes all volumes of the list, those of a stopped run from its parts. A rank holds two volumes,
 * one that is decoded while the one before is written, and a third while the second is turned.
 * ST_STOPPED on request. Afterwards the counts, fates and late faults are those of all ranks.
 * Collective. */
status ingest_volumes(ingest *in, store_writer *w);

#endif
