/* The denoiser of a study: its network, the layout of slices and conditions in the network's
 * inputs, and sampling. Training, previews and generation share this module. */
#ifndef CTAUG_PIPELINE_COMMON_DENOISER_H
#define CTAUG_PIPELINE_COMMON_DENOISER_H

#include "pipeline/study/study.h"
#include "model/diffusion/sampler.h"
#include "model/net/unet.h"
#include "model/nn/plan.h"
#include "pipeline/data/batch.h"
#include "pipeline/data/slice_numbers.h"
#include "pipeline/stage.h"

/* Configures the network from model.net, model.dropout, data.size and the store's labels. It is
 * conditioned on the label map, with model.tissue on the tissue outside of the structures, the
 * slice position and the contrast class. With model.space latent it is one of latents
 * (pipeline/common/codec.h); its maps are shares of the area of a latent's pixels, and it also sees
 * the map of each pixel, as bits of its code. With model.text it attends to a caption
 * (pipeline/common/text_model.h). ST_USAGE if the size cannot be halved as often as the
 * network does. Local. */
status denoiser_config(const study *s, const label_set *labels, unet_config *out);

/* Values of a slice as the network has it: size * size * channels. Local. */
int64_t denoiser_values(const unet_config *c);

/* The input tensors of a plan of this network. The plan owns their memory. */
typedef struct denoiser_inputs {
    tensor x, t, position, class;
    tensor numbers, d, codes, text, text_mask; /* `at` is NULL unless the network has this input */
    int64_t channels;                          /* of the slice in x */
    int64_t factor;   /* pixels of a label map for a pixel of x, along each axis */
    int64_t labels;   /* label channels of x, after the slice */
    int64_t tissues;  /* tissue channels of x, after the labels */
    double window[2]; /* HU low, high */
} denoiser_inputs;

/* Finds the inputs in a plan. Local. */
status denoiser_inputs_of(const study *s, plan *pl, const unet_config *c, denoiser_inputs *out);

/* The code of pixel i of a slice of size*size pixels: its label, or where that is 0 the number of
 * labels + its tissue, if it has one; -1: no label of this network. Local. */
int64_t denoiser_code(const denoiser_inputs *in, const slice_sample *condition, int64_t size,
                      int64_t i);

/* Writes the shares that labels and tissues of a slice have of each pixel of x, 0 or 1 for factor
 * 1, to channels `first`.. of to[size / factor][size / factor][channels], which are 0. The tissue
 * is that of condition->image where the label is 0; without an image there is none. Of a latent,
 * the codes are both. Local. */
void denoiser_fill_map(const denoiser_inputs *in, const slice_sample *condition, int64_t size,
                       float *to, int64_t channels, int64_t first);

/* Writes sample b of the batch to the inputs: x_t [denoiser_values()] at its noise level and
 * denoiser_fill_map() as channels of x, the codes, the time, the size of the step, position and
 * class; a position or a class below 0 is dropped. Without `conditional` all of these are dropped
 * (classifier-free guidance). Local. */
void denoiser_fill(const denoiser_inputs *in, int64_t b, const float *x_t, const noise_level *at,
                   const slice_sample *condition, bool conditional);

/* Writes the numbers of sample b (pipeline/data/slice_numbers.h); NULL: all are dropped. Nothing
 * without model.numbers. Local. */
void denoiser_fill_numbers(const denoiser_inputs *in, int64_t b, const double *numbers);

/* Writes the text of sample b: states [tokens * width] and mask [tokens] of its sentence. Nothing
 * without model.text. Local. */
void denoiser_fill_text(const denoiser_inputs *in, int64_t b, const float *states,
                        const float *mask);

/* The diffusion process of a study. sigma_data: standard deviation of its data, for process edm.
 * The caller frees it with process_free(). Local. */
status denoiser_process(const study *s, double sigma_data, process *out);

/* A network that samples a batch of fixed size. */
typedef struct denoiser denoiser;

/* The parameters start at zero and sigma_data at 1: before sampling the caller loads a checkpoint
 * or fills denoiser_params() and calls denoiser_params_changed(). stage must outlive *out: a
 * network of latents opens its autoencoder, and one with text its encoder, when it first needs
 * them. Local. */
status denoiser_open(const stage_context *stage, const label_set *labels, int64_t batch,
                     denoiser **out);
void denoiser_close(denoiser *d);
params *denoiser_params(denoiser *d);

