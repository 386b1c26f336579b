/* Holds and stores the results of one training. */
#include "pipeline/evaluate/results.h"

#include "io/alloc.h"
#include "io/part_file.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* What a part holds before the values. */
typedef struct result_header {
    int64_t patients, rows, parameters;
    double seconds, curve[CURVE_POINTS];
} result_header;

static int64_t count_values(const result *r) { return TESTS * r->patients * r->rows * MEASURES; }

status result_alloc(int64_t patients, int64_t rows, result *out) {
    *out = (result){.patients = patients, .rows = rows};
    status st = array_alloc(&out->value, count_values(out), sizeof *out->value, "results");
    for (int64_t i = 0; st == ST_OK && i < count_values(out); i++) out->value[i] = (double)NAN;
    for (int i = 0; i < CURVE_POINTS; i++) out->curve[i] = (double)NAN;
    return st;
}

void result_free(result *r) {
    free(r->value);
    r->value = NULL;
}

double *result_at(const result *r, test_set test, int64_t patient, int64_t row) {
    return r->value + (((int64_t)test * r->patients + patient) * r->rows + row) * MEASURES;
}

/* *block = header and values; the caller frees it. Local. */
static status pack(const result *r, char **block, int64_t *bytes) {
    result_header header;
    memset(&header, 0, sizeof header); /* the bytes between members are written, too */
    *bytes = (int64_t)sizeof header + count_values(r) * (int64_t)sizeof *r->value;
    header.patients = r->patients;
    header.rows = r->rows;
    header.parameters = r->parameters;
    header.seconds = r->seconds;
    memcpy(header.curve, r->curve, sizeof header.curve);
    status st = array_alloc(block, *bytes, 1, "a result");
    if (st != ST_OK) return st;
    memcpy(*block, &header, sizeof header);
    memcpy(*block + sizeof header, r->value, (size_t)*bytes - sizeof header);
    return ST_OK;
}

status result_write(const result *r, const char *path, const char fingerprint[SHA256_HEX]) {
    char *block = NULL;
    int64_t bytes;
    status st = pack(r, &block, &bytes);
    if (st == ST_OK) st = part_write(path, fingerprint, block, bytes);
    free(block);
    return st;
}

status result_read(result *r, const char *path, const char fingerprint[SHA256_HEX]) {
    status st = ST_OK;
    char *block = NULL;
    int64_t bytes;
    result_header header;
    TRY(pack(r, &block, &bytes));
    TRY(part_read(path, fingerprint, block, bytes));
    memcpy(&header, block, sizeof header);
    if (header.patients != r->patients || header.rows != r->rows)
        TRY(status_fail(ST_INTEGRITY, "%s: a result of other patients or structures", path));
    memcpy(r->value, block + sizeof header, (size_t)bytes - sizeof header);
    memcpy(r->curve, header.curve, sizeof header.curve);
    r->parameters = header.parameters;
    r->seconds = header.seconds;
done:
    free(block);
    return st;
}

const char *measure_name(measure m) {
    static const char *const names[MEASURES] = {"dice", "hd95_mm", "nsd", "volume_error"};
    return names[m];
}

const char *test_set_name(test_set t) {
    static const char *const names[TESTS] = {"plain", "shifted"};
    return names[t];
}

const char *lesion_size_name(int size) {
    static const char *const names[LESION_SIZES] = {"lesion <10 mm", "lesion 10-20 mm",
                                                    "lesion >20 mm"};
    return names[size];
}

bool is_lesion(const char *structure) {
    static const char *const words[] = {"lesion", "tumor", "tumour", "mass", "nodule", "metast"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (const char *at = structure; (at = strcasestr(at, words[i])); at++) {
            const char *end = at + strlen(words[i]);
            /* A word of its own: not "masseter"; "lesions" and "metastases" are. */
            const bool whole = !isalpha((unsigned char)*end) || strcmp(words[i], "mass") != 0;
            if (whole) return true;
        }
    return false;
}
