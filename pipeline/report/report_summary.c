/* The summary paragraph, the tiles with the main numbers, and the warnings. The text is chosen by
 * the numbers: a structure counts as better or worse only if every seed agrees. */
#include "pipeline/report/chapters.h"
#include "pipeline/report/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void data_sentence(FILE *f, const report *r) {
    fputs("<p class=\"lead\">From ", f);
    put_count(f, report_number(r, "data.patients"), "patient", "patients");
    fputs(" (", f);
    put_count(f, report_number(r, "data.slices"), "real CT slice", "real CT slices");
    fputs("), a diffusion model trained on ", f);
    put_count(f, report_split_number(r, SPLIT_TRAIN, "slices"), "slice", "slices");
    fputs(" generated ", f);
    put_count(f, report_number(r, "synthetic.slices"), "synthetic slice", "synthetic slices");
    fputs(". ", f);
}

static void dice_sentences(FILE *f, const report *r) {
    dice_summary d = report_dice_summary(r);
    if (d.structures == 0) {
        fputs("No Dice was measured in both arms. ", f);
        return;
    }
    fputs("On ", f);
    if (r->split.by_blocks)
        fputs("held-out slices of the same patient", f);
    else
        put_count(f, report_number(r, "split.test.patients"), "held-out patient",
                  "held-out patients");
    fputs(", segmenters trained on real and synthetic slices reached a mean Dice of <b>", f);
    put_number(f, d.mean[ARM_REAL_PLUS_SYNTHETIC], 3);
    fputs("</b>, those trained on real slices alone <b>", f);
    put_number(f, d.mean[ARM_REAL], 3);
    fputs("</b> (difference <b>", f);
    put_signed(f, d.mean[ARM_REAL_PLUS_SYNTHETIC] - d.mean[ARM_REAL], 3);
    fprintf(f, "</b>, mean over %d structure%s). ", d.structures, d.structures == 1 ? "" : "s");
    if (d.seeds > 1)
        fprintf(f,
                "With every one of %" PRId64 " seeds, synthetic slices raised Dice for %d of the "
                "structures and lowered it for %d. ",
                d.seeds, d.better, d.worse);
    else
        fputs("One segmenter was trained for each arm, so that an effect of this size cannot be "
              "distinguished from the variation between trainings. ",
              f);
}

static void fid_sentence(FILE *f, const report *r) {
    double value = report_number(r, "fid.value"), floor = report_number(r, "fid.floor");
    if (isnan(value)) {
        fputs("FID was not measured.</p>\n", f);
        return;
    }
    fputs("The Fr&eacute;chet distance (FID) of synthetic to held-out real slices is <b>", f);
    put_number(f, value, figure_distance_digits(value));
    fputs("</b>; real training slices, measured the same way, come to <b>", f);
    put_number(f, floor, figure_distance_digits(floor));
    fputs("</b>, the floor that perfect synthetic slices would be expected to reach", f);
    if (floor > 0) fprintf(f, " (ratio %.1f)", value / floor);
    fputs(".</p>\n", f);
}

static void tile(FILE *f, const char *class, const char *what, double value, int digits,
                 const char *about) {
    fprintf(f, "<div class=\"%s\"><b>", class);
    put_number(f, value, digits);
    fprintf(f, "</b><span>%s</span><small>%s</small></div>\n", what, about);
}

void report_summary(FILE *f, const report *r) {
    dice_summary d = report_dice_summary(r);
    const double fid = report_number(r, "fid.value"), floor = report_number(r, "fid.floor");
    data_sentence(f, r);
    dice_sentences(f, r);
    fid_sentence(f, r);
    fputs("<div class=\"tiles\">\n", f);
    tile(f, "real", "Dice, real only", d.mean[ARM_REAL], 3, "mean over structures");
    tile(f, "made", "Dice, real + synthetic", d.mean[ARM_REAL_PLUS_SYNTHETIC], 3,
         "mean over structures");
    tile(f, "made", "FID of synthetic slices", fid, figure_distance_digits(fid),
         "lower is closer to real");
    tile(f, "real", "FID floor", floor, figure_distance_digits(floor), "real against real");
    fputs("</div>\n", f);
}

/* Warnings that follow from the study, beside those in metrics.json. */
static void study_warnings(document *d, const report *r) {
    const study *s = r->stage->study;
    if (s->ingest.labels == LABELS_FROM_THRESHOLDS)
        document_text(
            d, BLOCK_TEXT,
            "The labels are HU thresholds, not structures drawn by a reader. Dice says how "
            "well thresholds are reproduced, which is no clinical task.");
    if (!chapters_present(r->metrics) && s->evaluate.seeds == 1)
        document_text(d, BLOCK_TEXT,
                      "One seed for each arm: the spread between trainings is unknown. "
                      "evaluate.seeds sets more.");
    if (r->checkpoint_step < r->source.steps)
        document_text(d, BLOCK_TEXT,
                      "The model was sampled at step %" PRId64 " of %" PRId64
                      ": its training was not finished.",
                      r->checkpoint_step, r->source.steps);
}

void report_warnings(document *d, const report *r) {
    const json_t *list = json_object_get(r->metrics, "warnings");
    if (r->split.by_blocks)
        document_text(
            d, BLOCK_TEXT,
            "No patient-level evidence: training and test slices are of one patient. Nothing "
            "here says how any of this does on another one.");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text) document_text(d, BLOCK_TEXT, "%s", text);
    }
    study_warnings(d, r);
    document_text(
        d, BLOCK_TEXT,
        "Synthetic CT is for training and testing of methods. It shows no patient and is not "
        "for diagnosis.");
}
