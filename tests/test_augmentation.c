/* Augmented slices have the noise and the edges of plain ones: the power spectrum of noise and the
 * width of an edge, both against slices that were only averaged to the working size. */
#include "io/comm.h"
#include "io/store.h"
#include "model/rng.h"
#include "pipeline/data/batch.h"
#include "tests/scratch.h"

#include <complex.h>
#include <math.h>

enum { SIZE = 64, CROP = 32, BINS = 8, SLICES = 48, DRAWS = 4 * SLICES };

static comm *world;

/* A store of one volume of SLICES slices of side x side pixels, filled by `hu`. */
typedef int16_t (*filler)(rng_stream *r, int64_t z, double y, double x);

static store *make_store(const char *name, int64_t side, filler hu) {
    const label_set labels = {2, {"background", "body"}};
    store_entry e = {.id = "p-0",
                     .space = {.shape = {SLICES, side, side},
                               .spacing = {1, 1, 1},
                               .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}}};
    const store_plan plan = {.directory = in_home(name),
                             .fingerprint = "f00d",
                             .labels = &labels,
                             .entries = &e,
                             .count = 1,
                             .shard_bytes = 1 << 30};
    store_writer *w = NULL;
    store *s = NULL;
    volume v = {.space = e.space};
    rng_stream r = rng_open(7, RNG_NOISE, (uint64_t)side, 0);
    snprintf(v.id, sizeof v.id, "%s", e.id);
    assert_ok(volume_alloc(&v));
    for (int64_t z = 0, at = 0; z < SLICES; z++)
        for (int64_t y = 0; y < side; y++)
            for (int64_t x = 0; x < side; x++, at++)
                v.hu[at] =
                    hu(&r, z, ((double)y + 0.5) / (double)side, ((double)x + 0.5) / (double)side);
    assert_ok(store_writer_open(world, &plan, &w));
    assert_ok(store_writer_put(w, 0, &v));
    assert_ok(store_writer_finish(w, ST_OK));
    volume_free(&v);
    assert_ok(store_open(in_home(name), &s));
    return s;
}

static int16_t noise_hu(rng_stream *r, int64_t z, double y, double x) {
    (void)z, (void)y, (void)x;
    return (int16_t)lround(200 * rng_normal(r));
}

/* A disc with a sharp rim; its centre differs from slice to slice. */
static const double RADIUS = 0.3;
static double centre_of(int64_t z) { return 0.5 + 0.013 * sin((double)z); }

static int16_t disc_hu(rng_stream *r, int64_t z, double y, double x) {
    (void)r;
    return hypot(y - centre_of(z), x - centre_of(z)) < RADIUS ? 400 : -400;
}

/* Adds the power of the middle CROP x CROP pixels, under a Hann window, by radial frequency. */
static void add_spectrum(const float *image, double power[BINS], int64_t count[BINS]) {
    const double pi = acos(-1);
    static double complex rows[CROP][CROP];
    double mean = 0;
    const float *from = image + (SIZE - CROP) / 2 * (SIZE + 1);
    for (int y = 0; y < CROP; y++)
        for (int x = 0; x < CROP; x++) mean += from[y * SIZE + x] / (CROP * CROP);
    for (int y = 0; y < CROP; y++)
        for (int u = 0; u < CROP; u++) {
            rows[y][u] = 0;
            for (int x = 0; x < CROP; x++) {
                double hann =
                    (1 - cos(2 * pi * (y + 0.5) / CROP)) * (1 - cos(2 * pi * (x + 0.5) / CROP));
                rows[y][u] += hann * (from[y * SIZE + x] - mean) * cexp(-2 * pi * I * u * x / CROP);
            }
        }
    for (int v = 0; v < CROP; v++)
        for (int u = 0; u < CROP; u++) {
            double complex sum = 0;
            double fv = v < CROP / 2 ? v : v - CROP, fu = u < CROP / 2 ? u : u - CROP;
            int bin = (int)(hypot(fv, fu) / (CROP / 2) * BINS);
            if (bin >= BINS || (u == 0 && v == 0)) continue;
            for (int y = 0; y < CROP; y++) sum += rows[y][u] * cexp(-2 * pi * I * v * y / CROP);
            power[bin] += creal(sum * conj(sum));
            count[bin]++;
        }
}

typedef struct set {
    store *store;
    slices *slices;
    split_run *runs;
} set;

static set open_set(const char *name, int64_t side, filler hu) {
    set s = {.store = make_store(name, side, hu)};
    slice_source source = {.from = s.store};
    study st;
    study_defaults(&st);
    st.data.size = SIZE;
    st.data.window[0] = -1000, st.data.window[1] = 1000;
    assert_ok(slices_all_runs(s.store, &s.runs, &source.run_count));
    source.runs = s.runs;
    assert_ok(slices_open(&st, &source, 1, &s.slices));
    return s;
}

