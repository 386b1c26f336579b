/* Training samples: a sample follows from its index, whichever rank asks and in any order; every
 * slice comes once an epoch; slices are windowed, framed, and otherwise unchanged unless
 * augmentation is on. */
#include "io/comm.h"
#include "io/store.h"
#include "pipeline/data/batch.h"
#include "tests/scratch.h"

#include <inttypes.h>
#include <math.h>

enum { SIDE = 16, PIXELS = SIDE * SIDE, VOLUMES = 3, SLICES = 5 + 6 + 7 };

static comm *world;

/* HU and label of a voxel. The HU exceed the window on both sides. */
static int16_t some_hu(int64_t i, int64_t z, int64_t y, int64_t x) {
    return (int16_t)(-1400 + 37 * x + 101 * y + 13 * z + 171 * i);
}
static uint8_t some_label(int64_t z, int64_t y, int64_t x) {
    return (uint8_t)((x / 4 + y + z) % 3);
}

/* While set, make_store() makes its volumes in reverse order, and 2 - label of each voxel. */
static bool other_way;

/* Volume i: 5 + i slices of height x width; contrast i % 2. */
static store *make_store(const char *name, int volumes, int64_t height, int64_t width,
                         const char *last_label) {
    char directory[PATH_SIZE];
    label_set labels = {.count = 3, .name = {"background", "soft"}};
    store_entry entries[VOLUMES] = {0};
    store_writer *w = NULL;
    store *s = NULL;
    snprintf(directory, sizeof directory, "%s/%s", home, name);
    snprintf(labels.name[2], LABEL_NAME, "%s", last_label);
    for (int i = 0; i < volumes; i++) {
        const int k = other_way ? volumes - 1 - i : i;
        snprintf(entries[i].id, VOLUME_ID, "p-%d-0", k);
        entries[i].contrast = k % 2;
        entries[i].space = (geometry){.shape = {5 + k, height, width},
                                      .spacing = {1, 1, 1},
                                      .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}};
    }
    store_plan plan = {.directory = directory,
                       .fingerprint = "0123456789abcdef0123456789abcdef"
                                      "0123456789abcdef0123456789abcdef",
                       .labels = &labels,
                       .entries = entries,
                       .count = volumes,
                       .shard_bytes = 1 << 20};
    assert_int_equal(store_writer_open(world, &plan, &w), ST_OK);
    for (int64_t i = 0; i < volumes; i++) {
        volume v = {.space = entries[i].space, .contrast = entries[i].contrast};
        memcpy(v.id, entries[i].id, sizeof v.id);
        assert_int_equal(volume_alloc(&v), ST_OK);
        for (int64_t z = 0, at = 0; z < v.space.shape[0]; z++)
            for (int64_t y = 0; y < height; y++)
                for (int64_t x = 0; x < width; x++, at++) {
                    v.hu[at] = some_hu(i, z, y, x);
                    v.labels[at] = some_label(z, y, x);
                    if (other_way) v.labels[at] = 2 - v.labels[at];
                }
        assert_int_equal(store_writer_put(w, i, &v), ST_OK);
        volume_free(&v);
    }
    assert_int_equal(store_writer_finish(w, ST_OK), ST_OK);
    assert_int_equal(store_open(directory, &s), ST_OK);
    return s;
}

static study make_study(void) {
    study st;
    study_defaults(&st);
    st.data.size = SIDE;
    return st;
}

/* All slices of a store. The caller frees the runs. */
static slices *open_all(const study *st, store *s, split_run **runs) {
    slices *all = NULL;
    slice_source source = {.from = s};
    assert_int_equal(slices_all_runs(s, runs, &source.run_count), ST_OK);
    source.runs = *runs;
    assert_int_equal(slices_open(st, &source, 1, &all), ST_OK);
    return all;
}

typedef struct sample {
    float image[PIXELS];
    uint8_t labels[PIXELS];
    slice_sample is;
} sample;

static sample draw(slices *s, uint64_t seed, int64_t index) {
    sample to = {0};
    slice_sample is = {.image = to.image, .labels = to.labels};
    assert_int_equal(slices_draw(s, seed, index, &is), ST_OK);
    to.is = is;
    to.is.image = NULL;
    to.is.labels = NULL;
    return to;
}

