/* Runs a stage from the command line: reads the study, opens the run directory and its journal, and
 * selects the engine. After a stop on request it prints the command that resumes the run. */
#include "pipeline/cli/study_verb.h"

#include "io/real_path.h"
#include "pipeline/cells/cells.h"
#include "pipeline/common/held_out.h"
#include "pipeline/common/precision.h"
#include "pipeline/common/threads.h"
#include "pipeline/common/watchdog.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OVERRIDES_MAX = 256 };

static const int64_t WATCHDOG_DEFAULT = 300; /* seconds */

typedef struct arguments {
    const char *path;
    const char *overrides[OVERRIDES_MAX];
    int64_t count;
    int64_t watchdog;    /* seconds; 0: off */
    int64_t task, tasks; /* --task K/N; 0, 0: not given */
    bool share, rehash, check, strict;
} arguments;

static status parse_watchdog(const char *verb, const char *text, int64_t *seconds) {
    char *end;
    errno = 0;
    *seconds = strtoll(text, &end, 10);
    if (*text && !*end && errno == 0 && *seconds >= 0) return ST_OK;
    return status_fail(ST_USAGE,
                       "%s: --watchdog is \"%s\"; it must be a number of seconds, 0 for off", verb,
                       text);
}

/* "K/N", 0 <= K < N. */
static status parse_task(const char *verb, const char *text, arguments *out) {
    char rest;
    if (sscanf(text, "%" SCNd64 "/%" SCNd64 "%c", &out->task, &out->tasks, &rest) == 2 &&
        out->task >= 0 && out->task < out->tasks)
        return ST_OK;
    return status_fail(ST_USAGE, "%s: --task is \"%s\"; it must be K/N with K from 0 to N - 1",
                       verb, text);
}

/* The value of an option that is "--name value" or "--name=value"; NULL if argv[*i] is another one,
 * "" if the value is missing. */
static const char *value_of(int argc, char **argv, int *i, const char *name) {
    const size_t n = strlen(name);
    if (strncmp(argv[*i], name, n) != 0) return NULL;
    if (argv[*i][n] == '=') return argv[*i] + n + 1;
    if (argv[*i][n] != '\0') return NULL;
    return *i + 1 < argc ? argv[++*i] : "";
}

/* Parses STUDY.yaml and the options; verb_parse() does not support repeated ones. Local. */
static status parse(int argc, char **argv, arguments *out) {
    out->watchdog = WATCHDOG_DEFAULT;
    for (int i = 1; i < argc; i++) {
        const char *text = value_of(argc, argv, &i, "--set"), *seconds = NULL, *task = NULL;
        if (!text) seconds = value_of(argc, argv, &i, "--watchdog");
        if (!text && !seconds) task = value_of(argc, argv, &i, "--task");
        if (text && !*text) return status_fail(ST_USAGE, "%s: --set needs key=value", argv[0]);
        if (task) {
            status st = parse_task(argv[0], task, out);
            if (st != ST_OK) return st;
        } else if (seconds) {
            status st = parse_watchdog(argv[0], seconds, &out->watchdog);
            if (st != ST_OK) return st;
        } else if (text)
            ; /* below */
        else if (strcmp(argv[i], "--share") == 0)
            out->share = true;
        else if (strcmp(argv[i], "--rehash") == 0)
            out->rehash = true;
        else if (strcmp(argv[i], "--check") == 0 && strcmp(argv[0], "ingest") == 0)
            out->check = true;
        else if (strcmp(argv[i], "--strict") == 0)
            out->strict = true;
        else if (argv[i][0] == '-')
            return status_fail(ST_USAGE,
                               "%s: unknown option %s; there are --set key=value, --watchdog "
                               "seconds, --task K/N, --share, --rehash, --strict and, for ingest, "
                               "--check",
                               argv[0], argv[i]);
        else if (out->path)
            return status_fail(ST_USAGE, "%s: one study at a time: %s, %s", argv[0], out->path,
                               argv[i]);
        else
            out->path = argv[i];
        if (text && out->count == OVERRIDES_MAX)
            return status_fail(ST_USAGE, "%s: more than %d times --set", argv[0], OVERRIDES_MAX);
        if (text) out->overrides[out->count++] = text;
    }
    if (!out->path)
        return status_fail(ST_USAGE,
                           "%s: which study? `ctaug %s STUDY.yaml`; `ctaug init FILE` "
                           "writes one",
                           argv[0], argv[0]);
    return ST_OK;
}

/* Writes the effective study to <out>/study.yaml. Local. */
static status save_study(const study *s) {
    status st = ST_OK;
    char path[PATH_SIZE];
    char *text = NULL;
    int64_t bytes = 0;
    TRY(study_text(s, false, &text, &bytes));
    TRY(path_join(path, s->out, "study.yaml"));
    TRY(file_write_atomic(path, text, bytes));
done:
    free(text);
    return st;
}

