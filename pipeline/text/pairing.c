/* Draws pairs, gathers their vectors, and gives each pair its part of the gradient. */
#include "pipeline/text/pairing.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "model/net/clip_loss.h"
#include "model/net/image_text.h"
#include "pipeline/common/text_model.h"
#include "pipeline/common/training_run.h"
#include "pipeline/data/mixture.h"
#include "pipeline/data/slice_caption.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    VALUES = 2 * IMAGE_TEXT_WIDTH + 1, /* of the vectors of a pair */
    TOKEN_SLICES = 512,                /* slices whose captions the tokens are learnt on, at most */
    HELD_PAIRS = 64                    /* of validation slices, at most */
};

/* Vectors of pairs, and what the loss makes of them. */
typedef struct clip {
    float *image, *text, *of_image, *of_text; /* [pairs][IMAGE_TEXT_WIDTH] */
    double log_scale;
    clip_sums sums;
} clip;

/* A slice and its sentence. */
typedef struct pair {
    float *image; /* [size * size] */
    int32_t sentence[TEXT_SENTENCE];
} pair;

struct pairing {
    const stage_context *stage;
    training_data *data;
    captioner *captions;
    bpe *tokens;
    int64_t learnt, cut; /* captions that they are learnt on; those longer than a sentence */
    mixture mixture;
    graph *graph;
    image_text_nodes nodes;
    trainer *trainer;
    trainer_feed feed;
    float *log_scale; /* the parameter */
    uint8_t *labels;  /* of the present slice */
    pair *own;        /* [own_count]: this rank's pairs of a step */
    int64_t own_count, own_first;
    clip step; /* all pairs of a step */
    /* Measurements. */
    params *held_params;
    plan *held_plan;
    pair held;
    clip of_held;
};

static status clip_alloc(int64_t pairs, clip *c) {
    status st = ST_OK;
    float **const arrays[] = {&c->image, &c->text, &c->of_image, &c->of_text};
    for (int i = 0; i < 4; i++)
        TRY(array_alloc(arrays[i], pairs * IMAGE_TEXT_WIDTH, sizeof(float), "vectors of pairs"));
done:
    return st;
}

static void clip_free(clip *c) {
    free(c->image);
    free(c->text);
    free(c->of_image);
    free(c->of_text);
}

/* Takes the vectors of a pair. */
static void clip_take(clip *c, int64_t pair_number, const float *vectors) {
    const size_t bytes = IMAGE_TEXT_WIDTH * sizeof *vectors;
    memcpy(c->image + pair_number * IMAGE_TEXT_WIDTH, vectors, bytes);
    memcpy(c->text + pair_number * IMAGE_TEXT_WIDTH, vectors + IMAGE_TEXT_WIDTH, bytes);
    c->log_scale = CLIP_LOG_SCALE_START + (double)vectors[VALUES - 1];
}

static status clip_compute(clip *c, int64_t pairs) {
    const clip_batch batch = {.image = c->image,
                              .text = c->text,
                              .pairs = pairs,
                              .width = IMAGE_TEXT_WIDTH,
                              .rows = pairs,
                              .log_scale = c->log_scale};
    c->sums.image = c->of_image;
    c->sums.text = c->of_text;
    return clip_loss(&batch, &c->sums);
}

/* ---- pairs ---- */

/* The sentence of a slice. Local. */
static status caption_pair(pairing *p, const slice_sample *slice, uint64_t index, caption_use use,
                           pair *out) {
    status st = ST_OK;
    char text[CAPTION_SIZE];
    TRY(captioner_write(p->captions, slice, index, use, use == CAPTION_PAIR, text));
    bpe_sentence(p->tokens, (bpe_text){text, (int64_t)strlen(text)}, TEXT_SENTENCE, out->sentence);
done:
    return st;
}

