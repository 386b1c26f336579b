/* The results of a study without labelled sets: Dice of the two arms, and FID beside its floor. */
#include "pipeline/report/report.h"

#include "io/html.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void arm_cell(FILE *f, const dice_row *row, int arm) {
    fputs("<td>", f);
    put_number(f, row->mean[arm], 3);
    if (row->seeds > 1 && !isnan(row->low[arm]))
        fprintf(f, "<br><small>%.3f&ndash;%.3f</small>", row->low[arm], row->high[arm]);
    fputs("</td>", f);
}

static void difference_cell(FILE *f, const dice_row *row) {
    fprintf(f, "<td%s>", row->difference_high < 0 ? " class=\"worse\"" : "");
    put_signed(f, row->difference, 3);
    if (row->seeds > 1 && !isnan(row->difference_low)) {
        fputs("<br><small>", f);
        put_signed(f, row->difference_low, 3);
        fputs(" to ", f);
        put_signed(f, row->difference_high, 3);
        fputs("</small>", f);
    }
    fputs("</td></tr>\n", f);
}

static void dice_table(FILE *f, const report *r) {
    dice_summary d = report_dice_summary(r);
    dice_row row;
    fputs("<table class=\"sort\"><thead><tr><th>Structure</th><th>n patients</th><th>real only</th>"
          "<th>real + synthetic</th><th>difference</th></tr></thead><tbody>\n",
          f);
    for (void *at = NULL; report_dice_next(r, &at, &row);) {
        fputs("<tr><td>", f);
        html_text(f, row.name);
        fprintf(f, "</td><td>%" PRId64 "</td>", row.patients);
        arm_cell(f, &row, ARM_REAL);
        arm_cell(f, &row, ARM_REAL_PLUS_SYNTHETIC);
        difference_cell(f, &row);
    }
    fprintf(f, "</tbody><tfoot><tr><td>Mean of %d structure%s</td><td></td><td>", d.structures,
            d.structures == 1 ? "" : "s");
    put_number(f, d.mean[ARM_REAL], 3);
    fputs("</td><td>", f);
    put_number(f, d.mean[ARM_REAL_PLUS_SYNTHETIC], 3);
    fputs("</td><td>", f);
    put_signed(f, d.mean[ARM_REAL_PLUS_SYNTHETIC] - d.mean[ARM_REAL], 3);
    fputs("</td></tr></tfoot></table>\n", f);
}

void report_dice(FILE *f, const report *r) {
    fputs("<h2>Does it help? Segmentation of held-out real slices</h2>\n"
          "<p>Segmenters of one design were trained twice, on real slices alone and on real and "
          "synthetic slices together, with equal numbers of optimiser steps and equal starting "
          "values, and then applied to real slices that neither they nor the diffusion model had "
          "seen.</p>\n",
          f);
    report_dice_chart(f, r);
    dice_table(f, r);
    fprintf(f,
            "<p class=\"note\">Dice at the working size of %" PRId64 " &times; %" PRId64
            " pixels, for each patient over all test slices, averaged over patients, then over ",
            r->stage->study->data.size, r->stage->study->data.size);
    put_count(f, report_number(r, "segmenter.seeds"), "seed", "seeds");
    fputs(". Small print: minimum and maximum over the seeds; the difference is taken seed by "
          "seed. n patients: held-out patients who have the structure. n/a: not measured.</p>\n",
          f);
}

static void fid_row(FILE *f, const char *what, double value, double n, const char *against,
                    double n_against) {
    fprintf(f, "<tr><td>%s</td><td>", what);
    put_number(f, n, 0);
    fprintf(f, "</td><td>%s (", against);
    put_number(f, n_against, 0);
    fputs(")</td><td>", f);
    put_number(f, value, 4);
    fputs("</td></tr>\n", f);
}

/* A warning if a covariance is singular: n samples span at most n - 1 directions about their mean.
 */
static void fid_rank_warning(FILE *f, const report *r) {
    double n = fmin(report_number(r, "fid.n_real"), report_number(r, "fid.n_synthetic"));
    double dim = report_number(r, "fid.dim");
    if (n <= dim)
        fprintf(f,
                " <b>Here %.0f slices are not more than the %.0f features:</b> their covariance is "
                "singular, and the values are biased.",
                n, dim);
}

void report_fid(FILE *f, const report *r) {
    double n_real = report_number(r, "fid.n_real");
    fputs("<h2>How close is it? Fr&eacute;chet distance (FID)</h2>\n"
          "<table><thead><tr><th>Slices</th><th>n</th><th>against (n)</th><th>FID</th></tr></thead>"
          "<tbody>\n",
          f);
    fid_row(f, "Synthetic", report_number(r, "fid.value"), report_number(r, "fid.n_synthetic"),
            "held-out real", n_real);
    fid_row(f, "Real, training split (the floor)", report_number(r, "fid.floor"),
            report_number(r, "fid.n_floor"), "held-out real", n_real);
    fputs("</tbody></table>\n<p>FID compares two sets of images by the means and covariances of "
          "features that a network computes of them; 0 means that these are equal. <b>The features "
          "here are our own:</b> the ",
          f);
    put_number(f, report_number(r, "fid.dim"), 0);
    fputs(" pooled features of the encoder of the segmenter that was trained on real slices alone, "
          "not those of the Inception network. The value can therefore not be compared with "
          "published Inception FIDs, nor with that of another study: compare it with its floor. "
          "The floor is not 0, since training and held-out slices are different slices "
          "and the sets are finite; the fewer slices, the larger either value.",
          f);
    fid_rank_warning(f, r);
    fputs("</p>\n<p class=\"note\">Extractor: ", f);
    html_text(f, report_text(r, "fid.extractor"));
    fputs("</p>\n", f);
}
