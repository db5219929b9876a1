"""The Pacemaker face: what its calls cost, and what becomes of guests that Pacemaker manages."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from . import managed, managed_failover, managed_moves, monitor_cost
from .lab import Lab, tell

PARTS = ("monitor", "hundred", "failover", "migration")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--calls", type=int, default=100, help="monitors of each agent")
    parser.add_argument("--many", type=int, default=100, help="guests whose monitors are summed")
    parser.add_argument("--seconds", type=float, default=60.0, help="each time that is measured")
    parser.add_argument("--rounds", type=int, default=2, help="labs of each kind for failovers")
    parser.add_argument("--cuts", type=int, default=4, help="power cuts in each of them")
    parser.add_argument("--moves", type=int, default=6, help="live migrations")


def with_guests(measure: Callable[[Lab], dict], hosts: int, guests: int, *more: str,
                resources: str = "", **settings: str) -> dict:
    tell(f"wardom, under Pacemaker: a lab of {hosts} hosts and {guests} guests")
    with Lab("wardom", hosts, guests, "--pacemaker", *more) as lab:
        managed.manage(lab, resources, **settings)
        return measure(lab)


def agents(options: argparse.Namespace) -> dict:
    """Guests as Pacemaker's resources: cost of its calls, failover, live migration, and peers."""
    run = {
        "monitor": lambda: with_guests(lambda lab: monitor_cost.one_call(lab, options.calls),
                                       options.hosts, options.hosts),
        "hundred": lambda: with_guests(
            lambda lab: monitor_cost.hundred(lab, options.seconds), options.hosts, options.many,
            # Pacemaker starts a call at a time on a loaded host; all hosts are this machine.
            "--slow-guests", resources=managed.guards_clone(), load_threshold="1000%"),
        "failover": lambda: managed_failover.failover(options.hosts, options.guests,
                                                      options.rounds, options.cuts),
        "migration": lambda: with_guests(lambda lab: managed_moves.moves(lab, options.moves),
                                         options.hosts, options.hosts)}
    parts = options.parts.split(",")
    unknown = [part for part in parts if part not in run]
    if unknown:
        raise RuntimeError(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    found: dict[str, dict] = {}
    judged: dict[str, dict] = {}
    for part in parts:
        found[part] = run[part]()
        judged |= {f"{part}: {name}": one for name, one in found[part]["targets"].items()}
        show(judged)
    return {"bench": "agents", "reached": all(one["reached"] for one in judged.values()), **found}


def show(judged: dict[str, dict]) -> None:
    """For people; the JSON has it too."""
    rows = [("", "target", "is", "")]
    for name, one in judged.items():
        limit = (f"<= {one['at_most']:g}" if "at_most" in one else
                 f">= {one['at_least']:g}" if "at_least" in one else "")
        rows.append((name, limit, str(one["is"]), "reached" if one["reached"] else "MISSED"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        tell("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