/* Training pair `index`. Local. */
static status draw_pair(pairing *p, int64_t index, pair *out) {
    status st = ST_OK;
    const uint64_t seed = (uint64_t)p->stage->study->seed;
    slice_sample slice = {.image = out->image, .labels = p->labels};
    int64_t number;
    const bool unlabelled = mixture_at(&p->mixture, index, &number);
    TRY(slices_draw(unlabelled ? p->data->unlabelled : p->data->train, seed, number, &slice));
    TRY(caption_pair(p, &slice, (uint64_t)index, CAPTION_PAIR, out));
done:
    return st;
}

/* The inputs of a plan of the networks, at slot b. */
typedef struct slots {
    tensor image, tokens, mask;
} slots;

static status slots_of(plan *pl, slots *out) {
    status st = ST_OK;
    tensor zero;
    TRY(plan_input(pl, "x", &out->image));
    TRY(plan_input(pl, "tokens", &out->tokens));
    TRY(plan_input(pl, "mask", &out->mask));
    TRY(plan_input(pl, "zero", &zero));
    memset(zero.at, 0, (size_t)tensor_bytes(&zero));
done:
    return st;
}

static void fill_slot(const slots *s, int64_t b, const pair *from) {
    const int64_t pixels = tensor_sample(&s->image);
    memcpy((float *)s->image.at + b * pixels, from->image, (size_t)pixels * sizeof(float));
    text_model_fill(from->sentence, (float *)s->tokens.at + b * TEXT_SENTENCE,
                    (float *)s->mask.at + b * TEXT_SENTENCE);
}

/* ---- steps ---- */

/* Runs this rank's pairs for vectors[count][VALUES]. Local. */
static status run_own(pairing *p, plan *pl, int64_t first, int64_t count, float *vectors) {
    status st = ST_OK;
    slots in;
    TRY(slots_of(pl, &in));
    const int64_t batch = in.image.shape[0];
    for (int64_t i = 0; i < count; i++) TRY(draw_pair(p, first + i, &p->own[i]));
    for (int64_t at = 0; at < count; at += batch) {
        const int64_t n = count - at < batch ? count - at : batch;
        for (int64_t b = 0; b < batch; b++) fill_slot(&in, b, &p->own[at + (b < n ? b : n - 1)]);
        TRY(plan_forward(pl, NULL));
        activity_progress();
        memcpy(vectors + at * VALUES, plan_output(pl, p->nodes.vectors).at,
               (size_t)(n * VALUES) * sizeof *vectors);
    }
done:
    return st;
}

/* trainer_feed.gather: the loss of the batch and its gradient by all vectors. Collective. */
static status gather(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    pairing *p = context;
    const comm *c = p->stage->comm;
    const int64_t pairs = p->stage->study->text.batch;
    float *mine = NULL;
    void *all = NULL;
    int64_t bytes = 0;
    p->own_first = first;
    st = array_alloc(&mine, count * VALUES, sizeof *mine, "vectors of pairs");
    if (st == ST_OK) st = run_own(p, pl, first, count, mine);
    TRY(comm_agree(c, st));
    TRY(comm_all_gather(c, mine, count * VALUES * (int64_t)sizeof *mine, &all, &bytes, NULL));
    if (bytes == pairs * VALUES * (int64_t)sizeof *mine) {
        for (int64_t i = 0; i < pairs; i++) clip_take(&p->step, i, (float *)all + i * VALUES);
        st = clip_compute(&p->step, pairs);
    } else
        st = status_fail(ST_INTERNAL, "the ranks do not have the pairs of a batch");
    TRY(comm_agree(c, st));
done:
    free(mine);
    free(all);
    return st;
}

