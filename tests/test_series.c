/* Scanning folders for series: order and spacing from positions, what is at
 * fault is named and costs no other series, the same list on every rank.
 *
 * Started without MPI, the program runs its tests alone and starts itself again under mpirun with
 * 3 ranks. Rank 0 makes the folders, and every rank asserts the same. */
#include "io/series.h"
#include "tests/scratch.h"
#include "tests/seg_case.h"

#include <math.h>

enum { DEPTH = 6, SIDE = 8, PIXELS = SIDE * SIDE, VOXELS = DEPTH * PIXELS };

static comm *world;
static const pseudonym_key key = {"a key that only these tests have"};

static void barrier(void) { assert_ok(comm_barrier(world)); }

/* Runs a shell command on rank 0, in the scratch directory, while the other ranks wait. */
static void shell(const char *format, ...) {
    char command[2048];
    int length = snprintf(command, sizeof command, "cd %s && ", home);
    va_list list;
    va_start(list, format);
    vsnprintf(command + length, sizeof command - (size_t)length, format, list);
    va_end(list);
    if (comm_rank(world) == 0 && system(command) != 0) fail_msg("failed: %s", command);
    barrier();
}

static volume make_volume(int depth) {
    volume v = {.space = {.shape = {depth, SIDE, SIDE},
                          .spacing = {1.5, 0.75, 0.5},
                          .origin = {-3, 4, -250},
                          .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}}};
    assert_ok(volume_alloc(&v));
    for (int i = 0; i < depth * PIXELS; i++) {
        v.hu[i] = (int16_t)(i * 37 % 4000 - 1000);
        v.labels[i] = (uint8_t)(i / 7 % 3 == 0);
    }
    return v;
}

/* On rank 0 writes `depth` slices of an examination to home/name, with a SEG. */
static void write_examination(const char *name, const char *patient, const char *seed, int depth) {
    static const label_set set = {2, {"background", "bone"}};
    if (comm_rank(world) == 0) {
        volume v = make_volume(depth);
        dicom_identity who = {.description = "a test"};
        snprintf(who.patient_id, sizeof who.patient_id, "%s", patient);
        snprintf(who.seed_text, sizeof who.seed_text, "%s", seed);
        assert_ok(dicom_write_volume(in_home(name), &who, &v, &set));
        volume_free(&v);
    }
    barrier();
}

static const series_policy refuse = {.key = &key, .masks = DICOM_SEG},
                           split = {.key = &key, .split_gaps = true, .masks = DICOM_SEG},
                           shear = {.key = &key, .shear = true, .masks = DICOM_SEG},
                           turned = {.key = &key, .any_orientation = true, .masks = DICOM_SEG};

static void scan_fails(const char *name, const char *reason) {
    series_list list;
    assert_int_equal(series_scan(world, in_home(name), &refuse, &list), ST_INPUT);
    assert_says(reason);
    assert_null(list.items);
    assert_int_equal(list.count, 0);
    barrier();
}

/* The number of findings of a scope that are faults. */
static int faults_of(const series_list *list, fault_scope scope) {
    return (int)faults_count(&list->faults, scope, true, NULL);
}

/* Whether a finding of this scope names the file and gives the reason. */
static bool is_found(const series_list *list, fault_scope scope, const char *file,
                     const char *reason) {
    for (int64_t i = 0; i < list->faults.count; i++) {
        const fault *f = &list->faults.items[i];
        const char *tail = strstr(f->text[FAULT_PATH], file);
        if (f->scope == scope && tail && strcmp(tail, file) == 0 &&
            (strstr(f->text[FAULT_REASON], reason) || strstr(f->text[FAULT_TAG], reason)))
            return true;
    }
    return false;
}

static void show(const series_list *list) {
    for (int64_t i = 0; i < list->faults.count; i++)
        print_message("%d: %s: %s %s\n", (int)list->faults.items[i].scope,
                      list->faults.items[i].text[FAULT_PATH], list->faults.items[i].text[FAULT_TAG],
                      list->faults.items[i].text[FAULT_REASON]);
}

