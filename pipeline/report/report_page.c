/* The report's page: one self-contained HTML file without scripts or external resources. The
 * sections are summary and warnings, data, example slices, Dice, FID, training, facts of the run,
 * how to repeat it, and methods.
 */
#include "pipeline/report/report.h"

#include "io/html.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;padding:2.5rem 1.5rem 4rem;max-width:54rem;background:#fff;color:#1b1b1b;"
    "font:16px/1.55 Georgia,'Times New Roman','DejaVu Serif',serif}"
    "h1,h2,h3,table,svg text,.tiles,.kicker,.row-name,.legend,figcaption,.note,.cite,nav{"
    "font-family:'Helvetica Neue',Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif}"
    "h1{font-size:1.9rem;line-height:1.2;margin:.2rem 0 .4rem}"
    "h2{font-size:1.2rem;margin:2.4rem 0 .6rem;padding-top:.5rem;border-top:1px solid #ccc}"
    "h3{font-size:1rem;margin:1.4rem 0 .3rem}"
    ".kicker{color:#555;font-size:.85rem;margin:0;overflow-wrap:anywhere}"
    ".lead{font-size:1.08rem;margin:1.2rem 0}"
    ".note,figcaption{color:#555;font-size:.85rem;line-height:1.45}"
    "code,pre{font:.85em/1.45 'DejaVu Sans Mono',Menlo,Consolas,monospace}"
    "code{overflow-wrap:anywhere}"
    "pre{background:#f5f5f3;border:1px solid #ddd;padding:.7rem .9rem;overflow-x:auto;"
    "white-space:pre-wrap}"
    "aside{border:1px solid #d9a400;border-left-width:6px;background:#fff8e1;padding:.2rem 1.1rem;"
    "margin:1.4rem 0}"
    "aside h2{border:0;margin:.4rem 0 .2rem;padding:0;font-size:1.05rem}"
    "aside ul{margin:.3rem 0 .6rem;padding-left:1.2rem}aside p{margin:.3rem 0}"
    ".tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:.8rem;margin:1rem 0}"
    ".tiles div{border-top:3px solid #0072B2;background:#f5f8fa;padding:.5rem .7rem}"
    ".tiles .made{border-color:#D55E00}"
    ".tiles b{display:block;font-size:1.5rem}.tiles span{display:block;font-size:.85rem}"
    ".tiles small{color:#555}"
    "table{border-collapse:collapse;width:100%;font-size:.88rem;margin:.8rem 0;"
    "border-top:2px solid #1b1b1b;border-bottom:2px solid #1b1b1b;"
    "font-variant-numeric:tabular-nums}"
    "th,td{text-align:right;padding:.3rem .5rem;vertical-align:top}"
    "th:first-child,td:first-child{text-align:left;overflow-wrap:anywhere}"
    "thead th{border-bottom:1px solid #1b1b1b;font-weight:600}"
    "tbody tr+tr td{border-top:1px solid #eee}tfoot td{border-top:1px solid #1b1b1b}"
    "td small{color:#555}td.worse{color:#9c3f00}"
    ".facts td{text-align:left}.facts td:first-child{width:13rem;color:#555}"
    "svg{width:100%;height:auto;display:block;margin:.6rem 0}"
    "svg text{font-size:13px;fill:#1b1b1b}"
    ".grid{stroke:#e2e2e2}.axis{stroke:#1b1b1b}"
    ".train{fill:none;stroke:#0072B2;stroke-width:1.2}"
    ".validation{fill:none;stroke:#D55E00;stroke-width:2}"
    ".box{fill:#f7f7f5;stroke:#777}.box.real{fill:#e8f1f7;stroke:#0072B2}"
    ".box.made{fill:#fbeee6;stroke:#D55E00}.arrow{fill:none;stroke:#555;stroke-width:1.3}"
    ".slices{display:grid;grid-template-columns:5.6rem repeat(var(--columns),1fr);gap:3px;"
    "margin:1rem 0}"
    ".slices img{width:100%;display:block;background:#000}"
    ".row-name{font-size:.78rem;color:#333;align-self:center}"
    ".slices figcaption{grid-column:1/-1}"
    ".legend{font-size:.85rem}.legend span{display:inline-block;margin-right:1.1rem}"
    ".legend i{display:inline-block;width:.8em;height:.8em;margin-right:.35em}"
    ".references{font-size:.85rem;padding-left:1.1rem}"
    ".cite{background:#f5f5f3;padding:.6rem .9rem;font-size:.85rem;overflow-wrap:anywhere}"
    "summary{cursor:pointer}"
    "@media(max-width:40rem){.tiles{grid-template-columns:1fr 1fr}}"
    "@media print{@page{margin:16mm}body{padding:0;max-width:none;font-size:10.5pt}"
    "h2{break-after:avoid}svg,tr,aside,.tiles,.slices{break-inside:avoid}"
    "*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}";

