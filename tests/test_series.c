/* Scanning folders for series: order and spacing from positions, faults named, the same list on
 * every rank.
 *
 * Started without MPI, the program runs its tests alone and starts itself again under mpirun with
 * 3 ranks. Rank 0 makes the folders, and every rank asserts the same. */
#include "io/series.h"
#include "tests/scratch.h"

#include <math.h>

enum { DEPTH = 6, SIDE = 8, PIXELS = SIDE * SIDE, VOXELS = DEPTH * PIXELS };

static comm *world;

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

static void scan_fails(const char *name, const char *reason) {
    series_list list;
    int64_t left_out;
    assert_int_equal(series_scan(world, in_home(name), DICOM_SEG, &list, &left_out), ST_INPUT);
    assert_says(reason);
    assert_null(list.items);
    assert_int_equal(list.count, 0);
    barrier();
}

static void finds_order_and_geometry(void **state) {
    (void)state;
    series_list list;
    int64_t left_out = -1;
    volume v, want = make_volume(DEPTH);
    write_examination("order", "P1", "order", DEPTH);
    /* Meaningless names and Instance Numbers, nested folders, a hidden file, links. */
    shell("cd order && mkdir -p b/c && mv ct-0000.dcm zz && mv ct-0003.dcm b/c/aa && "
          "mv ct-0005.dcm 1 && dcmodify -q -nb -m '(0020,0013)=77' zz 1 && echo x > .hidden && "
          "mv ct-0002.dcm ../away && ln -s ../../away b/link && ln -s . b/loop");
    assert_ok(series_scan(world, in_home("order"), DICOM_SEG, &list, &left_out));
    assert_int_equal(left_out, 0);
    assert_int_equal(list.count, 1);
    series *s = &list.items[0];
    assert_memory_equal(s->space.shape, want.space.shape, sizeof want.space.shape);
    assert_memory_equal(s->space.direction, want.space.direction, sizeof want.space.direction);
    for (int i = 0; i < 3; i++) {
        assert_true(fabs(s->space.spacing[i] - want.space.spacing[i]) < 1e-9);
        assert_true(fabs(s->space.origin[i] - want.space.origin[i]) < 1e-9);
    }
    assert_int_equal(strlen(s->pseudonym), 2 + 16 + 1 + 8);
    char hash[SHA256_HEX];
    assert_ok(bytes_sha256("P1", 2, hash));
    assert_memory_equal(s->pseudonym + 2, hash, 16);

    assert_ok(series_read(s, &v));
    assert_string_equal(v.id, s->pseudonym);
    assert_memory_equal(v.hu, want.hu, VOXELS * sizeof *v.hu);
    for (int i = 0; i < VOXELS; i++) assert_int_equal(v.labels[i], 0);
    assert_int_equal(s->segmentation_count, 1);
    label_set set = {0};
    assert_ok(dicom_read_seg(s->segmentations[0], &s->space, &set, v.labels));
    assert_memory_equal(v.labels, want.labels, VOXELS);
    volume_free(&v);
    volume_free(&want);
    series_list_free(&list);
    barrier();
}