static sample get(slices *s, int64_t k) {
    sample to = {0};
    slice_sample is = {.image = to.image, .labels = to.labels};
    assert_int_equal(slices_get(s, k, &is), ST_OK);
    to.is = is;
    to.is.image = NULL;
    to.is.labels = NULL;
    return to;
}

static void assert_equal(const sample *a, const sample *b) {
    assert_memory_equal(a->image, b->image, sizeof a->image);
    assert_memory_equal(a->labels, b->labels, sizeof a->labels);
    assert_true(a->is.position == b->is.position && a->is.contrast == b->is.contrast);
    assert_true(a->is.volume == b->is.volume && a->is.slice == b->is.slice);
}

static void slices_at_their_own_size_are_windowed_only(void **state) {
    (void)state;
    study st = make_study();
    st.data.window[0] = -500;
    st.data.window[1] = 900;
    split_run *runs = NULL;
    store *s = make_store("square", VOLUMES, SIDE, SIDE, "bone");
    slices *all = open_all(&st, s, &runs);
    int64_t k = 0, clamped = 0;
    assert_int_equal(slices_count(all), SLICES);
    for (int64_t i = 0; i < VOLUMES; i++) {
        for (int64_t z = 0; z < 5 + i; z++, k++) {
            sample one = get(all, k);
            assert_int_equal(one.is.volume, i);
            assert_int_equal(one.is.slice, z);
            assert_int_equal(one.is.contrast, i % 2);
            assert_float_equal(one.is.position, (double)z / (double)(4 + i), 1e-6);
            for (int p = 0; p < PIXELS; p++) {
                double hu = some_hu(i, z, p / SIDE, p % SIDE);
                double value = fmin(fmax((hu + 500) / 1400 * 2 - 1, -1), 1);
                assert_float_equal(one.image[p], value, 1e-5);
                assert_int_equal(one.labels[p], some_label(z, p / SIDE, p % SIDE));
                clamped += hu < -500 || hu > 900;
            }
        }
    }
    assert_true(clamped > 0);
    slices_close(all);
    free(runs);
    store_close(s);
}

static void a_sample_follows_from_its_index(void **state) {
    (void)state;
    study st = make_study();
    split_run *runs = NULL, *more = NULL;
    store *s = make_store("index", VOLUMES, SIDE, SIDE, "bone");
    slices *upward = open_all(&st, s, &runs), *fresh = open_all(&st, s, &more);
    enum { N = 3 * SLICES };
    static sample seen[N];
    for (int64_t index = 0; index < N; index++) seen[index] = draw(upward, 11, index);
    for (int64_t index = N - 1; index >= 0; index -= 7) {
        sample again = draw(fresh, 11, index);
        assert_equal(&again, &seen[index]);
    }
    for (int64_t rank = 0; rank < 3; rank++) { /* three ranks, one after the other */
        for (int64_t index = rank; index < N; index += 3) {
            sample again = draw(upward, 11, index);
            assert_equal(&again, &seen[index]);
            for (int p = 0; p < PIXELS; p++)
                assert_true(again.image[p] >= -1 && again.image[p] <= 1 && again.labels[p] < 3);
        }
    }
    sample other = draw(fresh, 12, 0);
    assert_memory_not_equal(other.image, seen[0].image, sizeof other.image);
    slices_close(upward);
    slices_close(fresh);
    free(runs);
    free(more);
    store_close(s);
}

static void every_slice_once_an_epoch(void **state) {
    (void)state;
    study st = make_study();
    split_run *runs = NULL;
    store *s = make_store("epoch", VOLUMES, SIDE, SIDE, "bone");
    slices *all = open_all(&st, s, &runs);
    int64_t order[4][SLICES];
    for (int epoch = 0; epoch < 4; epoch++) {
        bool seen[VOLUMES][8] = {0};
        for (int64_t k = 0; k < SLICES; k++) {
            sample one = draw(all, 3, epoch * SLICES + k);
            assert_false(seen[one.is.volume][one.is.slice]);
            seen[one.is.volume][one.is.slice] = true;
            order[epoch][k] = 8 * one.is.volume + one.is.slice;
        }
        if (epoch > 0) assert_memory_not_equal(order[epoch], order[0], sizeof order[0]);
    }
    slices_close(all);
    free(runs);
    store_close(s);
}

