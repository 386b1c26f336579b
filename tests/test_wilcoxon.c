/* The signed-rank test against scipy and against all signs of a few ranks, Holm's adjustment by
 * hand, midranks. */
#include "model/metric/holm.h"
#include "model/metric/midrank.h"
#include "model/metric/wilcoxon.h"
#include "tests/golden/wilcoxon.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

enum { MOST = 300 };

static void equals_scipy(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof golden_wilcoxon / sizeof *golden_wilcoxon; k++) {
        const struct golden_wilcoxon *g = &golden_wilcoxon[k];
        double d[MOST];
        wilcoxon_result r, negated;
        for (int i = 0; i < g->n; i++) {
            d[i] = sin(1.7 * i) + 0.3 * cos(0.9 * i * i) + g->shift;
            if (g->step > 0) d[i] = floor(d[i] / g->step + 0.5) * g->step;
        }
        assert_int_equal(wilcoxon_signed_rank(d, g->n, &r), ST_OK);
        assert_int_equal(r.zeros, g->zeros);
        assert_int_equal(r.pairs, g->n - g->zeros);
        assert_int_equal(r.exact, g->exact);
        assert_true(fabs(r.p - g->p) < 1e-12 * fmax(g->p, 1e-3));
        assert_true(fabs(r.effect - g->effect) < 1e-12);
        for (int i = 0; i < g->n; i++) d[i] = -d[i];
        assert_int_equal(wilcoxon_signed_rank(d, g->n, &negated), ST_OK);
        assert_true(negated.p == r.p && negated.effect == -r.effect);
    }
}

/* All 2^8 signs of the ranks 1..8: p is the share of signs with a rank sum at least as extreme. */
static void equals_enumeration(void **state) {
    (void)state;
    enum { N = 8, SIGNS = 1 << N, MEAN_TWICE = N * (N + 1) / 2 };
    for (int signs = 0; signs < SIGNS; signs++) {
        double d[N];
        wilcoxon_result r;
        int own = 0, extreme = 0;
        for (int i = 0; i < N; i++) {
            d[i] = signs >> i & 1 ? i + 1 : -i - 1;
            own += signs >> i & 1 ? i + 1 : 0;
        }
        for (int other = 0; other < SIGNS; other++) {
            int sum = 0;
            for (int i = 0; i < N; i++) sum += other >> i & 1 ? i + 1 : 0;
            extreme += abs(2 * sum - MEAN_TWICE) >= abs(2 * own - MEAN_TWICE);
        }
        assert_int_equal(wilcoxon_signed_rank(d, N, &r), ST_OK);
        assert_true(fabs(r.p - (double)extreme / SIGNS) < 1e-15);
        assert_true(r.positive == own && r.negative == MEAN_TWICE - own);
    }
}

static void missing_and_zero(void **state) {
    (void)state;
    const double some[6] = {1, NAN, 2, -3, NAN, 4}, zeros[3] = {0, -0.0, 0}, none[2] = {NAN, NAN};
    const double plain[4] = {1, 2, -3, 4};
    wilcoxon_result a, b;
    assert_int_equal(wilcoxon_signed_rank(some, 6, &a), ST_OK);
    assert_int_equal(wilcoxon_signed_rank(plain, 4, &b), ST_OK);
    assert_true(a.p == b.p && a.effect == b.effect && a.pairs == 4);
    assert_int_equal(wilcoxon_signed_rank(zeros, 3, &a), ST_OK);
    assert_true(a.p == 1 && a.effect == 0 && a.zeros == 3 && a.pairs == 0);
    assert_int_equal(wilcoxon_signed_rank(none, 2, &a), ST_OK);
    assert_true(isnan(a.p) && isnan(a.effect));
    assert_int_equal(wilcoxon_signed_rank(none, 0, &a), ST_OK);
    assert_true(isnan(a.p));
}

/* 4 tests: 0.01 * 4, 0.02 * 3, max(0.06, 0.025 * 2), 0.4. */
static void holm_by_hand(void **state) {
    (void)state;
    const double p[5] = {0.4, 0.01, NAN, 0.025, 0.02}, truth[5] = {0.4, 0.04, NAN, 0.06, 0.06};
    const double large[3] = {0.9, 0.8, 0.5};
    double adjusted[5];
    assert_int_equal(holm_adjust(p, 5, adjusted), ST_OK);
    for (int i = 0; i < 5; i++)
        assert_true(i == 2 ? isnan(adjusted[i]) : fabs(adjusted[i] - truth[i]) < 1e-15);
    assert_int_equal(holm_adjust(large, 3, adjusted), ST_OK);
    for (int i = 0; i < 3; i++) assert_true(adjusted[i] == 1);
    assert_int_equal(holm_adjust(p, 0, adjusted), ST_OK);
}

static void midranks_by_hand(void **state) {
    (void)state;
    const double value[7] = {3, 1, 3, -2, 3, 1, 8}, truth[7] = {5, 2.5, 5, 1, 5, 2.5, 7};
    double rank[7], ties;
    assert_int_equal(midranks(value, 7, rank, &ties), ST_OK);
    for (int i = 0; i < 7; i++) assert_true(rank[i] == truth[i]);
    assert_true(ties == (27 - 3) + (8 - 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_scipy),     cmocka_unit_test(equals_enumeration),
        cmocka_unit_test(missing_and_zero), cmocka_unit_test(holm_by_hand),
        cmocka_unit_test(midranks_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
