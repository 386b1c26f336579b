/* For tests/test_inception.py: features of images. Usage: tool_inception WEIGHTS BATCH IMAGES SIZE
 * OUT. IMAGES: raw f32 [count, SIZE, SIZE]; writes OUT: raw f32 [count, 2048]. Prints the hash of
 * the weights and the seconds that the features took. */
#include "io/alloc.h"
#include "io/file.h"
#include "pipeline/common/inception.h"

#include <stdio.h>
#include <time.h>

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static status features_of(char **argv) {
    status st = ST_OK;
    inception *n = NULL;
    char *images = NULL;
    float *features = NULL;
    int64_t bytes = 0;
    const int64_t size = atoll(argv[4]);
    TRY(inception_open(argv[1], atoll(argv[2]), &n));
    TRY(file_read(argv[3], (int64_t)1 << 32, &images, &bytes));
    const void *values = images; /* aligned by malloc */
    const int64_t count = bytes / (size > 0 ? size * size * (int64_t)sizeof(float) : 1);
    TRY(array_alloc(&features, count, INCEPTION_V3_FEATURES * sizeof(float), "features"));
    const double begin = seconds();
    TRY(inception_features(n, values, count, size, features));
    printf("%s %.3f\n", inception_hash(n), seconds() - begin);
    TRY(file_write_atomic(argv[5], features,
                          count * INCEPTION_V3_FEATURES * (int64_t)sizeof(float)));
done:
    free(features);
    free(images);
    inception_close(n);
    return st;
}

int main(int argc, char **argv) {
    status st = argc == 6 ? features_of(argv) : ST_USAGE;
    if (st != ST_OK) fprintf(stderr, "%s\n", status_message());
    return st;
}
