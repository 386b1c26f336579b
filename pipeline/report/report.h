/* What the files of the report share: the data read from a run, and the functions that write the
 * parts of the page. Private to pipeline/report/.
 */
#ifndef CTAUG_PIPELINE_REPORT_REPORT_H
#define CTAUG_PIPELINE_REPORT_REPORT_H

#include "pipeline/cells/cells.h"
#include "pipeline/common/denoiser_source.h"
#include "pipeline/common/history.h"
#include "pipeline/data/split.h"
#include "pipeline/report/document.h"
#include "pipeline/stage.h"

#include <jansson.h>
#include <stdio.h>

typedef struct report {
    const stage_context *stage;
    cell first;                 /* the cell whose synthetic store and training the report shows */
    char gate_seal[SHA256_HEX]; /* of the gate's finding; "" if there is none */
    json_t *metrics;            /* metrics.json */
    store *real, *synthetic;
    split split;
    history history;
    char *study_text;        /* the effective study, as YAML; owned */
    int64_t checkpoint_step; /* of the checkpoint that the synthetic store was sampled with */
    denoiser_source source;  /* where it is */
} report;

/* ---- reading (report_data.c) ---- */

/* Dice of one structure, by arm (ARM_REAL, ARM_REAL_PLUS_SYNTHETIC). NAN: not measured. */
typedef struct dice_row {
    const char *name;
    int64_t patients, seeds;
    double mean[ARMS], low[ARMS], high[ARMS]; /* mean, min and max over the seeds */
    double difference;                        /* of the means: ARM_REAL_PLUS_SYNTHETIC - ARM_REAL */
    double difference_low, difference_high;   /* min and max of the differences seed by seed */
    const json_t *by_seed[ARMS];
} dice_row;

/* Over the structures for which both arms have a value. */
typedef struct dice_summary {
    int structures;
    double mean[ARMS];
    int better, worse; /* structures whose difference is positive (negative) with every seed */
    int64_t seeds;
} dice_summary;

/* The number at a path such as "fid.value" or "data.rows.0" in metrics.json; NAN if there is none.
 */
double report_number(const report *r, const char *path);
/* The text at a path; "" if there is none. */
const char *report_text(const report *r, const char *path);

/* The number at "split.<part>.<what>"; NAN if there is none. */
double report_split_number(const report *r, split_part part, const char *what);

/* Where the label maps of the real volumes come from, in words. */
const char *report_label_source(const report *r);

/* Guidance and sampler steps of the synthetic store: those chosen, or of the study. */
double report_guidance(const report *r);
int64_t report_sampler_steps(const report *r);

/* Gives the row of the next structure. *iterator is NULL before the first one; returns false after
 * the last one. */
bool report_dice_next(const report *r, void **iterator, dice_row *out);
dice_summary report_dice_summary(const report *r);

/* ---- writing: all append HTML to f; whoever opened f checks ferror() at the end ---- */

/* "0.123"; put_signed(): "+0.123", "−0.123"; "n/a" for NAN (all put_* are in report_data.c). */
void put_number(FILE *f, double x, int digits);
void put_signed(FILE *f, double x, int digits);
/* "−1000 to 1000 HU". */
void put_window(FILE *f, const double window[2]);
/* "1 patient", "2 patients"; "n/a patients" for NAN. */
void put_count(FILE *f, double n, const char *singular, const char *plural);

void report_summary(FILE *f, const report *r);     /* report_summary.c */
void report_cohort(FILE *f, const report *r);      /* report_cohort.c */
void report_flow(FILE *f, const report *r);        /* report_flow.c */
void report_dice(FILE *f, const report *r);        /* report_results.c */
void report_fid(FILE *f, const report *r);         /* report_results.c */
void report_loss_chart(FILE *f, const history *h); /* report_charts.c */
void report_dice_chart(FILE *f, const report *r);  /* report_charts.c */
void report_training(FILE *f, const report *r);    /* report_run.c */
void report_run(FILE *f, const report *r);         /* report_run.c */
void report_repeat(FILE *f, const report *r);      /* report_run.c */
void report_citation(FILE *f, const report *r);    /* report_run.c */
void report_methods(FILE *f, const report *r);     /* report_methods.c */
/* Sentences on the diffusion process, its distillation and the sampler (without its end), and the
 * references of all (report_methods_process.c). */
void report_process_text(FILE *f, const study *s);
void report_distil_text(FILE *f, const report *r);
void report_sampler_text(FILE *f, const report *r);
void report_process_references(FILE *f, const report *r);
/* The parts of the methods on synthetic data and on training with unlabelled patients, and the
 * references of both (report_methods_synthetic.c). */
void report_methods_synthetic(FILE *f, const report *r);
void report_methods_unlabelled(FILE *f, const report *r);
void report_references_synthetic(FILE *f, const report *r);
/* The part of the methods on labelled sets, and its references (report_methods_sets.c). */
void report_methods_sets(FILE *f, const report *r);
void report_references_sets(FILE *f, const report *r);

/* These two read the stores. Local. */
status report_slices(FILE *f, const report *r); /* report_slices.c */
status report_viewer(FILE *f, const report *r); /* viewer.c */

/* ---- what the page and the PDF share (report_content.c) ---- */

typedef struct report_content {
    document front;    /* the verdict and its picture; empty for a plain study */
    document warnings; /* one sentence or two in each block */
    document fidelity; /* protocol and fidelity */
    document pictures;
    document chapters; /* arms, structures, statistics, distribution */
    document release;  /* gate and costs */
    document cards;    /* scorecard, cards, checklist */
} report_content;

/* The caller calls report_content_free(), also after a failure. Reads the stores. Local. */
status report_content_create(const report *r, report_content *out);
void report_content_free(report_content *c);

/* Appends pictures of slices: windows, and nearest pairs (report_pictures.c). Local. */
status report_pictures(document *d, const report *r);
/* Appends synthetic slices with their labels, for the PDF (report_pictures.c). Local. */
status report_examples(document *d, const report *r);
/* Appends what limits the results (report_summary.c). Local. */
void report_warnings(document *d, const report *r);
/* Appends the results of a plain study in short, for the PDF (report_plain.c). Local. */
void report_plain(document *d, const report *r);
/* Appends the scorecard, the cards of data and model, and the checklist. Local. */
void report_cards(document *d, const report *r);     /* report_cards.c */
void report_checklist(document *d, const report *r); /* report_checklist.c */

/* Whether metrics.json has results of the two arms of a plain study. Local. */
bool report_has_plain(const report *r);

/* Writes the whole page (report_page.c). Local. */
status report_page(FILE *f, const report *r, const report_content *c);
/* The same content on the pages of a PDF; *bytes (free()) = the file (report_pdf.c). Local. */
status report_pdf(const report *r, const report_content *c, uint8_t **bytes, int64_t *n);

#endif
