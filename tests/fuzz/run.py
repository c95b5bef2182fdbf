"""Runs one fuzz target: `PYTHONPATH=tests python -m fuzz.run TARGET --seed 7 --seconds 3600`.

A target is a module of this folder with `case(random)`: one random program, made of nothing but that generator.
It may raise the exceptions in `EXPECTED` (its own, or those here), and AssertionError where something is wrong. A
panic, a crash, a hang and any other exception are faults. Each case has a seed of its own; what fails is printed
with the seed that brings it back: `--seed S --cases 1`.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import random
import sys
import time
import traceback
import warnings

import neurenix as nx

TARGETS = ("operations", "tape", "files", "states", "dlpack", "interruptions")
EXPECTED = (ValueError, TypeError, IndexError, RuntimeError, MemoryError, OverflowError, ZeroDivisionError)
HANG = 120  # seconds in one case


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seed", type=int, default=0, help="of the first case; the next has the next number")
    parser.add_argument("--cases", type=int, default=sys.maxsize)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args(arguments)
    module = importlib.import_module(f"fuzz.{options.target}")
    case, expected = module.case, getattr(module, "EXPECTED", EXPECTED)
    warnings.simplefilter("ignore")
    end, outcomes, faults = time.monotonic() + options.seconds, {"done": 0, "refused": 0}, 0
    for seed in range(options.seed, options.seed + options.cases):
        if time.monotonic() > end:
            break
        print(f"\r{options.target} --seed {seed} --cases 1", end="", file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(HANG, exit=True)
        nx.manual_seed(seed)
        try:
            case(random.Random(seed))
            outcomes["done"] += 1
        except expected:
            outcomes["refused"] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            faults += 1
            print(f"\n{options.target} --seed {seed} --cases 1:", file=sys.stderr)
            traceback.print_exc()
    faulthandler.cancel_dump_traceback_later()
    print(f"\n{options.target}: {outcomes['done']} done, {outcomes['refused']} refused, {faults} faults")
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
