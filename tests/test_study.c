/* Study files: the consistency of the table of keys, reading and writing by it, and invalid files.
 */
#include "io/nearest.h"
#include "pipeline/study/study_yaml.h"
#include "tests/scratch.h"

static comm *world;
static char file[PATH_SIZE + 16];

static status read_text(const char *text, const char *override, study *out) {
    put_file(file, text, strlen(text));
    return study_read(world, file, &override, override ? 1 : 0, out);
}

static char *written(const study *s, bool comments) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    assert_int_equal(study_write(s, f, comments), ST_OK);
    assert_int_equal(fclose(f), 0);
    return text;
}

/* Every default is valid by its own row, and no two rows share memory. */
static void defaults_pass_their_checks(void **state) {
    (void)state;
    study s;
    study_defaults(&s);
    for (int i = 0; i < study_key_count; i++) {
        char path[STUDY_PATH];
        study_key_path(&study_keys[i], path);
        assert_int_equal(study_key_find(path), i);
        assert_int_equal(study_value_parse(&s, &study_keys[i], study_keys[i].initial), ST_OK);
        for (int j = 0; j < i; j++) assert_true(study_keys[i].offset != study_keys[j].offset);
    }
    assert_int_equal(s.data.size, 64);
    assert_int_equal(s.train.steps, 20000);
    assert_true(s.train.lr == 2e-4 && s.data.window[1] == 1000 && s.data.split[0] == 0.7);
    assert_int_equal(s.engine, ENGINE_ONEDNN);
}

/* What `ctaug init` prints reads as the defaults; a saved study reads as the original. */
static void written_studies_read_back_to_the_same_bytes(void **state) {
    (void)state;
    study a, b;
    study_defaults(&a);
    for (int comments = 0; comments < 2; comments++) {
        char *text = written(&a, comments);
        assert_int_equal(read_text(text, NULL, &b), ST_OK);
        assert_memory_equal(&a, &b, sizeof a);
        free(text);
    }
    const char *odd = "name: \"a \\\"b\\\" \\\\ # \xc3\xa9: [x]\"\nout: \"123\"\n"
                      "ingest:\n  labels: thresholds\n"
                      "  thresholds:\n    - \"soft, wet: -20..80\"\n    - 'bone:300..3071'\n"
                      "  structures: [\"a, \\\"b\\\": Leber, rechts|x: y|\xc3\xa9\", \"c:d\"]\n"
                      "  overlap: order\n  order: [\"c\", \"a, \\\"b\\\"\"]\n"
                      "data:\n  window: [-0.1, 333.3333333333333]\n"
                      "train:\n  lr: 0.12345678901234567\n  ema: 0.99999\n"
                      "generate:\n  insert: [\"x in y in z: 0.3\", \"lesion in liver:0.6x2..2\"]\n";
    assert_int_equal(read_text(odd, NULL, &a), ST_OK);
    assert_string_equal(a.name, "a \"b\" \\ # \xc3\xa9: [x]");
    assert_int_equal(a.ingest.structures.count, 2);
    assert_string_equal(a.ingest.structures.pool, "a, \"b\": Leber, rechts|x: y|\xc3\xa9");
    assert_int_equal(a.ingest.order.count, 2);
    assert_int_equal(a.ingest.threshold_count, 2);
    assert_string_equal(a.ingest.thresholds[0].name, "soft, wet");
    assert_int_equal(a.ingest.thresholds[1].low, 300);
    assert_int_equal(a.generate.insert_count, 2);
    assert_string_equal(a.generate.insert[0].structure, "x in y");
    assert_string_equal(a.generate.insert[0].host, "z");
    assert_true(a.generate.insert[0].low == 1 && a.generate.insert[0].high == 3);
    assert_string_equal(a.generate.insert[1].host, "liver");
    assert_true(a.generate.insert[1].share == 0.6 && a.generate.insert[1].low == 2 &&
                a.generate.insert[1].high == 2);
    char *text = written(&a, true);
    assert_int_equal(read_text(text, NULL, &b), ST_OK);
    assert_memory_equal(&a, &b, sizeof a);
    free(text);
}

