"""What is a render worth as history tokens, which need no training, beside channels, which were trained for?

    python benchmarks/rendered_history.py --clips clips --split validation --limit 24 --work runs/history \
        --out benchmarks/results/rendered_history.json

The bundled mini continues the same clips, its memory of slices the same in every row (8 steps from noise alone). Rows
differ in how the transformer is shown what memory renders, and in whether the decoder's skip takes pixels of it. Each
answer is a line of ``answers.jsonl``; the same command goes on where it was stopped.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from outofsight.data.dataset import open_dataset
from outofsight.evaluation.case import case_from_clip
from outofsight.evaluation.methods import sampling_of
from outofsight.evaluation.metrics import measure_clip
from outofsight.evaluation.results import summarise
from outofsight.memory.strategies import HYDRA
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.world import WorldModel
from record import add_out, finish

MEASURES = ("psnr", "ssim", "bg_psnr", "fg_psnr")
SLICES = {**HYDRA, "memory_top_k": 8, "memory_source": "context"}
WINDOW = {**SLICES, "memory_top_k": 0, "local_window": None, "context_rule": "ends", "context_recent": 5}


class Row(NamedTuple):
    """``banks``: settings of the banks, or none; ``skip``: whether the decoder sees the render too."""

    memory: dict[str, Any]
    banks: dict[str, Any] | None
    skip: bool


SCENERY = {"rendered": "scenery", "top_k": 0}
ROWS = {
    "window": Row(WINDOW, None, False),
    "window, history tokens": Row(WINDOW, {**SCENERY, "shown": "history"}, False),
    "slices": Row(SLICES, None, False),
    "slices, history tokens": Row(SLICES, {**SCENERY, "shown": "history"}, False),
    "slices, channels": Row(SLICES, SCENERY, False),
    "slices, history tokens, skip": Row(SLICES, {**SCENERY, "shown": "history"}, True),
    "slices, channels, skip": Row(SLICES, SCENERY, True),
    "slices, history tokens with subjects": Row(SLICES, {"top_k": 0, "shown": "history"}, False),
    "slices, channels with subjects": Row(SLICES, {"top_k": 0}, False),
}


def answer(world: WorldModel, clip: Any, row: Row, settings: SamplingSettings) -> np.ndarray:
    """Continue a clip as the row says."""
    world.transformer.set_memory("row", {**row.memory, "banks": row.banks})
    skip, world.vae.skip = world.vae.skip, world.vae.skip if row.skip else None
    try:
        split = clip.num_context_frames
        return world.continue_video(
            clip.video[:split], clip.cameras[:split], clip.cameras[split:], clip.caption, settings
        ).video
    finally:
        world.vae.skip = skip


def measured(options: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    """Measure every row on every clip, but for what is written down: row → clip → measure."""
    options.work.mkdir(parents=True, exist_ok=True)
    kept = options.work / "answers.jsonl"
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in ROWS}
    for line in map(json.loads, lines):
        found[line["row"]][line["clip"]] = line["measures"]
    world = WorldModel.from_pretrained("mini")
    world.set_progress_bar_config(disable=True)
    clips = open_dataset(options.clips, options.split)
    for index in range(min(options.limit, len(clips))):
        clip = clips[index]
        case = case_from_clip(clip)
        for name, row in ROWS.items():
            if case.name in found[name]:
                continue
            settings = sampling_of(
                SamplingSettings(num_inference_steps=options.steps, guidance_scale=1.0), case.name
            )
            reported = measure_clip(case, answer(world, clip, row, settings), names=MEASURES)
            numbers = {key: each.value for key, each in reported.items() if each.value is not None}
            found[name][case.name] = numbers
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"row": name, "clip": case.name, "measures": numbers}) + "\n")
        print(f"{index + 1} of {options.limit}: {case.name}", flush=True)
    return found


def table(found: dict[str, dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Sum every row up, and its paired difference to ``slices``, over the clips that all rows answered."""
    common = sorted(set.intersection(*(set(clips) for clips in found.values())))
    figures: dict[str, Any] = {"clips": len(common), "rows": {}}
    for name, clips in found.items():
        figures["rows"][name] = row = {}
        for measure in MEASURES:
            pairs = [
                (clips[clip][measure], found["slices"][clip][measure])
                for clip in common
                if measure in clips[clip] and measure in found["slices"][clip]
            ]
            row[measure] = summed([one for one, _ in pairs])
            row[measure]["against slices"] = summed([one - other for one, other in pairs])
    return figures


def summed(values: list[float]) -> dict[str, Any]:
    summary = summarise(values)
    return {key: round(getattr(summary, key), 4) for key in ("n", "mean", "low", "high")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--work", type=Path, required=True, help="folder for the answers' measures")
    add_out(parser)
    options = parser.parse_args()
    figures = table(measured(options))
    for name, row in figures["rows"].items():
        gain = row["psnr"]["against slices"]
        print(
            f"{name:40} {row['psnr']['mean']:6.2f} dB  {gain['mean']:+.2f} ({gain['low']:+.2f} to {gain['high']:+.2f})"
        )
    config = {key: str(value) for key, value in vars(options).items()}
    finish(
        "rendered_history",
        "What is a render worth as untrained history tokens?",
        config,
        figures,
        options.out,
    )


if __name__ == "__main__":
    main()
