/* The denoiser of latents: maps are shares of area; the two halves of a codec are the autoencoder;
 * samples are decoded, and are not clamped before; slices are encoded for their loss; what stays
 * real of a slice that is in-painted; the noise of decoded slices. */
#include "pipeline/common/codec.h"
#include "pipeline/common/denoiser.h"
#include "pipeline/common/residual_class.h"
#include "pipeline/common/fingerprint.h"
#include "io/checkpoint.h"
#include "model/hu_map.h"
#include "model/metric/quantile.h"
#include "model/rng.h"
#include "model/nn/plan.h"
#include "model/warp.h"
#include "pipeline/data/tissue.h"
#include "pipeline/trainer/trainer.h"
#include "tests/scratch.h"

#include <math.h>

enum { SIZE = 32, PIXELS = SIZE * SIZE, FACTOR = 4, SIDE = SIZE / FACTOR, Z = 3, LABELS = 3 };
enum { VALUES = SIDE * SIDE * Z };

static const label_set labels = {.count = LABELS, .name = {"background", "bone", "fat"}};

static study make_study(void) {
    study s;
    study_defaults(&s);
    s.data.size = SIZE;
    s.generate.steps = 2;
    s.generate.appearance = 0;
    s.generate.residual = SWITCH_OFF;
    s.model.net = UNET_R16;
    s.model.space = SPACE_LATENT;
    s.autoencode.factor = FACTOR;
    s.autoencode.z = Z;
    s.autoencode.base = 8;
    s.autoencode.blocks = 1;
    snprintf(s.out, sizeof s.out, "%s", home);
    return s;
}

static stage_context make_stage(const study *s) {
    return (stage_context){.study = s, .engine = kernels_of(ENGINE_ONEDNN)};
}

/* Parameters of the whole network from a random stream, and the graph that names them. */
static params *make_params(const study *s, autoencoder_graph *graph) {
    params *p = NULL;
    const autoencoder_config c = codec_config(s, SIZE);
    rng_stream r = rng_open(7, RNG_INIT, 0, 0);
    assert_ok(autoencoder_describe(&c, graph));
    assert_ok(params_create(graph->g, &p));
    for (int64_t i = 0; i < p->total; i++) p->value[i] = (float)(0.08 * rng_normal(&r));
    return p;
}

/* The noise of a published one: that of a slice is its stream's, times 30 HU in soft tissue. */
static const float SIGMA[RESIDUAL_CLASSES] = {20, 30, 60, 5};

static residual_noise make_noise(void) {
    residual_noise n = {.kernel = {0}};
    n.kernel[RESIDUAL_SIDE * RESIDUAL_SIDE / 2] = 1;
    memcpy(n.sigma, SIGMA, sizeof SIGMA);
    for (int i = 0; i < RESIDUAL_LEVELS; i++) n.level[i] = 1 + 0.05f * (float)i;
    return n;
}

/* Publishes them in the run directory, with these scales, beside the manifest of a store. */
static void publish(const study *s, params *p, float scale[Z]) {
    residual_noise noise = make_noise();
    checkpoint_array *arrays = NULL, all[512];
    manifest store = {.kind = "store", .fingerprint = "f00d"}, m = {.kind = AUTOENCODER_KIND};
    manifest read = {0};
    char path[PATH_SIZE];
    assert_ok(file_make_dirs(in_home("store")));
    put_file(in_home("store/x"), "x", 1);
    assert_ok(manifest_add_file(&store, in_home("store"), "x"));
    assert_ok(manifest_write(&store, in_home("store")));
    assert_ok(manifest_read_alone(in_home("store"), "store", &read));
    assert_ok(fingerprint_of_autoencoder(s, read.seal, m.fingerprint));
    assert_ok(file_make_dirs(in_home("autoencoder")));
    assert_ok(trainer_arrays(p, "parameters", p->value, &arrays));
    assert_true(p->count + CODEC_ARRAYS <= 512);
    memcpy(all, arrays, (size_t)p->count * sizeof *all);
    codec_arrays(Z, scale, &noise, all + p->count);
    assert_ok(path_join(path, in_home("autoencoder"), PUBLISHED_PARAMETERS));
    assert_ok(checkpoint_write_arrays(path, all, p->count + CODEC_ARRAYS));
    assert_ok(manifest_add_file(&m, in_home("autoencoder"), PUBLISHED_PARAMETERS));
    assert_ok(manifest_write(&m, in_home("autoencoder")));
    manifest_free(&store);
    manifest_free(&read);
    manifest_free(&m);
    free(arrays);
}

