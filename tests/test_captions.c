/* Captions: the grammar says every fact in every wording, each wording occurs and is determined by
 * seed and index; facts are measured from label maps, HU and geometry. */
#include "model/rng.h"
#include "model/text/grammar.h"
#include "pipeline/data/caption.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { DRAWS = 400 };

static caption_facts some_facts(void) {
    return (caption_facts){.body = "abdomen",
                           .contrast = CONTRAST_AGENT,
                           .noise = 12.4,
                           .spacing = 0.78,
                           .kernel = "sharp",
                           .structure = {{"liver", SIDE_UNKNOWN, 143.6, false},
                                         {"kidney", SIDE_LEFT, 55, false},
                                         {"lesion", SIDE_RIGHT, 8.2, true}},
                           .structures = 3};
}

/* Whether a caption has one of the texts, which end with NULL; the first that is there is marked.
 */
static bool has_one(const char *caption, const char *const *texts, unsigned *seen) {
    for (int i = 0; texts[i]; i++)
        if (strstr(caption, texts[i])) {
            *seen |= 1u << i;
            return true;
        }
    return false;
}

/* Every caption says each fact in one of its wordings, and among many captions all occur. */
static void every_fact_is_said_in_every_wording(void **state) {
    (void)state;
    static const char *const wordings[][7] = {
        {"axial CT slice", "CT slice", "transverse CT image"},
        {"contrast-enhanced ", "enhanced ", "with contrast agent", "with contrast medium"},
        {" of the abdomen"},
        {" showing ", " containing ", " with "},
        {"liver (144 mm)", "liver of 144 mm"},
        {"left kidney (55 mm)", "left kidney of 55 mm", "kidney on the left (55 mm)",
         "kidney on the left of 55 mm"},
        {"small right lesion (8 mm)", "small right lesion of 8 mm",
         "small lesion on the right (8 mm)", "small lesion on the right of 8 mm"},
        {"moderate noise (12 HU)", "noise moderate, 12 HU"},
        {"pixels of 0.8 mm", "0.8 mm pixels", "pixel spacing 0.8 mm"},
        {"sharp kernel", "sharp reconstruction kernel"},
        {", moderate noise", "; moderate noise", ", noise moderate", "; noise moderate"},
    };
    enum { N = sizeof wordings / sizeof *wordings };
    unsigned seen[N] = {0};
    const caption_facts f = some_facts();
    char text[CAPTION_SIZE];
    for (uint64_t i = 0; i < DRAWS; i++) {
        caption_write(&f, 5, i, 0, text);
        for (int k = 0; k < N; k++)
            if (!has_one(text, wordings[k], &seen[k])) fail_msg("%d is not in: %s", k, text);
    }
    for (int k = 0; k < N; k++) {
        int count = 0;
        while (wordings[k][count]) count++;
        assert_int_equal(seen[k], (1u << count) - 1);
    }
}

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

/* The same draw, the same text; over many draws many texts, of which those of one seed are not
 * those of another. */
static void a_wording_follows_from_its_stream(void **state) {
    (void)state;
    static char many[DRAWS][CAPTION_SIZE];
    const caption_facts f = some_facts();
    char again[CAPTION_SIZE];
    int same = 0, different = 1;
    for (uint64_t i = 0; i < DRAWS; i++) caption_write(&f, 5, i, 2, many[i]);
    for (uint64_t i = DRAWS; i-- > 0;) {
        caption_write(&f, 5, i, 2, again);
        assert_string_equal(again, many[i]);
        caption_write(&f, 6, i, 2, again);
        same += strcmp(again, many[i]) == 0;
    }
    qsort(many, DRAWS, CAPTION_SIZE, by_text);
    for (int i = 1; i < DRAWS; i++) different += strcmp(many[i - 1], many[i]) != 0;
    assert_true(different > DRAWS / 2);
    assert_true(same < DRAWS / 20);
}