/* trainer_feed.fill. The mean over the batch of what is given here is the gradient. */
static status fill(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    pairing *p = context;
    const clip_sums *sums = &p->step.sums;
    const int64_t pairs = p->stage->study->text.batch;
    slots in;
    tensor gradient, value;
    TRY(slots_of(pl, &in));
    TRY(plan_input(pl, "gradient", &gradient));
    TRY(plan_input(pl, "value", &value));
    for (int64_t b = 0; b < count; b++) {
        const int64_t at = (first + b) % pairs * IMAGE_TEXT_WIDTH;
        float *to = (float *)gradient.at + b * VALUES;
        fill_slot(&in, b, &p->own[first + b - p->own_first]);
        for (int64_t i = 0; i < IMAGE_TEXT_WIDTH; i++) {
            to[i] = (float)pairs * sums->image[at + i];
            to[IMAGE_TEXT_WIDTH + i] = (float)pairs * sums->text[at + i];
        }
        to[VALUES - 1] = (float)sums->log_scale;
        ((float *)value.at)[b] = (float)sums->loss;
    }
done:
    return st;
}

/* trainer_feed.enter: the scale is bounded after each update. */
static void enter(void *context, params *values) {
    pairing *p = context;
    (void)values;
    *p->log_scale =
        (float)(clip_limit(CLIP_LOG_SCALE_START + (double)*p->log_scale) - CLIP_LOG_SCALE_START);
}

/* ---- opening ---- */

/* The user's captions of the volumes of a part of the split, at[..] if it is not NULL; returns how
 * many there are. */
static int64_t own_of_part(const pairing *p, split_part part, bpe_text *at) {
    const split *sp = &p->data->split;
    int64_t count = 0;
    for (int64_t i = 0; i < sp->run_count[part]; i++) {
        const int64_t volume = sp->runs[part][i].volume;
        const char *text = captioner_own(p->captions, volume);
        const bool again = i > 0 && sp->runs[part][i - 1].volume == volume;
        if (!text || again) continue;
        if (at) at[count] = (bpe_text){text, (int64_t)strlen(text)};
        count++;
    }
    return count;
}

/* Learns the tokens on the captions of evenly spaced training slices and those of the user. Local.
 */
static status learn_tokens(pairing *p) {
    status st = ST_OK;
    const study *s = p->stage->study;
    const int64_t all = slices_count(p->data->train);
    const int64_t n = all < TOKEN_SLICES ? all : TOKEN_SLICES;
    const int64_t own = own_of_part(p, SPLIT_TRAIN, NULL);
    const int64_t total = n + own + own_of_part(p, SPLIT_UNLABELLED, NULL);
    slice_sample slice = {.image = p->held.image, .labels = p->labels};
    char(*captions)[CAPTION_SIZE] = NULL;
    bpe_text *texts = NULL;
    TRY(array_alloc(&captions, n, sizeof *captions, "captions"));
    TRY(array_alloc(&texts, total, sizeof *texts, "captions"));
    for (int64_t i = 0; i < n; i++) {
        TRY(slices_get(p->data->train, i * all / n, &slice));
        TRY(captioner_write(p->captions, &slice, (uint64_t)i, CAPTION_TOKENS, false, captions[i]));
        texts[i] = (bpe_text){captions[i], (int64_t)strlen(captions[i])};
    }
    own_of_part(p, SPLIT_TRAIN, texts + n);
    own_of_part(p, SPLIT_UNLABELLED, texts + n + own);
    TRY(bpe_learn(texts, total, BPE_FIRST + (int)s->text.pairs, &p->tokens));
    p->learnt = total;
    for (int64_t i = 0; i < total; i++) p->cut += text_is_cut(p->tokens, texts[i].at);
done:
    free(captions);
    free(texts);
    return st;
}

