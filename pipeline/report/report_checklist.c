/* The checklist for papers on machine learning in medical imaging: the items of CLAIM in its update
 * of 2024 (Tejani et al., Radiology: Artificial Intelligence 6(4), e240300), named in words of our
 * own. The run answers what it knows; what only people can answer is marked. */
#include "pipeline/report/chapters.h"
#include "pipeline/report/report.h"

#include <inttypes.h>
#include <math.h>

#define PEOPLE "Only people can answer this."

/* What is known without looking at the run; NULL: filled in by item_answer(). */
static const struct {
    const char *subject, *answer;
} items[] = {
    {"Title names the technique", PEOPLE},
    {"Abstract: design, methods, results", PEOPLE},
    {"Background and intended use", PEOPLE},
    {"Aims and hypotheses", PEOPLE},
    {"Prospective or retrospective", PEOPLE},
    {"Goal of the study",
     "Whether synthetic slices raise the Dice of segmenters on unseen patients."},
    {"Sources of the data", PEOPLE},
    {"Who was included and excluded", PEOPLE},
    {"Preprocessing", "See Methods."},
    {"Parts of the data that were used", NULL},
    {"De-identification",
     "Stores hold pseudonyms only; whether the archive was de-identified, only "
     "people can answer."},
    {"Missing data", "A series that is incomplete ends the ingest; none was filled in."},
    {"Acquisition of the images", NULL},
    {"Reference standard: method", NULL},
    {"Reference standard: why this one", PEOPLE},
    {"Reference standard: who drew it", PEOPLE},
    {"Annotation of the test set", PEOPLE},
    {"Agreement between and within readers", PEOPLE},
    {"Assignment to training, validation, test", NULL},
    {"Level at which these are disjoint", NULL},
    {"Intended sample size", PEOPLE},
    {"Description of the model", "See Methods and the model card."},
    {"Software and libraries", "See What was run."},
    {"Starting values", "Random from the seed of the study; equal for the arms."},
    {"Training: augmentation, settings, numbers", "See Methods and the study."},
    {"Choice of the final model", NULL},
    {"Ensembles", "None; the diffusion model samples with averaged weights."},
    {"Measures of performance", NULL},
    {"Significance and uncertainty", NULL},
    {"Robustness", NULL},
    {"Explanation of decisions", "Not measured."},
    {"Internal test", NULL},
    {"External test", "Not measured."},
    {"Registration of a trial", PEOPLE},
    {"Numbers of patients, flow diagram", "See Data."},
    {"Demographic and clinical characteristics", PEOPLE},
    {"Performance against the reference standard", "See the chapters on Dice or on arms."},
    {"Estimates and their precision", NULL},
    {"Analysis of failures", NULL},
    {"Limitations", "See Read with care; further ones, only people can answer."},
    {"Consequences for practice", PEOPLE},
    {"Full protocol", NULL},
    {"Access to software, model and data",
     "ctaug is free software; access to data and model, only people "
     "can answer."},
    {"Funding", PEOPLE},
};
enum { ITEMS = sizeof items / sizeof *items };

static void partition_answer(document *d, const report *r) {
    table_text(
        d, "Random by the seed: %s, %s, %s.",
        show_count(report_split_number(r, SPLIT_TRAIN, "patients"), "patient for training",
                   "patients for training")
            .text,
        show_count(report_split_number(r, SPLIT_VALIDATION, "patients"), "for validation",
                   "for validation")
            .text,
        show_count(report_split_number(r, SPLIT_TEST, "patients"), "for testing", "for testing")
            .text);
}

/* The answers that follow from the run. `item` counts from 1. */
static void item_answer(document *d, const report *r, int item) {
    bool sets = chapters_present(r->metrics);
    switch (item) {
    case 10:
        table_text(d, "%s of %s in the archive.",
                   show_count(report_number(r, "data.slices"), "slice", "slices").text,
                   show_count(report_number(r, "data.volumes"), "volume", "volumes").text);
        break;
    case 13:
        table_text(d,
                   "Sizes and spacing: see Data. Scanners and protocols: only people can answer.");
        break;
    case 14:
        table_text(d, "%s.", report_label_source(r));
        break;
    case 19:
        partition_answer(d, r);
        break;
    case 20:
        table_text(d, "%s", r->split.by_blocks ? "Blocks of slices of one patient." : "Patients.");
        break;
    case 26:
        table_text(d, "The newest checkpoint, step %" PRId64 ".", r->checkpoint_step);
        break;
    case 28:
        table_text(d, "%s",
                   sets ? "Dice, surface Dice, HD95, volume error, FID and others."
                        : "Dice and FID.");
        break;
    case 29:
        table_text(d, "%s",
                   sets ? "Bootstrap over patients, Wilcoxon signed rank test, Holm's "
                          "correction; see Statistics."
                        : "The spread over seeds; no test was made.");
        break;
    case 30:
        table_text(d, "%s",
                   json_array_size(figure_at(r->metrics, "protocol.tests")) > 1
                       ? "Tests under changed conditions; see Arms."
                       : "Not measured.");
        break;
    case 32:
        table_text(d, "%s",
                   r->split.by_blocks ? "Other slices of the same patient."
                                      : "Patients of the same archive whom no network has seen.");
        break;
    case 38:
        table_text(d, "%s", sets ? "95 % intervals; see Arms." : "Minimum and maximum over seeds.");
        break;
    case 39:
        table_text(d, "%s",
                   sets ? "By structure and size of lesion; see Structures."
                        : "By structure; single failures were not looked at.");
        break;
    default: /* 42 */
        table_text(d, "The study, in How to repeat it%s.", sets ? ", and Protocol" : "");
    }
}

void report_checklist(document *d, const report *r) {
    document_text(d, BLOCK_CHAPTER, "Appendix: checklist for a paper");
    document_table(d, "Items of CLAIM 2024, in our words", "#Item|Subject|Answer");
    for (int i = 0; i < ITEMS; i++) {
        table_value(d, i + 1, "%d", i + 1);
        table_text(d, "%s", items[i].subject);
        if (items[i].answer)
            table_text(d, "%s", items[i].answer);
        else
            item_answer(d, r, i + 1);
    }
}
