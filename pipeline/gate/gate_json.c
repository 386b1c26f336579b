/* Writes findings as JSON, and as a sentence. */
#include "pipeline/gate/gate_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool gate_passed(const study *s, const gate_findings *f) {
    return f->copies.excess_low <= s->gate.margin;
}

/* Patients that trained the model without labels. They are not compared: the embedding needs true
 * labels of both sides. */
static int64_t not_compared(const study *s, const gate_sets *g) {
    return s->train.unlabelled > 0 ? g->split.patients[SPLIT_UNLABELLED] : 0;
}

/* The finding in a sentence without its full stop. */
static void sentence(const study *s, const gate_sets *g, const gate_findings *f, char *text,
                     size_t size) {
    const copying *c = &f->copies;
    if (g->reason[0])
        snprintf(text, size, "copies of training slices cannot be told apart here, because %s",
                 g->reason);
    else
        snprintf(
            text, size,
            "%.1f %% of %" PRId64 " synthetic slices are as near to a training slice as copies "
            "(%.1f %% expected; the difference is %.1f %% or more with 97.5 %% confidence, and "
            "gate.margin is %.1f %%)",
            100 * c->rate, c->n, 100 * c->expected, 100 * c->excess_low, 100 * s->gate.margin);
    const size_t used = strlen(text);
    if (not_compared(s, g) > 0)
        snprintf(text + used, size - used,
                 "; %" PRId64 " training patients without labels were not compared",
                 not_compared(s, g));
}

/* The closest pairs. New reference. */
static json_t *pairs_json(const gate_sets *g, const copying *c) {
    json_t *list = json_array();
    for (int64_t i = 0; i < c->pair_count; i++) {
        const copy_pair *p = &c->pairs[i];
        const split_run *made = &g->made_runs[p->made];
        json_array_append_new(
            list,
            json_pack("{s:s, s:I, s:s, s:I, s:o, s:o, s:b}", "synthetic",
                      store_at(g->synthetic, made->volume)->id, "slice", (json_int_t)made->first,
                      "training", store_at(g->real, p->training_volume)->id, "training_slice",
                      (json_int_t)p->training_slice, "distance", log_number(p->distance),
                      "distance_held_out", log_number(p->distance_held), "source", (int)p->source));
    }
    return list;
}

/* What was measured. New reference. */
static json_t *measured_json(const study *s, const gate_sets *g, const gate_findings *f) {
    const copying *c = &f->copies;
    const membership *m = &f->membership;
    return json_pack(
        "{s:b, s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:f, "
        "s:I, "
        "s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o}",
        "passed", (int)gate_passed(s, f), "copy_rate", log_number(c->rate), "copy_low",
        log_number(c->low), "copy_high", log_number(c->high), "n", (json_int_t)c->n, "volumes",
        (json_int_t)c->volumes, "clusters", (json_int_t)c->clusters, "expected",
        log_number(c->expected), "control_n", (json_int_t)c->control_n, "real_n",
        (json_int_t)c->real_n, "excess", log_number(c->excess), "excess_low",
        log_number(c->excess_low), "excess_high", log_number(c->excess_high), "bound",
        log_number(c->bound), "control_bound", log_number(c->control_bound), "real_bound",
        log_number(c->real_bound), "margin", s->gate.margin, "patients_drawn", (json_int_t)c->drawn,
        "auc", log_number(m->auc), "auc_low", log_number(m->low), "auc_high", log_number(m->high),
        "tpr_at_1_fpr", log_number(m->slice_tpr), "patient_tpr_at_1_fpr", log_number(m->tpr),
        "slice_auc", log_number(m->slice_auc), "training_patients", (json_int_t)g->members,
        "held_out_patients", (json_int_t)g->others, "training_loss", log_number(m->member_loss),
        "held_out_loss", log_number(m->other_loss), "pairs", pairs_json(g, c));
}

json_t *gate_json(const study *s, const gate_sets *g, const gate_findings *f) {
    char text[512];
    json_t *all = g->reason[0] ? json_pack("{s:n, s:s}", "passed", "reason", g->reason)
                               : measured_json(s, g, f);
    if (!all) return NULL;
    sentence(s, g, f, text, sizeof text);
    json_object_set_new(all, "release",
                        json_string(named_table_name(&release_kinds, (int)s->gate.release)));
    json_object_set_new(all, "not_compared", json_integer(not_compared(s, g)));
    json_object_set_new(all, "finding", json_string(text));
    json_object_set_new(all, "synthetic", json_string(store_manifest(g->synthetic)->seal));
    return all;
}
