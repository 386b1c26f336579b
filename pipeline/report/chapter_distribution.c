/* The chapter on distributions: distances between sets of synthetic and real slices, each beside
 * its floor, which is the same distance for real slices in place of the synthetic ones. */
#include "pipeline/report/chapters.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* "diffusion, set 1": the generator of an entry, and the draw of labelled patients. */
static void generator_cell(document *d, const json_t *e) {
    const double set = figure_number(e, "set");
    if (set >= 0)
        table_text(d, "%s, set %.0f", figure_text(e, "generator"), set);
    else
        table_text(d, "%s", figure_text(e, "generator"));
}

static void distance_cell(document *d, double distance) {
    table_number(d, distance, figure_distance_digits(distance));
}

static void distance_row(document *d, const json_t *e) {
    char network[96];
    interval kid = {figure_number(e, "kid"), figure_number(e, "kid_low"),
                    figure_number(e, "kid_high")};
    snprintf(network, sizeof network, "%.60s (%.8s)", figure_text(e, "network"),
             figure_text(e, "network_hash"));
    table_text(d, "%s", network);
    generator_cell(d, e);
    table_number(d, figure_number(e, "labelled"), 0);
    table_number(d, figure_number(e, "n_synthetic"), 0);
    table_number(d, figure_number(e, "n_real"), 0);
    distance_cell(d, figure_number(e, "fid"));
    distance_cell(d, figure_number(e, "fid_floor"));
    distance_cell(d, figure_number(e, "fid_infinity"));
    table_interval(d, kid, 4);
    table_number(d, figure_number(e, "kid_floor"), 4);
}

/* "0.71 (0.83)": a value and its floor. */
static void floored_cell(document *d, const json_t *e, const char *what) {
    char key[64];
    double value = figure_number(e, what);
    snprintf(key, sizeof key, "%s_floor", what);
    table_value(d, value, "%s (%s)", show(value, 2).text, show(figure_number(e, key), 2).text);
}

static void variety_row(document *d, const json_t *e) {
    table_text(d, "%s", figure_text(e, "network"));
    generator_cell(d, e);
    table_text(d, "%s", figure_text(e, "conditions"));
    table_number(d, figure_number(e, "labelled"), 0);
    table_number(d, figure_number(e, "n_equal"), 0);
    floored_cell(d, e, "precision");
    floored_cell(d, e, "recall");
    floored_cell(d, e, "density");
    floored_cell(d, e, "coverage");
    floored_cell(d, e, "ms_ssim");
}

/* FID against 1 / slices: by its bias, it falls with more slices (Chong and Forsyth 2020). */
static void curve_table(document *d, const json_t *list) {
    bool begun = false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *e = json_array_get(list, i), *curve = json_object_get(e, "fid_curve");
        for (size_t k = 0; k < json_array_size(curve); k++) {
            if (!begun)
                document_table(d, "FID by number of slices",
                               "Network|Generator|#Labelled|#Slices|#FID");
            begun = true;
            const json_t *point = json_array_get(curve, k);
            table_text(d, "%s", figure_text(e, "network"));
            generator_cell(d, e);
            table_number(d, figure_number(e, "labelled"), 0);
            table_number(d, figure_number(point, "0"), 0);
            distance_cell(d, figure_number(point, "1"));
        }
    }
}

void chapter_distribution(document *d, const json_t *m) {
    const json_t *list = json_object_get(m, "distribution");
    if (json_array_size(list) == 0) return;
    document_text(d, BLOCK_CHAPTER, "Distribution");
    document_text(
        d, BLOCK_TEXT,
        "Each distance compares features that a network computes of two sets of slices: synthetic "
        "ones, and real ones of the test patients. The floor is the distance of real slices of "
        "training patients to these: no generator can be expected to come below it. Values of "
        "different networks cannot be compared with each other, nor those of the domain network "
        "between labelled sets, each of which has its own; and only those of inception_v3 with "
        "published ones.");
    const double pixels = figure_number(m, "pixels");
    if (!isnan(pixels))
        document_text(
            d, BLOCK_TEXT,
            "All of it was measured on slices of %.0f x %.0f pixels; distances at another "
            "size are other numbers.",
            pixels, pixels);
    document_table(d, "Distances; lower is closer to real",
                   "Network|Generator|#Labelled|#Synthetic|#Real|#FID|#Floor|#FID, infinite|#KID|"
                   "#Floor");
    for (size_t i = 0; i < json_array_size(list); i++) distance_row(d, json_array_get(list, i));
    document_table(d, "Realism and variety; in brackets the same for real slices",
                   "Network|Generator|Drawn "
                   "on|#Labelled|#Slices|#Precision|#Recall|#Density|#Coverage|#MS-SSIM");
    for (size_t i = 0; i < json_array_size(list); i++) variety_row(d, json_array_get(list, i));
    document_text(
        d, BLOCK_NOTE,
        "Slices: of each set, for the measures of this table and KID. Drawn on: whose label maps "
        "the synthetic slices show; training maps favour a generator that repeats what it was "
        "trained on. Precision and density: how many synthetic slices lie among real ones. Recall "
        "and "
        "coverage: how much of the real variety the synthetic slices reach. MS-SSIM: mean "
        "similarity of pairs; a value above that of real slices means less variety.");
    curve_table(d, list);
}
