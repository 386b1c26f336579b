/* `ctaug verify`: checks every published directory below a directory, and that a run directory has
 * what it must have.
 *
 * In a directory with manifest.json the sizes and hashes of all files are compared with it, and in
 * a store every dataset is read. In a run directory (one with study.yaml) the loss curve and the
 * chain of events are checked, and an output that is missing although later ones exist is damage.
 * What nothing vouches for is listed as such. The walk continues after damage, so that one run
 * shows all of it.
 */
#include "io/event_chain.h"
#include "io/manifest.h"
#include "io/printable.h"
#include "io/store.h"
#include "pipeline/cli/verb.h"
#include "pipeline/common/history.h"
#include "pipeline/ingest/input_hashes.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char verify_help[] =
    "usage: ctaug verify DIR\n"
    "\n"
    "Checks every published directory at or below DIR (a store, a checkpoint, a run directory):\n"
    "sizes and SHA-256 of all files against their manifest, and that every volume of a store can\n"
    "be read. In a run directory also the loss curve, the chain of events.jsonl, and that no "
    "output\n"
    "is missing before later ones. Lists everything that is damaged or missing with the command\n"
    "that mends it, and ends with exit code 5 and the name of the first such file.\n"
    "\n"
    "  ctaug verify runs/my-study\n";

/* An output of a stage. */
typedef struct output {
    const char *name, *kind, *verb;
    bool below;
    bool in_sets;  /* with labelled sets, each of them has one */
    bool optional; /* only some studies have it */
} output;

/* In the order in which stages make them. */
static const output outputs[] = {
    {"store", "store", "ingest", false, false, false},
    {"autoencoder", "autoencoder", "autoencode", false, false, true},
    {"referee", "referee", "referee", false, true, true},
    {"reconstructed", "reconstructed", "referee", false, true, true},
    {"pseudo", "store", "referee", false, true, true},
    {"text", "text", "text", false, true, true},
    {"latents", "latents", "train", true, true, true},
    {"checkpoints", "checkpoint", "train", true, true, false},
    {"guidance", "guidance", "generate", false, true, true},
    {"synthetic", "store", "generate", false, true, false},
    {"synthetic-gaussian", "store", "generate", false, true, true},
    {"synthetic-gan", "store", "generate", false, true, true},
    {"synthetic-inpaint", "store", "generate", false, true, true},
    {"synthetic-heldout", "store", "generate", false, true, true},
    {"synthetic-gaussian-heldout", "store", "generate", false, true, true},
    {"synthetic-gan-heldout", "store", "generate", false, true, true},
    {"fidelity", "fidelity", "evaluate", false, true, true},
    {"metrics", "metrics", "evaluate", false, false, false},
    {"gate", "gate", "gate", false, true, true},
    {"report", "report", "report", false, false, false}};
enum { OUTPUTS = sizeof outputs / sizeof *outputs };

/* Counts of the walk, and the first damage. */
typedef struct tally {
    int64_t directories, files, bytes;
    status fault; /* of the first damage */
    char message[1024];
} tally;

