"""A model with text: the text encoder has the same bytes on 1, 2 and 4 ranks and after it was
killed, and finds texts of slices that it has not seen; the denoiser trains on captions to the same
bits and resumes; prompts, a negative prompt and a guidance of their own change what is sampled, the
same bytes on 1, 2 and 3 ranks; captions of the user take the place of the grammar; what slices from
captions alone show is measured; what does not fit is refused by name."""
import json
import os
import shutil
import signal

import h5py
import numpy

import chain
from interruption import interrupt


def words(*settings):
    return [word for setting in settings for word in ("--set", setting)]


SET = words("model.text=on", "text.steps=60", "text.batch=16", "train.ema=0.9",
            "train.reproducible=on", "train.checkpoint_every=8")


def begin(place, name, made, *folders):
    """A study with folders of another run."""
    study, out = place.study(name)
    for folder in folders:
        shutil.copytree(f"{made}/{folder}", f"{out}/{folder}")
    return study, out


def check_pairs(out):
    with open(f"{out}/text/pairs.json") as f:
        pairs = json.load(f)
    print(pairs)
    assert pairs["pairs"] == 8 and pairs["chance"] == 1 / 8 and 1 < pairs["scale"] <= 100, pairs
    # A network that learns nothing is at chance, ln 8.
    assert 0 < pairs["loss"] < 0.92 * numpy.log(8), pairs
    assert all(8 * pairs[k] == int(8 * pairs[k]) for k in ("images", "texts")), pairs
    with h5py.File(f"{out}/text/parameters.h5", "r") as f:
        names = set()
        f["parameters"].visititems(lambda name, x: names.add(name) if hasattr(x, "shape") else None)
        with open(f"{out}/text/tokens.bpe") as tokens:
            head = tokens.readline().split()
        vocabulary, width = f["parameters/text.embed.weight"].shape
        assert head[:2] == ["bpe", "1"] and vocabulary == 259 + int(head[2]) and width == 256
    chain.run(0, "weights", f"{out}/text", "--out", f"{out}.safetensors")
    assert {"embedding.weight", "log_scale.bias", "text.3.down.weight"} <= names, names


def same_on_ranks_and_after_a_kill(place, made):
    expected = chain.hashes(f"{made}/text")
    for ranks in (2, 4):
        study, out = begin(place, f"ranks-{ranks}", made, "store")
        chain.run(ranks, "text", study, *SET)
        assert chain.hashes(f"{out}/text") == expected, ranks
    study, out = begin(place, "killed", made, "store")
    interrupt(signal.SIGKILL, f"{out}/text-training/*/step-????????", 2, "text", study, *SET)
    assert not os.path.exists(f"{out}/text")
    said = chain.run(1, "text", study, *SET)
    assert "text: resuming from step" in said, said
    assert chain.hashes(f"{out}/text") == expected
    assert "is current" in chain.run(1, "text", study, *SET)
    chain.run(0, "verify", out)


def training(place, made):
    """The run that was trained on 2 ranks; on 1 rank and resumed it has the same bits."""
    study, out = begin(place, "trained", made, "store")
    assert "run ctaug text first" in chain.run(2, "train", study, *SET, expect=3)
    shutil.copytree(f"{made}/text", f"{out}/text")
    chain.run(2, "train", study, *SET)
    step = f"{out}/checkpoints/step-00000012"
    expected = chain.hashes(step)["state.h5"]
    other, place_of_other = begin(place, "one", made, "store", "text")
    chain.run(1, "train", other, *SET)
    assert chain.hashes(f"{place_of_other}/checkpoints/step-00000012")["state.h5"] == expected
    shutil.rmtree(f"{place_of_other}/checkpoints/step-00000012")
    assert "resuming from step 8" in chain.run(2, "train", other, *SET)
    assert chain.hashes(f"{place_of_other}/checkpoints/step-00000012")["state.h5"] == expected
    with h5py.File(f"{step}/state.h5", "r") as f:
        kv = f["ema/mt.kv.weight"]
        assert kv.shape[1] == 256
    return study, out


def another_encoder(place, made):
    """One that was deleted and trained again has other bits under the same fingerprint: what was
    trained with the first one is not taken."""
    study, out = begin(place, "another", made, "store")
    short = [*SET, *words("train.reproducible=off", "text.steps=4", "train.steps=4")]
    chain.run(1, "text", study, *short)
    chain.run(1, "train", study, *short)
    first = chain.hashes(f"{out}/text")["parameters.h5"]
    for folder in ("text", "text-training"):
        shutil.rmtree(f"{out}/{folder}")
    chain.run(1, "text", study, *short, *words("train.micro_batch=4"))
    assert chain.hashes(f"{out}/text")["parameters.h5"] != first
    for verb in ("train", "generate"):
        said = chain.run(1, verb, study, *short, expect=3)
        assert "were not trained with the present text encoder" in said, said


