/* Counts the voxels of every label on each side of the body, and puts the structures in order. */
#include "pipeline/data/caption.h"

#include "model/components.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const int16_t BODY = -300, SOFT_LOW = -150, SOFT_HIGH = 200; /* HU */
static const double NEAR = 1; /* mm: nearer to the middle a voxel is on no side */
static const double SIDE_SHARE = 0.1;
enum { NOISE_MIN = 100, QUARTERS = 4 * 350 + 1 };

static const char lesions[] =
    " lesion lesions tumor tumors tumour tumours nodule nodules metastasis "
    "metastases mets mass masses cyst cysts gtv gtvs gtvp gtvn gtvt "
    "abscess haematoma hematoma ";
static const char paired[] =
    " adrenal adrenals breast breasts carotid clavicle clavicles clavicula eye eyes "
    "eyeball femora femur femurs fibula hip hips humeri humerus iliac ilium ischium kidney kidneys "
    "lung lungs mamma ovary ovaries parotid parotids psoas radius renal scapula scapulae shoulder "
    "subclavian submandibular suprarenal testicle testicles testis tibia ulna ureter ureters ";

static bool is_in(const char *list, const char *word) {
    char entry[CAPTION_NAME + 2];
    snprintf(entry, sizeof entry, " %s ", word);
    return strstr(list, entry) != NULL;
}

/* The side that a word names. */
static caption_side side_of(const char *word) {
    if (is_in(" left l lt ", word)) return SIDE_LEFT;
    if (is_in(" right r rt ", word)) return SIDE_RIGHT;
    return is_in(" both bilateral ", word) ? SIDE_BOTH : SIDE_UNKNOWN;
}

/* Copies the next word of *text in lower case and moves *text behind it; false at the end. */
static bool next_word(const char **text, char word[CAPTION_NAME]) {
    static const char gaps[] = " _-/.,()&+";
    int n = 0;
    *text += strspn(*text, gaps);
    for (; **text && !strchr(gaps, **text); (*text)++)
        if (n + 1 < CAPTION_NAME) word[n++] = (char)tolower((unsigned char)**text);
    word[n] = '\0';
    return n > 0;
}

/* Whether the words of a name are of a paired structure. */
static bool is_paired(const char *name) {
    char word[CAPTION_NAME];
    bool found = false;
    while (next_word(&name, word)) found |= is_in(paired, word);
    return found;
}

void caption_name(const char *label, caption_structure *out) {
    char word[CAPTION_NAME];
    size_t used = 0;
    *out = (caption_structure){0};
    while (next_word(&label, word)) {
        const caption_side side = side_of(word);
        if (used == 0 && strcmp(word, "structure") == 0) return; /* made up */
        if (side != SIDE_UNKNOWN)
            out->side = out->side == SIDE_UNKNOWN || out->side == side ? side : SIDE_BOTH;
        if (strcmp(word, "and") == 0) continue;
        if (side != SIDE_UNKNOWN || used + strlen(word) + 2 > CAPTION_NAME) continue;
        out->lesion |= is_in(lesions, word);
        used +=
            (size_t)snprintf(out->name + used, CAPTION_NAME - used, "%s%s", used ? " " : "", word);
    }
}

/* Voxels of a label: all, and those on the sides of the middle. */
typedef struct tally {
    int64_t all, left, right;
} tally;

/* x (LPS, mm) of voxel 0 of a row. */
static double row_x(const geometry *g, int64_t row) {
    const int64_t y = row % g->shape[1], z = row / g->shape[1];
    return g->origin[0] + (double)z * g->spacing[0] * g->direction[0] +
           (double)y * g->spacing[1] * g->direction[3];
}

/* mm along x from one voxel of a row to the next. */
static double step_x(const geometry *g) { return g->spacing[2] * g->direction[6]; }

/* x of the middle of the body. */
static double middle_of(const caption_source *s) {
    const geometry *g = s->space;
    double sum[2] = {0}, count[2] = {0}; /* of all voxels, of the body */
    for (int64_t row = 0; row < g->shape[0] * g->shape[1]; row++)
        for (int64_t i = 0; i < g->shape[2]; i++) {
            const double x = row_x(g, row) + (double)i * step_x(g);
            const bool body = s->hu && s->hu[row * g->shape[2] + i] >= BODY;
            sum[0] += x, count[0]++;
            if (body) sum[1] += x, count[1]++;
        }
    return count[1] > 0 ? sum[1] / count[1] : sum[0] / count[0];
}

static void count_sides(const caption_source *s, tally t[LABELS_MAX]) {
    const geometry *g = s->space;
    const double middle = middle_of(s);
    for (int64_t row = 0; row < g->shape[0] * g->shape[1]; row++)
        for (int64_t i = 0; i < g->shape[2]; i++) {
            const double x = row_x(g, row) + (double)i * step_x(g) - middle;
            tally *to = &t[s->map[row * g->shape[2] + i]];
            to->all++;
            to->left += x > NEAR;
            to->right += x < -NEAR;
        }
}

/* Unknown if the structure lies on the middle for the most part. */
static caption_side side_by(const tally *t) {
    const int64_t sides = t->left + t->right;
    if (2 * sides < t->all) return SIDE_UNKNOWN;
    const double share = (double)t->left / (double)sides;
    if (share >= SIDE_SHARE && share <= 1 - SIDE_SHARE) return SIDE_BOTH;
    return share > SIDE_SHARE ? SIDE_LEFT : SIDE_RIGHT;
}

