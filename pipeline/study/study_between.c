/* One function for each subject: what its keys need of each other. */
#include "pipeline/study/study_between.h"

#include "model/diffusion/shortcut.h"
#include "pipeline/study/study_yaml.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Prefixes the current message with "file:line: " or "--set key: ", the origin of the first of the
 * n keys that was given. Returns ST_USAGE. */
static status located(const study_origin *o, const char *const *keys, int n) {
    for (int i = 0; i < n; i++) {
        int k = study_key_find(keys[i]);
        if (o->set[k]) return status_fail(ST_USAGE, "--set %s: %s", keys[i], status_message());
        if (o->in_file[k])
            return status_fail(ST_USAGE, "%s:%" PRId64 ": %s", o->path,
                               study_yaml_line(o->text, o->bytes, keys[i]), status_message());
    }
    return status_fail(ST_USAGE, "%s: %s", o->path, status_message());
}

#define LOCATED(o, ...)                                                                            \
    located(o, (const char *const[]){__VA_ARGS__},                                                 \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* The names of the rows that fit a process. */
static void fitting(char *text, size_t size, const named_table *rows, process_kind process,
                    bool (*fits)(int row, process_kind process)) {
    size_t used = 0;
    *text = 0;
    for (int k = 0; k < rows->count && used < size; k++)
        if (fits(k, process))
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
                                     named_table_name(rows, k));
}

static bool fits_sampler(int row, process_kind process) {
    return sampler_fits((sampler_kind)row, process);
}

static bool fits_grid(int row, process_kind process) {
    return time_grid_fits((time_grid_kind)row, process);
}

/* Checks that sampler and grid fit each other. */
static status check_grid(const study *s, const study_origin *o) {
    const sampler_kind sampler = s->generate.sampler;
    if (sampler_fits_grid(sampler, s->generate.grid)) return ST_OK;
    char known[256];
    size_t used = 0;
    for (int k = 0; k < time_grid_kinds.count && used < sizeof known; k++)
        if (sampler_fits_grid(sampler, (time_grid_kind)k) && fits_grid(k, s->diffusion.process))
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "",
                                     named_table_name(&time_grid_kinds, k));
    status_fail(ST_USAGE, "generate.grid %s does not fit generate.sampler %s; take one of %s",
                named_table_name(&time_grid_kinds, (int)s->generate.grid),
                named_table_name(&sampler_kinds, (int)sampler), known);
    return LOCATED(o, "generate.grid", "generate.sampler");
}

/* What weights of structures in the loss do not go with. */
static status check_small_structures(const study *s, const study_origin *o) {
    if (s->train.small_structures <= 1) return ST_OK;
    if (s->diffusion.variance != VARIANCE_LEARNED && s->distil.kind == DISTIL_OFF) return ST_OK;
    status_fail(ST_USAGE, "train.small_structures is for the loss of a training without "
                          "diffusion.variance learned and without a distil.kind");
    return LOCATED(o, "train.small_structures", "diffusion.variance", "distil.kind");
}

/* The variational bound is that of the Markov chain. */
static status check_chain(const study *s, const study_origin *o) {
    const char *key = NULL;
    if (s->diffusion.variance != VARIANCE_FIXED_SMALL) key = "diffusion.variance";
    if (s->train.t_sampling != TIMESTEPS_UNIFORM) key = "train.t_sampling";
    if (s->evaluate.bound_slices > 0) key = "evaluate.bound_slices";
    if (s->diffusion.variance != VARIANCE_FIXED_SMALL && s->generate.sampler == SAMPLER_DDPM &&
        s->generate.grid != GRID_UNIFORM) {
        status_fail(ST_USAGE,
                    "diffusion.variance is that of steps between whole times: with sampler "
                    "ddpm take generate.grid uniform");
        return LOCATED(o, "generate.grid", "diffusion.variance");
    }
    if (!key || s->diffusion.process == PROCESS_DDPM) return ST_OK;
    status_fail(ST_USAGE, "%s is for process ddpm, not %s", key,
                named_table_name(&process_kinds, (int)s->diffusion.process));
    return LOCATED(o, key, "diffusion.process");
}