/* Scans a folder and checks the number of series, and that the findings name the file of this scope
 * for this reason (NULL: no fault). */
static void scan_finds(const char *name, const series_policy *policy, int series, fault_scope scope,
                       const char *file, const char *reason) {
    series_list list;
    assert_ok(series_scan(world, in_home(name), policy, &list));
    const bool good = list.count == series &&
                      (reason ? is_found(&list, scope, file, reason)
                              : faults_of(&list, FAULT_SERIES) + faults_of(&list, FAULT_FILE) == 0);
    if (!good) show(&list);
    assert_int_equal(list.count, series);
    assert_true(good);
    series_list_free(&list);
    barrier();
}

static void finds_order_and_geometry(void **state) {
    (void)state;
    series_list list;
    volume v, want = make_volume(DEPTH);
    write_examination("order", "P1", "order", DEPTH);
    /* Meaningless names and Instance Numbers, nested folders, a hidden file, links. */
    shell(
        "cd order && mkdir -p b/c && mv ct-0000.dcm zz && mv ct-0003.dcm b/c/aa && "
        "mv ct-0005.dcm 1 && dcmodify -q -nb -m '(0020,0013)=77' zz 1 && echo x > .hidden && "
        "mkdir .kept && mv ct-0002.dcm .kept/away && ln -s ../.kept/away b/link && ln -s . b/loop");
    assert_ok(series_scan(world, in_home("order"), &refuse, &list));
    assert_int_equal(list.others, 0);
    assert_int_equal(list.faults.count, 0);
    assert_int_equal(list.count, 1);
    series *s = &list.items[0];
    assert_memory_equal(s->space.shape, want.space.shape, sizeof want.space.shape);
    assert_memory_equal(s->space.direction, want.space.direction, sizeof want.space.direction);
    for (int i = 0; i < 3; i++) {
        assert_true(fabs(s->space.spacing[i] - want.space.spacing[i]) < 1e-9);
        assert_true(fabs(s->space.origin[i] - want.space.origin[i]) < 1e-9);
    }
    assert_int_equal(strlen(s->pseudonym), 2 + 16 + 1 + 8);
    /* hmac.new(b"a key that only these tests have", b"patient\nid P1", "sha256").hexdigest() */
    assert_memory_equal(s->pseudonym + 2, "460582c2e09980c6", 16);

    assert_ok(series_read(s, &v));
    assert_string_equal(v.id, s->pseudonym);
    assert_memory_equal(v.hu, want.hu, VOXELS * sizeof *v.hu);
    for (int i = 0; i < VOXELS; i++) assert_int_equal(v.labels[i], 0);
    assert_int_equal(s->segmentation_count, 1);
    const seg_target to = {&s->space, s->slices[0].frame_of_reference_uid, 0.5};
    label_set set = {0};
    assert_ok(seg_read(s->segmentations[0], &to, &set, v.labels));
    assert_memory_equal(v.labels, want.labels, VOXELS);
    volume_free(&v);
    volume_free(&want);
    series_list_free(&list);
    barrier();
}

