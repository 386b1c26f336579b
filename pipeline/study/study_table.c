/* The table of all keys of the study: type, range, default and help. The struct in
 * pipeline/study/study.h is the only other place that lists them. */
#include "pipeline/study/study_table.h"

#include "io/nearest.h"
#include "io/structure_codes.h"
#include "io/structures.h"
#include "pipeline/study/sweep_plan.h"

#include <stdio.h>
#include <string.h>

/* Names of the choices, by the values of their enums (pipeline/study/study.h). */
static const char *const source_names[] = {[LABELS_FROM_SEG] = "seg",
                                           [LABELS_FROM_THRESHOLDS] = "thresholds",
                                           [LABELS_FROM_RTSTRUCT] = "rtstruct",
                                           [LABELS_FROM_NIFTI] = "nifti"};
static const char *const unlabelled_names[] = {
    [UNLABELLED_DROP] = "drop", [UNLABELLED_KEEP] = "keep"};
static const char *const gap_names[] = {[GAPS_REFUSE] = "refuse", [GAPS_SPLIT] = "split"};
static const char *const tilt_names[] = {[TILT_REFUSE] = "refuse", [TILT_SHEAR] = "shear"};
static const char *const orientation_names[] = {
    [ORIENTATION_AXIAL] = "axial", [ORIENTATION_ANY] = "any"};
static const char *const overlap_names[] = {[OVERLAP_SMALLER_WINS] = "smaller-wins",
                                            [OVERLAP_ORDER] = "order",
                                            [OVERLAP_REFUSE] = "refuse"};
static const char *const flip_names[] = {[FLIP_NONE] = "none", [FLIP_HORIZONTAL] = "horizontal"};
static const char *const precision_names[] = {
    [PRECISION_F32] = "f32", [PRECISION_BF16] = "bf16", [PRECISION_AUTO] = "auto"};
static const char *const recompute_names[] = {
    [RECOMPUTE_NONE] = "none", [RECOMPUTE_BLOCKS] = "blocks"};
static const char *const switch_names[] = {[SWITCH_OFF] = "off", [SWITCH_ON] = "on"};
static const char *const space_names[] = {[SPACE_PIXEL] = "pixel", [SPACE_LATENT] = "latent"};
static const char *const ground_names[] = {[GROUND_MAPS] = "maps", [GROUND_CAPTIONS] = "captions"};
static const char *const wire_names[] = {[WIRE_F32] = "f32", [WIRE_BF16] = "bf16"};
static const char *const painter_names[] = {
    [PAINTER_DIFFUSION] = "diffusion", [PAINTER_GAUSSIAN] = "gaussian", [PAINTER_GAN] = "gan"};
static const char *const sharding_names[] = {
    [SHARDING_AUTO] = "auto", [SHARDING_ON] = "on", [SHARDING_OFF] = "off"};
static const char *const measure_names[] = {[SWEEP_BY_FID] = "fid",
                                            [SWEEP_BY_KID] = "kid",
                                            [SWEEP_BY_FIDELITY] = "fidelity",
                                            [SWEEP_BY_DICE] = "dice"};
static const char *const timestep_names[] = {
    [TIMESTEPS_UNIFORM] = "uniform", [TIMESTEPS_IMPORTANCE] = "importance"};
static const char *const distil_names[] = {[DISTIL_OFF] = "off",
                                           [DISTIL_CONSISTENCY_TUNING] = "consistency-tuning",
                                           [DISTIL_CONSISTENCY_DISTILLATION] =
                                               "consistency-distillation",
                                           [DISTIL_REFLOW] = "reflow"};
static const char *const release_names[] = {[RELEASE_WARN] = "warn", [RELEASE_BLOCK] = "block"};

const named_table label_sources = NAMED_TABLE("source of labels", source_names);
const named_table precision_kinds = NAMED_TABLE("precision", precision_names);
const named_table painter_kinds = NAMED_TABLE("painter", painter_names);
static const named_table unlabelled_kinds = NAMED_TABLE("treatment", unlabelled_names);
const named_table sweep_measures = NAMED_TABLE("measure", measure_names);
const named_table distil_kinds = NAMED_TABLE("distillation", distil_names);
const named_table release_kinds = NAMED_TABLE("release", release_names);
static const named_table gap_kinds = NAMED_TABLE("treatment", gap_names);
static const named_table tilt_kinds = NAMED_TABLE("treatment", tilt_names);
static const named_table orientation_kinds = NAMED_TABLE("orientation", orientation_names);
static const named_table overlap_kinds = NAMED_TABLE("rule", overlap_names);
static const named_table flip_kinds = NAMED_TABLE("flip", flip_names);
static const named_table recompute_kinds = NAMED_TABLE("recomputation", recompute_names);
static const named_table switch_kinds = NAMED_TABLE("switch", switch_names);
static const named_table space_kinds = NAMED_TABLE("space", space_names);
static const named_table ground_kinds = NAMED_TABLE("ground", ground_names);
static const named_table wire_kinds = NAMED_TABLE("number type", wire_names);
static const named_table timestep_kinds = NAMED_TABLE("drawing of time steps", timestep_names);
static const named_table sharding_kinds = NAMED_TABLE("sharding", sharding_names);

