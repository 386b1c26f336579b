/* The rooms of the report share what is read of a run. Private to pipeline/report*.c. */
#ifndef CTAUG_PIPELINE_REPORT_REPORT_H
#define CTAUG_PIPELINE_REPORT_REPORT_H

#include "pipeline/common/history.h"
#include "pipeline/data/split.h"
#include "pipeline/stage.h"

#include <jansson.h>
#include <stdio.h>

typedef struct report {
    const stage_context *stage;
    json_t *metrics; /* metrics.json */
    store *real, *synthetic;
    split split;
    history history;
    char *study_text; /* the effective study */
    int64_t checkpoint_step;
} report;

/* ---- reading (report_data.c) ---- */

enum { REPORT_REAL, REPORT_BOTH, REPORT_ARMS };

/* Dice of one structure. NAN: not measured. */
typedef struct dice_row {
    const char *name;
    int64_t patients, seeds;
    double mean[REPORT_ARMS], low[REPORT_ARMS], high[REPORT_ARMS]; /* over seeds */
    double difference, difference_low, difference_high;            /* both - real, seed by seed */
    const json_t *by_seed[REPORT_ARMS];
} dice_row;

/* Over the structures that both arms have a value for. */
typedef struct dice_summary {
    int structures;
    double mean[REPORT_ARMS];
    int better, worse; /* structures whose difference has this sign with every seed */
    int64_t seeds;
} dice_summary;

/* A number at "fid.value" or "data.rows.0" in metrics.json; NAN if it is not there. */
double report_number(const report *r, const char *path);
/* A text; "" if it is not there. */
const char *report_word(const report *r, const char *path);

/* "split.<part>.<what>" */
double report_part(const report *r, split_part part, const char *what);

/* Row of the next structure: *iterator is NULL before the first; false behind the last. */
bool report_dice_next(const report *r, void **iterator, dice_row *out);
dice_summary report_dice_summary(const report *r);

/* ---- writing: each appends to f; the one who opened f looks at ferror() ---- */

/* "0.123", "n/a" for NAN; with sign: "+0.123", "−0.123" (report_data.c). */
void put_number(FILE *f, double x, int digits);
void put_signed(FILE *f, double x, int digits);
/* "−1000 to 1000 HU". */
void put_window(FILE *f, const double window[2]);
/* "1 patient", "2 patients"; "n/a patients" for NAN. */
void put_count(FILE *f, double n, const char *singular, const char *plural);

void report_summary(FILE *f, const report *r);     /* report_summary.c */
void report_warnings(FILE *f, const report *r);    /* report_summary.c */
void report_flow(FILE *f, const report *r);        /* report_flow.c */
void report_loss_chart(FILE *f, const history *h); /* report_charts.c */
void report_dice_chart(FILE *f, const report *r);  /* report_charts.c */
void report_methods(FILE *f, const report *r);     /* report_methods.c */

/* Read the stores. Local. */
status report_slices(FILE *f, const report *r); /* report_slices.c */
status report_page(FILE *f, const report *r);   /* report_page.c */

#endif
