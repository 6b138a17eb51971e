"""Reading who is to be judged, and on what, from the options of ``evaluate``."""

import json
import os
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from outofsight.cli.values import parse_settings, sampling_settings
from outofsight.errors import InputError
from outofsight.model_folders import BUNDLED, ModelSource, find_model, read_use

if TYPE_CHECKING:
    from outofsight.cli.evaluate import Evaluate
    from outofsight.evaluation.clips import EvalClip
    from outofsight.evaluation.methods import Method

EXPORT = "export"
"""The folder of a training run that holds the model: such a model is called by the run's name."""


def choose_methods(
    clips: "tuple[EvalClip, ...]", asked: "Evaluate", strategies: tuple[str, ...], steps: tuple[int, ...]
) -> "tuple[Method, ...]":
    """Gather the rows: models, others' videos, and the baselines and upper bounds that these clips allow.

    Raises:
        InputError: nothing to evaluate, a name twice, a folder that is not there, a setting that is impossible.
        CheckpointError: a model that is not there, or is none.
    """
    from outofsight.data.dataset import may_be_skipped
    from outofsight.evaluation.methods import BaselineMethod, TruthMethod, check_names, usable_baselines

    chosen: list[Method] = [*_models(asked, strategies, steps), *_videos(asked)]
    if asked.baselines:
        with may_be_skipped():
            first = clips[0].read().case
        names = usable_baselines(first, has_context=clips[0].has_context)
        chosen += [BaselineMethod(name=name) for name in names]
        chosen += _rendered(chosen)
        chosen += [*_round_trips(chosen), TruthMethod()] if first.has_truth else []
    if not chosen:
        raise InputError("nothing to evaluate: name a --model or --videos, or leave --baselines on")
    check_names(chosen)
    return tuple(chosen)


def named(text: str, option: str) -> tuple[str | None, str]:
    """Read "NAME=VALUE" or "VALUE"; a path that exists is a value, whatever is in it."""
    name, equals, value = text.partition("=")
    if not equals or Path(text).exists():
        return None, text
    if not name or not value:
        raise InputError(f"{option}: expected [NAME=]VALUE, got {text!r}")
    return name, value


def _models(asked: "Evaluate", strategies: tuple[str, ...], steps: tuple[int, ...]) -> "list[Method]":
    """Make a row for each model, strategy and number of steps; none of these: the model's own."""
    from outofsight.evaluation.methods import ModelMethod, files_digest
    from outofsight.world_model import check_folder

    rows: list[Method] = []
    others = parse_settings(asked.settings or [])
    for given in asked.model or ():
        name, model = named(given, "--model")
        use, folder = read_use(model), Path(find_model(model))
        if folder.exists():
            check_folder(folder)
        digest = files_digest(folder) if folder.is_dir() else "hub"
        for strategy, number in product(strategies or (None,), steps or (use.num_inference_steps,)):
            options = {"num_inference_steps": number, "guidance_scale": asked.guidance, "seed": asked.seed}
            parts = [name or _name_of(model)]
            parts += [strategy.rpartition(":")[2]] if strategy and len(strategies) > 1 else []
            parts += [f"{number}steps"] if len(steps) > 1 else []
            source = ModelSource(
                path=model, strategy=strategy, device=asked.device, dtype=asked.dtype, offload=asked.offload,
                quantize=asked.quantize, attention_chunk=asked.attention_chunk, tile_vae=asked.tile_vae,
            )  # fmt: skip
            sampling = sampling_settings(use, options, others)
            rows.append(
                ModelMethod(
                    name="-".join(parts), source=source, sampling=sampling, digest=digest, roll=asked.roll
                )
            )
    return rows


def _name_of(model: str) -> str:
    if model in BUNDLED:
        return model
    path = Path(os.path.abspath(model))
    return path.parent.name if path.name == EXPORT else path.name


def _videos(asked: "Evaluate") -> "list[Method]":
    from outofsight.evaluation.clips import videos_of
    from outofsight.evaluation.methods import VideosMethod

    rows: list[Method] = []
    for given in asked.videos or ():
        name, folder = named(given, "--videos")
        path = Path(folder)
        if not path.is_dir():
            raise InputError(f"--videos: expected NAME=FOLDER with a folder of videos, found none at {path}")
        videos_of(path)
        rows.append(
            VideosMethod(name=name or path.resolve().name, folder=path, with_context=asked.with_context)
        )
    return rows


def _rendered(rows: "list[Method]") -> "list[Method]":
    """Make a baseline for each row of a model that is shown rendered memory: what its banks render by themselves."""
    from outofsight.evaluation.methods import ModelMethod, RenderedMethod

    models = [row for row in rows if isinstance(row, ModelMethod) and row.roll is None]
    return [
        RenderedMethod(
            name=f"{row.name}-rendered", source=row.source, digest=row.digest, seed=row.sampling.seed
        )
        for row in models
        if _renders(row.source.path, row.source.strategy)
    ]


def _renders(model: str, strategy_name: str | None) -> bool:
    """Tell from a model folder's configuration whether its memory is rendered; a hub id's is not asked."""
    from outofsight.memory.settings import read_bank_settings
    from outofsight.memory.strategies import strategy

    path = Path(find_model(model)) / "transformer" / "config.json"
    if not path.is_file():
        return False
    config = {"banks": None, "rendering": None, **json.loads(path.read_bytes())}
    if strategy_name is not None:
        config |= strategy(strategy_name).settings
    banks = read_bank_settings(config)
    return config["rendering"] is not None and banks is not None and banks.rendered != "none"


def _round_trips(rows: "list[Method]") -> "list[Method]":
    """Make one upper bound for each VAE: the models of a comparison often share theirs."""
    from outofsight.evaluation.methods import RoundTripMethod, files_digest

    upper_bounds: dict[str, Method] = {}
    for row in rows:
        if row.source is None:
            continue
        folder = Path(find_model(row.source.path)) / "vae"
        digest = files_digest(folder) if folder.is_dir() else f"hub {row.source.path}"
        name = "vae_round_trip" if not upper_bounds else f"vae_round_trip_{row.name}"
        upper_bounds.setdefault(digest, RoundTripMethod(name=name, source=row.source, digest=digest))
    return list(upper_bounds.values())
