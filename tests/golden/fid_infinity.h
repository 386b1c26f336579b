/* Made by tests/golden/fid_infinity.py with numpy. */
#include <stdint.h>

enum { GOLDEN_SEED = 9, GOLDEN_SIZES = 4 };
static const int64_t GOLDEN_SIZE[] = {40, 55, 80, 100};
static const struct golden_fid_infinity {
    int dim, n_a, n_b, draws, whole;
    double intercept, slope, fid[GOLDEN_SIZES];
} golden_fid_infinity[] = {
    {3,
     120,
     150,
     2,
     0,
     0.121364537662132,
     0.294366707602407,
     {0.10285912888017, 0.172976886630917, 0.128834473753334, 0.10012220195163}},
    {6,
     200,
     100,
     3,
     0,
     0.624856084193196,
     19.0489190406612,
     {1.08903913016706, 0.988643544753395, 0.878119406266756, 0.794789892574461}},
    {6,
     70,
     100,
     1,
     1,
     0.452046277457428,
     13.3054446173592,
     {0.809973652066519, 0.648737108846699, 0.614630267849642, 0.608769875252484}},
};
