/* The results of a plain study in short: a sentence and the tables of Dice and FID. The page has
 * them at length (report_summary.c, report_results.c). */
#include "pipeline/report/report.h"

#include <inttypes.h>
#include <math.h>

static const int ARMS_SHOWN[] = {ARM_REAL, ARM_REAL_PLUS_SYNTHETIC};
enum { SHOWN = sizeof ARMS_SHOWN / sizeof *ARMS_SHOWN };

static void dice_table(document *d, const report *r) {
    dice_summary s = report_dice_summary(r);
    dice_row row;
    document_table(d, "Dice on held-out real slices; brackets: minimum and maximum over the seeds",
                   "Structure|#Patients|#Real only|#Real + synthetic|#Difference");
    for (void *at = NULL; report_dice_next(r, &at, &row);) {
        table_text(d, "%s", row.name);
        table_number(d, (double)row.patients, 0);
        for (int i = 0; i < SHOWN; i++) {
            const int arm = ARMS_SHOWN[i];
            table_interval(d, (interval){row.mean[arm], row.low[arm], row.high[arm]}, 3);
        }
        table_text(
            d, "%s",
            show_difference((interval){row.difference, row.difference_low, row.difference_high}, 3)
                .text);
    }
    table_text(d, "Mean of %d", s.structures);
    table_text(d, "%s", "");
    for (int i = 0; i < SHOWN; i++) table_number(d, s.mean[ARMS_SHOWN[i]], 3);
    table_text(d, "%s", show_signed(s.mean[ARM_REAL_PLUS_SYNTHETIC] - s.mean[ARM_REAL], 3).text);
}

static void fid_table(document *d, const report *r) {
    document_table(d,
                   "Fr\xC3\xA9"
                   "chet distance (FID) to held-out real slices, features of our own segmenter",
                   "Slices|#Number|#FID");
    table_text(d, "Synthetic");
    table_number(d, report_number(r, "fid.n_synthetic"), 0);
    table_number(d, report_number(r, "fid.value"), 4);
    table_text(d, "Real, training split (the floor)");
    table_number(d, report_number(r, "fid.n_floor"), 0);
    table_number(d, report_number(r, "fid.floor"), 4);
}

void report_plain(document *d, const report *r) {
    dice_summary s = report_dice_summary(r);
    double difference = s.mean[ARM_REAL_PLUS_SYNTHETIC] - s.mean[ARM_REAL];
    if (s.structures == 0)
        document_text(d, BLOCK_LEAD, "No Dice was measured in both arms.");
    else
        document_text(
            d, BLOCK_LEAD,
            "On %s, segmenters trained on real and synthetic slices reached a mean Dice of "
            "%s, those trained on real slices alone %s (difference %s). With every one of "
            "%" PRId64 " seeds, Dice rose for %d and fell for %d of %d structures.",
            r->split.by_blocks ? "held-out slices of the same patient"
                               : show_count(report_number(r, "split.test.patients"),
                                            "held-out patient", "held-out patients")
                                     .text,
            show(s.mean[ARM_REAL_PLUS_SYNTHETIC], 3).text, show(s.mean[ARM_REAL], 3).text,
            show_signed(difference, 3).text, s.seeds, s.better, s.worse, s.structures);
    dice_table(d, r);
    fid_table(d, r);
}
