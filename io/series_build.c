/* The parting of a series, from the outside in: patients, planes (slices that are alike), copies,
 * passes, gaps. What is built is taken back when a later finding spoils it: the list and its faults
 * are cut to what they were.
 *
 * The majority is right: a slice or picture that differs from the others is the odd one, and is the
 * one that is named.
 */
#include "io/series_build.h"

#include "io/series_parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct builder {
    const series_policy *policy;
    series_list *out;
    int64_t parts; /* volumes of this patient in this series so far */
} builder;

/* Where the list stood. */
typedef struct mark {
    int64_t items, faults, single, parts;
} mark;

static mark mark_of(const builder *b) {
    return (mark){b->out->count, b->out->faults.count, b->out->single_count, b->parts};
}

static void take_back(builder *b, mark to) {
    while (b->out->count > to.items) build_free(&b->out->items[--b->out->count]);
    faults_cut(&b->out->faults, to.faults);
    b->out->single_count = to.single;
    b->parts = to.parts;
}

/* Whether a series was left out since. */
static bool has_failed(const builder *b, mark since) {
    for (int64_t i = since.faults; i < b->out->faults.count; i++)
        if (b->out->faults.items[i].scope == FAULT_SERIES) return true;
    return false;
}

void build_free(series *s) {
    free(s->slices);
    free(s->segmentations);
    s->slices = NULL;
    s->segmentations = NULL;
}

/* A record of `files` files, of which `odd` is the one to look at. */
static status add_record(builder *b, fault_scope scope, const placed *odd, int64_t files,
                         const char *tag, const char *reason, const char *advice) {
    return fault_add(&b->out->faults, &(fault){.scope = scope,
                                               .ordinary = scope == FAULT_NOTE,
                                               .files = files,
                                               .text = {[FAULT_PATH] = odd->header->path,
                                                        [FAULT_UID] = odd->header->series_uid,
                                                        [FAULT_TAG] = tag,
                                                        [FAULT_REASON] = reason,
                                                        [FAULT_ADVICE] = advice}});
}

/* ---- one volume ---- */

/* The pseudonym of volume `part` of a series. */
static status make_pseudonym(const builder *b, const dicom_header *first, char out[VOLUME_ID]) {
    char uid[DICOM_UID + 32];
    snprintf(uid, sizeof uid, "%s", first->series_uid);
    if (b->parts > 0)
        snprintf(uid, sizeof uid, "%s volume %" PRId64, first->series_uid, b->parts + 1);
    return pseudonym_make(b->policy->key, first->person, uid, out);
}

/* What n compressed slices may decode to: 200 times their bytes, and always 1 GiB. The pixels of
 * uncompressed slices are all there. ST_INPUT if they claim more. */
static status check_payload(const placed *slices, int64_t n, const geometry *space) {
    enum { RATIO_MAX = 200, FREE = 1 << 30, VOXEL = sizeof(int16_t) + sizeof(uint8_t) };
    int64_t payload = 0, allowed = 0, voxels = 0;
    bool compressed = false;
    for (int64_t i = 0; i < n; i++) {
        compressed |= slices[i].header->compressed;
        if (!size_add(payload, slices[i].header->file_bytes, &payload)) payload = INT64_MAX;
    }
    status st = geometry_voxels(space, &voxels); /* at most 2^40 */
    if (st != ST_OK) return st;
    if (!size_mul(payload, RATIO_MAX, &allowed)) allowed = INT64_MAX;
    if (allowed < FREE) allowed = FREE;
    if (!compressed || voxels * VOXEL <= allowed) return ST_OK;
    return status_fail(ST_INPUT,
                       "the series claims %" PRId64 " x %" PRId64 " x %" PRId64 " voxels, %" PRId64
                       " bytes, but its compressed files have only %" PRId64 " bytes: refused",
                       space->shape[0], space->shape[1], space->shape[2], voxels * VOXEL, payload);
}

