"""Make the folder that is handed on: weights as exported, checked for size and precision, and what goes with them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from safetensors import safe_open

from outofsight.bundling.card import CardFacts, DataFacts, read_data_facts, read_results, write_model_card
from outofsight.bundling.finished_run import (
    FinishedRun,
    draw_curves,
    find_vae_run,
    read_finished_run,
    without_places,
)
from outofsight.errors import CheckpointError, InputError, OutputError
from outofsight.files import read_json, replaced_folder, write_json, write_text
from outofsight.model_folders import USE_FILE, ModelUse, read_use, use_as_json, use_file
from outofsight.whole_models import NETWORKS
from outofsight.world_model import WorldModelBase, check_folder

SMALL_DTYPES = ("BF16", "F16")


@dataclass(frozen=True, kw_only=True)
class BundleConfig:
    """What to bundle. ``vae_run``, ``results``: ``None`` where they are not at hand.

    ``before``: runs whose exports the bundled one began from, oldest first, for the card. ``most_mb``: of weights, at
    most. ``hardware``: what the model was trained on, in words. ``began_from``: a bundle that the first of these
    runs began from; what its own training.json tells goes before them.
    """

    run: Path
    data: Path
    out: Path
    hardware: str
    num_inference_steps: int
    guidance_scale: float
    strength: float = 1.0
    began_from: Path | None = None
    name: str = "mini"
    before: Sequence[Path] | None = None
    vae_run: Path | None = None
    results: Path | None = None
    most_mb: float = 20.0
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class BundleReport:
    """``weight_bytes``: of weights alone; ``total_bytes``: of all files."""

    folder: Path
    weight_bytes: int
    total_bytes: int


def make_bundle(config: BundleConfig) -> BundleReport:
    """Copy a run's export, check it, and write its card beside it. The folder appears in one piece or not at all.

    Raises:
        CheckpointError: there is no export, it is too large, in float32, or cannot be loaded.
        InputError: something else than a bundle is in its place.
        OutputError: a bundle is there already, or the folder cannot be written.
    """
    facts, earlier = check_bundle(config)
    _write(config.out, facts.world.export, facts, earlier)
    total = sum(path.stat().st_size for path in config.out.rglob("*") if path.is_file())
    return BundleReport(folder=config.out, weight_bytes=weight_bytes(facts), total_bytes=total)


def weight_bytes(facts: CardFacts) -> int:
    """Count the bytes of all weight files."""
    return sum(size for _, size in facts.parts.values())


def check_bundle(config: BundleConfig) -> tuple[CardFacts, dict[str, Any]]:
    """Refuse what ``make_bundle`` would refuse, and write nothing. Gives what its card tells, and earlier training."""
    _check_out(config.out, config.overwrite)
    world = read_finished_run(config.run)
    vae_folder = config.vae_run or find_vae_run(config.run)
    vae = None if vae_folder is None else read_finished_run(vae_folder)
    data = read_data_facts(config.data)
    if not world.export.is_dir():
        raise CheckpointError(
            f"{world.export}: is not there; go on with the run to its end, or to --max-minutes"
        )
    check_folder(world.export)
    parts = {name: check_weights(world.export / name) for name in NETWORKS}
    total = sum(size for _, size in parts.values())
    if total > config.most_mb * 1e6:
        raise CheckpointError(
            f"{world.export}: its weights have {total / 1e6:.1f} MB, more than the {config.most_mb:g} "
            "that a bundle may have; train a smaller model, or raise --most-mb"
        )
    WorldModelBase.from_pretrained(world.export)  # whole, and readable by this version
    facts = CardFacts(
        name=config.name,
        use=use_of(data, config),
        parts=parts,
        world=world,
        before=tuple(read_finished_run(run) for run in config.before or ()),
        vae=vae,
        data=data,
        hardware=config.hardware,
        results=None if config.results is None else read_results(config.results),
    )
    return facts, {} if config.began_from is None else read_json(config.began_from / "training.json")


def use_of(data: DataFacts, config: BundleConfig) -> ModelUse:
    """Say what the model is used with: the frames, size and speed of its clips, and how it is sampled."""
    plan = data.plan
    return ModelUse(
        num_context_frames=plan["num_context_frames"],
        num_target_frames=plan["num_target_frames"],
        size=(plan["height_px"], plan["width_px"]),
        fps=plan["fps"],
        num_inference_steps=config.num_inference_steps,
        guidance_scale=config.guidance_scale,
        strength=config.strength,
        explore=read_use(config.run / "export").explore,
    )


def check_weights(folder: Path) -> tuple[int, int]:
    """Count a network's parameters and the bytes of its weight files.

    Raises:
        CheckpointError: there are no weights, or most of them are wider than 16 bits.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise CheckpointError(f"{folder}: holds no .safetensors file; export the run again")
    count = wide = 0
    for file in files:
        with safe_open(file, "np") as weights:
            for name in weights.keys():  # noqa: SIM118 - not a mapping
                view = weights.get_slice(name)
                number = prod(view.get_shape())
                count += number
                wide += number if view.get_dtype() not in SMALL_DTYPES else 0
    if 2 * wide > count:
        raise CheckpointError(
            f"{folder}: most weights are wider than 16 bits; export in bfloat16: "
            "outofsight train --out RUN --resume --set state.export_dtype=bfloat16"
        )
    return count, sum(file.stat().st_size for file in files)


def is_bundle(out: Path) -> bool:
    """Tell whether a bundle of ours lies in a folder."""
    return use_file(out).is_file() and all(
        (out / name).is_file() for name in ("model_index.json", "training.json")
    )


def _check_out(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise OutputError(f"{out} is there already; choose another --out, or --overwrite")
    if not is_bundle(out):
        raise InputError(f"{out}: is not a bundle that could be replaced; choose another --out")


def _write(out: Path, export: Path, facts: CardFacts, earlier: dict[str, Any]) -> None:
    with replaced_folder(out) as folder:
        shutil.copytree(export, folder, dirs_exist_ok=True)
        _forget_places(folder)
        write_text(folder / USE_FILE, use_as_json(facts.use))
        write_text(folder / "README.md", write_model_card(facts))
        write_text(folder / "curves_world.svg", draw_curves(facts.world))
        if facts.vae is not None:
            write_text(folder / "curves_vae.svg", draw_curves(facts.vae))
        write_json(folder / "training.json", _training(facts, earlier), indent=1)


def _forget_places(folder: Path) -> None:
    """Take out where networks once lay, which libraries note in their configurations."""
    for path in sorted(folder.glob("*/config.json")):
        config = read_json(path)
        if config.pop("_name_or_path", None) is not None:
            write_json(path, config, indent=2)


def _training(facts: CardFacts, earlier: dict[str, Any]) -> dict[str, Any]:
    """Tell every run. ``earlier``: what the training.json of the bundle tells from which the first of them began."""

    def described(run: FinishedRun | None) -> dict[str, Any] | None:
        return None if run is None else {**run.content, "steps": run.num_steps, "hours": run.hours}

    return {
        "hardware": facts.hardware,
        "data": without_places(facts.data.identity),
        "clips": dict(facts.data.num_clips),
        "before": [
            *earlier.get("before", []),
            *([earlier["world"]] if earlier else []),
            *(described(run) for run in facts.before),
        ],
        "world": described(facts.world),
        "vae": described(facts.vae) or earlier.get("vae"),
    }
