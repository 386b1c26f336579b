/* Persons as the components of a graph: IDs and studies are its nodes, and each file joins its ID
 * and its study. */
#include "io/patients.h"

#include "io/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_PERSON "id " /* what a person with an ID begins with */

/* An ID or a study: the first header in the order of the list that has it, and the node that it is
 * joined to (itself: the representative of its component). */
typedef struct node {
    const char *text;
    bool is_study;
    int64_t header, parent;
} node;

/* A header with an identity; id: -1 if it has no ID. */
typedef struct link {
    int64_t header, id, study;
    uint64_t form; /* patient_id_form */
} link;

typedef struct graph {
    const dicom_header *headers;
    node *nodes;
    link *links;
    int64_t node_count, link_count;
    patient_merge *merges;
    int64_t merge_count, merge_room;
} graph;

/* IDs before studies, so that the representative of a component, its first node, is an ID. */
static int by_text(const void *left, const void *right) {
    const node *a = left, *b = right;
    if (a->is_study != b->is_study) return a->is_study - b->is_study;
    const int order = strcmp(a->text, b->text);
    return order ? order : (a->header > b->header) - (a->header < b->header);
}

/* A file without Study Instance UID is a study of its series alone. */
static const char *study_of(const dicom_header *h) {
    return h->study_uid[0] ? h->study_uid : h->series_uid;
}

