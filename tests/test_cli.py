"""The command line: help, exit codes, messages, and one message for all ranks.

CTAUG names the program (default build/ctaug).
"""
import fcntl
import json
import os
import subprocess
import sys
import tempfile

import chain

ENV = {k: v for k, v in chain.ENV.items() if k != "OMP_NUM_THREADS"}  # ctaug divides them
VERBS = ("init run ingest autoencode referee text train distil gan generate evaluate gate report phantom "
         "export weights compare verify bench").split()


def ctaug(*arguments, ranks=0, before=(), **variables):
    return subprocess.run(chain.command(ranks, *before, chain.CTAUG, *arguments),
                          capture_output=True, text=True, timeout=60, env=dict(ENV, **variables))


def expect(done, code, *words):
    told = done.stdout + done.stderr
    assert done.returncode == code, (done.returncode, told)
    for word in words:
        assert word in told, (word, told)
    return done


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def test_help_is_there_for_every_verb(where):
    told = expect(ctaug("--help"), 0, "usage: ctaug VERB", "Exit codes").stdout
    for verb in VERBS:
        assert told.count(f"\n  {verb} ") == 1, verb
        helped = expect(ctaug(verb, "--help"), 0, f"ctaug {verb}")
        assert helped.stderr == "" and helped.stdout.endswith("\n")
        assert max(map(len, helped.stdout.splitlines())) <= 100, verb
    expect(ctaug("--version"), 0, "ctaug 0.")
    assert expect(ctaug(), 2, "usage: ctaug VERB").stdout == ""


def test_wrong_arguments_are_answered(where):
    expect(ctaug("trian"), 2, "unknown verb trian; did you mean train?")
    expect(ctaug("xyzzyxyzzy"), 2, "ctaug --help")
    # An unknown verb has no help: least of all that of another verb.
    for wrong in ("trian", "xyzzyxyzzy"):
        assert expect(ctaug(wrong, "--help"), 2, f"unknown verb {wrong}").stdout == ""
    expect(ctaug("train"), 2, "which study?", "ctaug init")
    expect(ctaug("train", "a.yaml", "b.yaml"), 2, "b.yaml")
    expect(ctaug("train", "--steps", "3"), 2, "--steps", "--set")
    expect(ctaug("train", "a.yaml", "--set"), 2, "key=value")
    expect(ctaug("init", "--hlep"), 2, "--hlep")
    expect(ctaug("verify"), 2, "which directory?")
    expect(ctaug("verify", f"{where}/none"), 3, f"{where}/none")
    expect(ctaug("verify", where), 3, "nothing is published")


def test_init_writes_a_study_once(where):
    printed = expect(ctaug("init"), 0, "train:", "micro_batch: 8").stdout
    path = f"{where}/new.yaml"
    expect(ctaug("init", path), 0, path, f"ctaug run {path}")
    with open(path) as f:
        assert f.read() == printed
    write(path, "mine")
    expect(ctaug("init", path), 2, "exists already")
    with open(path) as f:
        assert f.read() == "mine"
    assert expect(ctaug("init", ranks=2), 0).stdout == printed


def test_wrong_studies_name_file_line_and_suggestion(where):
    path = write(f"{where}/wrong.yaml", f"out: {where}/wrong\ntrain:\n  lr: 0.001\n  stepss: 3\n")
    message = f'ctaug: {path}:4: unknown key "train.stepss"; did you mean "train.steps"?'
    for verb in ("run", "ingest", "report"):
        assert expect(ctaug(verb, path), 2).stderr == message + "\n"
    assert not os.path.exists(f"{where}/wrong")
    expect(ctaug("run", f"{where}/absent.yaml"), 2, f"{where}/absent.yaml")
    path = write(f"{where}/good.yaml", f"out: {where}/good\n")
    expect(ctaug("run", path, "--set", "train.batch=0"), 2, "--set train.batch", "1..65536")
    expect(ctaug("run", path, "--set=engine=fast"), 2, "onednn | openblas | reference")
    assert not os.path.exists(f"{where}/good")


