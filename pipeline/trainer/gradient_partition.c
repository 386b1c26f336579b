/* The bounds of buckets and pieces. */
#include "pipeline/trainer/gradient_partition.h"
#include "model/optim.h"

#include <string.h>

gradient_partition partition_of(int64_t n, int64_t owners, int64_t bucket) {
    gradient_partition s = {.n = n, .owners = owners, .part = gradient_part(n)};
    int64_t parts = (n + s.part - 1) / s.part;
    s.bucket_parts = bucket > s.part ? bucket / s.part : 1;
    s.buckets = (parts + s.bucket_parts - 1) / s.bucket_parts;
    return s;
}

/* The floats of parts [from, to); the last part of the buffer may be shorter. */
static span span_of_parts(const gradient_partition *s, int64_t from, int64_t to) {
    int64_t begin = from * s->part < s->n ? from * s->part : s->n;
    int64_t end = to * s->part < s->n ? to * s->part : s->n;
    return (span){.at = begin, .count = end - begin};
}

span partition_piece(const gradient_partition *s, int64_t bucket, int64_t first, int64_t count) {
    int64_t parts = (s->n + s->part - 1) / s->part;
    int64_t low = (s->buckets - 1 - bucket) * s->bucket_parts;
    int64_t width = parts - low < s->bucket_parts ? parts - low : s->bucket_parts;
    return span_of_parts(s, low + width * first / s->owners,
                         low + width * (first + count) / s->owners);
}

span partition_bucket(const gradient_partition *s, int64_t bucket) {
    return partition_piece(s, bucket, 0, s->owners);
}

int64_t partition_bucket_at(const gradient_partition *s, int64_t at) {
    return s->buckets - 1 - at / (s->part * s->bucket_parts);
}

int64_t partition_owned(const gradient_partition *s, int64_t owner) {
    int64_t sum = 0;
    for (int64_t b = 0; b < s->buckets; b++) sum += partition_piece(s, b, owner, 1).count;
    return sum;
}

void partition_extract(const gradient_partition *s, int64_t owner, const float *whole,
                       float *owned) {
    for (int64_t b = 0; b < s->buckets; b++) {
        span p = partition_piece(s, b, owner, 1);
        memcpy(owned, whole + p.at, (size_t)p.count * sizeof *owned);
        owned += p.count;
    }
}

void partition_insert(const gradient_partition *s, int64_t owner, const float *owned,
                      float *whole) {
    for (int64_t b = 0; b < s->buckets; b++) {
        span p = partition_piece(s, b, owner, 1);
        memcpy(whole + p.at, owned, (size_t)p.count * sizeof *owned);
        owned += p.count;
    }
}
