/* Writes the statistics of the protocol as JSON and the results as CSV. */
#include "pipeline/evaluate/protocol_json.h"

#include "io/alloc.h"
#include "io/log.h"
#include "pipeline/evaluate/scoring.h"
#include "pipeline/evaluate/shifted_set.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const char *arm_name(const all_results *all, int arm) {
    return named_table_name(&evaluation_arms, (int)study_arm(all->study, arm));
}

/* Index of an arm in the study's list; -1: it is not there. */
static int arm_index(const all_results *all, evaluation_arm arm) {
    for (int i = 0; i < all->arms; i++)
        if (study_arm(all->study, i) == arm) return i;
    return -1;
}

/* New reference. Local. */
static json_t *protocol_of(const all_results *all) {
    const study *s = all->study;
    json_t *labelled = json_array(), *arms = json_array(), *structures = json_array(),
           *tests = json_array();
    for (int64_t i = 0; i < all->sizes; i++)
        json_array_append_new(labelled, json_integer(all->labelled[i]));
    for (int i = 0; i < all->arms; i++) json_array_append_new(arms, json_string(arm_name(all, i)));
    for (int k = 1; k < all->labels->count; k++)
        json_array_append_new(structures, json_string(all->labels->name[k]));
    for (int t = 0; t < TESTS; t++)
        json_array_append_new(tests, json_string(test_set_name((test_set)t)));
    return json_pack(
        "{s:o, s:I, s:I, s:o, s:o, s:s, s:f, s:f, s:I, s:I, s:o, s:f, s:i, s:f, s:s}", "labelled",
        labelled, "sets", (json_int_t)all->sets, "seeds", (json_int_t)all->seeds, "arms", arms,
        "tests", tests, "shift", shifted_set_description(s), "share", s->evaluate.share,
        "real_only_last", s->evaluate.real_only_last, "steps", (json_int_t)s->evaluate.steps,
        "base", (json_int_t)s->evaluate.base, "structures", structures, "nsd_tolerance_mm",
        NSD_TOLERANCE_MM, "resamples", statistics_resamples(), "margin", s->evaluate.margin,
        "bootstrap", "over test patients, with labelled sets and seeds nested");
}

/* Adds the means of one size, arm and test set to `list`. Local. */
static status add_means(const all_results *all, int64_t size, int arm, test_set test, measure m,
                        estimate *rows, json_t *list) {
    status st = statistics_mean(all, size, arm, test, m, rows);
    for (int64_t r = 0; st == ST_OK && r < statistics_rows(all); r++) {
        if (rows[r].patients == 0) continue;
        json_array_append_new(
            list, json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o}", "labelled",
                            (json_int_t)all->labelled[size], "arm", arm_name(all, arm), "test",
                            test_set_name(test), "structure", statistics_row_name(all, r), "metric",
                            measure_name(m), "n_patients", (json_int_t)rows[r].patients, "value",
                            log_number(rows[r].value), "low", log_number(rows[r].low), "high",
                            log_number(rows[r].high)));
    }
    return st;
}

static status add_summary(const all_results *all, json_t *list) {
    status st = ST_OK;
    estimate *rows = NULL;
    TRY(array_alloc(&rows, statistics_rows(all), sizeof *rows, "means"));
    for (int64_t size = 0; size < all->sizes; size++)
        for (int arm = 0; arm < all->arms; arm++)
            for (int test = 0; test < TESTS; test++)
                for (int m = 0; m < MEASURES; m++)
                    TRY(add_means(all, size, arm, (test_set)test, (measure)m, rows, list));
done:
    free(rows);
    return st;
}

/* Adds the differences between two arms in one test set. Local. */
static status add_comparison(const all_results *all, int arm, int against, test_set test, measure m,
                             comparison_test *tests, json_t *list) {
    const int64_t rows = statistics_rows(all);
    status st = statistics_compare(all, arm, against, test, m, tests);
    for (int64_t i = 0; st == ST_OK && i < all->sizes * rows; i++) {
        const comparison_test *t = &tests[i];
        if (t->difference.patients == 0) continue;
        json_array_append_new(
            list,
            json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o}",
                      "labelled", (json_int_t)all->labelled[i / rows], "arm", arm_name(all, arm),
                      "against", arm_name(all, against), "test", test_set_name(test), "structure",
                      statistics_row_name(all, i % rows), "metric", measure_name(m), "n_patients",
                      (json_int_t)t->difference.patients, "difference",
                      log_number(t->difference.value), "low", log_number(t->difference.low), "high",
                      log_number(t->difference.high), "p", log_number(t->p), "p_holm",
                      log_number(t->p_holm), "effect", log_number(t->effect)));
    }
    return st;
}

/* Every arm against real slices alone, and synthetic slices against every other arm. Local. */
static status add_comparisons(const all_results *all, json_t *list) {
    status st = ST_OK;
    const int real = arm_index(all, ARM_REAL), synthetic = arm_index(all, ARM_REAL_PLUS_SYNTHETIC);
    comparison_test *tests = NULL;
    TRY(array_alloc(&tests, all->sizes * statistics_rows(all), sizeof *tests, "differences"));
    for (int arm = 0; arm < all->arms; arm++)
        for (int test = 0; test < TESTS; test++)
            for (int m = 0; m < MEASURES; m++) {
                if (arm != real)
                    TRY(add_comparison(all, arm, real, (test_set)test, (measure)m, tests, list));
                if (synthetic >= 0 && arm != real && arm != synthetic)
                    TRY(add_comparison(all, synthetic, arm, (test_set)test, (measure)m, tests,
                                       list));
            }
done:
    free(tests);
    return st;
}

