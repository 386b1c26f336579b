#!/usr/bin/python3
"""The report in a browser: the slice viewer shows the HU of the stores in the right grey, scrolls,
windows and tints; tables sort; no error, no request; light, dark, printed, and on a phone.

PICTURES=folder keeps screenshots."""
import math
import os
import sys
import tempfile

import browser
import chain
import report_run

PRESETS = {1: (400, 40), 2: (1500, -600), 3: (1800, 400), 4: (2000, 0)}
ORANGE = (230, 159, 0)  # label 1, after Okabe & Ito 2008
SIDE, TOP = 24, 2       # slices of 20 x 24 pixels, centred in a square
WHERE = "document.querySelector('.viewer output').textContent"
PIXEL = """(() => {{ const c = document.querySelector('.viewer canvas');
    return [...c.getContext('2d').getImageData({x}, {y}, 1, 1).data]; }})()"""


def grey_of(hu, width, level):
    return math.floor(255 * min(1, max(0, (hu - level + width / 2) / width)) + 0.5)


class Viewer:
    def __init__(self, page, out):
        self.page, self.stores = page, {}
        for folder in ("synthetic", "store"):
            volumes, _ = chain.read_store(os.path.join(out, folder))
            self.stores.update({name: v[:2] for name, v in volumes.items()})
        page.until(f"/Slice/.test({WHERE})")

    def name(self):
        return self.page.ask(
            "document.querySelector('.viewer select').selectedOptions[0].textContent").split(": ")[1]

    def slice(self):
        return int(self.page.ask(WHERE).split()[1]) - 1

    def pixel(self, x, y):
        *rgb, alpha = self.page.ask(PIXEL.format(x=x, y=y))
        assert alpha == 255
        return tuple(rgb)

    def check(self, width, level, weight=0.4, label_on=True):
        """Two pixels of the slice that is shown: one without a label and one with."""
        hu, labels = self.stores[self.name()]
        z = self.slice()
        made = hu.shape[1] == SIDE
        top = 0 if made else TOP
        assert f"W {width} L {level}" in self.page.ask(WHERE), self.page.ask(WHERE)
        for y, x in ((15, 7), (1, 9)):
            grey, label = grey_of(int(hu[z, y, x]), width, level), labels[z, y, x]
            expected = (grey,) * 3
            if label == 1 and label_on:
                expected = tuple(math.floor((1 - weight) * grey + weight * c + 0.5) for c in ORANGE)
            got = self.pixel(x, y + top)
            if label == 2 and label_on:
                assert got != expected
            else:
                assert got == expected, (z, y, x, got, expected)


def check_viewer(page, out):
    viewer = Viewer(page, out)
    canvas = ".viewer canvas"
    viewer.check(400, 40)
    start = viewer.slice()
    x, y = page.centre(canvas)
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=120)
    page.until(f"Number({WHERE}.split(' ')[1]) === {start + 2}")
    viewer.check(400, 40)
    # A drag by (50, 30) pixels widens the window by 200 and raises the level by 60 HU.
    page.drag(x, y, 50, 30)
    viewer.check(600, 100)
    for key, (width, level) in PRESETS.items():
        page.key(str(key), str(key))
        for end in ("Home", "End"):
            page.key(end)
            viewer.check(width, level)
    assert viewer.slice() == 8
    page.key("ArrowLeft")
    assert viewer.slice() == 7
    page.key("Home")
    assert viewer.slice() == 0
    viewer.check(2000, 0)
    page.key("l", "l")
    viewer.check(2000, 0, label_on=False)
    page.click(".viewer .panel > label input[type=checkbox]")
    viewer.check(2000, 0)
    page.centre(canvas)
    page.ask(f"document.querySelector('{canvas}').focus()")
    page.key("+", "+")
    viewer.check(2000, 0, weight=0.5)
    # Every volume, at both ends of the store's values.
    names = page.ask("[...document.querySelectorAll('.viewer option')].map(o => o.textContent)")
    assert [n.split(":")[0] for n in names] == ["Synthetic"] * 2 + ["Real, held out"] * 2, names
    for name in names[1:]:
        page.key("v", "v")
        page.until(f"document.querySelector('.viewer canvas').getAttribute('aria-label')"
                   f".startsWith({name!r})")
        for end in ("Home", "End"):
            page.key(end)
            viewer.check(2000, 0, weight=0.5)
    x, y = page.centre(canvas)
    page.mouse("mouseMoved", x, y)
    assert " HU at 13, 13" in page.ask("document.querySelectorAll('.viewer output')[1].textContent")
    page.ask("document.querySelector('.viewer').scrollIntoView()")