def test_many_ranks_print_once_and_end_alike(where):
    path = write(f"{where}/wrong.yaml", "train:\n  batch: 0\n")
    for ranks in (2, 3):
        done = expect(ctaug("run", path, ranks=ranks), 2)
        assert done.stderr.count(f"ctaug: {path}:2: train.batch is 0") == 1, done.stderr
    done = expect(ctaug("trian", ranks=2), 2)
    assert done.stderr.count("did you mean train?") == 1
    os.makedirs(f"{where}/nothing", exist_ok=True)
    path = write(f"{where}/none.yaml", f"out: {where}/run2\ningest: {{dicom: {where}/nothing}}\n")
    done = expect(ctaug("run", path, ranks=2), 3)
    assert done.stderr.count(f"{where}/nothing") == 1, done.stderr


def test_the_output_folder_keeps_study_and_events(where):
    os.makedirs(f"{where}/empty", exist_ok=True)
    path = write(f"{where}/study.yaml", f"out: {where}/run\ningest:\n  dicom: {where}/empty\n")
    expect(ctaug("ingest", path, "--set", "seed=77"), 3, f"{where}/empty")
    saved = f"{where}/run/study.yaml"
    with open(saved) as f:
        first = f.read()
    assert "seed: 77\n" in first and f"dicom: {where}/empty\n" in first
    expect(ctaug("ingest", saved), 3)
    with open(saved) as f:
        assert f.read() == first
    with open(f"{where}/run/events.jsonl") as f:
        events = [json.loads(line) for line in f]
    starts = [e for e in events if e["event"] == "start"]
    ends = [e for e in events if e["event"] == "end"]
    assert len(starts) == len(ends) == 2 and all(e["code"] == 3 for e in ends)
    assert starts[0]["verb"] == "ingest" and starts[0]["ranks"] == 1
    expect(ctaug("ingest", path, "--set", "out=/dev/null/run"), 4, "/dev/null")


def test_an_output_folder_belongs_to_one_process(where):
    os.makedirs(f"{where}/empty")
    os.makedirs(f"{where}/run")
    path = write(f"{where}/study.yaml", f"out: {where}/run\ningest:\n  dicom: {where}/empty\n")
    with open(f"{where}/run/lock", "w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("process 4242 on node7")
        lock.flush()
        for ranks in (0, 2):
            done = expect(ctaug("ingest", path, ranks=ranks), 2, f"{where}/run/lock")
            assert done.stderr.count("in use by process 4242 on node7") == 1, done.stderr
        assert os.listdir(f"{where}/run") == ["lock"]
    expect(ctaug("ingest", path), 3, f"{where}/empty")
    assert os.path.getsize(f"{where}/run/lock") == 0


def test_threads_are_divided_among_ranks(where):
    os.makedirs(f"{where}/empty", exist_ok=True)
    path = write(f"{where}/t.yaml", f"out: {where}/t\ningest:\n  dicom: {where}/empty\n")

    def threads(**how):
        expect(ctaug("ingest", path, **how), 3)
        with open(f"{where}/t/events.jsonl") as f:
            return [e for e in map(json.loads, f) if e["event"] == "start"][-1]["threads"]

    mine = len(os.sched_getaffinity(0))
    one = str(min(os.sched_getaffinity(0)))
    assert threads() == mine
    assert threads(before=("taskset", "-c", one)) == 1
    assert threads(OMP_NUM_THREADS="3") == 3
    assert threads(ranks=2, before=("taskset", "-c", one)) == 1


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    failed = 0
    for name, test in tests:
        with tempfile.TemporaryDirectory(prefix="ctaug-cli-") as where:
            try:
                test(where)
                print("ok    ", name)
            except (AssertionError, subprocess.TimeoutExpired, OSError) as fault:
                failed += 1
                print("FAILED", name, fault)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
