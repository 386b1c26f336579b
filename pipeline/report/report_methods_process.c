/* The methods' words for diffusion process and sampler, and their references. */
#include "pipeline/report/report.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const LOSSES[] = {
    [LOSS_L1] = "L1", [LOSS_L2] = "squared", [LOSS_HUBER] = "Huber"};

static void ddpm_text(FILE *f, const study *s) {
    static const char *const targets[] = {[OBJECTIVE_EPS] = "the noise",
                                          [OBJECTIVE_X0] = "the image",
                                          [OBJECTIVE_V] = "the velocity v (Salimans and Ho 2022)"};
    fprintf(f, "It predicted %s under a %s noise schedule%s of %" PRId64 " steps with the %s loss",
            targets[s->diffusion.objective],
            named_table_name(&schedule_kinds, s->diffusion.schedule),
            s->diffusion.schedule == SCHEDULE_COSINE ? " (Nichol and Dhariwal 2021)" : "",
            s->diffusion.steps, LOSSES[s->diffusion.loss]);
    if (s->diffusion.weight == WEIGHT_MIN_SNR)
        fputs(", weighted by the signal-to-noise ratio up to 5 (Hang et al. 2023)", f);
    fputs(". ", f);
    if (s->diffusion.variance == VARIANCE_LEARNED)
        fputs("It also predicted the variance of each step, trained on the variational bound "
              "(L<sub>hybrid</sub> of Nichol and Dhariwal 2021). ",
              f);
    if (s->train.t_sampling == TIMESTEPS_IMPORTANCE)
        fputs("Time steps were drawn in proportion to the root mean square of their last ten "
              "losses (Nichol and Dhariwal 2021). ",
              f);
}

static void flow_text(FILE *f, const study *s) {
    fprintf(f,
            "It predicted the velocity of a rectified flow (Liu et al. 2023) with the %s loss at "
            "times drawn from a %s distribution%s",
            LOSSES[s->diffusion.loss], named_table_name(&flow_times_kinds, (int)s->diffusion.times),
            s->diffusion.times == FLOW_LOGIT_NORMAL ? " (Esser et al. 2024)" : "");
    if (s->diffusion.shift != 1) fprintf(f, ", shifted towards noise by %g", s->diffusion.shift);
    fputs(". ", f);
    if (s->diffusion.shortcut == SWITCH_ON)
        fputs(
            "It was given the size of a step, too, and one of eight samples taught it that a step "
            "is as good as two halves of it (shortcut model, Frans et al. 2024). ",
            f);
}

static void consistency_text(FILE *f, const study *s) {
    fprintf(
        f,
        " The averaged weights were then trained on as a consistency model (Song et al. 2023; "
        "Geng et al. 2024): a slice seen at two noise levels r &lt; t, with ln t drawn from "
        "N(&minus;1.1, 4), was to give the same image, by the pseudo-Huber distance (Song and "
        "Dhariwal 2024) over t &minus; r; r was t (1 &minus; (1 + 8 / (1 + exp t)) / %g^k), with k "
        "rising from 1 to %" PRId64 " over the steps. ",
        s->distil.q, s->distil.stages);
    fputs(s->distil.kind == DISTIL_CONSISTENCY_TUNING
              ? "Both levels had the same noise and dropout (consistency tuning). "
              : "The lower level was reached by a step of Heun's method with the trained network "
                "(consistency distillation). ",
          f);
}

static void reflow_text(FILE *f, const study *s) {
    fprintf(f,
            " The averaged weights were then trained on with %" PRId64
            " pairs of noise and sample that the network had drawn itself by the midpoint rule in "
            "%" PRId64 " steps (reflow, Liu et al. 2023). ",
            s->distil.pairs, s->distil.pair_steps);
}

void report_distil_text(FILE *f, const report *r) {
    const study *s = r->stage->study;
    if (s->distil.kind == DISTIL_OFF) return;
    if (s->distil.kind == DISTIL_REFLOW)
        reflow_text(f, s);
    else
        consistency_text(f, s);
    fprintf(f,
            "RAdam (Liu et al. 2020; peak learning rate %g, cosine decay) made %" PRId64
            " steps; a moving average (decay %g) was kept.",
            s->distil.lr, r->checkpoint_step, s->distil.ema);
}

void report_process_text(FILE *f, const study *s) {
    if (s->diffusion.process == PROCESS_DDPM)
        ddpm_text(f, s);
    else if (s->diffusion.process == PROCESS_FLOW)
        flow_text(f, s);
    else
        fprintf(f,
                "Noise levels, scaling of input and output and weights of the %s loss were those "
                "of EDM (Karras et al. 2022). ",
                LOSSES[s->diffusion.loss]);
}

static const struct {
    const char *text, *reference;
} SAMPLERS[] = {
    [SAMPLER_DDPM] = {"ancestral sampling (Ho et al. 2020)", NULL},
    [SAMPLER_DDIM] = {"DDIM (Song et al. 2021)",
                      "Song J, Meng C, Ermon S. Denoising diffusion implicit models. ICLR 2021."},
    [SAMPLER_EULER] = {"Euler's method", NULL},
    [SAMPLER_EULER_ANCESTRAL] = {"Euler's method with noise (ancestral sampling)", NULL},
    [SAMPLER_HEUN] = {"Heun's method", NULL},
    [SAMPLER_MIDPOINT] = {"the midpoint rule", NULL},
    [SAMPLER_PLMS] = {"PNDM (Liu et al. 2022)",
                      "Liu L, Ren Y, Lin Z, Zhao Z. Pseudo numerical methods for diffusion models "
                      "on manifolds. ICLR 2022."},
    [SAMPLER_DPM_2M] = {"DPM-Solver++(2M) (Lu et al. 2022)",
                        "Lu C et al. DPM-Solver++: fast solver for guided sampling of diffusion "
                        "probabilistic models. arXiv:2211.01095, 2022."},
    [SAMPLER_DPM_2M_SDE] = {"SDE-DPM-Solver++(2M) (Lu et al. 2022)",
                            "Lu C et al. DPM-Solver++: fast solver for guided sampling of "
                            "diffusion probabilistic models. arXiv:2211.01095, 2022."},
    [SAMPLER_UNIPC_2] = {"UniPC-2 (Zhao et al. 2023)",
                         "Zhao W et al. UniPC: a unified predictor-corrector framework for fast "
                         "sampling of diffusion models. NeurIPS 2023."},
    [SAMPLER_CONSISTENCY] = {"consistency sampling (Song et al. 2023)",
                             "Song Y, Dhariwal P, Chen M, Sutskever I. Consistency models. ICML "
                             "2023."},
};