static status add_savings(const all_results *all, json_t *list) {
    status st = ST_OK;
    const int real = arm_index(all, ARM_REAL), synthetic = arm_index(all, ARM_REAL_PLUS_SYNTHETIC);
    const double margin = all->study->evaluate.margin;
    for (int64_t size = 1; size < all->sizes && synthetic >= 0; size++)
        for (int test = 0; test < TESTS; test++) {
            saving s;
            TRY(statistics_saving(all, size, synthetic, real, (test_set)test, margin, &s));
            json_array_append_new(
                list, json_pack("{s:s, s:s, s:f, s:I, s:o, s:o, s:o, s:o}", "structure", "mean",
                                "test", test_set_name((test_set)test), "margin", margin, "labelled",
                                (json_int_t)all->labelled[size], "needed",
                                s.needed > 0 ? json_integer(s.needed) : json_null(), "saving",
                                log_number(s.saving), "low", log_number(s.low), "high",
                                log_number(s.high)));
        }
done:
    return st;
}

/* The validation Dice during the training, mean over sets and seeds. New reference. Local. */
static json_t *learning_of(const all_results *all) {
    json_t *list = json_array();
    for (int64_t size = 0; size < all->sizes; size++)
        for (int arm = 0; arm < all->arms; arm++) {
            json_t *steps = json_array(), *dice = json_array();
            for (int i = 0; i < CURVE_POINTS; i++) {
                double sum = 0;
                for (int64_t set = 0; set < all->sets; set++)
                    for (int64_t seed = 0; seed < all->seeds; seed++)
                        sum += results_of(all, size, set, arm, seed)->curve[i];
                json_array_append_new(
                    steps, json_integer(all->study->evaluate.steps * (i + 1) / CURVE_POINTS));
                json_array_append_new(dice, log_number(sum / (double)(all->sets * all->seeds)));
            }
            json_array_append_new(
                list, json_pack("{s:I, s:s, s:o, s:o}", "labelled", (json_int_t)all->labelled[size],
                                "arm", arm_name(all, arm), "steps", steps, "dice", dice));
        }
    return list;
}

status protocol_json(const all_results *all, json_t *metrics) {
    status st = ST_OK;
    json_t *summary = json_array(), *comparisons = json_array(), *savings = json_array();
    TRY(add_summary(all, summary));
    TRY(add_comparisons(all, comparisons));
    TRY(add_savings(all, savings));
    if (json_object_set_new(metrics, "schema", json_integer(2)) != 0 ||
        json_object_set_new(metrics, "protocol", protocol_of(all)) != 0 ||
        json_object_set(metrics, "summary", summary) != 0 ||
        json_object_set(metrics, "comparisons", comparisons) != 0 ||
        json_object_set(metrics, "saving", savings) != 0 ||
        json_object_set_new(metrics, "learning", learning_of(all)) != 0)
        st = status_memory("metrics.json", 0);
done:
    json_decref(summary);
    json_decref(comparisons);
    json_decref(savings);
    return st;
}

/* A text as a field in double quotes, which are doubled inside (RFC 4180). */
static void put_field(FILE *f, const char *text) {
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"') fputc('"', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

/* The lines of one training. */
static void put_result(const all_results *all, int64_t size, int64_t set, int arm, int64_t seed,
                       FILE *f) {
    const result *r = results_of(all, size, set, arm, seed);
    for (int t = 0; t < TESTS; t++)
        for (int64_t p = 0; p < r->patients; p++)
            for (int64_t row = 1; row < r->rows; row++)
                for (int m = 0; m < MEASURES; m++) {
                    const double value = result_at(r, (test_set)t, p, row)[m];
                    if (isnan(value)) continue;
                    fprintf(f, "%" PRId64 ",%" PRId64 ",%" PRId64 ",%s,%s,%" PRId64 ",",
                            all->labelled[size], set, seed, arm_name(all, arm),
                            test_set_name((test_set)t), p);
                    put_field(f, statistics_row_name(all, row));
                    fprintf(f, ",%s,%.9g\n", measure_name((measure)m), value);
                }
}

status results_csv(const all_results *all, char **text) {
    size_t bytes = 0;
    *text = NULL;
    FILE *f = open_memstream(text, &bytes);
    if (!f) return status_memory("metrics.csv", 0);
    fputs("labelled,set,seed,arm,test,patient,structure,metric,value\n", f);
    for (int64_t size = 0; size < all->sizes; size++)
        for (int64_t set = 0; set < all->sets; set++)
            for (int arm = 0; arm < all->arms; arm++)
                for (int64_t seed = 0; seed < all->seeds; seed++)
                    put_result(all, size, set, arm, seed, f);
    const bool failed = ferror(f);
    if (fclose(f) != 0 || failed) {
        free(*text);
        *text = NULL;
        return status_memory("metrics.csv", (int64_t)bytes);
    }
    return ST_OK;
}