static void make_image(float *image) {
    for (int i = 0; i < PIXELS; i++)
        image[i] = (float)sin(0.3 * (i % SIZE)) * (float)cos(0.2 * (i / SIZE));
}

static void maps_are_shares_of_area(void **state) {
    (void)state;
    enum { CHANNELS = LABELS + TISSUES };
    uint8_t codes[PIXELS];
    float maps[SIDE * SIDE * CHANNELS] = {0}, image[PIXELS];
    const denoiser_inputs in = {.channels = Z,
                                .factor = FACTOR,
                                .labels = LABELS,
                                .tissues = TISSUES,
                                .window = {-1000, 1000}};
    for (int i = 0; i < PIXELS; i++) codes[i] = (uint8_t)(i * i % 11 % CHANNELS);
    for (int i = 0; i < PIXELS; i++) image[i] = 1e9f; /* a latent is not looked at */
    const slice_sample sample = {.image = image, .labels = codes, .latent = true};
    denoiser_fill_map(&in, &sample, SIZE, maps, CHANNELS, 0);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double share[CHANNELS] = {0};
            for (int v = 0; v < FACTOR; v++)
                for (int u = 0; u < FACTOR; u++) {
                    const int code = codes[(y * FACTOR + v) * SIZE + x * FACTOR + u];
                    share[code] += 1.0 / (FACTOR * FACTOR);
                    if (code >= LABELS) share[0] += 1.0 / (FACTOR * FACTOR);
                }
            for (int c = 0; c < CHANNELS; c++)
                assert_float_equal(maps[(y * SIDE + x) * CHANNELS + c], share[c], 1e-6);
        }
    /* A slice of pixels with these labels and its tissues has the same maps as its codes. */
    float of_slice[SIDE * SIDE * CHANNELS] = {0}, of_codes[SIDE * SIDE * CHANNELS] = {0};
    uint8_t map[PIXELS];
    for (int i = 0; i < PIXELS; i++) {
        image[i] = (float)(i % SIZE / 8 * 300 - 400) / 1000;
        map[i] = (uint8_t)(i / SIZE < 10 ? 1 : 0);
    }
    for (int i = 0; i < PIXELS; i++) {
        const tissue kind = tissue_at(image, SIZE, i, in.window);
        codes[i] = (uint8_t)(map[i] || kind == TISSUE_AIR ? map[i] : LABELS + kind);
    }
    const slice_sample slice = {.image = image, .labels = map};
    denoiser_fill_map(&in, &slice, SIZE, of_slice, CHANNELS, 0);
    denoiser_fill_map(&in, &sample, SIZE, of_codes, CHANNELS, 0);
    assert_memory_equal(of_slice, of_codes, sizeof of_slice);
}

