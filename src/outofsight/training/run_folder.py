"""A run's folder: what was asked for, what happened, what is kept.

::

    config.json    configuration, data folder, versions and commit, and the changes made when the run went on
    log.jsonl      one line for each report: losses, validation
    states/        complete states, to go on from (``state``)
    videos/        sample videos
    export/        the model folder
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

from outofsight.errors import CheckpointError, InputError
from outofsight.files import read_json, write_json, write_text
from outofsight.training.config import TrainConfig, changed, differences, from_dict, to_dict

CONFIG, LOG, STATES, VIDEOS, EXPORT = "config.json", "log.jsonl", "states", "videos", "export"
WRITTEN = (CONFIG, LOG, STATES, VIDEOS, EXPORT)
FIXED = ("recipe", "seed", "task.")
"""What a run keeps for life; another value would be another run."""


def read_run(out: Path) -> tuple[TrainConfig, dict[str, Any]]:
    """Read a run's configuration, and all of its config.json. Raises ``CheckpointError`` if there is no run."""
    if not (out / CONFIG).is_file():
        raise CheckpointError(f"{out}: holds no run (config.json); to begin one, train without --resume")
    content = read_json(out / CONFIG)
    return from_dict(content.get("config", {}), str(out / CONFIG)), content


def holds_run(out: Path) -> bool:
    """Tell whether a run of ours lies in a folder."""
    try:
        return "config" in json.loads((out / CONFIG).read_bytes())
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def is_same_run(out: Path, config: TrainConfig, data: Path | None) -> bool:
    """Tell whether the run of a folder was begun with these settings and data, so that it may go on by itself."""
    if not holds_run(out):
        return False
    stored, content = read_run(out)
    if config.batch.precision == "auto":  # settled when the run was begun, and kept
        config = changed(config, {"batch.precision": stored.batch.precision})
    return data is not None and content["data"] == str(data) and to_dict(stored) == to_dict(config)


def forget_run(out: Path) -> None:
    """Take back the beginning of a run that came to nothing: no state of it was saved."""
    if not any((out / STATES).glob("state-*")):
        for name in (CONFIG, LOG):
            (out / name).unlink(missing_ok=True)


def begin_run(out: Path, config: TrainConfig, data: Path, provenance: Mapping[str, Any]) -> None:
    """Write config.json. Raises ``InputError`` if the folder holds a run."""
    if (out / CONFIG).exists():
        raise InputError(
            f"{out}: holds a run with other settings; go on with it by --resume, or choose another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    content = {"config": to_dict(config), "data": str(data), "provenance": dict(provenance), "changes": []}
    write_json(out / CONFIG, content, indent=1)


def go_on_run(out: Path, config: TrainConfig, data: Path, provenance: Mapping[str, Any], step: int) -> None:
    """Record what is changed as a run goes on. Raises ``InputError`` for what a run keeps for life."""
    stored, content = read_run(out)  # settings that are younger than the run stand at their defaults
    new = differences(to_dict(stored), to_dict(config))
    refused = [key for key in new if any(key == fixed or key.startswith(fixed) for fixed in FIXED)]
    if refused:
        raise InputError(
            f"{out}: a run keeps its {', '.join(refused)}; begin another run, from this one's export if you like "
            "(task.initial)"
        )
    if new or content["data"] != str(data):
        change = {"step": step, "changed": new, "data": str(data), "provenance": dict(provenance)}
        content["changes"].append(change)
        write_json(out / CONFIG, content | {"config": to_dict(config), "data": str(data)}, indent=1)


def append_log(out: Path, line: Mapping[str, Any]) -> None:
    """Add one line. Numbers that are not finite are written as ``null``."""
    clean = {
        key: None if isinstance(value, float) and not isfinite(value) else value
        for key, value in line.items()
    }
    with (out / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(clean) + "\n")


def read_log(out: Path) -> list[dict[str, Any]]:
    """Read the log; a last line that a killed run left half-written is left out."""
    if not (out / LOG).exists():
        return []
    lines = []
    with suppress(ValueError):
        for text in (out / LOG).read_bytes().splitlines():
            lines.append(json.loads(text))
    return lines


def cut_log(out: Path, step: int) -> None:
    """Drop what was logged after a step, as the run goes on from there."""
    kept = [line for line in read_log(out) if line["step"] <= step]
    if (out / LOG).exists():
        write_text(out / LOG, "".join(json.dumps(line) + "\n" for line in kept))
