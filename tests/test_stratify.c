/* Stratification: the sizes asked for, the shares of every structure, and the plain cut where
 * structures tell nothing. */
#include "pipeline/data/stratify.h"
#include "tests/scratch.h"

#include <math.h>

enum { PATIENTS = 60, STRUCTURES = 6 };
static const int64_t COUNT[STRATA_PARTS] = {42, 6, 12};

static uint64_t state_of_draws;
static double draw(void) {
    state_of_draws = state_of_draws * 6364136223846793005u + 1442695040888963407u;
    return (double)(state_of_draws >> 11) / 9007199254740992.0;
}

/* Structure k occurs in about 1 / (k + 1) of the patients, the last one in three of them. */
static void make_patients(uint64_t seed, structure_bits *has) {
    memset(has, 0, PATIENTS * sizeof *has);
    state_of_draws = seed;
    for (int i = 0; i < PATIENTS; i++)
        for (int k = 0; k + 1 < STRUCTURES; k++)
            if (draw() * (k + 1) < 1) has[i][k / 2] |= UINT64_C(1) << (60 + k % 2);
    for (int i = 0; i < 3; i++) has[(int)(draw() * PATIENTS)][3] |= UINT64_C(1) << 63;
}

static bool occurs(const structure_bits bits, int k) {
    return k + 1 < STRUCTURES ? bits[k / 2] >> (60 + k % 2) & 1 : bits[3] >> 63;
}

/* Distance of the counts of each structure in each part from its share; *absent: structures of 5 or
 * more patients that a part with room for one lacks. */
static double distance(const structure_bits *has, const int *part, int *absent) {
    double sum = 0;
    for (int k = 0; k < STRUCTURES; k++) {
        double all = 0, in[STRATA_PARTS] = {0};
        for (int i = 0; i < PATIENTS; i++) {
            all += occurs(has[i], k);
            in[part[i]] += occurs(has[i], k);
        }
        for (int p = 0; p < STRATA_PARTS; p++) {
            sum += fabs(in[p] - all * (double)COUNT[p] / PATIENTS);
            *absent += all >= 10 && in[p] == 0;
        }
    }
    return sum;
}

static void parts_have_their_shares(void **state) {
    (void)state;
    double stratified = 0, plain = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        structure_bits has[PATIENTS];
        int part[PATIENTS], cut[PATIENTS], absent = 0, absent_of_cut = 0;
        int64_t got[STRATA_PARTS] = {0};
        make_patients(seed, has);
        assert_int_equal(stratify(has, PATIENTS, COUNT, part), ST_OK);
        for (int i = 0; i < PATIENTS; i++) {
            assert_in_range(part[i], 0, STRATA_PARTS - 1);
            got[part[i]]++;
            cut[i] = i < COUNT[2] ? 2 : i < COUNT[2] + COUNT[1] ? 1 : 0;
        }
        for (int p = 0; p < STRATA_PARTS; p++) assert_int_equal(got[p], COUNT[p]);
        stratified += distance(has, part, &absent);
        plain += distance(has, cut, &absent_of_cut);
        assert_int_equal(absent, 0);
    }
    assert_true(stratified < 0.5 * plain);
}

static void equal_patients_are_cut_by_their_draws(void **state) {
    (void)state;
    structure_bits has[PATIENTS] = {0};
    int part[PATIENTS];
    for (int some = 0; some < 2; some++) {
        for (int i = 0; i < PATIENTS; i++) has[i][0] = some ? 0x16 : 0;
        assert_int_equal(stratify(has, PATIENTS, COUNT, part), ST_OK);
        for (int i = 0; i < PATIENTS; i++)
            assert_int_equal(part[i], i < COUNT[2] ? 2 : i < COUNT[2] + COUNT[1] ? 1 : 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_have_their_shares),
        cmocka_unit_test(equal_patients_are_cut_by_their_draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
