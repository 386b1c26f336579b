/* The scorecard of the synthetic data, and the cards of data set and model.
 *
 * The seven heads of the scorecard are those of Zamzmi et al., "Scorecard for synthetic medical
 * data evaluation", Communications Engineering 4, 130 (2025), in words of our own. Each is answered
 * by what was measured; what was not is said to be not measured.
 */
#include "pipeline/report/chapters.h"
#include "pipeline/report/report.h"

#include "model/net/unet.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static void row(document *d, const char *what, const char *question) {
    table_text(d, "%s", what);
    table_text(d, "%s", question);
}

/* The first entry of "distribution", else NULL. */
static const json_t *first_distribution(const report *r) {
    return json_array_get(json_object_get(r->metrics, "distribution"), 0);
}

static shown_number show_distance(double distance) {
    return show(distance, figure_distance_digits(distance));
}

static void congruence(document *d, const report *r) {
    const json_t *e = first_distribution(r);
    row(d, "Congruence", "Do synthetic slices look like real ones, taken as a whole?");
    if (!isnan(figure_number(e, "fid")))
        table_text(d, "FID %s (real slices: %s), KID %s (%s), features of the network %s",
                   show_distance(figure_number(e, "fid")).text,
                   show_distance(figure_number(e, "fid_floor")).text,
                   show(figure_number(e, "kid"), 4).text,
                   show(figure_number(e, "kid_floor"), 4).text, figure_text(e, "network"));
    else if (!isnan(report_number(r, "fid.value")))
        table_text(d, "FID %s (real slices: %s), features of our segmenter",
                   show_distance(report_number(r, "fid.value")).text,
                   show_distance(report_number(r, "fid.floor")).text);
    else
        table_text(d, "not measured");
}

static void coverage(document *d, const report *r) {
    const json_t *e = first_distribution(r);
    row(d, "Coverage", "Do they reach the variety of real patients?");
    if (isnan(figure_number(e, "recall")) && isnan(figure_number(e, "coverage")))
        table_text(d, "not measured");
    else
        table_text(d, "recall %s (real slices: %s), coverage %s (%s), MS-SSIM of pairs %s (%s)",
                   show(figure_number(e, "recall"), 2).text,
                   show(figure_number(e, "recall_floor"), 2).text,
                   show(figure_number(e, "coverage"), 2).text,
                   show(figure_number(e, "coverage_floor"), 2).text,
                   show(figure_number(e, "ms_ssim"), 2).text,
                   show(figure_number(e, "ms_ssim_floor"), 2).text);
}

static void constraint(document *d, const report *r) {
    const json_t *f = json_object_get(r->metrics, "fidelity");
    const json_t *list = json_object_get(f, "structures");
    double least = INFINITY;
    const char *name = "";
    row(d, "Constraint", "Do they keep to anatomy and to the CT values of tissues?");
    for (size_t i = 0; i < json_array_size(list); i++) {
        double ratio = figure_number(json_array_get(list, i), "ratio");
        if (!(ratio < least)) continue;
        least = ratio;
        name = figure_text(json_array_get(list, i), "structure");
    }
    if (!f)
        table_text(d, "not measured");
    else
        table_text(d,
                   "%s of %s dropped for disagreement with their labels; least ratio of Dice, "
                   "synthetic to real: %s (%s)",
                   show(figure_number(f, "dropped"), 0).text,
                   show_count(figure_number(f, "slices"), "slice", "slices").text,
                   show(least, 2).text, *name ? name : "no structure");
}

static void completeness(document *d, const report *r) {
    row(d, "Completeness", "Is everything there that a user needs?");
    table_text(d,
               "every slice has a label map of %d structures, geometry, contrast class and, where "
               "they are known, kernel class and part of the body; age, sex, scanner and "
               "diagnosis are not modelled",
               store_labels(r->real)->count - 1);
}

static void compliance(document *d, const report *r) {
    const json_t *g = json_object_get(r->metrics, "gate"), *passed = json_object_get(g, "passed");
    interval copies = {figure_number(g, "copy_rate"), figure_number(g, "copy_low"),
                       figure_number(g, "copy_high")};
    interval auc = {figure_number(g, "auc"), figure_number(g, "auc_low"),
                    figure_number(g, "auc_high")};
    row(d, "Compliance", "Are privacy, rules and formats respected?");
    if (!json_is_boolean(passed))
        table_text(d,
                   "privacy: not measured; formats: DICOM, NIfTI and HDF5; approval by an ethics "
                   "committee: only people can answer");
    else
        table_text(d,
                   "gate %s: copies %s, AUC of membership inference %s; formats: DICOM, NIfTI and "
                   "HDF5; approval by an ethics committee: only people can answer",
                   json_is_true(passed) ? "passed" : "not passed", show_interval(copies, 3).text,
                   show_interval(auc, 2).text);
}