/* Widens a grid so that slices that are shifted by up to `shear` mm fit in. */
static void widen(geometry *space, const double shear[2]) {
    for (int axis = 0; axis < 2; axis++) {
        const int k = 2 - axis; /* along rows: x */
        const double *along = space->direction + 3 * k, pixel = space->spacing[k];
        const double more = ceil(fabs(shear[axis]) / pixel);
        space->shape[k] += (int64_t)more;
        for (int i = 0; shear[axis] < 0 && i < 3; i++) space->origin[i] -= more * pixel * along[i];
    }
}

/* Appends the volume of n slices that lie evenly. */
static status add_volume(builder *b, const placed *slices, int64_t n, const stack_form *form) {
    status st;
    series *s = &b->out->items[b->out->count];
    geometry source = stack_geometry(slices, n, form->spacing);
    const turn lie = turn_to_lps(&source);
    char text[200];
    if (lie.from[0] != 0 && !b->policy->any_orientation)
        return add_record(b, FAULT_SERIES, &slices[0], n, "ImageOrientationPatient (0020,0037)",
                          lie.from[1] == 0 ? "a coronal stack" : "a sagittal stack",
                          "nothing, or ingest.orientation: any, which turns it");
    if (!form->upright) widen(&source, form->drift);
    st = check_payload(slices, n, &source);
    if (st == ST_INPUT)
        return fault_add_message(&b->out->faults,
                                 &(fault){.scope = FAULT_SERIES,
                                          .files = n,
                                          .text = {[FAULT_PATH] = slices[0].header->path,
                                                   [FAULT_UID] = slices[0].header->series_uid,
                                                   [FAULT_ADVICE] = "decompress the series"}});
    TRY(st);
    *s = (series){.source = source, .lie = lie, .space = turn_geometry(&lie, &source)};
    memcpy(s->series_uid, slices[0].header->series_uid, sizeof s->series_uid);
    for (int axis = 0; axis < 2 && !form->upright; axis++) s->shear[axis] = form->drift[axis];
    for (int64_t i = 0; i < n; i++) s->contrast |= slices[i].header->contrast;
    s->traits = slices[0].header->traits;
    for (int64_t i = 1; i < n; i++) {
        const scan_traits *other = &slices[i].header->traits;
        if (other->kernel != s->traits.kernel) s->traits.kernel = KERNEL_UNKNOWN;
        if (other->body != s->traits.body) s->traits.body = BODY_UNKNOWN;
    }
    TRY(make_pseudonym(b, slices[0].header, s->pseudonym));
    TRY(array_alloc(&s->slices, n, sizeof *s->slices, "the slices of a series"));
    for (int64_t i = 0; i < n; i++) s->slices[i] = *slices[i].header;
    b->out->count++;
    b->parts++;
    snprintf(text, sizeof text,
             "a tilted gantry: resampled to a straight grid, the last slice by %g and %g mm along "
             "rows and columns",
             form->drift[0], form->drift[1]);
    if (!form->upright)
        TRY(add_record(b, FAULT_NOTE, &slices[0], n, "ImagePositionPatient (0020,0032)", text, ""));
done:
    return st;
}

static const char position_tag[] = "ImagePositionPatient (0020,0032)";

