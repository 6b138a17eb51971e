"""Baselines made by the engine from a clip's own world: exact, shadows included. Needs the ``worlds`` extra."""

from dataclasses import replace

import numpy as np

from outofsight.errors import InputError
from outofsight.evaluation.case import Video
from outofsight.types import Clip
from outofsight.worlds.model import ABSENT_M, build_world, instance_table, pose_world
from outofsight.worlds.render import RenderSettings, render_world
from outofsight.worlds.spec import WorldSpec, spec_from_dict


def engine_vanished(clip: Clip, settings: RenderSettings | None = None) -> Video:
    """Render the target frames of a clip's world once more, with nobody in it.

    ``settings``: those that the clip was rendered with, or the background differs too.

    Raises ``InputError`` if the clip carries no spec of its world.
    """
    world = build_world(_spec_of(clip))
    poses = pose_world(world)
    of_subjects = np.flatnonzero(instance_table(world)[:-1])
    poses.geom_position_m[:, of_subjects, 2] = ABSENT_M
    return render_world(world, poses, settings).rgb[clip.num_context_frames :]


def engine_swapped(clip: Clip, kinds: tuple[str, ...], settings: RenderSettings | None = None) -> Video:
    """Render the target frames of a clip's world once more, with other kinds of subject on the same paths.

    ``kinds``: one for each subject, in order.

    Raises:
        InputError: the clip carries no spec of its world, or the number of kinds is not that of its subjects.
        WorldError: a kind is unknown.
    """
    spec = _spec_of(clip)
    if len(kinds) != len(spec.subjects):
        raise InputError(
            f"clip {clip.name!r} has {len(spec.subjects)} subjects, got {len(kinds)} kinds for them"
        )
    others = tuple(
        replace(subject, kind=kind, sheds=None, sheds_at_frame=None)
        for subject, kind in zip(spec.subjects, kinds, strict=True)
    )
    rendered = render_world(build_world(replace(spec, subjects=others)), settings=settings)
    return rendered.rgb[clip.num_context_frames :]


def _spec_of(clip: Clip) -> WorldSpec:
    if "spec" not in clip.extra:
        raise InputError(
            f"clip {clip.name!r}: carries no spec of its world, so the engine cannot render it again"
        )
    return spec_from_dict(clip.extra["spec"])
