/* Opens the feature networks and runs them on slices. */
#include "pipeline/evaluate/feature_network.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "io/manifest.h"
#include "pipeline/segmenter/referee.h"

#include <string.h>

enum { BATCH = 8 }; /* slices at once */

const char *network_name(network_kind kind) {
    static const char *const names[NETWORKS] = {
        [NETWORK_INCEPTION] = "inception_v3", [NETWORK_DOMAIN] = "domain"};
    return names[kind];
}

/* The seal of the cell's referee. Local. */
static status referee_seal(const comparison *c, char hex[SHA256_HEX]) {
    status st = ST_OK;
    char path[PATH_SIZE];
    manifest m = {0};
    TRY(stage_path(&c->cell.stage, "referee", path));
    TRY(manifest_read(path, REFEREE_KIND, &m));
    memcpy(hex, m.seal, SHA256_HEX);
done:
    manifest_free(&m);
    return st;
}

status feature_network_identity(const comparison *c, network_kind kind, char hex[SHA256_HEX]) {
    if (kind == NETWORK_INCEPTION) return file_sha256(c->cell.study.evaluate.inception, hex);
    if (c->cell.study.evaluate.fidelity > 0) return referee_seal(c, hex);
    return comparison_fingerprint(c, ARM_REAL, 0, hex);
}

/* The encoder of the referee, or of the segmenter that was kept in its place. Local. */
static status open_domain(const comparison *c, feature_network *f) {
    status st = ST_OK;
    segmenter *s = &f->segmenter;
    const label_set *labels = store_labels(c->real);
    if (c->cell.study.evaluate.fidelity > 0) {
        TRY(referee_open(f->stage, labels, s));
    } else {
        TRY(segmenter_open_inference(f->stage, labels, s));
        TRY(comparison_read_kept(c, s->params->value, s->params->total));
        segmenter_params_changed(s);
    }
    f->dim = segnet_feature_dim(&s->config);
    TRY(segmenter_hash(s, f->hash));
done:
    return st;
}

status feature_network_open(const comparison *c, network_kind kind, feature_network *out) {
    status st = ST_OK;
    *out = (feature_network){.stage = &c->cell.stage};
    if (kind == NETWORK_DOMAIN) {
        TRY(open_domain(c, out));
    } else {
        TRY(inception_open(c->cell.study.evaluate.inception, BATCH, &out->inception));
        out->dim = INCEPTION_V3_FEATURES;
        memcpy(out->hash, inception_hash(out->inception), SHA256_HEX);
    }
done:
    return st;
}

void feature_network_close(feature_network *f) {
    segmenter_close(&f->segmenter);
    inception_close(f->inception);
    *f = (feature_network){.dim = 0};
}

/* The slices first..until-1 of n evenly spaced ones; features [until - first][dim]. Local. */
static status run_slices(feature_network *f, slices *from, int64_t n, int64_t first, int64_t until,
                         float *features) {
    status st = ST_OK;
    const int64_t size = f->stage->study->data.size, pixels = size * size;
    float *images = NULL;
    uint8_t *labels = NULL;
    TRY(array_alloc(&images, BATCH * pixels, sizeof *images, "slices"));
    TRY(array_alloc(&labels, pixels, 1, "a label map"));
    for (int64_t i = first; i < until;) {
        float *to = features + (i - first) * f->dim;
        int64_t count = 0;
        for (; count < BATCH && i < until; count++, i++) {
            slice_sample sample = {.image = images + count * pixels, .labels = labels};
            TRY(slices_get(from, i * slices_count(from) / n, &sample));
        }
        if (f->inception)
            TRY(inception_features(f->inception, images, count, size, to));
        else
            TRY(segmenter_features(&f->segmenter, images, count, to));
        activity_progress();
    }
done:
    free(images);
    free(labels);
    return st;
}

status feature_network_slices(feature_network *f, slices *from, int64_t n, float *features) {
    status st = ST_OK;
    const comm *c = f->stage->comm;
    const int64_t ranks = comm_size(c), rank = comm_rank(c);
    const int64_t first = rank * n / ranks, until = (rank + 1) * n / ranks;
    const int64_t row = f->dim * (int64_t)sizeof *features;
    float *mine = features + first * f->dim;
    void *all = NULL;
    int64_t bytes = 0;
    TRY(comm_agree(c, run_slices(f, from, n, first, until, mine)));
    TRY(comm_all_gather(c, mine, (until - first) * row, &all, &bytes, NULL));
    memcpy(features, all, (size_t)bytes);
done:
    free(all);
    return st;
}
