/* The verbs that take no study, and the parser of their arguments.
 *
 * pipeline/cli/main.c finds the verb in its table, starts MPI, calls the verb, and turns the
 * returned status into one message "ctaug: ..." on rank 0 and the exit code. argv[0] is the name of
 * the verb. main answers `--help` with the help text of the verb.
 */
#ifndef CTAUG_PIPELINE_CLI_VERB_H
#define CTAUG_PIPELINE_CLI_VERB_H

#include "io/comm.h"
#include "model/named_table.h"

#include <stddef.h>

/* One option "--name VALUE" of a verb. Exactly one of text, integer, flag and choice is set. */
typedef struct verb_option {
    const char *name; /* with dashes: "--out" */
    const char **text;
    int64_t *integer;
    bool *flag;  /* the option takes no value */
    int *choice; /* gets a row of `choices` */
    const named_table *choices;
    bool required;
} verb_option;

/* Fills the targets from argv[1..]. ST_USAGE names an unknown option, a missing value, a text that
 * is no integer, or a missing required option. `options` ends with name NULL. Other arguments go to
 * operands (at most `max`); their number to *count, unless count is NULL. Local. */
status verb_parse(int argc, char **argv, const verb_option *options, const char **operands, int max,
                  int *count);

/* printf() to stdout; what a terminal would obey (file names, labels) is escaped. Local. */
void verb_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Help texts, and the verbs: Collective, with agreed status. */
extern const char phantom_help[], export_help[], verify_help[], bench_help[], init_help[],
    compare_help[], weights_help[];
status phantom_verb(const comm *c, int argc, char **argv);
status export_verb(const comm *c, int argc, char **argv);
status verify_verb(const comm *c, int argc, char **argv);
status bench_verb(const comm *c, int argc, char **argv);
status init_verb(const comm *c, int argc, char **argv);
status compare_verb(const comm *c, int argc, char **argv);
status weights_verb(const comm *c, int argc, char **argv);

#endif