static void separates_series(void **state) {
    (void)state;
    series_list list;
    write_examination("many/a", "P1", "first", DEPTH);
    write_examination("many/b", "P1", "second", 4);
    write_examination("many/c", "P2", "third", 3);
    write_examination("many/d", "", "fourth", 3);
    write_examination("many/e", "", "fifth", 3);
    write_examination("many/f", "P9", "sixth", 3);
    write_examination("many/g", "P1", "seventh", 3);
    shell("cd many/g && rm seg.dcm ct-0001.dcm ct-0002.dcm"); /* a series of one slice */
    shell("cd many/f && rm ct-*");                            /* a SEG without its CT */
    shell("cd many/e && dcmodify -q -nb -m '(0008,0008)=ORIGINAL\\PRIMARY\\LOCALIZER' "
          "ct-0002.dcm && rm seg.dcm");
    assert_ok(series_scan(world, in_home("many"), &refuse, &list));
    assert_int_equal(list.others, 1);
    assert_int_equal(list.count, 5);
    assert_int_equal(list.single_count, 1);
    assert_true(is_found(&list, FAULT_SERIES, "many/g/ct-0000.dcm", "only slice"));
    assert_true(is_found(&list, FAULT_SEG, "many/f/seg.dcm", "is not here"));
    assert_int_equal(faults_of(&list, FAULT_SERIES) + faults_of(&list, FAULT_SEG), 0);
    int same_patient = 0;
    for (int i = 0; i < 5; i++) {
        const series *s = &list.items[i];
        if (i > 0) {
            assert_true(strcmp(list.items[i - 1].pseudonym, s->pseudonym) < 0);
            same_patient += memcmp(list.items[i - 1].pseudonym, s->pseudonym, 18) == 0;
        }
        assert_int_equal(s->segmentation_count, strstr(s->slices[0].path, "/e/") ? 0 : 1);
    }
    assert_int_equal(same_patient, 1); /* P1 twice; two studies without ID are two patients */

    /* Every rank has the same bytes. */
    uint64_t sum = 0;
    bool equal = false;
    for (int i = 0; i < 5; i++)
        for (size_t k = 0; k < sizeof(dicom_header) * (size_t)list.items[i].space.shape[0]; k++)
            sum = sum * 31 + ((const unsigned char *)list.items[i].slices)[k];
    assert_ok(comm_all_equal(world, sum, &equal));
    assert_true(equal);

    series_keep_labelled(&list);
    assert_int_equal(list.count, 4);
    for (int i = 0; i < 4; i++) assert_int_equal(list.items[i].segmentation_count, 1);
    series_list_free(&list);
    barrier();
}

/* However a patient lies and a stack is acquired, it is stored with z to the head, y to the back
 * and x to the left, and no voxel changes its place. The oracle places every voxel by its header.
 */
static void is_turned(const char *orientation, const char *place, bool is_axial) {
    static const double lps[9] = {0, 0, 1, 0, 1, 0, 1, 0, 0};
    series_list list;
    volume v, want = make_volume(DEPTH);
    write_examination("lie", "P1", "lie", DEPTH);
    shell("cd lie && rm seg.dcm && for z in 0 1 2 3 4 5; do "
          "dcmodify -q -nb -m \"(0020,0037)=%s\" -m \"(0020,0032)=%s\" ct-000$z.dcm || exit 1; "
          "done",
          orientation, place);
    if (!is_axial) scan_finds("lie", &refuse, 0, FAULT_SERIES, ".dcm", "al stack");
    assert_ok(series_scan(world, in_home("lie"), &turned, &list));
    assert_int_equal(list.count, 1);
    const series *s = &list.items[0];
    assert_ok(series_read(s, &v));
    const geometry source = v.space;
    assert_ok(series_turn(s, &v));
    for (int i = 0; i < 9; i++) assert_true(fabs(v.space.direction[i] - lps[i]) < 1e-12);
    assert_memory_equal(&v.space, &s->space, sizeof v.space);
    int found = 0;
    for (int64_t z = 0; z < source.shape[0]; z++)
        for (int64_t i = 0; i < PIXELS; i++) {
            const int64_t at[3] = {z, i / SIDE, i % SIDE};
            const double *p = s->slices[z].position;
            int64_t index[3];
            for (int k = 0; k < 3; k++) {
                const int axis = 2 - k; /* of the patient: z y x */
                const double mm = p[axis] +
                                  (double)at[1] * 0.75 * s->slices[z].orientation[3 + axis] +
                                  (double)at[2] * 0.5 * s->slices[z].orientation[axis];
                index[k] = llround((mm - v.space.origin[axis]) / v.space.spacing[k]);
                assert_in_range(index[k], 0, v.space.shape[k] - 1);
            }
            /* Slices are named by z of the examination. */
            const char *name = strrchr(s->slices[z].path, '-') + 1;
            const int64_t n = strtoll(name, NULL, 10);
            found += v.hu[(index[0] * v.space.shape[1] + index[1]) * v.space.shape[2] + index[2]] ==
                     want.hu[n * PIXELS + i];
        }
    assert_int_equal(found, VOXELS);
    volume_free(&v);
    volume_free(&want);
    series_list_free(&list);
    barrier();
    shell("rm -r lie");
}

