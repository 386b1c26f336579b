/* Every variant of our own kernels that this processor can run, from the narrowest feature set to
 * the widest: the table of variants.h is complete and the engines use the rows they should; the
 * kernels of each row agree with the reference engine; the clones of cloned.h agree with the
 * baseline.
 *
 * Usage: test_kernel_variants [SET]. SET names the widest feature set that must be available
 * ("AVX2"): tests/test_narrow.sh runs the program under ONEDNN_MAX_CPU_ISA.
 */
#include "model/nn/kernels/cloned.h"
#include "model/nn/kernels/elementwise.h"
#include "model/nn/kernels/variants.h"
#include "model/optim.h"
#include "model/sum.h"
#include "tests/attention_case.h"
#include "tests/norm_case.h"
#include "tests/whole_conv.h"

#include <stdio.h>
#include <unistd.h>

static int lift_limit(void **state) {
    (void)state;
    cpu_limit(CPU_AMX);
    return 0;
}

/* ---- the kernels of a family, at the present limit ---- */

static const conv_shape of_f32 = {2, 8, 8, 32, 96, 3, 1, TYPE_F32, TYPE_F32};
static const conv_shape of_bf16 = {2, 8, 8, 32, 96, 3, 1, TYPE_BF16, TYPE_BF16};

static void check_norm(void) {
    for (int i = 0; i < 4; i++) {
        const tensor_type type = i % 2 ? TYPE_BF16 : TYPE_F32;
        const norm_shape s = {2, 81, 33, 11, 0, true, type, false};
        compare_norm(engine(ENGINE_ONEDNN), s, true, i / 2, 0.25f, 1);
    }
}

static void check_attention(void) {
    const attention_shape f32 = {2, 65, 33, 3, TYPE_F32}, bf16 = {2, 65, 64, 2, TYPE_BF16};
    compare_attention(engine(ENGINE_ONEDNN), f32, 1);
    compare_attention(engine(ENGINE_ONEDNN), bf16, 1);
}

/* Where the row of the library comes first Winograd is off, and the engine calls the library. */
static void check_winograd(void) {
    const conv_shape *const shapes[] = {&of_f32, &of_bf16};
    for (int i = 0; i < 2; i++) {
        whole_case c = case_of(*shapes[i]);
        if (kernel_best(KERNEL_WINOGRAD)) {
            algorithm_is_exact(&c, &conv_winograd, &weight_gradient_winograd);
        } else {
            assert_false(conv_winograd.supports(shapes[i]));
            answers got = by_engine(engine(ENGINE_ONEDNN), &c), want = by_reference(&c);
            same_answers(&c, &got, &want);
            answers_free(&got), answers_free(&want);
        }
        case_free(&c);
    }
}

/* Of the following families every available row may run: the next one is for shapes that the one
 * before does not support. */

static void check_bf16_conv(void) {
    const kernel_variant *row = NULL;
    while ((row = kernel_variant_next(KERNEL_BF16_CONV, row))) {
        const conv_algorithm *algorithm = row->kernels;
        whole_case c = case_of(of_bf16);
        assert_true(algorithm->supports(&of_bf16));
        answers got = by_reference(&c), want = by_reference(&c);
        add_activations(&c, algorithm, &got);
        same_answers(&c, &got, &want);
        answers_free(&got), answers_free(&want), case_free(&c);
    }
}

static void check_bf16_weight_gradient(void) {
    const kernel_variant *row = NULL;
    while ((row = kernel_variant_next(KERNEL_BF16_WEIGHT_GRADIENT, row))) {
        const weight_gradient_algorithm *gradient = row->kernels;
        whole_case c = case_of(of_bf16);
        assert_true(gradient->supports(&of_bf16));
        gradient_is_exact(&c, gradient);
        case_free(&c);
    }
}

/* everywhere: callers rely on a row that runs on every processor. */
static const struct family {
    void (*check)(void);
    bool everywhere;
} families[] = {[KERNEL_NORM] = {check_norm, true},
                [KERNEL_ATTENTION] = {check_attention, true},
                [KERNEL_WINOGRAD] = {check_winograd, false},
                [KERNEL_BF16_CONV] = {check_bf16_conv, false},
                [KERNEL_BF16_WEIGHT_GRADIENT] = {check_bf16_weight_gradient, false}};
_Static_assert(sizeof families / sizeof families[0] == KERNEL_FAMILIES, "a family has no check");

/* ---- the table ---- */

/* Each family has rows, and these go from wide to narrow without two for one feature set: a row
 * behind an equal or narrower one would never come first. */
static void the_table_is_complete(void **state) {
    (void)state;
    for (int f = 0; f < KERNEL_FAMILIES; f++) {
        const kernel_variant *last = NULL;
        for (int i = 0; i < kernel_variant_count; i++) {
            const kernel_variant *row = &kernel_variants[i];
            if ((int)row->family != f) continue;
            if (last && row->needs >= last->needs)
                fail_msg("\"%s\" stands behind \"%s\"", row->name, last->name);
            last = row;
        }
        if (!last) fail_msg("family %d has no row", f);
        if (families[f].everywhere && (last->needs != CPU_BASELINE || !last->kernels))
            fail_msg("\"%s\" is the last row and does not run everywhere", last->name);
    }
}

