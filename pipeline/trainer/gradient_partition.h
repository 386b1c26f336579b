/* The partition of a flat buffer over its owners. An owner sums its floats of the gradient and,
 * with a sharded optimiser, updates them.
 *
 * The buffer is divided into buckets, from its end to its beginning, because a backward pass
 * finishes the end first. Every bucket is divided into one piece for each owner, so that all owners
 * have work for every bucket. All bounds are bounds of the parts over which the norm of the
 * gradient is summed (model/optim.h).
 */
#ifndef CTAUG_PIPELINE_TRAINER_GRADIENT_PARTITION_H
#define CTAUG_PIPELINE_TRAINER_GRADIENT_PARTITION_H

#include <stdint.h>

typedef struct span {
    int64_t at, count; /* floats */
} span;

/* Whether the optimiser is sharded, that is, a rank updates only what it owns: no, yes, or if all
 * ranks share memory. Within a node both ways move equal amounts of data. Between nodes, sums are
 * sent back during the backward pass, but updated values only after it.
 */
typedef enum sharding { SHARDED_NO, SHARDED_YES, SHARDED_IN_NODE } sharding;

typedef struct gradient_partition {
    int64_t n;            /* floats of the buffer */
    int64_t part;         /* floats of a part */
    int64_t bucket_parts; /* parts of a bucket, except that the last may have fewer */
    int64_t buckets;
    int64_t owners;
} gradient_partition;

/* Partitions n floats into buckets of about `bucket` floats. Local, as are all functions here. */
gradient_partition partition_of(int64_t n, int64_t owners, int64_t bucket);

/* The floats of a bucket. Bucket 0 is the end of the buffer. */
span partition_bucket(const gradient_partition *s, int64_t bucket);

/* The pieces of owners first..first + count - 1 in a bucket; may be empty. */
span partition_piece(const gradient_partition *s, int64_t bucket, int64_t first, int64_t count);

/* The bucket that contains float `at`. */
int64_t partition_bucket_at(const gradient_partition *s, int64_t at);

/* The pieces of an owner packed in the order of the buckets: their number of floats, their
 * extraction from a whole buffer, and their insertion into one. */
int64_t partition_owned(const gradient_partition *s, int64_t owner);
void partition_extract(const gradient_partition *s, int64_t owner, const float *whole,
                       float *owned);
void partition_insert(const gradient_partition *s, int64_t owner, const float *owned, float *whole);

#endif
