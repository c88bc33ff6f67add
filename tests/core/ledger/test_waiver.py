import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import ProtocolError
from covey.ledger.waiver import Accepted, parse

LINES = [b"first", b"second"]


def test_a_waiver_comes_back_from_its_text() -> None:
    for entry in (1, None):
        made = Accepted.of("covey.example/wrist", "roster-expired", entry, LINES, "An hour late.\nAgreed.")
        assert parse(made.text, blame="x") == made


def test_a_waiver_is_about_one_entry_at_one_place() -> None:
    made = Accepted.of("o", "roster-expired", 1, LINES, "why")
    assert made.is_about(LINES)
    assert not made.is_about(LINES[:1])
    assert not made.is_about([LINES[1], LINES[0]])
    assert not Accepted.of("o", "roster-expired", None, LINES, "why").is_about(LINES)


def test_an_entry_that_is_not_there_cannot_be_waived() -> None:
    with pytest.raises(IndexError):
        Accepted.of("o", "roster-expired", 2, LINES, "why")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "covey-waiver/1 o\n",
        "covey-waiver/2 o\nroster-expired\nthe whole ledger\nwhy\n",
        "covey-waiver/1 \nroster-expired\nthe whole ledger\nwhy\n",
        "covey-waiver/1 o\nRoster\nthe whole ledger\nwhy\n",
        "covey-waiver/1 o\nroster-expired\nsomewhere\nwhy\n",
        "covey-waiver/1 o\nroster-expired\nentry 01 " + "0" * 64 + "\nwhy\n",
        "covey-waiver/1 o\nroster-expired\nentry 1 " + "0" * 63 + "\nwhy\n",
        "covey-waiver/1 o\nroster-expired\nthe whole ledger\n \n",
        'format = "covey-policy/1"\nname = "x"\n\nx\n',
    ],
)
def test_what_is_no_waiver(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse(text, blame="x")


@given(st.text(max_size=300))
def test_any_text_is_a_waiver_or_is_refused(text: str) -> None:
    try:
        read = parse(text, blame="x")
    except ProtocolError:
        return
    assert parse(read.text, blame="x") == read