static void head(FILE *f, const report *r) {
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          f);
    html_text(f, r->stage->study->name);
    fprintf(f, ": synthetic CT report</title>\n<style>%s</style>\n</head>\n<body>\n", style);
    fputs("<p class=\"kicker\">ctaug report &middot; study ", f);
    html_text(f, r->stage->study->name);
    fputs(" &middot; measured ", f);
    html_text(f, report_text(r, "created"));
    fputs("</p>\n<h1>Synthetic CT, evaluated: ", f);
    html_text(f, r->stage->study->name);
    fputs("</h1>\n", f);
}

/* ---- data ---- */

static void data_row(FILE *f, const char *name, double patients, double volumes, double slices) {
    const double n[] = {patients, volumes, slices};
    fprintf(f, "<tr><td>%s</td>", name);
    for (int i = 0; i < 3; i++)
        if (isnan(n[i]))
            fputs("<td>&ndash;</td>", f);
        else
            fprintf(f, "<td>%.0f</td>", n[i]);
    fputs("</tr>\n", f);
}

/* The range "data.<what>": [min, max] of the real store, with its unit. */
static void put_range(FILE *f, const report *r, const char *what, const char *unit) {
    char path[64];
    snprintf(path, sizeof path, "data.%s.0", what);
    double low = report_number(r, path);
    snprintf(path, sizeof path, "data.%s.1", what);
    double high = report_number(r, path);
    if (isnan(low) || isnan(high))
        fputs("n/a", f);
    else if (low == high)
        fprintf(f, "%.4g", low);
    else
        fprintf(f, "%.4g to %.4g", low, high);
    fputs(unit, f);
}

static void geometry_text(FILE *f, const report *r) {
    fputs("<p>Real CT: ", f);
    put_range(f, r, "rows", " rows, ");
    put_range(f, r, "columns", " columns, pixels of ");
    put_range(f, r, "pixel_mm", " mm, slices every ");
    put_range(f, r, "slice_distance_mm", " mm; ");
    put_number(f, report_number(r, "data.contrast_volumes"), 0);
    fputs(" of ", f);
    put_count(f, report_number(r, "data.volumes"), "volume", "volumes");
    fputs(" with contrast agent.</p>\n", f);
}

static void data_section(FILE *f, const report *r) {
    static const char *const names[] = {"Training", "Validation", "Test, held out"};
    const study *s = r->stage->study;
    fputs("<h2>Data</h2>\n", f);
    report_flow(f, r);
    fputs("<table><thead><tr><th>n</th><th>patients</th><th>volumes</th><th>slices</th></tr>"
          "</thead><tbody>\n",
          f);
    data_row(f, "Real CT", report_number(r, "data.patients"), report_number(r, "data.volumes"),
             report_number(r, "data.slices"));
    for (int p = 0; p < SPLIT_UNLABELLED; p++)
        data_row(f, names[p], report_split_number(r, p, "patients"),
                 report_split_number(r, p, "volumes"), report_split_number(r, p, "slices"));
    data_row(f, "Synthetic CT", NAN, report_number(r, "synthetic.volumes"),
             report_number(r, "synthetic.slices"));
    fputs("</tbody></table>\n", f);
    geometry_text(f, r);
    fprintf(f, "<p>%s; networks see %" PRId64 " &times; %" PRId64 " pixels, ",
            r->split.by_blocks ? "The slices of the one patient are split in contiguous blocks"
                               : "The slices are split by patient",
            s->data.size, s->data.size);
    put_window(f, s->data.window);
    fprintf(f, ". Labels come from %s.</p>\n",
            s->ingest.labels == LABELS_FROM_THRESHOLDS ? "HU thresholds" : "DICOM Segmentation");
}

