/* Loss curves: growing arrays of points, their JSON file and their plot. */
#include "pipeline/common/history.h"

#include "io/file.h"
#include "io/log.h"
#include "io/seal.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 64 << 20 };

static void curve_free(history_curve *c) {
    free(c->step);
    free(c->value);
    *c = (history_curve){0};
}

void history_free(history *h) {
    curve_free(&h->train);
    curve_free(&h->validation);
    curve_free(&h->open_sum);
    curve_free(&h->open_count);
}

status history_add(history_curve *c, double step, double value) {
    if (c->count == c->capacity) {
        int64_t capacity = c->capacity ? 2 * c->capacity : 256;
        double *steps = realloc(c->step, (size_t)capacity * sizeof(double));
        if (steps) c->step = steps;
        double *values = realloc(c->value, (size_t)capacity * sizeof(double));
        if (values) c->value = values;
        if (!steps || !values) return status_memory("the loss curve", capacity * 16);
        c->capacity = capacity;
    }
    c->step[c->count] = step;
    c->value[c->count++] = value;
    return ST_OK;
}

void history_open_at(const history *h, double step, double *sum, int64_t *count) {
    const history_curve *s = &h->open_sum, *n = &h->open_count;
    *sum = 0;
    *count = 0;
    if (s->count == 0 || s->count != n->count || s->step[s->count - 1] != step) return;
    const double counted = n->value[n->count - 1];
    if (!(counted >= 0 && counted <= INT32_MAX) || !isfinite(s->value[s->count - 1])) return;
    *sum = s->value[s->count - 1];
    *count = (int64_t)counted;
}

static status curve_read(json_t *file, const char *name, const char *path, double last,
                         history_curve *out) {
    json_t *steps = json_object_get(json_object_get(file, name), "step");
    json_t *values = json_object_get(json_object_get(file, name), "loss");
    if (!json_is_array(steps) || json_array_size(steps) != json_array_size(values))
        return status_fail(ST_INTEGRITY,
                           "%s: the curve %s is damaged; remove the file to continue without it",
                           path, name);
    for (size_t i = 0; i < json_array_size(steps); i++) {
        double step = json_number_value(json_array_get(steps, i));
        if (step > last) break;
        json_t *value = json_array_get(values, i);
        double loss = json_is_number(value) ? json_number_value(value) : (double)NAN;
        status st = history_add(out, step, loss);
        if (st != ST_OK) return st;
    }
    return ST_OK;
}

status history_read(const char *path, double step, history *out) {
    status st = ST_OK;
    char *text = NULL, seal[SHA256_HEX];
    int64_t bytes = 0;
    json_t *file = NULL;
    json_error_t error;
    *out = (history){0};
    if (!file_exists(path)) return ST_OK;
    TRY(file_read(path, FILE_MAX, &text, &bytes));
    file = json_loadb(text, (size_t)bytes, 0, &error);
    if (!file) {
        st = status_fail(ST_INTEGRITY, "%s:%d: %s", path, error.line, error.text);
        goto done;
    }
    TRY(seal_check(file, path, seal));
    TRY(seal_check_text(file, JSON_COMPACT, text, bytes, path));
    TRY(curve_read(file, "train", path, step, &out->train));
    TRY(curve_read(file, "validation", path, step, &out->validation));
    if (!json_object_get(file, "open_sum")) goto done;
    TRY(curve_read(file, "open_sum", path, step, &out->open_sum));
    TRY(curve_read(file, "open_count", path, step, &out->open_count));
done:
    if (st != ST_OK) history_free(out);
    json_decref(file);
    free(text);
    return st;
}

static json_t *curve_json(const history_curve *c) {
    json_t *steps = json_array(), *values = json_array();
    for (int64_t i = 0; i < c->count; i++) {
        json_array_append_new(steps, json_real(c->step[i]));
        /* JSON has no NaN: the loss of a skipped step becomes null. */
        json_array_append_new(values, isfinite(c->value[i]) ? json_real(c->value[i]) : json_null());
    }
    return json_pack("{s:o, s:o}", "step", steps, "loss", values);
}

status history_write(const history *h, const char *path) {
    json_t *file = json_pack("{s:o, s:o}", "train", curve_json(&h->train), "validation",
                             curve_json(&h->validation));
    char *text = NULL;
    if (file && h->open_sum.count > 0) {
        json_object_set_new(file, "open_sum", curve_json(&h->open_sum));
        json_object_set_new(file, "open_count", curve_json(&h->open_count));
    }
    status st = file ? seal_put(file) : status_memory("the loss curve", h->train.count * 32);
    if (st == ST_OK && !(text = json_dumps(file, JSON_COMPACT)))
        st = status_memory("the loss curve", h->train.count * 32);
    if (st == ST_OK) st = file_write_atomic(path, text, (int64_t)strlen(text));
    free(text);
    json_decref(file);
    return st;
}

/* log10 of the values of a curve, NAN where a value is not positive (malloc'd; NULL: out of
 * memory). Widens [*low, *high] to include them. */
static double *log_values(const history_curve *c, double *low, double *high) {
    double *y = malloc((size_t)(c->count > 0 ? c->count : 1) * sizeof *y);
    for (int64_t i = 0; y && i < c->count; i++) {
        y[i] = c->value[i] > 0 ? log10(c->value[i]) : (double)NAN;
        if (y[i] < *low) *low = y[i];
        if (y[i] > *high) *high = y[i];
    }
    return y;
}

status history_draw(const history *h, int64_t height, int64_t width, image *out) {
    static const uint8_t white[3] = {255, 255, 255}, frame[3] = {160, 160, 160};
    static const uint8_t blue[3] = {0, 114, 178}, orange[3] = {213, 94, 0};
    int64_t edge = 8, inner_h = height - 2 * edge, inner_w = width - 2 * edge;
    double low = INFINITY, high = -INFINITY;
    double *train = log_values(&h->train, &low, &high);
    double *validation = log_values(&h->validation, &low, &high);
    double last = h->train.count > 0 ? h->train.step[h->train.count - 1] : 1;
    status st = train && validation ? image_create(height, width, white, out)
                                    : status_memory("the loss curve", h->train.count * 8);
    if (st == ST_OK && high >= low) {
        double box_x[] = {0, 1, 1}, bottom[] = {0, 0, 1};
        if (high - low < 1e-6) high = low + 1e-6;
        image_draw_curve(out, edge, edge, inner_h, inner_w, (double[]){0, 1}, (double[]){0, 0}, 2,
                         0, 1, 0, 1, frame);
        image_draw_curve(out, edge, edge, inner_h, inner_w, box_x, bottom, 3, 0, 1, 0, 1, frame);
        image_draw_curve(out, edge, edge, inner_h, inner_w, h->train.step, train, h->train.count, 0,
                         last, low, high, blue);
        image_draw_curve(out, edge, edge, inner_h, inner_w, h->validation.step, validation,
                         h->validation.count, 0, last, low, high, orange);
    }
    free(train);
    free(validation);
    return st;
}