/* Leaves out n slices that lie as `form` says. */
static status refuse_form(builder *b, const placed *slices, int64_t n, const stack_form *form) {
    char reason[400], about[80];
    const char *advice = "export the missing slices, or set ingest.gaps: split";
    snprintf(about, sizeof about, "%g mm to the slice %s, where the series has %g mm", form->gap,
             form->at > 0 ? "before" : "after", form->usual);
    switch (form->fault) {
    case STACK_CONFLICT:
        snprintf(reason, sizeof reason,
                 "two different slices at one place, and nothing in the headers parts the series "
                 "into whole passes");
        advice = "export the passes as series of their own";
        break;
    case STACK_GAP:
        snprintf(reason, sizeof reason, "%s: slices are missing (%.0f)", about,
                 floor(form->gap / form->usual + 0.5) - 1);
        break;
    case STACK_STEP:
        snprintf(reason, sizeof reason, "%s: the step changes here", about);
        advice = "set ingest.gaps: split, which makes a volume of each step";
        break;
    case STACK_PLACE:
        snprintf(reason, sizeof reason, "%s: it lies beside its place", about);
        advice = "correct its position";
        break;
    default:
        snprintf(reason, sizeof reason, "%s: the spacing is uneven", about);
    }
    return add_record(b, FAULT_SERIES, &slices[form->at], n, position_tag, reason, advice);
}

/* Slices that lie evenly: a volume unless they are sheared. */
static status build_even(builder *b, const placed *slices, int64_t n, const stack_form *form) {
    char reason[240];
    if (form->upright || (form->steady && b->policy->shear)) return add_volume(b, slices, n, form);
    snprintf(reason, sizeof reason,
             "from the first to the last slice the image plane shifts by %g and %g mm (%s)",
             form->drift[0], form->drift[1],
             form->steady ? "a tilted gantry" : "in no straight line");
    return add_record(b, FAULT_SERIES, &slices[n - 1], n, position_tag, reason,
                      form->steady ? "set ingest.tilt: shear, which resamples it"
                                   : "correct the positions");
}

/* One volume for each run of even steps. `room` is for n slices. */
static status build_runs(builder *b, placed *slices, int64_t n, placed *room) {
    status st;
    int64_t runs = 0;
    char note[160];
    TRY(parts_at_gaps(slices, n, &runs));
    for (int64_t r = 0; r < runs; r++) {
        stack_form form;
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++)
            if (slices[i].pass == r) room[count++] = slices[i];
        TRY(stack_measure(room, count, &form));
        TRY(build_even(b, room, count, &form));
    }
    for (int64_t i = 0; i < n; i++)
        if (slices[i].pass < 0)
            TRY(add_record(b, FAULT_FILE, &slices[i], 1, position_tag,
                           "a single slice between two gaps of its series", ""));
    snprintf(note, sizeof note, "its slices have gaps: stored as %" PRId64 " volumes", runs);
    TRY(add_record(b, FAULT_NOTE, &slices[0], 0, position_tag, note, ""));
done:
    return st;
}

/* The slices of one pass. `room` is for n slices. */
static status build_pass(builder *b, placed *slices, int64_t n, placed *room) {
    stack_form form;
    status st = stack_measure(slices, n, &form);
    if (st != ST_OK) return st;
    if (form.fault == STACK_EVEN) return build_even(b, slices, n, &form);
    if (form.fault != STACK_CONFLICT && b->policy->split_gaps)
        return build_runs(b, slices, n, room);
    return refuse_form(b, slices, n, &form);
}

/* ---- slices that are alike ---- */

bool build_same_place(const placed *a, const placed *b) {
    double apart = 0;
    for (int i = 0; i < 3; i++)
        apart = fmax(apart, fabs(a->header->position[i] - b->header->position[i]));
    return a->plane == b->plane && apart <= 1e-3;
}

/* Removes copies of slices, which lie at the same place and have the same content. */
static status drop_copies(builder *b, placed *slices, int64_t *n) {
    int64_t kept = 0, copies = 0;
    const placed *first = NULL, *original = NULL;
    placed copy;
    char reason[PATH_SIZE + 200];
    for (int64_t i = 0; i < *n; i++) {
        const placed *same = NULL;
        for (int64_t k = kept - 1; k >= 0 && !same && build_same_place(&slices[k], &slices[i]); k--)
            if (slices[k].content == slices[i].content) same = &slices[k];
        if (!same) {
            slices[kept++] = slices[i];
        } else if (copies++ == 0) {
            copy = slices[i];
            first = &copy;
            original = same;
        }
    }
    *n = kept;
    if (copies == 0) return ST_OK;
    const char *name = strrchr(original->header->path, '/');
    snprintf(reason, sizeof reason, "the same slice as %s, with the same pixels: taken once%s",
             name ? name + 1 : original->header->path, copies > 1 ? ", as others here" : "");
    return add_record(b, FAULT_FILE, first, copies, "", reason, "nothing, or remove the copy");
}