/* Initialisers of rows. The member of struct study has the name of the key; an INERT key changes no
 * result and is left out of fingerprints. */
#define PLACE(s, n) .section = #s, .name = #n, .offset = offsetof(study, s.n)
#define INTEGER(s, n, from, to, start, text)                                                       \
    {                                                                                              \
        PLACE(s, n), .kind = STUDY_INTEGER, .count = 1, .low = from, .high = to, .initial = start, \
                     .help = text                                                                  \
    }
#define INERT(s, n, from, to, start, text)                                                         \
    {                                                                                              \
        PLACE(s, n), .kind = STUDY_INTEGER, .count = 1, .low = from, .high = to, .initial = start, \
                     .inert = true, .help = text                                                   \
    }
#define REAL(s, n, from, to, start, text)                                                          \
    {                                                                                              \
        PLACE(s, n), .kind = STUDY_REAL, .count = 1, .low = from, .high = to, .initial = start,    \
                     .help = text                                                                  \
    }
#define REALS(s, n, numbers, from, to, start, text)                                                \
    {                                                                                              \
        PLACE(s, n), .kind = STUDY_REALS, .count = numbers, .low = from, .high = to,               \
                     .initial = start, .help = text                                                \
    }
#define INTEGERS(s, n, from, to, start, text)                                                      \
    {                                                                                              \
        PLACE(s, n), .kind = STUDY_INTEGERS, .count = STUDY_LIST, .low = from, .high = to,         \
                     .initial = start, .help = text                                                \
    }
#define CHOICES(s, n, table, start, text)                                                          \
    { PLACE(s, n), .kind = STUDY_CHOICES, .choices = &table, .initial = start, .help = text }
/* The value of an enum is copied as an int, so the compiler checks that it has the size of one. */
#define ENUM_PLACE(s, n)                                                                           \
    .section = #s, .name = #n,                                                                     \
    .offset =                                                                                      \
        offsetof(study, s.n) + 0 * sizeof(char[sizeof(((study *)0)->s.n) == sizeof(int) ? 1 : -1])
#define CHOICE(s, n, table, start, text)                                                           \
    { ENUM_PLACE(s, n), .kind = STUDY_CHOICE, .choices = &table, .initial = start, .help = text }
#define INERT_CHOICE(s, n, table, start, text)                                                     \
    {                                                                                              \
        ENUM_PLACE(s, n), .kind = STUDY_CHOICE, .choices = &table, .initial = start,               \
                          .inert = true, .help = text                                              \
    }
/* Keys that a later version has added to a section with outputs. */
#define LATER(s, n, from, to, start, text)                                                         \
    {                                                                                              \
        PLACE(s, n), .kind = STUDY_INTEGER, .count = 1, .low = from, .high = to, .initial = start, \
                     .later = true, .help = text                                                   \
    }
#define LATER_CHOICE(s, n, table, start, text)                                                     \
    {                                                                                              \
        ENUM_PLACE(s, n), .kind = STUDY_CHOICE, .choices = &table, .initial = start,               \
                          .later = true, .help = text                                              \
    }
#define TOP(n) .section = "", .name = #n, .offset = offsetof(study, n)

enum { STEPS_MAX = 100000000, BATCH_MAX = 65536, HU_MIN = -32768, HU_MAX = 32767 };

