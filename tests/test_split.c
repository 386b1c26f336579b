/* The split: no patient in two parts, every slice in one part, blocks that cover the anatomy, and
 * draws that do not depend on the other patients of the archive. */
#include "io/comm.h"
#include "io/store.h"
#include "pipeline/data/split.h"
#include "tests/scratch.h"

#include <inttypes.h>

static comm *world;

/* A store of `patients` patients with `series` volumes each, `depth` slices of 2 x 2. Volumes i
 * with unlabelled[i] have no labels (NULL: all have). */
static store *make_partly_labelled(int patients, int series, int64_t depth,
                                   const bool *unlabelled) {
    static int serial;
    char directory[PATH_SIZE];
    label_set labels = {.count = 1, .name = {"background"}};
    store_entry entries[64] = {0};
    store_writer *w = NULL;
    store *s = NULL;
    snprintf(directory, sizeof directory, "%s/store-%d", home, serial++);
    for (int i = 0; i < patients * series; i++) {
        snprintf(entries[i].id, VOLUME_ID, "p-%016x-%08x", i / series * 0x1234567, i % series);
        entries[i].space = (geometry){
            .shape = {depth, 2, 2}, .spacing = {1, 1, 1}, .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}};
        entries[i].unlabelled = unlabelled && unlabelled[i];
    }
    store_plan plan = {.directory = directory,
                       .fingerprint = "0123456789abcdef0123456789abcdef"
                                      "0123456789abcdef0123456789abcdef",
                       .labels = &labels,
                       .entries = entries,
                       .count = patients * series,
                       .shard_bytes = 1 << 20};
    assert_int_equal(store_writer_open(world, &plan, &w), ST_OK);
    for (int i = 0; i < patients * series; i++) {
        volume v = {.space = entries[i].space};
        memcpy(v.id, entries[i].id, sizeof v.id);
        assert_int_equal(volume_alloc(&v), ST_OK);
        assert_int_equal(store_writer_put(w, i, &v), ST_OK);
        volume_free(&v);
    }
    assert_int_equal(store_writer_finish(w, ST_OK), ST_OK);
    assert_int_equal(store_open(directory, &s), ST_OK);
    return s;
}

static store *make_store(int patients, int series, int64_t depth) {
    return make_partly_labelled(patients, series, depth, NULL);
}

static study make_study(int64_t seed, double train, double validation, double test) {
    study st;
    study_defaults(&st);
    st.seed = seed;
    st.data.split[0] = train;
    st.data.split[1] = validation;
    st.data.split[2] = test;
    return st;
}

/* Fills part_of[volume * depth + slice]. Fails if a slice is missing or in two parts, or if the
 * counts are wrong. */
static void read_parts(const split *sp, int64_t volumes, int64_t depth, bool shared, int *part_of) {
    for (int64_t k = 0; k < volumes * depth; k++) part_of[k] = -1;
    for (int p = 0; p < SPLIT_PARTS; p++) {
        int64_t seen = 0;
        for (int64_t r = 0; r < sp->run_count[p]; r++) {
            const split_run *run = &sp->runs[p][r];
            assert_in_range(run->volume, 0, volumes - 1);
            assert_true(run->first >= 0 && run->count >= 1 && run->first + run->count <= depth);
            seen += run->count;
            for (int64_t z = run->first; z < run->first + run->count; z++) {
                int *at = &part_of[run->volume * depth + z];
                if (shared && p == SPLIT_TEST)
                    assert_int_equal(*at, SPLIT_VALIDATION);
                else
                    assert_int_equal(*at, -1);
                *at = p;
            }
        }
        assert_int_equal(seen, sp->slices[p]);
        assert_true(seen > 0 || p == SPLIT_UNLABELLED);
    }
    for (int64_t k = 0; k < volumes * depth; k++) assert_int_not_equal(part_of[k], -1);
}

