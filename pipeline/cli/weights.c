/* `ctaug weights`: a trained network as a safetensors file. */
#include "pipeline/cli/verb.h"

#include "io/alloc.h"
#include "io/checkpoint.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "pipeline/common/codec.h"
#include "pipeline/stage.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

const char weights_help[] =
    "usage: ctaug weights DIR --out FILE [--share]\n"
    "\n"
    "Writes the parameters of a trained network as a safetensors file, which PyTorch and others\n"
    "read; `train.start` of a study begins a training with such a file. DIR is a checkpoint,\n"
    "or the folder of a referee, an autoencoder or a text encoder. Of a checkpoint the moving\n"
    "average of the parameters (EMA) is written, if it has one. Names and shapes: "
    "model/README.md,\n"
    "\"Weights\".\n"
    "  --out FILE  must not exist yet\n"
    "  --share     it is made with your umask instead of for you alone (0600)\n"
    "\n"
    "  ctaug weights runs/mine/checkpoints/step-00020000 --out denoiser.safetensors\n"
    "  ctaug weights runs/mine/referee --out referee.safetensors\n";

/* The arrays of a network; owned. */
typedef struct network {
    const char *group;
    checkpoint_array *arrays;
    int64_t count;
    checkpoint_array scale; /* of the latents of an autoencoder; at is NULL: it is none */
    manifest manifest;
} network;

/* Reads what a published autoencoder multiplies its latents with. Local. */
static status read_scale(const char *path, network *n) {
    status st = ST_OK;
    const int64_t z = json_integer_value(json_object_get(n->manifest.detail, "z"));
    if (z < 1) TRY(status_fail(ST_INTEGRITY, "weights: the manifest of %s has no z", path));
    n->scale = (checkpoint_array){.name = "scale", .rank = 1, .shape = {z}};
    TRY(array_alloc(&n->scale.at, z, sizeof *n->scale.at, "scales"));
    TRY(checkpoint_read_arrays(path, &n->scale, 1));
done:
    return st;
}

static bool is_hdf5(const char *name) {
    const size_t n = strlen(name);
    return n > 3 && strcmp(name + n - 3, ".h5") == 0;
}

/* Reads the EMA, or else the parameters, from the HDF5 file of a published folder. Local. */
static status read_network(const char *directory, network *out) {
    static const char *const groups[] = {"ema", "parameters"};
    status st = ST_OK;
    char path[PATH_SIZE];
    TRY(manifest_read(directory, NULL, &out->manifest));
    int64_t at = 0;
    while (at < out->manifest.count && !is_hdf5(out->manifest.files[at].name)) at++;
    if (at == out->manifest.count || strcmp(out->manifest.kind, "store") == 0)
        TRY(status_fail(ST_INPUT,
                        "weights: %s is a %s: give a checkpoint (step-...), a referee, an "
                        "autoencoder or a text encoder",
                        directory, out->manifest.kind));
    TRY(manifest_check_file(&out->manifest, directory, at));
    TRY(path_join(path, directory, out->manifest.files[at].name));
    for (int i = 0; i < 2 && out->count == 0; i++) {
        out->group = groups[i];
        TRY(checkpoint_read_group(path, out->group, &out->arrays, &out->count));
    }
    if (out->count == 0) TRY(status_fail(ST_INPUT, "weights: %s holds no parameters", path));
    if (strcmp(out->manifest.kind, AUTOENCODER_KIND) == 0) TRY(read_scale(path, out));
done:
    return st;
}

/* Tensors of the file. */
static int64_t count_of(const network *net) { return net->count + (net->scale.at ? 1 : 0); }

static safetensors_tensor tensor_of(const checkpoint_array *a) {
    return (safetensors_tensor){a->name, a->rank, a->shape, a->at};
}

/* Local. */
static status write_network(const network *net, const char *path) {
    status st = ST_OK;
    safetensors_tensor *tensors = NULL;
    char step[32] = "";
    const json_t *at = json_object_get(net->manifest.detail, "step");
    if (json_is_integer(at))
        snprintf(step, sizeof step, "%" PRId64, (int64_t)json_integer_value(at));
    TRY(array_alloc(&tensors, count_of(net), sizeof *tensors, "tensors"));
    for (int64_t i = 0; i < net->count; i++) tensors[i] = tensor_of(&net->arrays[i]);
    if (net->scale.at) tensors[net->count] = tensor_of(&net->scale);
    TRY(safetensors_write(path, tensors, count_of(net),
                          json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "format", "pt", "producer",
                                    "ctaug " CTAUG_VERSION, "kind", net->manifest.kind, "group",
                                    net->group, "step", step, "seal", net->manifest.seal)));
done:
    free(tensors);
    return st;
}

static status weights_local(int argc, char **argv) {
    status st = ST_OK;
    const char *directory = NULL, *out = NULL;
    bool share = false;
    network net = {0};
    int n = 0;
    const verb_option options[] = {{.name = "--out", .text = &out, .required = true},
                                   {.name = "--share", .flag = &share},
                                   {0}};
    TRY(verb_parse(argc, argv, options, &directory, 1, &n));
    if (n == 0) TRY(status_fail(ST_USAGE, "weights: of which network? See `ctaug weights --help`"));
    if (file_exists(out))
        TRY(status_fail(ST_USAGE, "weights: %s exists already and is not changed", out));
    TRY(read_network(directory, &net));
    if (!share) umask(077); /* as in a run directory */
    TRY(write_network(&net, out));
    verb_print("wrote %s: %" PRId64 " tensors (%s)\n", out, count_of(&net), net.group);
done:
    checkpoint_group_free(net.arrays, net.count);
    free(net.scale.at);
    manifest_free(&net.manifest);
    return st;
}

status weights_verb(const comm *c, int argc, char **argv) {
    return comm_agree(c, comm_rank(c) == 0 ? weights_local(argc, argv) : ST_OK);
}