const study_key study_keys[] = {
    {TOP(name), .kind = STUDY_STRING, .count = STUDY_TEXT, .initial = "my-study",
     .help = "how the report calls this study"},
    /* Integers up to 2^53 - 1 are exact in every JSON reader. */
    {TOP(seed), .kind = STUDY_INTEGER, .count = 1, .low = 0, .high = 9007199254740991.0,
     .initial = "1", .help = "every random number follows from it"},
    {TOP(out), .kind = STUDY_STRING, .count = PATH_SIZE, .initial = "runs/my-study", .inert = true,
     .help = "the run directory: everything is written below it"},
    {TOP(engine), .kind = STUDY_CHOICE, .choices = &engine_kinds, .initial = "onednn",
     .help = "library that computes convolutions and matrix products"},

    /* Inert because the fingerprint of ingest covers the contents of the archive: it may be moved.
     */
    {PLACE(ingest, dicom), .kind = STUDY_STRING, .count = PATH_SIZE, .initial = "dicom",
     .inert = true, .help = "folder with CT series (and SEG), searched recursively"},
    CHOICE(ingest, labels, label_sources, "seg",
           "label maps from DICOM SEG, RT Structure Sets, NIfTI files beside the series, or HU "
           "thresholds"),
    {PLACE(ingest, thresholds), .kind = STUDY_THRESHOLDS, .count = STUDY_LIST, .low = HU_MIN,
     .high = HU_MAX, .initial = "[]",
     .help = "such as [\"bone: 300..3071\"], HU low..high; later entries take precedence"},
    {PLACE(ingest, structures), .kind = STUDY_TEXTS, .count = STRUCTURES_MAX,
     .check = structure_rules_check, .form = "name: text|text|...", .initial = "[]",
     .help =
         "such as [\"liver: Liver|hepar\"]: segments with these labels, under this name; others "
         "are left out. Without: all of them, those of unknown names as structure-N"},
    CHOICE(ingest, overlap, overlap_kinds, "smaller-wins",
           "which structure has a voxel that several segments mark"),
    {PLACE(ingest, order), .kind = STUDY_TEXTS, .count = STRUCTURES_MAX,
     .check = structure_order_check, .form = "name", .initial = "[]",
     .help = "with overlap: order: names of structures, those on top first"},
    REAL(ingest, fractional, 0, 1, "0.5",
         "fractional SEG: part of the maximum from which a pixel belongs to the segment"),
    CHOICE(ingest, unlabelled, unlabelled_kinds, "drop",
           "series that no SEG refers to: keep stores them, for training without labels"),
    INERT_CHOICE(ingest, strict, switch_kinds, "off",
                 "on: nothing is stored if anything is at fault (exit code 3), as --strict"),
    CHOICE(ingest, gaps, gap_kinds, "refuse",
           "series with missing slices or changing steps: left out, or split into volumes"),
    CHOICE(ingest, tilt, tilt_kinds, "refuse",
           "tilted gantry: the series is left out, or resampled to a straight grid"),
    CHOICE(ingest, orientation, orientation_kinds, "axial",
           "coronal and sagittal stacks: left out, or (any) turned to lie as the others"),
    /* Inert because the fingerprint of ingest covers the pseudonyms. */
    {PLACE(ingest, key), .kind = STUDY_STRING, .count = PATH_SIZE, .initial = "", .inert = true,
     .help = "file of the secret key of the pseudonyms, made at first use; \"\": "
             "~/.config/ctaug/pseudonym.key"},
    INTEGER(ingest, shard_mib, 1, 65536, "64", "voxel data in one file (shard) of the store, MiB"),

    INTEGER(data, size, 8, 1024, "64", "working slices are size x size; a multiple of 8"),
    REALS(data, window, 2, HU_MIN, HU_MAX, "[-1000, 1000]",
          "HU range that the networks see, low and high"),
    REALS(data, split, 3, 0, 1, "[0.7, 0.1, 0.2]",
          "patients for training, validation, test; sums to 1"),
    REAL(data, rotate, 0, 180, "5", "augmentation: largest rotation, degrees"),
    REAL(data, zoom, 0, 0.5, "0.05", "augmentation: largest relative zoom"),
    REAL(data, shift, 0, 0.5, "0.03", "augmentation: largest shift, share of the field of view"),
    REAL(data, elastic, 0, 0.12, "0.03",
         "augmentation: largest elastic displacement, same unit as shift"),
    CHOICE(data, flip, flip_kinds, "none", "augmentation: mirror; only for symmetric anatomy"),
    INTEGER(data, labelled, 0, 1000000, "0",
            "training patients whose labels are used, the others count as unlabelled; 0: all"),
    INTEGER(data, labelled_set, 0, 1000000, "0",
            "which patients: each number is another draw, nested over data.labelled"),

    CHOICE(model, net, unet_kinds, "R32", "U-Net by its base width"),
    REAL(model, dropout, 0, 0.9, "0", "share of features dropped while training"),
    CHOICE(model, tissue, switch_kinds, "on",
           "condition slices on air, fat, soft and dense tissue outside of the structures, by HU"),
    LATER_CHOICE(
        model, space, space_kinds, "pixel",
        "latent: `ctaug autoencode` trains an autoencoder, and the diffusion model works on its "
        "latents"),
    LATER_CHOICE(model, text, switch_kinds, "off",
                 "condition slices on captions, too: `ctaug text` trains their encoder"),
    LATER_CHOICE(model, numbers, switch_kinds, "off",
                 "condition slices on pixel spacing, noise, kernel class, part of the body and the "
                 "sizes of their structures, too, each dropped by itself, as are then position and "
                 "contrast class"),

    INTEGER(text, steps, 1, STEPS_MAX, "1000", "optimiser steps"),
    INTEGER(text, batch, 2, 4096, "64",
            "pairs of a slice and its caption a step, over all ranks together"),
    REAL(text, lr, 1e-8, 1, "5e-4", "learning rate at its peak; cosine decay follows"),
    INTEGER(text, pairs, 0, 60000, "512",
            "tokens besides the bytes, learnt on captions of training slices, at most"),
    {PLACE(text, captions), .kind = STUDY_STRING, .count = PATH_SIZE, .initial = "", .inert = true,
     .help = "CSV file \"pseudonym,text\" with captions of your own for volumes of the store; "
             "\"\": what is measured, in words"},

    INTEGER(autoencode, steps, 1, STEPS_MAX, "20000",
            "optimiser steps; after a third of them a discriminator takes part"),
    INTEGER(autoencode, batch, 1, BATCH_MAX, "16", "patches a step, over all ranks together"),
    REAL(autoencode, lr, 1e-8, 0.25, "2e-4",
         "learning rate at its peak, the discriminator's is four times as high; cosine decay "
         "follows"),
    INTEGER(autoencode, factor, 4, 8, "4", "pixels a latent, along each axis: 4 or 8"),
    INTEGER(autoencode, z, 1, 64, "4", "channels of the latents"),
    INTEGER(autoencode, base, 8, 1024, "32", "channels of the first level, a multiple of 8"),
    INTEGER(autoencode, blocks, 1, 8, "2", "residual blocks a level"),
    INTEGER(autoencode, patch, 16, 1024, "64",
            "training patches are patch x patch, a multiple of 8, at most data.size"),
    REAL(autoencode, kl, 0, 1, "1e-6",
         "weight of the latents' divergence from the normal distribution, where losses are sums"),
    REAL(autoencode, cap, 0, 1e6, "1",
         "largest weight of the adversarial loss, which follows from a ratio of gradients; 0: no "
         "discriminator"),

    {ENUM_PLACE(diffusion, process), .kind = STUDY_CHOICE, .choices = &process_kinds,
     .initial = "ddpm", .later = true,
     .help = "how data become noise; steps, schedule and objective are those of ddpm"},
    INTEGER(diffusion, steps, 2, 10000, "1000", "noise levels T"),
    CHOICE(diffusion, schedule, schedule_kinds, "cosine", "how noise grows over the steps"),
    CHOICE(diffusion, objective, objective_kinds, "v", "what the network predicts"),
    CHOICE(diffusion, loss, loss_kinds, "l2", "how its error is measured"),
    {ENUM_PLACE(diffusion, weight), .kind = STUDY_CHOICE, .choices = &level_weights,
     .initial = "uniform", .later = true,
     .help = "of the noise levels in the loss; min-snr (gamma 5): process ddpm"},
    {ENUM_PLACE(diffusion, times), .kind = STUDY_CHOICE, .choices = &flow_times_kinds,
     .initial = "uniform", .later = true, .help = "process flow: distribution of training times"},
    {PLACE(diffusion, shift), .kind = STUDY_REAL, .count = 1, .low = 0.01, .high = 100,
     .initial = "1", .later = true,
     .help = "process flow: times t become s t / (1 + (s - 1) t), more noise for larger images"},
    LATER_CHOICE(diffusion, shortcut, switch_kinds, "off",
                 "process flow: the network also learns large steps (shortcut model), for sampler "
                 "euler in 1, 2, 4, ... or 128 steps"),
    LATER_CHOICE(diffusion, variance, variance_kinds, "fixed-small",
                 "of a step of the reverse process: beta tilde, beta, or learned by the network as "
                 "a second output; sampler ddpm uses it"),

    INTEGER(train, steps, 1, STEPS_MAX, "20000", "optimiser steps"),
    INTEGER(train, batch, 1, BATCH_MAX, "16", "slices a step, over all ranks together"),
    /* Inert because it only divides the batch, like the number of ranks. With train.reproducible it
     * decides the last bits; fingerprint_of_training() adds it then. */
    INERT(train, micro_batch, 1, BATCH_MAX, "8",
          "slices a rank processes at once; fewer need less memory"),
    REAL(train, lr, 1e-8, 1, "2e-4", "learning rate at its peak"),
    INTEGER(train, warmup, 0, STEPS_MAX, "100", "steps to reach the peak; cosine decay follows"),
    REAL(train, weight_decay, 0, 1, "0.01", "AdamW weight decay"),
    REAL(train, clip, 1e-6, 1e6, "1", "maximum of the gradient norm"),
    REAL(train, ema, 0, 0.999999, "0.999", "decay of the EMA weights that generate uses"),
    REAL(train, condition_drop, 0, 1, "0.1", "share of samples trained without conditions"),
    {PLACE(train, text_drop), .kind = STUDY_REAL, .count = 1, .low = 0, .high = 1, .initial = "0.2",
     .later = true,
     .help = "model.text: share of the others that are trained without their caption"},
    {PLACE(train, small_structures), .kind = STUDY_REAL, .count = 1, .low = 1, .high = 100,
     .initial = "1", .later = true,
     .help = "pixels of a structure count in the loss by the inverse of its share, at most so many "
             "times as much as those of the largest; 1: all the same"},
    LATER(train, copies, 0, 1000, "4",
          "model.space latent: augmented copies of each slice in the store of latents, which "
          "successive epochs take in turn, the slice itself first"),
    LATER_CHOICE(train, t_sampling, timestep_kinds, "uniform",
                 "time steps of the samples; importance: more often those with large losses"),
    CHOICE(train, pseudo_labels, switch_kinds, "off",
           "label unlabelled patients by a segmenter trained on the labelled ones"),
    REAL(train, unlabelled, 0, 1, "0.7",
         "part of each batch from unlabelled patients, if there are any; without pseudo-labels "
         "their conditions are dropped"),
    CHOICE(train, precision, precision_kinds, "f32",
           "compute type; auto: bf16 where every processor has it"),
    INERT_CHOICE(train, recompute, recompute_kinds, "none",
                 "blocks: activations in blocks are recomputed, not stored: slower, less memory"),
    CHOICE(train, reproducible, switch_kinds, "off",
           "the same bits on 1, 2, 4, 8, ... ranks with equal numbers of threads"),
    CHOICE(train, gradient_wire, wire_kinds, "f32", "number type of gradients sent between nodes"),
    INERT_CHOICE(train, optimizer_sharding, sharding_kinds, "auto",
                 "each rank stores and updates only its part of the optimiser state; auto: if all "
                 "ranks share a node"),
    INERT(train, validate_every, 1, STEPS_MAX, "500", "steps between validation losses"),
    INERT(train, preview_every, 1, STEPS_MAX, "1000", "steps between preview pictures"),
    INERT(train, checkpoint_every, 1, STEPS_MAX, "500", "steps between checkpoints"),
    INERT(train, keep, 1, 1000, "3", "checkpoints kept"),
    {PLACE(train, start), .kind = STUDY_STRING, .count = PATH_SIZE, .initial = "", .inert = true,
     .help = "safetensors file whose parameters the training begins with (`ctaug weights`); "
             "later stages read it again; \"\": random ones"},

    CHOICE(distil, kind, distil_kinds, "off",
           "trains the denoiser on, to sample in one or two steps with sampler and grid "
           "consistency: tuned by itself, or by steps of the trained one as a teacher; reflow: a "
           "flow on pairs that it has drawn itself, for straighter paths"),
    INTEGER(distil, steps, 1, STEPS_MAX, "2000",
            "optimiser steps; batch, clip, precision etc. are those of train"),
    REAL(distil, lr, 1e-8, 1, "1e-4", "learning rate at its peak, of RAdam; cosine decay follows"),
    REAL(distil, q, 1.01, 65536, "2",
         "neighbouring noise levels t and r of a sample: 1 - r/t falls as q^-(stage + 1)"),
    INTEGER(distil, stages, 1, 64, "8",
            "equal parts of the steps with ever smaller gaps; 1 with q 256: the smallest at once"),
    REAL(distil, ema, 0, 0.999999, "0.999", "decay of the EMA weights that generate uses"),
    LATER(distil, pairs, 1, 1000000, "2048", "reflow: pairs of noise and sample that are drawn"),
    LATER(distil, pair_steps, 1, 1000, "16",
          "reflow: steps of the midpoint rule for each, two evaluations a step"),

    INTEGER(gan, steps, 0, STEPS_MAX, "0",
            "steps of each network; 0: as many as cost the operations of train.steps"),
    REAL(gan, lr, 1e-8, 0.25, "2e-4",
         "learning rate of the generator at its peak; the discriminator's is four times as high"),
    REAL(gan, l1, 0, 1e6, "10", "weight of the mean absolute difference from the real slice"),

    INTEGER(generate, volumes, 1, 1000000, "16", "synthetic volumes"),
    /* Inert because they have stores of their own, whose fingerprints have it. */
    INERT(generate, held_out, 0, 1000000, "0",
          "volumes painted for label maps of test patients, for measures of distributions alone"),
    INERT_CHOICE(generate, inpaint, switch_kinds, "off",
                 "also sample the structures of generate.insert into labelled training volumes, "
                 "whose surroundings stay real"),
    INERT(generate, resample, 1, 100, "1",
          "how often in-painting makes each step, with noise added between"),
    {PLACE(generate, masks), .kind = STUDY_STRING, .count = PATH_SIZE, .initial = "", .inert = true,
     .help = "folder with masks of your own (SEG, RTSTRUCT, NIfTI) to paint as they are, each at "
             "least once; \"\": deformed maps of training volumes"},
    /* Inert because each painter has a store of its own, which the others do not change. */
    {PLACE(generate, painters), .kind = STUDY_CHOICES, .choices = &painter_kinds,
     .initial = "[diffusion]", .inert = true,
     .help = "what paints the label maps; each writes a store"},
    CHOICE(generate, sampler, sampler_kinds, "ddim", "sampling algorithm"),
    {ENUM_PLACE(generate, grid), .kind = STUDY_CHOICE, .choices = &time_grid_kinds,
     .initial = "uniform", .later = true,
     .help = "times of the sampler steps; log-snr and karras: ddpm and edm, uniform: not edm; "
             "consistency: with the sampler of this name alone"},
    INTEGER(generate, steps, 1, 10000, "50",
            "sampler steps; ddpm on a uniform grid: at most diffusion.steps"),
    {PLACE(generate, guidance), .kind = STUDY_REAL, .count = 1, .low = 0, .high = 50,
     .initial = "1", .word = "auto",
     .help = "classifier-free guidance scale; 1 is off; auto, or 0: it, the checkpoint and whether "
             "half of the steps do are chosen on validation patients"},
    {PLACE(generate, noise), .kind = STUDY_REAL, .count = 1, .low = 0, .high = 1000, .initial = "0",
     .later = true,
     .help =
         "model.numbers: the noise that slices are asked for, HU; 0: that of their source slice"},
    LATER_CHOICE(
        generate, ground, ground_kinds, "maps",
        "captions: model.text: slices are drawn on their captions alone, each by itself, and "
        "labelled by the referee; label maps only tell what captions say without prompts"),
    {PLACE(generate, text_guidance), .kind = STUDY_REAL, .count = 1, .low = 0, .high = 50,
     .initial = "0", .later = true, .help = "guidance scale of the caption; 0: that of guidance"},
    {PLACE(generate, negative), .kind = STUDY_STRING, .count = STUDY_TEXT, .initial = "",
     .later = true, .help = "model.text: what slices should not be, such as \"high noise\""},
    {PLACE(generate, prompts), .kind = STUDY_STRING, .count = PATH_SIZE, .initial = "",
     .inert = true,
     .help = "model.text: file with a caption on each line, which the volumes take in turn; \"\": "
             "what their label maps show, in words"},
    LATER_CHOICE(generate, residual, switch_kinds, "on",
                 "model.space latent: decoded slices get the noise that the autoencoder drops"),
    {PLACE(generate, interval), .kind = STUDY_REALS, .count = 2, .low = 0, .high = 1,
     .initial = "[0, 1]", .later = true,
     .help = "shares of noise, sigma / (alpha + sigma), between which guidance is applied"},
    {PLACE(generate, rescale), .kind = STUDY_REAL, .count = 1, .low = 0, .high = 1, .initial = "0",
     .later = true,
     .help = "how far guided predictions are scaled back to the spread of those without guidance"},
    REAL(generate, eta, 0, 1, "0", "DDIM noise: 0 none, 1 as much as DDPM"),
    /* 0.5: what brings the spread of organs over the slices of a volume near that of patients. On a
     * phantom (R16, 900 steps, 8 patients), standard deviations of slice medians in HU, patients /
     * 0 / 0.5 / 1: liver 1.7 / 4.7 / 1.1 / 0.2, spleen 4 / 15 / 2.9 / 0.8, aorta 6 / 42 / 12 / 10,
     * kidneys 9 / 13 / 2.8 / 0.8. */
    REAL(generate, appearance, 0, 1, "0.5",
         "how strongly the slices of a volume are drawn to grey values in common; 0: not"),
    INTEGER(generate, batch, 1, BATCH_MAX, "16", "slices sampled at once"),
    REAL(generate, rotate, 0, 180, "5", "label deformation: largest rotation, degrees"),
    REAL(generate, zoom, 0, 0.5, "0.05", "label deformation: largest relative zoom"),
    REAL(generate, shift, 0, 0.5, "0.03", "label deformation: largest shift, same unit"),
    REAL(generate, elastic, 0, 0.3, "0.03",
         "label deformation: largest elastic displacement, same unit"),
    REAL(generate, mixture, 0, 1, "0",
         "share of volumes one structure of which comes from another patient's map"),
    {PLACE(generate, insert), .kind = STUDY_INSERTS, .count = STUDY_LIST, .low = 1, .high = 100,
     .initial = "[]",
     .help = "such as [\"lesion in liver: 0.6 x 1..3\"]: share of volumes x how many blobs"},

    INTEGER(evaluate, seeds, 1, 100, "3", "segmenters trained for each arm"),
    INTEGER(evaluate, steps, 1, STEPS_MAX, "2000", "optimiser steps of each"),
    INTEGER(evaluate, batch, 1, BATCH_MAX, "16", "slices a step"),
    REAL(evaluate, lr, 1e-8, 1, "1e-3", "learning rate"),
    INTEGERS(evaluate, labelled, 1, 1000000, "[]",
             "such as [2, 4, 8]: the whole comparison with that many labelled patients; []: once, "
             "with data.labelled"),
    INTEGER(evaluate, sets, 1, 100, "1", "draws of each labelled set"),
    CHOICES(evaluate, arms, evaluation_arms, "[real, real+synthetic]",
            "what segmenters are trained on"),
    INTEGER(evaluate, base, 8, 256, "16", "channels of a segmenter's first level; a multiple of 8"),
    REAL(evaluate, fidelity, 0, 1, "0.2",
         "synthetic slices in which the referee finds their map with a lower Dice are left out; 0: "
         "no referee"),
    {PLACE(evaluate, inception), .kind = STUDY_STRING, .count = PATH_SIZE, .initial = "",
     .inert = true,
     .help =
         "safetensors file with the weights of an Inception v3, for published FID; \"\": without"},
    {PLACE(evaluate, shifted), .kind = STUDY_STRING, .count = PATH_SIZE, .initial = "",
     .inert = true,
     .help =
         "run folder of another ingest, whose store shows the test patients on another scanner; "
         "report reads it again; \"\": the shifted test set is simulated"},
    REAL(evaluate, margin, 0, 1, "0.01",
         "difference of the mean Dice that counts as not inferior, for the data saving"),
    REAL(evaluate, share, 0, 1, "0.75", "synthetic part of each batch of the arm that has them"),
    REAL(evaluate, real_only_last, 0, 1, "0.33",
         "its last part of the steps, with real slices alone"),
    LATER(evaluate, bound_slices, 0, 1000000, "0",
          "real test slices whose bits per pixel under the model are measured at most; 0: none"),
    LATER(evaluate, bound_times, 1, 64, "32",
          "noise levels at which the network is run for each of them, besides the first"),
    LATER(evaluate, obedience, 0, 100000, "0",
          "model.text: slices sampled from captions of test slices alone, with each of three "
          "guidance scales, to measure whether they show what is asked for; 0: none"),

    INERT_CHOICE(gate, release, release_kinds, "warn",
                 "block: data that give away training patients are not exported; warn: only said"),
    REAL(gate, margin, 0, 1, "0.05",
         "share of synthetic slices that may be copies beyond what is expected"),
    INTEGER(gate, steps, 1, STEPS_MAX, "1000", "optimiser steps of the embedding"),
    INTEGER(gate, slices, 1, 1000000, "256",
            "synthetic slices measured at most; as many training and held-out ones for the losses"),

    {PLACE(sweep, grid), .kind = STUDY_TEXTS, .count = STUDY_LIST, .check = sweep_grid_check,
     .form = "key: value | value", .initial = "[]", .inert = true,
     .help = "such as [\"train.lr: 1e-4 | 3e-5\"]: all combinations of these values"},
    {PLACE(sweep, points), .kind = STUDY_TEXTS, .count = STUDY_LIST, .check = sweep_points_check,
     .form = "key: value; key: value", .initial = "[]", .inert = true,
     .help = "further points, each with its own values of its own keys"},
    {PLACE(sweep, seeds), .kind = STUDY_INTEGERS, .count = STUDY_LIST, .low = 0,
     .high = 9007199254740991.0, .initial = "[]", .inert = true,
     .help = "every point with each of these seeds; []: with that of the study"},
    INERT_CHOICE(sweep, measure, sweep_measures, "fid", "what the best point is chosen by"),
    /* Inert because an export is no stage: it reads the study of its run. */
    {PLACE(export, codes), .kind = STUDY_TEXTS, .count = STRUCTURES_MAX, .inert = true,
     .check = structure_codes_check, .form = "name: VALUE SCHEME meaning", .initial = "[]",
     .help = "such as [\"hepar: 10200004 SCT Liver\"]: codes of structures in DICOM beside those "
             "that are known; \" | VALUE SCHEME meaning\" behind it is the category"},
};

