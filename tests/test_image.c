/* PNG images, decoded by libpng's simplified reader and compared pixel by pixel. */
#include "io/image.h"
#include "tests/scratch.h"

#include <math.h>
#include <png.h>

static const uint8_t BLACK[3] = {0, 0, 0}, WHITE[3] = {255, 255, 255}, RED[3] = {200, 10, 20};

static const uint8_t *pixel(const image *im, int64_t y, int64_t x) {
    return im->rgb + (y * im->width + x) * 3;
}

static void assert_decodes_to(const void *png, size_t bytes, const image *im) {
    png_image head = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_memory(&head, png, bytes));
    assert_int_equal(head.width, im->width);
    assert_int_equal(head.height, im->height);
    head.format = PNG_FORMAT_RGB;
    uint8_t *back = malloc(PNG_IMAGE_SIZE(head));
    assert_non_null(back);
    assert_true(png_image_finish_read(&head, NULL, back, 0, NULL));
    assert_memory_equal(back, im->rgb, (size_t)(im->height * im->width * 3));
    free(back);
}

static void pixels_survive_encoding(void **state) {
    (void)state;
    static const int64_t sides[][2] = {{1, 1}, {7, 5}, {300, 211}};
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        image im;
        uint8_t *png;
        int64_t bytes;
        uint32_t noise = 1;
        assert_int_equal(image_create(sides[k][0], sides[k][1], RED, &im), ST_OK);
        assert_memory_equal(pixel(&im, im.height - 1, im.width - 1), RED, 3);
        for (int64_t i = 0; i < im.height * im.width * 3; i++) {
            noise = noise * 1664525u + 1013904223u;
            im.rgb[i] = (uint8_t)(noise >> 24);
        }
        assert_int_equal(image_encode(&im, &png, &bytes), ST_OK);
        assert_decodes_to(png, (size_t)bytes, &im);
        free(png);
        image_free(&im);
    }
}

static void files_are_published_whole(void **state) {
    (void)state;
    char *data;
    int64_t bytes;
    image im;
    assert_true(begin_scratch());
    const char *path = in_home("a.png");
    assert_int_equal(image_create(20, 30, WHITE, &im), ST_OK);
    assert_int_equal(image_write(&im, path), ST_OK);
    assert_int_equal(file_read(path, 1 << 20, &data, &bytes), ST_OK);
    assert_decodes_to(data, (size_t)bytes, &im);
    free(data);
    assert_true(end_scratch());
    assert_int_equal(image_write(&im, path), ST_STORAGE);
    assert_says("a.png");
    image_free(&im);
}

/* The low end of the window is black, the high end white, the middle grey; a label mixes in its
 * tint; each voxel is a square of `scale` pixels. */
static void slices_are_windowed_scaled_and_tinted(void **state) {
    (void)state;
    const int16_t hu[6] = {-2000, -100, 0, 100, 3000, 0};
    const uint8_t labels[6] = {0, 0, 0, 0, 0, 3};
    image im;
    uint8_t tint[3];
    assert_int_equal(image_create(20, 20, RED, &im), ST_OK);
    image_draw_slice(&im, 2, 3, 4, hu, labels, 2, 3, -100, 100);
    static const int grey[5] = {0, 0, 128, 255, 255};
    for (int i = 0; i < 5; i++)
        for (int d = 0; d < 16; d++) {
            const uint8_t *p = pixel(&im, 2 + i / 3 * 4 + d / 4, 3 + i % 3 * 4 + d % 4);
            assert_true(p[0] == grey[i] && p[1] == grey[i] && p[2] == grey[i]);
        }
    image_label_colour(3, tint);
    const uint8_t *p = pixel(&im, 2 + 7, 3 + 11);
    for (int i = 0; i < 3; i++) assert_true(abs(p[i] - (128 + (tint[i] - 128) * 2 / 5)) <= 2);
    assert_memory_equal(pixel(&im, 1, 3), RED, 3);
    assert_memory_equal(pixel(&im, 10, 3), RED, 3);
    assert_memory_equal(pixel(&im, 2, 15), RED, 3);
    /* Across every border and far outside: only the visible part changes. */
    image_draw_slice(&im, -5, -9, 4, hu, labels, 2, 3, -100, 100);
    image_draw_slice(&im, 18, 18, 4, hu, NULL, 2, 3, -100, 100);
    image_draw_slice(&im, 1000000, -1000000, 4, hu, NULL, 2, 3, -100, 100);
    image_free(&im);
}