static void without_augmentation_nothing_changes(void **state) {
    (void)state;
    study st = make_study();
    st.data.rotate = st.data.zoom = st.data.shift = st.data.elastic = 0;
    split_run *runs = NULL, *more = NULL;
    store *s = make_store("plain", VOLUMES, SIDE, SIDE, "bone");
    slices *plain = open_all(&st, s, &runs);
    st.data.flip = FLIP_HORIZONTAL;
    slices *flipped = open_all(&st, s, &more);
    int mirrored = 0;
    for (int64_t index = 0; index < 4 * SLICES; index++) {
        sample a = draw(plain, 5, index), b = draw(flipped, 5, index);
        sample is = {0};
        for (int64_t k = 0; k < SLICES; k++) {
            is = get(plain, k);
            if (is.is.volume == a.is.volume && is.is.slice == a.is.slice) break;
        }
        bool mirror = fabsf(b.image[PIXELS / 2] - is.image[PIXELS / 2]) > 1e-4f;
        mirrored += mirror;
        for (int p = 0; p < PIXELS; p++) {
            int q = mirror ? p / SIDE * SIDE + SIDE - 1 - p % SIDE : p;
            assert_float_equal(a.image[p], is.image[p], 1e-4);
            assert_int_equal(a.labels[p], is.labels[p]);
            assert_float_equal(b.image[q], is.image[p], 1e-4);
            assert_int_equal(b.labels[q], is.labels[p]);
        }
    }
    assert_in_range(mirrored, SLICES, 3 * SLICES); /* about half of 4 SLICES */
    slices_close(plain);
    slices_close(flipped);
    free(runs);
    free(more);
    store_close(s);
}

static void a_frame_of_air(void **state) {
    (void)state;
    study st = make_study();
    split_run *runs = NULL;
    store *s = make_store("tall", 1, 2 * SIDE, SIDE, "bone");
    slices *all = open_all(&st, s, &runs);
    sample one = get(all, 0);
    for (int p = 0; p < PIXELS; p++) {
        bool frame = p % SIDE < SIDE / 4 || p % SIDE >= SIDE - SIDE / 4;
        if (frame) assert_true(one.image[p] == -1 && one.labels[p] == 0);
    }
    assert_true(one.image[PIXELS / 2 + SIDE / 2] > -1);
    slices_close(all);
    free(runs);
    store_close(s);
}

static void sources_are_joined_in_order(void **state) {
    (void)state;
    study st = make_study();
    store *a = make_store("real", 1, SIDE, SIDE, "bone");
    store *b = make_store("synthetic", 2, SIDE / 2, SIDE / 2, "bone");
    store *c = make_store("other", 1, SIDE, SIDE, "lung");
    const split_run of_a[2] = {{0, 1, 2}, {0, 4, 1}}, of_b[1] = {{1, 2, 3}};
    slice_source sources[2] = {{a, of_a, 2}, {b, of_b, 1}};
    slices *joined = NULL;
    assert_int_equal(slices_open(&st, sources, 2, &joined), ST_OK);
    assert_int_equal(slices_count(joined), 6);
    const int64_t expected[6][2] = {{0, 1}, {0, 2}, {0, 4}, {1, 2}, {1, 3}, {1, 4}};
    for (int64_t k = 5; k >= 0; k--) {
        sample one = get(joined, k);
        assert_int_equal(one.is.volume, expected[k][0]);
        assert_int_equal(one.is.slice, expected[k][1]);
        assert_int_equal(one.is.contrast, k >= 3);
    }
    slice_sample nothing = {0};
    assert_int_equal(slices_get(joined, 6, &nothing), ST_INTERNAL);
    slices_close(joined);

    sources[1].from = c;
    sources[1].runs = of_a;
    assert_int_equal(slices_open(&st, sources, 2, &joined), ST_INPUT);
    assert_null(joined);
    sources[0].run_count = 0;
    assert_int_equal(slices_open(&st, sources, 1, &joined), ST_INPUT);
    store_close(a);
    store_close(b);
    store_close(c);
}

