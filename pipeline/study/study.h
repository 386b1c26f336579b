/* The study: one YAML file with all settings of a run.
 *
 * Rank 0 reads it and checks it against one table (pipeline/study/study_table.c: key, type, range,
 * default, help), then it is broadcast and never changed. `ctaug init` prints the table as a
 * commented file; `--set key=value` overrides; an unknown key is an error with its line number and
 * the nearest known key.
 */
#ifndef CTAUG_PIPELINE_STUDY_STUDY_H
#define CTAUG_PIPELINE_STUDY_STUDY_H

#include "io/comm.h"
#include "io/file.h"
#include "io/masks.h"
#include "io/volume.h"
#include "model/diffusion/sampler.h"
#include "model/diffusion/variance.h"
#include "model/net/unet.h"
#include "model/nn/kernels.h"
#include "pipeline/study/evaluation_arms.h"

#include <stdio.h>

enum { STUDY_TEXT = 256, STUDY_LIST = 16, STUDY_POOL = 32768 };

/* Choices of the study; those of the model are declared there. Their names are in study_table.c. */
typedef enum label_source {
    LABELS_FROM_SEG,
    LABELS_FROM_THRESHOLDS,
    LABELS_FROM_RTSTRUCT,
    LABELS_FROM_NIFTI
} label_source;
typedef enum unlabelled_kind { UNLABELLED_DROP, UNLABELLED_KEEP } unlabelled_kind;
typedef enum gap_kind { GAPS_REFUSE, GAPS_SPLIT } gap_kind;
typedef enum tilt_kind { TILT_REFUSE, TILT_SHEAR } tilt_kind;
typedef enum orientation_kind { ORIENTATION_AXIAL, ORIENTATION_ANY } orientation_kind;
typedef enum flip_kind { FLIP_NONE, FLIP_HORIZONTAL } flip_kind;
typedef enum precision_kind { PRECISION_F32, PRECISION_BF16, PRECISION_AUTO } precision_kind;
typedef enum recompute_kind { RECOMPUTE_NONE, RECOMPUTE_BLOCKS } recompute_kind;
typedef enum switch_kind { SWITCH_OFF, SWITCH_ON } switch_kind;
typedef enum wire_kind { WIRE_F32, WIRE_BF16 } wire_kind;
typedef enum sharding_kind { SHARDING_AUTO, SHARDING_ON, SHARDING_OFF } sharding_kind;
typedef enum timestep_kind { TIMESTEPS_UNIFORM, TIMESTEPS_IMPORTANCE } timestep_kind;
typedef enum distil_kind {
    DISTIL_OFF,
    DISTIL_CONSISTENCY_TUNING,
    DISTIL_CONSISTENCY_DISTILLATION,
    DISTIL_REFLOW
} distil_kind;
typedef enum release_kind { RELEASE_WARN, RELEASE_BLOCK } release_kind;

/* What the best arm of a sweep is chosen by. */
typedef enum sweep_measure {
    SWEEP_BY_FID,
    SWEEP_BY_KID,
    SWEEP_BY_FIDELITY,
    SWEEP_BY_DICE,
    SWEEP_MEASURES
} sweep_measure;

/* What the diffusion model works on: pixels, or the latents of an autoencoder. */
typedef enum space_kind { SPACE_PIXEL, SPACE_LATENT } space_kind;

/* What synthetic slices are drawn on: label maps, or captions alone. */
typedef enum ground_kind { GROUND_MAPS, GROUND_CAPTIONS } ground_kind;

/* What paints the label maps of synthetic volumes (pipeline/generate/painter.h). */
typedef enum painter_kind {
    PAINTER_DIFFUSION,
    PAINTER_GAUSSIAN,
    PAINTER_GAN,
    PAINTER_KINDS
} painter_kind;

extern const named_table label_sources, precision_kinds, painter_kinds, release_kinds,
    sweep_measures, distil_kinds;

/* "bone: 300..3071": voxels with low <= HU <= high get this label; a later entry takes precedence.
 */
typedef struct study_threshold {
    char name[LABEL_NAME];
    int low, high;
} study_threshold;

/* A list of numbers. */
typedef struct study_integers {
    int64_t at[STUDY_LIST];
    int count;
} study_integers;

/* A list of texts, each terminated, one after the other. */
typedef struct study_texts {
    int count, bytes;
    char pool[STUDY_POOL];
} study_texts;

/* "lesion in liver: 0.6 x 1..3": in this share of the synthetic volumes, low..high new blobs of a
 * structure inside another one. */
