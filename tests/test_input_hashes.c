/* A stop request ends the hashing of many files after a round, keeps what is done, and the next run
 * goes on there; a file that changes after it was hashed is named. (For the rest see
 * tests/test_input_hashes.py.)
 *
 * The program starts itself again under mpirun.
 */
#include "pipeline/ingest/input_hashes.h"

#include "tests/ranks.h"
#include "tests/scratch.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { FILES = 500 };

/* The content follows from the number; the times are long past. */
static bool write_file(const char *path, int number) {
    const struct timespec past[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000 + number}};
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    fprintf(f, "file %d\n", number);
    return fclose(f) == 0 && utimensat(AT_FDCWD, path, past, 0) == 0;
}

static bool hash_is_right(const input_file *file, int number) {
    char text[32], hex[SHA256_HEX];
    int bytes = snprintf(text, sizeof text, "file %d\n", number);
    return bytes_sha256(text, bytes, hex) == ST_OK && strcmp(hex, file->sha256) == 0 &&
           file->bytes == bytes;
}

static void stopped_and_resumed(const stage_context *context, const char *const *paths,
                                const char *record) {
    const comm *c = context->comm;
    int stop = comm_rank(c) == 1;
    stage_context own = *context, *s = &own;
    int64_t kept = 0;
    input_file *files = NULL;
    s->stop_requested = &stop;
    expect(c, input_hashes(s, paths, FILES, &files) == ST_STOPPED, "was not stopped");
    expect(c, !files && strstr(status_message(), "192 of 500"), status_message());
    expect(c, input_record_check(record, &kept) == ST_OK && kept == 3 * 64,
           "the record after a stop");
    comm_barrier(c);

    /* What was recorded is not read again: a change that keeps size and time goes unseen. */
    if (comm_rank(c) == 0) {
        FILE *f = fopen(paths[7], "r+b");
        const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000007}};
        expect(c, f && fputc('F', f) == 'F' && fclose(f) == 0, "a change");
        expect(c, utimensat(AT_FDCWD, paths[7], times, 0) == 0, "a time");
    }
    comm_barrier(c);
    /* A second stop loses nothing of the first. */
    expect(c, input_hashes(s, paths, FILES, &files) == ST_STOPPED, "was not stopped again");
    expect(c, input_record_check(record, &kept) == ST_OK && kept == 3 * 64, "the second record");
    stop = 0;
    expect(c, comm_barrier(c) == ST_OK, "barrier");
    expect(c, input_hashes(s, paths, FILES, &files) == ST_OK, "the run after it failed");
    int wrong = 0;
    for (int i = 0; i < FILES && files; i++) wrong += !hash_is_right(&files[i], i);
    expect(c, files && wrong == 0, "hashes differ");
    free(files);
    /* A stop before the known files are seen does not shorten the record. */
    stop = 1;
    files = NULL;
    expect(c, input_hashes(s, paths, FILES, &files) == ST_STOPPED, "was not stopped late");
    expect(c, input_record_check(record, &kept) == ST_OK && kept == FILES, "the full record");
    comm_barrier(c);
    stop = 0;
    s->rehash = true;
    expect(c, input_hashes(s, paths, FILES, &files) == ST_OK, "--rehash failed");
    expect(c, files && !hash_is_right(&files[7], 7) && hash_is_right(&files[8], 8), "--rehash");
    s->rehash = false;

    /* Changed after it was hashed; gone. */
    comm_barrier(c);
    if (files) expect(c, input_file_check(&files[9], paths[9]) == ST_OK, "changed?");
    comm_barrier(c);
    if (comm_rank(c) == 0) expect(c, write_file(paths[9], 90), "write");
    comm_barrier(c);
    if (files) expect(c, input_file_check(&files[9], paths[9]) == ST_INPUT, "a change went unseen");
    expect(c, strstr(status_message(), paths[9]) != NULL, status_message());
    comm_barrier(c);
    if (comm_rank(c) == 0) unlink(paths[10]);
    comm_barrier(c);
    input_file *none = NULL;
    expect(c, input_hashes(s, paths, FILES, &none) == ST_INPUT && !none, "a missing file");
    expect(c, strstr(status_message(), paths[10]) != NULL, status_message());
    free(files);
}

static int rank_main(int argc, char **argv, const char *place) {
    comm *c = NULL;
    if (comm_start(&argc, &argv, &c) != ST_OK) return 1;
    static char names[FILES][PATH_SIZE], record[PATH_SIZE];
    const char *paths[FILES];
    journal *log = NULL;
    study study;
    study_defaults(&study);
    stage_context s = {.comm = c, .study = &study};
    snprintf(study.ingest.dicom, sizeof study.ingest.dicom, "%s/archive", place);
    snprintf(study.out, sizeof study.out, "%s/run", place);
    snprintf(record, sizeof record, "%s/run/ingest-files.json", place);
    bool ready =
        file_make_dirs(study.ingest.dicom) == ST_OK && log_open(NULL, false, &log) == ST_OK;
    for (int i = 0; i < FILES; i++) {
        snprintf(names[i], sizeof names[i], "%s/archive/%03d", place, i);
        paths[i] = names[i];
        if (comm_rank(c) == 0) ready &= write_file(names[i], i);
    }
    s.log = log;
    expect(c, ready, "the set-up failed");
    comm_barrier(c);
    stopped_and_resumed(&s, paths, record);
    log_close(log);
    bool good = none_failed(c);
    comm_stop(c);
    return !good;
}

int main(int argc, char **argv) {
    char command[sizeof self + PATH_SIZE];
    if (argc == 3 && strcmp(argv[1], "ranks") == 0) return rank_main(argc, argv, argv[2]);
    if (!find_self() || !begin_scratch()) return 1;
    snprintf(command, sizeof command, "timeout 100 mpirun --oversubscribe -n 3 '%s' ranks '%s'",
             self, home);
    int result = system(command);
    if (!end_scratch()) return 1;
    return result != -1 && WIFEXITED(result) && WEXITSTATUS(result) == 0 ? 0 : 1;
}
