/* Made by tests/golden/fid.py with numpy: dim, n of a, n of b, distance. */
static const struct golden_fid {
    int dim, n_a, n_b;
    double distance;
} golden_fid[] = {
    {3, 50, 70, 0.0891524267936301},
    {8, 200, 150, 1.61395609999992},
    {24, 15, 400, 58.7859886331735},
    {40, 30, 20, 233.926032973},
};
