/* Makes the files in rounds of one for each rank; a finished one has a part with its hash beside it
 * until all are published. */
#include "pipeline/common/file_set.h"

#include "io/activity.h"
#include "io/part_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAME = 64 };

static void name_of(const file_set *f, int64_t i, const char *ending, char name[NAME]) {
    snprintf(name, NAME, "%s-%07" PRId64 "%s", f->kind, i, ending);
}

/* Whether an earlier run has finished the file: beside it is a part with its hash. Local. */
static bool is_finished(const file_set *f, const char *path, const char *mark) {
    char found[SHA256_HEX], wanted[SHA256_HEX];
    return part_read(mark, f->fingerprint, wanted, sizeof wanted) == ST_OK &&
           file_sha256(path, found) == ST_OK && memcmp(found, wanted, sizeof found) == 0;
}

/* Local. */
static status make_file(const file_set *f, const file_maker *maker, int64_t i) {
    status st = ST_OK;
    char name[NAME], path[PATH_SIZE], mark[PATH_SIZE], sha256[SHA256_HEX];
    name_of(f, i, ".h5", name);
    TRY(path_join(path, f->folder, name));
    name_of(f, i, ".part", name);
    TRY(path_join(mark, f->folder, name));
    if (is_finished(f, path, mark)) goto done;
    TRY(maker->make(maker->context, i, path));
    TRY(file_sha256(path, sha256));
    TRY(part_write(mark, f->fingerprint, sha256, sizeof sha256));
    activity_saved(true);
done:
    return st;
}

/* Collective. */
static status make_files(const file_set *f, const file_maker *maker) {
    status st = ST_OK;
    const stage_context *s = f->stage;
    const int64_t rank = comm_rank(s->comm), ranks = comm_size(s->comm);
    char counted[NAME];
    snprintf(counted, sizeof counted, "files of %s", f->kind);
    for (int64_t first = 0; first < f->files; first += ranks) {
        bool stop = false;
        if (first + rank < f->files) st = make_file(f, maker, first + rank);
        TRY(comm_agree(s->comm, st));
        activity_step(first);
        const int64_t made = first + ranks;
        log_progress_set(s->log, made < f->files ? made : f->files, counted);
        TRY(stage_should_stop(s, &stop));
        if (stop)
            TRY(status_fail(ST_STOPPED, "stopped; the %s made so far are kept: run again to resume",
                            f->kind));
    }
done:
    return st;
}

/* Takes the reference to detail. Local; called on rank 0. */
static status publish(const file_set *f, json_t *detail) {
    status st = ST_OK;
    manifest m = {.detail = detail};
    char name[NAME], path[PATH_SIZE];
    snprintf(m.kind, sizeof m.kind, "%s", f->kind);
    memcpy(m.fingerprint, f->fingerprint, sizeof m.fingerprint);
    for (int64_t i = 0; i < f->files; i++) {
        name_of(f, i, ".h5", name);
        TRY(manifest_add_file(&m, f->folder, name));
    }
    TRY(manifest_write(&m, f->folder));
    for (int64_t i = 0; i < f->files; i++) {
        name_of(f, i, ".part", name);
        TRY(path_join(path, f->folder, name));
        TRY(file_remove_tree(path));
    }
done:
    manifest_free(&m);
    return st;
}

/* An empty place, or one with files of an interrupted run. Local; called on rank 0. */
static status clear_place(const file_set *f) {
    status st = ST_OK;
    TRY(file_make_dirs(f->folder));
    TRY(manifest_remove(f->folder));
    TRY(file_remove_temporaries(f->folder));
done:
    return st;
}

status file_set_make(const file_set *f, const file_maker *maker, json_t *detail) {
    status st = ST_OK;
    const stage_context *s = f->stage;
    bool current = false;
    TRY(comm_agree(s->comm, detail ? ST_OK : status_memory("a manifest", 0)));
    TRY(stage_is_current(s, f->folder, f->kind, f->fingerprint, &current));
    if (current) goto done;
    stage_works(s);
    log_info(s->log, "%s, in %s", maker->what, f->folder);
    TRY(comm_agree(s->comm, comm_rank(s->comm) == 0 ? clear_place(f) : ST_OK));
    TRY(comm_agree(s->comm, maker->open(maker->context)));
    log_progress_begin(s->log, f->kind, f->files);
    st = make_files(f, maker);
    log_progress_end(s->log);
    if (st == ST_OK && comm_rank(s->comm) == 0) {
        st = publish(f, detail);
        detail = NULL;
    }
    st = comm_agree(s->comm, st);
done:
    json_decref(detail);
    return st;
}

status file_set_path(const file_set *f, int64_t i, char path[PATH_SIZE]) {
    char name[NAME];
    name_of(f, i, ".h5", name);
    return path_join(path, f->folder, name);
}

status file_set_is_there(const file_set *f, bool *published) {
    status st = ST_OK;
    const comm *c = f->stage->comm;
    char path[PATH_SIZE];
    int64_t there = 0;
    TRY(comm_agree(c, path_join(path, f->folder, "manifest.json")));
    if (comm_rank(c) == 0) there = file_exists(path);
    TRY(comm_broadcast(c, &there, sizeof there, 0));
    *published = there != 0;
done:
    return st;
}

status file_set_check(const file_set *f, int64_t i, char path[PATH_SIZE]) {
    status st = ST_OK;
    manifest m = {0};
    TRY(manifest_read(f->folder, f->kind, &m));
    if (m.count != f->files)
        TRY(status_fail(ST_INTEGRITY, "%s holds %" PRId64 " files, not %" PRId64, f->folder,
                        m.count, f->files));
    TRY(manifest_check_file(&m, f->folder, i));
    TRY(path_join(path, f->folder, m.files[i].name));
done:
    manifest_free(&m);
    return st;
}