/* ---- results ---- */

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
    fputs("<table><thead><tr><th>Structure</th><th>n patients</th><th>real only</th>"
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

static void dice_section(FILE *f, const report *r) {
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

static void fid_section(FILE *f, const report *r) {
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

/* ---- how it was made ---- */

/* A row of the table of facts; none if the value is empty. */
static void text_row(FILE *f, const char *what, const char *value) {
    if (!*value) return;
    fprintf(f, "<tr><td>%s</td><td><code>", what);
    html_text(f, value);
    fputs("</code></td></tr>\n", f);
}

/* The same for a number; none for NAN. */
static void number_row(FILE *f, const char *what, double value) {
    if (isnan(value)) return;
    fprintf(f, "<tr><td>%s</td><td>%.0f</td></tr>\n", what, value);
}

/* A row for each member of an object of metrics.json. */
static void object_rows(FILE *f, const report *r, const char *object, const char *what) {
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(r->metrics, object), key, value) {
        fprintf(f, "<tr><td>%s", what);
        html_text(f, key);
        fputs("</td><td><code>", f);
        html_text(f, json_is_string(value) ? json_string_value(value) : "");
        fputs("</code></td></tr>\n", f);
    }
}

static void training_section(FILE *f, const report *r) {
    fputs("<h2>Training</h2>\n<p>The synthetic slices are from the model at step ", f);
    put_number(f, report_number(r, "training.checkpoint_step"), 0);
    fputs(" of ", f);
    put_number(f, report_number(r, "training.steps"), 0);
    fputs(", at a training loss of ", f);
    put_number(f, report_number(r, "training.train_loss"), 4);
    fputs(" and a validation loss of ", f);
    put_number(f, report_number(r, "training.validation_loss"), 4);
    fputs(".</p>\n", f);
    report_loss_chart(f, &r->history);
    fputs("<p class=\"note\">Training: means over neighbouring steps, with augmented slices. "
          "Validation: averaged weights on slices that are not trained on.</p>\n",
          f);
}

static void run_section(FILE *f, const report *r) {
    fputs("<h2>What was run</h2>\n<table class=\"facts\"><tbody>\n", f);
    text_row(f, "study", r->stage->study->name);
    text_row(f, "measured", report_text(r, "created"));
    number_row(f, "random seed", (double)r->stage->study->seed);
    number_row(f, "segmenter seeds per arm", report_number(r, "segmenter.seeds"));
    number_row(f, "MPI ranks (evaluation)", report_number(r, "ranks"));
    text_row(f, "engine", report_text(r, "engine"));
    number_row(f, "checkpoint sampled, step", (double)r->checkpoint_step);
    object_rows(f, r, "versions", "version: ");
    object_rows(f, r, "fingerprints", "fingerprint: ");
    fputs("</tbody></table>\n"
          "<p class=\"note\">A fingerprint is the SHA-256 of all that a stage's output follows "
          "from: study keys, seed and the stage before it.</p>\n",
          f);
}

static void repeat_section(FILE *f, const report *r) {
    double ranks = report_number(r, "ranks");
    char launch[64] = "";
    if (ranks > 1) snprintf(launch, sizeof launch, "mpirun -n %.0f ", ranks);
    fprintf(f,
            "<h2>How to repeat it</h2>\n"
            "<p>Save the study below as <code>study.yaml</code>, set <code>ingest.dicom</code> to "
            "the same examinations and run:</p>\n"
            "<pre>%sctaug run study.yaml\nctaug verify ",
            launch);
    html_text(f, r->stage->study->out);
    fputs("\nctaug export --store ", f);
    html_text(f, r->stage->study->out);
    fputs("/synthetic --format dicom --out DIR</pre>\n"
          "<p>Equal inputs and study give equal fingerprints. The same program on the same numbers "
          "of ranks and threads gives the same bytes; other numbers, processors or libraries "
          "change rounding, and with it the last digits of what is trained.</p>\n"
          "<details><summary>The whole study, defaults included</summary>\n<pre>",
          f);
    html_text(f, r->study_text);
    fputs("</pre></details>\n", f);
}

static void citation(FILE *f, const report *r) {
    fputs("<p class=\"cite\">Cite as: ctaug ", f);
    html_text(f, report_text(r, "versions.ctaug"));
    fputs(", report on study &ldquo;", f);
    html_text(f, r->stage->study->name);
    fputs("&rdquo;, ", f);
    html_text(f, report_text(r, "created"));
    fputs(", metrics fingerprint ", f);
    html_text(f, report_text(r, "fingerprints.metrics"));
    fputs(". Every number is in <code>metrics/metrics.json</code> of the run.</p>\n", f);
}

status report_page(FILE *f, const report *r) {
    status st = ST_OK;
    head(f, r);
    report_summary(f, r);
    report_warnings(f, r);
    data_section(f, r);
    fputs("<h2>What does it look like? Real and synthetic slices</h2>\n", f);
    TRY(report_slices(f, r));
    dice_section(f, r);
    fid_section(f, r);
    training_section(f, r);
    run_section(f, r);
    repeat_section(f, r);
    fputs("<h2>Methods, for a paper</h2>\n", f);
    report_methods(f, r);
    citation(f, r);
    fputs("</body>\n</html>\n", f);
done:
    return st;
}
