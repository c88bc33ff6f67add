"""What the release key signs beside an archive, read strictly."""

import pytest

from covey.errors import ProtocolError
from covey.rollout.plan import Image
from covey.rollout.published import Published, from_custom, same_release, to_custom

GOOD = Published(name="motion", version="1.0", generation=3, floor=2)


def test_round_trip() -> None:
    assert from_custom(to_custom(GOOD), blame="operator") == GOOD
    assert from_custom({"covey": to_custom(GOOD)["covey"], "other": 1}, blame="operator") == GOOD


@pytest.mark.parametrize(
    "changed",
    [
        {"floor": 4},
        {"floor": 0},
        {"generation": (1 << 31) + 1},
        {"generation": "3"},
        {"name": "../x"},
        {"version": ""},
        {"more": 1},
    ],
)
def test_malformed(changed: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        from_custom({"covey": {**to_custom(GOOD)["covey"], **changed}}, blame="operator")


@pytest.mark.parametrize("custom", [None, {}, [], {"covey": None}, {"covey": {}}])
def test_none(custom: object) -> None:
    with pytest.raises(ProtocolError):
        from_custom(custom, blame="operator")


@pytest.mark.parametrize("changed", [{}, {"name": "other"}, {"version": "2.0"}, {"generation": 4}])
def test_same_release(changed: dict[str, object]) -> None:
    named: dict[str, object] = {"name": "motion", "version": "1.0", "generation": 3, **changed}
    image = Image(**named, target="models/motion/1.0.covey", sha256="0" * 64, bytes=1)  # type: ignore[arg-type]
    assert same_release(GOOD, image) == (not changed)
