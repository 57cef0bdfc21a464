"""What a browser would make of a page, and whether it loads anything."""

from html.parser import HTMLParser
import re

VILE = "<script>alert(1)</script>"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would make of a page: tags with attributes, and text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text, self.scripts = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.scripts.append(data)
        elif inside != "style":
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def findings(self):
        """Codes of the checks that warn."""
        divisions = (attrs for attrs in self.all("div") if "data-check" in attrs)
        return [attrs["data-check"] for attrs in divisions]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def assert_self_contained(page):
    """Check that nothing of a page is loaded from elsewhere, and all is closed."""
    parsed = Page(page)
    assert parsed.open == []
    names = {name for name, _ in parsed.tags}
    assert not names & {"link", "iframe", "object", "embed", "base", "form", "video"}
    assert len(parsed.scripts) == 1
    for tag, attrs in parsed.tags:
        assert not {"srcset", "poster", "data", "background"} & set(attrs)
        assert not [name for name in attrs if name.startswith("on")]
        if "src" in attrs:
            assert tag == "img"
            assert attrs["src"].startswith(("data:image/png;", "data:image/svg+xml;"))
        if "href" in attrs:
            assert attrs["href"].startswith("#")
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.S)
    assert "url(" not in style and "@import" not in style
    assert "fetch(" not in parsed.scripts[0] and "http" not in parsed.scripts[0]
    policy = next(m["content"] for m in parsed.all("meta") if "content" in m and
                  m.get("http-equiv") == "Content-Security-Policy")  # fmt: skip
    assert "default-src 'none'" in policy
    return parsed
