"""What a browser would build of a page, as far as tests ask, and how well its colours can be told apart."""

import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

HOSTILE = (
    "</style></title>\"'><script>alert(1)</script><img src=x onerror=alert(1)> {{ 7 * 7 }} $x_{$ \u202e\x00&"
)
"""What no name may do to a page."""

VOID = {"meta", "br", "img", "link", "input", "hr"}
SPACED = {
    "td",
    "th",
    "dt",
    "dd",
    "br",
    "p",
    "li",
    "h1",
    "h2",
    "h3",
    "h4",
    "span",
    "text",
    "article",
    "summary",
}


@dataclass
class Page(HTMLParser):
    """Tags that are closed, attributes that are not repeated, and the words between them."""

    html: str
    tags: Counter[str] = field(default_factory=Counter)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag in SPACED:
            self.words.append(" ")
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} repeats an attribute"
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "title"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        """On one line."""
        return " ".join("".join(self.words).split())

    def values(self, name: str) -> list[str]:
        """Of an attribute, wherever it is."""
        return [value for _, key, value in self.attributes if key == name]


Colour = tuple[float, ...]
"""Red, green and blue, 0 to 1."""


def schemes(css: str) -> list[dict[str, Colour]]:
    """The colours of a style sheet by name, for each of its schemes."""
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    found = [re.findall(r"--([a-z-]+): #(..)(..)(..);", block) for block in blocks]
    return [{name: tuple(int(part, 16) / 255 for part in parts) for name, *parts in each} for each in found]


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of WCAG 2, 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Colour) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