static bool is_reachable(const kernel_variant *row) {
    const kernel_variant *r = NULL;
    while ((r = kernel_variant_next(row->family, r)))
        if (r == row) return true;
    return false;
}

/* The row of a family that must come first at a feature set; NULL: none is available. */
static const kernel_variant *expected_first(int family, cpu_features set) {
    for (int i = 0; i < kernel_variant_count; i++)
        if ((int)kernel_variants[i].family == family && kernel_variants[i].needs <= set)
            return &kernel_variants[i];
    return NULL;
}

static void every_row_is_used_and_agrees_with_the_reference(void **state) {
    (void)state;
    const cpu_features widest = cpu_available();
    for (cpu_features set = CPU_BASELINE; set <= widest; set++) {
        cpu_limit(set);
        assert_int_equal(cpu_available(), set);
        for (int f = 0; f < KERNEL_FAMILIES; f++) {
            const kernel_variant *first = expected_first(f, set);
            assert_ptr_equal(kernel_variant_next((kernel_family)f, NULL), first);
            assert_ptr_equal(kernel_best((kernel_family)f), first ? first->kernels : NULL);
            families[f].check();
        }
        for (int i = 0; i < kernel_variant_count; i++) {
            const kernel_variant *row = &kernel_variants[i];
            if (is_reachable(row) != (row->needs <= set))
                fail_msg("\"%s\" is %s with %s", row->name,
                         row->needs <= set ? "not reachable" : "reachable", cpu_features_name(set));
            if (row->needs == set)
                print_message("%-33s first with %s, agrees with the reference\n", row->name,
                              cpu_features_name(set));
        }
    }
    for (int i = 0; i < kernel_variant_count; i++)
        if (kernel_variants[i].needs > widest)
            print_message("%-33s not available: needs %s\n", kernel_variants[i].name,
                          cpu_features_name(kernel_variants[i].needs));
}

/* ---- clones ---- */

enum { N = 5003, ARRAYS = 4 };

/* Equal bit for bit: every operation here is a single rounding, or a sum whose order the source
 * fixes, so the width of the vectors does not matter. */
typedef struct exact_results {
    float add[N], mask[N], four[N], tree[N];
    bf16 low_add[N], low_mask[N], low_four[N], rounded[N];
    uint32_t pairs[N];
} exact_results;

/* Equal within rounding: AdamW and EMA multiply and add, and the wider clones fuse the two (FMA)
 * and save a rounding. */
typedef struct close_results {
    float value[N], m[N], v[N], ema[N];
} close_results;

static void run_exact(float *const x[ARRAYS], exact_results *r) {
    bf16 *low[ARRAYS];
    uint8_t keep[N];
    for (int a = 0; a < ARRAYS; a++) low[a] = activations_in(TYPE_BF16, x[a], N);
    for (int i = 0; i < N; i++) keep[i] = i % 3 != 0;
    const void *const four[] = {x[0], x[1], x[2], x[3]};
    const void *const low_four[] = {low[0], low[1], low[2], low[3]};
    elementwise_add(TYPE_F32, x[0], x[1], r->add, N);
    elementwise_add(TYPE_BF16, low[0], low[1], r->low_add, N);
    elementwise_mask(TYPE_F32, x[0], keep, 1 / 0.9f, r->mask, N);
    elementwise_mask(TYPE_BF16, low[0], keep, 1 / 0.9f, r->low_mask, N);
    elementwise_add_four(TYPE_F32, four, r->four, N);
    elementwise_add_four(TYPE_BF16, low_four, r->low_four, N);
    tree_sum((const float *const *)x, ARRAYS, N, r->tree);
    bf16_round(x[0], r->rounded, N);
    bf16_pack_pairs(x[0], 2, 1, r->pairs, N / 2);
    for (int a = 0; a < ARRAYS; a++) free(low[a]);
}

/* All arrays hold values between -1 and 1; v is at least 1/4, so the update is less than lr. */
static void run_close(float *const x[ARRAYS], close_results *r) {
    uint8_t decay[N];
    for (int i = 0; i < N; i++) {
        decay[i] = i % 2;
        r->value[i] = x[0][i], r->m[i] = x[1][i], r->ema[i] = x[2][i];
        r->v[i] = 0.25f + 0.5f * fabsf(x[3][i]);
    }
    const adamw a = {.lr = 1e-2,
                     .beta1 = 0.9,
                     .beta2 = 0.999,
                     .eps = 1e-8,
                     .weight_decay = 0.1,
                     .step = 10,
                     .scale = 0.7};
    adamw_update(&a, r->value, x[3], r->m, r->v, decay, r->ema, 0.99, N);
}

