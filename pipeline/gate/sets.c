/* Numbers the patients of both sides and chooses slices. */
#include "pipeline/gate/sets.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { EXEMPLARS_MAX = 1024, SIDES = 2 };

/* The parts of the split on each side. */
static const split_part parts_of[SIDES][2] = {{SPLIT_TRAIN, SPLIT_TRAIN},
                                              {SPLIT_TEST, SPLIT_VALIDATION}};

/* Numbers the patients of one side from *next on. Several volumes may belong to one patient, and a
 * volume to two parts. */
static void number_side(gate_sets *g, int side, int64_t *next) {
    for (int part = 0; part < 2; part++) {
        const split_part p = parts_of[side][part];
        for (int64_t r = 0; r < g->split.run_count[p]; r++) {
            const int64_t volume = g->split.runs[p][r].volume;
            int64_t same = g->patient_of[volume];
            for (int64_t i = 0; i < store_count(g->real) && same < 0; i++)
                if (g->patient_of[i] >= 0 &&
                    split_same_patient(store_at(g->real, i)->id, store_at(g->real, volume)->id))
                    same = g->patient_of[i];
            g->patient_of[volume] = same >= 0 ? same : (*next)++;
        }
    }
}

static status number_patients(gate_sets *g) {
    status st = ST_OK;
    const int64_t volumes = store_count(g->real);
    int64_t next = 0;
    TRY(array_alloc(&g->patient_of, volumes, sizeof *g->patient_of, "patients"));
    for (int64_t i = 0; i < volumes; i++) g->patient_of[i] = -1;
    number_side(g, 0, &next);
    g->members = next;
    number_side(g, 1, &next);
    g->others = next - g->members;
done:
    return st;
}

/* The patients of the label maps of the synthetic volumes, from the provenance. */
static status find_sources(gate_sets *g) {
    status st = ST_OK;
    const int64_t made = store_count(g->synthetic), volumes = store_count(g->real);
    const json_t *list = json_object_get(
        json_object_get(store_manifest(g->synthetic)->detail, "provenance"), "volumes");
    TRY(array_alloc(&g->source_of, made, sizeof *g->source_of, "sources"));
    for (int64_t v = 0; v < made; v++) {
        const char *id =
            json_string_value(json_object_get(json_array_get(list, (size_t)v), "source"));
        g->source_of[v] = -1;
        for (int64_t i = 0; id && i < volumes; i++)
            if (strcmp(store_at(g->real, i)->id, id) == 0) g->source_of[v] = g->patient_of[i];
    }
done:
    return st;
}

/* The runs of the reference and of the others. */
static status list_runs(gate_sets *g) {
    status st = ST_OK;
    const int64_t volumes = store_count(g->real);
    TRY(array_alloc(&g->runs, volumes, sizeof *g->runs, "slice runs"));
    TRY(array_alloc(&g->other_runs, volumes, sizeof *g->other_runs, "slice runs"));
    for (int64_t i = 0; i < volumes; i++) {
        const split_run run = {i, 0, store_at(g->real, i)->space.shape[0]};
        if (g->patient_of[i] >= 0) g->runs[g->run_count++] = run;
        if (g->patient_of[i] >= g->members) g->other_runs[g->other_count++] = run;
    }
done:
    return st;
}

/* Slices, evenly spaced over the reference, whatever side they are on. Their augmentation is fixed:
 * a copy is one however the diffusion model was trained. */
static status open_exemplars(gate_sets *g) {
    status st = ST_OK;
    study *augmented = NULL;
    int64_t total = 0, seen = 0;
    for (int64_t r = 0; r < g->run_count; r++) total += g->runs[r].count;
    const int64_t n = total < EXEMPLARS_MAX ? total : EXEMPLARS_MAX;
    TRY(array_alloc(&g->exemplar_runs, n, sizeof *g->exemplar_runs, "slice runs"));
    for (int64_t r = 0; r < g->run_count; seen += g->runs[r++].count)
        for (int64_t z = 0; z < g->runs[r].count; z++)
            if (g->exemplars.count * total / n == seen + z)
                g->exemplar_runs[g->exemplars.count++] = (split_run){g->runs[r].volume, z, 1};
    const slice_source source = {g->real, g->exemplar_runs, g->exemplars.count};
    g->exemplars.runs = g->exemplar_runs;
    TRY(array_alloc(&augmented, 1, sizeof *augmented, "the study"));
    *augmented = *g->study;
    augmented->data.rotate = 6;
    augmented->data.zoom = 0.06;
    augmented->data.shift = 0.04;
    augmented->data.elastic = 0.03;
    TRY(slices_open(augmented, &source, 1, &g->exemplars.slices));
done:
    free(augmented);
    return st;
}

int64_t gate_sets_volume(const gate_sets *g, int64_t i, int64_t *volumes) {
    const int64_t made = store_count(g->synthetic), most = g->study->gate.slices;
    *volumes = made < most ? made : most;
    return i * made / *volumes;
}

int64_t gate_sets_slices(const gate_sets *g, int64_t depth) {
    int64_t volumes = 0;
    gate_sets_volume(g, 0, &volumes);
    const int64_t each = g->study->gate.slices / volumes;
    return depth < each ? depth : each;
}

/* The synthetic slices that are measured, one run each. */
static status open_made(gate_sets *g) {
    status st = ST_OK;
    int64_t volumes = 0, n = 0;
    TRY(array_alloc(&g->made_runs, g->study->gate.slices, sizeof *g->made_runs, "slice runs"));
    gate_sets_volume(g, 0, &volumes);
    for (int64_t i = 0; i < volumes; i++) {
        const int64_t v = gate_sets_volume(g, i, &volumes);
        const int64_t depth = store_at(g->synthetic, v)->space.shape[0];
        const int64_t count = gate_sets_slices(g, depth);
        for (int64_t k = 0; k < count; k++)
            g->made_runs[n++] = (split_run){v, (2 * k + 1) * depth / (2 * count), 1};
    }
    const slice_source source = {g->synthetic, g->made_runs, n};
    TRY(slices_open(g->study, &source, 1, &g->made));
done:
    return st;
}

/* What hinders the comparison. */
static void find_reason(gate_sets *g) {
    if (g->split.by_blocks)
        snprintf(g->reason, sizeof g->reason,
                 "the store has one patient: his slices are on both sides");
    else if (g->others < 2)
        snprintf(g->reason, sizeof g->reason,
                 "there is one held-out patient, and the comparison needs two: take more "
                 "examinations, or change data.split");
}

status gate_sets_open(const study *s, store *real, store *synthetic, gate_sets *out) {
    status st = ST_OK;
    gate_sets *g = out;
    *g = (gate_sets){.study = s, .real = real, .synthetic = synthetic};
    TRY(split_create(real, s, &g->split));
    TRY(number_patients(g));
    find_reason(g);
    if (g->reason[0]) goto done;
    TRY(find_sources(g));
    TRY(list_runs(g));
    TRY(open_exemplars(g));
    TRY(open_made(g));
    const slice_source source = {real, g->runs, g->run_count};
    TRY(slices_open(s, &source, 1, &g->reference));
done:
    return st;
}

void gate_sets_close(gate_sets *g) {
    slices_close(g->exemplars.slices);
    slices_close(g->reference);
    slices_close(g->made);
    split_free(&g->split);
    free(g->patient_of);
    free(g->source_of);
    free(g->runs);
    free(g->other_runs);
    free(g->exemplar_runs);
    free(g->made_runs);
    *g = (gate_sets){0};
}