static void overrides_win_over_the_file(void **state) {
    (void)state;
    study s;
    assert_int_equal(read_text("train:\n  batch: 4\n", "train.batch=32", &s), ST_OK);
    assert_int_equal(s.train.batch, 32);
    assert_int_equal(read_text("seed: 3\n", "data.window=[-200, 300]", &s), ST_OK);
    assert_true(s.data.window[0] == -200 && s.data.window[1] == 300 && s.seed == 3);
    assert_int_equal(read_text("seed: 3\n", "data.split=0.5,0.25,0.25", &s), ST_OK);
    assert_true(s.data.split[2] == 0.25);
    assert_int_equal(read_text("ingest:\n  labels: thresholds\n",
                               "ingest.thresholds=[bone: 300..3071, air: -1024..-300]", &s),
                     ST_OK);
    assert_int_equal(s.ingest.threshold_count, 2);
    assert_string_equal(s.ingest.thresholds[1].name, "air");
    assert_int_equal(s.ingest.thresholds[1].high, -300);
    assert_int_equal(read_text("seed: 3\n", "ingest.structures=[liver: Liver|hepar, ren: b]", &s),
                     ST_OK);
    assert_int_equal(s.ingest.structures.count, 2);
    const char *rules[2];
    study_texts_at(&s.ingest.structures, rules);
    assert_string_equal(rules[0], "liver: Liver|hepar");
    assert_string_equal(rules[1], "ren: b");
    assert_int_equal(read_text("train:\n", NULL, &s), ST_OK);
    assert_int_equal(s.generate.painters, 1u << PAINTER_DIFFUSION);
    assert_int_equal(read_text("train:\n", "generate.painters=gaussian,diffusion", &s), ST_OK);
    assert_int_equal(s.generate.painters, 1u << PAINTER_DIFFUSION | 1u << PAINTER_GAUSSIAN);
}

