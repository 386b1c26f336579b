/* Rounding. A number that is written with d digits behind the point is known to half of 10^-d.
 * Writers drop zeros at the end, so that d is the largest of a series. A step counts as even if
 * one straight line goes through all positions within what is known of them, and if this is little
 * beside the step: positions in whole millimetres say nothing of a step of 1 mm. A couch that
 * trembles by a hundredth of the step is even, too.
 */
#include "io/stack.h"

#include <math.h>
#include <string.h>

/* Directions in three digits or more are compared by their digits. */
static const double COSINE_COARSE = 5e-3, COSINE_FINE = 1e-4, SAME_PLACE = 1e-3;

static double dot(const double *a, const double *b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static double cosine_error(const dicom_header *h) {
    return fmin(0.5 * pow(10, -h->orientation_digits), COSINE_COARSE);
}

const char *stack_difference(const dicom_header *a, const dicom_header *b) {
    const double cosine = COSINE_FINE + cosine_error(a) + cosine_error(b);
    if (a->rows != b->rows) return "Rows (0028,0010)";
    if (a->columns != b->columns) return "Columns (0028,0011)";
    for (int i = 0; i < 6; i++)
        if (fabs(a->orientation[i] - b->orientation[i]) > cosine)
            return "ImageOrientationPatient (0020,0037)";
    for (int i = 0; i < 2; i++)
        if (fabs(a->pixel_spacing[i] - b->pixel_spacing[i]) > 1e-4 * b->pixel_spacing[i])
            return "PixelSpacing (0028,0030)";
    if (*a->frame_of_reference_uid && *b->frame_of_reference_uid &&
        strcmp(a->frame_of_reference_uid, b->frame_of_reference_uid) != 0)
        return STACK_FRAME_TAG;
    return NULL;
}

static void cross(const double *r, const double *c, double out[3]) {
    out[0] = r[1] * c[2] - r[2] * c[1];
    out[1] = r[2] * c[0] - r[0] * c[2];
    out[2] = r[0] * c[1] - r[1] * c[0];
}

void stack_normal(const dicom_header *h, double normal[3]) {
    cross(h->orientation, h->orientation + 3, normal);
}

const dicom_header *stack_reference(const placed *slices, int64_t n) {
    const dicom_header *best = slices[0].header;
    for (int64_t i = 1; i < n; i++)
        if (slices[i].header->orientation_digits > best->orientation_digits)
            best = slices[i].header;
    return best;
}

/* How far a position along the unit vector `axis` may be from what is written, mm. */
static double position_error(const placed *slices, int64_t n, const double axis[3]) {
    int digits[3] = {0, 0, 0};
    double error = 0;
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < 3; k++)
            if (slices[i].header->position_digits[k] > digits[k])
                digits[k] = slices[i].header->position_digits[k];
    for (int k = 0; k < 3; k++) error += fabs(axis[k]) * 0.5 * pow(10, -digits[k]);
    return error;
}

/* Half of the range of what remains when a line of this slope is taken away. */
static double remainder_of(const placed *slices, int64_t n, double slope) {
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        const double rest = slices[i].height - slices[0].height - slope * (double)i;
        low = fmin(low, rest);
        high = fmax(high, rest);
    }
    return (high - low) / 2;
}

/* The slope of a line that all heights lie within `error` of: that of least squares, or the one of
 * the least remainder, which is a convex function of it. 0 if there is none. */
