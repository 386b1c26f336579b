/* What the labelled training volumes say about the structures: how large they are, whether they are
 * in one piece, how large their pieces are; and the check of a label map against it.
 *
 * All at the working size. The size of a structure is its volume over the length of the scan
 * (slices * spacing), mm2: volumes of a part of the body with more slices compare with those of
 * fewer.
 */
#ifndef CTAUG_PIPELINE_DATA_LABEL_LIMITS_H
#define CTAUG_PIPELINE_DATA_LABEL_LIMITS_H

#include "pipeline/data/split.h"

/* A connected piece (26-neighbourhood) of a structure, as large as a ball of this radius. */
typedef struct label_piece {
    int label;
    double radius; /* mm */
} label_piece;

typedef struct label_limits {
    int labels;
    double low[LABELS_MAX], high[LABELS_MAX]; /* sizes seen, mm2; low is 0 if it can be absent */
    bool single[LABELS_MAX]; /* in one piece wherever it was seen, but for less than 1 % */
    int host[LABELS_MAX];    /* the structure that it lies in: most of its border; 0: none */
    label_piece *pieces;     /* [piece_count] of all training volumes; owned */
    int64_t piece_count;
} label_limits;

/* Reads all slices of SPLIT_TRAIN. The caller calls label_limits_free(). Local. */
status label_limits_measure(const study *s, store *real, const split *sp, label_limits *out);
void label_limits_free(label_limits *l);

/* Pieces of a structure that were seen; the k-th of them (0..n-1). Local. */
int64_t label_limits_pieces(const label_limits *l, int label);
double label_limits_radius(const label_limits *l, int label, int64_t k);

typedef enum label_fault {
    LABELS_GOOD,
    LABELS_SMALL,  /* below low / 1.5 */
    LABELS_LARGE,  /* above high * 1.5 */
    LABELS_PIECES, /* in pieces, though single; less than 1 % may be apart */
    LABEL_FAULTS
} label_fault;

extern const named_table label_faults;

/* Checks labels[shape] with these spacings (mm, z y x). added[limits->labels], or NULL: volumes of
 * inserted blobs, mm3; a structure may be larger by as much, and in pieces if it is not 0. *fault:
 * the first fault, *label: its structure. Local. */
status label_limits_check(const label_limits *l, const uint8_t *labels, const int64_t shape[3],
                          const double spacing[3], const double *added, label_fault *fault,
                          int *label);

#endif