static void a_patient_on_two_sides_is_noticed(void **state) {
    (void)state;
    enum { PATIENTS = 10, SERIES = 2, DEPTH = 4 };
    store *s = make_store(PATIENTS, SERIES, DEPTH);
    study st = make_study(1, 0.6, 0.2, 0.2);
    static const split_part sides[][2] = {{SPLIT_TRAIN, SPLIT_TEST},
                                          {SPLIT_TRAIN, SPLIT_VALIDATION},
                                          {SPLIT_VALIDATION, SPLIT_TEST},
                                          {SPLIT_UNLABELLED, SPLIT_TEST}};
    st.data.labelled = 3;
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        split sp;
        assert_int_equal(split_create(s, &st, &sp), ST_OK);
        assert_int_equal(split_check(s, &sp), ST_OK);
        /* One of the patient's volumes takes the place of a volume of the other side. */
        split_run *to = &sp.runs[sides[k][1]][sp.run_count[sides[k][1]] - 1];
        const split_run kept = *to;
        to->volume = sp.runs[sides[k][0]][0].volume;
        assert_int_equal(split_check(s, &sp), ST_INTEGRITY);
        assert_says("on two sides");
        *to = kept;
        /* Training patients with and without labels are on one side. */
        sp.runs[SPLIT_UNLABELLED][0].volume = sp.runs[SPLIT_TRAIN][0].volume;
        assert_int_equal(split_check(s, &sp), ST_OK);
        split_free(&sp);
    }
    store_close(s);
}

static void patients_are_whole(void **state) {
    (void)state;
    enum { PATIENTS = 10, SERIES = 3, DEPTH = 4 };
    store *s = make_store(PATIENTS, SERIES, DEPTH);
    int first[PATIENTS * SERIES * DEPTH], other[PATIENTS * SERIES * DEPTH];
    int differ = 0;
    for (int64_t seed = 0; seed < 5; seed++) {
        study st = make_study(seed, 0.7, 0.1, 0.2);
        split sp;
        assert_int_equal(split_create(s, &st, &sp), ST_OK);
        assert_false(sp.by_blocks);
        read_parts(&sp, PATIENTS * SERIES, DEPTH, false, other);
        for (int k = 0; k < PATIENTS * SERIES * DEPTH; k++)
            assert_int_equal(other[k], other[k / (SERIES * DEPTH) * (SERIES * DEPTH)]);
        assert_int_equal(sp.patients[SPLIT_TRAIN], 7);
        assert_int_equal(sp.patients[SPLIT_VALIDATION], 1);
        assert_int_equal(sp.patients[SPLIT_TEST], 2);
        assert_int_equal(sp.slices[SPLIT_TEST], 2 * SERIES * DEPTH);
        if (seed == 0) memcpy(first, other, sizeof first);
        differ += memcmp(first, other, sizeof first) != 0;
        split_free(&sp);
    }
    assert_true(differ >= 3); /* the seed decides */
    store_close(s);
}

/* Patients keep their order when others join the archive, so one of the two training sets,
 * restricted to the old patients, contains the other. */
static void newcomers_move_nobody(void **state) {
    (void)state;
    enum { FEW = 10, MANY = 19 };
    store *few = make_store(FEW, 1, 3), *many = make_store(MANY, 1, 3);
    for (int64_t seed = 0; seed < 20; seed++) {
        study st = make_study(seed, 0.5, 0.2, 0.3);
        int before[FEW * 3], after[MANY * 3];
        split sp;
        assert_int_equal(split_create(few, &st, &sp), ST_OK);
        read_parts(&sp, FEW, 3, false, before);
        split_free(&sp);
        assert_int_equal(split_create(many, &st, &sp), ST_OK);
        read_parts(&sp, MANY, 3, false, after);
        split_free(&sp);
        int only_before = 0, only_after = 0;
        for (int i = 0; i < FEW; i++) {
            bool was = before[3 * i] == SPLIT_TEST, is = after[3 * i] == SPLIT_TEST;
            only_before += was && !is;
            only_after += is && !was;
        }
        assert_true(only_before == 0 || only_after == 0);
    }
    store_close(few);
    store_close(many);
}

/* Labels are hidden from training patients alone; the sets of one draw are nested, another draw is
 * another set; all series of a patient stay together. */