/* The message for each fault names its line (0: it is not in the file) and what to do. */
static void faults_name_line_and_reason(void **state) {
    (void)state;
    static const struct {
        const char *text, *override;
        int line;
        const char *says;
    } faults[] = {
        {"name: a\ntrain:\n  lr: 1\n  stepss: 3\n", NULL, 4, "did you mean \"train.steps\"?"},
        {"name: a\nsteps: 3\n", NULL, 2, "\"train.steps\""},
        {"trian:\n  lr: 1\n", NULL, 1, "did you mean \"train\"?"},
        {"train:\n  micro-batch: 1\n", NULL, 2, "\"train.micro_batch\""},
        {"train:\n  xyzzy: 1\n", NULL, 2, "keys of train: steps, batch"},
        {"train:\n\n  # two\n  batch: 0\n", NULL, 4, "train.batch is 0; it must be 1..65536"},
        {"train:\n  batch: 1.5\n", NULL, 2, "train.batch is 1.5"},
        {"train:\n  batch: 99999999999999999999\n", NULL, 2, "it must be 1..65536"},
        {"train:\n  lr: nan\n", NULL, 2, "train.lr is nan"},
        {"train:\n  lr: 1e999\n", NULL, 2, "train.lr is 1e999"},
        {"train:\n  lr: 0x1p-3\n", NULL, 2, "train.lr is 0x1p-3"},
        {"train:\n  lr:\n", NULL, 2, "train.lr is empty"},
        {"train:\n  lr: [1]\n", NULL, 2, "train.lr must be a single value"},
        {"generate:\n  insert: [\"lesion: 0.5\"]\n", NULL, 2, "structure in host"},
        {"generate:\n  insert: [\"a in b: 1.5\"]\n", NULL, 2, "share 0..1"},
        {"generate:\n  insert: [\"a in a: 0.5\"]\n", NULL, 2, "two different labels"},
        {"generate:\n  insert: [\"a in b: 0.5 x 3..2\"]\n", NULL, 2, "low <= high"},
        {"generate:\n  insert: [\"a in b: 0.5 x 0..2\"]\n", NULL, 2, "in 1..100"},
        {"generate:\n  insert: [\"background in b: 1\"]\n", NULL, 2, "two different labels"},
        {"generate:\n  painters: []\n", NULL, 2, "generate.painters is empty"},
        {"generate:\n  painters: gaussian\n", NULL, 2, "must be a list"},
        {"generate:\n  painters: [oil]\n", NULL, 2, "a list of diffusion | gaussian"},
        {"model:\n  net: R65\n", NULL, 2, "R64 | R32 | R16"},
        {"train:\n  lr: 1\n  batch: 1\n  lr: 1\n", NULL, 4, "given twice, first on line 2"},
        {"train: 3\n", NULL, 1, "section"},
        {"train:\n  lr: 1\ntrain:\n  batch: 1\n", NULL, 3, "given twice"},
        {"data:\n  window: 3\n", NULL, 2, "must be a list"},
        {"data:\n  window: [1, 2, 3]\n", NULL, 2, "has 3 entries"},
        {"data:\n  window: [5, 5]\n", NULL, 2, "low end"},
        {"data:\n  split: [0.5, 0.2, 0.2]\n", NULL, 2, "sum to 1"},
        {"data:\n  split: [0, 0.5, 0.5]\n", NULL, 2, "training"},
        {"data:\n  size: 60\n", NULL, 2, "multiple of 8"},
        {"train:\n  steps: 10\n", NULL, 2, "train.warmup is 100"},
        {"diffusion:\n  steps: 10\n", NULL, 2, "generate.steps is 50"},
        {"ingest:\n  labels: thresholds\n", NULL, 2, "ingest.thresholds is empty"},
        {"ingest:\n  thresholds: [\"a: 1..2\", \"a: 3..4\"]\n", NULL, 2, "\"a\" twice"},
        {"ingest:\n  thresholds: [\"background: 1..2\"]\n", NULL, 2, "background"},
        {"ingest:\n  thresholds: [\"a: 2..1\"]\n", NULL, 2, "low <= high"},
        {"ingest:\n  thresholds: [\"a: 2..40000\"]\n", NULL, 2, "-32768..32767"},
        {"ingest:\n  thresholds:\n    - bone: 300..400\n", NULL, 2, "in quotes"},
        {"ingest:\n  structures: [\"liver\"]\n", NULL, 2, "entry 1 must be \"name: text|text"},
        {"ingest:\n  structures: [\"liver: \"]\n", NULL, 2, "entry 1 must be"},
        {"ingest:\n  structures: [\"a: b\", \"c: d||e\"]\n", NULL, 2, "entry 2 must be"},
        {"ingest:\n  structures: [\": b\"]\n", NULL, 2, "entry 1 must be"},
        {"ingest:\n  structures: [\"a: b\", \"a: c\"]\n", NULL, 2, "\"a\", which is there"},
        {"ingest:\n  structures: [\"a: b\", \"c: d|b\"]\n", NULL, 2, "\"b\", which is there"},
        {"ingest:\n  structures: [\"Background: b\"]\n", NULL, 2, "what remains without one"},
        {"ingest:\n  structures:\n    - liver: b\n", NULL, 2, "in quotes"},
        {"ingest:\n  order: [\"a\", \"a\"]\n", NULL, 2, "\"a\", which is there"},
        {"ingest:\n  overlap: order\n", NULL, 2, "ingest.order is empty"},
        {"ingest:\n  overlap: largest\n", NULL, 2, "smaller-wins | order | refuse"},
        {"ingest:\n  fractional: 1.5\n", NULL, 2, "0..1"},
        {"name: &x a\nout: *x\n", NULL, 2, "aliases"},
        {"name: a\n\tout: b\n", NULL, 2, "not YAML"},
        {"name: a\nout: [b\n", NULL, 2, "out must be a single value"},
        {"name: a\nout: \"b\n", NULL, 3, "not YAML"},
        {"name: a\n---\nname: b\n", NULL, 2, "second YAML document"},
        {"name: a\n? [b]\n: c\n", NULL, 2, "must be a word"},
        {"- a\n", NULL, 1, "key: value"},
        {"", NULL, 1, "empty"},
        {"# nothing\n", NULL, 2, "empty"},
        {"name: \"a\\0b\"\n", NULL, 1, "NUL"},
        {"name: a\nout: \xff\n", NULL, 2, "not YAML"},
        {"name: \"a\\nb\"\n", NULL, 1, "one line"},
        {"seed: 1\n", "train.stepss=3", 0, "--set train.stepss: unknown key"},
        {"seed: 1\n", "train.batch=0", 0, "--set train.batch: train.batch is 0"},
        {"seed: 1\n", "train.batch", 0, "key=value"},
        {"seed: 1\n", "train.steps=5", 0, "--set train.steps: train.warmup"},
        {"seed: 1\n", "data.window=[1, 2", 0, "data.window is [1"},
        {"seed: 1\n", "name=\xff", 0, "UTF-8"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        study s;
        char place[PATH_SIZE + 64];
        status st = read_text(faults[i].text, faults[i].override, &s);
        const char *said = status_message();
        if (st != ST_USAGE || !strstr(said, faults[i].says))
            fail_msg("%s%s\n-> %d %s", faults[i].text, faults[i].override ? faults[i].override : "",
                     st, said);
        snprintf(place, sizeof place, "%s:%d: ", file, faults[i].line);
        if (faults[i].line && strncmp(said, place, strlen(place)) != 0)
            fail_msg("%s\n-> not line %d: %s", faults[i].text, faults[i].line, said);
    }
}

static void missing_and_unreadable_files_are_usage(void **state) {
    (void)state;
    study s;
    assert_int_equal(study_read(world, "/nonexistent/x.yaml", NULL, 0, &s), ST_USAGE);
    assert_non_null(strstr(status_message(), "/nonexistent/x.yaml"));
    assert_int_equal(study_read(world, home, NULL, 0, &s), ST_USAGE);
}

/* Values outside the ranges of the table are refused; the ends of the ranges are accepted. */
static void ranges_hold_at_their_ends(void **state) {
    (void)state;
    study s;
    char text[64];
    for (int i = 0; i < study_key_count; i++) {
        const study_key *key = &study_keys[i];
        if (key->kind != STUDY_INTEGER && key->kind != STUDY_REAL) continue;
        double step = key->kind == STUDY_INTEGER ? 1 : 0.001 * (key->high - key->low);
        const double values[] = {key->low, key->high, key->low - step, key->high + 2 * step};
        for (int k = 0; k < 4; k++) {
            snprintf(text, sizeof text, key->kind == STUDY_INTEGER ? "%.0f" : "%.17g", values[k]);
            study_defaults(&s);
            assert_int_equal(study_value_parse(&s, key, text), k < 2 ? ST_OK : ST_USAGE);
        }
    }
}

static void fingerprint_of(const study *s, const char *section, const char *upstream,
                           char hex[SHA256_HEX]) {
    assert_int_equal(study_fingerprint(s, &section, 1, upstream, hex), ST_OK);
}

/* A single key is covered by its path, and the others of its section are not. */
static void fingerprints_of_single_keys(void **state) {
    (void)state;
    char one[SHA256_HEX], two[SHA256_HEX];
    study a;
    study_defaults(&a);
    fingerprint_of(&a, "evaluate.steps", "", one);
    a.evaluate.seeds++;
    a.train.steps++;
    fingerprint_of(&a, "evaluate.steps", "", two);
    assert_string_equal(one, two);
    a.evaluate.steps++;
    fingerprint_of(&a, "evaluate.steps", "", two);
    assert_string_not_equal(one, two);
}

/* Keys that came later are in a fingerprint only if they differ from their defaults: that of an
 * older run is the hash of the text that was made without them. */
static void later_keys_leave_old_fingerprints(void **state) {
    (void)state;
    static const char old[] = "diffusion.steps=1000\ndiffusion.schedule=cosine\n"
                              "diffusion.objective=v\ndiffusion.loss=l2\nupstream=u\n";
    char expected[SHA256_HEX], found[SHA256_HEX];
    study a;
    study_defaults(&a);
    assert_int_equal(bytes_sha256(old, (int64_t)strlen(old), expected), ST_OK);
    fingerprint_of(&a, "diffusion", "u", found);
    assert_string_equal(found, expected);
    a.diffusion.shift = 2;
    fingerprint_of(&a, "diffusion", "u", found);
    assert_string_not_equal(found, expected);
}

static void fingerprints_follow_from_what_matters(void **state) {
    (void)state;
    study a, b;
    char one[SHA256_HEX], two[SHA256_HEX];
    study_defaults(&a);
    for (int i = 0; i < study_key_count; i++) {
        const study_key *key = &study_keys[i];
        const char *section = *key->section ? key->section : key->name;
        /* A different value: the last choice, the low end, or a text. */
        const char *other = "other";
        char text[64];
        if (key->kind == STUDY_CHOICE || key->kind == STUDY_CHOICES) {
            for (int k = 0; k < key->choices->count; k++)
                if (!strstr(key->initial, named_table_name(key->choices, k)))
                    other = named_table_name(key->choices, k);
        } else if (key->kind == STUDY_INTEGER || key->kind == STUDY_REAL) {
            snprintf(text, sizeof text, "%.17g",
                     strtod(key->initial, NULL) == key->low ? key->high : key->low);
            other = text;
        } else if (key->kind == STUDY_REALS) {
            other = key->count == 2 ? "[0, 0.5]" : "[0, 0.5, 0.5]";
        } else if (key->kind == STUDY_INTEGERS) {
            other = "[1, 2]";
        } else if (key->kind == STUDY_THRESHOLDS) {
            other = "[a: 1..2]";
        } else if (key->kind == STUDY_INSERTS) {
            other = "[a in b: 0.5]";
        } else if (key->kind == STUDY_TEXTS) {
            other = strcmp(key->section, "sweep") == 0    ? "[data.zoom: 0.1]"
                    : strcmp(key->section, "export") == 0 ? "[hepar: 10200004 SCT Liver]"
                                                          : "[a: b|c]";
        } else if (key->kind == STUDY_INTEGERS) {
            other = "[2, 4]";
        }
        if (key->kind == STUDY_CHOICE && key->choices->count < 2) continue;
        study_defaults(&b);
        if (study_value_parse(&b, key, other) != ST_OK) fail_msg("%s", status_message());
        fingerprint_of(&a, section, "", one);
        fingerprint_of(&b, section, "", two);
        if ((strcmp(one, two) == 0) != key->inert) fail_msg("%s.%s", key->section, key->name);
        const char *elsewhere = strcmp(section, "model") == 0 ? "data" : "model";
        fingerprint_of(&a, elsewhere, "", one);
        fingerprint_of(&b, elsewhere, "", two);
        assert_string_equal(one, two);
    }
    fingerprint_of(&a, "train", "", one);
    fingerprint_of(&a, "train", "x", two);
    assert_string_not_equal(one, two);
}

/* As many rules as a store holds structures, and one more. */
static void lists_of_texts_end_where_the_key_says(void **state) {
    (void)state;
    enum { ROOM = 1 << 17 };
    static char text[ROOM];
    static study s;
    for (int n = STRUCTURES_MAX; n <= STRUCTURES_MAX + 1; n++) {
        int used = snprintf(text, ROOM, "ingest:\n  structures:\n");
        for (int i = 0; i < n; i++)
            used += snprintf(text + used, (size_t)(ROOM - used), "    - \"s%d: t%d\"\n", i, i);
        assert_int_equal(read_text(text, NULL, &s), n > STRUCTURES_MAX ? ST_USAGE : ST_OK);
    }
    assert_non_null(strstr(status_message(), "up to 255 of them"));
    /* More text than there is room for. */
    int used = snprintf(text, ROOM, "ingest:\n  structures:\n");
    for (int i = 0; i < STRUCTURES_MAX; i++)
        used += snprintf(text + used, (size_t)(ROOM - used), "    - \"s%d: %0200d\"\n", i, i);
    assert_int_equal(read_text(text, NULL, &s), ST_USAGE);
    assert_non_null(strstr(status_message(), "more than 32768 bytes together"));
}

/* "auto" is a word for the guidance 0, and for no other key. */
static void a_word_stands_for_one_value(void **state) {
    (void)state;
    study s;
    char range[64], *text = NULL;
    const study_key *key = &study_keys[study_key_find("generate.guidance")];
    study_value_range(key, range, sizeof range);
    assert_string_equal(range, "auto | 0..50");
    for (int k = 0; k < 2; k++) {
        study_defaults(&s);
        assert_false(study_chooses_guidance(&s));
        s.evaluate.fidelity = 0;
        assert_false(study_needs_referee(&s));
        assert_int_equal(study_value_parse(&s, key, k == 0 ? "auto" : "0"), ST_OK);
        assert_true(s.generate.guidance == 0 && study_chooses_guidance(&s));
        assert_true(study_needs_referee(&s));
        assert_int_equal(study_value_text(&s, key, &text), ST_OK);
        assert_string_equal(text, "auto");
        free(text);
        s.generate.painters = 1 << PAINTER_GAN;
        assert_false(study_needs_referee(&s));
    }
    assert_int_equal(study_value_parse(&s, key, "automatic"), ST_USAGE);
    assert_non_null(strstr(status_message(), "auto | 0..50"));
    key = &study_keys[study_key_find("generate.eta")];
    assert_int_equal(study_value_parse(&s, key, "auto"), ST_USAGE);
}

static void distances_count_slips(void **state) {
    (void)state;
    assert_int_equal(edit_distance("train", "train"), 0);
    assert_int_equal(edit_distance("Train", "train"), 0);
    assert_int_equal(edit_distance("trian", "train"), 1);
    assert_int_equal(edit_distance("", "abc"), 3);
    assert_int_equal(edit_distance("kitten", "sitting"), 3);
    char wide[500];
    memset(wide, 'a', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    assert_true(edit_distance(wide, "") > 50 && edit_distance("", wide) > 50);
}

static uint32_t dice(uint32_t *state) {
    return *state = *state * 1664525u + 1013904223u, *state >> 8;
}

/* Any bytes lead to a study or to a message with the name of the file. */
static void mutilated_files_are_answered(void **state) {
    (void)state;
    static const char *const bits[] = {"[",     "{",  "\"", ": ",    "\n",   "  ",
                                       "&a ",   "*a", "- ", "? ",    "!!x ", "|",
                                       "---\n", "%",  "\t", "1e999", "nan",  "\\0"};
    enum { ROUNDS = 4000, SPARE = 256 };
    study defaults, s;
    study_defaults(&defaults);
    char *text = written(&defaults, true);
    size_t n = strlen(text);
    char *work = malloc(n + SPARE);
    uint32_t seed = 7;
    int good = 0;
    assert_non_null(work);
    for (int round = 0; round < ROUNDS; round++) {
        bool given[STUDY_KEYS_MAX] = {false};
        size_t length = n;
        memcpy(work, text, n);
        for (uint32_t k = 0, edits = 1 + dice(&seed) % 4; k < edits; k++) {
            size_t at = dice(&seed) % length;
            const char *bit = bits[dice(&seed) % (sizeof bits / sizeof *bits)];
            switch (dice(&seed) % 4) {
            case 0:
                work[at] = (char)dice(&seed);
                break;
            case 1:
                length = at + 1;
                break;
            case 2:
                work[at] ^= (char)(1u << dice(&seed) % 8);
                break;
            default:
                memmove(work + at + strlen(bit), work + at, length - at);
                memcpy(work + at, bit, strlen(bit));
                length += strlen(bit);
            }
        }
        study_defaults(&s);
        status st = study_yaml_apply("f.yaml", work, (int64_t)length, &s, given);
        if (st == ST_OK)
            good++;
        else if (st != ST_USAGE || strncmp(status_message(), "f.yaml:", 7) != 0)
            fail_msg("round %d: %d %s", round, st, status_message());
    }
    assert_true(good > 0 && good < ROUNDS);
    free(work);
    free(text);
}

static void huge_and_deep_files_are_answered(void **state) {
    (void)state;
    enum { BYTES = 500000 };
    char *text = malloc(BYTES + 1);
    study s;
    assert_non_null(text);
    for (int k = 0; k < 5; k++) {
        memset(text, "[{-ak"[k], BYTES);
        text[BYTES] = '\0';
        if (k == 2)
            for (int i = 1; i < BYTES; i += 2) text[i] = ' ';
        if (k == 3) memcpy(text, "name: ", 6);
        if (k == 4) memcpy(text + BYTES - 4, ": 1\n", 4);
        assert_int_equal(read_text(text, NULL, &s), ST_USAGE);
        assert_true(strlen(status_message()) < 1000);
    }
    free(text);
    assert_int_equal(read_text("ingest: {dicom: [[[[[[[[[[[[[[[", NULL, &s), ST_USAGE);
}

/* condition_drop * study_without_caption() is the share of samples with nothing: at most 0.1. */
static void samples_with_nothing_are_few(void **state) {
    (void)state;
    static const double drop[] = {0, 0.1, 0.2, 0.8, 1}, want[] = {0.5, 0.5, 0.5, 0.125, 0.1};
    study s;
    study_defaults(&s);
    for (int i = 0; i < 5; i++) {
        s.train.condition_drop = drop[i];
        assert_float_equal(study_without_caption(&s), want[i], 1e-12);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_pass_their_checks),
        cmocka_unit_test(samples_with_nothing_are_few),
        cmocka_unit_test(written_studies_read_back_to_the_same_bytes),
        cmocka_unit_test(overrides_win_over_the_file),
        cmocka_unit_test(faults_name_line_and_reason),
        cmocka_unit_test(missing_and_unreadable_files_are_usage),
        cmocka_unit_test(ranges_hold_at_their_ends),
        cmocka_unit_test(fingerprints_follow_from_what_matters),
        cmocka_unit_test(fingerprints_of_single_keys),
        cmocka_unit_test(later_keys_leave_old_fingerprints),
        cmocka_unit_test(lists_of_texts_end_where_the_key_says),
        cmocka_unit_test(a_word_stands_for_one_value),
        cmocka_unit_test(distances_count_slips),
        cmocka_unit_test(mutilated_files_are_answered),
        cmocka_unit_test(huge_and_deep_files_are_answered),
    };
    if (comm_start(&argc, &argv, &world) != ST_OK || !begin_scratch()) return 1;
    snprintf(file, sizeof file, "%s/s.yaml", home);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!end_scratch()) failed++;
    comm_stop(world);
    return failed;
}
