/* The study: one YAML file that says everything about a run.
 *
 * It is read and checked on rank 0 against one table (key, type, range, default, help), then
 * broadcast, then const. `ctaug init` prints that table as a commented file; `--set key=value`
 * overrides; an unknown key is an error with its line number and the nearest known key.
 */
#ifndef CTAUG_PIPELINE_STUDY_STUDY_H
#define CTAUG_PIPELINE_STUDY_STUDY_H

#include "io/comm.h"
#include "io/file.h"
#include "io/volume.h"
#include "model/diffusion/sampler.h"
#include "model/net/unet.h"
#include "model/nn/kernels.h"

#include <stdio.h>

enum { STUDY_TEXT = 256, STUDY_LIST = 16 };

/* Choices that the study alone has a name for; those of the model are declared there. Their names
 * stand in study_table.c. */
typedef enum label_source { LABELS_FROM_SEG, LABELS_FROM_THRESHOLDS } label_source;
typedef enum flip_kind { FLIP_NONE, FLIP_HORIZONTAL } flip_kind;
typedef enum precision_kind { PRECISION_F32, PRECISION_BF16, PRECISION_AUTO } precision_kind;
typedef enum recompute_kind { RECOMPUTE_NONE, RECOMPUTE_BLOCKS } recompute_kind;
typedef enum switch_kind { SWITCH_OFF, SWITCH_ON } switch_kind;
typedef enum wire_kind { WIRE_F32, WIRE_BF16 } wire_kind;
typedef enum sharding_kind { SHARDING_AUTO, SHARDING_ON, SHARDING_OFF } sharding_kind;

extern const named_table label_sources, precision_kinds;

/* "bone: 300..3071": voxels with low <= HU <= high get this label; later entries win. */
typedef struct study_threshold {
    char name[LABEL_NAME];
    int low, high;
} study_threshold;

typedef struct study {
    char name[STUDY_TEXT]; /* names the run directory's contents in the report */
    int64_t seed;          /* every random number follows from it */
    char out[PATH_SIZE];   /* the run directory; relative paths start at the working directory */
    engine_kind engine;    /* onednn | openblas | reference */
    struct {
        char dicom[PATH_SIZE];                  /* folder with CT series (and SEG) */
        label_source labels;                    /* seg | thresholds */
        study_threshold thresholds[STUDY_LIST]; /* YAML: list of strings "name: low..high" */
        int threshold_count;
        int64_t shard_mib; /* default 64 */
    } ingest;
    struct {
        int64_t size;     /* working slices are size x size; 8..1024, multiple of 8; default 64 */
        double window[2]; /* HU mapped to [-1, 1]; default [-1000, 1000] */
        double split[3];  /* shares of patients: train, validation, test; default 0.7 0.1 0.2 */
        double rotate;    /* augmentation, largest rotation in degrees; default 5 */
        double zoom;      /* largest relative zoom; default 0.05 */
        double shift;     /* largest shift, share of the field of view; default 0.03 */
        flip_kind flip;   /* none | horizontal (only where anatomy is mirror-symmetric);
                                    default none */
    } data;
    struct {
        unet_kind net;  /* R64 | R32 | R16 (model/net/unet.h); default R32 */
        double dropout; /* default 0 */
    } model;
    struct {
        int64_t steps;            /* T, default 1000 */
        schedule_kind schedule;   /* linear | cosine | raised-cosine; default cosine */
        objective_kind objective; /* eps | x0 | v; default v */
        loss_kind loss;           /* l1 | l2 | huber; default l2 */
    } diffusion;
    struct {
        int64_t steps;       /* optimiser steps, default 20000 */
        int64_t batch;       /* global batch, whatever the rank count; default 16 */
        int64_t micro_batch; /* slices a rank takes at once; its share of the batch is accumulated;
                                default 8 */
        double lr;           /* peak, default 2e-4 */
        int64_t warmup;      /* steps, default 100 */
        double weight_decay; /* AdamW, default 0.01 */
        double clip;         /* gradient norm, default 1 */
        double ema;          /* decay that the ramp-up ends at, default 0.999 */
        double condition_drop;    /* share of samples trained without conditions, default 0.1 */
        precision_kind precision; /* f32 | bf16 | auto; default f32 */
        recompute_kind recompute; /* none | blocks; default none */
        switch_kind reproducible; /* off | on; default off */
        wire_kind gradient_wire;  /* f32 | bf16; default f32 */
        sharding_kind optimizer_sharding;                        /* auto | on | off; default auto */
        int64_t validate_every, preview_every, checkpoint_every; /* steps; 500, 1000, 500 */
        int64_t keep;                                            /* checkpoints kept, default 3 */
    } train;
    struct {
        int64_t volumes;      /* synthetic volumes, default 16 */
        sampler_kind sampler; /* ddpm | ddim; default ddim */
        int64_t steps;        /* sampler steps, default 50 */
        double guidance;      /* classifier-free guidance scale, 1 = off; default 1 */
        double eta;           /* DDIM eta 0..1, default 0 */
        int64_t batch; /* slices sampled at once, default 16; part of what the bytes follow from */
        double rotate, zoom, shift; /* label deformation: affine, as in data; 5, 0.05, 0.03 */
        double elastic; /* largest smooth displacement, share of the field of view; default 0.03 */
    } generate;
    struct {
        int64_t seeds; /* segmenters trained for each arm; default 3 */
        int64_t steps; /* optimiser steps of each, default 2000 */
        int64_t batch; /* default 16 */
        double lr;     /* default 1e-3 */
    } evaluate;
} study;

/* Reads `path`, applies n overrides "key=value", checks everything. ST_USAGE: "file:line: ...".
 * Collective: rank 0 reads, all return the same. */
status study_read(const comm *c, const char *path, const char *const *overrides, int64_t n,
                  study *out);

/* All defaults, no file. Local. */
void study_defaults(study *out);

/* Writes the effective study as YAML (`comments`: with help, range and default of each key, as
 * `ctaug init` does). Local. */
status study_write(const study *s, FILE *stream, bool comments);

/* SHA-256 over the values of the named sections ("data", "train", ...; top-level keys by their
 * name, "seed") and over `upstream` (a fingerprint, or ""): what a stage's output follows from.
 * Keys that change no result (train.keep, *_every of previews ...) are marked so in the table and
 * left out. Local. */
status study_fingerprint(const study *s, const char *const *sections, int64_t n,
                         const char *upstream, char hex[SHA256_HEX]);

#endif
