"""Figures as SVG that lives inside an HTML page: themed by CSS variables, without clashing ids.

matplotlib draws with sentinel colours; each is replaced by `var(--name)`, so that one picture serves the
light and the dark scheme. No pyplot: a figure belongs to nobody but the call that draws it.
"""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any, Final
from xml.etree import ElementTree as ET

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

INK: Final = "#0a0001"
MUTED: Final = "#0a0002"
GRID: Final = "#0a0003"
BLUE: Final = "#0a0004"
ORANGE: Final = "#0a0005"
BAND: Final = "#0a0006"
PAPER: Final = "#0a0007"
GREEN: Final = "#0a0008"
PURPLE: Final = "#0a0009"
PINK: Final = "#0a0010"
OLIVE: Final = "#0a0011"
TEAL: Final = "#0a0012"
BROWN: Final = "#0a0013"
VARIABLES: Final = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    BAND: "var(--band)",
    PAPER: "var(--paper)",
    GREEN: "var(--green)",
    PURPLE: "var(--purple)",
    PINK: "var(--pink)",
    OLIVE: "var(--olive)",
    TEAL: "var(--teal)",
    BROWN: "var(--brown)",
}
FONT_SIZE: Final = 12.5
STYLE: Final = {
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": FONT_SIZE,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "font.family": ["DejaVu Sans"],
    "font.size": FONT_SIZE,
    "grid.color": GRID,
    "grid.linewidth": 1.0,
    "legend.fontsize": FONT_SIZE,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
    "legend.borderaxespad": 0.2,
    "legend.columnspacing": 1.4,
    "legend.labelcolor": INK,
    "lines.linewidth": 2.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "covey",
    "text.color": INK,
    "text.parse_math": False,
    "text.usetex": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": FONT_SIZE,
    "xtick.major.pad": 6.0,
    "xtick.major.size": 0.0,
    "ytick.color": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": FONT_SIZE,
    "ytick.major.size": 0.0,
}
DROPPED: Final = frozenset({"metadata", "style"})  # matplotlib's style rule would apply to the whole page


def drawn(paint: Callable[[Figure], None], size: tuple[float, float], *, prefix: str, label: str) -> Markup:
    """One inline SVG element.

    Args:
        paint: Fills an empty figure, using the colours above. Its text is escaped here.
        size: Width and height in CSS pixels at which text has its nominal size.
        prefix: Begins every id; unique in the page.
        label: What a reader who cannot see the picture is told.
    """
    return Markup(_inline(_saved(paint, size), prefix, label))  # noqa: S704 - serialised by ElementTree, which escapes


def _saved(paint: Callable[[Figure], None], size: tuple[float, float]) -> str:
    """What matplotlib writes; 72 dots an inch make a point a CSS pixel."""
    buffer = io.StringIO()
    settings: Any = _defaults() | STYLE  # matplotlib types the keys one by one
    with mpl.rc_context(settings), warnings.catch_warnings():
        # The reader's own fonts draw the text; DejaVu only measures it, and need not have every glyph.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72, layout="constrained")
        paint(figure)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def _defaults() -> dict[str, Any]:
    """The library's own settings, whatever a matplotlibrc says; the backend is not a matter of style."""
    return {key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith("backend")}


def _inline(saved: str, prefix: str, label: str) -> str:
    root = ET.fromstring(saved)  # noqa: S314 - matplotlib wrote it a moment ago
    _walk(root, prefix)
    _, _, width, height = root.attrib["viewBox"].split()
    root.attrib = {
        "class": "chart",
        "role": "img",
        "aria-label": label,
        "viewBox": root.attrib["viewBox"],
        "style": f"max-width: {float(width):.0f}px; aspect-ratio: {float(width):.0f} / {float(height):.0f}",
    }
    return ET.tostring(root, encoding="unicode")


def _walk(element: ET.Element, prefix: str) -> None:
    """Drop namespaces and document-wide styles, prefix ids and references, put in the colours."""
    element.tag = _local(element.tag)
    given = {_local(key): value for key, value in element.attrib.items()}
    if element.tag == "g":
        given.pop("id", None)  # nothing refers to groups
    if given.get("transform", "").startswith("rotate(-0 "):
        del given["transform"]
    element.attrib = {key: _attribute(key, value, prefix) for key, value in given.items()}
    element.tail = None
    if element.tag != "text":
        element.text = None
    for child in list(element):
        if _local(child.tag) in DROPPED:
            element.remove(child)
        else:
            _walk(child, prefix)


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _attribute(key: str, value: str, prefix: str) -> str:
    match key:
        case "id":
            return f"{prefix}-{value}"
        case "href":
            return f"#{prefix}-{value.removeprefix('#')}"
        case "clip-path":
            return value.replace("url(#", f"url(#{prefix}-")
        case "style":
            return _styled(value)
        case "d":
            return " ".join(re.sub(r"(\.\d\d)\d+", r"\1", value).split())
        case _:
            return value


def _styled(style: str) -> str:
    """A style attribute in the page's colours and the page's font."""
    kept = [rule.strip() for rule in style.split(";") if not rule.strip().startswith("font-family")]
    return re.sub(r"#0a00\d\d", lambda found: VARIABLES[found[0]], "; ".join(rule for rule in kept if rule))
