/* `ctaug repair`: makes the damaged shards of the store again from the archive. Only their volumes
 * are decoded, and all other files stay as they are. */
#include "pipeline/ingest/ingest.h"

#include <inttypes.h>
#include <string.h>

/* Decodes volume i of the store, and writes it to its shard. Local. */
static status mend_volume(ingest *in, store_writer *w, int64_t i) {
    const store_entry *e = store_writer_at(w, i);
    const int64_t wanted = e->unlabelled ? STORED_UNLABELLED : STORED_AS_PLANNED;
    volume v = {0};
    volume_outcome o = {0};
    int64_t k = 0;
    status st;
    while (k < in->list.count && strcmp(in->list.items[k].pseudonym, e->id) != 0) k++;
    if (k == in->list.count)
        TRY(status_fail(ST_INPUT, "%s: volume %s is not in the archive", in->directory, e->id));
    in->fates[k] = wanted;
    TRY(ingest_read_volume(in, k, &v, &o));
    if (o.counts.fate != wanted)
        TRY(status_fail(ST_INPUT, "volume %s can no longer be stored: %s", e->id,
                        o.faults.items[o.faults.count - 1].text[FAULT_REASON]));
    v.traits = e->traits; /* a store of an earlier version does not know them */
    TRY(store_writer_put(w, i, &v));
    in->decoded++;
done:
    volume_free(&v);
    faults_free(&o.faults);
    return st;
}

/* Makes all volumes of this rank's damaged shards. Local. */
static status mend_volumes(ingest *in, store_writer *w) {
    status st = ST_OK;
    for (int64_t i = 0; i < store_writer_count(w) && st == ST_OK; i++)
        if (store_writer_is_mine(w, i)) st = mend_volume(in, w, i);
    return st;
}

status repair_stage(const stage_context *s) {
    ingest *in = NULL;
    store_writer *w = NULL;
    int64_t damaged = 0;
    status st;
    TRY(ingest_open(s, &in));
    TRY(ingest_fingerprint(in));
    TRY(store_mend_open(s->comm, in->directory, in->fingerprint, &w, &damaged));
    TRY(store_mend_finish(w, mend_volumes(in, w)));
    TRY(comm_sum_i64(s->comm, &in->decoded, 1));
    log_event(s->log, "repair",
              json_pack("{s:s, s:I, s:I}", "fingerprint", in->fingerprint, "damaged_files",
                        (json_int_t)damaged, "decoded", (json_int_t)in->decoded));
    if (damaged == 0)
        log_info(s->log, "store: %s is not damaged", in->directory);
    else
        log_info(s->log,
                 "store: %s: %" PRId64 " damaged files made again from %" PRId64
                 " volumes; they are as they were",
                 in->directory, damaged, in->decoded);
done:
    ingest_close(in);
    return st;
}
