/* Checkpoints: training resumes from the newest complete one, bit for bit; a damaged one is skipped
 * or named in the message, never loaded. */
#include "io/checkpoint.h"
#include "tests/scratch.h"

#include <math.h>

/* Arrays of every number of dimensions; values that only a comparison of bits distinguishes. */
enum { ARRAYS = 5, SCALARS = 12, FLOATS = 1 + 3 + 6 + 24 + 24 };

typedef struct content {
    float data[FLOATS];
    checkpoint_array arrays[ARRAYS];
    checkpoint_scalar scalars[SCALARS];
} content;

static void lay_out(content *c) {
    static const checkpoint_array arrays[ARRAYS] = {
        {.name = "params/scale", .rank = 0},
        {.name = "params/down.0/conv.bias", .rank = 1, .shape = {3}},
        {.name = "params/down.0/conv.weight", .rank = 2, .shape = {2, 3}},
        {.name = "ema/x", .rank = 3, .shape = {2, 3, 4}},
        {.name = "top", .rank = 4, .shape = {1, 2, 3, 4}},
    };
    static const int sizes[ARRAYS] = {1, 3, 6, 24, 24};
    float *at = c->data;
    for (int i = 0; i < ARRAYS; at += sizes[i++]) {
        c->arrays[i] = arrays[i];
        c->arrays[i].at = at;
    }
    for (int i = 0; i < SCALARS; i++)
        snprintf(c->scalars[i].name, CHECKPOINT_NAME, "position.%d", i);
}

static void fill(content *c, int step) {
    lay_out(c);
    for (int i = 0; i < FLOATS; i++) c->data[i] = sinf((float)(i + 100 * step));
    c->data[0] = -0.0f;
    c->data[1] = 1e-42f; /* subnormal */
    c->data[2] = INFINITY;
    for (int i = 0; i < SCALARS; i++) c->scalars[i].value = sin(i + step);
    c->scalars[0].value = 9007199254740993.0;
}

static status write_step(const char *directory, int step, const char *fingerprint, int keep) {
    content c = {0};
    fill(&c, step);
    return checkpoint_write(directory, step, fingerprint, c.arrays, ARRAYS, c.scalars, SCALARS,
                            keep);
}

static status read_step(int step, bool *right) {
    content c = {0}, want = {0};
    lay_out(&c);
    fill(&want, step);
    status st = checkpoint_read(in_home("c"), step, c.arrays, ARRAYS, c.scalars, SCALARS);
    *right = memcmp(c.data, want.data, sizeof c.data) == 0;
    for (int i = 0; i < SCALARS; i++) *right &= c.scalars[i].value == want.scalars[i].value;
    return st;
}

/* What checkpoint_find() reported last. */
static char moved_to[PATH_SIZE], reason[512];
static int reports;

static void take_report(void *context, const char *moved, const char *why) {
    (void)context;
    snprintf(moved_to, sizeof moved_to, "%s", moved);
    snprintf(reason, sizeof reason, "%s", why);
    reports++;
}

static status find(const char *fingerprint, checkpoint_choice *found) {
    reports = 0;
    return checkpoint_find(in_home("c"), fingerprint, take_report, NULL, found);
}

static int64_t latest(const char *fingerprint) {
    checkpoint_choice found;
    assert_int_equal(find(fingerprint, &found), ST_OK);
    return found.step;
}

static void assert_good(int step) {
    bool right = false;
    assert_int_equal(read_step(step, &right), ST_OK);
    assert_true(right);
}

static void round_trip(void **state) {
    (void)state;
    assert_int_equal(latest("f"), -1); /* no directory at all */
    assert_int_equal(write_step(in_home("c"), 1200, "f", 3), ST_OK);
    assert_true(file_exists(in_home("c/step-00001200/state.h5")));
    assert_good(1200);
    assert_int_equal(latest("f"), 1200);
    assert_int_equal(latest("g"), -1);
    /* A part of the file's content may be read alone. */
    float bias[3] = {0};
    checkpoint_array one = {.name = "params/down.0/conv.bias", .rank = 1, .shape = {3}, .at = bias};
    assert_int_equal(checkpoint_read(in_home("c"), 1200, &one, 1, NULL, 0), ST_OK);
    assert_true(bias[1] == INFINITY);
}

