/* The main program: finds the verb, starts MPI, runs the verb, and turns the returned status into
 * one message and the exit code. No other file prints a failure or exits. With one hidden verb it
 * is the decoder of another process (io/decoder.h), before there is any MPI.
 */
#include "io/decoder.h"
#include "io/nearest.h"
#include "io/printable.h"
#include "pipeline/cli/study_verb.h"
#include "pipeline/common/threads.h"
#include "pipeline/cli/verb.h"
#include "pipeline/sweep/sweep.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Set by wait_for_signals(). */
static volatile int stop_requested;

static const char run_help[] =
    "usage: ctaug run STUDY.yaml [--set key=value ...]\n"
    "\n"
    "Runs all stages: ingest, autoencode, referee, text, train, distil, gan, generate, evaluate,\n"
    "gate, report. Stages whose output is published and current are skipped, and so are\n"
    "autoencode, referee, text, distil and gan if nothing needs them; a stopped or killed run\n"
    "resumes from its last checkpoint.\n"
    "\n"
    "  ctaug run head.yaml\n"
    "  mpirun -n 2 ctaug run head.yaml --set train.steps=5000 --set out=runs/longer\n"
    "  mpirun -n 2 ctaug run head.yaml --set 'data.window=[-200, 300]'\n"
    "\n"
    "  mpirun -n 8 ctaug run head.yaml --watchdog 600 --share\n"
    "\n"
    "--watchdog SECONDS  ends the job if a rank hangs for so long (default 300; 0: off)\n"
    "--share             files are made with your umask instead of for you alone (0600)\n"
    "--rehash            reads the whole archive again instead of trusting sizes and times\n"
    "--strict            ends if anything in the archive is at fault, instead of leaving it out\n"
    "\n"
    "SIGUSR1 requests a stop after a checkpoint (exit code 75); without mpirun, or with\n"
    "jobs/mpirun.sh in its place, so do SIGTERM and Ctrl-C. mpirun itself kills the ranks.\n"
    "OMP_NUM_THREADS sets the threads of a rank; the default is its share of the node.\n";

static const char ingest_help[] =
    "usage: ctaug ingest STUDY.yaml [--set key=value ...]\n"
    "\n"
    "Reads the CT series below ingest.dicom, with label maps from DICOM SEG, RT Structure Sets,\n"
    "NIfTI or HU thresholds,\n"
    "into the store <out>/store. It is current if every file has the content it had; files of the\n"
    "same size and time are trusted unless --rehash is given.\n"
    "\n"
    "What is at fault is left out, listed with its reason, and written to <out>/ingest.json; the\n"
    "rest is stored.\n"
    "\n"
    "--check   scans all headers and prints the list; stores nothing\n"
    "--strict  stores nothing if anything is at fault (exit code 3)\n"
    "\n"
    "  mpirun -n 4 ctaug ingest head.yaml --set ingest.dicom=/data/ct\n";

static const char repair_help[] =
    "usage: ctaug repair STUDY.yaml [--set key=value ...]\n"
    "\n"
    "Makes the damaged files of <out>/store again from the archive: only the volumes in damaged\n"
    "shards are decoded. The files are byte by byte what they were, so that nothing else has to\n"
    "be made again. Archive and study must be those of the ingest. `ctaug verify` says what is\n"
    "damaged.\n"
    "\n"
    "  ctaug repair runs/my-study/study.yaml\n";

static const char referee_help[] =
    "usage: ctaug referee STUDY.yaml [--set key=value ...]\n"
    "\n"
    "Trains the referee on the labelled training slices of <out>/store: a segmenter that other\n"
    "stages use and that is never judged itself. It goes to <out>/referee with its Dice on the\n"
    "validation patients. With train.pseudo_labels: on it labels the unlabelled training patients\n"
    "too: the store <out>/pseudo. Does nothing if nothing in the study needs it.\n"
    "Resumes from its last checkpoint.\n"
    "\n"
    "  mpirun -n 4 ctaug referee head.yaml --set train.pseudo_labels=on --set data.labelled=4\n";