/* The first wording found that has neither adjectives nor places is the plain one of the facts. */
static void what_is_unknown_is_not_said(void **state) {
    (void)state;
    caption_facts f = {.volume = true};
    char text[CAPTION_SIZE];
    for (uint64_t i = 0; i < DRAWS; i++) {
        caption_write(&f, 1, i, 0, text);
        assert_true(!strcmp(text, "CT volume") || !strcmp(text, "CT scan") ||
                    !strcmp(text, "CT series"));
    }
    f.contrast = CONTRAST_NATIVE;
    f.structures = 1;
    strcpy(f.structure[0].name, "spleen");
    for (uint64_t i = 0; i < DRAWS; i++) {
        caption_write(&f, 1, i, 0, text);
        assert_true(strstr(text, "native ") || strstr(text, "unenhanced ") ||
                    strstr(text, " without contrast "));
        assert_non_null(strstr(text, "spleen"));
        assert_null(strpbrk(text, "0123456789(,;"));
    }
}

/* A fact that is not known leaves the words for the others as they are. */
static void facts_do_not_change_other_words(void **state) {
    (void)state;
    caption_facts f = some_facts();
    char full[CAPTION_SIZE], less[CAPTION_SIZE];
    for (uint64_t i = 0; i < 50; i++) {
        f.noise = 0;
        f.spacing = 0;
        f.kernel[0] = 0;
        caption_write(&f, 3, i, 0, less);
        f.noise = 30;
        f.spacing = 1;
        strcpy(f.kernel, "soft");
        caption_write(&f, 3, i, 0, full);
        assert_int_equal(strncmp(full, less, strlen(less)), 0);
        assert_non_null(strstr(full, "high"));
    }
}

static void the_longest_caption_fits(void **state) {
    (void)state;
    caption_facts f = {.volume = true,
                       .contrast = CONTRAST_NATIVE,
                       .noise = 1e9,
                       .spacing = 1e9,
                       .structures = CAPTION_STRUCTURES};
    char text[CAPTION_SIZE];
    memset(f.body, 'b', CAPTION_NAME - 1);
    memset(f.kernel, 'k', CAPTION_NAME - 1);
    for (int i = 0; i < CAPTION_STRUCTURES; i++) {
        f.structure[i] = (caption_structure){.side = SIDE_BOTH, .size = 1e9, .lesion = true};
        memset(f.structure[i].name, 's', CAPTION_NAME - 1);
    }
    for (uint64_t i = 0; i < DRAWS; i++) {
        caption_write(&f, 1, i, 0, text);
        assert_true(strlen(text) < CAPTION_SIZE - 100);
        assert_non_null(strstr(text, "noise"));
        assert_non_null(strstr(text, "pixel"));
        assert_non_null(strstr(text, "kernel"));
    }
}

/* ---- measuring ---- */

enum { D = 6, H = 20, W = 30 };

typedef struct scene {
    geometry space;
    label_set labels;
    uint8_t map[D * H * W];
    int16_t hu[D * H * W];
} scene;

/* A body of 0 HU in air, columns 5..24 of 30, on a grid whose rows run to the patient's left. */
static void make_scene(scene *s) {
    static const char *const names[] = {"background", "liver",  "kidney",
                                        "lesion",     "Lung_R", "structure-2"};
    memset(s, 0, sizeof *s);
    s->space = (geometry){.shape = {D, H, W},
                          .spacing = {2, 1.5, 1.5},
                          .origin = {-20, 3, 7},
                          .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}};
    s->labels.count = 6;
    for (int k = 0; k < 6; k++) strcpy(s->labels.name[k], names[k]);
    for (int i = 0; i < D * H * W; i++) s->hu[i] = i % W >= 5 && i % W < 25 ? 0 : -1000;
}

/* Marks columns [from, to) of `rows` rows of every slice. */
static void mark(scene *s, int label, int from, int to, int row, int rows) {
    for (int z = 0; z < (int)s->space.shape[0]; z++)
        for (int y = row; y < row + rows; y++)
            for (int x = from; x < to; x++) s->map[(z * H + y) * W + x] = (uint8_t)label;
}