static void labels_are_hidden(void **state) {
    (void)state;
    enum { PATIENTS = 20, SERIES = 2, DEPTH = 3, EACH = SERIES * DEPTH };
    store *s = make_store(PATIENTS, SERIES, DEPTH);
    int all[PATIENTS * EACH], sets[3][PATIENTS * EACH], other[PATIENTS * EACH];
    study st = make_study(3, 0.5, 0.2, 0.3);
    split sp;
    assert_int_equal(split_create(s, &st, &sp), ST_OK);
    assert_int_equal(sp.patients[SPLIT_UNLABELLED], 0);
    read_parts(&sp, PATIENTS * SERIES, DEPTH, false, all);
    split_free(&sp);
    for (int k = 0; k < 3; k++) {
        st.data.labelled = 2 << k;
        assert_int_equal(split_create(s, &st, &sp), ST_OK);
        assert_int_equal(sp.patients[SPLIT_TRAIN], 2 << k);
        assert_int_equal(sp.patients[SPLIT_UNLABELLED], 10 - (2 << k));
        read_parts(&sp, PATIENTS * SERIES, DEPTH, false, sets[k]);
        split_free(&sp);
        for (int i = 0; i < PATIENTS * EACH; i++) {
            assert_int_equal(sets[k][i], sets[k][i / EACH * EACH]);
            if (sets[k][i] != SPLIT_UNLABELLED)
                assert_int_equal(sets[k][i], all[i]);
            else
                assert_int_equal(all[i], SPLIT_TRAIN);
            if (k > 0 && sets[k - 1][i] == SPLIT_TRAIN) assert_int_equal(sets[k][i], SPLIT_TRAIN);
        }
    }
    st.data.labelled_set = 1;
    assert_int_equal(split_create(s, &st, &sp), ST_OK);
    read_parts(&sp, PATIENTS * SERIES, DEPTH, false, other);
    split_free(&sp);
    assert_true(memcmp(other, sets[2], sizeof other) != 0);
    st.data.labelled = 11;
    assert_int_equal(split_create(s, &st, &sp), ST_INPUT);
    store_close(s);
    store *one = make_store(1, 2, 9);
    st.data.labelled = 1;
    assert_int_equal(split_create(one, &st, &sp), ST_INPUT);
    store_close(one);
}

/* part_of[volume], -1: in no part. Whole volumes only. */
static void read_volumes(const split *sp, int64_t volumes, int64_t depth, int *part_of) {
    for (int64_t i = 0; i < volumes; i++) part_of[i] = -1;
    for (int p = 0; p < SPLIT_PARTS; p++)
        for (int64_t r = 0; r < sp->run_count[p]; r++) {
            const split_run *run = &sp->runs[p][r];
            assert_int_equal(part_of[run->volume], -1);
            assert_int_equal(run->first, 0);
            assert_int_equal(run->count, depth);
            part_of[run->volume] = p;
        }
}

/* Volumes without labels move no labelled one: the parts are those of a store without them. They
 * train unlabelled if their patient trains or has no labels at all, and are left out otherwise. */