/* The slices of one plane. */
static status build_plane(builder *b, const placed *at, int64_t n) {
    status st;
    placed *slices = NULL, *pass = NULL, *room = NULL;
    int64_t passes = 1;
    const char *by = NULL;
    char note[200];
    TRY(array_alloc(&slices, n, sizeof *slices, "slices"));
    TRY(array_alloc(&pass, n, sizeof *pass, "slices"));
    TRY(array_alloc(&room, n, sizeof *room, "slices"));
    memcpy(slices, at, (size_t)n * sizeof *slices);
    TRY(drop_copies(b, slices, &n));
    if (n == 1) {
        b->out->single_count++;
        st = fault_add(&b->out->faults,
                       &(fault){.scope = FAULT_SERIES,
                                .ordinary = true,
                                .files = 1,
                                .text = {[FAULT_PATH] = at->header->path,
                                         [FAULT_UID] = at->header->series_uid,
                                         [FAULT_REASON] = "the only slice of its series"}});
        goto done;
    }
    TRY(parts_find(slices, n, &passes, &by));
    for (int64_t p = 0; p < passes; p++) {
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++)
            if (slices[i].pass == p) pass[count++] = slices[i];
        TRY(build_pass(b, pass, count, room));
    }
    snprintf(note, sizeof note, "%" PRId64 " passes in one series: a volume of each", passes);
    if (passes > 1) TRY(add_record(b, FAULT_NOTE, &slices[0], 0, by, note, ""));
done:
    free(slices);
    free(pass);
    free(room);
    return st;
}

/* ---- the slices and pictures of a patient ---- */

static const char *const picture_names[] = {
    [PICTURE_SLICE] = "a picture of another kind than the slices",
    [PICTURE_SCOUT] = "a scout by its Image Type",
    [PICTURE_PROJECTION] = "a projection of several slices (MIP) by its Image Type",
    [PICTURE_PAGE] = "a page of text by its Image Type",
    [PICTURE_ANNOTATED] = "text is burned into its pixels",
    [PICTURE_COLOUR] = "a picture in colours"};

/* The attribute that tells a kind of picture. */
static const char *picture_tag(dicom_picture picture) {
    return picture == PICTURE_ANNOTATED ? "BurnedInAnnotation (0028,0301)"
           : picture == PICTURE_COLOUR  ? "PhotometricInterpretation (0028,0004)"
                                        : "ImageType (0008,0008)";
}

/* Leaves n pictures out, `scope` telling whether they are a whole series. */
static status add_picture(builder *b, fault_scope scope, const placed *at, int64_t n,
                          const char *tag) {
    char reason[240];
    const dicom_picture picture = at->header->picture;
    const bool named = picture == PICTURE_SLICE && tag;
    snprintf(reason, sizeof reason, "%s%s%s", picture_names[picture], named ? ", by its " : "",
             named ? tag : "");
    if (!tag) tag = picture_tag(picture);
    return fault_add(&b->out->faults,
                     &(fault){.scope = scope,
                              .ordinary = picture != PICTURE_ANNOTATED && picture != PICTURE_SLICE,
                              .files = n,
                              .text = {[FAULT_PATH] = at->header->path,
                                       [FAULT_UID] = at->header->series_uid,
                                       [FAULT_TAG] = tag,
                                       [FAULT_REASON] = reason,
                                       [FAULT_ADVICE] = "nothing: it is no slice"}});
}