static const char text_help[] =
    "usage: ctaug text STUDY.yaml [--set key=value ...]\n"
    "\n"
    "With model.text: on, writes captions of the training slices from what is known of them\n"
    "(labels, sides, sizes, phase, noise, spacing) or takes those of text.captions, learns their\n"
    "tokens, and trains a text encoder with an image encoder, so that texts and slices that "
    "belong\n"
    "together have similar vectors. Publishes it in <out>/text, with how well they find each "
    "other\n"
    "on validation patients (pairs.json). The diffusion model then attends to the captions.\n"
    "Checkpoints in <out>/text-training. Resumes from the newest checkpoint of the same study.\n"
    "\n"
    "  mpirun -n 4 ctaug text head.yaml --set model.text=on\n"
    "  ctaug run head.yaml --set model.text=on --set generate.prompts=prompts.txt\n";

static const char train_help[] =
    "usage: ctaug train STUDY.yaml [--set key=value ...]\n"
    "\n"
    "Trains the diffusion model on <out>/store; checkpoints in <out>/checkpoints,\n"
    "previews in <out>/previews.\n"
    "Resumes from the newest checkpoint of the same study.\n"
    "\n"
    "  mpirun -n 4 ctaug train head.yaml --set train.batch=32\n";

static const char distil_help[] =
    "usage: ctaug distil STUDY.yaml [--set key=value ...]\n"
    "\n"
    "With distil.kind, trains the diffusion model on from its last checkpoint, so that it samples\n"
    "in one or two steps; checkpoints in <out>/distil, previews in <out>/previews.\n"
    "Resumes from the newest checkpoint of the same study.\n"
    "\n"
    "  mpirun -n 4 ctaug distil head.yaml --set distil.kind=consistency-tuning \\\n"
    "      --set generate.sampler=consistency --set generate.grid=consistency --set "
    "generate.steps=2\n";

static const char autoencode_help[] =
    "usage: ctaug autoencode STUDY.yaml [--set key=value ...]\n"
    "\n"
    "With model.space: latent, trains the autoencoder between slices and latents on patches of "
    "all\n"
    "training slices, with and without labels, and publishes it in <out>/autoencoder: parameters,\n"
    "the scale of the latents, and reconstruction.json, what it makes of validation slices.\n"
    "Checkpoints in <out>/autoencoder-training, previews in <out>/previews.\n"
    "Resumes from the newest checkpoint of the same study.\n"
    "\n"
    "  mpirun -n 4 ctaug autoencode head.yaml --set model.space=latent --set autoencode.factor=8 "
    "\\\n"
    "      --set generate.appearance=0\n";

static const char gan_help[] =
    "usage: ctaug gan STUDY.yaml [--set key=value ...]\n"
    "\n"
    "Trains the GAN, a baseline of the diffusion model, on <out>/store; checkpoints in <out>/gan,\n"
    "previews in <out>/previews. It has the same network as generator and, unless gan.steps says\n"
    "otherwise, takes as many floating-point operations as `ctaug train`.\n"
    "Resumes from the newest checkpoint of the same study.\n"
    "\n"
    "  mpirun -n 4 ctaug gan head.yaml --set gan.steps=5000\n";

static const char generate_help[] =
    "usage: ctaug generate STUDY.yaml [--set key=value ...]\n"
    "\n"
    "Samples generate.volumes synthetic volumes with the newest checkpoint into <out>/synthetic,\n"
    "a store like the one that ingest writes.\n"
    "\n"
    "  mpirun -n 4 ctaug generate head.yaml --set generate.volumes=32\n";

static const char evaluate_help[] =
    "usage: ctaug evaluate STUDY.yaml [--set key=value ...]\n"
    "\n"
    "Measures the synthetic volumes: FID against real slices, and the Dice of segmenters trained\n"
    "on real and on real + synthetic data, on held-out real patients: <out>/metrics/metrics.json.\n"
    "\n"
    "  mpirun -n 4 ctaug evaluate head.yaml\n";

static const char gate_help[] =
    "usage: ctaug gate STUDY.yaml [--set key=value ...]\n"
    "\n"
    "Looks whether the synthetic volumes give away training patients: slices that copy training\n"
    "slices, and how well the model's loss tells training patients from held-out ones. Writes\n"
    "<out>/gate/gate.json and a picture of the closest pairs, <out>/gate/pairs.png.\n"
    "With gate.release: block, data that do not pass end `ctaug run` with exit code 5, and\n"
    "`ctaug export` refuses them; with warn (the default) both only warn.\n"
    "\n"
    "  mpirun -n 4 ctaug gate head.yaml --set gate.release=block\n";