/* One line of the table, safe for a terminal. */
__attribute__((format(printf, 2, 3))) static void print_line(const char *path, const char *format,
                                                             ...) {
    char text[2048], safe[4096], name[PATH_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    printable(text, false, safe, sizeof safe);
    printable(path, false, name, sizeof name);
    printf("%-40s %s\n", name, safe);
}

/* The present message is about damage in `path`. */
static void keep_fault(tally *t, const char *path, status st) {
    print_line(path, "DAMAGED: %s", status_message());
    if (t->fault != ST_OK) return;
    /* A missing or unreadable file is damage too, because something vouches for it. */
    t->fault = st == ST_INTERNAL ? st : ST_INTEGRITY;
    snprintf(t->message, sizeof t->message, "%s", status_message());
}

/* Every file on its own, so that all damage is shown. *good: there is none. */
static void check_files(const manifest *m, const char *directory, tally *t, bool *good) {
    char path[PATH_SIZE];
    for (int64_t i = 0; i < m->count; i++) {
        status st = manifest_check_size(m, directory, i);
        if (st == ST_OK) st = manifest_check_file(m, directory, i);
        if (st == ST_OK) {
            t->files++;
            t->bytes += m->files[i].bytes;
            continue;
        }
        *good = false;
        if (path_join(path, directory, m->files[i].name) == ST_OK) keep_fault(t, path, st);
    }
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* A checkpoint lies in the directory of its step. */
static status check_place(const manifest *m, const char *directory) {
    char wanted[64];
    if (strcmp(m->kind, "checkpoint") != 0) return ST_OK;
    snprintf(wanted, sizeof wanted, "step-%08" JSON_INTEGER_FORMAT,
             json_integer_value(json_object_get(m->detail, "step")));
    if (strcmp(base_name(directory), wanted) == 0) return ST_OK;
    return status_fail(ST_INTEGRITY, "%s: holds the checkpoint %s", directory, wanted);
}

/* Prints the command that mends a damaged directory of a run: repair for the archive's store whose
 * manifest is whole, else the stage that makes it. */
static void print_mend(const char *directory, bool manifest_good) {
    char run[PATH_SIZE], study[PATH_SIZE], name[PATH_SIZE];
    if (path_join(run, "", directory) != ST_OK) return;
    for (char *slash; (slash = strrchr(run, '/')) && slash > run;) {
        snprintf(name, sizeof name, "%s", slash + 1);
        *slash = '\0';
        if (path_join(study, run, "study.yaml") != ST_OK || !file_exists(study)) continue;
        const char *verb = strcmp(name, "sweep") == 0 ? "sweep" : "run";
        for (int i = 0; i < OUTPUTS; i++)
            if (strcmp(outputs[i].name, name) == 0) verb = outputs[i].verb;
        if (strcmp(verb, "ingest") == 0 && manifest_good) verb = "repair";
        print_line(directory, "to mend it: ctaug %s %s", verb, study);
        return;
    }
}

/* Checks a directory that has a manifest.json. */
static void check_directory(const char *directory, tally *t) {
    manifest m = {0};
    bool good = true;
    status st = manifest_read_alone(directory, NULL, &m);
    const bool manifest_good = st == ST_OK;
    if (st == ST_OK) st = check_place(&m, directory);
    if (st == ST_OK) check_files(&m, directory, t, &good);
    if (st == ST_OK && good && strcmp(m.kind, "store") == 0) st = store_verify(directory);
    if (st != ST_OK) keep_fault(t, directory, st);
    if (st != ST_OK || !good)
        print_mend(directory, manifest_good);
    else
        print_line(directory, "%s, %" PRId64 " file%s, good", m.kind, m.count,
                   m.count == 1 ? "" : "s");
    t->directories++;
    manifest_free(&m);
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

/* Whether a directory was set aside by ctaug because of damage. */
static bool is_set_aside(const char *directory) {
    return strstr(base_name(directory), ".damaged-") != NULL;
}

/* Whether a directory holds the parts of a stage, which checks them when it takes them. */
static bool is_parts(const char *directory) { return strstr(base_name(directory), ".parts"); }

/* Checks `directory` and everything below it. Symbolic links are not followed: a run directory has
 * none. */
static status walk(const char *directory, bool top, tally *t) {
    status st = ST_OK;
    char path[PATH_SIZE];
    struct dirent **entries = NULL;
    struct stat what;
    int64_t files = 0;
    int n = scandir(directory, &entries, visible, alphasort);
    if (n < 0)
        return status_fail(ST_INPUT, "verify: %s cannot be read: %s", directory, strerror(errno));
    TRY(path_join(path, directory, "manifest.json"));
    bool published = file_exists(path);
    if (is_set_aside(directory)) {
        print_line(directory, "set aside by a run because it was damaged");
        goto done;
    }
    if (published) check_directory(directory, t);
    for (int i = 0; i < n; i++) {
        TRY(path_join(path, directory, entries[i]->d_name));
        if (lstat(path, &what) != 0)
            TRY(status_fail(ST_INPUT, "verify: %s: %s", path, strerror(errno)));
        if (S_ISDIR(what.st_mode))
            TRY(walk(path, false, t));
        else
            files += !strstr(entries[i]->d_name, ".tmp.") &&
                     strcmp(entries[i]->d_name, "history.json") != 0;
    }
    if (files > 0 && is_parts(directory))
        print_line(directory, "%" PRId64 " parts, checked when they are taken", files);
    else if (files > 0 && !published && !top)
        print_line(directory, "%" PRId64 " file%s that nothing vouches for", files,
                   files == 1 ? "" : "s");
done:
    for (int i = 0; i < n; i++) free(entries[i]);
    free(entries);
    return st;
}

/* ---- a run directory ---- */

/* Whether <run>/<name> holds a published output of this kind; for checkpoints, whether any
 * directory below does. */
static bool has_output(const char *run, const char *name, const char *kind, bool below) {
    char path[PATH_SIZE], entry[PATH_SIZE];
    struct dirent *e;
    bool found = false;
    if (path_join(path, run, name) != ST_OK) return false;
    if (!below) {
        manifest m = {0};
        (void)manifest_read(path, kind, &m); /* what is damaged was found by the walk */
        found = m.kind[0] != '\0';
        manifest_free(&m);
        return found || (path_join(entry, path, "manifest.json") == ST_OK && file_exists(entry));
    }
    DIR *d = opendir(path);
    while (d && (e = readdir(d)))
        found |= strncmp(e->d_name, "step-", 5) == 0 && !is_set_aside(e->d_name) &&
                 !strstr(e->d_name, ".tmp.");
    if (d) closedir(d);
    return found;
}

/* Which outputs a directory should have. */
typedef enum output_choice { OUTPUTS_ALL, OUTPUTS_OF_SETS, OUTPUTS_OUTSIDE_SETS } output_choice;

static void check_outputs(const char *run, output_choice choice, tally *t) {
    char path[PATH_SIZE];
    int last = -1;
    for (int i = 0; i < OUTPUTS; i++)
        if (has_output(run, outputs[i].name, outputs[i].kind, outputs[i].below)) last = i;
    for (int i = 0; i < OUTPUTS; i++) {
        if (choice != OUTPUTS_ALL && outputs[i].in_sets != (choice == OUTPUTS_OF_SETS)) continue;
        if (path_join(path, run, outputs[i].name) != ST_OK) continue;
        if (has_output(run, outputs[i].name, outputs[i].kind, outputs[i].below)) continue;
        const bool there = file_exists(path) && !outputs[i].below;
        if (outputs[i].optional && !there) continue;
        if (i < last || there) {
            status_fail(ST_INTEGRITY, "%s: %s; ctaug %s makes it again", path,
                        there ? "its manifest.json is missing"
                              : "missing, though later outputs exist",
                        outputs[i].verb);
            keep_fault(t, path, ST_INTEGRITY);
        } else {
            print_line(path, "not made yet");
        }
    }
}

/* The outputs of the labelled sets (pipeline/cells/cells.h); false if the run has none. */
static bool check_sets(const char *run, tally *t) {
    char sets[PATH_SIZE], path[PATH_SIZE];
    struct dirent **entries = NULL;
    if (path_join(sets, run, "sets") != ST_OK) return false;
    int n = scandir(sets, &entries, visible, alphasort);
    for (int i = 0; i < n; i++) {
        if (path_join(path, sets, entries[i]->d_name) == ST_OK)
            check_outputs(path, OUTPUTS_OF_SETS, t);
        free(entries[i]);
    }
    free(entries);
    return n > 0;
}

static void check_history(const char *run, tally *t) {
    char path[PATH_SIZE];
    history h = {0};
    if (path_join(path, run, "checkpoints/history.json") != ST_OK || !file_exists(path)) return;
    status st = history_read(path, INFINITY, &h);
    if (st != ST_OK)
        keep_fault(t, path, st);
    else
        print_line(path, "loss curve, good");
    history_free(&h);
}

static void check_events(const char *run, tally *t) {
    char path[PATH_SIZE];
    event_chain_report r;
    if (path_join(path, run, "events.jsonl") != ST_OK || !file_exists(path)) return;
    status st = event_chain_verify(path, &r);
    if (st != ST_OK)
        keep_fault(t, path, st);
    else
        print_line(path, "%" PRId64 " events, chain good%s%s", r.lines,
                   r.torn ? ", some lines cut by a full disk" : "",
                   r.unchained ? ", the first of them by a version without a chain" : "");
}

static void check_input_record(const char *run, tally *t) {
    char path[PATH_SIZE];
    int64_t files = 0;
    if (path_join(path, run, INPUT_RECORD) != ST_OK) return;
    status st = input_record_check(path, &files);
    if (st != ST_OK)
        keep_fault(t, path, st);
    else if (files >= 0)
        print_line(path, "hashes of %" PRId64 " input files, good", files);
}

static void check_run(const char *run, tally *t) {
    char path[PATH_SIZE];
    if (path_join(path, run, "study.yaml") != ST_OK || !file_exists(path)) return;
    check_outputs(run, check_sets(run, t) ? OUTPUTS_OUTSIDE_SETS : OUTPUTS_ALL, t);
    check_history(run, t);
    check_events(run, t);
    check_input_record(run, t);
    print_line(path, "the study; nothing vouches for it, but every output follows from it");
}

static status verify_local(int argc, char **argv) {
    static const verb_option none[] = {{0}};
    status st = ST_OK;
    const char *directory = NULL;
    int n = 0;
    tally t = {0};
    TRY(verb_parse(argc, argv, none, &directory, 1, &n));
    if (n == 0) TRY(status_fail(ST_USAGE, "verify: which directory? See `ctaug verify --help`"));
    TRY(walk(directory, true, &t));
    check_run(directory, &t);
    if (t.fault != ST_OK) TRY(status_fail(t.fault, "%s", t.message));
    if (t.directories == 0)
        TRY(status_fail(ST_INPUT, "verify: nothing is published at or below %s", directory));
    printf("all good: %" PRId64 " published, %" PRId64 " files, %.1f MiB\n", t.directories, t.files,
           (double)t.bytes / (1 << 20));
    if (fflush(stdout) != 0 || ferror(stdout))
        st = status_fail(ST_STORAGE, "verify: standard output cannot be written: %s",
                         strerror(errno));
done:
    return st;
}

status verify_verb(const comm *c, int argc, char **argv) {
    return comm_agree(c, comm_rank(c) == 0 ? verify_local(argc, argv) : ST_OK);
}
