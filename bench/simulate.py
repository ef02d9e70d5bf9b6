"""
What the deployed autoscalers do with a spike of jobs: `python -m bench.simulate --timeline`.

Their settings are read from the manifests, so kubectl must be there; what no manifest says is in
bench/simulation/assumptions.py. docs/scaling.md has what it printed and what to make of it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.simulation import manifests, tables
from bench.simulation.manifests import ROOT, Unreadable
from bench.simulation.run import Scenario, simulate

# The other limits of --limits, and the goals in seconds of --stream.
CARDS, WORKERS = (1, 2, 3, 6, 12), (5, 20, 40)
GOALS = (0.1, 10)


def main(arguments: list[str] | None = None) -> int:
    """Print the tables that were asked for; return the exit status."""
    asked = _parser().parse_args(arguments)
    try:
        deployed = manifests.deployed(asked.overlay, scaled_by=asked.autoscalers)
    except (Unreadable, OSError) as error:
        said = f"{error.filename}: {error.strerror}." if isinstance(error, OSError) else error
        print(f"Cannot read the autoscalers: {said}", file=sys.stderr)
        return 2
    if not (asked.timeline or asked.scale or asked.limits or asked.guesses or asked.stream or asked.picture):
        asked.timeline = True
    if asked.timeline:
        print(tables.timeline(deployed, seeds=range(1, asked.seeds + 1)))
    if asked.scale:
        print(tables.scale(deployed, factors=asked.scale, seed=asked.seed))
    if asked.limits:
        print(tables.limits(deployed, factor=asked.limits, cards=CARDS, workers=WORKERS, seed=asked.seed))
    if asked.guesses:
        print(tables.guesses(deployed, seed=asked.seed))
    if asked.stream:
        print(tables.stream(deployed, rates=asked.stream, goals=GOALS, seed=asked.seed))
    if asked.picture:
        # matplotlib takes a second to import, and the tables do without.
        from bench.simulation import picture

        picture.draw(simulate(deployed, scenario=Scenario(seed=asked.seed)), asked.picture)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.simulate", description=__doc__.split("\n")[1])
    parser.add_argument("--overlay", type=Path, default=ROOT / "k8s/overlays/prod", help="default: k8s/overlays/prod")
    parser.add_argument("--autoscalers", type=Path, metavar="FOLDER", help="take these instead of the overlay's own")
    parser.add_argument("--timeline", action="store_true", help="the reference timeline beside the simulated one")
    parser.add_argument("--seeds", type=_positive, default=20, metavar="N", help="seeds of --timeline (20)")
    parser.add_argument("--scale", type=_times, nargs="+", metavar="TIMES", help="so many times the spike")
    parser.add_argument("--limits", type=_times, metavar="TIMES", help="such a spike with other maxReplicas")
    parser.add_argument("--guesses", action="store_true", help="the spike with other assumptions")
    parser.add_argument("--stream", type=_rate, nargs="+", metavar="RATE", help="jobs a minute after the spike")
    parser.add_argument("--picture", type=_picture, metavar="PATH", help="write the timeline as .svg or .png")
    parser.add_argument("--seed", type=_seed, metavar="N", default=1, help="of everything but --timeline (1)")
    return parser


def _positive(text: str) -> int:
    if _seed(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 1.")
    return int(text)


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number.") from None


def _times(text: str) -> float:
    # A hundredth of the spike is one job.
    return _number(text, least=0.01)


def _rate(text: str) -> float:
    return _number(text, least=0.001)


def _number(text: str, *, least: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not least <= number <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to 10,000.")
    return number


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix not in {".svg", ".png"}:
        raise argparse.ArgumentTypeError(f"{text!r} does not end with .svg or .png.")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"There is no folder {str(path.parent)!r} for the picture.")
    return path


if __name__ == "__main__":
    sys.exit(main())
