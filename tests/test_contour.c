/* Contours and voxels, against closed forms: which centres lie in squares, rings, triangles and
 * keyholes can be said without a program. Traced contours are filled again. */
#include "io/contour.h"
#include "tests/scratch.h"

#include <math.h>

enum { ROWS = 9, COLUMNS = 12, PIXELS = ROWS * COLUMNS };

/* A row of the picture is a string: '#' inside, '.' outside. */
static void assert_picture(const uint8_t *mask, const char *const picture[ROWS]) {
    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x < COLUMNS; x++)
            if (mask[y * COLUMNS + x] != (picture[y][x] == '#'))
                fail_msg("row %d, column %d is %d in \"%s\"", y, x, mask[y * COLUMNS + x],
                         picture[y]);
}

#define CONTOUR(array) ((contour){(array), (int64_t)(sizeof(array) / sizeof *(array) / 2)})

static void squares_rings_and_islands(void **state) {
    (void)state;
    double outer[] = {0.5, 0.5, 9.5, 0.5, 9.5, 7.5, 0.5, 7.5};
    double hole[] = {1.5, 1.5, 1.5, 6.5, 8.5, 6.5, 8.5, 1.5}; /* the other way round */
    double island[] = {3.5, 2.5, 6.5, 2.5, 6.5, 5.5, 3.5, 5.5};
    double other[] = {9.7, 7.6, 20, 7.6, 20, 30, 9.7, 30}; /* beyond the slice on two sides */
    contour all[] = {CONTOUR(outer), CONTOUR(hole), CONTOUR(island), CONTOUR(other)};
    uint8_t mask[PIXELS];
    memset(mask, 7, sizeof mask);
    contour_fill(all, 1, ROWS, COLUMNS, mask);
    assert_picture(mask, (const char *const[]){"............", ".#########..", ".#########..",
                                               ".#########..", ".#########..", ".#########..",
                                               ".#########..", ".#########..", "............"});
    contour_fill(all, 2, ROWS, COLUMNS, mask);
    assert_picture(mask, (const char *const[]){"............", ".#########..", ".#.......#..",
                                               ".#.......#..", ".#.......#..", ".#.......#..",
                                               ".#.......#..", ".#########..", "............"});
    contour_fill(all, 4, ROWS, COLUMNS, mask);
    const char *const whole[] = {"............", ".#########..", ".#.......#..",
                                 ".#..###..#..", ".#..###..#..", ".#..###..#..",
                                 ".#.......#..", ".#########..", "..........##"};
    assert_picture(mask, whole);
    contour reversed[] = {all[3], all[1], all[0], all[2]};
    contour_fill(reversed, 4, ROWS, COLUMNS, mask);
    assert_picture(mask, whole);
    contour_fill(all, 0, ROWS, COLUMNS, mask);
    for (int i = 0; i < PIXELS; i++) assert_int_equal(mask[i], 0);
}

/* A ring in one contour: in through a channel of no width and back along it. The channel is slanted
 * and runs through centres. */
static void a_keyhole_is_a_ring(void **state) {
    (void)state;
    double keyhole[] = {0.5, 0.5, 9.5, 0.5, 9.5, 7.5, 0.5, 7.5, 0.5, 0.5,
                        2.5, 2.5, 2.5, 5.5, 7.5, 5.5, 7.5, 2.5, 2.5, 2.5};
    contour one = CONTOUR(keyhole);
    uint8_t mask[PIXELS];
    contour_fill(&one, 1, ROWS, COLUMNS, mask);
    assert_picture(mask, (const char *const[]){"............", ".#########..", ".#########..",
                                               ".##.....##..", ".##.....##..", ".##.....##..",
                                               ".#########..", ".#########..", "............"});
}

/* The rule of io/contour.h for centres on an edge: those on the left and the upper border are
 * inside, those on the right and the lower one are not. */
static void centres_on_the_border(void **state) {
    (void)state;
    double square[] = {1, 1, 4, 1, 4, 3, 1, 3};
    double beside[] = {4, 1, 7, 1, 7, 3, 4, 3};  /* shares an edge */
    double slanted[] = {1, 4, 5, 4, 5, 8, 1, 4}; /* its diagonal runs through centres */
    double under[] = {1, 4, 5, 8, 1, 8};         /* the other half of the square */
    contour all[] = {CONTOUR(square), CONTOUR(beside), CONTOUR(slanted), CONTOUR(under)};
    uint8_t mask[PIXELS];
    contour_fill(all, 1, ROWS, COLUMNS, mask);
    const char *const alone[] = {"............", ".###........", ".###........",
                                 "............", "............", "............",
                                 "............", "............", "............"};
    assert_picture(mask, alone);
    contour_fill(all, 3, ROWS, COLUMNS, mask);
    assert_picture(mask, (const char *const[]){"............", ".######.....", ".######.....",
                                               "............", ".####.......", "..###.......",
                                               "...##.......", "....#.......", "............"});
    contour_fill(all + 3, 1, ROWS, COLUMNS, mask);
    assert_picture(mask, (const char *const[]){"............", "............", "............",
                                               "............", "............", ".#..........",
                                               ".##.........", ".###........", "............"});
    /* The last digits of a conversion from millimetres change nothing. */
    for (int sign = -1; sign <= 1; sign += 2) {
        double moved[8];
        for (int i = 0; i < 8; i++) moved[i] = square[i] + sign * 1e-9 * (i % 3);
        contour one = CONTOUR(moved);
        contour_fill(&one, 1, ROWS, COLUMNS, mask);
        assert_picture(mask, alone);
    }
}