static void same_bytes(void **state) {
    (void)state;
    char one[SHA256_HEX], two[SHA256_HEX];
    assert_int_equal(write_step(in_home("c"), 7, "f", 3), ST_OK);
    assert_int_equal(file_sha256(in_home("c/step-00000007/state.h5"), one), ST_OK);
    sleep(1); /* a time stamp of HDF5 counts seconds */
    assert_int_equal(write_step(in_home("c"), 7, "f", 3), ST_OK); /* replaces itself */
    assert_int_equal(file_sha256(in_home("c/step-00000007/state.h5"), two), ST_OK);
    assert_string_equal(one, two);
    assert_good(7);
}

static void keeps_the_newest(void **state) {
    (void)state;
    for (int step = 10; step <= 50; step += 10)
        assert_int_equal(write_step(in_home("c"), step, "f", 2), ST_OK);
    assert_false(file_exists(in_home("c/step-00000030")));
    assert_good(40);
    assert_good(50);
    /* A new training in the same folder does not lose the checkpoint that it just wrote. */
    assert_int_equal(write_step(in_home("c"), 5, "g", 2), ST_OK);
    assert_good(5);
    assert_int_equal(latest("g"), 5);
    assert_int_equal(latest("f"), 50);
    assert_int_equal(write_step(in_home("c"), 60, "f", 1), ST_OK);
    assert_false(file_exists(in_home("c/step-00000050")));
    assert_good(60);
}

/* The newest good one is taken; each damaged one is reported and kept under another name. */
static void sets_damaged_ones_aside(void **state) {
    (void)state;
    checkpoint_choice found;
    for (int step = 1; step <= 7; step++)
        assert_int_equal(write_step(in_home("c"), step, "f", 9), ST_OK);
    /* Names that are no checkpoints'. */
    assert_int_equal(file_make_dirs(in_home("c/step-00000009.tmp.77")), ST_OK);
    assert_int_equal(file_make_dirs(in_home("c/step-11")), ST_OK);
    assert_int_equal(latest("f"), 7);
    assert_int_equal(reports, 0);
    /* A changed byte; no manifest; a state that is cut; none; another step's directory renamed. */
    flip_bit(in_home("c/step-00000007/state.h5"), 3000);
    assert_int_equal(latest("f"), 6);
    assert_true(reports == 1 && strstr(reason, "state.h5: damaged"));
    assert_true(strstr(moved_to, "c/step-00000007.damaged-1") && file_exists(moved_to));
    assert_int_equal(file_remove_tree(in_home("c/step-00000006/manifest.json")), ST_OK);
    assert_int_equal(latest("f"), 5);
    assert_true(reports == 1 && strstr(reason, "manifest.json"));
    assert_int_equal(truncate(in_home("c/step-00000005/state.h5"), 1000), 0);
    assert_int_equal(latest("f"), 4);
    assert_true(reports == 1 && strstr(reason, "1000 bytes"));
    assert_int_equal(file_remove_tree(in_home("c/step-00000004/state.h5")), ST_OK);
    assert_int_equal(latest("f"), 3);
    assert_int_equal(file_remove_tree(in_home("c/step-00000003")), ST_OK);
    assert_int_equal(rename(in_home("c/step-00000002"), in_home("c/step-00000003")), 0);
    assert_int_equal(latest("f"), 1);
    assert_true(reports == 1 && strstr(reason, "another checkpoint"));
    assert_good(1);
    /* The next damaged one of a step gets the next number. */
    assert_int_equal(write_step(in_home("c"), 7, "f", 9), ST_OK);
    flip_bit(in_home("c/step-00000007/state.h5"), 3000);
    assert_int_equal(latest("f"), 1);
    assert_true(strstr(moved_to, "c/step-00000007.damaged-2") && file_exists(moved_to));
    assert_int_equal(find("f", &found), ST_OK);
    assert_int_equal(found.damaged, 6);
    /* The next writing clears the temporaries away, and nothing else. */
    assert_int_equal(write_step(in_home("c"), 12, "f", 1), ST_OK);
    assert_false(file_exists(in_home("c/step-00000009.tmp.77")));
    assert_true(file_exists(moved_to));
}

