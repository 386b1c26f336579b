/* The status that every fallible function returns, and the message that belongs to it.
 *
 * The function that detects a fault calls status_fail() with the matching exit code and a message
 * that names the file, the value and the reason. All callers pass the code on unchanged. The
 * message is kept in thread-local memory, so that a status is as cheap as an int. comm_agree()
 * (io/comm.h) makes a failure on one rank the failure of all ranks.
 *
 * Functions have one exit, labelled done:, and reach it through TRY().
 */
#ifndef CTAUG_IO_STATUS_H
#define CTAUG_IO_STATUS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The values are the exit codes of the program. Larger values are more important to
 * comm_agree(). */
typedef enum status {
    ST_OK = 0,
    ST_INTERNAL = 1,  /* out of memory, or a library failed for no reason in the input */
    ST_USAGE = 2,     /* the command line or the study file is wrong */
    ST_INPUT = 3,     /* DICOM or other input data cannot be used */
    ST_STORAGE = 4,   /* the file system refused: full, read-only, missing */
    ST_INTEGRITY = 5, /* a published file does not match its manifest */
    ST_DIVERGED = 6,  /* training produced non-finite numbers several times in a row */
    ST_STOPPED = 75   /* stopped on request after a checkpoint: the next run resumes */
} status;

/* Records a printf-style message (cut at 1,023 bytes) and returns `code`. Local. */
status status_fail(status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ST_INTERNAL with "out of memory: <bytes> bytes for <what>". Local. */
status status_memory(const char *what, int64_t bytes);

/* The message of the last failure on this thread; "" if none. Valid until the next failure on this
 * thread. Local. */
const char *status_message(void);

/* Leaves the function with a failure: needs a local `status st` and a label `done`. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        st = (call);                                                                               \
        if (st != ST_OK) goto done;                                                                \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
