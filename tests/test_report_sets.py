#!/usr/bin/python3
"""The report of a study with labelled sets, and `ctaug compare`: the verdict in every case and also
in the PDF, the numbers of every chapter, files of which members are missing or wrong."""
import html
import os
import re
import shutil
import sys
import tempfile

import chain
import report_run
from report_page import Page, check_alone, row
from report_run import FIRST, METRICS, NAME, SECOND, TOOL, make_run, printed, read, report


def verdict_of(out):
    """The verdict of the page, which the PDF repeats word by word."""
    text = re.search(r'<p class="verdict">(.*?)</p>', read(out), re.S)[1]
    text = html.unescape(text)
    assert not printed(out) or text in printed(out), (text, printed(out)[:2000])
    return text


def with_sets(place):
    """A study with labelled sets: verdict, tables, charts, pictures of the nearest slices."""
    pairs = [{"synthetic": "synthetic00001-0", "slice": 4, "training": "p-2222-1",
              "training_slice": 3, "distance": 0.2137},
             {"synthetic": "elsewhere", "slice": 0, "training": "p-2222-1", "training_slice": 0,
              "distance": 0.3}]
    metrics = report_run.with_sets(pairs)
    out = make_run(place, "sets", metrics, 12)
    report(out)
    source = read(out)
    page = Page(source)
    check_alone(source, page)
    assert source.index('class="verdict"') < source.index("<svg") < source.index("Read with care")
    assert verdict_of(out) == (
        "With 2 labelled patients, synthetic slices raise the mean Dice on 60 unseen patients by "
        "+0.017 [0.014, 0.020]; with 4: +0.012 [0.008, 0.016] (a gain); with 8: +0.002 "
        "[−0.002, 0.006] (no difference resolved); 2 labelled patients with synthetic data are not "
        "inferior to 4 without (margin 0.01). The search for copies of training slices raised no "
        "alarm.")
    heads = [re.sub("<.*?>", "", h) for h in re.findall(r"<h2>(.*?)</h2>", source)]
    order = ["Protocol", "Fidelity", "What does it look like? Real and synthetic slices", "Arms",
             "Structures", "Statistics", "Distribution", "Likelihood", "Gate", "Costs", "Data",
             "Scorecard of the synthetic data", "Data-set card", "Model card",
             "Appendix: checklist for a paper"]
    assert [h for h in heads if h in order] == order, heads
    check_set_tables(page)
    nearest = [i["alt"] for i in page.images if "earest" in i["alt"] or "00001-0, slice" in i["alt"]]
    assert nearest == ["Synthetic synthetic00001-0, slice 5", "Nearest real, slice 4, distance 0.214"]
    assert len(source) < 1 << 20
    # The chart: three arms at three numbers of patients, and three symbols of the legend.
    chart = source.split("<svg", 2)[1].split("</svg>")[0]
    assert len(re.findall(r'class="mark', chart)) == 12, chart
    report_again_on_two_ranks(out)
    return out


