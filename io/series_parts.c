/* What may part a series is tried in turn: each attribute that tells passes apart, all of them
 * together, passes of ascending Instance Numbers, and folders. The first that leaves whole passes
 * is taken. */
#include "io/series_parts.h"

#include <math.h>
#include <string.h>

enum { ALL_KEYS = DICOM_PASS_KEYS, RUNS, FOLDERS, WAYS, RUN_MIN = 3 };

static int by_key(const void *left, const void *right, void *way) {
    const dicom_header *a = (*(const placed *const *)left)->header;
    const dicom_header *b = (*(const placed *const *)right)->header;
    const int key = *(const int *)way;
    if (key < ALL_KEYS) return strcmp(a->pass[key], b->pass[key]);
    if (key == ALL_KEYS) return memcmp(a->pass, b->pass, sizeof a->pass);
    const int64_t length_a = strrchr(a->path, '/') - a->path;
    const int64_t length_b = strrchr(b->path, '/') - b->path;
    const int order =
        strncmp(a->path, b->path, (size_t)(length_a < length_b ? length_a : length_b));
    return order ? order : (length_a > length_b) - (length_a < length_b);
}

static int by_instance(const void *left, const void *right) {
    const placed *a = *(const placed *const *)left, *b = *(const placed *const *)right;
    int order = (a->header->instance_number > b->header->instance_number) -
                (a->header->instance_number < b->header->instance_number);
    return order ? order : dicom_by_path(a->header, b->header);
}

/* Numbers slices of equal keys; returns how many numbers there are. */
static int64_t number_by_key(placed **order, int64_t n, int way) {
    int64_t passes = 0;
    qsort_r(order, (size_t)n, sizeof *order, by_key, &way);
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || by_key(&order[i - 1], &order[i], &way) != 0) passes++;
        order[i]->pass = passes - 1;
    }
    return passes;
}

/* Numbers runs of slices that go one way when they are taken by Instance Number. 0 if these are not
 * all there and different. */
static int64_t number_by_run(placed **order, int64_t n) {
    int64_t passes = 1;
    double way = 0;
    qsort(order, (size_t)n, sizeof *order, by_instance);
    if (order[0]->header->instance_number < 0) return 0;
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && order[i]->header->instance_number == order[i - 1]->header->instance_number)
            return 0;
        const double step = i > 0 ? order[i]->height - order[i - 1]->height : 0;
        if (i > 0 && (step == 0 || step * way < 0)) {
            passes++;
            way = 0;
        } else if (i > 0 && way == 0) {
            way = step;
        }
        order[i]->pass = passes - 1;
    }
    return passes;
}

/* Whether every pass is even, and the passes lie in one another. */
static status check_passes(const placed *slices, int64_t n, int64_t passes, int64_t least,
                           placed *room, bool *good) {
    int64_t changes = 0;
    *good = passes > 1 && passes * least <= n;
    for (int64_t i = 1; i < n; i++) changes += slices[i].pass != slices[i - 1].pass;
    *good &= changes > passes - 1;
    for (int64_t p = 0; p < passes && *good; p++) {
        stack_form form;
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++)
            if (slices[i].pass == p) room[count++] = slices[i];
        status st = stack_measure(room, count, &form);
        if (st != ST_OK) return st;
        *good = count >= least && form.fault == STACK_EVEN;
    }
    return ST_OK;
}

static const char *name_of(int way) {
    if (way < ALL_KEYS) return dicom_pass_name(way);
    if (way == RUNS) return "InstanceNumber (0020,0013)";
    return way == FOLDERS ? "the folder" : "several attributes";
}

status parts_find(placed *slices, int64_t n, int64_t *passes, const char **by) {
    status st;
    stack_form whole;
    placed **order = NULL, *room = NULL;
    bool good = false;
    *passes = 1;
    *by = NULL;
    TRY(array_alloc(&order, n, sizeof *order, "slices"));
    TRY(array_alloc(&room, n, sizeof *room, "slices"));
    TRY(stack_measure(slices, n, &whole));
    for (int way = 0; way < WAYS && !good && n >= 4; way++) {
        /* Folders say something only of slices that cannot be of one volume. */
        if (way == FOLDERS && whole.fault != STACK_CONFLICT) continue;
        for (int64_t i = 0; i < n; i++) order[i] = &slices[i];
        const int64_t found = way == RUNS ? number_by_run(order, n) : number_by_key(order, n, way);
        TRY(check_passes(slices, n, found, way == RUNS ? RUN_MIN : 2, room, &good));
        if (!good) continue;
        *passes = found;
        *by = name_of(way);
    }
    for (int64_t i = 0; i < n && !good; i++) slices[i].pass = 0;
done:
    free(order);
    free(room);
    return st;
}

static bool is_near(double gap, double usual) { return fabs(gap - usual) <= 0.01 * usual + 0.01; }

status parts_at_gaps(placed *slices, int64_t n, int64_t *runs) {
    stack_form form;
    status st = stack_measure(slices, n, &form);
    *runs = 0;
    for (int64_t i = 0, next; i < n && st == ST_OK; i = next) {
        const double step = i + 1 < n ? slices[i + 1].height - slices[i].height : 0;
        const double after = i + 2 < n ? slices[i + 2].height - slices[i + 1].height : 0;
        next = i + 1;
        if (i + 1 < n && (is_near(step, form.usual) || is_near(step, after)))
            while (next < n && is_near(slices[next].height - slices[next - 1].height, step)) next++;
        for (int64_t k = i; k < next; k++) slices[k].pass = next - i > 1 ? *runs : -1;
        *runs += next - i > 1;
    }
    return st;
}
