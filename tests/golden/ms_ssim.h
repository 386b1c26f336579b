/* Made by tests/golden/ms_ssim.py with numpy and scipy. */
static const struct golden_ms_ssim {
    int size;
    double range;
    int which, sign;
    double similarity, single; /* of all scales, of the first one */
} golden_ms_ssim[] = {
    {200, 2, 1, 1, 0.9308964532585, 0.563757426372018},
    {176, 1, 2, 1, 0.76378465733263, -0.00440304836653066},
    {175, 1, 2, 1, 0.675687895098129, -0.00356136479514273},
    {64, 255, 1, 1, 0.999853324025638, 0.99926541744042},
    {45, 2, 1, 1, 0.952280424032972, 0.7031043587773},
    {11, 2, 1, 1, 0.750261254099362, 0.750261254099362},
    {64, 2, 1, -1, 0, 0.572013818671884},
};
enum { GOLDEN_SEED = 3, GOLDEN_PAIRS = 12, GOLDEN_IMAGES = 5, GOLDEN_SIZE = 30 };
static const double GOLDEN_RANGE = 2.5, GOLDEN_MEAN = 0.460257748339617;
static const double GOLDEN_PAIR[GOLDEN_PAIRS] = {
    0.595497844604408, 0.695544532366697, 0.733097943616152, 0, 0.595497844604408, 0,
    0.595497844604408, 0.690872700050489, 0.926211570178348, 0, 0.690872700050489, 0};