/* Must be called after every change of the parameters. Local. */
void denoiser_params_changed(denoiser *d);

/* Loads the EMA of the parameters and sigma_data from the checkpoint at `step`. ST_INPUT if it was
 * trained with another autoencoder or text encoder than the present one. Local. */
status denoiser_load(denoiser *d, const char *directory, int64_t step);

/* The standard deviation of the data from now on, for process edm. ST_USAGE unless positive. Local.
 */
status denoiser_set_sigma_data(denoiser *d, double sigma_data);

/* For pixels alone. From now on, samples are steered: in each step the grey value of every
 * structure in x_0 (common/grey_histogram.h) is moved towards grey[labels], by the share `strength`
 * (0..1) of the difference. NaN: that structure is left alone. grey stays the caller's; NULL: no
 * steering. Local.
 */
void denoiser_steer(denoiser *d, const float *grey, double strength);

/* From now on, the part keep[count][size*size] (0..1) of each pixel of a sample is that of the
 * image of its condition, in x_0 of every step and in the result (in-painting by replacement,
 * Lugmayr et al. 2022, with the known part of x_0 in place of a noised one). Of latents the steps
 * keep what latent_slices_keep() says. It stays the caller's; NULL: nothing is kept. Local. */
void denoiser_keep(denoiser *d, const float *keep);

/* From now on, samples take `steps` steps with this guidance instead of those of study.generate;
 * 0: those of the study, where guidance `auto` is 1. Local. */
void denoiser_choose(denoiser *d, int64_t steps, double guidance);

/* From now on, samples are drawn on their captions alone, with this guidance: all other conditions
 * are dropped. 0: on all, as the study says. For a network with text. Local. */
void denoiser_words(denoiser *d, double guidance);

/* Samples `count` <= batch slices for their conditions with the settings of study.generate into
 * out[count*size*size], values in [-1, 1]; latents are decoded. With text, p(l, t) the prediction
 * for labels l and text t, and n the text generate.negative, guidance is p(0, n) + a (p(l, n) -
 * p(0, n)) + b (p(l, t) - p(l, n)) with a generate.guidance and b generate.text_guidance (Brooks et
 * al. 2023, eq. 3). index[count]: global sample indices, volume * 2^20 + slice; they and the
 * study's seed determine the noise. The whole batch is always computed and the rest discarded, so
 * that the bytes of a slice do not depend on `count`. Local. */
status denoiser_sample(denoiser *d, const slice_sample *conditions, const uint64_t *index,
                       int64_t count, float *out);

/* *evaluations: passes of the network for a slice of denoiser_sample(). Local. */
status denoiser_evaluations(const denoiser *d, int64_t *evaluations);

/* The time of the process below which is this share (0..1) of its training times. Local. */
double denoiser_time(const denoiser *d, double share);

/* In what follows there is no text but "". */

/* A noised slice that the network sees. */
typedef struct denoiser_query {
    const float *x_t; /* [denoiser_values()] */
    const noise_level *at;
    const slice_sample *condition;
    bool conditional; /* false: all conditions are dropped */
} denoiser_query;

/* One pass of the network for `count` <= batch slices: predicted[count*denoiser_values()], and with
 * a learned variance the second outputs, in output of as many (otherwise untouched; NULL: they are
 * left). Local. */
status denoiser_predict(denoiser *d, const denoiser_query *queries, int64_t count, float *predicted,
                        float *output);

/* A slice whose conditions a path of a flow has; without `conditional` all are dropped. */
typedef struct flow_sample {
    const slice_sample *condition;
    bool conditional;
} flow_sample;

/* Follows the flow from noise z[count*denoiser_values()], count <= batch, to samples, which replace
 * it: straightness[count] and the method are those of straightness_measure()
 * (model/diffusion/straightness.h), without guidance. Local. */
status denoiser_follow(denoiser *d, const flow_sample *samples, int64_t count, int64_t steps,
                       float *z, double *straightness);

/* loss[count]: mean over values of the squared error of the network's prediction for each of
 * `count` <= batch slices, which are encoded first if it is one of latents, at time t of the
 * process, under their own conditions. The noise is the same for all slices: it depends on the
 * study's seed and `noise` alone. Local. */
status denoiser_loss(denoiser *d, const slice_sample *samples, double t, uint64_t noise,
                     int64_t count, double *loss);

#endif