static void comprehension(document *d, const report *r) {
    row(d, "Comprehension", "Can users tell how the data were made and what they are for?");
    table_text(d,
               "study, seed, versions and methods are in this report; metrics fingerprint %.12s; "
               "whether readers understand it was not measured",
               report_text(r, "fingerprints.metrics"));
}

static void consistency(document *d, const report *r) {
    const json_t *c = chapter_comparison(r->metrics, chapter_labelled(r->metrics));
    row(d, "Consistency", "Is the quality the same over repetitions and groups?");
    if (!isnan(figure_number(c, "difference")))
        table_text(d,
                   "gain in Dice over patients, sets and seeds: %s; by age, sex or scanner: not "
                   "measured",
                   show_difference(figure_interval(c, "difference"), 3).text);
    else if (report_dice_summary(r).seeds > 1)
        table_text(d,
                   "Dice raised with every one of %" PRId64 " seeds for %d and lowered for %d "
                   "structures; by age, sex or scanner: not measured",
                   report_dice_summary(r).seeds, report_dice_summary(r).better,
                   report_dice_summary(r).worse);
    else
        table_text(d, "not measured");
}

static void scorecard(document *d, const report *r) {
    document_text(d, BLOCK_CHAPTER, "Scorecard of the synthetic data");
    document_table(d, "Heads after Zamzmi et al. 2025", "Head|Question|Answer");
    congruence(d, r);
    coverage(d, r);
    constraint(d, r);
    completeness(d, r);
    compliance(d, r);
    comprehension(d, r);
    consistency(d, r);
}

static void data_card(document *d, const report *r) {
    const study *s = r->stage->study;
    document_text(d, BLOCK_CHAPTER, "Data-set card");
    document_table(d, "", "What|Answer");
    table_text(d, "Content");
    table_text(d,
               "%s with %s of synthetic CT, %" PRId64 " x %" PRId64
               " pixels, int16 HU, with label maps",
               show_count(report_number(r, "synthetic.volumes"), "volume", "volumes").text,
               show_count(report_number(r, "synthetic.slices"), "slice", "slices").text,
               s->data.size, s->data.size);
    table_text(d, "Made from");
    table_text(d, "%s of %s, on %s",
               show_count(report_number(r, "split.train.slices"), "real slice", "real slices").text,
               show_count(report_number(r, "split.train.patients"), "patient", "patients").text,
               s->generate.masks[0] ? "masks of its user"
                                    : "deformed label maps of training patients");
    row(d, "Meant for", "training and testing of methods of segmentation, beside real data");
    row(d, "Not meant for", "diagnosis, evidence about patients, validation in place of real data");
    row(d, "Patients",
        "no synthetic volume shows a patient by design; the gate says what was measured");
    row(d, "Known limits",
        "structures that the label maps lack are not controlled; slices are made one "
        "by one, so that structures may not continue between them");
    row(d, "Licence, contact, consent", "only people can answer this");
}

static void model_card(document *d, const report *r) {
    const study *s = r->stage->study;
    document_text(d, BLOCK_CHAPTER, "Model card");
    document_table(d, "", "What|Answer");
    table_text(d, "Model");
    table_text(
        d, "denoising diffusion model, U-Net %s, conditioned on label map, position and contrast",
        named_table_name(&unet_kinds, s->model.net));
    table_text(d, "Training of the model");
    if (s->distil.kind == DISTIL_OFF)
        table_text(d, "%" PRId64 " of %" PRId64 " steps of %" PRId64 " slices, seed %" PRId64,
                   r->checkpoint_step, s->train.steps, s->train.batch, s->seed);
    else
        table_text(d,
                   "%" PRId64 " steps, then %" PRId64 " of %" PRId64 " steps of %s, of %" PRId64
                   " slices, seed %" PRId64,
                   s->train.steps, r->checkpoint_step, s->distil.steps,
                   named_table_name(&distil_kinds, (int)s->distil.kind), s->train.batch, s->seed);
    table_text(d, "Sampling");
    table_text(d, "%s, %" PRId64 " steps, guidance %g",
               named_table_name(&sampler_kinds, s->generate.sampler), report_sampler_steps(r),
               report_guidance(r));
    table_text(d, "Input and output");
    table_text(d, "label map, slice position, contrast class%s%s; one CT slice in HU",
               s->model.numbers == SWITCH_ON ? ", numbers (spacing, noise, kernel, body, sizes)"
                                             : "",
               s->model.text == SWITCH_ON ? ", caption" : "");
    row(d, "Meant for", "making training data of the same kind as the archive it was trained on");
    row(d, "Not meant for", "other scanners, ages or diseases than those of the archive");
    row(d, "Measured", "the chapters of this report");
    row(d, "Risks", "copies of training slices; anatomy that does not exist; too little variety");
    row(d, "Responsible persons", "only people can answer this");
}

void report_cards(document *d, const report *r) {
    scorecard(d, r);
    data_card(d, r);
    model_card(d, r);
}
