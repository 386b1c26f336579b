"""What the tests of the report ask of a page: balanced tags, no markup from data, no requests."""
import base64
import hashlib
import html.parser
import re

VOID = {"meta", "img", "br"}
TAGS = VOID | set("html head title style body p h1 h2 h3 b small span i code pre div aside ul li table "
                  "thead tbody tfoot tr th td figure figcaption details summary svg text line path "
                  "rect circle defs marker script noscript section caption".split())

class Page(html.parser.HTMLParser):
    """Checks that tags balance, and collects the text and the images of the page."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.text, self.images, self.attributes = [], "", [], []
        self.cells, self.circles, self.scripts = [], [], []
        self.feed(source)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        assert len({k for k, _ in attrs}) == len(attrs), (tag, attrs)
        self.attributes += [(tag, k, v) for k, v in attrs]
        if tag == "img":
            self.images.append(dict(attrs))
        if tag == "circle":
            self.circles.append(dict(attrs))
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert tag not in VOID and self.open.pop() == tag, tag

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts.append(data)
        if {"style", "script"} & set(self.open):
            return
        self.text += data
        if self.open[-1:] and {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data


def policy(source):
    """The Content-Security-Policy of the page, by directive."""
    text = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', source)[1]
    return {one.split()[0]: one.split()[1:] for one in text.split(";")}


def check_alone(source, page):
    """The page refers to no other file, and runs its own three scripts alone."""
    assert not re.search(r"https?:", source) and "@import" not in source
    assert set(re.findall(r"url\([^)]*\)", source)) <= {"url(#tip)"}
    hashes = ["'sha256-%s'" % base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()
              for s in page.scripts]
    assert len(hashes) == 3 and policy(source) == {
        "default-src": ["'none'"], "img-src": ["data:"], "style-src": ["'unsafe-inline'"],
        "script-src": hashes}, policy(source)
    for word in ("fetch", "XMLHttpRequest", "import", "innerHTML", "eval"):
        assert not re.search(rf"\b{word}\b", "".join(page.scripts)), word
    for tag, key, value in page.attributes:
        assert not key.startswith("on") and key not in ("href", "srcset", "action"), (tag, key)
        if key == "src":
            assert value.startswith("data:image/png;base64,")
        if tag in ("circle", "line", "rect", "text", "path"):
            assert not re.search(r"nan|inf", value), (tag, key, value)
    assert not re.search(r"\b(-?nan|-?inf)\b", page.text)


def row(page, first):
    found = [c for c in page.cells if c and c[0] == first]
    assert len(found) == 1, (first, found)
    return found[0]