typedef struct study_insert {
    char structure[LABEL_NAME], host[LABEL_NAME];
    double share;
    int low, high;
} study_insert;

/* One member for each key, with the name of the key. The table has the meaning, range and default
 * of each; comments here add only what a user of the struct needs besides. */
typedef struct study {
    char name[STUDY_TEXT];
    int64_t seed;
    char out[PATH_SIZE]; /* relative paths start at the working directory */
    engine_kind engine;
    struct {
        char dicom[PATH_SIZE];
        label_source labels;
        study_threshold thresholds[STUDY_LIST];
        int threshold_count;    /* no key of its own */
        study_texts structures; /* rules of io/structures.h */
        overlap_kind overlap;
        study_texts order; /* names of structures, for OVERLAP_ORDER */
        double fractional;
        unlabelled_kind unlabelled;
        switch_kind strict;
        gap_kind gaps;
        tilt_kind tilt;
        orientation_kind orientation;
        char key[PATH_SIZE]; /* "": pseudonym_key_place() */
        int64_t shard_mib;
    } ingest;
    struct {
        int64_t size;       /* working slices have size x size pixels */
        double window[2];   /* HU low, high: mapped to [-1, 1] */
        double split[3];    /* shares of patients: train, validation, test */
        double rotate;      /* degrees */
        double zoom, shift; /* relative; share of the field of view */
        double elastic;     /* share of the field of view */
        flip_kind flip;
        int64_t labelled, labelled_set; /* patients; number of the draw */
    } data;
    struct {
        unet_kind net;
        double dropout;
        switch_kind tissue;
        space_kind space;
        switch_kind text, numbers;
    } model;
    struct {
        int64_t steps, batch;     /* pairs of a slice and its caption, global */
        double lr;                /* peak */
        int64_t pairs;            /* of tokens that become tokens, at most */
        char captions[PATH_SIZE]; /* "": none; fingerprints cover the content */
    } text;
    struct {
        int64_t steps;
        int64_t batch;                          /* patches, global */
        double lr;                              /* peak, of the autoencoder */
        int64_t factor, z, base, blocks, patch; /* model/net/autoencoder.h */
        double kl;                              /* weight on sums, as Rombach et al. 2022 */
        double cap;                             /* of model/net/adaptive_weight.h */
    } autoencode;
    struct {
        process_kind process;
        int64_t steps; /* T; this and the next two: process ddpm */
        schedule_kind schedule;
        objective_kind objective;
        loss_kind loss;
        level_weight weight;
        flow_times times; /* this and the next two: process flow */
        double shift;
        switch_kind shortcut;
        variance_kind variance;
    } diffusion;
    struct {
        int64_t steps;
        int64_t batch;       /* global: over all ranks */
        int64_t micro_batch; /* of a rank, which accumulates its share of the batch */
        int64_t copies;      /* augmented copies of a slice in the store of latents */
        double lr;           /* peak */
        int64_t warmup;      /* steps */
        double weight_decay;
        double clip; /* of the norm of the gradient */
        double ema;  /* the decay at the end of its ramp-up */
        double condition_drop, text_drop;
        double small_structures; /* largest weight in the loss, 1: all pixels count the same */
        timestep_kind t_sampling;
        switch_kind pseudo_labels;
        double unlabelled;        /* slices of unlabelled patients in a batch, 0..1 */
        precision_kind precision; /* stages compute in stage_context.precision */
        recompute_kind recompute;
        switch_kind reproducible;
        wire_kind gradient_wire;
        sharding_kind optimizer_sharding;
        int64_t validate_every, preview_every, checkpoint_every; /* steps */
        int64_t keep;                                            /* checkpoints */
        char start[PATH_SIZE]; /* fingerprints cover the content of this file */
    } train;
    struct {
        distil_kind kind;
        int64_t steps;
        double lr; /* peak */
        double q;  /* this and the next: of the gaps of consistency tuning */
        int64_t stages;
        double ema;
        int64_t pairs, pair_steps; /* of reflow */
    } distil;
    struct {
        int64_t steps; /* 0: as many as cost what train.steps do */
        double lr;     /* peak, of the generator */
        double l1;
    } gan;
    struct {
        int64_t volumes, held_out;
        switch_kind inpaint;
        int64_t resample;
        char masks[PATH_SIZE]; /* "": none; fingerprints cover the content */
        uint32_t painters;     /* bit k: painter_kind k */
        sampler_kind sampler;
        time_grid_kind grid;
        int64_t steps;
        double guidance; /* 0: auto */
        double noise;    /* HU; 0: that of the source slice */
        ground_kind ground;
        double text_guidance;        /* 0: that of guidance */
        char negative[STUDY_TEXT];   /* prompt; "": none */
        char prompts[PATH_SIZE];     /* "": none; fingerprints cover the content */
        switch_kind residual;        /* of latents: add the noise that the autoencoder drops */
        double interval[2], rescale; /* of guidance (model/diffusion/sampler.h) */
        double eta;
        double appearance;
        int64_t batch;                       /* the bytes of the output depend on it */
        double rotate, zoom, shift, elastic; /* of the label deformation, units as in data */
        double mixture;                      /* share of volumes, 0..1 */
        study_insert insert[STUDY_LIST];
        int insert_count; /* no key of its own */
    } generate;
    struct {
        int64_t seeds;
        int64_t steps;
        int64_t batch;
        double lr;
        study_integers labelled;   /* patients of each labelled set, ascending; empty: one run */
        int64_t sets;              /* draws of each */
        uint32_t arms;             /* bit k: evaluation_arm k */
        int64_t base;              /* channels of the segmenter's first level */
        double margin;             /* Dice */
        double fidelity;           /* Dice */
        char inception[PATH_SIZE]; /* fingerprints cover the content of this file */
        char shifted[PATH_SIZE];   /* of a run; fingerprints cover its store */
        double share;              /* synthetic slices of a batch, 0..1 */
        double real_only_last;     /* part of the steps, 0..1 */
        int64_t bound_slices, bound_times;
        int64_t obedience; /* slices */
    } evaluate;
    struct {
        release_kind release;
        double margin; /* of the copy rate, 0..1 */
        int64_t steps;
        int64_t slices; /* at most, of each kind */
    } gate;
    struct { /* pipeline/study/sweep_plan.h */
        study_texts grid, points;
        study_integers seeds;
        sweep_measure measure;
    } sweep;
    struct {
        study_texts codes; /* rules of io/structure_codes.h */
    } export;
} study;

