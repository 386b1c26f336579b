"""Label maps of synthetic volumes from pseudo-labels: every second map is that of the store of
pseudo-labels; hidden true labels change nothing."""
import json

import numpy

import chain

# Stored slices have 32 x 32 pixels, the working ones 16 x 16. Of 8 patients 5 are for training.
SET = [word for key in ("data.size=16", "data.labelled=2", "evaluate.steps=40", "train.steps=6",
                        "train.pseudo_labels=on", "generate.volumes=7", "generate.rotate=0",
                        "generate.zoom=0", "generate.shift=0", "generate.elastic=0",
                        "generate.painters=[diffusion, gaussian]") for word in ("--set", key)]
PAINTED = ("synthetic", "synthetic-gaussian")


def detail(folder):
    with open(f"{folder}/manifest.json") as f:
        return json.load(f)["detail"]


def at_working_size(labels, count):
    """The most frequent label of 2 x 2 pixels; of equally frequent ones the largest."""
    blocks = labels.reshape(len(labels), 16, 2, 16, 2)
    votes = numpy.stack([(blocks == k).sum(axis=(2, 4)) for k in range(count)])
    return count - 1 - numpy.argmax(votes[::-1], axis=0)


def maps_are_those_of_the_stores(out):
    """Odd volumes: pseudo-labels in their order; even ones: the labelled patients in turn."""
    pseudo, names = chain.read_store(f"{out}/pseudo")
    order = [v["id"] for v in detail(f"{out}/pseudo")["volumes"]]
    real, _ = chain.read_store(f"{out}/store")
    labelled = []
    for folder in PAINTED:
        made, made_names = chain.read_store(f"{out}/{folder}")
        told = detail(f"{out}/{folder}")["provenance"]["volumes"]
        assert made_names == names and len(made) == len(told) == 7 and len(order) == 3
        for v, about in enumerate(told):
            hu, labels, space = made[about["id"]]
            source = about["source"]
            assert about.get("pseudo_labels", False) == (v % 2 == 1), about
            if v % 2 == 1:
                assert source == order[v // 2 % 3]
                expected = pseudo[source][1]
            else:
                assert source not in pseudo
                labelled.append(source)
                expected = real[source][1]
            assert numpy.array_equal(labels, at_working_size(expected, len(names)))
            assert labels.any() and hu.std() > 50
            assert space["contrast"] == real[source][2]["contrast"]
            assert space["spacing"][0] == real[source][2]["spacing"][0]
            assert not numpy.array_equal(expected, real[source][1]) or v % 2 == 0
    assert labelled[:4] == labelled[4:] and labelled[0] == labelled[2] != labelled[1]
    assert labelled[1] == labelled[3]


def hidden_labels_change_nothing(place, out):
    study, forged = place.study("forged-run")
    words = ("--set", f"ingest.dicom={chain.forge_hidden(place, out)}", *SET)
    for verb in ("ingest", "referee", "train", "generate"):
        chain.run(0, verb, study, *words)
    for folder in PAINTED:
        one, other = (chain.read_store(f"{o}/{folder}")[0] for o in (out, forged))
        assert one.keys() == other.keys()
        for volume in one:
            for a, b in zip(one[volume][:2], other[volume][:2]):
                assert numpy.array_equal(a, b), (folder, volume)


def main():
    with chain.Place(8) as place:
        study, out = place.study("one")
        chain.run(0, "ingest", study, *SET)
        chain.run(0, "referee", study, *SET)
        chain.run(0, "train", study, *SET)
        chain.run(0, "generate", study, *SET)
        maps_are_those_of_the_stores(out)
        two = chain.run(2, "generate", study, *SET)
        assert two.count("is current") == 2, two
        hidden_labels_change_nothing(place, out)
        # Other pseudo-labels: both stores are asked for anew.
        said = chain.run(0, "generate", study, *SET, "--set", "evaluate.steps=41", expect=3)
        assert "pseudo-labels of another store or study" in said, said
        chain.run(0, "run", study, *SET, "--set", "evaluate.fidelity=0")
        with open(f"{out}/report/report.html", encoding="utf-8") as f:
            assert "whose pseudo-labels, deformed" in f.read()


main()
