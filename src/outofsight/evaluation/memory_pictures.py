"""What memory did in a rollout, drawn: a map for each moment, and which slots each step retrieved.

``memory_pictures`` writes ``birdseye.png`` and ``birdseye.mp4`` (see ``birdseye_picture``), and ``retrieved.svg``::

    subject 1   ░░ ▓▓ ▓▓ | ▓▓ ▓▓ ▓▓ | ...     a column: a coming latent frame; lines part the steps
    subject 0   ▓▓ ▓▓ ▓▓ | ░░          ...    shade: the slot's score (softmax over both banks)
    view 1         ░░    |             ...    outlined: among the slots that the step retrieved
    view 0      ▓▓       |             ...
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from outofsight.data.video import write_video
from outofsight.errors import InputError
from outofsight.evaluation.birdseye import (
    BirdsEye,
    Floats,
    MemoryStep,
    TrueSubjects,
    as_array,
    filed_views,
    joined_subjects,
    tracked_subjects,
)
from outofsight.evaluation.birdseye_picture import birdseye_sheet, birdseye_video
from outofsight.evaluation.case import Video
from outofsight.evaluation.drawing import FAINT, INK, save_png, svg
from outofsight.files import explained, write_text

MOST_SHEET_MOMENTS = 60
"""A sheet of more moments than this shows so many of them, evenly spread; the video shows all."""

CELL_PX, WIDEST_PX = 20, 1600
LABELLED_STEPS = 5  # one step of so many has its number


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
    num_shown = min(scene.num_moments, MOST_SHEET_MOMENTS)
    kept = np.unique(np.linspace(0, scene.num_moments - 1, num_shown).round()).astype(int)
    paths = [out / "birdseye.png", out / "birdseye.mp4"]
    save_png(birdseye_sheet(scene[kept], None if pictures is None else pictures[kept]), paths[0])
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
    times, held, filed = [as_array(step.times) for step in steps], [], []
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
        cameras=np.concatenate([as_array(step.cameras).reshape(-1, 3, 4) for step in steps]),
        fov_x_rad=fov_x_rad, held=joined_subjects(held) if held else None, truth=truth, filed=tuple(filed),
    )  # fmt: skip
    videos = [step.pictures for step in steps if step.pictures is not None]
    return scene, np.concatenate(videos) if len(videos) == len(steps) else None


def retrieval_timeline(steps: Sequence[MemoryStep]) -> str:
    """Draw which slots were retrieved by which coming frames of which step. Gives SVG.
    Raises ``InputError`` if a step has no scores, or another number of slots than the first."""
    scores = [_scores(step, index) for index, step in enumerate(steps)]
    if not scores or len({rows.shape[1] for rows in scores}) != 1:
        raise InputError(
            f"expected scores over the same slots in every step, got {[s.shape[1:] for s in scores]}"
        )
    num_frames, num_slots = sum(map(len, scores)), scores[0].shape[1]
    width_px = 90 + min(max(CELL_PX * num_frames, 370), WIDEST_PX)
    return svg(partial(draw_retrieved, steps=steps, scores=scores), width_px, 80 + CELL_PX * num_slots)


def draw_retrieved(figure: Figure, steps: Sequence[MemoryStep], scores: Sequence[Floats]) -> None:
    axes = figure.subplots()
    num_slots = scores[0].shape[1]
    num_views = num_slots if steps[0].tracks is None else num_slots - steps[0].tracks.filled.shape[1]
    axes.imshow(np.concatenate(scores).T, cmap="Blues", vmin=0, vmax=1, aspect="auto", origin="lower")
    starts = np.cumsum([0, *(len(rows) for rows in scores[:-1])]) - 0.5
    for start, rows, step in zip(starts, scores, steps, strict=True):
        axes.axvline(start, color=FAINT, linewidth=0.8)
        for slot in step.slots:
            axes.add_patch(Rectangle((start, slot - 0.5), len(rows), 1, fill=False, edgecolor=INK))
    axes.axhline(num_views - 0.5, color=INK, linewidth=1.5)
    axes.set_title("slots that each coming latent frame retrieved, step by step")
    views, subjects = range(num_views), range(num_slots - num_views)
    axes.set_yticks(range(num_slots), [f"view {n}" for n in views] + [f"subject {n}" for n in subjects])
    axes.set_xticks(
        starts[::LABELLED_STEPS], [str(number) for number in range(0, len(steps), LABELLED_STEPS)]
    )
    axes.set_xlabel("step; shade: score; outlined: among the slots retrieved")


def _scores(step: MemoryStep, index: int) -> Floats:
    rows = None if step.scores is None else as_array(step.scores)
    if rows is None or rows.ndim != 2 or len(rows) != len(as_array(step.times)):
        got = "none" if rows is None else str(rows.shape)
        raise InputError(f"step {index}: expected scores [its frames, slots], got {got}")
    return rows
