/* Who owns which floats of a flat buffer: sums them, and with a sharded optimiser updates them.
 *
 * The buffer is cut into buckets, from its end to its beginning as a backward pass finishes it, and
 * every bucket into one piece for each owner, so that all have work whichever bucket comes. Cuts
 * lie between the parts that the gradient's norm is summed over (model/optim.h).
 */
#ifndef CTAUG_PIPELINE_TRAINER_GRADIENT_PARTITION_H
#define CTAUG_PIPELINE_TRAINER_GRADIENT_PARTITION_H

#include <stdint.h>

typedef struct span {
    int64_t at, count; /* floats */
} span;

/* Whether a rank updates only what it owns: no, yes, or where all ranks share memory. There as much
 * travels either way; between nodes sums come back behind the backward pass, but values after it.
 */
typedef enum sharding { SHARDED_NO, SHARDED_YES, SHARDED_IN_NODE } sharding;

typedef struct gradient_partition {
    int64_t n;           /* floats of the buffer */
    int64_t part;        /* floats of a part */
    int64_t bucket_most; /* parts of a bucket */
    int64_t buckets;
    int64_t owners;
} gradient_partition;

/* Buckets of about `bucket` floats. Local, as all here. */
gradient_partition partition_of(int64_t n, int64_t owners, int64_t bucket);

/* Bucket 0 is the end of the buffer. */
span partition_bucket(const gradient_partition *s, int64_t bucket);
/* What owners first..first + count - 1 have of a bucket: may be nothing. */
span partition_piece(const gradient_partition *s, int64_t bucket, int64_t first, int64_t count);
/* The bucket that a float lies in. */
int64_t partition_bucket_at(const gradient_partition *s, int64_t at);

/* All that an owner has, put together in the order of the buckets: how much it is, and to and from
 * a whole buffer. */
int64_t partition_owned(const gradient_partition *s, int64_t owner);
void partition_take(const gradient_partition *s, int64_t owner, const float *whole, float *owned);
void partition_put(const gradient_partition *s, int64_t owner, const float *owned, float *whole);

#endif