/* Refuses a run directory inside the input folder `folder` of this key, whose files would be read
 * as input, and a folder inside the run directory. One that is not there is no fault here: only its
 * stage needs it. Local. */
static status check_apart(const study *s, const char *key, const char *folder) {
    status st = ST_OK;
    char input[PATH_SIZE], out[PATH_SIZE];
    if (!folder[0] || !file_exists(folder)) goto done;
    TRY(real_path(s->out, out));
    TRY(real_path(folder, input));
    const bool inside = real_path_is_in(out, input), around = real_path_is_in(input, out);
    if (inside || around)
        TRY(status_fail(ST_USAGE,
                        "out, %s, %s %s, %s: the files of a run must lie outside of it; name "
                        "another folder",
                        s->out,
                        inside && around ? "is also"
                        : inside         ? "is inside"
                                         : "contains",
                        key, folder));
done:
    return st;
}

static status check_place(const study *s) {
    status st = check_apart(s, "ingest.dicom", s->ingest.dicom);
    return st == ST_OK ? check_apart(s, "generate.masks", s->generate.masks) : st;
}

/* Whether a stage makes a file or folder of this name in the run directory, or one that is named
 * after it ("synthetic.parts-...", "checkpoints.earlier-1", "synthetic-gan-heldout"). */
static bool is_ours(const char *name) {
    static const char *const ours[] = {"study.yaml",
                                       "lock",
                                       "events.jsonl",
                                       "store",
                                       "checkpoints",
                                       "previews",
                                       "synthetic",
                                       "metrics",
                                       "report",
                                       "sets",
                                       "queue",
                                       "heartbeat",
                                       "synthetic-gaussian",
                                       "synthetic-gan",
                                       "autoencoder",
                                       "autoencoder-training",
                                       "text",
                                       "text-training",
                                       "referee",
                                       "pseudo",
                                       "gan",
                                       "distil",
                                       "pairs",
                                       "gate",
                                       "ingest-files.json",
                                       "ingest.json",
                                       "costs.json",
                                       "fidelity",
                                       "guidance",
                                       "maps",
                                       "arms",
                                       "sweep"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        const size_t n = strlen(ours[i]);
        if (strncmp(name, ours[i], n) != 0) continue;
        if (name[n] == '\0' || name[n] == '.') return true;
        if (strncmp(name + n, HELD_OUT, strlen(HELD_OUT)) == 0) return true;
    }
    return false;
}

/* ST_INTEGRITY if something of the run is a symbolic link: what is written through it would change
 * a file outside. The run directory itself may be one. Local. */
static status refuse_links(const char *out) {
    status st = ST_OK;
    char path[PATH_SIZE];
    struct dirent *entry;
    DIR *d = opendir(out);
    if (!d) return status_fail(ST_STORAGE, "%s: cannot list: %s", out, strerror(errno));
    while (errno = 0, (entry = readdir(d))) {
        if (!is_ours(entry->d_name)) continue;
        TRY(path_join(path, out, entry->d_name));
        TRY(file_refuse_links_below(path));
    }
    if (errno != 0) st = status_fail(ST_STORAGE, "%s: cannot list: %s", out, strerror(errno));
done:
    closedir(d);
    return st;
}

/* Opens the journal. On rank 0 it first creates and locks the run directory, so that no second run
 * writes to it, and saves the effective study there. Collective. */
static status open_run(const comm *c, const study *s, const arguments *a, int *lock,
                       journal **log) {
    status st = ST_OK;
    char path[PATH_SIZE], name[64] = "lock";
    /* Several tasks work in one run directory at once; the event log has one writer. */
    if (a->tasks > 0) snprintf(name, sizeof name, "lock.task-%" PRId64, a->task);
    bool first = comm_rank(c) == 0;
    *log = NULL;
    if (first) {
        TRY(check_place(s));
        TRY(file_make_dirs(s->out));
        TRY(path_join(path, s->out, name));
        TRY(file_lock(path, lock));
        TRY(refuse_links(s->out));
        TRY(save_study(s));
    }
    TRY(log_open(first && a->tasks == 0 ? s->out : NULL, first, log));
done:
    return comm_agree(c, st);
}

static void log_start(const stage_context *s, const char *verb) {
    int ranks = comm_size(s->comm), threads = omp_get_max_threads();
    log_info(s->log, "ctaug %s: study %s, ranks %d x threads %d, run directory %s", verb,
             s->study->name, ranks, threads, s->study->out);
    if (comm_rank(s->comm) == 0 && threads == 1 && threads_are_bound(s->comm))
        log_warning(s->log, "this rank is bound to one processor and others are idle; with mpirun, "
                            "use --bind-to none");
    log_event(s->log, "start",
              json_pack("{s:s, s:s, s:s, s:i, s:i}", "verb", verb, "version", CTAUG_VERSION,
                        "study", s->study->name, "ranks", ranks, "threads", threads));
}