static void all_lie_one_way(void **state) {
    (void)state;
    /* Prone: rows to the right, columns to the front. */
    is_turned("-1\\0\\0\\0\\-1\\0", "3\\\\4\\\\$((z*2))", true);
    /* The normal points to the feet. */
    is_turned("1\\0\\0\\0\\-1\\0", "3\\\\4\\\\$((z*2))", true);
    is_turned("1\\0\\0\\0\\0\\-1", "3\\\\$((z*2))\\\\9", false); /* coronal */
    is_turned("0\\1\\0\\0\\0\\-1", "$((z*2))\\\\3\\\\9", false); /* sagittal */
}

static void names_what_is_at_fault(void **state) {
    (void)state;
    shell("mkdir empty && mkdir -p hollow/within");
    scan_fails("empty", "empty: the folder holds no files");
    scan_fails("hollow", "hollow: the folder holds no files");
    scan_fails("absent", "absent: cannot list the folder");

    /* Each beside a sound patient, who is kept. */
    static const struct {
        const char *damage;
        int series;
        fault_scope scope;
        const char *file, *reason;
    } cases[] = {
        {"echo hello > notes.txt", 2, FAULT_FILE, "notes.txt", "not a DICOM file"},
        {": > nothing", 2, FAULT_FILE, "nothing", "not a DICOM file"},
        {"rm ct-0002.dcm", 1, FAULT_SERIES, "ct-0003.dcm", "slices are missing (1)"},
        {"rm ct-0001.dcm ct-0002.dcm ct-0003.dcm ct-0004.dcm ct-0005.dcm", 1, FAULT_SERIES,
         "ct-0000.dcm", "the only slice"},
        {"rm ct-*", 1, FAULT_SEG, "seg.dcm", "is not here"},
        {"cp ct-0001.dcm copy.dcm", 2, FAULT_FILE, "ct-0001.dcm", "copy.dcm"},
        {"cp ct-0001.dcm copy.dcm && dcmodify -q -nb -m '(0008,0018)=1.2.3' copy.dcm", 2,
         FAULT_FILE, "ct-0001.dcm", "taken once"},
        {"dcmodify -q -nb -m '(0020,0032)=-3\\4\\-248.5' ct-0002.dcm", 1, FAULT_SERIES,
         "ct-0002.dcm", "two different slices at one place"},
        {"dcmodify -q -nb -m '(0020,0032)=-3\\4\\-246.7' ct-0002.dcm", 1, FAULT_SERIES,
         "ct-0002.dcm", "beside its place"},
        {"dcmodify -q -nb -m '(0020,0032)=-3\\4\\-243' ct-0004.dcm && "
         "dcmodify -q -nb -m '(0020,0032)=-3\\4\\-240.5' ct-0005.dcm",
         1, FAULT_SERIES, "ct-0004.dcm", "the step changes here"},
        {"dcmodify -q -nb -ea '(0020,0032)' ct-0004.dcm", 1, FAULT_SERIES, "ct-0004.dcm",
         "ImagePositionPatient"},
        {"dcmodify -q -nb -ea '(0020,0032)' -ea '(0020,0037)' ct-0005.dcm", 2, FAULT_FILE,
         "ct-0005.dcm", "ImagePositionPatient"},
        {"dcmodify -q -nb -m '(0028,0010)=4' ct-0004.dcm", 1, FAULT_SERIES, "ct-0004.dcm", "Rows"},
        {"dcmodify -q -nb -m '(0028,0030)=0.5\\0.5' ct-0004.dcm", 1, FAULT_SERIES, "ct-0004.dcm",
         "PixelSpacing"},
        {"dcmodify -q -nb -m '(0028,0030)=0.5\\0.5' ct-0005.dcm", 1, FAULT_SERIES, "ct-0005.dcm",
         "PixelSpacing"},
        {"dcmodify -q -nb -m '(0020,0037)=1\\0\\0\\0\\0\\1' ct-0004.dcm", 1, FAULT_SERIES,
         "ct-0004.dcm", "ImageOrientationPatient"},
        {"dcmodify -q -nb -m '(0020,0032)=-99\\4\\0' -m '(0020,0037)=0\\1\\0\\0\\0\\-1' "
         "ct-0005.dcm",
         2, FAULT_FILE, "ct-0005.dcm", "another kind"},
        {"dcmodify -q -nb -m '(0010,0020)=P2' ct-0004.dcm", 1, FAULT_SERIES, "ct-0004.dcm",
         "PatientID"},
        {"dcmodify -q -nb -m '(0010,0020)=P2' ct-0005.dcm", 1, FAULT_SERIES, "ct-0005.dcm",
         "PatientID"},
        {"dcmodify -q -nb -m '(0008,0008)=DERIVED\\SECONDARY\\MIP' ct-0005.dcm", 2, FAULT_FILE,
         "ct-0005.dcm", "MIP"},
        {"dcmodify -q -nb -i '(0028,0301)=YES' ct-0002.dcm", 1, FAULT_SERIES, "ct-0002.dcm",
         "burned"},
        {"dcmodify -q -nb -i '(0028,0301)=YES' ct-*", 1, FAULT_SERIES, "ct-0000.dcm", "burned"},
        {"dcmodify -q -nb -m '(0020,0032)=-3\\9\\-242.5' ct-0005.dcm", 1, FAULT_SERIES,
         "ct-0005.dcm", "in no straight line"},
        {"for z in 0 1 2 3 4 5; do dcmodify -q -nb -m \"(0020,0032)=-3\\\\$z\\\\$z\" ct-000$z.dcm; "
         "done",
         1, FAULT_SERIES, "ct-0005.dcm", "tilted gantry"},
        {"ln -s nowhere link", 2, FAULT_FILE, "link", "cannot read"},
        {"truncate -s 300 ct-0003.dcm", 1, FAULT_FILE, "ct-0003.dcm", "not a readable DICOM file"},
    };
    write_examination("fault/good", "P7", "sound", DEPTH);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_examination("fault/bad", "P1", "fault", DEPTH);
        shell("cd fault/bad && %s", cases[i].damage);
        scan_finds("fault", &refuse, cases[i].series, cases[i].scope, cases[i].file,
                   cases[i].reason);
        shell("rm -r fault/bad");
    }
}