/* Looks at the inputs alone; the network does not run. */
static void codes_are_written_bit_by_bit(void **state) {
    (void)state;
    enum { CHANNELS = Z + LABELS + TISSUES, BITS = 3, CLASSES = 3 };
    static float x[2 * SIDE * SIDE * CHANNELS], t[2], position[2], class[2 * CLASSES];
    static float bits[2 * PIXELS * BITS], noised[VALUES];
    uint8_t codes[PIXELS];
    const denoiser_inputs in = {.x = {TYPE_F32, {2, SIDE, SIDE, CHANNELS}, x},
                                .t = {TYPE_F32, {2, 1, 1, 1}, t},
                                .position = {TYPE_F32, {2, 1, 1, 1}, position},
                                .class = {TYPE_F32, {2, 1, 1, CLASSES}, class},
                                .codes = {TYPE_F32, {2, SIZE, SIZE, BITS}, bits},
                                .channels = Z,
                                .factor = FACTOR,
                                .labels = LABELS,
                                .tissues = TISSUES,
                                .window = {-1000, 1000}};
    for (int i = 0; i < PIXELS; i++) codes[i] = (uint8_t)(i % (LABELS + TISSUES));
    for (int i = 0; i < VALUES; i++) noised[i] = (float)i;
    for (int i = 0; i < 2 * PIXELS * BITS; i++) bits[i] = 7; /* of an earlier batch */
    const slice_sample sample = {.labels = codes, .latent = true, .position = 0.5f};
    const noise_level at = {.scale = 0.5, .time = 3};
    denoiser_fill(&in, 0, noised, &at, &sample, false);
    denoiser_fill(&in, 1, noised, &at, &sample, true);
    for (int i = 0; i < PIXELS; i++)
        for (int k = 0; k < BITS; k++) {
            const int expected = codes[i] >> k & 1;
            assert_float_equal(bits[i * BITS + k], 0, 0);
            assert_float_equal(bits[(PIXELS + i) * BITS + k], expected, 0);
        }
    for (int i = 0; i < VALUES; i++)
        assert_float_equal(x[i / Z * CHANNELS + i % Z], 0.5f * noised[i], 0);
    for (int i = 0; i < SIDE * SIDE; i++)
        for (int c = Z; c < CHANNELS; c++) assert_float_equal(x[i * CHANNELS + c], 0, 0);
}

static void the_halves_of_a_codec_are_the_autoencoder(void **state) {
    (void)state;
    const study s = make_study();
    const stage_context stage = make_stage(&s);
    autoencoder_graph graph;
    params *p = make_params(&s, &graph);
    float scale[Z] = {0.5f, 2, 3}, image[PIXELS], made[PIXELS], latent[VALUES];
    codec *c = NULL;
    plan *pl = NULL;
    tensor input;
    char seal[SHA256_HEX];
    assert_int_equal(codec_open(&stage, &c), ST_INPUT);
    publish(&s, p, scale);
    const node outputs[] = {graph.moments, graph.image};
    const plan_options options = {
        .engine = stage.engine, .batch = 1, .outputs = outputs, .output_count = 2};
    assert_ok(plan_create(graph.g, p, &options, &pl));
    assert_ok(plan_input(pl, "image", &input));
    make_image(input.at);
    make_image(image);
    assert_ok(plan_forward(pl, NULL));
    assert_ok(codec_open(&stage, &c));
    assert_ok(published_seal(&stage, &codec_published, seal));
    assert_int_equal(codec_values(c), VALUES);
    assert_ok(codec_encode(c, image, latent));
    const float *moments = plan_output(pl, graph.moments).at;
    for (int i = 0; i < VALUES; i++)
        assert_float_equal(latent[i], moments[i / Z * 2 * Z + i % Z] * scale[i % Z], 1e-5);
    assert_ok(codec_decode(c, latent, made));
    const float *whole = plan_output(pl, graph.image).at;
    for (int i = 0; i < PIXELS; i++) assert_float_equal(made[i], whole[i], 1e-5);
    /* That of another study is not taken. */
    study other = s;
    other.autoencode.steps++;
    const stage_context elsewhere = make_stage(&other);
    codec_close(c);
    assert_int_equal(codec_open(&elsewhere, &c), ST_INPUT);
    assert_says("run ctaug autoencode first");
    plan_destroy(pl);
    params_destroy(p);
    autoencoder_graph_free(&graph);
}