static void volumes_without_labels(void **state) {
    (void)state;
    enum { PATIENTS = 16, KNOWN = 10, SERIES = 3, DEPTH = 4, ALL = PATIENTS * SERIES };
    bool unlabelled[ALL];
    int alone[KNOWN], parts[ALL], left_out = 0;
    /* The first KNOWN patients have labels for their series 0, the even ones also for series 1. */
    for (int i = 0; i < ALL; i++) {
        const int patient = i / SERIES, series = i % SERIES;
        unlabelled[i] = patient >= KNOWN || series == 2 || (series == 1 && patient % 2);
    }
    store *few = make_store(KNOWN, 1, DEPTH);
    store *many = make_partly_labelled(PATIENTS, SERIES, DEPTH, unlabelled);
    for (int64_t labelled = 0; labelled < 5; labelled += 4) {
        split sp;
        study st = make_study(5, 0.5, 0.2, 0.3);
        st.data.labelled = labelled;
        assert_int_equal(split_create(few, &st, &sp), ST_OK);
        const int64_t training = sp.patients[SPLIT_TRAIN];
        read_volumes(&sp, KNOWN, DEPTH, alone);
        split_free(&sp);
        assert_int_equal(split_create(many, &st, &sp), ST_OK);
        read_volumes(&sp, ALL, DEPTH, parts);
        for (int i = 0; i < ALL; i++) {
            const int patient = i / SERIES, of = patient < KNOWN ? alone[patient] : -1;
            int expected = of;
            if (unlabelled[i] && of != SPLIT_VALIDATION && of != SPLIT_TEST)
                expected = SPLIT_UNLABELLED;
            else if (unlabelled[i])
                expected = -1;
            assert_int_equal(parts[i], expected);
            left_out += expected == -1;
        }
        assert_int_equal(sp.patients[SPLIT_TRAIN], training);
        assert_int_equal(training, labelled ? labelled : 5);
        assert_int_equal(sp.patients[SPLIT_VALIDATION], 2);
        assert_int_equal(sp.patients[SPLIT_TEST], 3);
        /* 6 without labels, and all training patients: each has a series without labels. */
        assert_int_equal(sp.patients[SPLIT_UNLABELLED], 6 + 5);
        assert_int_equal(sp.slices[SPLIT_UNLABELLED], sp.run_count[SPLIT_UNLABELLED] * DEPTH);
        split_free(&sp);
    }
    assert_in_range(left_out, 2 * 5, 2 * 10);
    study st = make_study(5, 0.5, 0.2, 0.3);
    split sp;
    st.data.labelled = 6; /* of 5 training patients with labels */
    assert_int_equal(split_create(many, &st, &sp), ST_INPUT);
    store_close(few);
    store_close(many);
}

/* One patient has labels: its slices are divided, its own other series is left out. */
static void one_patient_has_labels(void **state) {
    (void)state;
    enum { PATIENTS = 3, SERIES = 2, DEPTH = 12, ALL = PATIENTS * SERIES };
    const bool unlabelled[ALL] = {true, true, false, true, true, true};
    store *s = make_partly_labelled(PATIENTS, SERIES, DEPTH, unlabelled);
    study st = make_study(2, 0.5, 0.25, 0.25);
    split sp;
    assert_int_equal(split_create(s, &st, &sp), ST_OK);
    assert_true(sp.by_blocks);
    assert_int_equal(sp.slices[SPLIT_TRAIN] + sp.slices[SPLIT_VALIDATION] + sp.slices[SPLIT_TEST],
                     DEPTH);
    for (int p = 0; p < SPLIT_UNLABELLED; p++) {
        assert_int_equal(sp.patients[p], 1);
        assert_true(sp.slices[p] >= 3);
        for (int64_t r = 0; r < sp.run_count[p]; r++) assert_int_equal(sp.runs[p][r].volume, 2);
    }
    const int64_t volumes[] = {0, 1, 4, 5};
    assert_int_equal(sp.run_count[SPLIT_UNLABELLED], 4);
    for (int r = 0; r < 4; r++) {
        assert_int_equal(sp.runs[SPLIT_UNLABELLED][r].volume, volumes[r]);
        assert_int_equal(sp.runs[SPLIT_UNLABELLED][r].count, DEPTH);
    }
    assert_int_equal(sp.patients[SPLIT_UNLABELLED], 2);
    split_free(&sp);
    store_close(s);
    const bool none[2] = {true, true};
    s = make_partly_labelled(2, 1, DEPTH, none);
    assert_int_equal(split_create(s, &st, &sp), ST_INPUT);
    assert_non_null(strstr(status_message(), "0 slices with labels"));
    store_close(s);
}

