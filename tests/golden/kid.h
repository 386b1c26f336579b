/* Made by tests/golden/kid.py with numpy. */
enum { GOLDEN_SEED = 5, GOLDEN_RESAMPLES = 200 };
static const double GOLDEN_LEVEL = 0.8;
static const struct golden_kid {
    int dim, n_a, n_b, subsets, size;
    double first, mean, low, high;
} golden_kid[] = {
    {4, 30, 40, 6, 10, -0.298642469776627, -0.0358741625176503, -0.177076012682612,
     0.0807618384533852},
    {33, 300, 290, 3, 270, 102.987272212783, 101.860377246894, 101.224845609579, 102.49590888421},
    {2, 9, 8, 5, 2, -1.53374218496352, -0.807369057548857, -1.48751907466105, -0.0442740470226003},
};
