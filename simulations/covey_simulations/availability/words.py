"""The `[availability]` table in sentences, for a report."""

from covey_simulations.availability.settings import AvailabilitySettings
from covey_simulations.availability.tiers import TIERS
from covey_simulations.report.text import SPACE


def trace(settings: AvailabilitySettings) -> str:
    """Who can be asked when."""
    by_day, battery = settings.diurnal, settings.battery
    night = (
        f"{_share(by_day.low)} of devices at the worst hour, {_share(by_day.high)} at the best, "
        f"{by_day.peak:g} o'clock in each device's own time zone"
    )
    match settings.trace:
        case "always":
            return "everyone, always"
        case "diurnal":
            return f"mostly at night: {night} (the rhythm of arXiv:1902.01046, section 9)"
        case "file":
            again = f", again every {settings.repeat_hours:g} hours" if settings.repeat_hours else ""
            return f"as recorded in {settings.path}{again}"
        case "battery":
            charger = f", a charger of {battery.charger_watts:g} W ({night})" if battery.charger_watts else ""
            return (
                f"whose battery of {battery.capacity_wh:g} Wh is at least {_share(battery.least)} full, "
                f"with a panel of {battery.panel_watts:g} W{charger}"
            )


def hardware(settings: AvailabilitySettings) -> str:
    """What the devices are, and how they differ."""
    tiers = settings.tiers
    whole = sum(each.share for each in tiers)
    kinds = ", ".join(f"{_share(each.share / whole)} {each.name}" for each in tiers) or "all pi4"
    parts = [kinds]
    if settings.spread:
        law = "log-normal, deviation" if settings.law == "lognormal" else "Pareto, exponent"
        parts.append(f"slower than their kind by a factor of each one's own ({law} {settings.spread:g})")
    if settings.jitter:
        parts.append(f"which varies from time to time (log-normal, deviation {settings.jitter:g})")
    if settings.dropouts:
        parts.append(f"dropping out of what they are asked with probability {_share(settings.dropouts)}")
    own = sorted({each.name for each in tiers} - set(TIERS))
    return "; ".join(parts) + (f". Figures of {', '.join(own)} are the configuration's" if own else "")


def _share(value: float) -> str:
    return f"{100 * value:.0f}{SPACE}%"