/* The diameter of a disc or ball of so many voxels, mm. */
static double diameter(const geometry *g, int64_t voxels) {
    const double area = (double)voxels * g->spacing[1] * g->spacing[2];
    return g->shape[0] == 1 ? 2 * sqrt(area / M_PI) : cbrt(6 * area * g->spacing[0] / M_PI);
}

static status largest_piece(const caption_source *s, int label, int64_t *voxels) {
    status st;
    int64_t total = 0;
    int32_t *number = NULL;
    components pieces = {0};
    TRY(geometry_voxels(s->space, &total));
    TRY(array_alloc(&number, total, sizeof *number, "lesions"));
    TRY(components_find(s->map, s->space->shape, label, number, &pieces));
    *voxels = 0;
    for (int64_t c = 0; c < pieces.count; c++)
        if (pieces.size[c] > *voxels) *voxels = pieces.size[c];
done:
    components_free(&pieces);
    free(number);
    return st;
}

/* Completes a structure whose name is known. */
static status measure(const caption_source *s, int label, const tally *t, caption_structure *out) {
    status st = ST_OK;
    int64_t voxels = t->all;
    if (out->side == SIDE_UNKNOWN && (out->lesion || is_paired(out->name))) out->side = side_by(t);
    if (out->side == SIDE_BOTH) voxels = t->left > t->right ? t->left : t->right;
    if (out->lesion) TRY(largest_piece(s, label, &voxels));
    out->size = diameter(s->space, voxels);
done:
    return st;
}

/* A structure that may be named. */
typedef struct candidate {
    int label;
    bool lesion;
    int64_t voxels;
} candidate;

static int by_importance(const void *left, const void *right) {
    const candidate *a = left, *b = right;
    if (a->lesion != b->lesion) return b->lesion - a->lesion;
    if (a->voxels != b->voxels) return a->voxels < b->voxels ? 1 : -1;
    return a->label - b->label;
}

static status find_structures(const caption_source *s, caption_facts *out) {
    status st = ST_OK;
    tally t[LABELS_MAX] = {{0}};
    candidate found[LABELS_MAX] = {{0}};
    int count = 0;
    count_sides(s, t);
    for (int k = 1; k < s->labels->count; k++) {
        caption_structure named;
        caption_name(s->labels->name[k], &named);
        if (t[k].all > 0 && named.name[0]) found[count++] = (candidate){k, named.lesion, t[k].all};
    }
    qsort(found, (size_t)count, sizeof *found, by_importance);
    out->structures = count < CAPTION_STRUCTURES ? count : CAPTION_STRUCTURES;
    for (int i = 0; i < out->structures; i++) {
        const int k = found[i].label;
        caption_name(s->labels->name[k], &out->structure[i]);
        TRY(measure(s, k, &t[k], &out->structure[i]));
    }
done:
    return st;
}

static bool is_soft(int16_t hu) { return hu >= SOFT_LOW && hu <= SOFT_HIGH; }

/* Counts the differences between the voxels of a slice and their neighbours, in quarters of 1 HU.
 */
static void count_differences(const int16_t *hu, int64_t h, int64_t w, int64_t seen[QUARTERS]) {
    for (int64_t y = 1; y + 1 < h; y++)
        for (int64_t x = 1; x + 1 < w; x++) {
            const int16_t *p = hu + y * w + x;
            if (!is_soft(p[0]) || !is_soft(p[-1]) || !is_soft(p[1]) || !is_soft(p[-w]) ||
                !is_soft(p[w]))
                continue;
            seen[abs(4 * p[0] - p[-1] - p[1] - p[-w] - p[w])]++;
        }
}

/* For normal noise of standard deviation 1 the difference has sqrt(1.25), and the median of its
 * absolute value is 0.6745 times that. */
static double noise_of(const int16_t *hu, const int64_t shape[3]) {
    int64_t seen[QUARTERS] = {0}, count = 0, below = 0;
    int median = 0;
    for (int64_t z = 0; z < shape[0]; z++)
        count_differences(hu + z * shape[1] * shape[2], shape[1], shape[2], seen);
    for (int k = 0; k < QUARTERS; k++) count += seen[k];
    if (count < NOISE_MIN) return 0;
    while (2 * (below + seen[median]) < count) below += seen[median++];
    return median / 4.0 / (0.6745 * sqrt(1.25));
}

status caption_measure(const caption_source *s, caption_facts *out) {
    status st;
    int64_t voxels = 0;
    const geometry *g = s->space;
    *out = (caption_facts){.volume = g->shape[0] > 1, .contrast = s->contrast};
    TRY(geometry_voxels(g, &voxels));
    out->spacing = sqrt(g->spacing[1] * g->spacing[2]);
    snprintf(out->body, sizeof out->body, "%s", body_part_word(s->traits.body));
    snprintf(out->kernel, sizeof out->kernel, "%s", kernel_class_word(s->traits.kernel));
    if (s->hu) out->noise = noise_of(s->hu, g->shape);
    if (s->map) TRY(find_structures(s, out));
done:
    return st;
}
