/* `ctaug verify` accepts a complete output folder; it finds and names any flipped byte and any
 * truncated or missing file. */
#include "io/checkpoint.h"
#include "io/log.h"
#include "io/manifest.h"
#include "io/store.h"
#include "pipeline/cli/verb.h"
#include "pipeline/common/history.h"
#include "tests/scratch.h"

static comm *world;

static void make_store(const char *directory) {
    static const label_set labels = {2, {"background", "bone"}};
    store_entry e = {.id = "p-1",
                     .space = {.shape = {3, 8, 8},
                               .spacing = {1, 1, 1},
                               .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}}};
    const store_plan plan = {.directory = directory,
                             .fingerprint = "f00d",
                             .labels = &labels,
                             .entries = &e,
                             .count = 1,
                             .shard_bytes = 1 << 20};
    store_writer *w;
    volume v = {.space = e.space};
    snprintf(v.id, sizeof v.id, "%s", e.id);
    assert_int_equal(volume_alloc(&v), ST_OK);
    for (int i = 0; i < 192; i++) v.hu[i] = (int16_t)(i * 37 % 1000);
    assert_int_equal(store_writer_open(world, &plan, &w), ST_OK);
    assert_int_equal(store_writer_put(w, 0, &v), ST_OK);
    assert_int_equal(store_writer_finish(w, ST_OK), ST_OK);
    volume_free(&v);
}

static void make_checkpoint(void) {
    float data[4] = {1, 2, 3, 4};
    const checkpoint_array a = {.name = "ema/a", .rank = 1, .shape = {4}, .at = data};
    history h = {0};
    assert_int_equal(checkpoint_write(in_home("run/checkpoints"), 10, "f00d", &a, 1, NULL, 0, 1),
                     ST_OK);
    assert_int_equal(history_add(&h.train, 10, 0.1), ST_OK);
    assert_int_equal(history_write(&h, in_home("run/checkpoints/history.json")), ST_OK);
    history_free(&h);
}

static void make_events(void) {
    journal *j = NULL;
    for (int run = 0; run < 2; run++) {
        assert_int_equal(log_open(in_home("run"), true, &j), ST_OK);
        log_event(j, "start", json_pack("{s:i}", "run", run));
        log_event(j, "end", json_pack("{s:f}", "loss", 0.1)); /* 17 digits, the last one idle */
        log_close(j);
    }
}

static void make_metrics(void) {
    manifest m = {.kind = "metrics", .fingerprint = "f00d"};
    const char *directory = in_home("run/metrics");
    assert_int_equal(file_make_dirs(directory), ST_OK);
    assert_int_equal(
        file_write_atomic(in_home("run/metrics/metrics.json"), "{\"fid\": 12.5}\n", 14), ST_OK);
    assert_int_equal(manifest_add_file(&m, directory, "metrics.json"), ST_OK);
    assert_int_equal(manifest_write(&m, directory), ST_OK);
    manifest_free(&m);
}

static void make_run(void) {
    assert_int_equal(file_remove_tree(in_home("run")), ST_OK);
    make_store(in_home("run/store"));
    make_checkpoint();
    make_store(in_home("run/synthetic"));
    make_metrics();
    assert_int_equal(file_write_atomic(in_home("run/study.yaml"), "seed: 1\n", 8), ST_OK);
    make_events();
}

/* Sends the output of verify to a file. */
static status verify(const char *directory) {
    char argument[PATH_SIZE];
    snprintf(argument, sizeof argument, "%s", directory);
    char verb[] = "verify", *argv[] = {verb, argument, NULL};
    fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    FILE *out = fopen(in_home("out"), "w");
    assert_true(out && kept >= 0 && dup2(fileno(out), STDOUT_FILENO) >= 0);
    status st = verify_verb(world, 2, argv);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    fclose(out);
    return st;
}

static bool said(const char *words) {
    char *text;
    int64_t bytes;
    assert_int_equal(file_read(in_home("out"), 1 << 20, &text, &bytes), ST_OK);
    bool found = strstr(text, words) != NULL;
    free(text);
    return found;
}

static void whole_runs_are_good(void **state) {
    (void)state;
    make_run();
    assert_int_equal(verify(in_home("run")), ST_OK);
    assert_true(said("run/store ") && said("run/metrics ") && said("all good: 4 published") &&
                said("loss curve, good") && said("4 events, chain good"));
    assert_int_equal(verify(in_home("run/store")), ST_OK);
    assert_true(said("all good: 1 published"));
}