const int study_key_count = sizeof study_keys / sizeof *study_keys;
_Static_assert(sizeof study_keys / sizeof *study_keys <= STUDY_KEYS_MAX, "STUDY_KEYS_MAX");

const study_section study_sections[] = {
    {"ingest", "from DICOM to the store"},
    {"data", "slices for the networks"},
    {"model", "the network"},
    {"text", "captions and training of their encoder, if model.text is on"},
    {"autoencode", "training of the autoencoder, if model.space is latent"},
    {"diffusion", "the noise process"},
    {"train", "training of the diffusion model"},
    {"distil", "distillation of the diffusion model to few steps"},
    {"gan", "training of the GAN, a baseline, if generate.painters has gan"},
    {"generate", "synthetic volumes from the model"},
    {"evaluate", "FID, and segmenters trained on real and on real + synthetic data"},
    {"gate", "whether the synthetic data give away training patients"},
    {"sweep", "which values of which keys `ctaug sweep` compares"},
    {"export", "data sets for other programs"},
};

const int study_section_count = sizeof study_sections / sizeof *study_sections;
_Static_assert(sizeof study_sections / sizeof *study_sections <= STUDY_SECTIONS_MAX,
               "STUDY_SECTIONS_MAX");

void study_key_path(const study_key *key, char out[STUDY_PATH]) {
    snprintf(out, STUDY_PATH, "%s%s%s", key->section, *key->section ? "." : "", key->name);
}

