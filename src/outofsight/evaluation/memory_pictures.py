"""What memory did in a rollout, drawn: a map for each moment, and which slots each step retrieved.

``memory_pictures`` writes ``birdseye.png`` and ``birdseye.mp4`` (see ``birdseye_picture``), and ``retrieved.svg``::

    subject 1   ░░ ▓▓ ▓▓ | ▓▓ ▓▓ ▓▓ | ...     a column: a coming latent frame; lines part the steps
    subject 0   ▓▓ ▓▓ ▓▓ | ░░          ...    shade: the slot's score (softmax over both banks)
    view 1         ░░    |             ...    outlined: among the slots that the step retrieved
    view 0      ▓▓       |             ...
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from outofsight.data.files import explained, write_text
from outofsight.data.video import write_video
from outofsight.errors import InputError
from outofsight.evaluation.birdseye import (
    BirdsEye,
    FiledViews,
    Floats,
    TrackedSubjects,
    TrueSubjects,
    filed_views,
    joined_subjects,
    tracked_subjects,
)
from outofsight.evaluation.birdseye_picture import birdseye_sheet, birdseye_video, save_png
from outofsight.evaluation.case import Video
from outofsight.evaluation.svg import FAINT, INK, Svg
from outofsight.memory.banks.state import Archive, Tracks

MOST_SHEET_MOMENTS = 60
"""A sheet of more moments than this shows so many of them, evenly spread; the video shows all."""

CELL_PX, LEAST_CELL_PX, WIDEST_PX, NAME_PX = 20, 3, 1600, 84


@dataclass(frozen=True, kw_only=True, eq=False)
class MemoryStep:
    """What memory held and gave in one step of a rollout, for its t latent frames.

    ``cameras`` [t, 12] or [t, 3, 4]: ``anchor_from_camera``; ``times`` [t] in video frames. ``tracks``: the tracker's
    slots after each frame, frames in place of a batch. ``archive``: what was recalled from, a batch of one.
    ``scores`` [t, n + s]: of n views, then s subjects; ``slots``: the retrieved ones, by the same numbers.
    ``pictures`` uint8 [t, h, w, 3]: a video frame for each latent frame. ``None``: there is no such thing.
    """

    cameras: Tensor | Floats
    times: Tensor | Floats
    tracks: Tracks | None = None
    archive: Archive | None = None
    scores: Tensor | Floats | None = None
    slots: tuple[int, ...] = ()
    pictures: Video | None = None


def memory_pictures(
    steps: Sequence[MemoryStep],
    out: Path,
    fov_x_rad: float,
    truth: TrueSubjects | None = None,
    fps: float = 10.0,
) -> list[Path]:
    """Draw a rollout's memory into a folder; gives the files' paths. Retrieval is drawn where there are scores.

    ``truth``: subjects at the same moments, in the steps' anchor frame (``true_subjects``). ``fps``: latent frames a
    second of the moving map.

    Raises:
        InputError: no step, or steps that do not fit together.
        OutputError: the folder cannot be written.
    """
    scene, pictures = map_of_steps(steps, fov_x_rad, truth)
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    shown = np.unique(
        np.linspace(0, scene.num_moments - 1, min(scene.num_moments, MOST_SHEET_MOMENTS)).round()
    )
    kept = shown.astype(int)
    paths = [out / "birdseye.png", out / "birdseye.mp4"]
    save_png(birdseye_sheet(_moments(scene, kept), None if pictures is None else pictures[kept]), paths[0])
    write_video(paths[1], birdseye_video(scene, pictures), fps)
    if steps[0].scores is not None:
        paths.append(out / "retrieved.svg")
        write_text(paths[-1], retrieval_timeline(steps))
    return paths


def map_of_steps(
    steps: Sequence[MemoryStep], fov_x_rad: float, truth: TrueSubjects | None = None
) -> tuple[BirdsEye, Video | None]:
    """Join a rollout's steps into one map, and their pictures where every step has them."""
    if not steps:
        raise InputError("a rollout's memory is drawn from its steps, and there are none yet")
    times = [_array(step.times) for step in steps]
    held: list[TrackedSubjects] = []
    filed: list[FiledViews] = []
    for step, own in zip(steps, times, strict=True):
        if step.tracks is not None:
            held.append(tracked_subjects(step.tracks, own))
        if step.archive is not None:
            num_views = step.archive.filled.shape[1]
            filed += [filed_views(step.archive, [s for s in step.slots if s < num_views])] * len(own)
    for what, number in (("tracks", len(held)), ("archive", sum(step.archive is not None for step in steps))):
        if number not in (0, len(steps)):
            raise InputError(f"{number} of {len(steps)} steps have {what}; expected all or none")
    scene = BirdsEye(
        times=np.concatenate(times),
        cameras=np.concatenate([_array(step.cameras).reshape(-1, 3, 4) for step in steps]),
        fov_x_rad=fov_x_rad, held=joined_subjects(held) if held else None, truth=truth, filed=tuple(filed),
    )  # fmt: skip
    videos = [step.pictures for step in steps if step.pictures is not None]
    return scene, np.concatenate(videos) if len(videos) == len(steps) else None


