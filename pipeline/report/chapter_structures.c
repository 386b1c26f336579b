/* The chapter on structures: a forest plot of the differences at the smallest number of labelled
 * patients, and a table of all of them. Lesions are listed by size. */
#include "pipeline/report/chapters.h"
#include "pipeline/report/forest.h"

#include "io/alloc.h"

#include <math.h>

/* The differences with synthetic slices against real ones alone; `labelled` -1: all. */
static figure_key wanted(const json_t *m, int64_t labelled) {
    return (figure_key){.labelled = labelled,
                        .arm = ARM_WITH,
                        .against = ARM_WITHOUT,
                        .test = chapter_test(m),
                        .metric = "dice"};
}

static void forest(document *d, const json_t *m, int64_t labelled) {
    const json_t *list = json_object_get(m, "comparisons"), *c;
    figure_key key = wanted(m, labelled);
    forest_row *rows = NULL;
    int64_t n = 0;
    if (labelled < 0) return;
    if (array_alloc(&rows, (int64_t)json_array_size(list), sizeof *rows, "a chart") != ST_OK) {
        d->failed = true;
        return;
    }
    for (; (c = figure_find(list, &key, (int)n)); n++)
        rows[n] = (forest_row){.name = figure_text(c, "structure"),
                               .difference = figure_interval(c, "difference"),
                               .resolved = figure_resolved(c)};
    forest_chart(d, rows, n,
                 "Differences in Dice, real + synthetic against real, for each structure",
                 "difference in Dice, right of 0: better with synthetic slices");
    document_text(d, BLOCK_NOTE,
                  "%s. Bars: 95 %% intervals. Triangles: differences that are not resolved.",
                  show_count((double)labelled, "labelled patient", "labelled patients").text);
    free(rows);
}

void chapter_structures(document *d, const json_t *m) {
    const json_t *list = json_object_get(m, "comparisons"), *c;
    figure_key key = wanted(m, -1);
    if (!figure_find(list, &key, 0)) return;
    document_text(d, BLOCK_CHAPTER, "Structures");
    forest(d, m, chapter_labelled(m));
    document_table(d, "Dice, real + synthetic against real",
                   "Structure|#Labelled|#Patients|#Difference|#p (Holm)|Resolved");
    for (int i = 0; (c = figure_find(list, &key, i)); i++) {
        static const char *const words[] = {"loss", "no", "gain"};
        interval v = figure_interval(c, "difference");
        table_text(d, "%s", figure_text(c, "structure"));
        table_number(d, figure_number(c, "labelled"), 0);
        table_number(d, figure_number(c, "n_patients"), 0);
        table_value(d, v.value, "%s", show_difference(v, 3).text);
        table_value(d, figure_number(c, "p_holm"), "%s", show_p(figure_number(c, "p_holm")).text);
        table_text(d, "%s", words[1 + figure_resolved(c)]);
    }
}