static const char report_help[] = "usage: ctaug report STUDY.yaml [--set key=value ...]\n"
                                  "\n"
                                  "Writes <out>/report/report.html and report.pdf from the outputs "
                                  "of the other stages.\n"
                                  "\n"
                                  "  ctaug report head.yaml\n";

static const char sweep_help[] =
    "usage: ctaug sweep STUDY.yaml [--set key=value ...] [--task K/N]\n"
    "\n"
    "Runs the study with several values of its keys, side by side. sweep.grid lists the values of\n"
    "each key, all combinations of which are run; sweep.points adds points of their own;\n"
    "sweep.seeds repeats each point:\n"
    "\n"
    "  sweep:\n"
    "    grid: [\"train.lr: 1e-4 | 3e-5\", \"generate.steps: 50 | 100 | 200\"]\n"
    "    seeds: [1, 2, 3]\n"
    "\n"
    "Each arm is a run of its own in <out>/arms. The archive is read once; arms that differ in\n"
    "sampling alone share a training (not with evaluate.labelled). An arm that diverges is noted "
    "and\n"
    "the others go on. A stopped sweep resumes; arms that have ended are not run again. The\n"
    "comparison is in <out>/sweep: sweep.html, sweep.json, sweep.csv.\n"
    "\n"
    "  mpirun -n 8 ctaug sweep jobs/sweep-tuning.yaml\n"
    "  ctaug ingest sweep.yaml && sbatch --array=0-3 ... ctaug sweep sweep.yaml --task K/4\n";

/* Either a stage, called with a study, or a verb with arguments of its own. */
typedef struct verb {
    const char *name, *summary, *help;
    status (*stage)(const stage_context *);      /* NULL: plain */
    status (*plain)(const comm *, int, char **); /* NULL: stage */
} verb;

