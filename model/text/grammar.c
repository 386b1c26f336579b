/* The rules of the grammar, one function each. All choices of a caption are drawn first, so that a
 * fact that is not known changes no other word. */
#include "model/text/grammar.h"

#include "model/rng.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

typedef enum clause { CLAUSE_NOISE, CLAUSE_PIXELS, CLAUSE_KERNEL, CLAUSES } clause;

/* The choices of a caption. */
typedef struct wording {
    int noun, phase, phase_place, agent, verb, side_place, size, separator, noise, pixels, kernel;
    int order[CAPTION_STRUCTURES]; /* of the structures */
    int clauses[CLAUSES];          /* their order */
} wording;

typedef struct writer {
    char *at; /* [CAPTION_SIZE] */
    int used;
} writer;

static void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends text. The longest caption fits: see CAPTION_STRUCTURES and CAPTION_NAME. */
static void put(writer *w, const char *format, ...) {
    va_list list;
    va_start(list, format);
    const int n = vsnprintf(w->at + w->used, (size_t)(CAPTION_SIZE - w->used), format, list);
    va_end(list);
    if (n > 0) w->used = w->used + n < CAPTION_SIZE ? w->used + n : CAPTION_SIZE - 1;
}

static int below(rng_stream *r, int n) { return (int)rng_below(r, (uint64_t)n); }

/* Writes a random order of 0..n-1 (Fisher & Yates). */
static void shuffle(rng_stream *r, int n, int *order) {
    for (int i = 0; i < n; i++) {
        const int k = below(r, i + 1);
        order[i] = order[k];
        order[k] = i;
    }
}

static wording draw(uint64_t seed, uint64_t index, uint32_t step, int structures) {
    rng_stream r = rng_open(seed, RNG_CAPTION, index, step);
    wording w = {.noun = below(&r, 3),
                 .phase = below(&r, 2),
                 .phase_place = below(&r, 2),
                 .agent = below(&r, 2),
                 .verb = below(&r, 3),
                 .side_place = below(&r, 2),
                 .size = below(&r, 2),
                 .separator = below(&r, 2),
                 .noise = below(&r, 2),
                 .pixels = below(&r, 3),
                 .kernel = below(&r, 2)};
    shuffle(&r, CLAUSES, w.clauses);
    shuffle(&r, structures, w.order);
    return w;
}

/* A positive number as a whole one of at least 1. */
static int64_t whole(double x) { return x < 1 ? 1 : (int64_t)llround(fmin(x, 1e6)); }

static void put_subject(writer *to, const caption_facts *f, const wording *w) {
    static const char *const nouns[2][3] = {{"axial CT slice", "CT slice", "transverse CT image"},
                                            {"CT volume", "CT scan", "CT series"}};
    static const char *const before[2][2] = {{"native", "unenhanced"},
                                             {"contrast-enhanced", "enhanced"}};
    const int agent = f->contrast == CONTRAST_AGENT;
    const bool known = f->contrast != CONTRAST_UNKNOWN;
    if (known && w->phase_place == 0) put(to, "%s ", before[agent][w->phase]);
    put(to, "%s", nouns[f->volume][w->noun]);
    if (f->body[0]) put(to, " of the %s", f->body);
    if (known && w->phase_place == 1)
        put(to, " %s contrast %s", agent ? "with" : "without", w->agent ? "medium" : "agent");
}

static void put_structure(writer *to, const caption_structure *s, const wording *w) {
    static const char *const sides[] = {"", "left ", "right ", "left and right "};
    static const char *const places[] = {"", " on the left", " on the right", " on both sides"};
    if (s->lesion && s->size > 0)
        put(to, "%s", whole(s->size) < 10 ? "small " : whole(s->size) < 20 ? "medium " : "large ");
    put(to, "%s%s%s", w->side_place == 0 ? sides[s->side] : "", s->name,
        w->side_place == 1 ? places[s->side] : "");
    if (s->size > 0 && w->size == 0) put(to, " (%" PRId64 " mm)", whole(s->size));
    if (s->size > 0 && w->size == 1) put(to, " of %" PRId64 " mm", whole(s->size));
}

static void put_findings(writer *to, const caption_facts *f, const wording *w) {
    static const char *const verbs[] = {"showing", "with", "containing"};
    for (int i = 0; i < f->structures; i++) {
        const char *joint = i + 1 < f->structures ? ", " : " and ";
        if (i == 0)
            put(to, " %s ", verbs[w->verb]);
        else
            put(to, "%s", joint);
        put_structure(to, &f->structure[w->order[i]], w);
    }
}

static void put_noise(writer *to, const caption_facts *f, const wording *w) {
    const int64_t hu = whole(f->noise);
    const char *level = hu < 10 ? "low" : hu < 20 ? "moderate" : "high";
    if (w->noise == 0)
        put(to, "%s noise (%" PRId64 " HU)", level, hu);
    else
        put(to, "noise %s, %" PRId64 " HU", level, hu);
}

static void put_pixels(writer *to, const caption_facts *f, const wording *w) {
    static const char *const before[] = {"pixels of ", "", "pixel spacing "};
    static const char *const after[] = {" mm", " mm pixels", " mm"};
    const int64_t tenths = whole(10 * f->spacing);
    put(to, "%s%" PRId64 ".%" PRId64 "%s", before[w->pixels], tenths / 10, tenths % 10,
        after[w->pixels]);
}

void caption_write(const caption_facts *f, uint64_t seed, uint64_t index, uint32_t step,
                   char out[CAPTION_SIZE]) {
    const wording w = draw(seed, index, step, f->structures);
    const bool known[CLAUSES] = {[CLAUSE_NOISE] = f->noise > 0,
                                 [CLAUSE_PIXELS] = f->spacing > 0,
                                 [CLAUSE_KERNEL] = f->kernel[0] != 0};
    writer to = {.at = out};
    put_subject(&to, f, &w);
    put_findings(&to, f, &w);
    for (int i = 0; i < CLAUSES; i++) {
        const int one = w.clauses[i];
        if (!known[one]) continue;
        put(&to, "%s ", w.separator ? ";" : ",");
        if (one == CLAUSE_NOISE) put_noise(&to, f, &w);
        if (one == CLAUSE_PIXELS) put_pixels(&to, f, &w);
        if (one == CLAUSE_KERNEL)
            put(&to, "%s %skernel", f->kernel, w.kernel ? "reconstruction " : "");
    }
}
