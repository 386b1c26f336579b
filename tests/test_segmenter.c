/* A segmenter for inference, and the published referee: labels and confidences are those of the
 * logits; what was published is loaded with the same bits; what is missing, foreign or damaged is
 * refused. */
#include "model/rng.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/segmenter/referee.h"
#include "tests/store_sample.h"

#include <math.h>

enum { SIZE = 16, PIXELS = SIZE * SIZE, BATCH = 3, COUNT = 2 * BATCH + 1, CLASSES = 3 };

static study settings;
static stage_context stage;

/* A run directory with a store; a segmenter with the parameters of an untrained one. */
static int open_run(void **state) {
    (void)state;
    study_defaults(&settings);
    settings.data.size = SIZE;
    settings.train.micro_batch = BATCH;
    snprintf(settings.out, sizeof settings.out, "%s", in_home("run"));
    stage =
        (stage_context){.comm = world, .study = &settings, .engine = kernels_of(ENGINE_REFERENCE)};
    if (file_remove_tree(in_home("run")) != ST_OK) return 1;
    return write_store(in_home("run/store"), SMALL) != ST_OK;
}

static void open_random(segmenter *s) {
    assert_int_equal(segmenter_open_inference(&stage, &LABELS, s), ST_OK);
    assert_null(s->trainer);
    params_init(s->params, 4);
    segmenter_params_changed(s);
}

static void random_images(float *images) {
    rng_stream r = rng_open(9, RNG_NOISE, 0, 0);
    rng_fill_uniform(&r, images, COUNT * PIXELS);
}

/* The expected confidence in double precision from the logits of the last forward pass, which holds
 * the last image alone. */
static void labels_follow_from_the_logits(void **state) {
    (void)state;
    segmenter s = {0};
    static float images[COUNT * PIXELS], confidence[COUNT * PIXELS], one[PIXELS];
    static uint8_t labels[COUNT * PIXELS], label[PIXELS];
    int64_t seen[CLASSES] = {0};
    open_random(&s);
    random_images(images);
    assert_int_equal(segmenter_labels(&s, images, COUNT, labels, confidence), ST_OK);
    for (int64_t k = COUNT - 1; k >= 0; k--) { /* each image by itself */
        assert_int_equal(segmenter_labels(&s, images + k * PIXELS, 1, label, one), ST_OK);
        assert_memory_equal(label, labels + k * PIXELS, sizeof label);
        assert_memory_equal(one, confidence + k * PIXELS, sizeof one);
        const float *logits = plan_output(s.plan, s.nodes.logits).at;
        for (int64_t i = 0; i < PIXELS; i++) {
            const float *x = logits + i * CLASSES;
            double sum = 0;
            for (int c = 0; c < CLASSES; c++) {
                sum += exp((double)x[c]);
                assert_true(x[label[i]] >= x[c]);
            }
            assert_float_equal(one[i], exp((double)x[label[i]]) / sum, 1e-6);
            seen[label[i]]++;
        }
    }
    assert_true((seen[0] > 0) + (seen[1] > 0) + (seen[2] > 0) >= 2);
    memset(label, 9, sizeof label);
    assert_int_equal(segmenter_labels(&s, images, 1, label, NULL), ST_OK);
    assert_memory_equal(label, labels, sizeof label);
    segmenter_close(&s);
}

static void publish(const segmenter *s) {
    char hex[SHA256_HEX];
    store *real = NULL;
    assert_int_equal(store_open(in_home("run/store"), &real), ST_OK);
    assert_int_equal(fingerprint_of_referee(&settings, store_manifest(real)->seal, hex), ST_OK);
    store_close(real);
    assert_int_equal(
        referee_publish(s, in_home("run/referee"), hex, json_pack("{s:i}", "steps", 1)), ST_OK);
}

static void assert_refused(status code, const char *says) {
    segmenter s;
    assert_int_equal(referee_open(&stage, &LABELS, &s), code);
    assert_says(says);
    segmenter_close(&s);
}

static void a_published_referee_is_loaded(void **state) {
    (void)state;
    segmenter s = {0}, back = {0};
    static float images[COUNT * PIXELS];
    static uint8_t labels[COUNT * PIXELS], again[COUNT * PIXELS];
    char one[SHA256_HEX], two[SHA256_HEX];
    assert_refused(ST_INPUT, "run ctaug referee first");
    open_random(&s);
    publish(&s);
    assert_int_equal(referee_open(&stage, &LABELS, &back), ST_OK);
    assert_int_equal(segmenter_hash(&s, one), ST_OK);
    assert_int_equal(segmenter_hash(&back, two), ST_OK);
    assert_string_equal(one, two);
    random_images(images);
    assert_int_equal(segmenter_labels(&s, images, COUNT, labels, NULL), ST_OK);
    assert_int_equal(segmenter_labels(&back, images, COUNT, again, NULL), ST_OK);
    assert_memory_equal(labels, again, sizeof labels);
    segmenter_close(&back);

    /* Keys of a segmenter's training matter, those of the arms do not. */
    settings.evaluate.seeds++;
    settings.train.steps++;
    assert_int_equal(referee_open(&stage, &LABELS, &back), ST_OK);
    segmenter_close(&back);
    settings.evaluate.lr *= 2;
    assert_refused(ST_INPUT, "another store or study: run ctaug referee");
    settings.evaluate.lr /= 2;
    settings.data.labelled = 1;
    assert_refused(ST_INPUT, "another store or study");
    settings.data.labelled = 0;
    flip_bit(in_home("run/referee/parameters.h5"), 40000);
    assert_refused(ST_INTEGRITY, "parameters.h5");
    publish(&s);
    assert_int_equal(write_store(in_home("run/store"), SMALL - 1), ST_OK);
    assert_refused(ST_INPUT, "another store or study");
    segmenter_close(&s);
}

/* No seed of a study gives the referee the seed of a segmenter that is judged. */
static void its_seed_is_its_own(void **state) {
    (void)state;
    for (int64_t seed = 0; seed < 1000; seed++) {
        settings.seed = seed < 500 ? seed : INT64_C(9007199254740991) - seed;
        /* Those of pipeline/evaluate are at most the seed and 1000003 for each of 100 segmenters.
         */
        assert_true(referee_seed(&settings) > (UINT64_C(1) << 54));
    }
    settings.seed = 1;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(labels_follow_from_the_logits, open_run),
        cmocka_unit_test_setup(a_published_referee_is_loaded, open_run),
        cmocka_unit_test_setup(its_seed_is_its_own, open_run),
    };
    if (!begin_tests(&argc, &argv)) return 1;
    return end_tests(cmocka_run_group_tests(tests, NULL, NULL));
}