static double fit_slope(const placed *slices, int64_t n, double error) {
    double sum = 0, weight = 0;
    const double middle = (double)(n - 1) / 2;
    for (int64_t i = 0; i < n; i++) {
        sum += ((double)i - middle) * (slices[i].height - slices[0].height);
        weight += ((double)i - middle) * ((double)i - middle);
    }
    const double slope = sum / weight;
    if (remainder_of(slices, n, slope) <= error) return slope;
    double low = 0.9 * slope, high = 1.1 * slope;
    for (int k = 0; k < 60; k++) {
        const double a = low + (high - low) / 3, b = high - (high - low) / 3;
        if (remainder_of(slices, n, a) < remainder_of(slices, n, b))
            high = b;
        else
            low = a;
    }
    return remainder_of(slices, n, low) <= error ? low : 0;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool is_near(double gap, double usual) { return fabs(gap - usual) <= 0.01 * usual + 0.01; }

/* Whether the gaps are of one size up to some slice and of another from there on. */
static bool is_step(const double *gaps, int64_t count, stack_form *out) {
    int64_t change = 1;
    while (change < count && is_near(gaps[change], gaps[0])) change++;
    if (change < 2 || count - change < 2) return false;
    for (int64_t i = change; i < count; i++)
        if (!is_near(gaps[i], gaps[change])) return false;
    out->at = change + 1;
    out->gap = gaps[change];
    out->usual = gaps[0];
    return true;
}

/* What is wrong with uneven gaps, of which gaps[first] is the first that is not the usual one. */
static void name_fault(const double *gaps, int64_t count, int64_t first, stack_form *out) {
    const double usual = out->usual;
    int64_t odd = 0;
    bool multiples = true;
    out->fault = STACK_UNEVEN;
    out->at = first + 1;
    out->gap = gaps[first];
    for (int64_t i = 0; i < count; i++) {
        const double times = gaps[i] / usual;
        odd += !is_near(gaps[i], usual);
        multiples &= fabs(times - floor(times + 0.5)) < 0.02 && times > 0.5;
    }
    if (is_step(gaps, count, out))
        out->fault = STACK_STEP;
    else if (odd == 2 && first + 1 < count && is_near((gaps[first] + gaps[first + 1]) / 2, usual) &&
             !is_near(gaps[first + 1], usual))
        out->fault = STACK_PLACE;
    else if (multiples)
        out->fault = STACK_GAP;
    else if (odd == 1 && first == 0)
        out->at = 0;
}

/* The usual gap is the smaller median: a missing slice does not change it. */
static status measure_gaps(const placed *slices, int64_t n, double error, stack_form *out) {
    status st;
    double *gaps = NULL, *sorted = NULL;
    TRY(array_alloc(&gaps, n - 1, sizeof *gaps, "slice distances"));
    TRY(array_alloc(&sorted, n - 1, sizeof *sorted, "slice distances"));
    for (int64_t i = 0; i < n - 1; i++) {
        gaps[i] = sorted[i] = slices[i + 1].height - slices[i].height;
        if (gaps[i] > SAME_PLACE) continue;
        *out = (stack_form){.fault = STACK_CONFLICT, .at = i + 1, .gap = gaps[i]};
        goto done;
    }
    qsort(sorted, (size_t)(n - 1), sizeof *sorted, by_value);
    out->usual = sorted[(n - 2) / 2];
    out->spacing = (slices[n - 1].height - slices[0].height) / (double)(n - 1);
    int64_t first = 0;
    while (first < n - 1 && is_near(gaps[first], out->usual)) first++;
    if (first == n - 1) goto done;
    const double allowed = fmax(1.01 * error + 1e-6, 0.01 * out->usual + 0.005);
    const double slope = fit_slope(slices, n, allowed);
    if (slope > 0 && 2 * error <= 0.35 * slope) {
        out->spacing = slope;
        goto done;
    }
    name_fault(gaps, n - 1, first, out);
done:
    free(gaps);
    free(sorted);
    return st;
}

/* A tilted gantry shears the stack, but the axes of a volume are orthogonal. */
static void measure_drift(const placed *slices, int64_t n, double error, stack_form *out) {
    const dicom_header *like = stack_reference(slices, n);
    const double *from = slices[0].header->position;
    const double length = slices[n - 1].height - slices[0].height;
    double step[3];
    for (int i = 0; i < 3; i++) step[i] = slices[n - 1].header->position[i] - from[i];
    out->drift[0] = dot(step, like->orientation);
    out->drift[1] = dot(step, like->orientation + 3);
    out->upright = true;
    out->steady = true;
    for (int64_t i = 0; i < n; i++)
        for (int axis = 0; axis < 2; axis++) {
            const double pixel = like->pixel_spacing[axis == 0 ? 1 : 0];
            const double share = length > 0 ? (slices[i].height - slices[0].height) / length : 0;
            for (int k = 0; k < 3; k++) step[k] = slices[i].header->position[k] - from[k];
            const double drift = dot(step, like->orientation + 3 * axis);
            out->upright &= fabs(drift) <= pixel;
            out->steady &= fabs(drift - share * out->drift[axis]) <= 0.1 * pixel + 2 * error;
        }
}

status stack_measure(const placed *slices, int64_t n, stack_form *out) {
    double normal[3];
    *out = (stack_form){.upright = true, .steady = true};
    if (n < 2) return ST_OK;
    stack_normal(stack_reference(slices, n), normal);
    const double error = position_error(slices, n, normal);
    status st = measure_gaps(slices, n, error, out);
    if (st == ST_OK && out->fault == STACK_EVEN) measure_drift(slices, n, error, out);
    return st;
}

/* Scales a vector to length 1; one that has it already is kept bit for bit. */
static void normalise(double v[3]) {
    const double length = sqrt(dot(v, v));
    if (fabs(length - 1) < 1e-9) return;
    for (int i = 0; i < 3; i++) v[i] /= length;
}

geometry stack_geometry(const placed *slices, int64_t n, double spacing) {
    const dicom_header *like = stack_reference(slices, n), *first = slices[0].header;
    geometry space = {.shape = {n, first->rows, first->columns},
                      .spacing = {spacing, first->pixel_spacing[0], first->pixel_spacing[1]}};
    double *normal = space.direction, *column = normal + 3, *row = normal + 6;
    memcpy(space.origin, first->position, sizeof space.origin);
    memcpy(row, like->orientation, 3 * sizeof *row);
    memcpy(column, like->orientation + 3, 3 * sizeof *column);
    normalise(row);
    const double lean = dot(row, column);
    for (int i = 0; i < 3 && fabs(lean) > 1e-9; i++) column[i] -= lean * row[i];
    normalise(column);
    cross(row, column, normal);
    return space;
}