static void separates_series(void **state) {
    (void)state;
    series_list list;
    int64_t left_out = -1;
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
    assert_ok(series_scan(world, in_home("many"), DICOM_SEG, &list, &left_out));
    assert_int_equal(left_out, 2);
    assert_int_equal(list.count, 5);
    assert_int_equal(list.single_count, 1);
    assert_non_null(strstr(list.single, "many/g/ct-0000.dcm"));
    int same_patient = 0;
    for (int i = 0; i < 5; i++) {
        assert_null(list.items[i].unmatched_segmentation);
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

    int64_t without = 0;
    char path[PATH_SIZE];
    assert_ok(series_keep_segmented(&list, &without, path));
    assert_int_equal(without, 1);
    assert_non_null(strstr(path, "many/e/ct-000"));
    assert_int_equal(list.count, 4);
    for (int i = 0; i < 4; i++) assert_int_equal(list.items[i].segmentation_count, 1);
    series_list_free(&list);
    barrier();
}

static void reversed_normal(void **state) {
    (void)state;
    /* Columns run from the patient's left to right, rows from back to front of a prone patient:
     * the normal points to the feet, and slice 0 is the highest. */
    series_list list;
    int64_t left_out;
    write_examination("prone", "P1", "prone", DEPTH);
    shell("cd prone && rm seg.dcm && dcmodify -q -nb -m '(0020,0037)=1\\0\\0\\0\\-1\\0' *");
    assert_ok(series_scan(world, in_home("prone"), DICOM_SEG, &list, &left_out));
    assert_true(fabs(list.items[0].space.origin[2] - (-250 + 5 * 1.5)) < 1e-9);
    const double direction[9] = {0, 0, -1, 0, -1, 0, 1, 0, 0};
    for (int i = 0; i < 9; i++) assert_true(list.items[0].space.direction[i] == direction[i]);
    assert_non_null(strstr(list.items[0].slices[0].path, "ct-0005"));
    series_list_free(&list);
    barrier();
}

static void names_what_is_at_fault(void **state) {
    (void)state;
    shell("mkdir empty && mkdir -p hollow/within");
    scan_fails("empty", "empty: the folder holds no files");
    scan_fails("hollow", "hollow: the folder holds no files");
    scan_fails("absent", "absent: cannot list the folder");

    static const struct {
        const char *damage, *reason;
    } cases[] = {
        {"echo hello > notes.txt", "notes.txt: not a DICOM file"},
        {"rm ct-0002.dcm", "ct-0003.dcm: 3 mm to the slice before"},
        {"rm ct-0001.dcm ct-0002.dcm ct-0003.dcm ct-0004.dcm ct-0005.dcm", "the only slice"},
        {"rm ct-*", "is a CT slice"},
        {"cp ct-0001.dcm copy.dcm", "ct-0001.dcm: lies at the same position as"},
        {"dcmodify -q -nb -m '(0020,0032)=-3\\4\\-246.97' ct-0002.dcm", "mm to the slice before"},
        {"dcmodify -q -nb -ea '(0020,0032)' ct-0004.dcm", "ct-0004.dcm: ImagePositionPatient"},
        {"dcmodify -q -nb -m '(0028,0010)=4' ct-0004.dcm", "number of rows or columns"},
        {"dcmodify -q -nb -m '(0028,0030)=0.5\\0.5' ct-0004.dcm", "pixel spacing"},
        {"dcmodify -q -nb -m '(0020,0037)=1\\0\\0\\0\\0\\1' ct-0004.dcm", "orientation"},
        {"dcmodify -q -nb -m '(0010,0020)=P2' ct-0004.dcm", "patient ID"},
        {"dcmodify -q -nb -m '(0020,0032)=-3\\9\\-242.5' ct-0005.dcm", "tilted gantry"},
        {"ln -s nowhere link", "link: cannot read"},
        {"truncate -s 300 ct-0003.dcm", "ct-0003.dcm: not a readable DICOM file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_examination("fault", "P1", "fault", DEPTH);
        shell("cd fault && %s", cases[i].damage);
        scan_fails("fault", cases[i].reason);
        shell("rm -r fault");
    }
}

static void cut_pixels_are_found_when_read(void **state) {
    (void)state;
    series_list list;
    int64_t left_out;
    volume v;
    write_examination("cut", "P1", "cut", DEPTH);
    shell("truncate -s -20 cut/ct-0003.dcm");
    assert_ok(series_scan(world, in_home("cut"), DICOM_SEG, &list, &left_out));
    assert_int_equal(series_read(&list.items[0], &v), ST_INPUT);
    assert_says("ct-0003.dcm");
    assert_null(v.hu);
    series_list_free(&list);
    barrier();
}

static void rounded_positions_are_even(void **state) {
    (void)state;
    series_list list;
    int64_t left_out;
    write_examination("rounded", "P1", "rounded", DEPTH);
    shell("cd rounded && dcmodify -q -nb -m '(0020,0032)=-3\\4\\-247.01' ct-0002.dcm");
    assert_ok(series_scan(world, in_home("rounded"), DICOM_SEG, &list, &left_out));
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
        const dicom_identity who = {"BOMB", "a test", "bomb"};
        assert_ok(volume_alloc(&v));
        assert_ok(dicom_write_volume(in_home("bomb"), &who, &v, NULL));
        volume_free(&v);
    }
    barrier();
    shell("cd bomb && dcmcjpls +el ct-0000.dcm 0.dcm && rm ct-0000.dcm && "
          "for z in $(seq 1 %d); do cp 0.dcm $z.dcm && "
          "dcmodify -q -nb -m '(0020,0032)=0\\0\\'$z $z.dcm || exit 1; done",
          MANY - 1);
    scan_fails("bomb",
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
        cmocka_unit_test(reversed_normal),
        cmocka_unit_test(names_what_is_at_fault),
        cmocka_unit_test(cut_pixels_are_found_when_read),
        cmocka_unit_test(rounded_positions_are_even),
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