def synthetic(out):
    volumes, _ = chain.read_store(f"{out}/synthetic")
    return {name: v[0] for name, v in volumes.items()}, chain.hashes(f"{out}/synthetic")


def sampling(place, trained):
    """Captions, prompts and guidance of their own each change the slices."""
    prompts = f"{place.root}/prompts.txt"
    with open(prompts, "w") as f:
        f.write("unenhanced CT slice with high noise\n\n  CT slice, low noise \n")
    kinds = {"maps": (), "prompts": words(f"generate.prompts={prompts}"),
             "negative": words("generate.negative=high noise", "generate.guidance=1.5"),
             "guidance": words("generate.text_guidance=4"),
             "captions": words("generate.ground=captions", "evaluate.steps=40")}
    made, bounds = {}, []
    for kind, more in kinds.items():
        study, out = begin(place, f"sampled-{kind}", trained, "store", "text", "checkpoints")
        if kind == "captions":
            assert "run ctaug referee first" in chain.run(2, "generate", study, *SET, *more,
                                                          expect=3)
            chain.run(1, "referee", study, *SET, *more)
        chain.run(2, "generate", study, *SET, *more)
        made[kind], found = synthetic(out)
        with open(f"{out}/synthetic/manifest.json") as f:
            about = json.load(f)["detail"]["provenance"]
        # 4 steps; with guidance 1.5 two passes each, and one more without the caption.
        assert about["evaluations"] == (12 if kind == "guidance" else 8), about
        assert about["text"]["captions"] == ("prompts" if kind == "prompts" else "maps"), about
        assert about["text"]["guidance"] == (4 if kind == "guidance" else 1.5), about
        assert ("referee" in about) == (kind == "captions"), about
        if kind in ("maps", "prompts"):
            chain.run(2, "gate", study, *SET, *more, *words("gate.steps=20", "gate.slices=8"))
            with open(f"{out}/gate/gate.json") as f:
                bounds.append(json.load(f)["control_bound"])
        if kind not in ("prompts", "captions"):
            continue
        for ranks in (1, 3):
            shutil.rmtree(f"{out}/synthetic")
            chain.run(ranks, "generate", study, *SET, *more)
            assert synthetic(out)[1] == found, ranks
        if kind == "captions":
            chain.run(2, "evaluate", study, *SET, *more)
            continue
        assert about["text"]["prompts"] == 2, about
        # Control slices are drawn on the prompts, too.
        assert bounds[0] != bounds[1] and None not in bounds, bounds
        with open(prompts, "a") as f:
            f.write("CT slice of the abdomen" + 200 * " zebra" + "\n")
        said = chain.run(1, "generate", study, *SET, *more)
        assert "is current" not in said
        assert "1 of 3 prompts have more than 94 tokens: their ends are cut off" in said, said
        assert synthetic(out)[1] != found
    for kind in kinds:
        for other in kinds:
            differ = any((made[kind][v] != made[other][v]).any() for v in made[kind])
            assert differ == (kind != other), (kind, other)


def obedience(place, trained):
    """The other stages know such a run. What slices from captions alone show is measured, with the
    same numbers on 1 and 2 ranks."""
    ask = words("evaluate.obedience=6", "evaluate.steps=40")
    measured = []
    for ranks in (2, 1):
        study, out = begin(place, f"rest-{ranks}", trained, "store", "text", "checkpoints")
        said = chain.run(ranks, "run", study, *SET, *ask)
        assert "slices from captions alone, guidance 4: " in said, said
        with open(f"{out}/metrics/metrics.json") as f:
            measured.append(json.load(f)["obedience"])
        with open(f"{out}/report/report.html") as f:
            page = f.read()
        assert "by guidance scale of the text" in page and "contrastive loss of CLIP" in page
        assert ("does not tell it in real" in page) == bool(measured[-1][0]["left_out"])
    assert measured[0] == measured[1]
    entry, = measured[0]
    assert entry["n_slices"] == 6 and entry["n_patients"] == 1, entry
    assert [row["guidance"] for row in entry["text"]] == [1, 2, 4], entry
    for row in (entry["real"], *entry["text"]):
        for name in ("structures", "sides", "sizes", "phase", "noise"):
            value = row[name]
            # One test patient: no interval, and no captions of others.
            assert value["low"] is None and value["chance"] is None, (name, value)
            assert value["value"] is None or 0 <= value["value"] <= 1, (name, value)
        # The segmenter may be too weak to judge anything.
        assert row["structures"]["value"] is not None or entry["left_out"]["structures"]
    assert entry["real"]["noise"]["value"] in (1, None), "the noise of a slice is its own"
    chain.run(0, "verify", out)


