/* The methods section of the report, as paragraphs for a paper. It states what this run did and
 * cites only what the run used. */
#include "pipeline/report/chapters.h"
#include "pipeline/report/report.h"

#include "io/html.h"
#include "model/net/unet.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void data_text(FILE *f, const report *r) {
    const study *s = r->stage->study;
    const label_set *labels = store_labels(r->real);
    fprintf(f, "<p><b>Data.</b> ");
    put_count(f, report_number(r, "data.volumes"), "CT volume", "CT volumes");
    fputs(" (", f);
    put_count(f, report_number(r, "data.slices"), "slice", "slices");
    fputs(") of ", f);
    put_count(f, report_number(r, "data.patients"), "patient", "patients");
    fputs(" were used. Hounsfield units were computed from stored values with Rescale Slope and "
          "Intercept. ",
          f);
    fprintf(f, "Label maps of %d structures (", labels->count - 1);
    for (int k = 1; k < labels->count; k++) {
        if (k > 1) fputs(", ", f);
        html_text(f, labels->name[k]);
    }
    fprintf(f, ") came from %s%s. ", report_label_source(r),
            s->ingest.labels == LABELS_FROM_THRESHOLDS ? ", without a reader" : "");
    fputs("Slices were limited to ", f);
    put_window(f, s->data.window);
    fprintf(f, " and resampled to %" PRId64 " &times; %" PRId64 " pixels by area averaging. ",
            s->data.size, s->data.size);
    if (r->split.by_blocks)
        fprintf(f, "The slices of the one patient were split in contiguous blocks");
    else
        fprintf(f, "The slices were split by patient");
    fputs(" into training (", f);
    put_count(f, report_split_number(r, SPLIT_TRAIN, "slices"), "slice", "slices");
    fputs("), validation (", f);
    put_number(f, report_split_number(r, SPLIT_VALIDATION, "slices"), 0);
    fputs(") and test (", f);
    put_number(f, report_split_number(r, SPLIT_TEST, "slices"), 0);
    fputs(").</p>\n", f);
}

/* Names the blocks with self-attention: the middle block, and the levels whose side in pixels is
 * listed in the network's configuration. */
static void attention_text(FILE *f, const unet_config *net, int64_t size) {
    fputs("self-attention in the middle block", f);
    for (int level = 0; level < net->levels; level++)
        for (int k = 0; k < UNET_LEVELS && net->attention[k]; k++)
            if (net->attention[k] == size >> level)
                fprintf(f, " and at %" PRId64 " &times; %" PRId64, size >> level, size >> level);
}

static void net_text(FILE *f, const report *r) {
    const study *s = r->stage->study;
    const unet_config net = unet_config_of(s->model.net);
    const bool latent = s->model.space == SPACE_LATENT;
    const bool numbers = s->model.numbers == SWITCH_ON;
    fprintf(f, "<p><b>Generative model.</b> A denoising diffusion model (Ho et al. 2020) ");
    if (latent)
        fprintf(f,
                "of the latents of an autoencoder (Rombach et al. 2022; %" PRId64
                " &times; %" PRId64 " pixels a latent, %" PRId64 " channels, %" PRId64
                " base channels, %" PRId64 " steps of %" PRId64
                " patches; augmented slices were encoded once, %" PRId64 " copies of each) ",
                s->autoencode.factor, s->autoencode.factor, s->autoencode.z, s->autoencode.base,
                s->autoencode.steps, s->autoencode.batch, s->train.copies);
    fprintf(f, "with a U-Net of %d levels (%" PRId64 " base channels, multiplied by", net.levels,
            net.base);
    for (int k = 0; k < net.levels; k++) fprintf(f, "%s %" PRId64, k ? "," : "", net.mult[k]);
    fprintf(f, "; %d residual block%s a level; ", net.blocks, net.blocks == 1 ? "" : "s");
    attention_text(f, &net, s->data.size / (latent ? s->autoencode.factor : 1));
    fputs(") ", f);
    fprintf(
        f,
        "was conditioned on the label map, %sthe position of the slice%s and contrast "
        "enhancement; conditions were dropped for %g%% of the samples%s. ",
        s->model.tissue == SWITCH_ON
            ? "the tissue outside of its structures (air, fat, soft, dense; by HU), "
            : "",
        numbers
            ? ", its pixel spacing, noise, kernel class, part of the body and sizes of structures"
            : "",
        100 * s->train.condition_drop, numbers ? ", and each number by itself for as many" : "");
}

/* The captions, if the model has them. */
static void caption_text(FILE *f, const study *s) {
    if (s->model.text == SWITCH_OFF) return;
    fprintf(
        f,
        "It also attended, where it had self-attention, to a caption (cross-attention, Rombach "
        "et al. 2022), and had the mean of its states in its time embedding (Saharia et al. 2022). "
        "Captions %s; tokens were learnt by byte-pair encoding (Sennrich et al. "
        "2016), and their encoder, a transformer of 4 layers of width 256, was trained for "
        "%" PRId64 " steps of %" PRId64
        " slices and captions with the contrastive loss of CLIP (Radford et al. 2021) and then "
        "kept as it was. %g%% of the samples with labels and %g%% of those without had no "
        "caption. ",
        s->text.captions[0]
            ? "were written by the investigators, or else from labels, sides, sizes, contrast "
              "enhancement, noise, pixel spacing, kernel class and part of the body of the slice"
            : "were written from labels, sides, sizes, contrast enhancement, noise, pixel "
              "spacing, kernel class and part of the body of the slice in several wordings, each "
              "fact left out at random",
        s->text.steps, s->text.batch, 100 * s->train.text_drop, 100 * study_without_caption(s));
}

