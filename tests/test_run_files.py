"""The files of a run are for its owner alone unless --share, and no symbolic link in their place is
followed: what lies outside the run directory stays as it is."""
import glob
import os
import shutil
import stat

import chain

FAST = ("--set", "train.steps=4", "--set", "evaluate.steps=4", "--set", "generate.volumes=2")


def modes(out):
    """Path -> permissions of everything in the run directory, itself included."""
    found = {out: out}
    for place, folders, files in os.walk(out):
        found.update({os.path.join(place, name): None for name in folders + files})
    return {path: stat.S_IMODE(os.lstat(path).st_mode) for path in found}


def a_run_is_private_unless_shared(place):
    before = os.umask(0o022)
    for words, folder, file in (((), 0o700, 0o600), (("--share",), 0o755, 0o644)):
        study, out = place.study("shared" if words else "private")
        chain.run(2, "run", study, *FAST, *words)
        found = modes(out)
        assert len(found) > 20, found
        for path, mode in found.items():
            expected = folder if os.path.isdir(path) else file
            if os.path.basename(path) == "ingest.json":
                expected = 0o600  # it holds paths of the archive: never shared
            assert mode == expected, (words, path, oct(mode))
        print(f"{len(found)} files and folders, {words or 'without --share'}: as they must be")
    os.umask(before)
    return place.study("private")


def replace(path, target):
    """A link in place of a file or folder, which is kept under another name outside."""
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def links_are_refused(place, study, out):
    """Each name in turn is a link to a file or folder outside that looks right: a copy."""
    good = f"{out}.good"
    os.rename(out, good)
    names = [os.path.relpath(path, good) for path in modes(good) if path != good]
    # Those that a finished run no longer has.
    names += ["heartbeat", "heartbeat/rank-00000", "synthetic.parts-0123456789abcdef",
              "synthetic.parts-0123456789abcdef/unit-00000000.hu", "metrics.parts/real-0",
              "checkpoints.earlier-1", "checkpoints/step-00000009", "study.yaml.tmp.1",
              "checkpoints/history.json.damaged", "store.tmp.1"]
    for name in names:
        for dangling in (False, True):
            outside = os.path.join(place.root, "outside")
            shutil.rmtree(outside, ignore_errors=True)
            os.mkdir(outside)
            shutil.copytree(good, out)
            victim = os.path.join(outside, "victim")
            source = os.path.join(good, name)
            if not dangling and os.path.isdir(source):
                shutil.copytree(source, victim)
            elif not dangling and os.path.isfile(source):
                shutil.copy(source, victim)
            elif not dangling:
                with open(victim, "w") as f:
                    f.write("precious")
            before = chain.hashes(outside)
            replace(os.path.join(out, name), victim)
            said = chain.run(0, "run", study, *FAST, expect=5)
            assert os.path.join(out, name) in said and "symbolic link" in said, (name, said)
            assert chain.hashes(outside) == before and os.path.islink(os.path.join(out, name)), name
            assert os.path.exists(victim) != dangling, name
            shutil.rmtree(out)
    print(f"{2 * len(names)} links refused")
    os.rename(good, out)


def what_is_not_ours_may_be_a_link(place, study, out):
    """The run directory itself, and things beside our files."""
    moved = os.path.join(place.root, "elsewhere")
    os.rename(out, moved)
    os.symlink(moved, out)
    os.symlink(place.root, os.path.join(moved, "notes"))
    os.symlink(place.root, os.path.join(moved, "storeroom"))
    said = chain.run(0, "run", study, *FAST)
    assert said.count("is current") == 6, said
    assert not glob.glob(f"{moved}/heartbeat*")


with chain.Place() as place:
    study, out = a_run_is_private_unless_shared(place)
    links_are_refused(place, study, out)
    what_is_not_ours_may_be_a_link(place, study, out)