def swept(place, made):
    """Arms of a sweep share the encoder and the training."""
    study, out = begin(place, "swept", made, "store")
    chain.run(2, "sweep", study, *SET, *words(
        "sweep.points=[generate.negative: noise, generate.text_guidance: 3]", "text.steps=3",
        "train.steps=4", "evaluate.arms=[real]"))
    for name in ("text/parameters.h5", "checkpoints/step-00000004/state.h5"):
        one, two = (os.stat(f"{out}/arms/{arm}/{name}").st_ino for arm in ("p00-s0", "p01-s0"))
        assert one == two, name


def own_captions(place, made):
    study, out = begin(place, "own", made, "store")
    volumes = sorted(chain.read_store(f"{made}/store")[0])
    path = f"{place.root}/captions.csv"
    with open(path, "w") as f:
        f.write("pseudonym,text\n" + "".join(f'{v},"zebra finch, number {i}"\n'
                                             for i, v in enumerate(volumes)))
    own = words(f"text.captions={path}", "text.steps=2")
    chain.run(1, "text", study, *SET, *own)
    assert chain.hashes(f"{out}/text") != chain.hashes(f"{made}/text")
    with open(f"{out}/text/tokens.bpe") as f:
        pairs = [tuple(map(int, line.split())) for line in f.readlines()[1:]]

    def text_of(token):
        return bytes([token]) if token < 256 else b"".join(map(text_of, pairs[token - 259]))
    known = {text_of(259 + i) for i in range(len(pairs))}
    assert b" finch" in known or b"zebra" in known, known
    with open(path, "a") as f:
        f.write("nobody\n")
    said = chain.run(1, "text", study, *SET, *own, expect=3)
    assert "captions.csv:" in said and "zebra" not in said, said


def refusals(place, trained):
    study, _ = begin(place, "refused", trained, "store", "text", "checkpoints")
    empty = f"{place.root}/empty.txt"
    with open(empty, "w") as f:
        f.write(" \n\n")
    wide = f"{place.root}/wide.txt"
    with open(wide, "w") as f:
        f.write("short\n" + "x" * 2048 + "\n")
    for more, code, text in (
            (words("generate.negative=noise", "generate.guidance=1"), 2,
             "generate.negative needs a generate.guidance or text_guidance other than 1"),
            (words("generate.ground=captions", "train.condition_drop=0"), 2,
             "train.condition_drop must not be 0"),
            (words("train.text_drop=0.5", "model.text=off"), 2, "train.text_drop is for model.text"),
            (words("text.batch=12"), 2, "text.batch must be a power of two times"),
            (words("generate.prompts=/nowhere"), 3, "/nowhere"),
            (words(f"generate.prompts={empty}"), 3, "no line has a prompt"),
            (words(f"generate.prompts={wide}"), 3, "wide.txt:2: a prompt has at most 2047 bytes"),
            (words("generate.painters=[gan]", "evaluate.arms=[real, gan]"), 2,
             "generate.painters must be without gan"),
            (words("model.text=off", "generate.negative=noise"), 2,
             "generate.negative is for model.text on"),
            (words("generate.ground=captions", "generate.painters=[diffusion, gaussian]"), 2,
             "generate.painters must be [diffusion]"),
            (words("distil.kind=consistency-tuning", "generate.sampler=consistency",
                   "generate.grid=consistency"), 2, "distil.kind must be off")):
        said = chain.run(2, "generate", study, *SET, *more, expect=code)
        assert text in said, (text, said)


with chain.Place() as place:
    study, out = place.study("made")
    chain.run(1, "ingest", study)
    chain.run(1, "text", study, *SET)
    check_pairs(out)
    same_on_ranks_and_after_a_kill(place, out)
    _, trained = training(place, out)
    sampling(place, trained)
    obedience(place, trained)
    another_encoder(place, out)
    swept(place, out)
    own_captions(place, out)
    refusals(place, trained)
