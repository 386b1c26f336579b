/* Numbers the patients, and averages their Dice. */
#include "pipeline/referee/validation_dice.h"

#include "io/alloc.h"

#include <math.h>
#include <stdlib.h>

/* Volumes of a patient are neighbours in a store. Local. */
static status number_patients(const store *from, const split *sp, validation_set *v) {
    const split_run *runs = sp->runs[SPLIT_VALIDATION];
    status st = array_alloc(&v->patient_of, store_count(from), sizeof *v->patient_of,
                            "validation patients");
    for (int64_t i = 0; st == ST_OK && i < sp->run_count[SPLIT_VALIDATION]; i++) {
        v->patients += i == 0 || !split_same_patient(store_at(from, runs[i - 1].volume)->id,
                                                     store_at(from, runs[i].volume)->id);
        v->patient_of[runs[i].volume] = v->patients - 1;
    }
    return st;
}

status validation_open(const study *s, store *from, const split *sp, validation_set *out) {
    status st = ST_OK;
    const slice_source source = {.from = from,
                                 .runs = sp->runs[SPLIT_VALIDATION],
                                 .run_count = sp->run_count[SPLIT_VALIDATION]};
    *out = (validation_set){0};
    TRY(slices_open(s, &source, 1, &out->slices));
    TRY(number_patients(from, sp, out));
done:
    return st;
}

void validation_close(validation_set *v) {
    slices_close(v->slices);
    free(v->patient_of);
    *v = (validation_set){0};
}

status validation_dice(const stage_context *stage, segmenter *net, const validation_set *v,
                       int labels, double *dice) {
    status st = ST_OK;
    const comm *c = stage->comm;
    dice_counts *counts = NULL;
    TRY(comm_agree(c, array_alloc(&counts, v->patients, sizeof *counts, "Dice counts")));
    TRY(comm_agree(
        c, segmenter_dice(net, v->slices, comm_rank(c), comm_size(c), v->patient_of, counts)));
    TRY(comm_sum_i64(c, &counts[0].both[0],
                     v->patients * (int64_t)(sizeof *counts / sizeof counts[0].both[0])));
    for (int k = 1; k < labels; k++) {
        double sum = 0, n = 0;
        for (int64_t i = 0; i < v->patients; i++) {
            const double of_patient = dice_of(&counts[i], k);
            if (isnan(of_patient)) continue;
            sum += of_patient;
            n++;
        }
        dice[k] = n > 0 ? sum / n : (double)NAN;
    }
done:
    free(counts);
    return st;
}
