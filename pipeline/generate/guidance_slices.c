/* Chooses and reads the validation slices. */
#include "pipeline/generate/guidance_slices.h"

#include "io/alloc.h"

#include <stdlib.h>
#include <string.h>

/* ST_INPUT unless there are validation patients, none of whom is a test patient. */
static status check_patients(const painter_inputs *in) {
    const split *sp = in->split;
    const store *real = in->stores.real;
    bool apart = sp->run_count[SPLIT_VALIDATION] > 0;
    for (int64_t a = 0; a < sp->run_count[SPLIT_VALIDATION]; a++)
        for (int64_t b = 0; b < sp->run_count[SPLIT_TEST]; b++)
            apart &= !split_same_patient(store_at(real, sp->runs[SPLIT_VALIDATION][a].volume)->id,
                                         store_at(real, sp->runs[SPLIT_TEST][b].volume)->id);
    if (apart) return ST_OK;
    return status_fail(ST_INPUT, "generate.guidance: auto needs validation patients who are not "
                                 "test patients; give a number, such as 2");
}

static status allocate(const painter_inputs *in, int64_t count, guidance_slices *s) {
    status st = ST_OK;
    const int64_t size = in->stage->study->data.size, pixels = size * size;
    TRY(array_alloc(&s->images, count * pixels, sizeof *s->images, "validation slices"));
    TRY(array_alloc(&s->labels, count * pixels, 1, "validation slices"));
    TRY(array_alloc(&s->conditions, count, sizeof *s->conditions, "validation slices"));
    TRY(array_alloc(&s->first, count + 1, sizeof *s->first, "units of slices"));
    TRY(array_alloc(&s->real, store_labels(in->stores.real)->count, sizeof *s->real, "structures"));
    s->count = count;
done:
    return st;
}

/* The slices, which are sorted by volume, as units. */
static void plan_units(const study *study, guidance_slices *s) {
    for (int64_t k = 0; k < s->count; k++) {
        const int64_t begun = s->units > 0 ? k - s->first[s->units - 1] : 0;
        if (s->units == 0 || begun == study->generate.batch ||
            s->conditions[k].volume != s->conditions[k - 1].volume)
            s->first[s->units++] = k;
    }
    s->first[s->units] = s->count;
    for (int64_t u = 0; u < s->units; u++)
        if (s->first[u + 1] - s->first[u] > s->largest) s->largest = s->first[u + 1] - s->first[u];
}

status guidance_slices_read(const painter_inputs *in, guidance_slices *out) {
    status st = ST_OK;
    const study *study = in->stage->study;
    const split *sp = in->split;
    const int64_t size = study->data.size, pixels = size * size;
    const double range = study->data.window[1] - study->data.window[0];
    bool structure = false;
    slices *all = NULL;
    slice_source from = {in->stores.real, sp->runs[SPLIT_VALIDATION],
                         sp->run_count[SPLIT_VALIDATION]};
    *out = (guidance_slices){0};
    TRY(check_patients(in));
    TRY(slices_open(study, &from, 1, &all));
    const int64_t n = slices_count(all), count = n < GUIDANCE_SLICES ? n : GUIDANCE_SLICES;
    TRY(allocate(in, count, out));
    for (int64_t k = 0; k < count; k++) {
        slice_sample *s = &out->conditions[k];
        s->image = out->images + k * pixels;
        s->labels = out->labels + k * pixels;
        TRY(slices_get(all, (2 * k + 1) * n / (2 * count), s));
        texture_add(out->real, s->image, s->labels, size, range, 1); /* its noise alone is used */
        for (int64_t i = 0; i < pixels; i++) structure |= s->labels[i] != 0;
    }
    if (!structure)
        TRY(status_fail(ST_INPUT, "generate.guidance: auto: the validation slices have no "
                                  "structure; give a number, such as 2"));
    plan_units(study, out);
done:
    slices_close(all);
    return st;
}

void guidance_slices_free(guidance_slices *s) {
    free(s->images);
    free(s->labels);
    free(s->conditions);
    free(s->real);
    free(s->first);
    *s = (guidance_slices){0};
}

json_t *guidance_slices_sources(const painter_inputs *in, const guidance_slices *s) {
    json_t *list = json_array();
    for (int64_t k = 0; k < s->count; k++) {
        if (k > 0 && s->conditions[k].volume == s->conditions[k - 1].volume) continue;
        json_array_append_new(list,
                              json_string(store_at(in->stores.real, s->conditions[k].volume)->id));
    }
    return list;
}
