"""YAML front matter of a model card, as the Hugging Face Hub reads it.

Specification: https://huggingface.co/docs/hub/model-cards#model-card-metadata. YAML is written in its flow
style, which is JSON with two exceptions: what JSON writes as a surrogate pair, and numbers like 1e-05.
"""

from collections.abc import Mapping, Sequence

Node = str | float | Sequence["Node"] | Mapping[str, "Node"]


def front_matter(fields: Mapping[str, Node]) -> str:
    """Fields between two lines of `---`, one a line, in the order given."""
    lines = [f"{key}: {flow(value)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---", ""])


def flow(node: Node) -> str:
    """A value as one line of YAML that any YAML 1.1 or 1.2 parser reads back unchanged."""
    match node:
        case str():
            return _quoted(node)
        case int() | float():
            return _number(node)
        case Mapping():
            return "{" + ", ".join(f"{_quoted(key)}: {flow(value)}" for key, value in node.items()) + "}"
        case _:
            return "[" + ", ".join(flow(each) for each in node) + "]"


def _number(value: float) -> str:
    """YAML 1.1 takes an exponent without a decimal point for a string."""
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    """Line and paragraph separators, controls and unassigned code points are not printable, and escaped."""
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"
