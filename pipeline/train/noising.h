/* Samples of the diffusion training problem: a slice, a time and noise give the denoiser's
 * inputs and its target. Training and validation share one graph (network and loss). A prefetch
 * thread (pipeline/data/prefetch.h) prepares the training samples; the caller's thread copies them
 * into the plan.
 */
#ifndef CTAUG_PIPELINE_TRAIN_NOISING_H
#define CTAUG_PIPELINE_TRAIN_NOISING_H

#include "model/diffusion/hybrid.h"
#include "model/diffusion/timesteps.h"
#include "io/checkpoint.h"
#include "pipeline/common/denoiser.h"
#include "pipeline/common/text_model.h"
#include "pipeline/data/mixture.h"
#include "pipeline/data/prefetch.h"
#include "pipeline/data/slice_caption.h"

/* A sample with its noise, before it is copied into a plan. */
typedef struct noised_sample {
    slice_sample slice;
    float *x_t, *target;             /* [denoiser_values()] */
    noise_level at;                  /* of x_t; t 0: not drawn yet, x_t is the noise */
    bool conditional;                /* false: all conditions but the caption are dropped */
    int32_t sentence[TEXT_SENTENCE]; /* its caption, with model.text */
    double numbers[NUMBERS_MAX];     /* with model.numbers; those that are dropped are NAN */
} noised_sample;

typedef struct noising {
    const study *study;
    slices *train, *validation; /* owned by the caller */
    slices *unlabelled;         /* the same; NULL: all training slices are labelled */
    mixture mixture;    /* of train and unlabelled, which take the place of synthetic slices */
    bool unconditional; /* slices of `unlabelled` are trained without conditions */
    unet_config config;
    int64_t values;                  /* of a slice as the network has it */
    double label_weight[LABELS_MAX]; /* of pixels in the loss, with train.small_structures */
    graph *graph;
    node loss;
    process process;
    bound bound;         /* of the loss, with a learned variance */
    timesteps timesteps; /* with train.t_sampling: importance */
    prefetch *prefetch;  /* fills the slots; from an announcement on it alone draws from train */
    noised_sample *slots;
    int64_t slot_count;
    noised_sample validation_sample;
    text_model *text; /* NULL: no captions */
    int64_t label_count;
    captioner *captions, *held_captions; /* NULL: no captions and numbers. Of training slices, which
                                            the prefetch thread makes, and of validation slices */
    int32_t *sentences;                  /* [slot_count][TEXT_SENTENCE] */
    float *states, *masks;               /* of them */
    denoiser *teacher; /* of a shortcut model: the EMA, for a slice at a time; NULL: none */
    float *scratch;    /* [2 * values], for its targets */
} noising;

/* Builds the graph of network and loss and starts the prefetch thread. train and validation must
 * outlive *out, and *out must not be moved while it is open: the thread holds its address.
 * sigma_data of process edm is 1 until it is set. Local. */
status noising_open(const study *s, const label_set *labels, slices *train, slices *validation,
                    noising *out);
void noising_close(noising *n);

/* The standard deviation of the data, for process edm. ST_USAGE unless positive. To be called
 * before the first sample is made. Local. */
status noising_set_sigma_data(noising *n, double sigma_data);

/* Measures the weights of train.small_structures (pipeline/train/label_weights.h), if it is not 1.
 * To be called before the first sample is made. Collective. */
status noising_weigh_labels(noising *n, const comm *c, int64_t labels);

/* Mixes slices of unlabelled patients into the training: train.unlabelled of each batch.
 * pseudo_labels: they have labels, else they are trained without conditions. ST_USAGE if no
 * labelled slice is left in a batch. To be called before the first sample is made. Local. */
status noising_add_unlabelled(noising *n, slices *unlabelled, bool pseudo_labels);

/* With model.numbers, slices have their numbers from now on; each of them, the position and the
 * class are dropped with a probability of train.condition_drop, too. With model.text, opens the
 * text encoder and writes captions: a share train.text_drop of the samples with conditions and
 * study_without_caption() of those without have none; training captions say less than they could
 * (pipeline/data/slice_caption.h). `from`, the store of the training slices, must outlive *n. To be
 * called before the first sample is made. ST_INPUT if there is no such encoder. Local. */
status noising_add_words(noising *n, const stage_context *stage, const store *from);

/* For a shortcut model (diffusion.shortcut), opens the network with the EMA of the parameters that
 * gives the targets of self-consistency; otherwise does nothing. Local. */
status noising_add_teacher(noising *n, const stage_context *stage, const label_set *labels);

/* The EMA from now on: that before a step decides its targets. Local. */
void noising_set_teacher(noising *n, const float *ema);

/* The functions `fill` and `ahead` of a trainer_feed (pipeline/trainer/trainer.h) whose context is
 * a noising. They handle the training samples with the global indices first..first+count-1; time,
 * noise and dropping of conditions depend on (seed, global index) alone. The weight of a noise
 * level is multiplied into the weights that the trainer has set. Of a shortcut model one sample of
 * eight learns self-consistency (model/diffusion/shortcut.h). From an announcement to the next
 * fill or close nothing else may use the slices `train`. Local. */
status noising_fill(void *context, plan *pl, int64_t first, int64_t count);
void noising_announce(void *context, int64_t first, int64_t count);

/* With train.t_sampling: importance, takes the losses of the samples first..first+count-1, all
 * those of a step, whose time steps then count for the next one. The same on all ranks. Local. */
void noising_learn(noising *n, int64_t first, const double *losses, int64_t count);

/* The state of that in checkpoints (trainer_settings.extra): fills arrays[NOISING_ARRAYS] and
 * returns their number, 0 without it. noising_restored() takes what was restored; ST_INTEGRITY if
 * it makes no sense. Local. */
enum { NOISING_ARRAYS = 2 };
int64_t noising_state(noising *n, checkpoint_array arrays[NOISING_ARRAYS]);
status noising_restored(noising *n);

/* Computes the validation loss (of a shortcut model, that of velocities) on fixed slices with fixed
 * noise and with times spread evenly over the training times, so that the losses of different
 * training steps are comparable. */
typedef struct validator validator;

/* n and stage must outlive it. Local. */
status validator_open(noising *n, const stage_context *stage, validator **out);
void validator_close(validator *v);

/* *loss = mean loss of the parameters `values` (the EMA) over at most 64 validation slices, which
 * are distributed over the ranks. Collective. */
status validator_run(validator *v, const float *values, double *loss);

#endif
