/* The summation tree gives the same bits however its leaves are held: in separate arrays, pushed to
 * a stack one after the other, or in groups of a power of two whose sums are summed. */
#include "model/sum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 2500, LEAVES = 16 };

static float leaf[LEAVES][N];
static const float *leaves[LEAVES];

static void fill(void) {
    for (int k = 0; k < LEAVES; k++) {
        leaves[k] = leaf[k];
        for (int i = 0; i < N; i++)
            leaf[k][i] = sinf((float)(k * 31 + i)) * powf(10, (float)(k % 5));
    }
}

/* The tree, written as a recursion. */
static float oracle(int first, int count, int i) {
    if (count == 1) return leaf[first][i];
    return oracle(first, count / 2, i) + oracle(first + count / 2, count / 2, i);
}

static void a_tree_is_what_it_says(void **state) {
    (void)state;
    float sum[N];
    int off = 0;
    for (int count = 1; count <= LEAVES; count *= 2) {
        tree_sum(leaves, count, N, sum);
        for (int i = 0; i < N; i++) assert_true(sum[i] == oracle(0, count, i));
    }
    /* A sum in sequence differs: the test distinguishes the two. */
    for (int i = 0; i < N; i++) {
        float line = 0;
        for (int k = 0; k < LEAVES; k++) line += leaf[k][i];
        off += line != sum[i];
    }
    assert_true(off > N / 10);
}

static void odd_counts_split_at_a_power_of_two(void **state) {
    (void)state;
    float sum[N], four[N], rest[N];
    tree_sum(leaves, 7, N, sum);
    tree_sum(leaves, 4, N, four);
    tree_sum(leaves + 4, 3, N, rest);
    for (int i = 0; i < N; i++) {
        assert_true(rest[i] == leaf[4][i] + leaf[5][i] + leaf[6][i]);
        assert_true(sum[i] == four[i] + rest[i]);
    }
    double x[7], in_f64 = 0;
    for (int k = 0; k < 7; k++) x[k] = pow(10, k) / 3;
    in_f64 = ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + x[6]);
    assert_true(tree_sum_f64(x, 7) == in_f64);
    assert_true(tree_sum_f64(x, 1) == x[0] && tree_sum_f64(x, 0) == 0);
}

static void the_result_may_replace_an_array(void **state) {
    (void)state;
    float sum[N], copy[3][N];
    const float *x[3] = {copy[0], copy[1], copy[2]};
    memcpy(copy, leaf, sizeof copy);
    tree_sum(leaves, 3, N, sum);
    tree_sum(x, 3, N, copy[1]);
    assert_memory_equal(copy[1], sum, sizeof sum);
}

/* All leaves but the last are pushed; the last is added piece by piece. */
static void a_stack_is_the_tree(void **state) {
    (void)state;
    for (int count = 1; count <= LEAVES; count *= 2) {
        sum_stack *s = NULL;
        float x[N], sum[N];
        assert_int_equal(sum_stack_create(N, count, &s), ST_OK);
        for (int round = 0; round < 2; round++) { /* a cleared stack can be used again */
            sum_stack_clear(s);
            for (int k = 0; k < count; k++) {
                memcpy(x, leaf[k], sizeof x);
                if (k == count - 1) break;
                sum_stack_push(s, x);
                for (int i = 0; i < N; i++) assert_true(x[i] == 0);
            }
            sum_stack_add_to(s, x, 1100, N - 1100);
            sum_stack_add_to(s, x, 0, 1100);
            tree_sum(leaves, count, N, sum);
            assert_memory_equal(x, sum, sizeof sum);
        }
        sum_stack_destroy(s);
    }
}

static void groups_of_any_power_give_the_same_bits(void **state) {
    (void)state;
    float whole[N], sum[N];
    tree_sum(leaves, LEAVES, N, whole);
    for (int groups = 2; groups <= LEAVES; groups *= 2) {
        float part[LEAVES][N];
        const float *parts[LEAVES];
        for (int g = 0; g < groups; g++) {
            tree_sum(leaves + g * (LEAVES / groups), LEAVES / groups, N, part[g]);
            parts[g] = part[g];
        }
        tree_sum(parts, groups, N, sum);
        assert_memory_equal(sum, whole, sizeof sum);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_is_what_it_says),
        cmocka_unit_test(odd_counts_split_at_a_power_of_two),
        cmocka_unit_test(the_result_may_replace_an_array),
        cmocka_unit_test(a_stack_is_the_tree),
        cmocka_unit_test(groups_of_any_power_give_the_same_bits),
    };
    fill();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