/* Reads `path`, applies n overrides "key=value" and checks everything. ST_USAGE with "file:line:
 * ..." or "--set key: ...". Rank 0 reads; all ranks get the same study and status. Collective. */
status study_read(const comm *c, const char *path, const char *const *overrides, int64_t n,
                  study *out);

/* The texts of a list, in order, into at[list->count]; borrowed. Local. */
void study_texts_at(const study_texts *list, const char **at);

/* Whether evaluate.arms lists the arm; their number; the i-th of them. Local. */
bool study_has_arm(const study *s, evaluation_arm arm);
int study_arm_count(const study *s);
evaluation_arm study_arm(const study *s, int i);

/* Checks the conditions between keys. ST_USAGE. Local. */
status study_check(const study *s);

/* A study with all defaults. Local. */
void study_defaults(study *out);

/* Replaces the paths that are set by their defaults, or by "FILE" where the default is empty:
 * folder and file names may name patients, and a report is passed on. Local. */
void study_hide_paths(study *s);

/* Writes the effective study as YAML (`comments`: with help, range and default of each key, as
 * `ctaug init` does). Local. */
status study_write(const study *s, FILE *stream, bool comments);

/* The same as a text: *bytes bytes in *text, which the caller frees with free(). Local. */
status study_text(const study *s, bool comments, char **text, int64_t *bytes);

/* Whether the painter `diffusion` is used and its guidance is to be chosen (generate.guidance:
 * auto). Local. */
bool study_chooses_guidance(const study *s);

/* The guidance scale of captions where generate.guidance is a number. Local. */
double study_text_guidance(const study *s);

/* The share of the samples without other conditions that have no caption either: half, but a tenth
 * of all samples at most. Local. */
double study_without_caption(const study *s);

/* Whether a stage of this study uses the referee, the segmenter of pipeline/segmenter/referee.h.
 * Local. */
bool study_needs_referee(const study *s);

/* SHA-256 over the values of the n named sections ("data", "train", ...; single keys by their path,
 * "seed" or "evaluate.steps") and over `upstream` (the fingerprint of the input, or ""): everything
 * that determines a stage's output. Keys that change no result are marked `inert` in the table and
 * left out. Local.
 */
status study_fingerprint(const study *s, const char *const *sections, int64_t n,
                         const char *upstream, char hex[SHA256_HEX]);

#endif
