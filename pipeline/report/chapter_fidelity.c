/* The chapter on fidelity: whether synthetic slices show what their labels say. */
#include "pipeline/report/chapters.h"

#include <math.h>

static void structure_row(document *d, const json_t *s) {
    table_text(d, "%s", figure_text(s, "structure"));
    table_number(d, figure_number(s, "synthetic"), 3);
    table_number(d, figure_number(s, "real"), 3);
    table_number(d, figure_number(s, "ratio"), 2);
    table_number(d, figure_number(s, "hu_median_synthetic"), 0);
    table_number(d, figure_number(s, "hu_median_real"), 0);
    table_number(d, figure_number(s, "hu_sd_real"), 1);
    table_number(d, figure_number(s, "medians_outside"), 0);
    table_number(d, figure_number(s, "noise_synthetic"), 1);
    table_number(d, figure_number(s, "noise_real"), 1);
}

void chapter_fidelity(document *d, const json_t *m) {
    const json_t *f = json_object_get(m, "fidelity"), *list = json_object_get(f, "structures");
    if (!f) return;
    document_text(d, BLOCK_CHAPTER, "Fidelity");
    document_text(
        d, BLOCK_TEXT,
        "A segmenter trained on real slices was applied to the synthetic ones. %s of %s "
        "were dropped because its Dice against the labels they were drawn on was below %s. "
        "Across the borders of structures CT values change by %s HU/mm in synthetic and by %s "
        "HU/mm in real slices.",
        show(figure_number(f, "dropped"), 0).text,
        show_count(figure_number(f, "slices"), "synthetic slice", "synthetic slices").text,
        show(figure_number(f, "bound"), 2).text,
        show(figure_number(f, "edge_hu_mm_synthetic"), 1).text,
        show(figure_number(f, "edge_hu_mm_real"), 1).text);
    if (json_array_size(list) == 0) return;
    document_table(d, "CT values and noise in HU; SD: of the medians of real patients",
                   "Structure|#Dice synthetic|#Dice real|#Ratio|#Median synthetic|#Median real|#SD|"
                   "#Volumes outside 6 SD|#Noise synthetic|#Noise real");
    for (size_t i = 0; i < json_array_size(list); i++) structure_row(d, json_array_get(list, i));
}
