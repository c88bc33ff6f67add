"""A ledger as an entry for the Differential Privacy Deployments Registry.

The fields are those of the registry's schema (OpenDP, proposed to be hosted by NIST in 2025; Nanayakkara,
Ghazi, Vadhan, arXiv:2509.13509) as it stands in schemas/deployments-schema.yaml of the repository
opendp/deployments-registry-data at commit 057e5d81. JSON is YAML: the result can be put there as it is, once
a person has filled in what no ledger knows: `MISSING` stands in its place.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from covey.accounting.rounding import round_up
from covey_audit.audited import Audited, Costs
from covey_audit.report import words
from covey_audit.report.statement import Statement, statement
from covey_audit.report.verdict import UNIT_OF

MISSING: Final = "TO BE FILLED IN"
SCHEMA: Final = "opendp/deployments-registry-data, schemas/deployments-schema.yaml, 057e5d81"
DIGITS: Final = 6

Entry = dict[str, Any]


def entry(audited: Audited) -> Entry:
    """The registry's entry; ε stands in it only if the audit certifies it.

    Args:
        audited: Of the ledger. Of several units of privacy the first is the entry's, the details name all.
    """
    said = statement(audited)
    name = _name(audited)
    return {
        "url_slug": re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "deployment",
        "deployment": {
            "basic": _basic(audited, name),
            "dp_variant": _variant(audited),
            "privacy_loss": _loss(audited, said),
            "deployment_model": _model(audited, said),
            "implementation": _implementation(said),
            "administrative": {"status": "Draft", "registry_authors": [MISSING], "tier": 3},
        },
    }


def missing(found: Any, at: str = "") -> Iterator[str]:
    """Where a person has to fill something in, as dotted paths."""
    match found:
        case dict():
            for key, value in found.items():
                yield from missing(value, f"{at}.{key}" if at else key)
        case list():
            for place, value in enumerate(found):
                yield from missing(value, f"{at}[{place}]")
        case str() if MISSING in found:
            yield at
        case _:
            return


def _name(audited: Audited) -> str:
    models = sorted({name for run in audited.runs for name in run.models})
    fleets = sorted({each.policy.fleet for each in audited.policies})
    what = f"{words.listed(models)} of fleet {words.listed(fleets)}" if models else "Federated sums"
    return words.one_line(f"SIMULATION, no deployment: {what}" if audited.simulation else what, 120)


def _basic(audited: Audited, name: str) -> Entry:
    trained = any(asked.kind == "train" for cost in audited.costs for asked in cost.asked)
    models = [each.time for each in audited.releases if each.kind == "model"]
    purpose = audited.policies[-1].policy.purpose if audited.policies else MISSING
    return {
        "name": name,
        "data_curators": [{"data_curator_name": MISSING, "data_curator_type": MISSING}],
        "description": (
            f"{'A model trained' if trained else 'Figures computed'} by federated learning with distributed"
            f" differential privacy, from {words.count(len(audited.sums), 'private sum')} over devices."
        ),
        "intended_use": words.one_line(purpose, 4000),
        "data_product_type": "Machine learning model" if trained else "Summary statistics",
        "data_product_region": MISSING,
        "data_product_sector": MISSING,
        "publication_date": words.day(min(models)) if models else MISSING,
    }


def _variant(audited: Audited) -> Entry:
    devices = words.span([each.devices for each in audited.rosters])
    whose = f"{devices} enrolled devices" if devices else "enrolled devices"
    return {
        "variant_name": "Approximate DP",
        "data_domain": f"Examples on {whose}; they do not leave the devices. {MISSING}: what an example is",
        "unprotected_quantities": (
            "Who took part and when, how many devices were in each sum, and the sizes of messages."
            " What is released is computed from noisy sums alone."
        ),
    }


def _loss(audited: Audited, said: Statement) -> Entry:
    first = audited.costs[0] if audited.costs else None
    found: Entry = {
        "privacy_unit": UNIT_OF[first.unit].removeprefix("one ") if first else MISSING,
        "privacy_unit_details": _answer(said, "unit"),
        "privacy_parameters": _parameters(audited, first),
        "privacy_parameters_details": " ".join(
            (f"{said.verdict.heading}.", said.verdict.sentence, *_views(said))
        ),
    }
    devices = [each.devices for each in audited.rosters]
    if devices and first is not None and first.unit == "device":
        found["number_of_privacy_units"] = max(devices)
    return found


def _parameters(audited: Audited, cost: Costs | None) -> Entry:
    """Nothing that is not certified."""
    if cost is None or cost.server is None or not audited.certified:
        return {}
    return {"epsilon": round_up(cost.server, DIGITS), "delta": cost.delta}


def _views(said: Statement) -> Iterator[str]:
    for claim in said.claims:
        figures = f"ε = {words.epsilon(claim.epsilon)} at δ = {words.probability(claim.delta)}"
        yield f"Against {claim.against}, for {UNIT_OF[claim.unit]}: {figures}, counting on {claim.rests}."


def _model(audited: Audited, said: Statement) -> Entry:
    releases = sum(each.kind == "model" for each in audited.releases)
    return {
        "model_name": "Federated",
        "model_name_details": _answer(said, "setting"),
        "trust_assumptions": " ".join(audited.trusts),
        "actors": (
            "Devices, which hold the examples; the server and whoever runs it, not trusted but as said under"
            " trust assumptions; the fleet's owner, who enrols devices; reviewers, who sign the policy;"
            " witnesses of the ledger; readers of what is released."
        ),
        "release_type": "One release" if releases <= 1 else "Many releases",
        "release_type_details": _answer(said, "released"),
        "access_type": "Non-interactive",
        "access_type_details": "The operator asks, under a signed policy; every question is in a ledger.",
    }


def _implementation(said: Statement) -> Entry:
    return {
        "preprocessing_and_hyperparameter_tuning": _answer(said, "tuning"),
        "mechanisms": " ".join(
            _answer(said, key) for key in ("mechanism", "sampling", "parameters", "implementation")
        ),
        "composition": f"{_answer(said, 'covered')} {_answer(said, 'accounting')}",
        "post_processing": _answer(said, "released"),
        "justification": MISSING,
        "additional_information": " ".join(
            (
                _answer(said, "verification"),
                "Not covered:",
                _answer(said, "not-covered"),
                f"Fields: {SCHEMA}.",
            )
        ),
    }


def _answer(said: Statement, key: str) -> str:
    return " ".join(next(each.sentences for each in said.answers if each.key == key))