static void several_faults_are_all_found(void **state) {
    (void)state;
    series_list list;
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        char folder[16];
        snprintf(folder, sizeof folder, "all/%s", names[i]);
        write_examination(folder, names[i], names[i], DEPTH);
    }
    shell("cd all && rm a/ct-0002.dcm && truncate -s 300 b/ct-0001.dcm && echo > d/x && "
          "dcmodify -q -nb -ea '(0028,0030)' c/ct-0000.dcm && dcmodify -q -nb -ea '(0028,1053)' "
          "c/ct-0004.dcm");
    assert_ok(series_scan(world, in_home("all"), &refuse, &list));
    assert_int_equal(list.count, 1);
    assert_true(is_found(&list, FAULT_SERIES, "a/ct-0003.dcm", "missing"));
    assert_true(is_found(&list, FAULT_SERIES, "b/ct-0002.dcm", "missing"));
    assert_true(is_found(&list, FAULT_FILE, "b/ct-0001.dcm", "not a readable"));
    assert_true(is_found(&list, FAULT_SERIES, "c/ct-0000.dcm", "PixelSpacing"));
    assert_true(is_found(&list, FAULT_SERIES, "c/ct-0004.dcm", "RescaleSlope"));
    assert_true(is_found(&list, FAULT_FILE, "d/x", "not a DICOM file"));
    assert_int_equal(list.not_dicom, 1);
    series_list_free(&list);
    barrier();
}