/* What needs no other rank. Local. */
static status open_local(pairing *p) {
    status st = ST_OK;
    const study *s = p->stage->study;
    const int64_t pixels = s->data.size * s->data.size, ranks = comm_size(p->stage->comm);
    TRY(captioner_open(s, store_labels(p->data->store), p->data->store, &p->captions));
    TRY(array_alloc(&p->labels, pixels, 1, "a label map"));
    TRY(array_alloc(&p->held.image, pixels, sizeof(float), "a slice"));
    p->own_count = (s->text.batch + ranks - 1) / ranks;
    TRY(array_alloc(&p->own, p->own_count, sizeof *p->own, "pairs"));
    for (int64_t i = 0; i < p->own_count; i++)
        TRY(array_alloc(&p->own[i].image, pixels, sizeof(float), "a slice"));
    TRY(clip_alloc(s->text.batch, &p->step));
    TRY(clip_alloc(HELD_PAIRS, &p->of_held));
    TRY(learn_tokens(p));
    TRY(graph_create(&p->graph));
    p->nodes = image_text_build(p->graph, s->data.size, bpe_vocabulary(p->tokens));
    TRY(graph_check(p->graph));
    TRY(params_create(p->graph, &p->held_params));
    const plan_options options = {.engine = p->stage->engine,
                                  .batch = s->train.micro_batch,
                                  .compute = TYPE_F32,
                                  .outputs = &p->nodes.vectors,
                                  .output_count = 1};
    TRY(plan_create(p->graph, p->held_params, &options, &p->held_plan));
done:
    return st;
}

status pairing_open(const stage_context *stage, training_data *data, pairing **out) {
    status st = ST_OK;
    const study *s = stage->study;
    pairing *p = NULL;
    *out = NULL;
    TRY(comm_agree(stage->comm, array_alloc(&p, 1, sizeof *p, "pairs")));
    p->stage = stage;
    p->data = data;
    p->mixture =
        mixture_of(s->text.batch, s->text.steps, data->unlabelled ? s->train.unlabelled : 0, 0);
    if (p->mixture.synthetic >= s->text.batch)
        TRY(comm_agree(
            stage->comm,
            status_fail(ST_USAGE,
                        "train.unlabelled %g leaves no labelled slice in a text.batch of "
                        "%" PRId64,
                        s->train.unlabelled, s->text.batch)));
    p->feed = (trainer_feed){.fill = fill, .gather = gather, .enter = enter, .context = p};
    TRY(comm_agree(stage->comm, open_local(p)));
    if (p->cut > 0 && comm_rank(stage->comm) == 0)
        log_warning(stage->log,
                    "text: %" PRId64 " of %" PRId64
                    " captions have more than %d tokens: their ends are cut off",
                    p->cut, p->learnt, TEXT_SENTENCE - 2);
    trainer_settings set = training_run_settings(stage);
    set.steps = s->text.steps;
    set.batch = s->text.batch;
    set.lr = s->text.lr;
    set.warmup = s->text.steps / 10;
    set.weight_decay = s->train.weight_decay;
    set.ema = s->train.ema;
    set.precision = TYPE_F32;
    set.read = &p->nodes.vectors;
    TRY(trainer_create(stage->comm, &set, p->graph, p->nodes.loss, stage->engine, &p->trainer));
    const params *of = trainer_params(p->trainer);
    for (int64_t i = 0; i < of->count; i++)
        if (strcmp(of->list[i].name, IMAGE_TEXT_SCALE) == 0)
            p->log_scale = of->value + of->list[i].offset;
    *out = p;
    p = NULL;
done:
    pairing_close(p);
    return st;
}

void pairing_close(pairing *p) {
    if (!p) return;
    trainer_destroy(p->trainer);
    plan_destroy(p->held_plan);
    params_destroy(p->held_params);
    graph_destroy(p->graph);
    bpe_free(p->tokens);
    captioner_close(p->captions);
    for (int64_t i = 0; p->own && i < p->own_count; i++) free(p->own[i].image);
    free(p->own);
    free(p->held.image);
    free(p->labels);
    clip_free(&p->step);
    clip_free(&p->of_held);
    free(p);
}

trainer *pairing_trainer(pairing *p) { return p->trainer; }
const trainer_feed *pairing_feed(const pairing *p) { return &p->feed; }
const bpe *pairing_tokens(const pairing *p) { return p->tokens; }