static void clones_agree_with_the_baseline(void **state) {
    (void)state;
    static exact_results exact[2]; /* of the baseline, and of the present set */
    static close_results close[2];
    const cpu_features widest = cpu_available();
    float *x[ARRAYS];
    for (int a = 0; a < ARRAYS; a++) {
        x[a] = noise(N, (uint32_t)a + 1);
        for (int i = 0; i < N; i++) x[a][i] *= 0.7f; /* whose sums are rounded */
    }
    for (cpu_features set = CPU_BASELINE; set <= widest; set++) {
        const int now = set == CPU_BASELINE ? 0 : 1;
        cpu_limit(set);
        assert_int_equal(clone_index(), set < CPU_AVX512 ? (int)set : CLONES - 1);
        memset(&exact[now], 0, sizeof exact[now]);
        run_exact(x, &exact[now]);
        run_close(x, &close[now]);
        if (set == CPU_BASELINE) continue;
        assert_memory_equal(&exact[1], &exact[0], sizeof exact[0]);
        /* At most eight operations a value, each on numbers below 1. */
        all_near("AdamW value", close[1].value, close[0].value, N, 8 * U);
        all_near("AdamW m", close[1].m, close[0].m, N, 8 * U);
        all_near("AdamW v", close[1].v, close[0].v, N, 8 * U);
        all_near("EMA", close[1].ema, close[0].ema, N, 8 * U);
    }
    for (int a = 0; a < ARRAYS; a++) free(x[a]);
}

/* ---- the environment variable of oneDNN ---- */

typedef struct fingerprint {
    uint64_t norm, attention;
} fingerprint;

static uint64_t add_hash(uint64_t h, const float *x, int64_t n) { /* FNV-1a */
    const unsigned char *bytes = (const unsigned char *)x;
    for (size_t i = 0; i < (size_t)n * sizeof *x; i++) h = (h ^ bytes[i]) * 1099511628211u;
    return h;
}

/* Of the bits of results that depend on the variant. Attention by the OpenBLAS engine: its matrix
 * products, unlike oneDNN's, do not depend on ONEDNN_MAX_CPU_ISA. */
static fingerprint results_here(void) {
    const int before = omp_get_max_threads();
    const kernels *k = engine(ENGINE_OPENBLAS);
    fingerprint f = {14695981039346656037u, 14695981039346656037u};
    norm_case n = norm_make((norm_shape){2, 81, 33, 11, 0, true, TYPE_BF16, false}, false, false);
    attention_case a = attention_make((attention_shape){1, 70, 64, 2, TYPE_BF16});
    omp_set_num_threads(1);
    norm_run(k, &n), norm_run_back(k, &n);
    f.norm = add_hash(add_hash(f.norm, n.dgain, n.s.channels), n.dx, n.nx);
    attention_run(k, &a), attention_run_back(k, &a);
    f.attention = add_hash(add_hash(f.attention, a.logsum, 140), a.dqkv, 3 * a.ny);
    norm_free(&n), attention_free(&a);
    omp_set_num_threads(before);
    return f;
}

static fingerprint results_with(cpu_features set) {
    cpu_limit(set);
    fingerprint f = results_here();
    cpu_limit(CPU_AMX);
    return f;
}

/* What the other process of the following test prints. */
static int print_results(void) {
    const fingerprint f = results_here();
    printf("%d %" PRIu64 " %" PRIu64 "\n", (int)cpu_available(), f.norm, f.attention);
    return 0;
}

/* Another process of this program, under ONEDNN_MAX_CPU_ISA=AVX2, computes what this one computes
 * under cpu_limit(CPU_AVX2), bit for bit. Where this processor has a wider variant, its bits differ
 * from those at both narrower limits, so the comparison distinguishes the variants. */
static void the_environment_limits_the_variants(void **state) {
    (void)state;
    char self[4096], command[4200];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = '\0';
    snprintf(command, sizeof command, "ONEDNN_MAX_CPU_ISA=AVX2 '%s' results", self);
    FILE *from = popen(command, "r");
    assert_non_null(from);
    int set = -1;
    fingerprint seen = {0, 0};
    const int fields = fscanf(from, "%d %" SCNu64 " %" SCNu64, &set, &seen.norm, &seen.attention);
    assert_int_equal(pclose(from), 0);
    assert_int_equal(fields, 3);

    const cpu_features widest = cpu_available();
    assert_int_equal(set, widest < CPU_AVX2 ? widest : CPU_AVX2);
    const fingerprint narrow = results_with(CPU_AVX2), wide = results_with(CPU_AMX);
    assert_true(seen.norm == narrow.norm);
    assert_true(seen.attention == narrow.attention);
    if (widest < CPU_AVX512_BF16) return;
    const fingerprint clones = results_with(CPU_AVX512);
    assert_true(wide.norm != narrow.norm && wide.norm != clones.norm);
    assert_true(wide.attention != narrow.attention && wide.attention != clones.attention);
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "results")) return print_results();
    const char *here = cpu_features_name(cpu_available());
    if (argc == 2 && strcmp(argv[1], here) != 0) {
        fprintf(stderr, "the widest feature set is \"%s\", expected \"%s\"\n", here, argv[1]);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_complete),
        cmocka_unit_test_setup(every_row_is_used_and_agrees_with_the_reference, lift_limit),
        cmocka_unit_test_setup(clones_agree_with_the_baseline, lift_limit),
        cmocka_unit_test_setup(the_environment_limits_the_variants, lift_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