def retrieval_timeline(steps: Sequence[MemoryStep]) -> str:
    """Draw which slots were retrieved by which coming frames of which step. Gives SVG.

    Raises:
        InputError: a step has no scores, or another number of slots than the first.
    """
    scores = [_scores(step, index) for index, step in enumerate(steps)]
    if not scores or len({rows.shape[1] for rows in scores}) != 1:
        raise InputError(
            f"expected scores over the same slots in every step, got {[s.shape[1:] for s in scores]}"
        )
    num_frames, num_slots = sum(map(len, scores)), scores[0].shape[1]
    num_views = num_slots if steps[0].tracks is None else num_slots - steps[0].tracks.filled.shape[1]
    cell = max(LEAST_CELL_PX, min(CELL_PX, WIDEST_PX // num_frames))
    svg = Svg(max(NAME_PX + cell * num_frames + 12, 460), 34 + CELL_PX * num_slots + 44)
    svg.text(8, 18, "slots that each coming latent frame retrieved, step by step", size=13)
    for slot in range(num_slots):
        name = f"view {slot}" if slot < num_views else f"subject {slot - num_views}"
        svg.text(NAME_PX - 6, _row_y(slot, num_slots) + 14, name, size=10, anchor="end")
    column = 0
    for step_index, (step, rows) in enumerate(zip(steps, scores, strict=True)):
        _put_step(svg, rows, step.slots, (NAME_PX + cell * column, cell), step_index)
        column += len(rows)
    border = _row_y(num_views - 1, num_slots)
    svg.line(NAME_PX, border - 0.5, NAME_PX + cell * num_frames, border - 0.5, INK, 1.5)
    svg.text(8, 34 + CELL_PX * num_slots + 34, "shade: score; outlined: among the slots retrieved", size=10)
    return svg.to_text()


def _put_step(
    svg: Svg, rows: Floats, chosen: Sequence[int], place: tuple[float, int], step_index: int
) -> None:
    """Draw one step's cells, its retrieved rows outlined, and its number below every fifth."""
    left, cell = place
    num_slots = rows.shape[1]
    for frame, slot in np.argwhere(rows > 0).tolist():
        words = f"step {step_index}, frame {frame}: {rows[frame, slot]:.0%}"
        svg.rect(left + cell * frame, _row_y(slot, num_slots) + 1, cell, CELL_PX - 2,
                 _shade(float(rows[frame, slot])), words)  # fmt: skip
    right = left + cell * len(rows)
    for slot in chosen:
        y = _row_y(slot, num_slots)
        for edge in (y + 1, y + CELL_PX - 1):
            svg.line(left, edge, right, edge, INK)
    bottom = 34 + CELL_PX * num_slots
    svg.line(left, 34, left, bottom, FAINT)
    if step_index % 5 == 0:
        svg.text(left, bottom + 12, str(step_index), size=10)


def _row_y(slot: int, num_slots: int) -> float:
    return 34.0 + CELL_PX * (num_slots - 1 - slot)


def _shade(share: float) -> str:
    white, full = (238, 241, 246), (31, 84, 153)
    red, green, blue = (round(w + (f - w) * min(share, 1.0)) for w, f in zip(white, full, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _scores(step: MemoryStep, index: int) -> Floats:
    rows = None if step.scores is None else _array(step.scores)
    if rows is None or rows.ndim != 2 or len(rows) != len(_array(step.times)):
        got = "none" if rows is None else str(rows.shape)
        raise InputError(f"step {index}: expected scores [its frames, slots], got {got}")
    return rows


def _moments(scene: BirdsEye, kept: NDArray[np.int_]) -> BirdsEye:
    """Take some moments out of a map."""

    def taken(part: Any) -> Any:
        values = {
            name: value[kept] if isinstance(value, np.ndarray) else value
            for name, value in vars(part).items()
        }
        return type(part)(**values)

    return BirdsEye(
        times=scene.times[kept], cameras=scene.cameras[kept], fov_x_rad=scene.fov_x_rad,
        held=None if scene.held is None else taken(scene.held),
        truth=None if scene.truth is None else taken(scene.truth),
        filed=tuple(scene.filed[index] for index in kept) if scene.filed else (),
    )  # fmt: skip


def _array(value: Tensor | Floats) -> Floats:
    if isinstance(value, Tensor):
        value = value.detach().double().cpu().numpy()
    return np.asarray(value, dtype=np.float64)
