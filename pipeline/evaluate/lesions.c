/* Matches the lesions of a label map with those of a segmentation. */
#include "pipeline/evaluate/lesions.h"

#include "io/alloc.h"
#include "model/components.h"

#include <math.h>

/* The size class of a component of `voxels` voxels: by the diameter of a ball of its volume. */
static int lesion_size(int64_t voxels, const double spacing[3]) {
    const double volume = (double)voxels * spacing[0] * spacing[1] * spacing[2];
    const double diameter = cbrt(6 * volume / 3.14159265358979323846);
    return diameter < 10 ? 0 : diameter <= 20 ? 1 : 2;
}

/* The components of one label in the truth and in a segmentation. */
typedef struct lesions {
    components truth, predicted;
    int32_t *truth_number, *predicted_number; /* by voxel; 0: none */
    int64_t *both, *touching; /* by component of the truth: voxels in both; voxels of all predicted
                                 components that touch it */
    uint8_t *touches;         /* [truth.count][predicted.count] */
} lesions;

static void lesions_free(lesions *l) {
    components_free(&l->truth);
    components_free(&l->predicted);
    free(l->truth_number);
    free(l->predicted_number);
    free(l->both);
    free(l->touching);
    free(l->touches);
}

/* Finds which components touch. Local. */
static status lesions_match(lesions *l, int64_t voxels) {
    status st = ST_OK;
    const int64_t others = l->predicted.count;
    int64_t pairs = 0;
    if (!size_mul(l->truth.count, others, &pairs))
        TRY(status_fail(ST_INTERNAL, "too many components of a lesion label"));
    TRY(array_alloc(&l->both, l->truth.count, sizeof *l->both, "lesions"));
    TRY(array_alloc(&l->touching, l->truth.count, sizeof *l->touching, "lesions"));
    TRY(array_alloc(&l->touches, pairs, 1, "lesions"));
    for (int64_t i = 0; i < voxels; i++) {
        if (l->truth_number[i] == 0 || l->predicted_number[i] == 0) continue;
        const int64_t a = l->truth_number[i] - 1, b = l->predicted_number[i] - 1;
        l->both[a]++;
        if (!l->touches[a * others + b]) l->touching[a] += l->predicted.size[b];
        l->touches[a * others + b] = 1;
    }
done:
    return st;
}

status lesions_score(const uint8_t *truth, const uint8_t *predicted, const int64_t shape[3],
                     const double spacing[3], int label, lesion_sums sums[LESION_SIZES]) {
    status st = ST_OK;
    const int64_t voxels = shape[0] * shape[1] * shape[2];
    lesions l = {.both = NULL};
    TRY(array_alloc(&l.truth_number, voxels, sizeof *l.truth_number, "lesions"));
    TRY(array_alloc(&l.predicted_number, voxels, sizeof *l.predicted_number, "lesions"));
    TRY(components_find(truth, shape, label, l.truth_number, &l.truth));
    if (l.truth.count == 0) goto done;
    TRY(components_find(predicted, shape, label, l.predicted_number, &l.predicted));
    TRY(lesions_match(&l, voxels));
    for (int64_t c = 0; c < l.truth.count; c++) {
        lesion_sums *sum = &sums[lesion_size(l.truth.size[c], spacing)];
        sum->dice += 2 * (double)l.both[c] / (double)(l.truth.size[c] + l.touching[c]);
        sum->count++;
    }
done:
    lesions_free(&l);
    return st;
}