/* Prints a word quoted for a POSIX shell. */
static void put_quoted(const char *text) {
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'') fputs("'\\'", stdout);
        putchar(*text);
    }
    putchar('\'');
}

static void print_how_to_continue(const comm *c, const char *verb, const arguments *a) {
    printf("stopped on request. To continue:\n\n  ");
    if (comm_size(c) > 1) printf("mpirun -n %d ", comm_size(c));
    printf("ctaug %s %s", verb, a->path);
    for (int64_t i = 0; i < a->count; i++) {
        printf(" --set ");
        put_quoted(a->overrides[i]);
    }
    if (a->watchdog != WATCHDOG_DEFAULT) printf(" --watchdog %" PRId64, a->watchdog);
    if (a->tasks > 0) printf(" --task %" PRId64 "/%" PRId64, a->task, a->tasks);
    if (a->share) printf(" --share");
    if (a->strict) printf(" --strict");
    printf("\n");
}

/* ST_USAGE if the study has no labelled sets that tasks could share, or fewer than tasks. Local. */
static status check_task(const study *s, const arguments *a, const char *verb) {
    static const char *const verbs[] = {"run", "referee",  "train",   "distil",
                                        "gan", "generate", "evaluate"};
    bool known = false;
    if (a->tasks == 0) return ST_OK;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) known |= strcmp(verb, verbs[i]) == 0;
    if (strcmp(verb, "sweep") == 0) return ST_OK; /* tasks beyond its arms have nothing to do */
    if (!known) return status_fail(ST_USAGE, "%s: --task is for what is made for each set", verb);
    if (s->evaluate.labelled.count == 0)
        return status_fail(ST_USAGE,
                           "%s: --task shares out the sets of evaluate.labelled, and it "
                           "is empty",
                           verb);
    if (a->tasks > cells_count(s))
        return status_fail(ST_USAGE,
                           "%s: %" PRId64 " tasks are more than the %" PRId64
                           " labelled sets of the study",
                           verb, a->tasks, cells_count(s));
    return ST_OK;
}

/* The directory whose heartbeats the watchdog watches: of tasks each has its own. Local. */
static status beat_directory(const study *s, const arguments *a, char path[PATH_SIZE]) {
    char name[64];
    snprintf(name, sizeof name, "queue.task-%" PRId64, a->task);
    if (a->tasks == 0) {
        memcpy(path, s->out, sizeof s->out);
        return ST_OK;
    }
    status st = path_join(path, s->out, name);
    return st == ST_OK ? file_make_dirs(path) : st;
}

status study_verb(const comm *c, int argc, char **argv, status (*stage)(const stage_context *),
                  const volatile int *stop_requested) {
    status st = ST_OK;
    arguments a = {0};
    study s;
    journal *log = NULL;
    char beats[PATH_SIZE];
    int lock = -1;
    watchdog *dog = NULL;
    tensor_type precision = TYPE_F32;
    TRY(comm_agree(c, parse(argc, argv, &a)));
    TRY(study_read(c, a.path, a.overrides, a.count, &s));
    const kernels *engine = kernels_of(s.engine);
    if (!a.share) umask(077); /* a run holds patients' data */
    TRY(precision_choose(c, s.train.precision, engine, &precision));
    TRY(comm_agree(c, check_task(&s, &a, argv[0])));
    TRY(open_run(c, &s, &a, &lock, &log));
    const stage_context context = {.comm = c,
                                   .study = &s,
                                   .log = log,
                                   .engine = engine,
                                   .precision = precision,
                                   .task = a.task,
                                   .tasks = a.tasks,
                                   .rehash = a.rehash,
                                   .check = a.check,
                                   .strict = a.strict,
                                   .stop_requested = stop_requested};
    log_start(&context, argv[0]);
    TRY(comm_agree(c, beat_directory(&s, &a, beats)));
    TRY(watchdog_start(c, beats, (double)a.watchdog, &dog));
    /* Together: a rank without heartbeat would count as silent. */
    st = comm_agree(c, stage(&context));
    watchdog_stop(dog);
    log_progress_end(log);
    log_event(log, "end", json_pack("{s:s, s:i}", "verb", argv[0], "code", (int)st));
    if (st == ST_STOPPED && comm_rank(c) == 0) print_how_to_continue(c, argv[0], &a);
done:
    log_close(log);
    file_unlock(lock);
    return st;
}