/* A shortcut model is sampled by the steps that it is trained for. */
static status check_shortcut(const study *s, const study_origin *o) {
    const char *key = NULL, *fits = NULL;
    if (s->diffusion.shortcut == SWITCH_OFF) return ST_OK;
    if (!shortcut_fits(s->generate.steps))
        key = "generate.steps", fits = "1, 2, 4, 8, 16, 32, 64 or 128";
    if (s->generate.grid != GRID_UNIFORM) key = "generate.grid", fits = "uniform";
    if (s->generate.sampler != SAMPLER_EULER) key = "generate.sampler", fits = "euler";
    if (s->diffusion.shift != 1) key = "diffusion.shift", fits = "1";
    if (s->diffusion.process != PROCESS_FLOW) key = "diffusion.process", fits = "flow";
    if (!key) return ST_OK;
    status_fail(ST_USAGE, "with diffusion.shortcut on, %s must be %s", key, fits);
    return LOCATED(o, key, "diffusion.shortcut");
}

/* Checks that what is distilled is what is sampled, and can be. */
static status check_distil(const study *s, const study_origin *o) {
    const char *kind = named_table_name(&distil_kinds, (int)s->distil.kind);
    const bool sampled = s->generate.sampler == SAMPLER_CONSISTENCY;
    const bool reflow = s->distil.kind == DISTIL_REFLOW;
    if (reflow && (s->diffusion.process != PROCESS_FLOW || s->diffusion.shortcut == SWITCH_ON)) {
        status_fail(ST_USAGE, "distil.kind reflow is for diffusion.process flow without "
                              "diffusion.shortcut");
        return LOCATED(o, "distil.kind", "diffusion.process", "diffusion.shortcut");
    }
    if ((s->distil.kind != DISTIL_OFF && !reflow) != sampled) {
        status_fail(ST_USAGE,
                    sampled ? "generate.sampler consistency needs a distil.kind that trains for "
                              "it, and it is %s"
                            : "distil.kind %s is sampled with generate.sampler consistency and "
                              "generate.grid consistency",
                    kind);
        return LOCATED(o, "distil.kind", "generate.sampler");
    }
    if (s->distil.kind == DISTIL_OFF || reflow) return ST_OK;
    /* Closer levels than this hardly differ in f32. */
    if ((double)s->distil.stages * log2(s->distil.q) > 16.0001) {
        status_fail(ST_USAGE, "distil.q %g in %" PRId64 " stages: q^stages may be at most 65536",
                    s->distil.q, s->distil.stages);
        return LOCATED(o, "distil.q", "distil.stages");
    }
    if (s->diffusion.process == PROCESS_DDPM && s->diffusion.objective == OBJECTIVE_X0) {
        status_fail(ST_USAGE,
                    "distil.kind %s needs a prediction that becomes the image where there "
                    "is no noise; take diffusion.objective v or eps",
                    kind);
        return LOCATED(o, "distil.kind", "diffusion.objective");
    }
    if (s->diffusion.variance == VARIANCE_LEARNED || s->evaluate.bound_slices > 0) {
        status_fail(ST_USAGE,
                    "distil.kind %s ends the Markov chain, whose variances "
                    "diffusion.variance learns and whose bound evaluate.bound_slices "
                    "measures",
                    kind);
        return LOCATED(o, "distil.kind", "diffusion.variance", "evaluate.bound_slices");
    }
    return ST_OK;
}

/* Checks what depends on the process. */
static status check_process(const study *s, const study_origin *o) {
    const process_kind process = s->diffusion.process;
    const char *name = named_table_name(&process_kinds, (int)process);
    char known[256];
    if (check_chain(s, o) != ST_OK || check_shortcut(s, o) != ST_OK) return ST_USAGE;
    if (process != PROCESS_DDPM && s->diffusion.weight != WEIGHT_UNIFORM) {
        status_fail(ST_USAGE, "diffusion.weight min-snr is for process ddpm, not %s", name);
        return LOCATED(o, "diffusion.weight", "diffusion.process");
    }
    if (!sampler_fits(s->generate.sampler, process)) {
        fitting(known, sizeof known, &sampler_kinds, process, fits_sampler);
        status_fail(ST_USAGE,
                    "generate.sampler %s does not fit diffusion.process %s; take one of "
                    "%s",
                    named_table_name(&sampler_kinds, (int)s->generate.sampler), name, known);
        return LOCATED(o, "generate.sampler", "diffusion.process");
    }
    if (!time_grid_fits(s->generate.grid, process)) {
        fitting(known, sizeof known, &time_grid_kinds, process, fits_grid);
        status_fail(ST_USAGE, "generate.grid %s does not fit diffusion.process %s; take one of %s",
                    named_table_name(&time_grid_kinds, (int)s->generate.grid), name, known);
        return LOCATED(o, "generate.grid", "diffusion.process");
    }
    if (check_grid(s, o) != ST_OK) return ST_USAGE;
    if (process == PROCESS_DDPM && s->generate.grid == GRID_UNIFORM &&
        s->generate.steps > s->diffusion.steps) {
        status_fail(ST_USAGE,
                    "generate.steps is %" PRId64 "; it may be at most diffusion.steps, %" PRId64,
                    s->generate.steps, s->diffusion.steps);
        return LOCATED(o, "generate.steps", "diffusion.steps");
    }
    if (!(s->generate.interval[0] <= s->generate.interval[1])) {
        status_fail(ST_USAGE, "generate.interval is [%g, %g]; the low end comes first",
                    s->generate.interval[0], s->generate.interval[1]);
        return LOCATED(o, "generate.interval");
    }
    return ST_OK;
}