void report_sampler_text(FILE *f, const report *r) {
    const study *s = r->stage->study;
    const double *interval = s->generate.interval;
    fprintf(f, "Slices were sampled on these maps with %s in %" PRId64 " steps",
            SAMPLERS[s->generate.sampler].text, report_sampler_steps(r));
    if (s->generate.grid != GRID_UNIFORM)
        fprintf(f, " on a %s grid", named_table_name(&time_grid_kinds, (int)s->generate.grid));
    if (s->generate.sampler == SAMPLER_DDIM) fprintf(f, " (&eta; = %g)", s->generate.eta);
    if (report_guidance(r) == 1) return;
    fprintf(f, " with classifier-free guidance of scale %g", report_guidance(r));
    if (interval[0] > 0 || interval[1] < 1)
        fprintf(f, " where the share of noise was %g to %g (Kynk&auml;&auml;nniemi et al. 2024)",
                interval[0], interval[1]);
    if (s->generate.rescale > 0)
        fprintf(f, ", rescaled by %g (Lin et al. 2023)", s->generate.rescale);
}

static void item(FILE *f, bool wanted, const char *reference) {
    if (wanted) fprintf(f, "<li>%s</li>\n", reference);
}

void report_process_references(FILE *f, const report *r) {
    const study *s = r->stage->study;
    const bool ddpm = s->diffusion.process == PROCESS_DDPM;
    const bool distilled = s->distil.kind != DISTIL_OFF;
    const bool consistency = distilled && s->distil.kind != DISTIL_REFLOW;
    const bool flow = s->diffusion.process == PROCESS_FLOW, guided = report_guidance(r) != 1;
    item(f,
         ddpm && (s->diffusion.schedule == SCHEDULE_COSINE ||
                  s->diffusion.variance == VARIANCE_LEARNED ||
                  s->train.t_sampling == TIMESTEPS_IMPORTANCE),
         "Nichol A, Dhariwal P. Improved denoising diffusion probabilistic models. ICML 2021.");
    item(f, ddpm && s->diffusion.objective == OBJECTIVE_V,
         "Salimans T, Ho J. Progressive distillation for fast sampling of diffusion models. ICLR "
         "2022.");
    item(f, s->diffusion.weight == WEIGHT_MIN_SNR,
         "Hang T et al. Efficient diffusion training via min-SNR weighting strategy. ICCV 2023.");
    item(f, s->diffusion.process == PROCESS_EDM,
         "Karras T et al. Elucidating the design space of diffusion-based generative models. "
         "NeurIPS 2022.");
    item(f, flow,
         "Liu X, Gong C, Liu Q. Flow straight and fast: learning to generate and transfer data "
         "with rectified flow. ICLR 2023.");
    item(f, flow && s->diffusion.times == FLOW_LOGIT_NORMAL,
         "Esser P et al. Scaling rectified flow transformers for high-resolution image synthesis. "
         "ICML 2024.");
    item(f, s->diffusion.shortcut == SWITCH_ON,
         "Frans K, Hafner D, Levine S, Abbeel P. One step diffusion via shortcut models. "
         "arXiv:2410.12557, 2024.");
    item(f, consistency,
         "Geng Z, Pokle A, Luo W, Lin J, Kolter JZ. Consistency models made easy. "
         "arXiv:2406.14548, 2024.");
    item(f, consistency,
         "Song Y, Dhariwal P. Improved techniques for training consistency models. ICLR 2024.");
    item(f, distilled,
         "Liu L et al. On the variance of the adaptive learning rate and beyond. ICLR 2020.");
    item(f, SAMPLERS[s->generate.sampler].reference != NULL,
         SAMPLERS[s->generate.sampler].reference);
    item(f, guided && (s->generate.interval[0] > 0 || s->generate.interval[1] < 1),
         "Kynk&auml;&auml;nniemi T et al. Applying guidance in a limited interval improves sample "
         "and distribution quality in diffusion models. NeurIPS 2024.");
    item(f, s->model.text == SWITCH_ON,
         "Radford A et al. Learning transferable visual models from natural language supervision. "
         "ICML 2021.");
    item(f, s->model.text == SWITCH_ON,
         "Sennrich R, Haddow B, Birch A. Neural machine translation of rare words with subword "
         "units. ACL 2016.");
    item(f, s->model.text == SWITCH_ON || s->model.space == SPACE_LATENT,
         "Rombach R et al. High-resolution image synthesis with latent diffusion models. CVPR "
         "2022.");
    item(f, s->generate.text_guidance > 0 && s->generate.ground == GROUND_MAPS,
         "Brooks T, Holynski A, Efros AA. InstructPix2Pix: learning to follow image editing "
         "instructions. CVPR 2023.");
    item(f, guided && s->generate.rescale > 0,
         "Lin S et al. Common diffusion noise schedules and sample steps are flawed. "
         "arXiv:2305.08891, 2023.");
}