static void neighbouring_labels_differ(void **state) {
    (void)state;
    uint8_t a[3], b[3];
    for (int i = 1; i < 16; i++)
        for (int j = 1; j < i; j++) {
            image_label_colour(i, a);
            image_label_colour(j, b);
            assert_true(abs(a[0] - b[0]) + abs(a[1] - b[1]) + abs(a[2] - b[2]) > 30);
        }
}

/* Every structure of a full set has a colour of its own, and none is nearly black. */
static void all_labels_differ(void **state) {
    (void)state;
    uint8_t a[3], b[3];
    for (int i = 1; i < 256; i++) {
        image_label_colour(i, a);
        assert_true(a[0] + a[1] + a[2] > 100);
        for (int j = 1; j < i; j++) {
            image_label_colour(j, b);
            assert_true(abs(a[0] - b[0]) + abs(a[1] - b[1]) + abs(a[2] - b[2]) > 20);
        }
    }
}

/* A curve has a pixel in every column that it crosses, consecutive pixels touch, and its ends lie
 * where the values say. */
static void curves_are_continuous_and_in_place(void **state) {
    (void)state;
    enum { N = 7, TOP = 10, LEFT = 20, HEIGHT = 50, WIDTH = 80 };
    const double x[N] = {0, 1, 2, 3, 4, 5, 6};
    const double y[N] = {0, 1, NAN, 0.2, INFINITY, 0.9, 1};
    image im;
    assert_int_equal(image_create(100, 120, WHITE, &im), ST_OK);
    image_draw_curve(&im, TOP, LEFT, HEIGHT, WIDTH, x, y, N, 0, 6, 0, 1, BLACK);
    assert_memory_equal(pixel(&im, TOP + HEIGHT - 1, LEFT), BLACK, 3);
    assert_memory_equal(pixel(&im, TOP, LEFT + WIDTH - 1), BLACK, 3);
    int64_t last_low = TOP + HEIGHT - 1, last_high = last_low;
    for (int64_t c = 0; c < im.width; c++) {
        int64_t low = im.height, high = -1;
        for (int64_t r = 0; r < im.height; r++)
            if (memcmp(pixel(&im, r, c), BLACK, 3) == 0) {
                if (r < low) low = r;
                high = r;
            }
        bool inside = c >= LEFT && c < LEFT + WIDTH;
        assert_true((high >= 0) == inside);
        if (!inside) continue;
        assert_true(low >= TOP && high < TOP + HEIGHT);
        assert_true(low <= last_high + 1 && high >= last_low - 1);
        last_low = low;
        last_high = high;
    }
    image before = im;
    uint8_t *copy = malloc((size_t)(im.height * im.width * 3));
    assert_non_null(copy);
    memcpy(copy, im.rgb, (size_t)(im.height * im.width * 3));
    image_draw_curve(&im, 0, 0, 50, 50, x, y, N, 1, 1, 0, 1, RED);
    image_draw_curve(&im, 0, 0, 50, 50, x, y, 0, 0, 1, 0, 1, RED);
    image_draw_curve(&im, 0, 0, 50, 50, x, y, N, NAN, 1, 0, 1, RED);
    assert_memory_equal(copy, before.rgb, (size_t)(im.height * im.width * 3));
    free(copy);
    image_free(&im);
}

static void absurd_sizes_are_refused(void **state) {
    (void)state;
    image im;
    assert_int_equal(image_create(0, 5, RED, &im), ST_INTERNAL);
    assert_int_equal(image_create(5, INT64_MAX, RED, &im), ST_INTERNAL);
    assert_null(im.rgb);
    image_free(&im);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_survive_encoding),
        cmocka_unit_test(files_are_published_whole),
        cmocka_unit_test(slices_are_windowed_scaled_and_tinted),
        cmocka_unit_test(neighbouring_labels_differ),
        cmocka_unit_test(all_labels_differ),
        cmocka_unit_test(curves_are_continuous_and_in_place),
        cmocka_unit_test(absurd_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
