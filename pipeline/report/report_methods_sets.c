/* The methods of an evaluation with labelled sets, as paragraphs for a paper, and the papers that
 * they cite: only of what was measured. */
#include "pipeline/report/chapters.h"
#include "pipeline/report/report.h"

#include "io/html.h"

#include <math.h>

/* The members of a list: "a, b and c". */
static void put_list(FILE *f, const json_t *list) {
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(list, i);
        fputs(i == 0 ? "" : i + 1 < n ? ", " : " and ", f);
        if (json_is_string(one))
            html_text(f, json_string_value(one));
        else
            fputs(show(json_number_value(one), 0).text, f);
    }
    if (n == 0) fputs("n/a", f);
}

static double protocol_number(const report *r, const char *what) {
    return figure_number(json_object_get(r->metrics, "protocol"), what);
}

/* Whether any entry of "distribution" has this member. */
static bool measured(const report *r, const char *what) {
    const json_t *list = json_object_get(r->metrics, "distribution");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!isnan(figure_number(json_array_get(list, i), what))) return true;
    return false;
}

static void training_text(FILE *f, const report *r) {
    fputs("<p><b>Evaluation.</b> Two-dimensional U-Net segmenters (Ronneberger et al. 2015) were "
          "trained with labelled sets of ",
          f);
    put_list(f, figure_at(r->metrics, "protocol.labelled"));
    fprintf(f,
            " patients: %s for each number, drawn at random, with %s for each set and %s. The arms "
            "were ",
            show_count(protocol_number(r, "sets"), "set", "sets").text,
            show_count(protocol_number(r, "seeds"), "seed", "seeds").text,
            show_count(protocol_number(r, "steps"), "step", "steps").text);
    put_list(f, figure_at(r->metrics, "protocol.arms"));
    fprintf(
        f,
        ". With synthetic slices, %s %% of each batch were synthetic, and the last %s %% of the "
        "steps took real slices alone. All were applied to the same held-out patients; the tests "
        "were ",
        show(100 * protocol_number(r, "share"), 0).text,
        show(100 * protocol_number(r, "real_only_last"), 0).text);
    put_list(f, figure_at(r->metrics, "protocol.tests"));
    fputs(".</p>\n", f);
}

static void statistics_text(FILE *f, const report *r) {
    fprintf(
        f,
        "<p><b>Statistics.</b> Measured were the Dice coefficient (Dice 1945), the surface Dice at "
        "a tolerance of %s mm (Nikolov et al. 2021), the 95th percentile of the surface distance, "
        "and the relative error of the volume, for each patient and structure. Intervals of 95 %% "
        "come from %s resamples of a bootstrap (",
        show(protocol_number(r, "nsd_tolerance_mm"), 1).text,
        show(protocol_number(r, "resamples"), 0).text);
    html_text(f, figure_text(r->metrics, "protocol.bootstrap"));
    fprintf(
        f,
        "). Differences between arms were tested patient by patient (Wilcoxon 1945, two-sided), "
        "with the correction of Holm (1979); effects are matched-pairs rank-biserial correlations "
        "(Kerby 2014). The margin of non-inferiority was %s Dice.",
        show(protocol_number(r, "margin"), 3).text);
    if (measured(r, "fid"))
        fputs(" Sets of images were compared by the Fr&eacute;chet distance (Heusel et al. 2017)",
              f);
    if (measured(r, "kid")) fputs(", the kernel distance (Bi&nacute;kowski et al. 2018)", f);
    if (measured(r, "precision"))
        fputs(", precision and recall (Kynk&auml;&auml;nniemi et al. 2019)", f);
    if (measured(r, "density")) fputs(", density and coverage (Naeem et al. 2020)", f);
    if (measured(r, "ms_ssim")) fputs(", and the MS-SSIM of pairs (Wang et al. 2003)", f);
    fputs(measured(r, "fid") ? ". All was done with ctaug " : " All was done with ctaug ", f);
    html_text(f, report_text(r, "versions.ctaug"));
    fputs(".</p>\n", f);
}

void report_methods_sets(FILE *f, const report *r) {
    training_text(f, r);
    statistics_text(f, r);
}

void report_references_sets(FILE *f, const report *r) {
    fputs(
        "<li>Wilcoxon F. Individual comparisons by ranking methods. Biometrics Bulletin 1945; 1: "
        "80&ndash;83.</li>\n"
        "<li>Holm S. A simple sequentially rejective multiple test procedure. Scandinavian Journal "
        "of Statistics 1979; 6: 65&ndash;70.</li>\n"
        "<li>Kerby DS. The simple difference formula. Comprehensive Psychology 2014; 3: 1.</li>\n"
        "<li>Nikolov S et al. Clinically applicable segmentation of head and neck anatomy for "
        "radiotherapy. Journal of Medical Internet Research 2021; 23: e26151.</li>\n",
        f);
    if (measured(r, "kid"))
        fputs("<li>Bi&nacute;kowski M et al. Demystifying MMD GANs. ICLR 2018.</li>\n", f);
    if (measured(r, "precision"))
        fputs("<li>Kynk&auml;&auml;nniemi T et al. Improved precision and recall metric for "
              "assessing "
              "generative models. NeurIPS 2019.</li>\n",
              f);
    if (measured(r, "density"))
        fputs("<li>Naeem MF et al. Reliable fidelity and diversity metrics for generative models. "
              "ICML "
              "2020.</li>\n",
              f);
    if (measured(r, "ms_ssim"))
        fputs("<li>Wang Z, Simoncelli EP, Bovik AC. Multiscale structural similarity for image "
              "quality "
              "assessment. Asilomar Conference 2003.</li>\n",
              f);
}
