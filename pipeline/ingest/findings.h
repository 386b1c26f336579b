/* What ingest stored and what it left out, for people: a table on standard output, and all of it in
 * <out>/ingest.json.
 *
 * The file is CONFIDENTIAL (mode 0600): it holds paths of the archive and UIDs. Nothing of it goes
 * into stores, events or reports. Texts of headers in the reasons are replaced by '...', paths and
 * reasons are escaped (io/printable.h).
 *
 *   {"kind": "ingest", "version": 1, "fingerprint": of the store, "" if there is none,
 *    "files", "not_dicom", "other_objects": numbers of files,
 *    "stored": {"volumes", "patients", "slices", "unlabelled"},
 *    "left_out": {"series", "segmentations", "files"},
 *    "findings": [{"left_out": "series" | "segmentation" | "file" | "nothing", "ordinary", "late",
 *                  "files", "file", "series", "tag", "value", "reason", "advice"}]}
 *
 * "ordinary": sound archives have this too. "late": found when the pixels were decoded.
 */
#ifndef CTAUG_PIPELINE_INGEST_FINDINGS_H
#define CTAUG_PIPELINE_INGEST_FINDINGS_H

#include "io/series.h"
#include "pipeline/stage.h"

#define INGEST_REPORT "ingest.json" /* in the run directory */

/* What is in the store, or would be. */
typedef struct stored_counts {
    int64_t volumes, patients, slices, unlabelled;
} stored_counts;

/* The number of findings that are faults (not ordinary). Local. */
int64_t findings_faults(const fault_list *faults);

/* Prints the findings from number `from` on as a table of bounded length, faults first. Does
 * nothing except on rank 0. Local. */
void findings_print(const stage_context *s, const fault_list *faults, int64_t from);

/* One line: what was left out. A warning if there are faults. On rank 0. Local. */
void findings_sum(const stage_context *s, const series_list *list, const stored_counts *stored);

/* Writes <out>/ingest.json; findings from number `late` on are late. Local; for rank 0. */
status findings_write(const stage_context *s, const series_list *list, int64_t late,
                      const stored_counts *stored, const char *fingerprint);

/* Appends the late findings of the report that belongs to the store of this fingerprint; none if
 * there is no such report. Rank 0 reads it. Collective. */
status findings_recall(const stage_context *s, const char *fingerprint, fault_list *faults);

#endif
