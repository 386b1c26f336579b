/* Made by tests/golden/manifold.py with numpy. */
static const struct golden_manifold {
    int dim, n_real, n_synthetic, k;
    double precision, recall, density, coverage;
} golden_manifold[] = {
    {3, 50, 70, 3, 0.885714285714286, 0.98, 0.723809523809524, 0.92},
    {8, 300, 150, 5, 0.04, 0.916666666666667, 0.0133333333333333, 0.0266666666666667},
    {5, 131, 400, 1, 0.1775, 0.190839694656489, 0.2275, 0.33587786259542},
    {40, 30, 20, 7, 0, 0, 0, 0},
};