static void cut_pixels_are_found_when_read(void **state) {
    (void)state;
    series_list list;
    volume v;
    write_examination("cut", "P1", "cut", DEPTH);
    shell("truncate -s -20 cut/ct-0003.dcm");
    assert_ok(series_scan(world, in_home("cut"), &refuse, &list));
    assert_int_equal(series_read(&list.items[0], &v), ST_INPUT);
    assert_says("ct-0003.dcm");
    assert_null(v.hu);
    series_list_free(&list);
    barrier();
}

/* Positions as the header shows them, of steps of 1.5 mm unless it is said. */
static void steps_are(const char *positions, const series_policy *policy, int series,
                      double spacing) {
    series_list list;
    write_examination("steps", "P1", "steps", DEPTH);
    shell("cd steps && rm seg.dcm && set -- %s && for z in 0 1 2 3 4 5; do "
          "dcmodify -q -nb -m \"(0020,0032)=-3\\\\4\\\\$1\" ct-000$z.dcm && shift || exit 1; done",
          positions);
    assert_ok(series_scan(world, in_home("steps"), policy, &list));
    if (list.count != series) show(&list);
    assert_int_equal(list.count, series);
    int found = 0; /* volumes are sorted by pseudonym, not by place */
    for (int64_t i = 0; i < list.count; i++)
        found += fabs(list.items[i].space.spacing[0] - spacing) < 0.02 * spacing;
    assert_true(series == 0 || found > 0);
    series_list_free(&list);
    barrier();
    shell("rm -r steps");
}

static void digits_decide_what_is_even(void **state) {
    (void)state;
    steps_are("0 0.6 1.2 1.9 2.5 3.1", &refuse, 1, 0.625);
    steps_are("0 0.625 1.25 1.875 2.5 3.125", &refuse, 1, 0.625);
    steps_are("0 0.600 1.200 1.901 2.500 3.100", &refuse, 0, 0); /* shown to a thousandth */
    steps_are("0 0.6 1.2 2.1 2.7 3.3", &refuse, 0, 0);           /* 0.9 is no rounded 0.6 */
    steps_are("0 5 10 16 21 27", &refuse, 1, 5.33);
    steps_are("0 1 2 4 5 6", &refuse, 0, 0); /* whole millimetres say nothing of such steps */
    steps_are("0 2 4 8 10 12", &split, 2, 2);
    steps_are("0 2 4 8 12 16", &split, 2, 2);
    steps_are("0 2 4 6 8 10", &split, 1, 2);
}

static void a_tilt_is_resampled_on_demand(void **state) {
    (void)state;
    series_list list;
    volume v, want = make_volume(DEPTH);
    write_examination("tilt", "P1", "tilt", DEPTH);
    /* Two columns (of 0.5 mm) further to the left from slice to slice: no value is interpolated. */
    shell("cd tilt && rm seg.dcm && for z in 0 1 2 3 4 5; do "
          "dcmodify -q -nb -m \"(0020,0032)=$z\\\\4\\\\$z\" ct-000$z.dcm || exit 1; done");
    scan_finds("tilt", &refuse, 0, FAULT_SERIES, "ct-0005.dcm", "tilted gantry");
    assert_ok(series_scan(world, in_home("tilt"), &shear, &list));
    assert_int_equal(list.count, 1);
    assert_true(is_found(&list, FAULT_NOTE, "ct-0000.dcm", "by 5 and 0 mm"));
    assert_ok(series_read(&list.items[0], &v));
    assert_int_equal(v.space.shape[1], SIDE);
    assert_int_equal(v.space.shape[2], SIDE + 10);
    for (int z = 0; z < DEPTH; z++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE + 10; x++) {
                const int from = x - 2 * z;
                const int hu =
                    from >= 0 && from < SIDE ? want.hu[z * PIXELS + y * SIDE + from] : -1024;
                assert_int_equal(v.hu[(z * SIDE + y) * (SIDE + 10) + x], hu);
            }
    volume_free(&v);
    volume_free(&want);
    series_list_free(&list);
    barrier();
}