/* ---- measuring ---- */

/* Adds the vectors of this rank's batches of `pairs` validation pairs. Local. */
static status run_held(pairing *p, int64_t pairs, double *vectors) {
    status st = ST_OK;
    slices *from = p->data->validation;
    slots in;
    TRY(slots_of(p->held_plan, &in));
    const int64_t batch = in.image.shape[0], ranks = comm_size(p->stage->comm);
    for (int64_t at = comm_rank(p->stage->comm) * batch; at < pairs; at += ranks * batch) {
        const int64_t n = pairs - at < batch ? pairs - at : batch;
        for (int64_t b = 0; b < batch; b++) {
            const int64_t k = at + (b < n ? b : n - 1);
            slice_sample slice = {.image = p->held.image, .labels = p->labels};
            TRY(slices_get(from, k * slices_count(from) / pairs, &slice));
            TRY(caption_pair(p, &slice, (uint64_t)k, CAPTION_HELD, &p->held));
            fill_slot(&in, b, &p->held);
        }
        TRY(plan_forward(p->held_plan, NULL));
        activity_progress();
        const float *made = plan_output(p->held_plan, p->nodes.vectors).at;
        for (int64_t i = 0; i < n * VALUES; i++) vectors[at * VALUES + i] = (double)made[i];
    }
done:
    return st;
}

/* u . v / |v| of two vectors. */
static double similarity(const float *u, const float *v) {
    double product = 0, square = 0;
    for (int i = 0; i < IMAGE_TEXT_WIDTH; i++) {
        product += (double)u[i] * (double)v[i];
        square += (double)v[i] * (double)v[i];
    }
    return square > 0 ? product / sqrt(square) : 0;
}

/* The share of the vectors `of` whose most similar one among `others` is their own. */
static double found(const float *of, const float *others, int64_t pairs) {
    int64_t right = 0;
    for (int64_t i = 0; i < pairs; i++) {
        const float *own = of + i * IMAGE_TEXT_WIDTH;
        const double best = similarity(own, others + i * IMAGE_TEXT_WIDTH);
        bool beaten = false;
        for (int64_t k = 0; k < pairs; k++)
            beaten |= k != i && similarity(own, others + k * IMAGE_TEXT_WIDTH) >= best;
        right += !beaten;
    }
    return (double)right / (double)pairs;
}

status pairing_measure(pairing *p, const float *values, pairing_result *out) {
    status st = ST_OK;
    const comm *c = p->stage->comm;
    const int64_t all = slices_count(p->data->validation);
    const int64_t pairs = all < HELD_PAIRS ? all : HELD_PAIRS;
    double *vectors = NULL;
    float of_pair[VALUES];
    memcpy(p->held_params->value, values, (size_t)p->held_params->total * sizeof *values);
    plan_params_changed(p->held_plan);
    st = array_alloc(&vectors, pairs * VALUES, sizeof *vectors, "vectors of pairs");
    if (st == ST_OK) st = run_held(p, pairs, vectors);
    TRY(comm_agree(c, st));
    TRY(comm_sum_f64(c, vectors, pairs * VALUES));
    for (int64_t i = 0; i < pairs; i++) {
        for (int64_t k = 0; k < VALUES; k++) of_pair[k] = (float)vectors[i * VALUES + k];
        clip_take(&p->of_held, i, of_pair);
    }
    TRY(comm_agree(c, clip_compute(&p->of_held, pairs)));
    *out = (pairing_result){.pairs = pairs,
                            .loss = p->of_held.sums.loss,
                            .images = found(p->of_held.image, p->of_held.text, pairs),
                            .texts = found(p->of_held.text, p->of_held.image, pairs),
                            .scale = exp(clip_limit(p->of_held.log_scale))};
done:
    free(vectors);
    return st;
}