/* Newest first, without those of other trainings and damaged ones, which stay where they are. */
static void lists_the_good_ones(void **state) {
    (void)state;
    checkpoint_kept *kept = NULL;
    checkpoint_choice found;
    int64_t count = -1;
    assert_int_equal(checkpoint_list(in_home("c"), "f", &kept, &count), ST_OK);
    assert_int_equal(count, 0);
    free(kept);
    for (int step = 1; step <= 5; step++)
        assert_int_equal(write_step(in_home("c"), step, step == 3 ? "g" : "f", 9), ST_OK);
    flip_bit(in_home("c/step-00000004/state.h5"), 3000);
    assert_int_equal(checkpoint_list(in_home("c"), "f", &kept, &count), ST_OK);
    assert_int_equal(count, 3);
    assert_true(kept[0].step == 5 && kept[1].step == 2 && kept[2].step == 1);
    assert_true(file_exists(in_home("c/step-00000004")));
    assert_int_equal(find("f", &found), ST_OK);
    assert_string_equal(kept[0].seal, found.seal);
    assert_string_not_equal(kept[1].seal, found.seal);
    free(kept);
}

/* Nothing good left: the training must not begin again by itself, now or the next time. */
static void all_damaged_is_a_failure(void **state) {
    (void)state;
    checkpoint_choice found;
    for (int step = 1; step <= 2; step++)
        assert_int_equal(write_step(in_home("c"), step, "f", 9), ST_OK);
    flip_bit(in_home("c/step-00000001/state.h5"), 3000);
    flip_bit(in_home("c/step-00000002/manifest.json"), 30);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(find("f", &found), ST_INTEGRITY);
        assert_says("all 2 checkpoints are damaged");
        assert_says("remove the directory to train from step 0");
        assert_int_equal(reports, round == 0 ? 2 : 0);
    }
    assert_int_equal(file_remove_tree(in_home("c")), ST_OK);
    assert_int_equal(latest("f"), -1);
}

static void newer_and_other_ones(void **state) {
    (void)state;
    checkpoint_choice found;
    const char *later = "{\"version\": 2, \"kind\": \"checkpoint\"}";
    assert_int_equal(write_step(in_home("c"), 1, "f", 9), ST_OK);
    assert_int_equal(find("g", &found), ST_OK);
    assert_true(found.step == -1 && found.others && found.damaged == 0);
    assert_int_equal(write_step(in_home("c"), 2, "f", 9), ST_OK);
    put_file(in_home("c/step-00000002/manifest.json"), later, (int64_t)strlen(later));
    assert_int_equal(find("f", &found), ST_INTEGRITY);
    assert_says("newer version of ctaug");
    assert_true(file_exists(in_home("c/step-00000002")));
    /* What a checkpoint holds has one seal. */
    char first[SHA256_HEX];
    assert_int_equal(file_remove_tree(in_home("c")), ST_OK);
    assert_int_equal(write_step(in_home("c"), 1, "f", 9), ST_OK);
    assert_int_equal(find("f", &found), ST_OK);
    memcpy(first, found.seal, sizeof first);
    assert_int_equal(write_step(in_home("c"), 1, "f", 9), ST_OK);
    assert_int_equal(find("f", &found), ST_OK);
    assert_string_equal(first, found.seal);
    assert_int_equal(write_step(in_home("c"), 2, "f", 9), ST_OK);
    assert_int_equal(find("f", &found), ST_OK);
    assert_string_not_equal(first, found.seal);
}

static void flipped_bits(void **state) {
    (void)state;
    bool right;
    int64_t bytes;
    const char *path = in_home("c/step-00000001/state.h5");
    assert_int_equal(write_step(in_home("c"), 1, "f", 1), ST_OK);
    assert_int_equal(file_size(path, &bytes), ST_OK);
    for (int64_t at = 0; at < bytes; at += 1 + bytes / 150) {
        path = in_home("c/step-00000001/state.h5");
        flip_bit(path, at);
        assert_int_equal(read_step(1, &right), ST_INTEGRITY);
        assert_says("state.h5");
        assert_says("c/step-00000001 and run again");
        flip_bit(path, at);
    }
    assert_good(1);
}