static void rounded_positions_are_even(void **state) {
    (void)state;
    series_list list;
    write_examination("rounded", "P1", "rounded", DEPTH);
    shell("cd rounded && dcmodify -q -nb -m '(0020,0032)=-3\\4\\-247.01' ct-0002.dcm");
    assert_ok(series_scan(world, in_home("rounded"), &refuse, &list));
    assert_true(fabs(list.items[0].space.spacing[0] - 1.5) < 1e-9);
    series_list_free(&list);
    barrier();
}

/* 90 slices of 8 MiB in a few KB each would be a volume of 1.1 GB. */
static void compressed_series_are_bounded(void **state) {
    (void)state;
    enum { LARGE = 2048, MANY = 90 };
    if (comm_rank(world) == 0) {
        volume v = {.space = {.shape = {1, LARGE, LARGE},
                              .spacing = {1, 1, 1},
                              .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}}};
        const dicom_identity who = {
            .patient_id = "BOMB", .description = "a test", .seed_text = "bomb"};
        assert_ok(volume_alloc(&v));
        assert_ok(dicom_write_volume(in_home("bomb"), &who, &v, NULL));
        volume_free(&v);
    }
    barrier();
    shell("cd bomb && dcmcjpls +el ct-0000.dcm 0.dcm && rm ct-0000.dcm && "
          "for z in $(seq 1 %d); do cp 0.dcm $z.dcm && "
          "dcmodify -q -nb -m '(0020,0032)=0\\0\\'$z $z.dcm || exit 1; done",
          MANY - 1);
    scan_finds("bomb", &refuse, 0, FAULT_SERIES, "0.dcm",
               "claims 90 x 2048 x 2048 voxels, 1132462080 bytes, but its compressed files");
}

static int run_on_ranks(const char *program, int ranks) {
    char command[PATH_SIZE];
    snprintf(command, sizeof command,
             "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout 120 mpirun "
             "--oversubscribe -n %d %s ranks",
             ranks, program);
    return system(command) == 0 ? 0 : 1;
}

static int run_here(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_order_and_geometry),
        cmocka_unit_test(separates_series),
        cmocka_unit_test(all_lie_one_way),
        cmocka_unit_test(names_what_is_at_fault),
        cmocka_unit_test(several_faults_are_all_found),
        cmocka_unit_test(cut_pixels_are_found_when_read),
        cmocka_unit_test(rounded_positions_are_even),
        cmocka_unit_test(digits_decide_what_is_even),
        cmocka_unit_test(a_tilt_is_resampled_on_demand),
        cmocka_unit_test(compressed_series_are_bounded),
    };
    if (comm_start(&argc, &argv, &world) != ST_OK) return 1;
    int failed = comm_rank(world) == 0 && !begin_scratch();
    if (comm_broadcast(world, home, sizeof home, 0) != ST_OK) return 1;
    if (!failed) failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (comm_rank(world) == 0 && !end_scratch()) failed = 1;
    comm_stop(world);
    return failed;
}

int main(int argc, char **argv) {
    if (argc > 1) return run_here(argc, argv);
    return run_on_ranks(argv[0], 1) + run_on_ranks(argv[0], 3);
}