static caption_facts facts_of(const scene *s, bool with_hu) {
    caption_facts f;
    const caption_source from = {.space = &s->space,
                                 .labels = &s->labels,
                                 .map = s->map,
                                 .hu = with_hu ? s->hu : NULL,
                                 .contrast = CONTRAST_NATIVE,
                                 .traits = {KERNEL_SHARP, BODY_TRUNK}};
    assert_int_equal(caption_measure(&from, &f), ST_OK);
    return f;
}

static const caption_structure *find(const caption_facts *f, const char *name) {
    for (int i = 0; i < f->structures; i++)
        if (strcmp(f->structure[i].name, name) == 0) return &f->structure[i];
    return NULL;
}

static void sides_and_sizes_come_from_the_geometry(void **state) {
    (void)state;
    scene *s = malloc(sizeof *s);
    make_scene(s);
    mark(s, 1, 6, 16, 0, 8);
    mark(s, 2, 20, 24, 10, 3); /* 4 x 3 voxels a slice, x towards left */
    mark(s, 3, 6, 8, 12, 2);   /* two lesions on the right, the second larger */
    mark(s, 3, 6, 10, 16, 3);
    mark(s, 5, 10, 12, 12, 1);
    caption_facts f = facts_of(s, true);
    assert_true(f.volume);
    assert_string_equal(f.body, "trunk");
    assert_string_equal(f.kernel, "sharp");
    assert_float_equal(f.spacing, 1.5, 1e-12);
    assert_int_equal(f.structures, 3); /* structure-2 says nothing */
    assert_string_equal(f.structure[0].name, "lesion");
    assert_true(f.structure[0].lesion);
    assert_int_equal(f.structure[0].side, SIDE_RIGHT);
    assert_float_equal(f.structure[0].size, cbrt(6 / M_PI * D * 12 * 4.5), 1e-9);
    assert_string_equal(f.structure[1].name, "liver");
    assert_int_equal(f.structure[1].side, SIDE_UNKNOWN);
    assert_float_equal(f.structure[1].size, cbrt(6 / M_PI * D * 80 * 4.5), 1e-9);
    assert_string_equal(f.structure[2].name, "kidney");
    assert_int_equal(f.structure[2].side, SIDE_LEFT);
    /* One slice: a disc. */
    s->space.shape[0] = 1;
    f = facts_of(s, true);
    assert_false(f.volume);
    assert_float_equal(find(&f, "kidney")->size, 2 * sqrt(12 * 2.25 / M_PI), 1e-9);
    assert_int_equal(find(&f, "kidney")->side, SIDE_LEFT);
    /* Rows that run to the right. */
    s->space.direction[6] = -1;
    s->space.origin[0] = 60;
    f = facts_of(s, true);
    assert_int_equal(find(&f, "kidney")->side, SIDE_RIGHT);
    assert_int_equal(find(&f, "lesion")->side, SIDE_LEFT);
    free(s);
}

/* The body decides, not the grid; a name that has a side keeps it; both sides; the middle. */
static void a_side_is_of_the_body(void **state) {
    (void)state;
    scene *s = malloc(sizeof *s);
    make_scene(s);
    for (int i = 0; i < D * H * W; i++) s->hu[i] = i % W >= 15 ? 0 : -1000;
    mark(s, 2, 16, 20, 0, 4);
    mark(s, 4, 24, 29, 8, 4);
    caption_facts f = facts_of(s, true);
    assert_int_equal(find(&f, "kidney")->side, SIDE_RIGHT);
    assert_int_equal(find(&f, "lung")->side, SIDE_RIGHT); /* Lung_R */
    f = facts_of(s, false);
    assert_int_equal(find(&f, "kidney")->side, SIDE_LEFT);
    assert_true(f.noise == 0);
    mark(s, 2, 2, 5, 0, 4);
    f = facts_of(s, false);
    assert_int_equal(find(&f, "kidney")->side, SIDE_BOTH);
    assert_float_equal(find(&f, "kidney")->size, cbrt(6 / M_PI * D * 16 * 4.5), 1e-9);
    memset(s->map, 0, sizeof s->map);
    mark(s, 3, 14, 16, 0, 2); /* 0.75 mm from the middle */
    f = facts_of(s, false);
    assert_int_equal(find(&f, "lesion")->side, SIDE_UNKNOWN);
    free(s);
}

