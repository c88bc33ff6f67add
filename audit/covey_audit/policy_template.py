"""What `covey policy new` writes: a policy to fill in, each line with what it means."""

from datetime import date, timedelta
from typing import Final

DAYS: Final = 365

_TEMPLATE: Final = """\
format = "covey-policy/1"

# Lines that begin with # are notes. Fill in what says FILL IN, and weigh every number.
# Numbers between quotation marks stay there: they are signed as they are written.
# Check it: covey policy lint FILE. Read it in plain words: covey policy explain FILE.

name = "first"
fleet = "FILL IN: the fleet"
purpose = "FILL IN: what the answers are for, and what they are not for."

# Each newer policy of a fleet has the next serial and names the one before (covey policy show
# prints its SHA-256).
serial = 1
previous = ""

# First and last day, in UTC.
valid_from = {first}
valid_until = {last}

# true only for simulated devices: noise may then come from a seed, and protects nobody.
simulation = false

# How many reviewers must sign. 2 is the two-person rule.
signatures = 1

# What all answers of a device may cost in its whole life. unit: "device" hides all that a device
# ever contributes; "example" hides one training example. Devices refuse what would exceed
# epsilon.
[budget]
unit = "device"
epsilon = "8"
delta = "1e-5"
answers = 220

# What the promise rests on. corrupt: how many devices of the whole fleet may side with the
# server. dropouts: the share of the asked devices that may be missing when a sum is opened.
[assumptions]
corrupt = 1
dropouts = "0.3"
profiles = ["malicious-server"]
attestation = "none"

# Whose plans devices answer, and whose word makes a device: two keys, in different hands. 64
# hexadecimal digits each.
[keys]
operator = "FILL IN: the operator's key"
enrolment = "FILL IN: the enrolment key"

# Where every plan is written down before a device answers it, and who watches that. cosignatures:
# how many of the witnesses must have confirmed it.
[ledger]
origin = "FILL IN: the ledger's name"
log = "FILL IN: the ledger's key, a line NAME+ID+KEY"
witnesses = ["FILL IN: the witness's key, a line NAME+ID+KEY"]
cosignatures = 1

# One table for each kind of question; without its table a kind is refused. clip: the length to
# which an update is cut (train), or the examples of a device that count (validate, statistics).
# noise_multiplier: noise of a sum, as a multiple of the most that one device or example adds.
# minimum: devices in a sum. answers: of one device, in all. options: what training may ask beside
# an update, as ["clip-indicator"]; left out, nothing.
[queries.train]
models = ["FILL IN: the model"]
clip = "1"
noise_multiplier = "12"
minimum = 14
answers = 200
rate_limit = "24 per day"

[queries.validate]
models = ["FILL IN: the model"]
clip = "500"
noise_multiplier = "12"
minimum = 14
answers = 20
rate_limit = "24 per day"
"""


def template(today: date) -> str:
    """A policy to fill in, valid for a year from today.

    Args:
        today: In UTC.
    """
    return _TEMPLATE.format(first=today.isoformat(), last=(today + timedelta(days=DAYS - 1)).isoformat())