static void every_flipped_byte_is_found(void **state) {
    (void)state;
    static const struct {
        const char *file, *names;
    } victims[] = {
        {"run/store/shard-00000.h5", "shard-00000.h5"},
        {"run/store/index.h5", "index.h5"},
        {"run/store/manifest.json", "run/store"},
        {"run/metrics/metrics.json", "metrics.json"},
        {"run/metrics/manifest.json", "run/metrics"},
        {"run/checkpoints/step-00000010/state.h5", "state.h5"},
        {"run/checkpoints/step-00000010/manifest.json", "step-00000010"},
        {"run/checkpoints/history.json", "history.json"},
        {"run/synthetic/shard-00000.h5", "run/synthetic"},
        {"run/events.jsonl", "events.jsonl"},
    };
    make_run();
    for (size_t v = 0; v < sizeof victims / sizeof *victims; v++) {
        int64_t bytes;
        assert_int_equal(file_size(in_home(victims[v].file), &bytes), ST_OK);
        const bool text = strstr(victims[v].file, ".json") != NULL;
        for (int64_t at = 0; at < bytes; at += text ? 1 : 1 + bytes / 12) {
            flip_bit(in_home(victims[v].file), at);
            status st = verify(in_home("run"));
            if (st != ST_INTEGRITY || !strstr(status_message(), victims[v].names))
                fail_msg("%s byte %d: %d %s", victims[v].file, (int)at, st, status_message());
            assert_true(said("DAMAGED"));
            flip_bit(in_home(victims[v].file), at);
        }
    }
    assert_int_equal(verify(in_home("run")), ST_OK);
}

static void missing_and_cut_files_are_found(void **state) {
    (void)state;
    make_run();
    assert_int_equal(truncate(in_home("run/store/shard-00000.h5"), 100), 0);
    assert_int_equal(verify(in_home("run")), ST_INTEGRITY);
    assert_says("shard-00000.h5");
    assert_true(said("run/metrics") && said("good")); /* the others are still checked */
    make_run();
    assert_int_equal(unlink(in_home("run/metrics/metrics.json")), 0);
    assert_int_equal(verify(in_home("run")), ST_INTEGRITY);
    assert_says("metrics.json");
}

/* Each output in turn, a checkpoint in another's directory, a line of events taken out. */
static void what_a_run_must_hold_is_missed(void **state) {
    (void)state;
    static const char *const outputs[] = {"run/store", "run/checkpoints/step-00000010",
                                          "run/synthetic"};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        make_run();
        assert_int_equal(file_remove_tree(in_home(outputs[i])), ST_OK);
        assert_int_equal(verify(in_home("run")), ST_INTEGRITY);
        assert_says("missing, though later outputs exist");
    }
    make_run();
    assert_int_equal(file_remove_tree(in_home("run/metrics")), ST_OK);
    assert_int_equal(verify(in_home("run")), ST_OK);
    assert_true(said("run/metrics") && said("not made yet"));
    make_run();
    assert_int_equal(
        rename(in_home("run/checkpoints/step-00000010"), in_home("run/checkpoints/step-00000020")),
        0);
    assert_int_equal(verify(in_home("run")), ST_INTEGRITY);
    assert_says("holds the checkpoint step-00000010");
    make_run();
    char *text = NULL;
    int64_t bytes = 0;
    assert_int_equal(file_read(in_home("run/events.jsonl"), 1 << 20, &text, &bytes), ST_OK);
    char *second = strchr(text, '\n') + 1, *third = strchr(second, '\n') + 1;
    memmove(second, third, strlen(third) + 1);
    put_file(in_home("run/events.jsonl"), text, (int64_t)strlen(text));
    free(text);
    assert_int_equal(verify(in_home("run")), ST_INTEGRITY);
    assert_says("events.jsonl:2: this line or one before it was changed or removed");
}

static void what_has_no_manifest_is_not_published(void **state) {
    (void)state;
    make_run();
    assert_int_equal(unlink(in_home("run/metrics/manifest.json")), 0);
    assert_int_equal(verify(in_home("run")), ST_INTEGRITY);
    assert_says("run/metrics: its manifest.json is missing");
    assert_true(said("1 file that nothing vouches for"));
    assert_int_equal(verify(in_home("run/metrics")), ST_INPUT);
    assert_int_equal(verify("/nonexistent"), ST_INPUT);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_runs_are_good),
        cmocka_unit_test(every_flipped_byte_is_found),
        cmocka_unit_test(missing_and_cut_files_are_found),
        cmocka_unit_test(what_a_run_must_hold_is_missed),
        cmocka_unit_test(what_has_no_manifest_is_not_published),
    };
    if (comm_start(&argc, &argv, &world) != ST_OK || !begin_scratch()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!end_scratch()) failed++;
    comm_stop(world);
    return failed;
}
