/* Sums by slice, divided over the ranks; the sums of all slices are added in their order. */
#include "pipeline/train/sigma_data.h"

#include "io/activity.h"
#include "io/alloc.h"

#include <math.h>

enum { SLICES_MAX = 4096 };

/* sums[k][2]: sum and sum of squares of chosen slice k, for those of this rank; 0 for others.
 * Local. */
static status sum_slices(const comm *c, slices *from, int64_t pixels, int64_t values, int64_t count,
                         double (*sums)[2]) {
    status st = ST_OK;
    slice_sample one = {0};
    TRY(array_alloc(&one.image, pixels, sizeof *one.image, "a slice"));
    TRY(array_alloc(&one.labels, pixels, 1, "a label map"));
    for (int64_t k = comm_rank(c); k < count; k += comm_size(c)) {
        TRY(slices_get(from, k * slices_count(from) / count, &one));
        for (int64_t i = 0; i < values; i++) {
            sums[k][0] += (double)one.image[i];
            sums[k][1] += (double)one.image[i] * (double)one.image[i];
        }
        activity_progress();
    }
done:
    free(one.image);
    free(one.labels);
    return st;
}

status sigma_data_measure(const comm *c, slices *from, int64_t size, int64_t values, double *out) {
    status st = ST_OK;
    const int64_t all = slices_count(from), count = all < SLICES_MAX ? all : SLICES_MAX;
    double(*sums)[2] = NULL, sum = 0, square = 0;
    st = array_alloc(&sums, count, sizeof *sums, "sums of slices");
    if (st == ST_OK) st = sum_slices(c, from, size * size, values, count, sums);
    TRY(comm_agree(c, st));
    TRY(comm_sum_f64(c, *sums, 2 * count));
    for (int64_t k = 0; k < count; k++) {
        sum += sums[k][0];
        square += sums[k][1];
    }
    const double n = (double)(count * values), mean = sum / n;
    *out = sqrt(fmax(0, square / n - mean * mean));
done:
    free(sums);
    return st;
}