static void few_patients(void **state) {
    (void)state;
    int part[9];
    split sp;
    store *two = make_store(2, 1, 3), *three = make_store(3, 1, 3);
    study st = make_study(1, 0.1, 0.1, 0.8);
    assert_int_equal(split_create(two, &st, &sp), ST_OK);
    read_parts(&sp, 2, 3, true, part);
    assert_int_equal(sp.patients[SPLIT_TRAIN], 1);
    assert_int_equal(sp.patients[SPLIT_VALIDATION], 1);
    assert_int_equal(sp.runs[SPLIT_VALIDATION][0].volume, sp.runs[SPLIT_TEST][0].volume);
    split_free(&sp);
    const double extremes[4][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 1, 1}};
    for (int k = 0; k < 4; k++) {
        st = make_study(1, extremes[k][0], extremes[k][1], extremes[k][2]);
        assert_int_equal(split_create(three, &st, &sp), ST_OK);
        read_parts(&sp, 3, 3, false, part);
        for (int p = 0; p < SPLIT_UNLABELLED; p++) assert_int_equal(sp.patients[p], 1);
        split_free(&sp);
    }
    st = make_study(1, 0, 0, 0);
    assert_int_equal(split_create(three, &st, &sp), ST_USAGE);
    store_close(two);
    store_close(three);
}

static void one_patient_in_blocks(void **state) {
    (void)state;
    enum { DEPTH = 108 };
    store *s = make_store(1, 1, DEPTH);
    study st = make_study(7, 0.7, 0.1, 0.2);
    int part[DEPTH];
    split sp;
    assert_int_equal(split_create(s, &st, &sp), ST_OK);
    assert_true(sp.by_blocks);
    read_parts(&sp, 1, DEPTH, false, part);
    assert_int_equal(sp.slices[SPLIT_VALIDATION], 11);
    assert_int_equal(sp.slices[SPLIT_TEST], 22);
    assert_int_equal(sp.slices[SPLIT_TRAIN], DEPTH - 11 - 22);
    for (int p = 0; p < SPLIT_UNLABELLED; p++) { /* every part sees every third */
        for (int third = 0; third < 3; third++) {
            int in = 0;
            for (int z = third * DEPTH / 3; z < (third + 1) * DEPTH / 3; z++) in += part[z] == p;
            assert_true(in >= 3);
        }
    }
    for (int z = 1; z < DEPTH; z++) /* validation lies between */
        assert_false((part[z] == SPLIT_TRAIN && part[z - 1] == SPLIT_TEST) ||
                     (part[z] == SPLIT_TEST && part[z - 1] == SPLIT_TRAIN));
    assert_int_equal(sp.run_count[SPLIT_TEST], 3);
    assert_int_equal(sp.run_count[SPLIT_VALIDATION], 6);
    assert_int_equal(sp.run_count[SPLIT_TRAIN], 4);
    split_free(&sp);
    store_close(s);
}

static void thin_volumes(void **state) {
    (void)state;
    int part[64];
    split sp;
    study st = make_study(7, 0.7, 0.1, 0.2);
    for (int64_t depth = 2; depth <= 12; depth++) {
        store *s = make_store(1, 1, depth);
        if (depth < 3) {
            assert_int_equal(split_create(s, &st, &sp), ST_INPUT);
            assert_non_null(strstr(status_message(), "2 slices"));
        } else {
            assert_int_equal(split_create(s, &st, &sp), ST_OK);
            read_parts(&sp, 1, depth, false, part);
            split_free(&sp);
        }
        store_close(s);
    }
    store *series = make_store(1, 4, 9); /* several series of one patient: each in blocks */
    assert_int_equal(split_create(series, &st, &sp), ST_OK);
    assert_true(sp.by_blocks);
    read_parts(&sp, 4, 9, false, part);
    for (int k = 0; k < 4; k++) {
        int trained = 0;
        for (int z = 0; z < 9; z++) trained += part[9 * k + z] == SPLIT_TRAIN;
        assert_in_range(trained, 5, 8);
    }
    split_free(&sp);
    store_close(series);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_patient_on_two_sides_is_noticed),
        cmocka_unit_test(patients_are_whole),
        cmocka_unit_test(newcomers_move_nobody),
        cmocka_unit_test(labels_are_hidden),
        cmocka_unit_test(few_patients),
        cmocka_unit_test(volumes_without_labels),
        cmocka_unit_test(one_patient_has_labels),
        cmocka_unit_test(one_patient_in_blocks),
        cmocka_unit_test(thin_volumes),
    };
    if (comm_start(&argc, &argv, &world) != ST_OK || !begin_scratch()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!end_scratch()) failed++;
    comm_stop(world);
    return failed;
}
