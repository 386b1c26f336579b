/* A full label set, 255 structures with names as long as possible, from a SEG to a store and back;
 * one structure more is refused by name. */
#include "io/store.h"
#include "tests/scratch.h"
#include "tests/seg_case.h"

static comm *world;

enum { DEPTH = 3, ROWS = 16, COLUMNS = 17, VOXELS = DEPTH * ROWS * COLUMNS };

static void name_structure(int label, char name[LABEL_NAME]) {
    snprintf(name, LABEL_NAME, "%03d ", label);
    memset(name + 4, 'a' + label % 26, LABEL_NAME - 5);
    name[LABEL_NAME - 1] = 0;
}

static label_set *full_set(void) {
    static label_set set;
    set = (label_set){.count = LABELS_MAX, .name = {"background"}};
    for (int k = 1; k < LABELS_MAX; k++) name_structure(k, set.name[k]);
    return &set;
}

static volume full_volume(void) {
    volume v = {.id = "p-full",
                .space = {.shape = {DEPTH, ROWS, COLUMNS},
                          .spacing = {2.5, 0.75, 0.5},
                          .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}}};
    assert_ok(volume_alloc(&v));
    for (int i = 0; i < VOXELS; i++) {
        v.hu[i] = (int16_t)(i - 1000);
        v.labels[i] = (uint8_t)(i * 7);
    }
    return v;
}

static status write_store(const volume *v, const label_set *set) {
    status st;
    store_writer *w = NULL;
    store_entry e = {.space = v->space, .contrast = v->contrast};
    snprintf(e.id, sizeof e.id, "%s", v->id);
    const store_plan plan = {.directory = in_home("store"),
                             .fingerprint = "f00d",
                             .labels = set,
                             .entries = &e,
                             .count = 1,
                             .shard_bytes = 1};
    TRY(store_writer_open(world, &plan, &w));
    st = store_writer_finish(w, store_writer_put(w, 0, v));
done:
    return st;
}

static void assert_same_names(const label_set *a, const label_set *b) {
    assert_int_equal(a->count, b->count);
    for (int k = 0; k < a->count; k++) assert_string_equal(a->name[k], b->name[k]);
}

static void from_seg_to_store_and_back(void **state) {
    (void)state;
    const dicom_identity who = {.patient_id = "FULL", .seed_text = "full"};
    const label_set *set = full_set();
    volume v = full_volume(), back = {0};
    label_set read = {0};
    uint8_t labels[VOXELS] = {0};
    store *s = NULL;
    assert_ok(dicom_write_volume(in_home("dicom"), &who, &v, set));
    const seg_target to = {&v.space, "", 0.5};
    assert_ok(seg_read(in_home("dicom/seg.dcm"), &to, &read, labels));
    assert_same_names(&read, set);
    assert_memory_equal(labels, v.labels, VOXELS);

    memcpy(v.labels, labels, VOXELS);
    assert_ok(write_store(&v, &read));
    assert_ok(store_verify(in_home("store")));
    assert_ok(store_open(in_home("store"), &s));
    assert_same_names(store_labels(s), set);
    assert_ok(store_read_volume(s, 0, &back));
    assert_memory_equal(back.labels, v.labels, VOXELS);
    assert_memory_equal(back.hu, v.hu, sizeof *v.hu * VOXELS);
    store_close(s);
    volume_free(&back);
    volume_free(&v);
}

static void one_more_is_refused(void **state) {
    (void)state;
    const dicom_identity who = {.patient_id = "MORE", .seed_text = "more"};
    label_set one = {.count = 2, .name = {"background", "the 256th"}}, *set = full_set();
    volume v = full_volume();
    structure_texts texts = {0};
    structure_names names = {0};
    memset(v.labels, 1, VOXELS);
    assert_ok(dicom_write_volume(in_home("more"), &who, &v, &one));
    for (int k = 1; k < set->count; k++) assert_ok(structure_texts_add(&texts, set->name[k]));
    assert_ok(structure_names_make(&texts, NULL, 0, &names));
    assert_int_equal(names.set.count, LABELS_MAX);
    structure_names_free(&names);
    assert_ok(dicom_seg_texts(in_home("more/seg.dcm"), &texts));
    assert_int_equal(structure_names_make(&texts, NULL, 0, &names), ST_INPUT);
    assert_says("name 256 structures, a store holds at most 255: choose some of them by "
                "ingest.structures");
    structure_texts_free(&texts);
    set->count++;
    assert_int_equal(write_store(&v, set), ST_INPUT);
    assert_says("257 labels");
    volume_free(&v);
}

int main(int argc, char **argv) {
    if (comm_start(&argc, &argv, &world) != ST_OK || !begin_scratch()) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_seg_to_store_and_back),
        cmocka_unit_test(one_more_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    failed |= !end_scratch();
    comm_stop(world);
    return failed;
}
