/* How the results were made: training, what was run, how to repeat it, how to cite it. */
#include "pipeline/report/report.h"

#include "io/html.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

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

void report_training(FILE *f, const report *r) {
    fputs("<h2>Training</h2>\n<p>The synthetic slices are from the model at step ", f);
    put_number(f, report_number(r, "training.checkpoint_step"), 0);
    fputs(" of ", f);
    put_number(f, report_number(r, "training.steps"), 0);
    if (r->stage->study->distil.kind != DISTIL_OFF) fputs(" of its distillation", f);
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

void report_run(FILE *f, const report *r) {
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

void report_repeat(FILE *f, const report *r) {
    double ranks = report_number(r, "ranks");
    char launch[64] = "";
    study shown = *r->stage->study;
    study_hide_paths(&shown);
    if (ranks > 1) snprintf(launch, sizeof launch, "mpirun -n %.0f ", ranks);
    fprintf(f,
            "<h2>How to repeat it</h2>\n"
            "<p>Save the study below as <code>study.yaml</code>, set <code>ingest.dicom</code> to "
            "the same examinations (folders of the run are not shown here) and run:</p>\n"
            "<pre>%sctaug run study.yaml\nctaug verify ",
            launch);
    html_text(f, shown.out);
    fputs("\nctaug export --store ", f);
    html_text(f, shown.out);
    fputs("/synthetic --format dicom --out DIR</pre>\n"
          "<p>Equal inputs and study give equal fingerprints. The same program on the same numbers "
          "of ranks and threads gives the same bytes; other numbers, processors or libraries "
          "change rounding, and with it the last digits of what is trained.</p>\n"
          "<details><summary>The whole study, defaults included</summary>\n<pre>",
          f);
    html_text(f, r->study_text);
    fputs("</pre></details>\n", f);
}

void report_citation(FILE *f, const report *r) {
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