static const verb verbs[] = {
    {"init", "print a study file with all keys explained", init_help, NULL, init_verb},
    {"run", "all stages, from ingest to report", run_help, run_stages, NULL},
    {"ingest", "read DICOM into a store", ingest_help, ingest_stage, NULL},
    {"autoencode", "train the autoencoder of a latent model", autoencode_help,
     autoencode_whole_stage, NULL},
    {"referee", "train a segmenter that other stages use", referee_help, referee_sets_stage, NULL},
    {"text", "train the encoder of captions", text_help, text_sets_stage, NULL},
    {"train", "train the diffusion model on the store", train_help, train_sets_stage, NULL},
    {"distil", "train the model on, for sampling in few steps", distil_help, distil_sets_stage,
     NULL},
    {"gan", "train the GAN, a baseline, on the store", gan_help, gan_sets_stage, NULL},
    {"generate", "sample synthetic volumes from the model", generate_help, generate_sets_stage,
     NULL},
    {"evaluate", "FID and Dice of the synthetic volumes", evaluate_help, evaluate_stage, NULL},
    {"gate", "whether synthetic volumes give away training patients", gate_help, gate_first_stage,
     NULL},
    {"report", "write the HTML report", report_help, report_stage, NULL},
    {"sweep", "run a study with several values of its keys", sweep_help, sweep_stage, NULL},
    {"phantom", "write phantom CT examinations with known labels", phantom_help, NULL,
     phantom_verb},
    {"export", "write a store as DICOM, NIfTI, for nnU-Net, or as PNG", export_help, NULL,
     export_verb},
    {"weights", "write a trained network as safetensors", weights_help, NULL, weights_verb},
    {"compare", "results of several runs in one page", compare_help, NULL, compare_verb},
    {"verify", "check every published file against its hash", verify_help, NULL, verify_verb},
    {"repair", "make damaged files of the store again", repair_help, repair_stage, NULL},
    {"bench", "measure the training speed of this machine", bench_help, NULL, bench_verb},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static void print_help(FILE *f) {
    fputs("ctaug makes augmentation data sets from CT examinations and measures their value.\n\n"
          "usage: ctaug VERB [arguments]\n\n",
          f);
    for (int i = 0; i < VERBS; i++) fprintf(f, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    fputs("\n"
          "First steps:\n\n"
          "  ctaug phantom --patients 8 --seed 1 --out dicom    or take a folder of your own CT\n"
          "  ctaug init study.yaml                              then set ingest.dicom in it\n"
          "  mpirun -n 2 ctaug run study.yaml                   ends with the path of the report\n"
          "\n"
          "`ctaug VERB --help` explains a verb, `ctaug --version` prints the version.\n"
          "Exit codes: 0 done, 1 internal, 2 study or usage, 3 input, 4 storage, 5 integrity,\n"
          "6 training diverged, 75 stopped after a checkpoint (run again to continue).\n",
          f);
}

/* *out: the verb of this name, or NULL with ST_USAGE, which suggests the nearest one. Local. */
static status verb_find(const char *name, const verb **out) {
    int best = 64;
    const char *near = "";
    *out = NULL;
    for (int i = 0; i < VERBS; i++) {
        int d = edit_distance(name, verbs[i].name);
        if (d < best) best = d, near = verbs[i].name;
        if (strcmp(name, verbs[i].name) != 0) continue;
        *out = &verbs[i];
        return ST_OK;
    }
    if (edit_is_typo(best, name))
        return status_fail(ST_USAGE, "unknown verb %s; did you mean %s?", name, near);
    return status_fail(ST_USAGE, "unknown verb %s; `ctaug --help` lists them", name);
}

/* The signal thread: requests a stop. A second Ctrl-C ends the program at once. */
static void *wait_for_signals(void *set) {
    for (int interrupts = 0, number;;) {
        if (sigwait(set, &number) != 0) continue;
        stop_requested = 1;
        if (number != SIGINT || interrupts++ == 0) continue;
        signal(SIGINT, SIG_DFL);
        pthread_sigmask(SIG_UNBLOCK, set, NULL);
        raise(SIGINT);
    }
    return NULL;
}

/* Blocks the signals that request a stop and starts a thread that waits for them. It must run
 * before any other thread is started, because threads inherit the signal mask. A handler is no
 * alternative: it would run on the stack of an arbitrary thread, and on that of a dnnl_sgemm
 * (oneDNN 2.6.3 on AVX-512) it damaged memory (tests/test_signals.py). */
static status start_signal_thread(void) {
    static sigset_t set;
    pthread_t thread;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGINT);
    int fault = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (fault == 0) fault = pthread_create(&thread, NULL, wait_for_signals, &set);
    if (fault == 0) fault = pthread_detach(thread);
    return fault == 0 ? ST_OK : status_fail(ST_INTERNAL, "no signal thread: %s", strerror(fault));
}

static status dispatch(const comm *c, int argc, char **argv) {
    status st = ST_OK;
    const verb *v = NULL;
    TRY(verb_find(argv[1], &v));
    TRY(threads_share(c));
    st = v->stage ? study_verb(c, argc - 1, argv + 1, v->stage, &stop_requested)
                  : v->plain(c, argc - 1, argv + 1);
done:
    return st;
}

static bool is_help(const char *text) {
    return strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0;
}

/* Answers help and version, which need no MPI. Returns whether it did. */
static bool answer_without_ranks(int argc, char **argv) {
    const verb *v = NULL;
    if (is_help(argv[1]) || (strcmp(argv[1], "help") == 0 && argc == 2)) {
        print_help(stdout);
        return true;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("ctaug %s\n", CTAUG_VERSION);
        return true;
    }
    for (int i = 2; i < argc; i++)
        if (is_help(argv[i]) && verb_find(argv[1], &v) == ST_OK) {
            fputs(v->help, stdout);
            return true;
        }
    return false;
}

static void print_failure(void) {
    char text[4096];
    printable(status_message(), true, text, sizeof text);
    fprintf(stderr, "ctaug: %s\n", text);
}

int main(int argc, char **argv) {
    status st = ST_OK;
    comm *c = NULL;
    const verb *v = NULL;
    if (argc < 2) {
        print_help(stderr);
        return ST_USAGE;
    }
    if (decoder_is_wanted(argc, argv)) {
        st = decoder_serve();
        if (st != ST_OK) print_failure();
        return st;
    }
    if (answer_without_ranks(argc, argv)) return fflush(stdout) == 0 ? ST_OK : ST_STORAGE;
    if (verb_find(argv[1], &v) == ST_OK && v->stage) st = start_signal_thread();
    if (st == ST_OK) st = comm_start(&argc, &argv, &c);
    if (st == ST_OK) st = dispatch(c, argc, argv);
    fflush(stdout);
    if (st != ST_OK && (!c || comm_rank(c) == 0)) print_failure();
    comm_stop(c);
    return st;
}
