/* Reads values from metrics.json, and prints numbers. A missing key counts as a value that was not
 * measured, so that a report can be written from an older or incomplete file, too. */
#include "pipeline/report/report.h"
#include "pipeline/report/figures.h"

#include <math.h>

static double number_of(const json_t *value) {
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

double report_number(const report *r, const char *path) { return figure_number(r->metrics, path); }

const char *report_text(const report *r, const char *path) { return figure_text(r->metrics, path); }

double report_split_number(const report *r, split_part part, const char *what) {
    static const char *const names[] = {"train", "validation", "test"};
    return figure_number(figure_at(figure_at(r->metrics, "split"), names[part]), what);
}

/* A value of the provenance of the synthetic store. */
static const json_t *provenance_of(const report *r, const char *key) {
    return json_object_get(json_object_get(store_manifest(r->synthetic)->detail, "provenance"),
                           key);
}

const char *report_label_source(const report *r) {
    static const char *const words[] = {[LABELS_FROM_SEG] = "DICOM Segmentation objects",
                                        [LABELS_FROM_THRESHOLDS] = "HU thresholds",
                                        [LABELS_FROM_RTSTRUCT] = "RT Structure Sets",
                                        [LABELS_FROM_NIFTI] = "NIfTI label maps"};
    return words[r->stage->study->ingest.labels];
}

double report_guidance(const report *r) {
    const study *s = r->stage->study;
    return study_chooses_guidance(s) ? number_of(provenance_of(r, "guidance"))
                                     : s->generate.guidance;
}

int64_t report_sampler_steps(const report *r) {
    const study *s = r->stage->study;
    return study_chooses_guidance(s) ? json_integer_value(provenance_of(r, "sampler_steps"))
                                     : s->generate.steps;
}

/* Extends [*low, *high] to x. fmin() and fmax() ignore a NAN. */
static void extend_range(double x, double *low, double *high) {
    *low = fmin(*low, x);
    *high = fmax(*high, x);
}

/* The members of a row that are computed from the values by seed. */
static void set_seed_ranges(dice_row *row, const json_t *one) {
    const json_t *seeds = figure_at(one, "seeds");
    for (int a = 0; a < ARMS; a++) {
        row->by_seed[a] = figure_at(seeds, named_table_name(&evaluation_arms, a));
        row->low[a] = row->high[a] = NAN;
        for (size_t i = 0; i < json_array_size(row->by_seed[a]); i++)
            extend_range(number_of(json_array_get(row->by_seed[a], i)), &row->low[a],
                         &row->high[a]);
    }
    row->seeds = (int64_t)json_array_size(row->by_seed[ARM_REAL]);
    row->difference_low = row->difference_high = NAN;
    for (size_t i = 0; i < (size_t)row->seeds; i++)
        extend_range(number_of(json_array_get(row->by_seed[ARM_REAL_PLUS_SYNTHETIC], i)) -
                         number_of(json_array_get(row->by_seed[ARM_REAL], i)),
                     &row->difference_low, &row->difference_high);
}

bool report_dice_next(const report *r, void **iterator, dice_row *out) {
    json_t *all = json_object_get(r->metrics, "dice");
    *iterator = *iterator ? json_object_iter_next(all, *iterator) : json_object_iter(all);
    if (!*iterator) return false;
    const json_t *one = json_object_iter_value(*iterator);
    *out = (dice_row){.name = json_object_iter_key(*iterator),
                      .patients = json_integer_value(figure_at(one, "n_patients"))};
    for (int a = 0; a < ARMS; a++)
        out->mean[a] = number_of(figure_at(one, named_table_name(&evaluation_arms, a)));
    out->difference = out->mean[ARM_REAL_PLUS_SYNTHETIC] - out->mean[ARM_REAL];
    set_seed_ranges(out, one);
    return true;
}

dice_summary report_dice_summary(const report *r) {
    dice_summary s = {0};
    dice_row row;
    for (void *at = NULL; report_dice_next(r, &at, &row);) {
        if (isnan(row.difference)) continue;
        s.structures++;
        for (int a = 0; a < ARMS; a++) s.mean[a] += row.mean[a];
        s.better += row.difference_low > 0;
        s.worse += row.difference_high < 0;
        if (row.seeds > s.seeds) s.seeds = row.seeds;
    }
    for (int a = 0; a < ARMS; a++)
        s.mean[a] = s.structures > 0 ? s.mean[a] / s.structures : (double)NAN;
    return s;
}

void put_number(FILE *f, double x, int digits) { fputs(show(x, digits).text, f); }

void put_signed(FILE *f, double x, int digits) { fputs(show_signed(x, digits).text, f); }

void put_window(FILE *f, const double window[2]) {
    for (int i = 0; i < 2; i++)
        fprintf(f, "%s%g%s", window[i] < 0 ? "\xE2\x88\x92" : "", fabs(window[i]),
                i == 0 ? " to " : " HU");
}

void put_count(FILE *f, double n, const char *singular, const char *plural) {
    put_number(f, n, 0);
    fprintf(f, " %s", n == 1 ? singular : plural);
}