/* A network whose last convolution has weights 0 predicts its biases, here as x_0. */
static void set_biases(denoiser *d, const float bias[Z]) {
    const params *of = denoiser_params(d);
    for (int64_t i = 0; i < of->count; i++)
        if (strcmp(of->list[i].name, "oc.bias") == 0) {
            assert_int_equal(of->list[i].count, Z);
            memcpy(of->value + of->list[i].offset, bias, Z * sizeof *bias);
        }
    denoiser_params_changed(d);
}

static void samples_are_decoded_without_a_clamp(void **state) {
    (void)state;
    study s = make_study();
    s.diffusion.objective = OBJECTIVE_X0;
    const stage_context stage = make_stage(&s);
    autoencoder_graph graph;
    params *p = make_params(&s, &graph);
    float scale[Z] = {0.5f, 2, 3}, bias[Z] = {3, -2.5f, 0.5f}, latent[VALUES];
    float image[PIXELS], expected[PIXELS], out[2 * PIXELS];
    uint8_t map[PIXELS] = {0};
    codec *c = NULL;
    denoiser *d = NULL;
    publish(&s, p, scale);
    assert_ok(codec_open(&stage, &c));
    for (int i = 0; i < VALUES; i++) latent[i] = bias[i % Z];
    assert_ok(codec_decode(c, latent, image));
    for (int i = 0; i < PIXELS; i++)
        expected[i] =
            window_apply((float)hu_map_from((double)image[i]), s.data.window[0], s.data.window[1]);
    assert_ok(denoiser_open(&stage, &labels, 2, &d));
    set_biases(d, bias);
    const slice_sample one = {.image = image, .labels = map};
    const slice_sample conditions[] = {one, one};
    assert_ok(denoiser_sample(d, conditions, (uint64_t[]){3, 4}, 2, out));
    for (int i = 0; i < 2 * PIXELS; i++) assert_float_equal(out[i], expected[i % PIXELS], 2e-5);
    /* The loss of x_0 is that of these biases against the latent, of pixels or as it is. */
    double loss[2], sum = 0;
    uint8_t codes[PIXELS] = {0};
    float mapped[PIXELS], own[PIXELS] = {0};
    for (int i = 0; i < PIXELS; i++) image[i] = (float)sin(0.1 * i) * 0.9f;
    for (int i = 0; i < PIXELS; i++)
        mapped[i] = (float)hu_map_to(s.data.window[0] + ((double)image[i] + 1) / 2 *
                                                            (s.data.window[1] - s.data.window[0]));
    assert_ok(codec_encode(c, mapped, own));
    for (int i = 0; i < VALUES; i++) sum += pow((double)own[i] - (double)bias[i % Z], 2) / VALUES;
    const slice_sample two[] = {{.image = image, .labels = map},
                                {.image = own, .labels = codes, .latent = true}};
    assert_ok(denoiser_loss(d, two, 100, 1, 2, loss));
    assert_float_equal(loss[0], sum, 1e-4 * sum);
    assert_float_equal(loss[1], sum, 1e-4 * sum);
    denoiser_close(d);
    codec_close(c);
    params_destroy(p);
    autoencoder_graph_free(&graph);
}

/* With such a network the latents that are decoded are the biases and what is kept of the encoded
 * image, of each latent's pixel as much as of the pixel that it is kept least of; then as much of
 * each pixel is that of the image. */
