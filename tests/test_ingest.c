/* A request to stop that reaches one rank of three stops all three: nothing is published, no rank
 * waits for another, and the next run ingests the rest. (For the rest see tests/test_ingest.py.)
 *
 * The program starts itself again under mpirun.
 */
#include "io/dicom.h"
#include "io/store.h"
#include "pipeline/stage.h"
#include "tests/scratch.h"

enum { PATIENTS = 5 };

static status write_patients(const char *directory) {
    status st = ST_OK;
    for (int i = 0; i < PATIENTS && st == ST_OK; i++) {
        char path[PATH_SIZE], name[16];
        volume v = {.space = {.shape = {3, 8, 8},
                              .spacing = {2, 1, 1},
                              .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}}};
        dicom_identity who = {.description = "test"};
        snprintf(name, sizeof name, "patient-%d", i);
        snprintf(who.patient_id, sizeof who.patient_id, "%s", name);
        snprintf(who.seed_text, sizeof who.seed_text, "%s", name);
        st = path_join(path, directory, name);
        if (st == ST_OK) st = file_make_dirs(path);
        if (st == ST_OK) st = volume_alloc(&v);
        if (st == ST_OK) st = dicom_write_volume(path, &who, &v, NULL);
        volume_free(&v);
    }
    return st;
}

static int expect(const comm *c, bool truth, const char *what) {
    if (!truth)
        fprintf(stderr, "rank %d: %s (last message: %s)\n", comm_rank(c), what, status_message());
    return !truth;
}

/* One of the ranks. */
static int rank_main(int argc, char **argv, const char *place) {
    comm *c = NULL;
    if (comm_start(&argc, &argv, &c) != ST_OK) return 1;
    int failures = 0, stop = comm_rank(c) == 1;
    journal *log = NULL;
    char store_path[PATH_SIZE], manifest_path[PATH_SIZE];
    study study;
    study_defaults(&study);
    study.ingest.labels = LABELS_FROM_THRESHOLDS;
    study.ingest.threshold_count = 1;
    study.ingest.thresholds[0] = (study_threshold){"soft", -100, 200};
    stage_context s = {.comm = c, .study = &study, .stop_requested = &stop};
    status st = path_join(study.ingest.dicom, place, "dicom");
    if (st == ST_OK) st = path_join(study.out, place, "run");
    if (st == ST_OK) st = path_join(store_path, study.out, "store");
    if (st == ST_OK) st = path_join(manifest_path, store_path, "manifest.json");
    if (st == ST_OK && comm_rank(c) == 0) st = write_patients(study.ingest.dicom);
    if (st == ST_OK) st = log_open(NULL, false, &log);
    s.log = log;
    st = comm_agree(c, st);
    failures += expect(c, st == ST_OK, "the set-up failed");
    if (st == ST_OK) {
        failures += expect(c, ingest_stage(&s) == ST_STOPPED, "ingest was not stopped");
        failures += expect(c, strstr(status_message(), "run again") != NULL, "no advice");
        failures += expect(c, !file_exists(manifest_path), "a stopped store was published");
        stop = 0;
        failures += expect(c, comm_barrier(c) == ST_OK, "barrier");
        failures += expect(c, ingest_stage(&s) == ST_OK, "the run after it failed");
        store *whole = NULL;
        failures += expect(c, store_open(store_path, &whole) == ST_OK, "the store does not open");
        failures += expect(c, whole && store_count(whole) == PATIENTS, "volumes are missing");
        store_close(whole);
    }
    log_close(log);
    comm_stop(c);
    return failures > 0;
}

int main(int argc, char **argv) {
    char command[2 * PATH_SIZE], self[PATH_SIZE];
    if (argc == 3 && strcmp(argv[1], "rank") == 0) return rank_main(argc, argv, argv[2]);
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0 || !begin_scratch()) return 1;
    self[length] = 0;
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    snprintf(command, sizeof command, "timeout 100 mpirun --oversubscribe -n 3 '%s' rank '%s'",
             self, home);
    int result = system(command);
    if (!end_scratch()) return 1;
    return result != -1 && WIFEXITED(result) && WEXITSTATUS(result) == 0 ? 0 : 1;
}