/* Edges of any length: the even-odd rule along a row of one pixel, far beyond it, and numbers that
 * are none. */
static void extreme_coordinates(void **state) {
    (void)state;
    static const double bad[] = {1e300, -1e300, INFINITY, -INFINITY, NAN, 1e18, -1e18};
    uint8_t mask[PIXELS];
    double wide[] = {-1e17, -1e17, 1e17, -1e17, 1e17, 1e17, -1e17, 1e17};
    contour one = CONTOUR(wide);
    contour_fill(&one, 1, ROWS, COLUMNS, mask);
    for (int i = 0; i < PIXELS; i++) assert_int_equal(mask[i], 1);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        for (int place = 0; place < 8; place++) {
            double points[] = {0.5, 0.5, 9.5, 0.5, 9.5, 7.5, 0.5, 7.5};
            points[place] = bad[k];
            one = CONTOUR(points);
            contour_fill(&one, 1, ROWS, COLUMNS, mask);
            for (int i = 0; i < PIXELS; i++) assert_true(mask[i] <= 1);
        }
    double few[] = {0.5, 0.5, 9.5, 7.5};
    one = CONTOUR(few); /* there and back: no area */
    contour_fill(&one, 1, ROWS, COLUMNS, mask);
    for (int i = 0; i < PIXELS; i++) assert_int_equal(mask[i], 0);
}

static void millimetres_to_voxels(void **state) {
    (void)state;
    /* Rows run along y backwards, columns along z, slices along x. */
    const geometry space = {.shape = {3, 4, 5},
                            .spacing = {2, 0.5, 0.25},
                            .origin = {10, 20, 30},
                            .direction = {1, 0, 0, 0, -1, 0, 0, 0, 1}};
    const double mm[3] = {10 + 2 * 2.0, 20 - 3 * 0.5, 30 + 4 * 0.25};
    double voxel[3];
    contour_to_voxels(&space, mm, voxel);
    assert_true(voxel[0] == 2 && voxel[1] == 3 && voxel[2] == 4);
}

/* ---- tracing ---- */

static double area(const contour *c) {
    double twice = 0;
    for (int64_t k = 0; k < c->count; k++) {
        const double *a = c->points + 2 * k, *b = c->points + 2 * ((k + 1) % c->count);
        twice += a[0] * b[1] - b[0] * a[1];
    }
    return twice / 2;
}

static void traced_contours_of_a_ring(void **state) {
    (void)state;
    uint8_t mask[PIXELS] = {0};
    contour *contours = NULL;
    int64_t n = 0;
    for (int y = 1; y < 6; y++)
        for (int x = 2; x < 9; x++) mask[y * COLUMNS + x] = !(y == 3 && x > 3 && x < 6);
    assert_ok(contour_trace(mask, ROWS, COLUMNS, &contours, &n));
    assert_int_equal(n, 2);
    assert_int_equal(contours[0].count, 4); /* points at the turns only */
    assert_int_equal(contours[1].count, 4);
    assert_true(area(&contours[0]) == 35 && area(&contours[1]) == -2);
    contours_free(contours, n);
    memset(mask, 0, sizeof mask);
    assert_ok(contour_trace(mask, ROWS, COLUMNS, &contours, &n));
    assert_int_equal(n, 0);
    contours_free(contours, n);
}

/* Voxels that touch at a corner only have contours of their own. */
static void traced_contours_at_a_corner(void **state) {
    (void)state;
    uint8_t mask[PIXELS] = {0};
    contour *contours = NULL;
    int64_t n = 0;
    mask[0] = mask[COLUMNS + 1] = mask[2 * COLUMNS] = 1;
    assert_ok(contour_trace(mask, ROWS, COLUMNS, &contours, &n));
    assert_int_equal(n, 3);
    for (int64_t i = 0; i < n; i++) assert_true(area(&contours[i]) == 1);
    contours_free(contours, n);
}

/* Any mask comes back, and the areas of its contours add up to its voxels. */
static void traced_contours_fill_the_same_voxels(void **state) {
    (void)state;
    uint32_t random = 12345;
    for (int round = 0; round < 500; round++) {
        uint8_t mask[PIXELS], filled[PIXELS];
        contour *contours = NULL;
        int64_t n = 0;
        double sum = 0;
        int voxels = 0;
        for (int i = 0; i < PIXELS; i++) {
            random = random * 1664525 + 1013904223;
            mask[i] = (random >> 24) < 26u * (uint32_t)(round % 10 + 1);
            voxels += mask[i];
        }
        assert_ok(contour_trace(mask, ROWS, COLUMNS, &contours, &n));
        contour_fill(contours, n, ROWS, COLUMNS, filled);
        assert_memory_equal(filled, mask, sizeof mask);
        for (int64_t i = 0; i < n; i++) sum += area(&contours[i]);
        assert_true(sum == voxels);
        contours_free(contours, n);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squares_rings_and_islands),
        cmocka_unit_test(a_keyhole_is_a_ring),
        cmocka_unit_test(centres_on_the_border),
        cmocka_unit_test(extreme_coordinates),
        cmocka_unit_test(millimetres_to_voxels),
        cmocka_unit_test(traced_contours_of_a_ring),
        cmocka_unit_test(traced_contours_at_a_corner),
        cmocka_unit_test(traced_contours_fill_the_same_voxels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