static void what_is_kept_of_latents_and_pixels(void **state) {
    (void)state;
    study s = make_study();
    s.diffusion.objective = OBJECTIVE_X0;
    const stage_context stage = make_stage(&s);
    autoencoder_graph graph;
    params *p = make_params(&s, &graph);
    float scale[Z] = {0.5f, 2, 3}, bias[Z] = {3, -2.5f, 0.5f};
    float image[PIXELS], mapped[PIXELS], known[VALUES], mixed[VALUES], made[PIXELS];
    float keep[2 * PIXELS], out[2 * PIXELS];
    uint8_t map[PIXELS] = {0};
    codec *c = NULL;
    denoiser *d = NULL;
    publish(&s, p, scale);
    assert_ok(codec_open(&stage, &c));
    make_image(image);
    const double low = s.data.window[0], high = s.data.window[1];
    for (int i = 0; i < PIXELS; i++)
        mapped[i] = (float)hu_map_to(low + ((double)image[i] + 1) / 2 * (high - low));
    assert_ok(codec_encode(c, mapped, known));
    assert_ok(denoiser_open(&stage, &labels, 3, &d)); /* a batch that is not full */
    set_biases(d, bias);
    for (int i = 0; i < PIXELS; i++) { /* 1, 0.25, or 0 in columns 10 and 11 */
        keep[i] = i % SIZE < 10 ? 1 : i % SIZE < 12 ? 0 : 0.25f;
        keep[PIXELS + i] = i / SIZE < 16 ? 0.5f : 1;
    }
    const slice_sample one = {.image = image, .labels = map}, conditions[] = {one, one};
    denoiser_keep(d, keep);
    assert_ok(denoiser_sample(d, conditions, (uint64_t[]){3, 4}, 2, out));
    for (int b = 0; b < 2; b++) {
        for (int i = 0; i < VALUES; i++) {
            const int x = i / Z % SIDE, y = i / Z / SIDE;
            const float part = b == 0 ? (x < 2 ? 1 : x == 2 ? 0 : 0.25f) : y < 4 ? 0.5f : 1;
            mixed[i] = bias[i % Z] + part * (known[i] - bias[i % Z]);
        }
        assert_ok(codec_decode(c, mixed, made));
        for (int i = 0; i < PIXELS; i++) {
            const float is = window_apply((float)hu_map_from((double)made[i]), low, high);
            const float want = is + keep[b * PIXELS + i] * (image[i] - is);
            assert_float_equal(out[b * PIXELS + i], want, 5e-5);
        }
    }
    denoiser_close(d);
    codec_close(c);
    params_destroy(p);
    autoencoder_graph_free(&graph);
}

/* A study whose images are HU / WIDE_HU, which decoded slices do not leave. */
static const float WIDE_HU = 30000;

static study make_wide_study(void) {
    study s = make_study();
    s.diffusion.objective = OBJECTIVE_X0;
    s.data.window[0] = -(double)WIDE_HU;
    s.data.window[1] = (double)WIDE_HU;
    s.seed = 41;
    return s;
}

/* out[k][count * PIXELS]: the samples with the noise that is dropped off (0) and on (1). */
static void sample_both(study s, const slice_sample *conditions, const uint64_t *index,
                        int64_t count, const float *keep, float *const out[2]) {
    for (int k = 0; k < 2; k++) {
        denoiser *d = NULL;
        s.generate.residual = k ? SWITCH_ON : SWITCH_OFF;
        const stage_context stage = make_stage(&s);
        assert_ok(denoiser_open(&stage, &labels, count, &d));
        set_biases(d, (float[Z]){0.3f, -0.2f, 0.05f});
        denoiser_keep(d, keep);
        assert_ok(denoiser_sample(d, conditions, index, count, out[k]));
        denoiser_close(d);
    }
}

/* That the pixels from..PIXELS-1 of a sample differ by the stream (41, its index) times sigma of
 * the tissue times the level. */