static int64_t find_node(const graph *g, const char *text, bool is_study) {
    int64_t low = 0, high = g->node_count - 1;
    const node wanted = {.text = text, .is_study = is_study, .header = -1};
    while (low < high) { /* the first node that is not before the wanted one */
        const int64_t middle = low + (high - low) / 2;
        if (by_text(&g->nodes[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int64_t root_of(graph *g, int64_t at) {
    while (g->nodes[at].parent != at) {
        g->nodes[at].parent = g->nodes[g->nodes[at].parent].parent;
        at = g->nodes[at].parent;
    }
    return at;
}

/* The lower index stays the representative. */
static void join(graph *g, int64_t a, int64_t b) {
    a = root_of(g, a);
    b = root_of(g, b);
    g->nodes[a > b ? a : b].parent = a > b ? b : a;
}

static status add_merge(graph *g, patient_merge_reason reason, int64_t first, int64_t second) {
    if (g->merge_count == g->merge_room) {
        int64_t room = g->merge_room ? 2 * g->merge_room : 16, bytes = 0;
        void *grown = NULL;
        if (size_mul(room, (int64_t)sizeof *g->merges, &bytes))
            grown = realloc(g->merges, (size_t)bytes);
        if (!grown) return status_memory("the list of merged patients", bytes);
        g->merges = grown;
        g->merge_room = room;
    }
    patient_merge *merge = &g->merges[g->merge_count++];
    merge->reason = reason;
    memcpy(merge->first, g->headers[first].path, PATH_SIZE);
    memcpy(merge->second, g->headers[second].path, PATH_SIZE);
    return ST_OK;
}

/* Nodes of all IDs and studies, sorted and unique, and the links between them. */
static status build(graph *g, int64_t n) {
    status st;
    int64_t kept = 0;
    TRY(array_alloc(&g->nodes, 2 * n, sizeof *g->nodes, "the list of patients"));
    TRY(array_alloc(&g->links, n, sizeof *g->links, "the list of patients"));
    for (int64_t i = 0; i < n; i++) {
        const dicom_header *h = &g->headers[i];
        if (h->kind == DICOM_OTHER || h->kind == DICOM_NIFTI) continue;
        g->nodes[g->node_count++] = (node){study_of(h), true, i, 0};
        if (h->patient_id[0]) g->nodes[g->node_count++] = (node){h->patient_id, false, i, 0};
    }
    qsort(g->nodes, (size_t)g->node_count, sizeof *g->nodes, by_text);
    for (int64_t k = 0; k < g->node_count; k++) {
        const node *last = kept ? &g->nodes[kept - 1] : NULL;
        if (last && last->is_study == g->nodes[k].is_study &&
            strcmp(last->text, g->nodes[k].text) == 0)
            continue;
        g->nodes[kept] = g->nodes[k];
        g->nodes[kept].parent = kept;
        kept++;
    }
    g->node_count = kept;
    for (int64_t i = 0; i < n; i++) {
        const dicom_header *h = &g->headers[i];
        if (h->kind == DICOM_OTHER || h->kind == DICOM_NIFTI) continue;
        g->links[g->link_count++] =
            (link){i, h->patient_id[0] ? find_node(g, h->patient_id, false) : -1,
                   find_node(g, study_of(h), true), h->patient_id_form};
    }
done:
    return st;
}

static int by_spelling(const void *left, const void *right) {
    const link *a = left, *b = right;
    if (a->id != b->id) return a->id < b->id ? -1 : 1;
    if (a->form != b->form) return a->form < b->form ? -1 : 1;
    return (a->header > b->header) - (a->header < b->header);
}

static int by_study(const void *left, const void *right) {
    const link *a = left, *b = right;
    if (a->study != b->study) return a->study < b->study ? -1 : 1;
    if (a->id != b->id) return a->id < b->id ? -1 : 1;
    return (a->header > b->header) - (a->header < b->header);
}

/* An ID is one node however it is written: nothing is left to join. */
static status list_spellings(graph *g) {
    qsort(g->links, (size_t)g->link_count, sizeof *g->links, by_spelling);
    for (int64_t k = 1; k < g->link_count; k++) {
        const link *a = &g->links[k - 1], *b = &g->links[k];
        if (a->id != b->id || a->id < 0 || a->form == b->form) continue;
        status st = add_merge(g, MERGE_SPELLING, a->header, b->header);
        if (st != ST_OK) return st;
    }
    return ST_OK;
}

/* Joins what is of one study: neighbours in this order have the same ID or are a merge. */
static status join_studies(graph *g) {
    qsort(g->links, (size_t)g->link_count, sizeof *g->links, by_study);
    for (int64_t k = 0; k < g->link_count; k++) {
        const link *a = k ? &g->links[k - 1] : NULL, *b = &g->links[k];
        if (b->id >= 0) join(g, b->id, b->study);
        if (!a || a->study != b->study || a->id == b->id) continue;
        status st = add_merge(g, a->id < 0 ? MERGE_NO_ID : MERGE_IDS, a->header, b->header);
        if (st != ST_OK) return st;
    }
    return ST_OK;
}

status patients_find(dicom_header *headers, int64_t n, patient_merge **merges, int64_t *count) {
    graph g = {.headers = headers};
    status st = build(&g, n);
    *merges = NULL;
    *count = 0;
    TRY(st);
    TRY(list_spellings(&g));
    TRY(join_studies(&g));
    for (int64_t k = 0; k < g.link_count; k++) {
        const node *root = &g.nodes[root_of(&g, g.links[k].study)];
        dicom_header *h = &headers[g.links[k].header];
        snprintf(h->person, sizeof h->person, "%s%s", root->is_study ? "study " : ID_PERSON,
                 root->text);
    }
    *merges = g.merges;
    *count = g.merge_count;
    g.merges = NULL;
done:
    free(g.merges);
    free(g.nodes);
    free(g.links);
    return st;
}

const char *patient_merge_text(patient_merge_reason reason) {
    static const char *const texts[] = {[MERGE_SPELLING] = "one patient ID, written in two ways",
                                        [MERGE_IDS] = "two patient IDs in one study",
                                        [MERGE_NO_ID] =
                                            "no patient ID, in a study that has one elsewhere"};
    return texts[reason];
}

const char *patient_identity(const dicom_header *h) {
    const size_t length = strlen(ID_PERSON);
    if (h->patient_id[0]) return h->patient_id;
    return strncmp(h->person, ID_PERSON, length) == 0 ? h->person + length : h->person;
}
