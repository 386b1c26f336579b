/* Pseudonyms: the HMAC against RFC 4231, the key file against everything that may be wrong with it.
 *
 * Started without MPI, the program runs its tests alone and starts itself again under mpirun with 3
 * ranks. */
#include "io/pseudonym.h"
#include "tests/scratch.h"

#include <sys/stat.h>

static comm *world;

static void barrier(void) { assert_ok(comm_barrier(world)); }

static void shell(const char *command) {
    char text[2048];
    snprintf(text, sizeof text, "cd %s && %s", home, command);
    if (comm_rank(world) == 0 && system(text) != 0) fail_msg("failed: %s", text);
    barrier();
}

/* The test cases of RFC 4231, 4.2 to 4.8, without that of a truncated output. */
static void hmac_is_that_of_rfc_4231(void **state) {
    (void)state;
    static const struct {
        int key_byte, key_bytes; /* -1: the text */
        const char *key;
        int data_byte, data_bytes;
        const char *data, *code;
    } cases[] = {
        {0x0b, 20, "", -1, 8, "Hi There",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {-1, 4, "Jefe", -1, 28, "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {0xaa, 20, "", 0xdd, 50, "",
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {0xaa, 131, "", -1, 54, "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char key[131], data[64];
        char hex[SHA256_HEX];
        memset(key, cases[i].key_byte, sizeof key);
        memset(data, cases[i].data_byte, sizeof data);
        if (cases[i].key_byte < 0) memcpy(key, cases[i].key, (size_t)cases[i].key_bytes);
        if (cases[i].data_byte < 0) memcpy(data, cases[i].data, (size_t)cases[i].data_bytes);
        assert_ok(hmac_sha256(key, cases[i].key_bytes, data, cases[i].data_bytes, hex));
        assert_string_equal(hex, cases[i].code);
    }
}

static void pseudonyms_are_those_of_python(void **state) {
    (void)state;
    /* key = bytes(range(32)); h = lambda m: hmac.new(key, m, "sha256").hexdigest()
     * h(b"patient\nid 4711815")[:16], h(b"series\n1.2.3")[:8], h(b"patient\nstudy 1.2.3")[:16] */
    pseudonym_key key;
    char id[VOLUME_ID];
    for (int i = 0; i < PSEUDONYM_KEY; i++) key.bytes[i] = (unsigned char)i;
    assert_ok(pseudonym_make(&key, "id 4711815", "1.2.3", id));
    assert_string_equal(id, "p-fae3b8471f67bce7-96572d5a");
    assert_ok(pseudonym_make(&key, "study 1.2.3", "1.2.3", id));
    assert_string_equal(id, "p-b0564b3013219daa-96572d5a");
    key.bytes[31] ^= 1;
    assert_ok(pseudonym_make(&key, "id 4711815", "1.2.3", id));
    assert_string_not_equal(id, "p-fae3b8471f67bce7-96572d5a");
    pseudonym_key_forget(&key);
    for (int i = 0; i < PSEUDONYM_KEY; i++) assert_int_equal(key.bytes[i], 0);
}

static status open_key(const char *path, pseudonym_key *key, bool *made) {
    char file[PATH_SIZE];
    snprintf(file, sizeof file, "%s", in_home(path));
    return pseudonym_key_open(world, file, in_home("run"), key, made);
}

static void a_key_is_made_once_and_is_the_same_on_all_ranks(void **state) {
    (void)state;
    pseudonym_key first, again;
    bool made = false, equal = false;
    struct stat info;
    uint64_t sum = 0;
    shell("rm -rf new");
    assert_ok(open_key("new/folder/k", &first, &made));
    assert_true(made);
    for (int i = 0; i < PSEUDONYM_KEY; i++) sum = sum * 257 + first.bytes[i];
    assert_ok(comm_all_equal(world, sum, &equal));
    assert_true(equal);
    assert_int_equal(stat(in_home("new/folder/k"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(info.st_size, PSEUDONYM_KEY);
    assert_ok(open_key("new/folder/k", &again, &made));
    assert_false(made);
    assert_memory_equal(&first, &again, sizeof first);
    shell("[ \"$(ls new/folder)\" = k ]"); /* no temporaries */
    assert_ok(open_key("new/other", &again, &made));
    assert_memory_not_equal(&first, &again, sizeof first);
}

static void bad_keys_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *prepare, *path, *reason;
    } cases[] = {
        {"mkdir run", "run/k", "must lie outside of the run directory"},
        {"ln -s run disguised", "disguised/deep/k", "outside of the run directory"},
        {"head -c 32 /dev/zero > open && chmod 640 open", "open", "others can open it (mode 0640)"},
        {"head -c 32 /dev/zero > w && chmod 602 w", "w", "others can open it (mode 0602)"},
        {"head -c 31 /dev/zero > short && chmod 600 short", "short", "not a key of pseudonyms"},
        {"head -c 33 /dev/zero > long && chmod 600 long", "long", "not a key of pseudonyms"},
        {"mkdir folder && chmod 700 folder", "folder", "not a key of pseudonyms"},
        {"mkfifo -m 600 pipe", "pipe", "not a key of pseudonyms"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const pseudonym_key none;
        pseudonym_key key;
        bool made = true;
        shell(cases[i].prepare);
        assert_int_equal(open_key(cases[i].path, &key, &made), ST_USAGE);
        assert_says(cases[i].reason);
        assert_false(made);
        assert_memory_equal(&key, &none, sizeof key);
        barrier();
    }
}

static void the_place_follows_the_environment(void **state) {
    (void)state;
    char path[PATH_SIZE];
    setenv("HOME", "/home/someone", 1);
    setenv("XDG_CONFIG_HOME", "/conf", 1);
    assert_ok(pseudonym_key_place(path));
    assert_string_equal(path, "/conf/ctaug/pseudonym.key");
    unsetenv("XDG_CONFIG_HOME");
    assert_ok(pseudonym_key_place(path));
    assert_string_equal(path, "/home/someone/.config/ctaug/pseudonym.key");
    unsetenv("HOME");
    assert_int_equal(pseudonym_key_place(path), ST_USAGE);
}

static int run_on_ranks(const char *program, int ranks) {
    char command[PATH_SIZE];
    snprintf(command, sizeof command,
             "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout 120 mpirun "
             "--oversubscribe -n %d %s ranks",
             ranks, program);
    return system(command) == 0 ? 0 : 1;
}

static int run_here(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac_is_that_of_rfc_4231),
        cmocka_unit_test(pseudonyms_are_those_of_python),
        cmocka_unit_test(a_key_is_made_once_and_is_the_same_on_all_ranks),
        cmocka_unit_test(bad_keys_are_refused),
        cmocka_unit_test(the_place_follows_the_environment),
    };
    if (comm_start(&argc, &argv, &world) != ST_OK) return 1;
    int failed = comm_rank(world) == 0 && !begin_scratch();
    if (comm_broadcast(world, home, sizeof home, 0) != ST_OK) return 1;
    if (!failed) failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (comm_rank(world) == 0 && !end_scratch()) failed = 1;
    comm_stop(world);
    return failed;
}

int main(int argc, char **argv) {
    if (argc > 1) return run_here(argc, argv);
    return run_on_ranks(argv[0], 1) + run_on_ranks(argv[0], 3);
}