def check_set_tables(page):
    rows = [c for c in page.cells if c[:2] == ["2", "real+synthetic"]]
    assert rows[0][2:] == ["60", "0.755[0.740, 0.770]", "+0.017[0.014, 0.020]", "7.3[5.8, 8.8]",
                           "0.855[0.835, 0.875]", "0.110[0.080, 0.140]"], rows
    assert [c for c in page.cells if c[:2] == ["2", "real"]][0][4] == "–"
    assert [c for c in page.cells if c[:2] == ["lesion >20 mm", "2"]][0] == [
        "lesion >20 mm", "2", "60", "−0.015[−0.018, −0.013]", "< 0.001", "loss"]
    assert ["2", "real+synthetic", "real", "plain", "dice", "60", "+0.017[0.014, 0.020]", "< 0.001",
            "< 0.001", "+0.90"] in page.cells
    assert ["mean", "plain", "4", "2", "0.50[0.25, 0.50]", "0.010"] in page.cells
    assert ["mean", "plain", "8", "none", "n/a", "0.010"] in page.cells
    assert ["domain (abababab)", "diffusion, set 1", "4", "384", "500", "3.21", "1.13", "2.87",
            "0.0123[0.0101, 0.0145]", "0.0004"] in page.cells
    assert ["domain (abababab)", "gan, set 1", "4", "384", "500", "6.50", "1.13", "2.87", "n/a",
            "0.0004"] in page.cells
    assert ["domain", "gan, set 1", "held-out maps", "4", "383", "0.71 (0.83)", "0.31 (0.79)", "0.81 (0.99)", "0.66 (0.92)",
            "0.41 (0.36)"] in page.cells
    assert ["4", "1", "learned", "60", "240", "3.1000[3.0690, 3.1310]", "1.9000[1.8810, 1.9190]",
            "1.2000[1.1880, 1.2120]", "0.0002[0.0002, 0.0002]"] in page.cells
    assert "t 3 to 40: 0.012500 [0.012375, 0.012625] bits" in page.text
    assert ["Share of copied slices", "0.000[0.000, 0.010]", "0"] in page.cells
    assert [FIRST, "0.910", "0.930", "0.98", "101", "103", "6.1", "17", "12.1",
            "12.9"] in page.cells
    assert ["segmenters", "3.10"] in page.cells and "4.35 core hours" in page.text
    assert "measured on slices of 192 x 192 pixels" in page.text
    assert row(page, "Congruence")[2].startswith("FID 3.21 (real slices: 1.13)")
    assert "0.87 (" + SECOND + ")" in row(page, "Constraint")[2]
    items = [c for c in page.cells if len(c) == 3 and c[0].isdigit()]
    assert [c[0] for c in items] == [str(k) for k in range(1, 45)] and all(c[2] for c in items)
    assert items[15][2] == "Only people can answer this."


def report_again_on_two_ranks(out):
    before = chain.hashes(os.path.join(out, "report"))
    assert set(before) == {"manifest.json", "report.html", "report.pdf"}
    shutil.rmtree(os.path.join(out, "report"))
    report(out, ranks=2)
    assert chain.hashes(os.path.join(out, "report")) == before


def change(metrics, **members):
    for comparison in metrics["comparisons"]:
        if comparison["structure"] == "mean" and comparison["arm"] == "real+synthetic":
            comparison.update(members)


def verdicts(out):
    """The wording when there is no gain, and when something was not measured."""
    def said(alter):
        metrics = report_run.with_sets()
        alter(metrics)
        report_run.remeasure(out, metrics)
        report(out)
        return verdict_of(out)

    loss = said(lambda m: change(m, difference=-0.02, low=-0.03, high=-0.01))
    assert loss.startswith("With 2 labelled patients, synthetic slices lower the mean Dice on 60 unseen "
                           "patients, by −0.020 [−0.030, −0.010]; with 4: −0.020 "
                           "[−0.030, −0.010] (a loss)"), loss
    open_ = said(lambda m: change(m, difference=0.004, low=-0.001, high=0.009))
    assert open_.startswith("With 2 labelled patients, no difference in mean Dice on 60 unseen patients "
                            "is resolved between training with and without synthetic slices: "
                            "+0.004 [−0.001, 0.009]; with 4"), open_
    both = said(lambda m: change(m, p_holm=0.08))
    assert "no difference in mean Dice" in both and ", p = 0.080 after Holm's correction" in both, both
    for empty in (None, []):
        none = said(lambda m: m.update(comparisons=empty, saving=empty, gate=empty))
        assert none == ("What synthetic slices are worth was not measured in this run. Whether training "
                        "slices were copied was not measured."), none
    unknown = said(lambda m: m["protocol"].update(labelled=[]))
    assert unknown.startswith("What synthetic slices are worth was not measured"), unknown
    assert "−1 " not in Page(read(out)).text
    unsaved = said(lambda m: [s.update(needed=None) for s in m["saving"]])
    assert "fewer labelled patients with synthetic data were not shown to be as good" in unsaved
    failed = said(lambda m: m["gate"].update(passed=False))
    assert failed.endswith("did not pass the gate: they may reveal training patients."), failed
    assert "Their release is blocked." in Page(read(out)).text