static void check_noise(const float *without, const float *with, uint64_t index, double level,
                        int from) {
    enum { WIDE = SIZE + RESIDUAL_SIDE - 1 };
    static float white[WIDE * WIDE], hu[PIXELS];
    static uint8_t class[PIXELS];
    rng_stream r = rng_open(41, RNG_RESIDUAL, index, 0);
    rng_fill_normal(&r, white, WIDE * WIDE);
    for (int i = 0; i < PIXELS; i++) hu[i] = WIDE_HU * without[i];
    residual_class(hu, SIZE, class);
    for (int i = from; i < PIXELS; i++) {
        const float field =
            white[(i / SIZE + RESIDUAL_SIDE / 2) * WIDE + i % SIZE + RESIDUAL_SIDE / 2];
        const double want = level * (double)SIGMA[class[i]] * (double)field;
        const double got = (double)WIDE_HU * (double)(with[i] - without[i]);
        assert_float_equal(got, want, 0.1 + 1e-3 * fabs(want));
    }
}

/* The level is what the stream of the volume draws. */
static void decoded_slices_get_the_noise_that_is_dropped(void **state) {
    (void)state;
    const study s = make_wide_study();
    const uint64_t index[] = {(UINT64_C(5) << 20) + 2, (UINT64_C(5) << 20) + 3,
                              (UINT64_C(9) << 20) + 3};
    const residual_noise n = make_noise();
    autoencoder_graph graph;
    params *p = make_params(&s, &graph);
    float scale[Z] = {0.5f, 2, 3}, image[PIXELS];
    static float without[3 * PIXELS], with[3 * PIXELS];
    uint8_t map[PIXELS] = {0};
    publish(&s, p, scale);
    make_image(image);
    const slice_sample one = {.image = image, .labels = map}, conditions[] = {one, one, one};
    sample_both(s, conditions, index, 3, NULL, (float *[]){without, with});
    for (int b = 0; b < 3; b++) {
        rng_stream of_volume = rng_open(41, RNG_RESIDUAL, index[b] >> 20, 1);
        check_noise(without + b * PIXELS, with + b * PIXELS, index[b],
                    residual_level(&n, rng_uniform(&of_volume)), 0);
    }
    params_destroy(p);
    autoencoder_graph_free(&graph);
}

/* What is in-painted has the noise of the image around it: the level is the median of |residual| /
 * sigma over kept tissue, over 0.6745. */
static void in_painted_slices_have_the_noise_around(void **state) {
    (void)state;
    const study s = make_wide_study();
    const stage_context stage = make_stage(&s);
    const uint64_t index = (UINT64_C(5) << 20) + 2;
    autoencoder_graph graph;
    params *p = make_params(&s, &graph);
    float scale[Z] = {0.5f, 2, 3}, image[PIXELS], mapped[PIXELS], made[PIXELS], keep[PIXELS];
    float known[VALUES], without[PIXELS], with[PIXELS];
    double shares[PIXELS];
    uint8_t map[PIXELS] = {0}, class[PIXELS];
    int64_t count = 0;
    codec *c = NULL;
    publish(&s, p, scale);
    assert_ok(codec_open(&stage, &c));
    for (int i = 0; i < PIXELS; i++) { /* on the left beyond the window */
        image[i] = 0.0012f * (float)(i % 13) + (i % SIZE < 4 ? 1.5f : 0);
        keep[i] = i / SIZE < 20 ? 1 : 0;
        mapped[i] = (float)hu_map_to((double)WIDE_HU * (double)image[i]);
    }
    assert_ok(codec_encode(c, mapped, known));
    assert_ok(codec_decode(c, known, made));
    for (int i = 0; i < PIXELS; i++) made[i] = (float)hu_map_from((double)made[i]);
    residual_class(made, SIZE, class);
    for (int i = 0; i < 20 * SIZE; i++)
        if (i % SIZE >= 4 && class[i] != RESIDUAL_AIR)
            shares[count++] = fabs((double)WIDE_HU * (double)image[i] - (double)made[i]) /
                              (double)SIGMA[class[i]];
    assert_true(count > 50);
    sort_ascending(shares, count);
    const double level = sorted_quantile(shares, count, 0.5) / 0.67449;
    const slice_sample condition = {.image = image, .labels = map};
    sample_both(s, &condition, &index, 1, keep, (float *[]){without, with});
    check_noise(without, with, index, level, 22 * SIZE); /* where neighbours are sampled, too */
    for (int i = 0; i < 20 * SIZE; i++) assert_float_equal(with[i], image[i], 1e-6);
    codec_close(c);
    params_destroy(p);
    autoencoder_graph_free(&graph);
}