def check_sorting(page):
    """The table of the chapter on arms, by Dice."""
    find = """[...document.querySelectorAll('table.sort')].find(t => t.caption &&
        t.caption.textContent.startsWith('Test: plain'))"""
    column = f"[...({find}).tBodies[0].rows].map(r => parseFloat(r.cells[3].textContent))"
    page.ask(f"({find}).tHead.rows[0].cells[3].id = 'dice-head'")
    before = page.ask(column)
    assert before != sorted(before) and len(before) == 18
    page.click("#dice-head button")
    assert page.ask(column) == sorted(before)
    assert page.ask("document.getElementById('dice-head').getAttribute('aria-sort')") == "ascending"
    page.click("#dice-head button")
    assert page.ask(column) == sorted(before, reverse=True)
    assert page.ask("document.querySelectorAll('[aria-sort=descending]').length") == 1


def check_contents(page):
    chapters = page.ask("[...document.querySelectorAll('nav a')].map(a => a.textContent)")
    assert chapters[0] == "Protocol" and "Gate" in chapters and len(chapters) > 15, chapters
    page.ask("document.querySelector('nav details').open = true")
    page.ask(f"document.querySelectorAll('nav a')[{chapters.index('Gate')}].click()")
    page.until("""[...document.querySelectorAll('h2')].some(h => h.textContent === 'Gate' &&
        Math.abs(h.getBoundingClientRect().top) < 5)""")


def check_phone(page, out):
    page.look(390, 844, touch=True)
    page.open(os.path.join(out, "report", "report.html"))
    viewer = Viewer(page, out)
    assert page.ask("document.documentElement.scrollWidth") <= 390
    x, y = page.centre(".viewer canvas")
    start = viewer.slice()
    page.swipe(x, y, 36)
    assert viewer.slice() == start + 3, (start, viewer.slice())
    viewer.check(400, 40)


def luminance(page, selector, what):
    rgb = page.ask(f"getComputedStyle(document.querySelector('{selector}')).{what}")
    return sum(float(c) for c in rgb[rgb.index("(") + 1:-1].split(",")[:3]) / 3


def check_colours(page, out, keep):
    for dark, media in ((False, ""), (True, ""), (True, "print")):
        page.look(1100, 900, dark=dark, media=media)
        page.open(os.path.join(out, "report", "report.html"))
        paper, ink = (luminance(page, "body", w) for w in ("backgroundColor", "color"))
        black = dark and media == ""
        assert (paper < 60 and ink > 200) if black else (paper > 240 and ink < 60), (dark, media)
        assert page.ask("getComputedStyle(document.querySelector('.viewer')).display === 'none'") == (
            media == "print")
        if keep:
            page.picture(os.path.join(keep, f"{media or ('dark' if dark else 'light')}.png"))
    page.look(390, 844, dark=True, touch=True)
    if keep:
        page.picture(os.path.join(keep, "phone.png"))


def main():
    if not os.access(report_run.TOOL, os.X_OK):
        sys.exit(f"{report_run.TOOL} is missing: make test-programs")
    keep = os.environ.get("PICTURES")
    with browser.Browser() as page, tempfile.TemporaryDirectory(prefix="ctaug-report-") as place:
        out = report_run.make_run(place, "sets", report_run.with_sets(), 12)
        report_run.report(out)
        page.look(1100, 900)
        page.open(os.path.join(out, "report", "report.html"))
        check_viewer(page, out)
        check_sorting(page)
        check_contents(page)
        check_phone(page, out)
        check_colours(page, out, keep)
        assert not page.faults, page.faults


main()
