/* Segmentation loss of a sample:
 *
 *     weight * (mean over pixels of the cross-entropy + mean over classes of -ln D)
 *
 * with soft Dice D = (2 I + 1) / (P + Y + 1), I = sum of p*y, P = sum of p and Y = sum of y over
 * the pixels (Milletari et al. 2016, equation in section 3, with plain instead of squared sums in
 * the denominator). The logarithm gives a structure that is hardly found a larger slope than one
 * that is found already (Wong et al. 2018, equation 2 with an exponent of 1). The mean is over the
 * classes that the truth of the sample holds; the others are left to the cross-entropy. Their Dice
 * would fall from 1 to 1/2 at one pixel, so that a small structure, absent from most slices, would
 * never be predicted. */
#include "model/nn/op.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { CLASSES_MAX = 256 };

typedef struct overlap {
    double both[CLASSES_MAX], predicted[CLASSES_MAX], truth[CLASSES_MAX]; /* I, P, Y */
    double present;                                                       /* classes with Y > 0 */
} overlap;

static double dice_of_class(const overlap *o, int64_t k) {
    return (2 * o->both[k] + 1) / (o->predicted[k] + o->truth[k] + 1);
}

/* saved: the class probabilities. */
static status dice_ce_open(op_run *r) {
    r->saved_bytes = tensor_count(&r->in[0]) * (int64_t)sizeof(float);
    return ST_OK;
}

static void softmax(const float *logits, float *p, int64_t classes) {
    float max = logits[0], sum = 0;
    for (int64_t k = 1; k < classes; k++) max = fmaxf(max, logits[k]);
    for (int64_t k = 0; k < classes; k++) sum += p[k] = expf(logits[k] - max);
    for (int64_t k = 0; k < classes; k++) p[k] /= sum;
}

static void overlap_of(const float *p, const uint8_t *labels, int64_t pixels, int64_t classes,
                       overlap *o) {
    memset(o, 0, sizeof *o);
    for (int64_t i = 0; i < pixels; i++) {
        for (int64_t k = 0; k < classes; k++) o->predicted[k] += (double)p[i * classes + k];
        o->both[labels[i]] += (double)p[i * classes + labels[i]];
        o->truth[labels[i]]++;
    }
    for (int64_t k = 0; k < classes; k++) o->present += o->truth[k] > 0;
}

static status dice_ce_forward(op_run *r) {
    int64_t pixels = r->in[0].shape[1] * r->in[0].shape[2], classes = r->in[0].shape[3];
    const float *logits = r->in[0].at, *weight = r->in[2].at;
    const uint8_t *labels = r->in[1].at;
    float *y = r->out.at;
    for (int64_t i = 0; i < r->batch * pixels; i++)
        if (labels[i] >= classes)
            return status_fail(ST_INPUT,
                               "a label map holds %d, but there are only %" PRId64 " classes",
                               (int)labels[i], classes);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        float *p = (float *)r->saved + b * pixels * classes;
        const uint8_t *truth = labels + b * pixels;
        double entropy = 0, surprise = 0;
        overlap o;
        for (int64_t i = 0; i < pixels; i++) {
            softmax(logits + (b * pixels + i) * classes, p + i * classes, classes);
            entropy -= log(fmax((double)p[i * classes + truth[i]], 1e-30));
        }
        overlap_of(p, truth, pixels, classes, &o);
        for (int64_t k = 0; k < classes; k++)
            if (o.truth[k] > 0) surprise -= log(dice_of_class(&o, k));
        y[b] = (float)((double)weight[b] * (entropy / (double)pixels + surprise / o.present));
    }
    return ST_OK;
}

static status dice_ce_backward(op_run *r) {
    int64_t pixels = r->in[0].shape[1] * r->in[0].shape[2], classes = r->in[0].shape[3];
    const float *weight = r->in[2].at;
    const uint8_t *labels = r->in[1].at;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const float *p = (const float *)r->saved + b * pixels * classes;
        const uint8_t *truth = labels + b * pixels;
        float *dx = (float *)r->grad_in[0] + b * pixels * classes;
        float factor = ((const float *)r->grad_out)[b] * weight[b];
        float outside[CLASSES_MAX], inside[CLASSES_MAX]; /* d(-ln D)/dp where y = 0, 1 */
        overlap o;
        overlap_of(p, truth, pixels, classes, &o);
        for (int64_t k = 0; k < classes; k++) {
            double below = o.predicted[k] + o.truth[k] + 1;
            double share = o.truth[k] > 0 ? 1 / o.present : 0;
            outside[k] = (float)(share / below);
            inside[k] = outside[k] - (float)(share * 2 / (below * dice_of_class(&o, k)));
        }
        for (int64_t i = 0; i < pixels; i++) {
            const float *q = p + i * classes;
            float mean = 0; /* of these slopes, weighted by q: the Jacobian of the softmax */
            for (int64_t k = 0; k < classes; k++)
                mean += q[k] * (k == truth[i] ? inside[k] : outside[k]);
            for (int64_t k = 0; k < classes; k++) {
                float hit = k == truth[i] ? 1.0f : 0.0f;
                float dice = q[k] * ((k == truth[i] ? inside[k] : outside[k]) - mean);
                dx[i * classes + k] = factor * (dice + (q[k] - hit) / (float)pixels);
            }
        }
    }
    return ST_OK;
}

static const op_kind dice_ce_kind = {.name = "Dice and cross-entropy loss",
                                     .backward_reads = BIT_IN1 | BIT_IN2,
                                     .open = dice_ce_open,
                                     .forward = dice_ce_forward,
                                     .backward = dice_ce_backward};

node graph_dice_ce_loss(graph *g, node logits, node labels, node weight) {
    const graph_op *l = graph_value(g, logits, "loss"), *w = graph_value(g, weight, "loss");
    if (!l || !w) return NODE_NONE;
    if (labels < 0 || labels >= g->count || g->ops[labels].type != TYPE_U8)
        return graph_fault(g, "loss: the labels must be an input of type u8");
    const graph_op *t = &g->ops[labels];
    if (t->shape[0] != l->shape[0] || t->shape[1] != l->shape[1] || t->shape[2] != 1)
        return graph_fault(g, "loss: the label map does not have the size of the logits");
    if (l->shape[2] > CLASSES_MAX) return graph_fault(g, "loss: more than %d classes", CLASSES_MAX);
    if (w->shape[0] * w->shape[1] * w->shape[2] != 1)
        return graph_fault(g, "loss: the weight must be one value per sample");
    graph_op op = {
        .kind = &dice_ce_kind, .in = {logits, labels, weight}, .inputs = 3, .shape = {1, 1, 1}};
    return graph_append(g, &op);
}