static void noise_is_its_standard_deviation(void **state) {
    (void)state;
    enum { SIDE = 128 };
    int16_t *hu = malloc(SIDE * SIDE * sizeof *hu);
    geometry space = {.shape = {1, SIDE, SIDE}, .spacing = {1, 0.7, 0.7}};
    const caption_source from = {.space = &space, .hu = hu};
    caption_facts f;
    rng_stream r = rng_open(2, RNG_NOISE, 0, 0);
    /* A ramp, air, and an edge between them leave the noise of 15 HU as it is. */
    for (int i = 0; i < SIDE * SIDE; i++)
        hu[i] = (int16_t)(i % SIDE < 20 ? -1000 : lround(i / SIDE * 0.5 + 15 * rng_normal(&r)));
    assert_int_equal(caption_measure(&from, &f), ST_OK);
    assert_true(fabs(f.noise - 15) < 0.4);
    assert_int_equal(f.structures, 0);
    for (int i = 0; i < SIDE * SIDE; i++) hu[i] = -1000;
    assert_int_equal(caption_measure(&from, &f), ST_OK);
    assert_true(f.noise == 0);
    free(hu);
}

static void names_become_words(void **state) {
    (void)state;
    static const struct {
        const char *label, *name;
        caption_side side;
        bool lesion;
    } known[] = {
        {"liver", "liver", SIDE_UNKNOWN, false},
        {"kidney_left", "kidney", SIDE_LEFT, false},
        {"Lung_R", "lung", SIDE_RIGHT, false},
        {"vertebrae_L1", "vertebrae l1", SIDE_UNKNOWN, false},
        {"left adrenal gland", "adrenal gland", SIDE_LEFT, false},
        {"Lung Nodule (right)", "lung nodule", SIDE_RIGHT, true},
        {"GTVp-2", "gtvp 2", SIDE_UNKNOWN, true},
        {"structure-17", "", SIDE_UNKNOWN, false},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        caption_structure s;
        caption_name(known[i].label, &s);
        assert_string_equal(s.name, known[i].name);
        assert_int_equal(s.side, known[i].side);
        assert_int_equal(s.lesion, known[i].lesion);
    }
}

/* More structures than a caption has: lesions stay, then the largest. */
static void the_most_important_are_named(void **state) {
    (void)state;
    scene *s = malloc(sizeof *s);
    make_scene(s);
    s->labels.count = 17;
    for (int k = 1; k < 17; k++) {
        snprintf(s->labels.name[k], LABEL_NAME, k == 1 ? "cyst" : "organ %c", 'a' + k);
        mark(s, k, 5, 6 + k, k, 1);
    }
    caption_facts f = facts_of(s, true);
    assert_int_equal(f.structures, CAPTION_STRUCTURES);
    assert_string_equal(f.structure[0].name, "cyst");
    assert_string_equal(f.structure[1].name, "organ q");
    assert_non_null(find(&f, "organ g"));
    assert_null(find(&f, "organ f"));
    free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fact_is_said_in_every_wording),
        cmocka_unit_test(a_wording_follows_from_its_stream),
        cmocka_unit_test(what_is_unknown_is_not_said),
        cmocka_unit_test(facts_do_not_change_other_words),
        cmocka_unit_test(the_longest_caption_fits),
        cmocka_unit_test(sides_and_sizes_come_from_the_geometry),
        cmocka_unit_test(a_side_is_of_the_body),
        cmocka_unit_test(noise_is_its_standard_deviation),
        cmocka_unit_test(names_become_words),
        cmocka_unit_test(the_most_important_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