/* More slices than the cache holds: the others are read again and not confused. */
static void beyond_the_cache(void **state) {
    (void)state;
    enum { LARGE = 1024, N = 60 }; /* of which 51 fit in 256 MiB */
    study st = make_study();
    st.data.size = LARGE;
    store *s = make_store("large", 1, SIDE, SIDE, "bone");
    split_run runs[N / 5];
    for (int r = 0; r < N / 5; r++) runs[r] = (split_run){0, 0, 5};
    slice_source source = {s, runs, N / 5};
    slices *all = NULL;
    float *image = malloc(LARGE * LARGE * sizeof *image), *first[5];
    uint8_t *labels = malloc(LARGE * LARGE);
    assert_int_equal(slices_open(&st, &source, 1, &all), ST_OK);
    slice_sample is = {.image = image, .labels = labels};
    for (int k = 0; k < 5; k++) {
        first[k] = malloc(LARGE * LARGE * sizeof *image);
        slice_sample keep = {.image = first[k], .labels = labels};
        assert_int_equal(slices_get(all, k, &keep), ST_OK);
    }
    for (int round = 0; round < 2; round++) {
        for (int64_t k = round == 0 ? 0 : N - 12; k < N; k++) {
            assert_int_equal(slices_get(all, k, &is), ST_OK);
            assert_int_equal(is.slice, k % 5);
            assert_memory_equal(image, first[k % 5], LARGE * LARGE * sizeof *image);
        }
    }
    slices_close(all);
    for (int k = 0; k < 5; k++) free(first[k]);
    free(image);
    free(labels);
    store_close(s);
}

/* The labels of the source are not read: they are 0, or come from the volume of the same id of
 * another store. The image, the position and the class stay those of the source. */
static void labels_are_replaced(void **state) {
    (void)state;
    study st = make_study();
    slices *bare = NULL, *overlaid = NULL, *plain = NULL;
    store *from = make_store("hidden", VOLUMES, SIDE, SIDE, "bone");
    other_way = true;
    store *labels = make_store("overlay", VOLUMES, SIDE, SIDE, "bone");
    other_way = false;
    store *short_of = make_store("short", 2, SIDE, SIDE, "bone");
    store *wide = make_store("wide", VOLUMES, SIDE, SIDE + 1, "bone");
    store *other = make_store("other", VOLUMES, SIDE, SIDE, "other");
    const split_run runs[] = {{2, 1, 3}, {1, 0, 6}};
    const slice_source source = {.from = from, .runs = runs, .run_count = 2};
    assert_int_equal(slices_open(&st, &source, 1, &plain), ST_OK);
    assert_int_equal(slices_open_unlabelled(&st, &source, NULL, &bare), ST_OK);
    assert_int_equal(slices_open_unlabelled(&st, &source, labels, &overlaid), ST_OK);
    assert_int_equal(slices_count(overlaid), 9);
    for (int64_t k = 0; k < 9; k++) {
        sample a = get(plain, k), b = get(bare, k), c = get(overlaid, k);
        for (int p = 0; p < PIXELS; p++) {
            assert_int_equal(b.labels[p], 0);
            assert_int_equal(c.labels[p], 2 - a.labels[p]);
        }
        memcpy(b.labels, a.labels, sizeof b.labels);
        memcpy(c.labels, a.labels, sizeof c.labels);
        assert_equal(&a, &b);
        assert_equal(&a, &c);
        c = draw(overlaid, 3, k);
        b = draw(bare, 3, k);
        for (int p = 0; p < PIXELS; p++) assert_int_equal(b.labels[p], 0);
        memcpy(b.labels, c.labels, sizeof b.labels);
        assert_equal(&b, &c);
    }
    slices_close(plain);
    slices_close(bare);
    slices_close(overlaid);
    assert_int_equal(slices_open_unlabelled(&st, &source, short_of, &bare), ST_INPUT);
    assert_non_null(strstr(status_message(), "p-2-0 has no pseudo-labels"));
    assert_int_equal(slices_open_unlabelled(&st, &source, wide, &bare), ST_INPUT);
    assert_non_null(strstr(status_message(), "different shapes"));
    assert_int_equal(slices_open_unlabelled(&st, &source, other, &bare), ST_INPUT);
    store_close(from);
    store_close(labels);
    store_close(short_of);
    store_close(wide);
    store_close(other);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_at_their_own_size_are_windowed_only),
        cmocka_unit_test(a_sample_follows_from_its_index),
        cmocka_unit_test(every_slice_once_an_epoch),
        cmocka_unit_test(without_augmentation_nothing_changes),
        cmocka_unit_test(a_frame_of_air),
        cmocka_unit_test(sources_are_joined_in_order),
        cmocka_unit_test(beyond_the_cache),
        cmocka_unit_test(labels_are_replaced),
    };
    if (comm_start(&argc, &argv, &world) != ST_OK || !begin_scratch()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!end_scratch()) failed++;
    comm_stop(world);
    return failed;
}
