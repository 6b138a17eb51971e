"""What does the published misregistration do to the ranking? DSC in its forms on the same clips, strategy by strategy.

    outofsight evaluate --data test --limit 66 --model mini --strategy hydra,window,warp,hybrid,hybrid+hydra --steps 8 \
        --no-baselines --out report
    python benchmarks/dsc_forms.py --report report --baseline mini-hydra --out benchmarks/results/dsc_forms.json

``dsc_*``: ours; ``dsc_official_*``: as published; ``dsc_official_registered_*``: the same, with the box in place.
A form's figures are over the clips on which it could be measured for every strategy. ``order``: best first, and in
how many of the resampled sets of clips the order is the same; ``pairs``: in how many of them each neighbour is ahead.
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from record import add_out, finish

FORMS = tuple(
    f"{form}_{against}"
    for against in ("gt", "ctx")
    for form in ("dsc", "dsc_official", "dsc_official_registered")
)
NUM_RESAMPLES = 10_000


def values_of(records: dict[str, Any], form: str) -> tuple[list[str], np.ndarray]:
    """Give the strategies, and a form's values [strategies, clips] on the clips that all of them were measured on."""
    names = list(records)
    clips = [
        clip for clip in records[names[0]]
        if all(records[name].get(clip, {}).get("values", {}).get(form) is not None for name in names)
    ]  # fmt: skip
    return names, np.array([[records[name][clip]["values"][form] for clip in clips] for name in names])


def interval(samples: np.ndarray) -> dict[str, float]:
    low, high = np.percentile(samples, [2.5, 97.5])
    return {"low": round(float(low), 4), "high": round(float(high), 4)}


def judged(records: dict[str, Any], form: str, baseline: str) -> dict[str, Any]:
    """Sum up one form: every strategy's mean, its difference to the baseline, and the order of all."""
    names, values = values_of(records, form)
    count = values.shape[1]
    drawn = np.random.default_rng(0).integers(0, count, (NUM_RESAMPLES, count))
    means, resampled = values.mean(axis=1), values[:, drawn].mean(axis=2)
    base = names.index(baseline)
    order = np.argsort(-means)
    rows = {}
    for index, name in enumerate(names):
        rows[name] = {"mean": round(float(means[index]), 4), **interval(resampled[index])}
        rows[name]["against baseline"] = {
            "mean": round(float(means[index] - means[base]), 4), **interval(resampled[index] - resampled[base])
        }  # fmt: skip
    same = (np.argsort(-resampled, axis=0) == order[:, None]).all(axis=0).mean()
    pairs = {
        f"{names[ahead]} > {names[behind]}": round(float((resampled[ahead] > resampled[behind]).mean()), 3)
        for ahead, behind in pairwise(order)
    }
    spread = {"mean": round(float(means.max() - means.min()), 4)}
    return {
        "clips": count, "rows": rows, "order": [names[index] for index in order], "order kept": round(float(same), 3),
        "pairs": pairs, "best to worst": spread,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--report", type=Path, required=True, help="folder of `outofsight evaluate`")
    parser.add_argument("--baseline", required=True, help="row that the others are compared with")
    parser.add_argument(
        "--judged-at", help="commit that the answers were made with, where the report does not tell"
    )
    add_out(parser)
    options = parser.parse_args()
    results = json.loads((options.report / "results.json").read_text(encoding="utf-8"))
    figures = {form: judged(results["records"], form, options.baseline) for form in FORMS}
    for form, result in figures.items():
        print(
            f"{form} ({result['clips']} clips): {' > '.join(result['order'])}, the same in {result['order kept']:.0%}"
        )
        for name in result["order"]:
            row, apart = result["rows"][name], result["rows"][name]["against baseline"]
            print(
                f"  {name:20} {row['mean']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
                f"  {apart['mean']:+.3f} ({apart['low']:+.3f} to {apart['high']:+.3f})"
            )
    config = {
        "baseline": options.baseline,
        "features": results["settings"].get("features"),
        "judged at": results["commit"] or options.judged_at,
    }
    finish(
        "dsc_forms",
        "What does the published misregistration do to the ranking?",
        config,
        figures,
        options.out,
    )


if __name__ == "__main__":
    main()
