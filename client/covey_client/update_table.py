"""`[update]` of device.toml: where releases come from, and what a new one must hold before it is kept."""

from typing import Annotated, Literal

import msgspec

from covey.rollout.update_rules import Trial

Megabytes = Annotated[int, msgspec.Meta(ge=16, le=1 << 20)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Many = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Share = Annotated[int, msgspec.Meta(ge=0, le=100)]


class TestTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[update.test]`: the self-test, in a process of its own.

    Attributes:
        memory_mb: Resident, of that process: about 70 are Python's and ONNX Runtime's own.
        growth_mb: The most that it may grow by over the repeated runs.
        seconds: It is ended after this.
        repeats: Timed runs of every model.
        slower: The new model's median and 95th percentile may be so many times those of what runs now,
        slower_ms: and so many milliseconds more.
    """

    __test__ = False  # no test of pytest's

    memory_mb: Megabytes = 300
    growth_mb: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 8
    seconds: Seconds = 60.0
    repeats: Annotated[int, msgspec.Meta(ge=20, le=100_000)] = 200
    slower: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 2.0
    slower_ms: Annotated[float, msgspec.Meta(ge=0, le=60_000)] = 1.0


class ShadowTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[update.shadow]`: the new model beside the old one, which answers.

    Attributes:
        requests: It ends after so many.
        seconds: It ends after this; without a request, the package's golden inputs are compared.
        most_disagreement: Share of other answers, per cent, from the second on.
    """

    requests: Many = 100
    seconds: Seconds = 60.0
    most_disagreement: Share = 20


class UpdateTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[update]`.

    Attributes:
        source: Where releases come from: a URL, or a folder; empty for none: nothing is updated.
        root: The repository's root metadata, as the fleet's owner gave it; empty for root.json in the state.
        folder: The device's folder, with the slots; empty for `device` in the state.
        every_seconds: How often to ask.
        approvers: Public keys (vkey) of people of whom `approvals` must have signed a plan.
        approvals: So many of them.
        provenance: Whether a release must show that its ledger stayed within the policy that this device goes
            by: "demanded" refuses one that does not, "off" asks for the publisher's signature alone.
        hang_seconds: On trial, a request that lasts longer is answered by what ran before.
        test: The self-test.
        shadow: The new one beside the old one.
        trial: When the new one is kept.
    """

    source: str = ""
    root: str = ""
    folder: str = ""
    every_seconds: Annotated[float, msgspec.Meta(ge=1, le=7 * 86_400)] = 3600.0
    approvers: tuple[str, ...] = ()
    approvals: Annotated[int, msgspec.Meta(ge=1, le=32)] = 1
    provenance: Literal["demanded", "off"] = "off"
    hang_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 10.0
    test: TestTable = TestTable()
    shadow: ShadowTable = ShadowTable()
    trial: Trial = Trial()