/* Whether n is a power of two. */
static bool power_of_two(int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

/* Checks the keys of the autoencoder, if there is one. */
static status check_autoencode(const study *s, const study_origin *o) {
    const int64_t patch = s->autoencode.patch, batch = s->autoencode.batch,
                  micro = s->train.micro_batch;
    if (s->model.space == SPACE_PIXEL) return ST_OK;
    if (s->autoencode.factor != 4 && s->autoencode.factor != 8) {
        status_fail(ST_USAGE, "autoencode.factor is %" PRId64 "; it must be 4 or 8",
                    s->autoencode.factor);
        return LOCATED(o, "autoencode.factor");
    }
    if (s->autoencode.z > s->autoencode.factor * s->autoencode.factor) {
        status_fail(ST_USAGE,
                    "autoencode.z is %" PRId64
                    "; a latent has at most as many values as its %" PRId64 " x %" PRId64 " pixels",
                    s->autoencode.z, s->autoencode.factor, s->autoencode.factor);
        return LOCATED(o, "autoencode.z", "autoencode.factor");
    }
    if (s->autoencode.base % 8) {
        status_fail(ST_USAGE, "autoencode.base is %" PRId64 "; it must be a multiple of 8",
                    s->autoencode.base);
        return LOCATED(o, "autoencode.base");
    }
    if (patch % 8 || patch > s->data.size) {
        status_fail(ST_USAGE,
                    "autoencode.patch is %" PRId64
                    "; it must be a multiple of 8 and at most data.size, %" PRId64,
                    patch, s->data.size);
        return LOCATED(o, "autoencode.patch", "data.size", "model.space");
    }
    if (s->train.reproducible == SWITCH_ON && (batch % micro || !power_of_two(batch / micro))) {
        status_fail(ST_USAGE,
                    "train.reproducible needs an autoencode.batch that is a power of two times "
                    "train.micro_batch; they are %" PRId64 " and %" PRId64,
                    batch, micro);
        return LOCATED(o, "autoencode.batch", "train.micro_batch", "train.reproducible");
    }
    return ST_OK;
}

/* What is defined for pixels alone. */
static status check_latent(const study *s, const study_origin *o) {
    const char *key = NULL, *fits = "off";
    if (s->model.space == SPACE_PIXEL) return ST_OK;
    if (s->generate.appearance > 0) key = "generate.appearance", fits = "0";
    if (s->generate.noise > 0) key = "generate.noise", fits = "0";
    if (s->generate.painters >> PAINTER_GAN & 1) key = "generate.painters", fits = "without gan";
    if (s->distil.kind != DISTIL_OFF) key = "distil.kind", fits = "off";
    if (s->evaluate.bound_slices > 0) key = "evaluate.bound_slices", fits = "0";
    if (s->diffusion.variance == VARIANCE_LEARNED)
        key = "diffusion.variance", fits = "fixed-small or fixed-large";
    if (!key) return ST_OK;
    status_fail(ST_USAGE, "with model.space latent, %s must be %s", key, fits);
    return LOCATED(o, key, "model.space");
}

/* What is for captions, or for numbers, alone; NULL: nothing of it is set. */
static const char *words_without(const study *s) {
    study defaults;
    study_defaults(&defaults);
    if (s->model.numbers == SWITCH_OFF && s->generate.noise > 0) return "generate.noise";
    if (s->model.text == SWITCH_ON) return NULL;
    if (s->generate.negative[0]) return "generate.negative";
    if (s->generate.prompts[0]) return "generate.prompts";
    if (s->generate.text_guidance > 0) return "generate.text_guidance";
    if (s->generate.ground == GROUND_CAPTIONS) return "generate.ground";
    if (s->text.captions[0]) return "text.captions";
    if (s->train.text_drop != defaults.train.text_drop) return "train.text_drop";
    return s->evaluate.obedience > 0 ? "evaluate.obedience" : NULL;
}

/* Whether a negative prompt is used: its prediction is that of the pass without conditions, or of
 * the one without the caption. */
static bool uses_negative(const study *s) {
    const double text = s->generate.text_guidance;
    if (s->generate.ground == GROUND_CAPTIONS) return study_text_guidance(s) != 1;
    return s->generate.guidance != 1 || (text > 0 && text != 1);
}

/* Checks of captions alone, which there are. */
static status check_captions(const study *s, const study_origin *o) {
    const char *key = NULL, *why = "";
    const int64_t batch = s->text.batch, micro = s->train.micro_batch;
    const bool words = s->generate.ground == GROUND_CAPTIONS || s->evaluate.obedience > 0;
    if (s->generate.negative[0] && !uses_negative(s))
        key = "generate.negative", why = "needs a generate.guidance or text_guidance other than 1";
    if (s->generate.text_guidance > 0 && s->generate.rescale > 0)
        key = "generate.rescale", why = "does not know generate.text_guidance: one must be 0";
    if (s->generate.text_guidance > 0 && s->train.text_drop == 0)
        key = "train.text_drop",
        why = "must not be 0: generate.text_guidance needs what is trained without captions";
    if (words && s->train.condition_drop == 0)
        key = "train.condition_drop",
        why = "must not be 0: slices drawn on captions alone need what is trained on these";
    if (s->text.captions[0] && s->data.flip != FLIP_NONE)
        key = "text.captions", why = "would be wrong for slices that data.flip mirrors";
    if (s->train.reproducible == SWITCH_ON && (batch % micro || !power_of_two(batch / micro)))
        key = "text.batch", why = "must be a power of two times train.micro_batch, because of "
                                  "train.reproducible";
    if (!key) return ST_OK;
    status_fail(ST_USAGE, "%s %s", key, why);
    return LOCATED(o, key, "model.text");
}

/* Checks of slices that are drawn on captions alone. */
static status check_ground(const study *s, const study_origin *o) {
    const char *key = NULL, *fits = "off";
    if (s->generate.ground == GROUND_MAPS) return ST_OK;
    if (s->generate.guidance == 0) key = "generate.guidance", fits = "a number";
    if (s->generate.noise > 0) key = "generate.noise", fits = "0";
    if (s->generate.inpaint == SWITCH_ON) key = "generate.inpaint", fits = "off";
    if (s->generate.masks[0]) key = "generate.masks", fits = "\"\"";
    if (s->generate.painters != 1U << PAINTER_DIFFUSION)
        key = "generate.painters", fits = "[diffusion]";
    if (!key) return ST_OK;
    status_fail(ST_USAGE, "with generate.ground captions, %s must be %s", key, fits);
    return LOCATED(o, key, "generate.ground");
}

/* What captions and numbers need, and what does not know them. */
static status check_words(const study *s, const study_origin *o) {
    const char *key = NULL, *fits = "off";
    const bool text = s->model.text == SWITCH_ON, numbers = s->model.numbers == SWITCH_ON;
    const char *of = text ? "model.text" : "model.numbers", *without = words_without(s);
    if (without) {
        of = strcmp(without, "generate.noise") == 0 ? "model.numbers" : "model.text";
        status_fail(ST_USAGE, "%s is for %s on, and it is off", without, of);
        return LOCATED(o, without, of);
    }
    if (s->distil.kind != DISTIL_OFF) key = "distil.kind";
    if (s->diffusion.shortcut == SWITCH_ON) key = "diffusion.shortcut";
    if (s->generate.painters >> PAINTER_GAN & 1) key = "generate.painters", fits = "without gan";
    if ((text || numbers) && key) {
        status_fail(ST_USAGE, "with %s on, %s must be %s", of, key, fits);
        return LOCATED(o, key, of);
    }
    if (check_ground(s, o) != ST_OK) return ST_USAGE;
    return text ? check_captions(s, o) : ST_OK;
}

status study_between_keys(const study *s, const study_origin *o) {
    const double *w = s->data.window, *share = s->data.split;
    if (s->data.size % 8) {
        status_fail(ST_USAGE, "data.size is %" PRId64 "; it must be a multiple of 8", s->data.size);
        return LOCATED(o, "data.size");
    }
    if (!(w[0] < w[1])) {
        status_fail(ST_USAGE, "data.window is [%g, %g]; the low end comes first", w[0], w[1]);
        return LOCATED(o, "data.window");
    }
    if (fabs(share[0] + share[1] + share[2] - 1) > 1e-6 || share[0] <= 0) {
        status_fail(ST_USAGE,
                    "data.split is [%g, %g, %g]; the shares must sum to 1, with some for training",
                    share[0], share[1], share[2]);
        return LOCATED(o, "data.split");
    }
    if (s->train.warmup > s->train.steps) {
        status_fail(ST_USAGE,
                    "train.warmup is %" PRId64 "; it may be at most train.steps, %" PRId64,
                    s->train.warmup, s->train.steps);
        return LOCATED(o, "train.warmup", "train.steps");
    }
    if (check_process(s, o) != ST_OK || check_distil(s, o) != ST_OK) return ST_USAGE;
    if (check_small_structures(s, o) != ST_OK) return ST_USAGE;
    if (check_autoencode(s, o) != ST_OK || check_latent(s, o) != ST_OK) return ST_USAGE;
    if (check_words(s, o) != ST_OK) return ST_USAGE;
    if (s->evaluate.base % 8 != 0) {
        status_fail(ST_USAGE, "evaluate.base is %" PRId64 "; it must be a multiple of 8",
                    s->evaluate.base);
        return LOCATED(o, "evaluate.base");
    }
    if (s->evaluate.labelled.count > 0 && s->data.labelled > 0) {
        status_fail(ST_USAGE, "data.labelled and evaluate.labelled are both set; the numbers of "
                              "evaluate.labelled take the place of data.labelled");
        return LOCATED(o, "evaluate.labelled", "data.labelled");
    }
    const struct {
        evaluation_arm arm;
        painter_kind painter;
    } painted[] = {{ARM_GAUSSIAN_LABELS, PAINTER_GAUSSIAN}, {ARM_GAN, PAINTER_GAN}};
    for (size_t i = 0; i < sizeof painted / sizeof *painted; i++)
        if (study_has_arm(s, painted[i].arm) && !(s->generate.painters >> painted[i].painter & 1)) {
            status_fail(ST_USAGE, "evaluate.arms has %s, and generate.painters lacks %s",
                        named_table_name(&evaluation_arms, (int)painted[i].arm),
                        named_table_name(&painter_kinds, (int)painted[i].painter));
            return LOCATED(o, "evaluate.arms", "generate.painters");
        }
    if (!study_has_arm(s, ARM_REAL)) {
        status_fail(ST_USAGE, "evaluate.arms lacks real, which the others are compared with");
        return LOCATED(o, "evaluate.arms");
    }
    if (study_has_arm(s, ARM_ORACLE) && s->data.labelled == 0 && s->evaluate.labelled.count == 0) {
        status_fail(ST_USAGE, "the arm oracle takes the patients whose labels evaluate.labelled or "
                              "data.labelled hides, and neither is set");
        return LOCATED(o, "evaluate.arms");
    }
    if (s->generate.masks[0] && (s->generate.mixture > 0 || s->generate.insert_count > 0)) {
        status_fail(ST_USAGE, "generate.masks are painted as they are: generate.mixture and "
                              "generate.insert cannot change them");
        return LOCATED(o, "generate.masks");
    }
    if (s->generate.inpaint == SWITCH_ON && s->generate.insert_count == 0) {
        status_fail(ST_USAGE, "generate.inpaint samples the structures of generate.insert into "
                              "real volumes, and there are none");
        return LOCATED(o, "generate.inpaint", "generate.insert");
    }
    if (s->generate.resample > 1 && !sampler_resamples(s->generate.sampler)) {
        status_fail(ST_USAGE,
                    "generate.resample is %" PRId64 ", but the steps of sampler %s depend "
                    "on earlier ones: take ddpm, ddim, euler, euler-ancestral or "
                    "consistency",
                    s->generate.resample,
                    named_table_name(&sampler_kinds, (int)s->generate.sampler));
        return LOCATED(o, "generate.resample", "generate.sampler");
    }
    if (study_has_arm(s, ARM_REAL_PLUS_INPAINTED) && s->generate.inpaint != SWITCH_ON) {
        status_fail(ST_USAGE, "the arm real+inpainted takes the volumes of generate.inpaint, which "
                              "is off");
        return LOCATED(o, "evaluate.arms", "generate.inpaint");
    }
    if (s->ingest.overlap == OVERLAP_ORDER && s->ingest.order.count == 0) {
        status_fail(ST_USAGE, "ingest.overlap is order, but ingest.order is empty; name the "
                              "structures, those on top first");
        return LOCATED(o, "ingest.overlap", "ingest.order");
    }
    if (s->ingest.labels == LABELS_FROM_THRESHOLDS && s->ingest.threshold_count == 0) {
        status_fail(ST_USAGE,
                    "ingest.labels is thresholds, but ingest.thresholds is empty; give at "
                    "least one, such as [\"bone: 300..3071\"]");
        return LOCATED(o, "ingest.labels");
    }
    return ST_OK;
}
