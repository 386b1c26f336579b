/* The methods of the synthetic data: training without labels, label maps, painters; and the papers
 * that they cite. Only what the study uses is mentioned. */
#include "pipeline/data/deform.h"
#include "pipeline/report/chapters.h"
#include "pipeline/report/report.h"

#include "io/html.h"

#include <inttypes.h>

static bool has_painter(const study *s, painter_kind kind) {
    return s->generate.painters >> kind & 1;
}

void report_methods_unlabelled(FILE *f, const report *r) {
    const study *s = r->stage->study;
    if (r->split.run_count[SPLIT_UNLABELLED] == 0 || s->train.unlabelled == 0) return;
    fprintf(f, " Of each batch, %g%% were slices of ", 100 * s->train.unlabelled);
    put_count(f, (double)r->split.patients[SPLIT_UNLABELLED], "patient", "patients");
    fputs(s->train.pseudo_labels == SWITCH_ON
              ? " whose labels were not used; a segmenter trained on the labelled ones made "
                "pseudo-labels for them."
              : " whose labels were not used; all their conditions but captions were dropped.",
          f);
}

/* How the label maps were made. */
static void maps_text(FILE *f, const report *r) {
    const study *s = r->stage->study;
    if (s->generate.masks[0]) {
        fputs("Label maps were masks of its user, as they are. The tissue around their structures "
              "followed the CT series of the mask or, without one, the training volume whose label "
              "map is most like it. ",
              f);
        return;
    }
    fprintf(f,
            "Label maps of training volumes were deformed (rotation up to %g&deg;, zoom up to "
            "%g%%, shift up to %g%%, and a cubic B-spline displacement up to %g%% of the field of "
            "view). ",
            s->generate.rotate, 100 * s->generate.zoom, 100 * s->generate.shift,
            100 * s->generate.elastic);
    if (deformed_uses_pseudo(s, &r->split))
        fputs("Every second one was a map of pseudo-labels. ", f);
    if (s->generate.mixture > 0)
        fprintf(f, "In %g%% of them one structure was taken from the map of another patient. ",
                100 * s->generate.mixture);
    for (int i = 0; i < s->generate.insert_count; i++) {
        const study_insert *one = &s->generate.insert[i];
        fprintf(f, "Into %g%% of them %d", 100 * one->share, one->low);
        if (one->high > one->low) fprintf(f, " to %d", one->high);
        fputs(" ellipsoids with a random surface were inserted as ", f);
        html_text(f, one->structure);
        fputs(" in ", f);
        html_text(f, one->host);
        fputs(", of the sizes seen in the training volumes. ", f);
    }
}

static void inpainting_text(FILE *f, const study *s) {
    if (s->generate.inpaint != SWITCH_ON) return;
    fprintf(f,
            " Such structures were also sampled into labelled training volumes as they are; "
            "everything farther than 4 pixels from them stayed real, %s (replacement of the known "
            "part, Lugmayr et al. 2022).",
            s->model.space == SPACE_LATENT ? "and so did, in each step, the latents without a "
                                             "pixel of what is nearer"
                                           : "also in each step");
}

/* The other painters of the same maps. */
static void painters_text(FILE *f, const study *s) {
    if (has_painter(s, PAINTER_GAUSSIAN))
        fputs(" The same maps were also painted with a random grey value and noise for each "
              "structure (after Billot et al. 2023).",
              f);
    if (!has_painter(s, PAINTER_GAN)) return;
    fputs(" They were also painted by a conditional GAN with the same network as generator and a "
          "patch discriminator (Isola et al. 2017) with spectral normalisation (Miyato et al. "
          "2018), trained ",
          f);
    if (s->gan.steps > 0)
        fprintf(f, "for %" PRId64 " steps", s->gan.steps);
    else
        fputs("with as many operations as the diffusion model", f);
    fputs(".", f);
}

static void residual_text(FILE *f, const study *s) {
    if (s->model.space == SPACE_LATENT && s->generate.residual == SWITCH_ON)
        fputs(" Decoded slices were given the noise that the autoencoder drops: a Gaussian field "
              "with the power spectrum of its residual in uniform tissue of training slices, "
              "the standard deviation of each class of tissue (air and lung, fat, soft, dense), "
              "times a level for each volume, drawn from those of training slices.",
              f);
}

/* The captions that slices were sampled with. */
static void prompts_text(FILE *f, const study *s) {
    if (s->model.text == SWITCH_OFF) return;
    if (s->generate.ground == GROUND_CAPTIONS)
        fputs(
            " Slices were sampled from captions alone, each by itself, and labelled by a segmenter "
            "of real slices (the referee), so that its Dice on them says nothing.",
            f);
    fputs(s->generate.prompts[0] ? " Each volume was given a caption of the investigators"
                                 : " Each slice was given a caption of what its label map shows",
          f);
    if (s->generate.text_guidance > 0 && s->generate.ground == GROUND_MAPS)
        fprintf(f, ", with a guidance scale of %g of its own (Brooks et al. 2023)",
                s->generate.text_guidance);
    if (s->generate.negative[0]) {
        fputs(", and \"", f);
        html_text(f, s->generate.negative);
        fputs("\" as negative prompt", f);
    }
    fputs(".", f);
}

void report_methods_synthetic(FILE *f, const report *r) {
    const study *s = r->stage->study;
    fputs("<p><b>Synthetic data.</b> ", f);
    maps_text(f, r);
    report_sampler_text(f, r);
    if (study_chooses_guidance(s))
        fputs(", the guidance, checkpoint and number of steps of the best of several candidates on "
              "label maps of validation patients, by the Dice of a segmenter of real slices and by "
              "the noise of the structures",
              f);
    fputs(", which gave ", f);
    put_count(f, report_number(r, "synthetic.volumes"), "volume", "volumes");
    fputs(" with ", f);
    put_count(f, report_number(r, "synthetic.slices"), "slice", "slices");
    fputs(" in all.", f);
    if (s->generate.appearance > 0 && s->generate.ground == GROUND_MAPS)
        fprintf(f,
                " In each step the grey values of structures were drawn with strength %g to those "
                "of their volume, a mixture of two training volumes.",
                s->generate.appearance);
    if (s->generate.noise > 0)
        fprintf(f, " They were asked for noise of %g HU.", s->generate.noise);
    prompts_text(f, s);
    residual_text(f, s);
    painters_text(f, s);
    inpainting_text(f, s);
    fputs("</p>\n", f);
}

void report_references_synthetic(FILE *f, const report *r) {
    const study *s = r->stage->study;
    if (has_painter(s, PAINTER_GAUSSIAN))
        fputs("<li>Billot B et al. SynthSeg: segmentation of brain MRI scans of any contrast and "
              "resolution without retraining. Medical Image Analysis 2023; 86: 102789.</li>\n",
              f);
    if (s->generate.inpaint == SWITCH_ON)
        fputs("<li>Lugmayr A et al. RePaint: inpainting using denoising diffusion probabilistic "
              "models. CVPR 2022.</li>\n",
              f);
    if (has_painter(s, PAINTER_GAN))
        fputs("<li>Isola P et al. Image-to-image translation with conditional adversarial "
              "networks. CVPR 2017.</li>\n"
              "<li>Miyato T et al. Spectral normalization for generative adversarial networks. "
              "ICLR 2018.</li>\n",
              f);
}
