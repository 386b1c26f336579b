/* The chapters of a study with labelled sets: each appends what metrics.json (METRICS.md) says
 * about its subject to a document, and nothing if the file has no such member. All are Local.
 */
#ifndef CTAUG_PIPELINE_REPORT_CHAPTERS_H
#define CTAUG_PIPELINE_REPORT_CHAPTERS_H

#include "pipeline/report/document.h"

#define ARM_WITHOUT "real"
#define ARM_WITH "real+synthetic"

/* Whether metrics.json is of a study with labelled sets. */
bool chapters_present(const json_t *metrics);

/* The test set that the verdict is about: the first of the protocol. Borrowed. */
const char *chapter_test(const json_t *metrics);
/* The smallest number of labelled patients of the protocol; -1 if there is none. */
int64_t chapter_labelled(const json_t *metrics);
/* The entry of "comparisons" for the mean Dice of ARM_WITH against ARM_WITHOUT; NULL if there is
 * none. Borrowed reference. */
const json_t *chapter_comparison(const json_t *metrics, int64_t labelled);

/* The series of a chart that an arm has in every chart. */
int chapter_series(const char *arm);

void verdict(document *d, const json_t *metrics);              /* verdict.c */
void verdict_picture(document *d, const json_t *metrics);      /* verdict_picture.c */
void chapter_protocol(document *d, const json_t *metrics);     /* chapter_arms.c */
void chapter_arms(document *d, const json_t *metrics);         /* chapter_arms.c */
void chapter_structures(document *d, const json_t *metrics);   /* chapter_structures.c */
void chapter_statistics(document *d, const json_t *metrics);   /* chapter_statistics.c */
void chapter_fidelity(document *d, const json_t *metrics);     /* chapter_fidelity.c */
void chapter_distribution(document *d, const json_t *metrics); /* chapter_distribution.c */
void chapter_likelihood(document *d, const json_t *metrics);   /* chapter_likelihood.c */
void chapter_obedience(document *d, const json_t *metrics);    /* chapter_obedience.c */
void chapter_gate(document *d, const json_t *metrics);         /* chapter_gate.c */
void chapter_costs(document *d, const json_t *metrics);        /* chapter_gate.c */

#endif