/* Whether a picture lies between two neighbours of n slices, where one is missing. */
static bool fills_gap(const placed *slices, int64_t n, const placed *odd) {
    double normal[3], height = 0;
    const dicom_header *like = stack_reference(slices, n);
    const double near = 2 * fmax(like->pixel_spacing[0], like->pixel_spacing[1]);
    stack_normal(like, normal);
    for (int i = 0; i < 3; i++) height += normal[i] * odd->header->position[i];
    for (int64_t k = 1; k < n; k++) {
        const double from = slices[k - 1].height, to = slices[k].height;
        if (!(height > from + 1e-3 && height < to - 1e-3)) continue;
        const double *a = slices[k - 1].header->position, *c = slices[k].header->position;
        double apart = 0;
        for (int i = 0; i < 3; i++) {
            const double place = a[i] + (c[i] - a[i]) * (height - from) / (to - from);
            apart = fmax(apart, fabs(place - odd->header->position[i]));
        }
        return apart <= near;
    }
    return false;
}

/* Leaves out a whole series of n files because of one of them. */
static status blame(builder *b, const placed *odd, int64_t n, const char *tag, const char *what) {
    char reason[240];
    snprintf(reason, sizeof reason, "its %s differs from that of the other slices of its series",
             what);
    return add_record(b, FAULT_SERIES, odd, n, tag, reason, "correct or remove this file");
}

/* The pictures beside the main stack, which is n_main slices; all is n files. */
static status build_beside(builder *b, const placed *at, int64_t n, const placed *stack,
                           int64_t n_main, mark before) {
    status st = ST_OK;
    const bool failed = has_failed(b, before);
    for (int64_t i = 0, next; i < n; i = next) {
        const placed *odd = &at[i];
        const bool is_slice = odd->header->picture == PICTURE_SLICE;
        next = i + 1;
        if (odd == stack) {
            next = i + n_main;
            continue;
        }
        const char *tag = is_slice ? stack_difference(odd->header, stack->header) : NULL;
        if (!tag && is_slice) tag = "ImageOrientationPatient (0020,0037)";
        const bool scaled = tag && strncmp(tag, "PixelSpacing", 12) == 0;
        if ((failed && fills_gap(stack, n_main, odd)) || (!failed && scaled)) {
            char word[64] = "picture type";
            if (tag) snprintf(word, sizeof word, "%.*s", (int)strcspn(tag, " "), tag);
            take_back(b, before);
            return is_slice ? blame(b, odd, n, tag, word)
                            : add_picture(b, FAULT_SERIES, odd, n, NULL);
        }
        while (next < n && at[next].plane == odd->plane && &at[next] != stack &&
               at[next].header->picture == odd->header->picture)
            next++;
        const mark now = mark_of(b);
        bool stored = false;
        if (is_slice && next - i > 2 && odd->plane < PLANES_MAX) {
            TRY(build_plane(b, odd, next - i));
            stored = b->out->count > now.items && !has_failed(b, now);
        }
        if (stored && strcmp(tag, STACK_FRAME_TAG) == 0)
            TRY(add_record(b, FAULT_NOTE, odd, 0, tag,
                           "slices in another frame of reference than the others of their series: "
                           "a volume of their own",
                           ""));
        if (stored) continue;
        take_back(b, now);
        TRY(add_picture(b, FAULT_FILE, odd, next - i, tag));
    }
done:
    return st;
}

/* The slices of one patient in a series: the largest plane is the series, the rest stands beside
 * it. */
