"""Reading who is to be judged, and on what, from the options of ``evaluate``."""

import json
import os
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outofsight.cli.values import sampling_settings
from outofsight.errors import InputError
from outofsight.model_folders import BUNDLED, find_model, read_use

if TYPE_CHECKING:
    from outofsight.evaluation.clips import EvalClip
    from outofsight.evaluation.methods import Method, ModelSource

EXPORT = "export"
"""The folder of a training run that holds the model: such a model is called by the run's name."""


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """The models given as [NAME=]MODEL, and how they are run. No ``steps``, no ``strategies``, ``guidance`` ``None``:
    the model's own.

    ``others``: sampling settings that have no option of their own. ``roll``: latent frames a step of a rollout;
    ``None``: the whole target at once.
    """

    given: tuple[str, ...]
    steps: tuple[int, ...]
    strategies: tuple[str, ...]
    guidance: float | None
    seed: int
    others: dict[str, Any]
    source: "ModelSource"
    record_retrieval: bool = True
    roll: int | None = None


@dataclass(frozen=True, kw_only=True)
class VideoChoice:
    """Folders of videos given as NAME=FOLDER. ``with_context``: the videos begin with the context."""

    given: tuple[str, ...]
    with_context: bool


def choose_methods(
    clips: "tuple[EvalClip, ...]", models: ModelChoice, videos: VideoChoice, *, baselines: bool
) -> "tuple[Method, ...]":
    """Gather the rows: models, others' videos, and the baselines and upper bounds that these clips allow.

    Raises:
        InputError: nothing to evaluate, a name twice, a folder that is not there, a setting that is impossible.
        CheckpointError: a model that is not there, or is none.
    """
    from outofsight.data.dataset import may_be_skipped
    from outofsight.evaluation.methods import BaselineMethod, TruthMethod, check_names, usable_baselines

    chosen: list[Method] = [*_models(models), *_videos(videos)]
    if baselines:
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


def _models(choice: ModelChoice) -> "list[Method]":
    """Make a row for each model, strategy and number of steps."""
    from outofsight.evaluation.methods import ModelMethod, files_digest
    from outofsight.world_model import check_folder

    rows: list[Method] = []
    for given in choice.given:
        name, model = named(given, "--model")
        name = name or _name_of(model)
        use, folder = read_use(model), Path(find_model(model))
        if folder.exists():
            check_folder(folder)
        digest = files_digest(folder) if folder.is_dir() else "hub"
        for strategy, steps in product(
            choice.strategies or (None,), choice.steps or (use.num_inference_steps,)
        ):
            asked = {"num_inference_steps": steps, "guidance_scale": choice.guidance, "seed": choice.seed}
            sampling = sampling_settings(use, asked, choice.others)
            own = strategy.rpartition(":")[2] if strategy and len(choice.strategies) > 1 else None
            parts = [name, *([own] if own else [])]
            parts += [f"{steps}steps"] if len(choice.steps) > 1 else []
            rows.append(
                ModelMethod(
                    name="-".join(parts),
                    source=replace(choice.source, path=model, strategy=strategy),
                    sampling=sampling,
                    digest=digest,
                    record_retrieval=choice.record_retrieval,
                    roll=choice.roll,
                )
            )
    return rows


def _name_of(model: str) -> str:
    if model in BUNDLED:
        return model
    path = Path(os.path.abspath(model))
    return path.parent.name if path.name == EXPORT else path.name


def _videos(choice: VideoChoice) -> "list[Method]":
    from outofsight.evaluation.clips import videos_of
    from outofsight.evaluation.methods import VideosMethod

    rows: list[Method] = []
    for given in choice.given:
        name, folder = named(given, "--videos")
        path = Path(folder)
        if not path.is_dir():
            raise InputError(f"--videos: expected NAME=FOLDER with a folder of videos, found none at {path}")
        videos_of(path)
        rows.append(
            VideosMethod(name=name or path.resolve().name, folder=path, with_context=choice.with_context)
        )
    return rows


def _rendered(rows: "list[Method]") -> "list[Method]":
    """Make a baseline for each row of a model that is shown rendered memory: what its banks render by themselves."""
    from outofsight.evaluation.methods import ModelMethod, RenderedMethod

    baselines: list[Method] = []
    for row in rows:
        if (
            isinstance(row, ModelMethod)
            and row.roll is None
            and _renders(row.source.path, row.source.strategy)
        ):
            baselines.append(
                RenderedMethod(
                    name=f"{row.name}-rendered", source=row.source, digest=row.digest, seed=row.sampling.seed
                )
            )
    return baselines


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