static void wrong_shapes(void **state) {
    (void)state;
    float data[24];
    assert_int_equal(write_step(in_home("c"), 1, "f", 1), ST_OK);
    checkpoint_array wrong[] = {
        {.name = "params/down.0/conv.bias", .rank = 1, .shape = {4}, .at = data},
        {.name = "params/down.0/conv.weight", .rank = 2, .shape = {3, 2}, .at = data},
        {.name = "params/down.0/conv.weight", .rank = 1, .shape = {6}, .at = data},
        {.name = "params/scale", .rank = 1, .shape = {1}, .at = data},
        {.name = "params/down.0", .rank = 1, .shape = {1}, .at = data},
        {.name = "params/missing", .rank = 1, .shape = {1}, .at = data},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(checkpoint_read(in_home("c"), 1, &wrong[i], 1, NULL, 0), ST_INTEGRITY);
        assert_says(wrong[i].name);
    }
    checkpoint_scalar missing = {.name = "missing"};
    assert_int_equal(checkpoint_read(in_home("c"), 1, NULL, 0, &missing, 1), ST_INTEGRITY);

    const char *names[] = {"", "/x", "x/", "a//b", "..", "a/../b", ".", "a b", "\n"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        checkpoint_array bad = {.rank = 1, .shape = {1}, .at = data};
        snprintf(bad.name, sizeof bad.name, "%s", names[i]);
        assert_int_equal(checkpoint_write(in_home("c"), 2, "f", &bad, 1, NULL, 0, 1), ST_INTERNAL);
    }
    assert_int_equal(write_step(in_home("c"), -1, "f", 1), ST_INTERNAL);
    assert_int_equal(latest("f"), 1);
}

/* A state of 256 KiB of floats on a file system with room for one and a half: the second write
 * fails and the first checkpoint stays. */
static int on_small_disk(const char *disk) {
    static float data[1 << 16];
    float back[4];
    char directory[PATH_SIZE];
    checkpoint_choice found;
    checkpoint_array big = {.name = "big", .rank = 1, .shape = {1 << 16}, .at = data};
    snprintf(directory, sizeof directory, "%s/c", disk);
    for (int i = 0; i < 1 << 16; i++) data[i] = (float)i;
    if (!own_mounts() || !mount_small(disk, 400 << 10)) return 77;
    if (checkpoint_write(directory, 1, "f", &big, 1, NULL, 0, 1) != ST_OK) return 1;
    for (int again = 0; again < 2; again++) { /* the failure frees its space */
        if (checkpoint_write(directory, 2, "f", &big, 1, NULL, 0, 1) != ST_STORAGE) return 2;
        if (!strstr(status_message(), "No space left") || !strstr(status_message(), "state.h5")) {
            fprintf(stderr, "%s\n", status_message());
            return 3;
        }
        if (checkpoint_find(directory, "f", NULL, NULL, &found) != ST_OK || found.step != 1)
            return 4;
    }
    memset(data, 0, sizeof data);
    if (checkpoint_read(directory, 1, &big, 1, NULL, 0) != ST_OK || data[77] != 77) return 5;
    big.shape[0] = 4;
    big.at = back;
    if (checkpoint_write(directory, 2, "f", &big, 1, NULL, 0, 2) != ST_OK) return 6;

    if (!make_read_only(disk)) return 77;
    if (checkpoint_write(directory, 3, "f", &big, 1, NULL, 0, 2) != ST_STORAGE) return 7;
    if (!strstr(status_message(), "Read-only") || !strstr(status_message(), directory)) return 8;
    if (checkpoint_find(directory, "f", NULL, NULL, &found) != ST_OK || found.step != 2) return 9;
    return checkpoint_read(directory, 2, &big, 1, NULL, 0) == ST_OK ? 0 : 10;
}

static int clear(void **state) {
    (void)state;
    return file_remove_tree(in_home("c")) != ST_OK;
}

int main(int argc, char **argv) {
    if (argc > 2 && !strcmp(argv[1], "disk")) return on_small_disk(argv[2]);
    if (!begin_scratch()) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(round_trip, clear),
        cmocka_unit_test_teardown(same_bytes, clear),
        cmocka_unit_test_teardown(keeps_the_newest, clear),
        cmocka_unit_test_teardown(sets_damaged_ones_aside, clear),
        cmocka_unit_test_teardown(all_damaged_is_a_failure, clear),
        cmocka_unit_test_teardown(lists_the_good_ones, clear),
        cmocka_unit_test_teardown(newer_and_other_ones, clear),
        cmocka_unit_test_teardown(flipped_bits, clear),
        cmocka_unit_test_teardown(wrong_shapes, clear),
        cmocka_unit_test(full_and_read_only),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return !end_scratch() || failed;
}
