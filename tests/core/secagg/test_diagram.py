"""The tables that the machines obey, and their picture."""

from covey.secagg import device, server
from covey.secagg.diagram import Transition, find, mermaid
from covey.secagg.states import Closed, Masking
from secagg_fleet import Fleet, make_plan, vectors

DEVICE = """\
stateDiagram-v2
    [*] --> Advertising: open
    Advertising --> Sharing: cohort
    Sharing --> Masking: partners
    Masking --> Agreeing: survivors (malicious-server)
    Masking --> Closed: unmask (semi-honest-server)
    Agreeing --> Closed: unmask
    Closed --> [*]
"""

SERVER = """\
stateDiagram-v2
    Advertising --> Sharing: adverts
    Sharing --> Masking: shares
    Masking --> Agreeing: vectors (malicious-server)
    Masking --> Unmasking: vectors (semi-honest-server)
    Agreeing --> Unmasking: votes
    Unmasking --> Finished: reveals
    Advertising --> Aborted: too few
    Sharing --> Aborted: too few
    Masking --> Aborted: too few
    Agreeing --> Aborted: too few
    Unmasking --> Aborted: too few
    Finished --> [*]
    Aborted --> [*]
"""


def test_the_pictures_are_the_tables() -> None:
    assert mermaid(device.TRANSITIONS) == DEVICE
    assert mermaid(server.TRANSITIONS) == SERVER


def test_an_arrow_is_found_in_its_profile_only() -> None:
    sums = Fleet(make_plan(), vectors(12))
    sums.until("consistency")
    state = sums.devices[2].state
    assert isinstance(state, Masking)
    found = find(device.TRANSITIONS, state, "survivors", "malicious-server")
    assert found is not None
    assert find(device.TRANSITIONS, state, "unmask", "malicious-server") is None
    assert find(device.TRANSITIONS, state, "unmask", "semi-honest-server") is not None
    assert find(device.TRANSITIONS, state, "survivors", "semi-honest-server") is None
    assert find(device.TRANSITIONS, state, "cohort", "malicious-server") is None


def test_no_state_is_left_twice_by_one_event() -> None:
    for table in (device.TRANSITIONS, server.TRANSITIONS):
        ways = [(each.before, each.event, each.profile) for each in table]
        assert len(set(ways)) == len(ways)


def test_a_table_of_ones_own_is_drawn_alike() -> None:
    assert (
        mermaid([Transition(None, "go", Closed)])
        == "stateDiagram-v2\n    [*] --> Closed: go\n    Closed --> [*]\n"
    )
