/* Parses the entries of sweep.grid and sweep.points, and applies them to studies. */
#include "pipeline/study/sweep_plan.h"

#include "pipeline/study/study_table.h"

#include <inttypes.h>
#include <string.h>

_Static_assert((int)SWEEP_KEY >= (int)STUDY_PATH, "SWEEP_KEY");

/* Copies [from, end) without blanks around it; false if it is empty or does not fit. */
static bool copy_text(const char *from, const char *end, char *out, size_t size) {
    return study_copy_trimmed(from, end, out, size) && *out;
}

/* The part of a text up to `separator`; *rest: what follows it, NULL at the end. */
static const char *part_end(const char *text, char separator, const char **rest) {
    const char *end = strchr(text, separator);
    *rest = end ? end + 1 : NULL;
    return end ? end : text + strlen(text);
}

/* Splits "key: values" at the first colon; false without one. */
static bool split_key(const char *text, const char *end, char key[SWEEP_KEY], const char **value) {
    const char *colon = memchr(text, ':', (size_t)(end - text));
    if (!colon || !copy_text(text, colon, key, SWEEP_KEY)) return false;
    *value = colon + 1;
    return true;
}

/* Sets one key of a scratch study. ST_USAGE also if the key must not vary. */
static status apply(study *s, const char *key, const char *value) {
    const int k = study_key_find(key);
    if (k < 0) return study_key_unknown(key);
    const char *section = study_keys[k].section;
    if (strcmp(key, "seed") == 0)
        return status_fail(ST_USAGE, "seed is varied by sweep.seeds, for every point");
    if (*section == '\0' || strcmp(section, "ingest") == 0 || strcmp(section, "sweep") == 0)
        return status_fail(ST_USAGE, "%s is the same in all arms of a sweep", key);
    return study_value_parse(s, &study_keys[k], value);
}

static status in_entry(const char *key, const char *entry, status st) {
    if (st == ST_OK) return ST_OK;
    return status_fail(ST_USAGE, "%s: \"%.100s\": %s", key, entry, status_message());
}

/* Puts key and value number `wanted` (from 0) of an entry of the grid into *out, or its last value
 * if there are fewer. Returns the number of values up to there; 0 if the entry has not the form. */
static int64_t grid_value(const char *entry, int64_t wanted, sweep_setting *out) {
    const char *rest = NULL;
    int64_t n = 0;
    if (!split_key(entry, entry + strlen(entry), out->key, &rest)) return 0;
    for (const char *at = rest; at; at = rest, n++) {
        const char *end = part_end(at, '|', &rest);
        if (!copy_text(at, end, out->value, sizeof out->value)) return 0;
        if (n == wanted) return n + 1;
    }
    return n;
}

status sweep_grid_check(const char *const *texts, int64_t n) {
    study scratch;
    if (n == 0) return ST_OK; /* the default, which study_defaults() sets */
    study_defaults(&scratch);
    for (int64_t i = 0; i < n; i++) {
        sweep_setting one;
        const int64_t values = grid_value(texts[i], INT64_MAX, &one);
        if (values == 0)
            return status_fail(ST_USAGE, "sweep.grid: \"%.100s\" needs the form key: value | value",
                               texts[i]);
        for (int64_t v = 0; v < values; v++) {
            grid_value(texts[i], v, &one);
            status st = in_entry("sweep.grid", texts[i], apply(&scratch, one.key, one.value));
            if (st != ST_OK) return st;
        }
    }
    return ST_OK;
}

/* The settings of an entry of sweep.points; false if it does not have the form. */
static bool parse_point(const char *entry, sweep_point *out) {
    const char *rest = NULL;
    out->count = 0;
    for (const char *at = entry; at; at = rest) {
        const char *value, *end = part_end(at, ';', &rest);
        sweep_setting *one = &out->set[out->count];
        if (out->count == STUDY_LIST || !split_key(at, end, one->key, &value) ||
            !copy_text(value, end, one->value, sizeof one->value))
            return false;
        out->count++;
    }
    return out->count > 0;
}

status sweep_points_check(const char *const *texts, int64_t n) {
    study scratch;
    sweep_point p;
    if (n == 0) return ST_OK;
    study_defaults(&scratch);
    for (int64_t i = 0; i < n; i++) {
        if (!parse_point(texts[i], &p))
            return status_fail(ST_USAGE,
                               "sweep.points: \"%.100s\" needs the form key: value; key: value",
                               texts[i]);
        for (int k = 0; k < p.count; k++) {
            status st =
                in_entry("sweep.points", texts[i], apply(&scratch, p.set[k].key, p.set[k].value));
            if (st != ST_OK) return st;
        }
    }
    return ST_OK;
}

/* Combinations of the grid; SWEEP_POINTS_MAX + 1 if there are more than the largest sweep has. */
static int64_t combinations(const study *s) {
    const char *entry[STUDY_LIST];
    sweep_setting one;
    int64_t n = s->sweep.grid.count > 0;
    study_texts_at(&s->sweep.grid, entry);
    for (int i = 0; i < s->sweep.grid.count && n <= SWEEP_POINTS_MAX; i++)
        n *= grid_value(entry[i], INT64_MAX, &one);
    return n <= SWEEP_POINTS_MAX ? n : SWEEP_POINTS_MAX + 1;
}

status sweep_size(const study *s, int64_t *points, int64_t *seeds) {
    *points = combinations(s) + s->sweep.points.count;
    *seeds = s->sweep.seeds.count > 0 ? s->sweep.seeds.count : 1;
    if (*points == 0)
        return status_fail(ST_USAGE, "sweep: nothing is varied; give sweep.grid, such as "
                                     "[\"train.lr: 1e-4 | 3e-5\"], or sweep.points");
    if (*points > SWEEP_POINTS_MAX)
        return status_fail(ST_USAGE, "sweep: more than %d points", SWEEP_POINTS_MAX);
    return ST_OK;
}

void sweep_point_of(const study *s, int64_t i, sweep_point *out) {
    const char *entry[STUDY_LIST];
    const int64_t grid = combinations(s);
    *out = (sweep_point){0};
    if (i >= grid) {
        study_texts_at(&s->sweep.points, entry);
        parse_point(entry[i - grid], out);
        return;
    }
    study_texts_at(&s->sweep.grid, entry);
    out->count = s->sweep.grid.count;
    for (int k = out->count - 1; k >= 0; k--) {
        const int64_t values = grid_value(entry[k], INT64_MAX, &out->set[k]);
        grid_value(entry[k], i % values, &out->set[k]);
        i /= values;
    }
}

void sweep_title(const sweep_point *p, char *out, size_t size) {
    size_t at = 0;
    *out = '\0';
    for (int k = 0; k < p->count && at < size; k++)
        at += (size_t)snprintf(out + at, size - at, "%s%s %s", k ? ", " : "", p->set[k].key,
                               p->set[k].value);
}

int64_t sweep_seed(const study *s, int64_t i) {
    return s->sweep.seeds.count > 0 ? s->sweep.seeds.at[i] : s->seed;
}

status sweep_study(const study *s, const sweep_point *p, int64_t seed, study *out) {
    status st = ST_OK;
    *out = *s;
    out->seed = seed;
    out->sweep.grid.count = out->sweep.points.count = 0;
    out->sweep.seeds.count = 0;
    for (int k = 0; k < p->count; k++) TRY(apply(out, p->set[k].key, p->set[k].value));
    TRY(study_check(out));
done:
    return st;
}
