/* The painter `gan`: the generator of the GAN with the EMA parameters of its newest checkpoint. */
#include "pipeline/generate/painter.h"

#include "io/alloc.h"
#include "model/rng.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/common/generator.h"
#include "pipeline/trainer/trainer.h"

#include <inttypes.h>
#include <string.h>

typedef struct gan_painter {
    const painter_inputs *in;
    char checkpoints[PATH_SIZE], discriminator[PATH_SIZE];
    int64_t step;                /* of the checkpoint */
    char checkpoint[SHA256_HEX]; /* its seal */
    generator *generator;        /* NULL until opened */
    float *noise;                /* [batch][size][size] */
} gan_painter;

/* training: the fingerprint of the GAN's. Local. */
static status create(const painter_inputs *in, void **self, char training[SHA256_HEX]) {
    status st = ST_OK;
    gan_painter *p = NULL;
    char diffusion[SHA256_HEX];
    TRY(array_alloc(&p, 1, sizeof *p, "a painter"));
    p->in = in;
    *self = p;
    TRY(fingerprint_of_training(in->stage->study, store_manifest(in->stores.real)->seal,
                                diffusion));
    TRY(fingerprint_of_gan(in->stage->study, diffusion, training));
    TRY(generator_checkpoints(in->stage, training, p->checkpoints, p->discriminator));
done:
    return st;
}

static status find(const painter_inputs *in, void **self, char fingerprint[SHA256_HEX]) {
    status st = ST_OK;
    const stage_context *s = in->stage;
    char training[SHA256_HEX];
    checkpoint_choice found;
    *self = NULL;
    TRY(comm_agree(s->comm, create(in, self, training)));
    gan_painter *p = *self;
    TRY(trainer_find(s->comm, p->checkpoints, training, s->log, &found));
    p->step = found.step;
    memcpy(p->checkpoint, found.seal, sizeof p->checkpoint);
    if (p->step < 0) {
        st = status_fail(ST_INPUT, "%s holds no checkpoint of this study: run ctaug gan first",
                         p->checkpoints);
        goto done;
    }
    TRY(comm_agree(s->comm,
                   fingerprint_of_synthetic(s->study, training, p->checkpoint, "", fingerprint)));
done:
    return st;
}

static status open_generator(void *self, int64_t batch) {
    status st = ST_OK;
    gan_painter *p = self;
    const stage_context *s = p->in->stage;
    const int64_t pixels = s->study->data.size * s->study->data.size;
    TRY(generator_open(s, store_labels(p->in->stores.real), batch, &p->generator));
    TRY(trainer_load_ema(p->checkpoints, p->step, generator_params(p->generator)));
    generator_params_changed(p->generator);
    TRY(array_alloc(&p->noise, batch * pixels, sizeof *p->noise, "noise"));
done:
    return st;
}

static void fill_noise(gan_painter *p, const uint64_t *index, int64_t count) {
    const int64_t pixels = generator_pixels(p->generator);
    for (int64_t k = 0; k < count; k++) {
        rng_stream r = rng_open((uint64_t)p->in->stage->study->seed, RNG_PAINT, index[k], 2);
        rng_fill_normal(&r, p->noise + k * pixels, pixels);
    }
}

static status paint(void *self, const slice_sample *conditions, const uint64_t *index,
                    const float *keep, int64_t count, float *images) {
    (void)keep;
    gan_painter *p = self;
    fill_noise(p, index, count);
    return generator_sample(p->generator, conditions, p->noise, count, images);
}

static json_t *provenance(const void *self) {
    const gan_painter *p = self;
    return json_pack("{s:I, s:s}", "checkpoint_step", (json_int_t)p->step, "checkpoint",
                     p->checkpoint);
}

static void close_painter(void *self) {
    gan_painter *p = self;
    if (!p) return;
    generator_close(p->generator);
    free(p->noise);
    free(p);
}

const painter painter_gan = {.folder = "synthetic-gan",
                             .find = find,
                             .open = open_generator,
                             .paint = paint,
                             .provenance = provenance,
                             .close = close_painter};
