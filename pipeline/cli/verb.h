/* The verbs that take no study: each parses its own arguments.
 *
 * pipeline/cli/main.c finds the verb in its table, starts MPI, calls it, and turns the returned
 * status into one message "ctaug: ..." on rank 0 and the exit code. argv[0] is the verb's name;
 * `--help` is answered by main with the verb's help text, so a verb never sees it.
 */
#ifndef CTAUG_PIPELINE_CLI_VERB_H
#define CTAUG_PIPELINE_CLI_VERB_H

#include "io/comm.h"
#include "model/named_table.h"

#include <stddef.h>

/* One option "--name VALUE" of a verb. Exactly one target is set. */
typedef struct verb_option {
    const char *name; /* with dashes: "--out" */
    const char **text;
    int64_t *integer;
    bool *flag;  /* takes no value */
    int *choice; /* a row of `choices` */
    const named_table *choices;
    bool required;
} verb_option;

/* Fills the targets from argv[1..]; ST_USAGE naming an unknown option, a missing value, a number
 * that is none, or a required option that is absent. Options end with name NULL. Other arguments
 * are collected in operands (at most `most`; *count is set). Local. */
status verb_parse(int argc, char **argv, const verb_option *options, const char **operands,
                  int most, int *count);

extern const char phantom_help[], export_help[], verify_help[], bench_help[], init_help[];
status phantom_verb(const comm *c, int argc, char **argv);
status export_verb(const comm *c, int argc, char **argv);
status verify_verb(const comm *c, int argc, char **argv);
status bench_verb(const comm *c, int argc, char **argv);
status init_verb(const comm *c, int argc, char **argv);

#endif