static void the_network_is_one_of_latents(void **state) {
    (void)state;
    study s = make_study();
    unet_config c;
    assert_ok(denoiser_config(&s, &labels, &c));
    assert_true(c.size == SIDE && c.channels == Z && denoiser_values(&c) == VALUES);
    assert_true(c.codes.factor == FACTOR && c.labels == LABELS + TISSUES && c.codes.bits == 3);
    s.data.size = 40;
    assert_int_equal(denoiser_config(&s, &labels, &c), ST_USAGE);
    assert_says("halves its latents 2 times: take a multiple of 16");
}

static int begin(void **state) {
    (void)state;
    return begin_scratch() ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    return end_scratch() ? 0 : -1;
}

/* A slice that is large enough to be decoded in tiles is that of the plan for whole ones. */
static void large_slices_are_those_of_a_plan_for_whole_ones(void **state) {
    (void)state;
    enum { LARGE = 512, CELLS = LARGE / 8 * LARGE / 8 };
    study s = make_study();
    s.data.size = LARGE;
    s.autoencode.factor = 8;
    const stage_context stage = make_stage(&s);
    const autoencoder_config config = codec_config(&s, LARGE);
    autoencoder_graph both, decoder;
    plan *pl = NULL;
    codec *c = NULL;
    tensor latent;
    float *made = malloc((size_t)LARGE * LARGE * sizeof *made), from[CELLS * Z];
    assert_non_null(made);
    for (int i = 0; i < CELLS * Z; i++) from[i] = (float)sin(0.7 * i + i / 1000.0);
    params *p = make_params(&s, &both), *of_decoder = NULL;
    assert_ok(codec_create(&stage, &c));
    codec_set(c, p->value);
    assert_ok(codec_decode(c, from, made));
    assert_ok(autoencoder_describe_decoder(&config, &decoder));
    assert_ok(params_create(decoder.g, &of_decoder));
    memcpy(of_decoder->value, p->value + (p->total - of_decoder->total),
           (size_t)of_decoder->total * sizeof(float));
    const plan_options options = {
        .engine = stage.engine, .batch = 1, .outputs = &decoder.image, .output_count = 1};
    assert_ok(plan_create(decoder.g, of_decoder, &options, &pl));
    assert_ok(plan_input(pl, "latent", &latent));
    memcpy(latent.at, from, sizeof from);
    assert_ok(plan_forward(pl, NULL));
    const float *want = plan_output(pl, decoder.image).at;
    for (int i = 0; i < LARGE * LARGE; i++) assert_float_equal(made[i], want[i], 1e-4);
    plan_destroy(pl);
    params_destroy(of_decoder);
    params_destroy(p);
    autoencoder_graph_free(&decoder);
    autoencoder_graph_free(&both);
    codec_close(c);
    free(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_are_shares_of_area),
        cmocka_unit_test(the_network_is_one_of_latents),
        cmocka_unit_test(codes_are_written_bit_by_bit),
        cmocka_unit_test(the_halves_of_a_codec_are_the_autoencoder),
        cmocka_unit_test(large_slices_are_those_of_a_plan_for_whole_ones),
        cmocka_unit_test(samples_are_decoded_without_a_clamp),
        cmocka_unit_test(what_is_kept_of_latents_and_pixels),
        cmocka_unit_test(decoded_slices_get_the_noise_that_is_dropped),
        cmocka_unit_test(in_painted_slices_have_the_noise_around)};
    return cmocka_run_group_tests(tests, begin, end);
}