static status build_patient(builder *b, const placed *at, int64_t n) {
    status st;
    int64_t slices = 0, most = 0;
    const placed *stack = at;
    const mark before = mark_of(b);
    b->parts = 0;
    while (slices < n && at[slices].header->picture == PICTURE_SLICE) slices++;
    if (slices == 0) return add_picture(b, FAULT_SERIES, at, n, NULL);
    for (int64_t i = 0, next; i < slices; i = next) {
        for (next = i + 1; next < slices && at[next].plane == at[i].plane;) next++;
        if (next - i <= most || at[i].plane >= PLANES_MAX) continue;
        most = next - i;
        stack = &at[i];
    }
    if (most == 0 || (most == 1 && slices > 1)) {
        const char *tag = stack_difference(at[0].header, at[slices - 1].header);
        const bool frames = tag && strcmp(tag, STACK_FRAME_TAG) == 0;
        return blame(b, at, n, frames ? tag : "ImageOrientationPatient (0020,0037)",
                     frames ? "frame of reference" : "plane");
    }
    TRY(build_plane(b, stack, most));
    st = build_beside(b, at, n, stack, most, before);
done:
    return st;
}

/* ---- the series ---- */

static int by_kind(const void *left, const void *right) {
    const dicom_header *a = ((const placed *)left)->header, *b = ((const placed *)right)->header;
    int order = strcmp(patient_identity(a), patient_identity(b));
    if (order == 0) order = (int)a->picture - (int)b->picture;
    /* Those that are written to most digits first: the others are compared with them. */
    if (order == 0) order = b->orientation_digits - a->orientation_digits;
    if (order == 0) order = !*a->frame_of_reference_uid - !*b->frame_of_reference_uid;
    return order ? order : dicom_by_path(a, b);
}

static int by_plane(const void *left, const void *right) {
    const placed *a = left, *b = right;
    int order = (a->plane > b->plane) - (a->plane < b->plane);
    if (order == 0) order = (a->height > b->height) - (a->height < b->height);
    return order ? order : dicom_by_path(a->header, b->header);
}

/* Numbers the planes of n slices of one patient. */
static void arrange_slices(placed *at, int64_t n) {
    const dicom_header *planes[PLANES_MAX];
    double normals[PLANES_MAX][3];
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t plane = 0;
        while (plane < count && stack_difference(at[i].header, planes[plane])) plane++;
        if (plane == count && count < PLANES_MAX) {
            planes[count] = at[i].header;
            stack_normal(at[i].header, normals[count++]);
        }
        at[i].plane = plane;
        for (int k = 0; plane < PLANES_MAX && k < 3; k++)
            at[i].height += normals[plane][k] * at[i].header->position[k];
    }
    qsort(at, (size_t)n, sizeof *at, by_plane);
}

static bool same_patient(const placed *a, const placed *b) {
    return strcmp(patient_identity(a->header), patient_identity(b->header)) == 0;
}

void build_arrange(placed *at, int64_t n) {
    qsort(at, (size_t)n, sizeof *at, by_kind);
    for (int64_t i = 0, next; i < n; i = next) {
        next = i + 1;
        while (next < n && same_patient(&at[next], &at[i]) &&
               at[next].header->picture == at[i].header->picture)
            next++;
        if (at[i].header->picture == PICTURE_SLICE) arrange_slices(&at[i], next - i);
    }
}

status build_series(const series_policy *policy, placed *at, int64_t n, series_list *out) {
    status st = ST_OK;
    builder b = {.policy = policy, .out = out};
    const mark before = mark_of(&b);
    int64_t patients = 0, least = n;
    const placed *odd = at;
    bool whole = true;
    for (int64_t i = 0, next; i < n; i = next) {
        for (next = i + 1; next < n && same_patient(&at[next], &at[i]);) next++;
        const int64_t stored = out->count;
        TRY(build_patient(&b, &at[i], next - i));
        whole &= out->count > stored;
        patients++;
        if (next - i <= least) odd = &at[i];
        least = next - i < least ? next - i : least;
    }
    if (patients < 2 || (whole && !has_failed(&b, before))) return ST_OK;
    take_back(&b, before);
    st = blame(&b, odd, n, "PatientID (0010,0020)", "patient ID");
done:
    return st;
}
