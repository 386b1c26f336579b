/* Masks that overlap, joined by each rule: against the definition, voxel by voxel. */
#include "io/masks.h"
#include "tests/scratch.h"

enum { DEPTH = 3, ROWS = 13, COLUMNS = 17, PLANE = ROWS * COLUMNS, VOXELS = DEPTH * PLANE };
enum { STRUCTURES = 5 };

static const geometry space = {.shape = {DEPTH, ROWS, COLUMNS}, .spacing = {1, 1, 1}};
static const label_set set = {.count = STRUCTURES + 1,
                              .name = {"background", "a", "b", "c", "d", "e"}};

static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

/* Adds random boxes; what they mark is in member[structure][voxel]. */
static masks *random_masks(uint32_t seed, bool member[STRUCTURES + 1][VOXELS]) {
    masks *m = NULL;
    memset(member, 0, (STRUCTURES + 1) * VOXELS * sizeof(bool));
    assert_ok(masks_new(&space, &m));
    for (int round = 0; round < 200; round++) {
        uint8_t values[PLANE];
        mask_box box = {.z = next_random(&seed) % DEPTH,
                        .y0 = next_random(&seed) % ROWS,
                        .x0 = next_random(&seed) % COLUMNS};
        box.rows = next_random(&seed) % (uint32_t)(ROWS - box.y0 + 1);
        box.columns = next_random(&seed) % (uint32_t)(COLUMNS - box.x0 + 1);
        for (int64_t y = 0; y < box.rows; y++)
            for (int64_t x = 0; x < box.columns; x++) {
                /* Higher values are rarer. */
                uint32_t value = next_random(&seed) % 16;
                value = value > STRUCTURES ? 0 : value;
                if (value == STRUCTURES && next_random(&seed) % 2) value = 1;
                values[y * box.columns + x] = (uint8_t)value;
                member[value][(box.z * ROWS + box.y0 + y) * COLUMNS + box.x0 + x] = true;
            }
        assert_ok(masks_add(m, &box, values));
    }
    return m;
}

/* Whether a has precedence over b. */
static bool is_above(int a, int b, const int *size, const int *rank) {
    if (rank[a] != rank[b]) return rank[a] < rank[b];
    return size[a] != size[b] ? size[a] < size[b] : a < b;
}

static void check_rule(uint32_t seed, const overlap_rule *rule, const int *rank) {
    static bool member[STRUCTURES + 1][VOXELS];
    uint8_t labels[VOXELS];
    int size[STRUCTURES + 1] = {0};
    int64_t overlapped = -1, want_overlapped = 0;
    masks *m = random_masks(seed, member);
    memset(labels, 99, sizeof labels);
    assert_ok(masks_join(m, rule, &set, labels, &overlapped));
    for (int k = 1; k <= STRUCTURES; k++)
        for (int i = 0; i < VOXELS; i++) size[k] += member[k][i];
    for (int i = 0; i < VOXELS; i++) {
        int want = 0, marks = 0;
        for (int k = 1; k <= STRUCTURES; k++) {
            if (!member[k][i]) continue;
            marks++;
            if (want == 0 || is_above(k, want, size, rank)) want = k;
        }
        want_overlapped += marks > 1;
        assert_int_equal(labels[i], want);
    }
    assert_int_equal(overlapped, want_overlapped);
    assert_true(overlapped > 10);
    masks_free(m);
}

static void the_smaller_wins(void **state) {
    (void)state;
    static const int rank[STRUCTURES + 1] = {0};
    const overlap_rule rule = {OVERLAP_SMALLER_WINS, NULL, 0};
    for (uint32_t seed = 1; seed < 30; seed++) check_rule(seed, &rule, rank);
}

static void the_order_decides(void **state) {
    (void)state;
    static const char *const order[] = {"d", "nobody", "a"};
    static const int rank[STRUCTURES + 1] = {0, 2, 3, 3, 0, 3};
    const overlap_rule rule = {OVERLAP_ORDER, order, 3};
    for (uint32_t seed = 1; seed < 30; seed++) check_rule(seed, &rule, rank);
}

static void overlaps_are_refused(void **state) {
    (void)state;
    static const uint8_t values[] = {1, 0, 2, 2}, more[] = {1, 3, 3, 0};
    const overlap_rule rule = {OVERLAP_REFUSE, NULL, 0};
    const mask_box box = {1, 2, 3, 2, 2};
    uint8_t labels[VOXELS];
    int64_t overlapped = -1;
    masks *m = NULL;
    assert_ok(masks_new(&space, &m));
    assert_ok(masks_join(m, &rule, &set, labels, &overlapped)); /* no masks at all */
    for (int i = 0; i < VOXELS; i++) assert_int_equal(labels[i], 0);
    assert_ok(masks_add(m, &box, values));
    assert_ok(masks_add(m, &box, values)); /* the same structure twice is no overlap */
    assert_ok(masks_join(m, &rule, &set, labels, &overlapped));
    assert_int_equal(overlapped, 0);
    assert_ok(masks_add(m, &box, more));
    assert_int_equal(masks_join(m, &rule, &set, labels, &overlapped), ST_INPUT);
    assert_says("1 voxels lie in two or more structures, such as");
    assert_says("'b'");
    assert_says("'c'");
    assert_int_equal(overlapped, 1);
    masks_free(m);
}

static void boxes_lie_in_the_volume(void **state) {
    (void)state;
    static const mask_box outside[] = {
        {-1, 0, 0, 1, 1},       {DEPTH, 0, 0, 1, 1},       {0, -1, 0, 1, 1},   {0, 0, -1, 1, 1},
        {0, 0, 0, ROWS + 1, 1}, {0, 0, 0, 1, COLUMNS + 1}, {0, ROWS, 0, 1, 1}, {0, 0, 0, -1, 1}};
    const uint8_t values[PLANE + COLUMNS] = {0};
    masks *m = NULL;
    assert_ok(masks_new(&space, &m));
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        assert_int_equal(masks_add(m, &outside[i], values), ST_INTERNAL);
    masks_free(m);
    const geometry none = {.shape = {0, 1, 1}};
    assert_int_equal(masks_new(&none, &m), ST_INPUT);
    assert_null(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smaller_wins),
        cmocka_unit_test(the_order_decides),
        cmocka_unit_test(overlaps_are_refused),
        cmocka_unit_test(boxes_lie_in_the_volume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
