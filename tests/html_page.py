"""What a browser would build of a page, as far as tests ask."""

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

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
