/* How slices lie on one another: in one plane or not, evenly or not, upright or sheared.
 *
 * People round: positions and direction cosines count as equal if they are when rounded to the
 * digits that the header shows. A gap, a step that changes and a tilt are more than that.
 */
#ifndef CTAUG_IO_STACK_H
#define CTAUG_IO_STACK_H

#include "io/dicom.h"

/* A slice in its stack. */
typedef struct placed {
    const dicom_header *header; /* borrowed */
    int64_t plane;              /* slices of a series that are alike have the same number */
    double height;              /* mm along the normal of the plane */
    uint64_t content;           /* of the HU; 0: nothing lies at the same place */
    int64_t pass;               /* see io/series_parts.h */
} placed;

typedef enum stack_fault {
    STACK_EVEN,
    STACK_CONFLICT, /* slice `at` lies where the one before lies */
    STACK_GAP,      /* slices are missing before slice `at` */
    STACK_STEP,     /* the step changes at slice `at` */
    STACK_PLACE,    /* slice `at` lies beside its place */
    STACK_UNEVEN    /* no rule in it; `at` 0: the first slice stands apart from all others */
} stack_fault;

typedef struct stack_form {
    stack_fault fault;
    int64_t at;
    double gap, usual; /* mm from slice at - 1 to `at` (0: to 1), and the median of the series */
    double spacing;    /* mm between slices; if even */
    double drift[2];   /* mm from the first to the last slice along rows and along columns */
    bool upright;      /* neither drift is more than a pixel */
    bool steady;       /* the drift grows evenly, as that of a tilted gantry */
} stack_form;

#define STACK_FRAME_TAG "FrameOfReferenceUID (0020,0052)"

/* What two slices have not in common: a tag name such as "Rows (0028,0010)", or NULL. A missing
 * Frame of Reference UID is not another one. Local. */
const char *stack_difference(const dicom_header *a, const dicom_header *b);

/* Row direction x column direction. Local. */
void stack_normal(const dicom_header *h, double normal[3]);

/* Of n slices of one plane that whose direction cosines have the most digits. Local. */
const dicom_header *stack_reference(const placed *slices, int64_t n);

/* Looks at n >= 1 slices of one plane, sorted by height. Local. */
status stack_measure(const placed *slices, int64_t n, stack_form *out);

/* The geometry of n slices, without a drift: directions are made orthonormal. Local. */
geometry stack_geometry(const placed *slices, int64_t n, double spacing);

#endif