int study_key_find(const char *path) {
    char known[STUDY_PATH];
    for (int i = 0; i < study_key_count; i++) {
        study_key_path(&study_keys[i], known);
        if (strcmp(known, path) == 0) return i;
    }
    return -1;
}

int study_section_find(const char *name) {
    for (int i = 0; i < study_section_count; i++)
        if (strcmp(study_sections[i].name, name) == 0) return i;
    return -1;
}

/* Edit distance of `path` from key i. A wrong or missing section counts as one edit, so that
 * "steps" at the top level is near "train.steps". */
static int distance_to(const char *path, int i) {
    char known[STUDY_PATH];
    study_key_path(&study_keys[i], known);
    int whole = edit_distance(path, known);
    const char *dot = strrchr(path, '.');
    int moved = 1 + edit_distance(dot ? dot + 1 : path, study_keys[i].name);
    return whole < moved ? whole : moved;
}

/* Appends three words to a bounded text; what does not fit is cut off. */
static void append(char *text, size_t size, const char *a, const char *b, const char *c) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s%s", a, b, c);
}

/* The section of `path`, or "". */
static const char *section_of(const char *path) {
    for (int i = 0; i < study_section_count; i++) {
        size_t n = strlen(study_sections[i].name);
        if (strncmp(path, study_sections[i].name, n) == 0 && path[n] == '.')
            return study_sections[i].name;
    }
    return "";
}

