/* The chapter on captions: whether slices that are sampled from captions alone show what these ask
 * for. */
#include "pipeline/report/chapters.h"

#include <math.h>
#include <stdio.h>

static const char *const attributes[] = {"structures", "sides", "sizes", "phase", "noise"};
enum { ATTRIBUTES = sizeof attributes / sizeof *attributes, SCALES = 3 };

/* A row of the table: an attribute of real slices and of those of each guidance scale. The chance
 * is the largest of these scales. */
static void obedience_row(document *d, const json_t *entry, const char *attribute) {
    const json_t *text = json_object_get(entry, "text");
    double chance = (double)NAN;
    table_number(d, figure_number(entry, "labelled"), 0);
    table_number(d, figure_number(entry, "set"), 0);
    table_text(d, "%s", attribute);
    table_interval(
        d, figure_interval(json_object_get(json_object_get(entry, "real"), attribute), "value"), 2);
    for (size_t k = 0; k < SCALES; k++) {
        const json_t *of = json_object_get(json_array_get(text, k), attribute);
        table_interval(d, figure_interval(of, "value"), 2);
        chance = fmax(chance, figure_number(of, "chance"));
    }
    table_number(d, chance, 2);
}

/* What the segmenter cannot tell: "lesion (structures), lung (sides)". */
static void left_out_note(document *d, const json_t *list) {
    char text[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *of = json_object_get(json_array_get(list, i), "left_out");
        for (int a = 0; a < ATTRIBUTES; a++) {
            const json_t *names = json_object_get(of, attributes[a]);
            for (size_t k = 0; k < json_array_size(names) && used < sizeof text; k++)
                used +=
                    (size_t)snprintf(text + used, sizeof text - used, "%s%s (%s)", used ? ", " : "",
                                     json_string_value(json_array_get(names, k)), attributes[a]);
        }
    }
    if (used > 0)
        document_text(d, BLOCK_NOTE,
                      "Left out, because the segmenter does not tell it in real slices (accuracy "
                      "below 0.75): %s.",
                      text);
}

void chapter_obedience(document *d, const json_t *m) {
    const json_t *list = json_object_get(m, "obedience");
    if (json_array_size(list) == 0) return;
    document_text(d, BLOCK_CHAPTER, "Captions");
    document_text(
        d, BLOCK_TEXT,
        "%s of %s were described in captions, and slices were sampled from these captions "
        "alone, without label maps. A segmenter of real slices and the CT values say what "
        "they show. Structures: each one is there exactly if it is asked for. Sides (left, right "
        "or both) and sizes (within a quarter): of those that are there. Phase: native or contrast "
        "agent. Noise: low, moderate or high. Accuracy is balanced: what may be asked of a "
        "structure, each side, phase and level counts alike, however common it is; of sizes each "
        "structure counts alike. What is asked of one patient alone or in the same way throughout "
        "does not count. Chance is the accuracy for the captions of other patients.",
        show_count(figure_number(json_array_get(list, 0), "n_slices"), "slice", "slices").text,
        show_count(figure_number(json_array_get(list, 0), "n_patients"), "test patient",
                   "test patients")
            .text);
    document_table(d, "Accuracy of what is asked for, by guidance scale of the text",
                   "#Labelled|#Set|What|#Real slices|#Guidance 1|#Guidance 2|#Guidance 4|#Chance");
    for (size_t i = 0; i < json_array_size(list); i++)
        for (int a = 0; a < ATTRIBUTES; a++)
            obedience_row(d, json_array_get(list, i), attributes[a]);
    document_text(
        d, BLOCK_NOTE,
        "Real slices are segmented in the same way: what can be reached. Intervals: 95 %%, "
        "over patients. Chance: the largest of the three scales.");
    left_out_note(d, list);
}