def incomplete_files(out):
    """Any member may be missing or of another type."""
    new = sorted(set(report_run.with_sets()) - set(METRICS) - {"schema"})
    assert len(new) == 10, new
    odd = [None, 7, "text", [], {}, [None, 3, "x", {}], {"labelled": "x", "structures": 5}]

    def survives(alter):
        metrics = report_run.with_sets()
        for k, name in enumerate(new):
            alter(metrics, k, name)
        report_run.remeasure(out, metrics)
        report(out)
        source = read(out)
        check_alone(source, Page(source))

    for shift in range(len(odd)):
        survives(lambda m, k, name: m.update({name: odd[(k + shift) % len(odd)]})
                 if name != "protocol" or shift % 2 else None)
    for part in range(3):  # every third member is missing
        survives(lambda m, k, name: m.pop(name) if k % 3 == part else None)


def comparing(place, *runs):
    page = os.path.join(place, "compare.html")
    before = os.umask(0o022)
    chain.run(0, "compare", *runs, "--out", page)
    chain.run(0, "compare", *runs, "--out", page + ".shared", "--share")
    os.umask(before)
    assert [os.stat(x).st_mode & 0o777 for x in (page, page + ".shared")] == [0o600, 0o644]
    with open(page, encoding="utf-8") as stream:
        source = stream.read()
    parsed = Page(source)
    assert "http:" not in source and len(parsed.scripts) == 2
    assert parsed.cells.count([NAME, "2", "60", "0.738[0.723, 0.753]", "0.755[0.740, 0.770]",
                               "+0.017[0.014, 0.020]", "< 0.001", "3.21", "1.13", "domain", "passed",
                               "4.35"]) == 1
    assert [NAME, "all", "5", "0.803", "0.819", "+0.016", "n/a", "12.35", "3.46", "segmenter",
            "not measured", "n/a"] in parsed.cells
    assert any(c[0] == NAME and c[2:4] == ["77001", "192"] for c in parsed.cells if len(c) == 6)
    # A page is not overwritten; a fault names its file.
    assert "exists already" in chain.run(0, "compare", *runs, "--out", page, expect=2)
    assert "which runs" in chain.run(0, "compare", expect=2)
    bad = os.path.join(place, "metrics.json")
    for text, word in (("{", "metrics.json:1"), ("[]", "names no study"), ('{"study": 3}', "no study")):
        with open(bad, "w", encoding="utf-8") as stream:
            stream.write(text)
        said = chain.run(2, "compare", runs[0], bad, "--out", page + "2", expect=3)
        assert bad in said and word in said, said
    os.remove(bad)
    for gone in (bad, place):
        said = chain.run(0, "compare", gone, "--out", page + "2", expect=3)
        assert gone in said and not os.path.exists(page + "2"), said
    file = os.path.join(runs[1], "metrics", "metrics.json")
    with open(file, "r+b") as stream:
        stream.write(b"[")
    assert file in chain.run(0, "compare", *runs, "--out", page + "2", expect=5)
    with open(file, "r+b") as stream:
        stream.write(b"{")


def main():
    if not shutil.which("pdftotext"):
        print("pdftotext is not installed: the PDF is not read")
    if not os.access(TOOL, os.X_OK):
        sys.exit(f"{TOOL} is missing: make test-programs")
    with tempfile.TemporaryDirectory(prefix="ctaug-report-") as place:
        sets = with_sets(place)
        comparing(place, sets, make_run(place, "plain", METRICS, 7))
        verdicts(sets)
        incomplete_files(sets)


main()
