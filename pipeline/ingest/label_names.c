/* The names travel between the ranks; a segmentation that cannot be read costs its series. */
#include "pipeline/ingest/label_names.h"

#include "io/decoder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

status label_add(label_set *set, const char *name, int *index) {
    *index = label_find(set, name);
    if (*index >= 0) return ST_OK;
    if (set->count >= LABELS_MAX)
        return status_fail(ST_INPUT,
                           "label '%s' is one structure too many: a store holds at most %d; leave "
                           "some segments out",
                           name, STRUCTURES_MAX);
    *index = set->count++;
    snprintf(set->name[*index], LABEL_NAME, "%s", name);
    return ST_OK;
}

label_set label_background(void) {
    label_set set = {.count = 1, .name = {"background"}};
    return set;
}

/* A text in the segmentations of a series. */
typedef struct used_text {
    int64_t series;
    char text[STRUCTURE_TEXT];
} used_text;

typedef struct used_texts {
    used_text *at;
    int64_t count;
} used_texts;

/* The texts of a series among those of all. */
typedef struct text_range {
    int64_t series, first, count;
} text_range;

/* Appends the texts of series i. Local. */
static status append_texts(used_texts *to, int64_t i, const structure_texts *own) {
    int64_t bytes = 0;
    void *grown = NULL;
    if (own->count == 0) return ST_OK;
    if (size_mul(to->count + own->count, (int64_t)sizeof *to->at, &bytes))
        grown = realloc(to->at, (size_t)bytes);
    if (!grown) return status_memory("names of structures", bytes);
    to->at = grown;
    for (int64_t k = 0; k < own->count; k++) {
        used_text *one = &to->at[to->count++];
        *one = (used_text){.series = i};
        memcpy(one->text, own->at[k], STRUCTURE_TEXT);
    }
    return ST_OK;
}

/* Adds the names in the segmentations of series i to `mine`; one that cannot be read is a fault,
 * and then none is added. Local. */
static status series_texts(const series_list *list, int64_t i, used_texts *mine,
                           fault_list *found) {
    status st = ST_OK;
    const series *one = &list->items[i];
    structure_texts own = {0};
    bool sound = true;
    for (int64_t j = 0; j < one->segmentation_count; j++) {
        const char *path = one->segmentations[j];
        st = decoder_label_texts(path, list->masks, &own);
        sound &= st == ST_OK;
        if (st == ST_INPUT)
            st = fault_add_message(found,
                                   &(fault){.scope = FAULT_SEG,
                                            .files = 1,
                                            .text = {[FAULT_PATH] = path,
                                                     [FAULT_UID] = one->series_uid,
                                                     [FAULT_ADVICE] = "correct the segmentation"}});
        TRY(st);
    }
    if (sound) TRY(append_texts(mine, i, &own));
done:
    structure_texts_free(&own);
    return st;
}

static int by_series(const void *left, const void *right) {
    const used_text *a = left, *b = right;
    if (a->series != b->series) return a->series < b->series ? -1 : 1;
    return strcmp(a->text, b->text);
}

/* Few names first: one segmentation of hundreds of structures costs none of the others. */
static int by_count(const void *left, const void *right) {
    const text_range *a = left, *b = right;
    if (a->count != b->count) return a->count < b->count ? -1 : 1;
    return (a->series > b->series) - (a->series < b->series);
}

/* Leaves the segmentations of a series out. Local. */
static status refuse_names(series_list *list, const text_range *of) {
    series *one = &list->items[of->series];
    char reason[160];
    snprintf(reason, sizeof reason,
             "its %" PRId64 " names of structures and those of the others are more than the %d "
             "that a store holds",
             of->count, STRUCTURES_MAX);
    one->faulty_labels = true;
    return fault_add(&list->faults,
                     &(fault){.scope = FAULT_SEG,
                              .files = one->segmentation_count,
                              .text = {[FAULT_PATH] = one->segmentations[0],
                                       [FAULT_UID] = one->series_uid,
                                       [FAULT_REASON] = reason,
                                       [FAULT_ADVICE] = "choose structures, or give several one "
                                                        "name, by ingest.structures"}});
}

/* Joins the texts of all series to *all; with `limited` no more than there can be names. Local,
 * with the same result on all ranks. */
static status join_texts(series_list *list, used_text *texts, int64_t n, bool limited,
                         structure_texts *all) {
    status st;
    int64_t count = 0, names = 0;
    text_range *ranges = NULL;
    TRY(array_alloc(&ranges, n, sizeof *ranges, "names of structures"));
    if (n > 1) qsort(texts, (size_t)n, sizeof *texts, by_series);
    for (int64_t k = 0; k < n; k++) {
        if (k == 0 || texts[k].series != texts[k - 1].series)
            ranges[count++] = (text_range){texts[k].series, k, 0};
        ranges[count - 1].count++;
    }
    if (count > 1) qsort(ranges, (size_t)count, sizeof *ranges, by_count);
    for (int64_t r = 0; r < count; r++) {
        const used_text *own = &texts[ranges[r].first];
        int64_t more = 0;
        for (int64_t k = 0; k < ranges[r].count; k++) more += structure_is_new(all, own[k].text);
        if (limited && names + more > STRUCTURES_MAX) {
            TRY(refuse_names(list, &ranges[r]));
            continue;
        }
        names += more;
        for (int64_t k = 0; k < ranges[r].count; k++) TRY(structure_texts_add(all, own[k].text));
    }
done:
    free(ranges);
    return st;
}

status names_of_segs(const comm *c, series_list *list, const char *const *rules, int64_t n,
                     structure_names *out) {
    structure_texts all = {0};
    used_texts mine = {0};
    fault_list found = {0};
    const int64_t size = (int64_t)sizeof *mine.at;
    void *gathered = NULL;
    int64_t bytes = 0;
    status st = ST_OK;
    for (int64_t i = comm_rank(c); i < list->count && st == ST_OK; i += comm_size(c))
        if (!series_is_unlabelled(&list->items[i])) st = series_texts(list, i, &mine, &found);
    TRY(comm_agree(c, st));
    TRY(series_share_faults(c, list, &found));
    TRY(comm_all_gather(c, mine.at, mine.count * size, &gathered, &bytes, NULL));
    st = join_texts(list, gathered, bytes / size, n == 0, &all);
    if (st == ST_OK) st = structure_names_make(&all, rules, n, out);
    TRY(comm_agree(c, st)); /* ranks may differ only in lack of memory */
done:
    faults_free(&found);
    structure_texts_free(&all);
    free(mine.at);
    free(gathered);
    return st;
}