/* Appends the keys of the section of `path`, or those of the top level. */
static void list_known(const char *path, char *text, size_t size) {
    const char *section = section_of(path);
    if (*section)
        append(text, size, "; keys of ", section, ":");
    else
        append(text, size, "; keys at the top level", "", ":");
    const char *separator = " ";
    for (int i = 0; i < study_key_count; i++)
        if (strcmp(study_keys[i].section, section) == 0) {
            append(text, size, separator, study_keys[i].name, "");
            separator = ", ";
        }
    for (int i = 0; i < study_section_count && !*section; i++)
        append(text, size, separator, study_sections[i].name, "");
}

status study_key_unknown(const char *path) {
    char text[512] = "", known[STUDY_PATH];
    const char *dot = strrchr(path, '.');
    int best = STUDY_PATH;
    const char *section = "";
    for (int i = 0; i < study_key_count; i++) {
        int d = distance_to(path, i);
        if (d < best) best = d;
    }
    for (int i = 0; i < study_section_count && !dot; i++) {
        int d = edit_distance(path, study_sections[i].name);
        if (d < best) best = d, section = study_sections[i].name;
    }
    if (!edit_is_typo(best, dot ? dot + 1 : path))
        list_known(path, text, sizeof text);
    else if (*section)
        append(text, sizeof text, "; did you mean \"", section, "\"?");
    else {
        const char *separator = "; did you mean \"";
        for (int i = 0; i < study_key_count; i++) {
            if (distance_to(path, i) != best) continue;
            study_key_path(&study_keys[i], known);
            append(text, sizeof text, separator, known, "\"");
            separator = " or \"";
        }
        append(text, sizeof text, "?", "", "");
    }
    return status_fail(ST_USAGE, "unknown key \"%s\"%s", path, text);
}