static void training_text(FILE *f, const report *r) {
    const study *s = r->stage->study;
    caption_text(f, s);
    report_process_text(f, s);
    fprintf(
        f,
        "AdamW (Loshchilov and Hutter 2019; peak learning rate %g, %" PRId64
        " steps of warm-up, cosine decay, weight decay %g, gradient norm clipped at %g) made "
        "%" PRId64 " steps of %" PRId64 " slices; an exponential moving average of the weights "
        "(decay %g) was kept. Activations were %s. Slices were "
        "augmented by rotation (up to %g&deg;), zoom (up to %g%%), shift and elastic "
        "deformation (up to %g%% and %g%% of the field of view)%s, in the training of the "
        "segmenters too; they were interpolated by a Lanczos kernel of three lobes at twice the "
        "working size, or as stored if that is smaller, and then averaged.",
        s->train.lr, s->train.warmup, s->train.weight_decay, s->train.clip,
        s->distil.kind == DISTIL_OFF ? r->checkpoint_step : s->train.steps, s->train.batch,
        s->train.ema,
        s->train.precision == PRECISION_F32 ? "in single precision"
        : s->train.precision == PRECISION_BF16
            ? "bfloat16, as were the operands of convolutions and attention; "
              "sums, statistics and the weights that the optimiser updates were "
              "in single precision"
            : "bfloat16 if all processors supported it, otherwise in "
              "single precision",
        s->data.rotate, 100 * s->data.zoom, 100 * s->data.shift, 100 * s->data.elastic,
        s->data.flip == FLIP_HORIZONTAL ? ", and mirrored left to right" : "");
    if (s->train.small_structures > 1)
        fprintf(f,
                " Pixels of a structure counted in the loss by the inverse of its share of the "
                "training slices, at most %g times as much as those of the largest.",
                s->train.small_structures);
    if (*s->train.start)
        fputs(" The training began with the parameters of another one, from a file.", f);
    report_methods_unlabelled(f, r);
    report_distil_text(f, r);
    fputs("</p>\n", f);
}

static void evaluation_text(FILE *f, const report *r) {
    fputs("<p><b>Evaluation.</b> Two-dimensional U-Net segmenters (Ronneberger et al. 2015; ", f);
    put_number(f, report_number(r, "segmenter.parameters"), 0);
    fputs(" parameters) were trained with the negative logarithm of soft Dice (Wong et al. 2018) "
          "and cross-entropy "
          "on real slices alone and on "
          "real and synthetic slices together, for ",
          f);
    put_number(f, report_number(r, "segmenter.steps"), 0);
    fputs(" steps of ", f);
    put_count(f, report_number(r, "segmenter.batch"), "slice", "slices");
    fputs(" in either case and with ", f);
    put_count(f, report_number(r, "segmenter.seeds"), "seed", "seeds");
    fprintf(f,
            " each. With synthetic slices, %g%% of each batch were synthetic; the last %g%% of the "
            "steps took real slices alone.",
            100 * r->stage->study->evaluate.share, 100 * r->stage->study->evaluate.real_only_last);
    fputs(" The Dice coefficient (Dice 1945) on held-out real slices was computed at the "
          "working size for each "
          "patient and structure and averaged over the patients who have the structure. The "
          "Fr&eacute;chet distance (Heusel "
          "et al. 2017) was computed between ",
          f);
    put_number(f, report_number(r, "fid.n_synthetic"), 0);
    fputs(" synthetic and ", f);
    put_number(f, report_number(r, "fid.n_real"), 0);
    fputs(" held-out real slices on ", f);
    put_number(f, report_number(r, "fid.dim"), 0);
    fputs(" features of the encoder of the segmenter trained on real slices, beside a floor "
          "between ",
          f);
    put_number(f, report_number(r, "fid.n_floor"), 0);
    fputs(" real training slices and the same held-out slices. All was done with ctaug ", f);
    html_text(f, report_text(r, "versions.ctaug"));
    fprintf(f, ", random seed %" PRId64 ".</p>\n", r->stage->study->seed);
}

void report_methods(FILE *f, const report *r) {
    data_text(f, r);
    net_text(f, r);
    training_text(f, r);
    report_methods_synthetic(f, r);
    if (chapters_present(r->metrics))
        report_methods_sets(f, r);
    else
        evaluation_text(f, r);
    fputs(
        "<ul class=\"references\">\n"
        "<li>Ho J, Jain A, Abbeel P. Denoising diffusion probabilistic models. NeurIPS 2020.</li>\n"
        "<li>Loshchilov I, Hutter F. Decoupled weight decay regularization. ICLR 2019.</li>\n",
        f);
    report_process_references(f, r);
    fputs("<li>Wong KCL, Moradi M, Tang H, Syeda-Mahmood T. 3D segmentation with exponential "
          "logarithmic "
          "loss for highly unbalanced object sizes. MICCAI 2018.</li>\n",
          f);
    fputs("<li>Ronneberger O, Fischer P, Brox T. U-Net: convolutional networks for "
          "biomedical image segmentation. MICCAI 2015.</li>\n"
          "<li>Dice LR. Measures of the amount of ecologic association between species. "
          "Ecology 1945; 26: 297&ndash;302.</li>\n"
          "<li>Heusel M et al. GANs trained by a two time-scale update rule converge "
          "to a local Nash equilibrium. NeurIPS 2017.</li>\n",
          f);
    report_references_synthetic(f, r);
    if (chapters_present(r->metrics)) report_references_sets(f, r);
    fputs("</ul>\n", f);
}