static void close_set(set *s) {
    slices_close(s->slices);
    store_close(s->store);
    free(s->runs);
}

/* White noise as stored, at 256 and 512 pixels; within 10 % at every frequency. */
static void noise_keeps_its_power_spectrum(void **state) {
    (void)state;
    static float image[SIZE * SIZE];
    static uint8_t labels[SIZE * SIZE];
    for (int64_t side = 256; side <= 512; side += 256) {
        set s = open_set(side == 256 ? "noise256" : "noise512", side, noise_hu);
        slice_sample sample = {.image = image, .labels = labels};
        double plain[BINS] = {0}, augmented[BINS] = {0};
        int64_t n_plain[BINS] = {0}, n_augmented[BINS] = {0};
        for (int64_t k = 0; k < SLICES; k++) {
            assert_ok(slices_get(s.slices, k, &sample));
            add_spectrum(image, plain, n_plain);
        }
        for (int64_t k = 0; k < DRAWS; k++) {
            assert_ok(slices_draw(s.slices, 1, k, &sample));
            add_spectrum(image, augmented, n_augmented);
        }
        for (int b = 0; b < BINS; b++) {
            double ratio = augmented[b] / (double)n_augmented[b] / (plain[b] / (double)n_plain[b]);
            print_message("side %d, frequency %d/%d: power %.3f of plain\n", (int)side, b, BINS,
                          ratio);
            assert_true(ratio > 0.9 && ratio < 1.1);
        }
        close_set(&s);
    }
}

/* Standard deviation of the derivative of the profile across the rim, in pixels: the pixels of many
 * slices, by their distance from the rim. Zoom and shift of the slice are taken from its own area
 * and centroid. */
static double rim_width(set *s, bool augmented, int count) {
    enum { HALF = 6, FINE = 8, N = 2 * HALF * FINE };
    static float image[SIZE * SIZE];
    static uint8_t labels[SIZE * SIZE];
    double sum[N] = {0}, mean = 0, square = 0, total = 0;
    int64_t n[N] = {0};
    slice_sample sample = {.image = image, .labels = labels};
    for (int k = 0; k < count; k++) {
        double area = 0, cy = 0, cx = 0;
        if (augmented)
            assert_ok(slices_draw(s->slices, 2, k, &sample));
        else
            assert_ok(slices_get(s->slices, k, &sample));
        for (int p = 0; p < SIZE * SIZE; p++) {
            double inside = fmin(1, fmax(0, (image[p] + 0.4) / 0.8)); /* corners are air */
            area += inside, cy += inside * (p / SIZE), cx += inside * (p % SIZE);
        }
        cy /= area, cx /= area;
        double radius = sqrt(area / acos(-1));
        for (int p = 0; p < SIZE * SIZE; p++) {
            double away = hypot(p / SIZE - cy, p % SIZE - cx) - radius;
            int bin = (int)floor((away + HALF) * FINE);
            if (bin < 0 || bin >= N) continue;
            sum[bin] += image[p], n[bin]++;
        }
    }
    for (int b = 1; b < N; b++) {
        double step = sum[b - 1] / (double)n[b - 1] - sum[b] / (double)n[b],
               at = (double)b / FINE - HALF;
        mean += step * at, square += step * at * at, total += step;
    }
    return sqrt(square / total - mean / total * (mean / total));
}

/* Without elastic deformation, which bends the rim: rotation, zoom and shift. */
static void edges_keep_their_width(void **state) {
    (void)state;
    set s = open_set("disc", 512, disc_hu);
    study st;
    slice_source source = {.from = s.store, .runs = s.runs, .run_count = 1};
    study_defaults(&st);
    st.data.size = SIZE;
    st.data.window[0] = -1000, st.data.window[1] = 1000;
    st.data.elastic = 0;
    slices_close(s.slices);
    assert_ok(slices_open(&st, &source, 1, &s.slices));
    double plain = rim_width(&s, false, SLICES), augmented = rim_width(&s, true, DRAWS);
    print_message("rim: plain %.3f pixels, augmented %.3f\n", plain, augmented);
    assert_true(augmented < 1.1 * plain && augmented > 0.9 * plain);
    close_set(&s);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_keeps_its_power_spectrum),
        cmocka_unit_test(edges_keep_their_width),
    };
    if (comm_start(&argc, &argv, &world) != ST_OK || !begin_scratch()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!end_scratch()) failed++;
    comm_stop(world);
    return failed;
}
