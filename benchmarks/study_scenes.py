"""Scenes for the studies of the two-bank memory: planned walks under planned cameras, read without error or with some.

Nothing is rendered here: cameras, walks and bodies come from the engine's plans, and the reading that the tracker gets
is made of them (``memory.banks.scene_reader``). Several subjects in one view are walks of several plans laid together
about one stage; they may pass through each other, which is harder than life.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from outofsight.evaluation.birdseye import TrackedSubjects, TrueSubjects, tracked_subjects
from outofsight.evaluation.tracked_positions import SEEN, TrackedPositions
from outofsight.geometry.poses import relative_poses
from outofsight.memory.banks.scene_reader import reading_from_truth, shares_of_boxes
from outofsight.memory.banks.state import Banks, SceneReading, Tracks
from outofsight.memory.banks.two_banks import Observed, TwoBankMemory
from outofsight.types import WAN_CLOCK, LatentGrid
from outofsight.worlds.motion import ground_poses, ground_velocities, move_world
from outofsight.worlds.paths import trace_path
from outofsight.worlds.plan import Plan, plan_world
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.subjects import subject_catalogue

SEEN_SHARE = 0.3
"""A subject is truly seen in a latent frame that it covers so much of one token in."""


FIRST_SEED = 700_000
"""Seeds of the studies' worlds: no data set uses them."""


class Walk(NamedTuple):
    """One scene at f latent frames, a batch of one, in the anchor frame (the camera of the first target frame).

    ``poses`` [1, f, 12]; ``times`` [1, f] video frames; ``position``, ``velocity`` [1, s, f, 3], metres and metres a
    video frame; ``box`` [1, s, 4] as in ``Tracks``; ``intrinsics`` [1, 4] normalised; ``fps``.
    """

    poses: Tensor
    times: Tensor
    position: Tensor
    velocity: Tensor
    box: Tensor
    intrinsics: Tensor
    fps: float

    @property
    def num_subjects(self) -> int:
        return self.position.shape[1]


def planned(config: PlanConfig, number: int) -> list[Plan]:
    """Draw so many worlds."""
    return [plan_world(FIRST_SEED + index, config) for index in range(number)]


def walk_of(plan: Plan, others: tuple[Plan, ...] = (), seed: int = 0) -> Walk:
    """Take a plan's camera and subjects, and lay the first subjects of other plans about the same stage."""
    spec, motion, scale = plan.spec, move_world(plan.spec), plan.layout.subject_scale
    frames = WAN_CLOCK.frames(WAN_CLOCK.whole(spec.num_frames))
    generator = np.random.default_rng([seed, spec.seed])
    walks = [
        (path, subject.kind, np.zeros(2)) for path, subject in zip(motion.paths, spec.subjects, strict=True)
    ]
    middle = motion.paths[0].position_m.mean(axis=0)
    camera_m = motion.world_from_camera[0, :2, 3]
    reach = float(np.linalg.norm(middle - camera_m))
    for other in others:
        path = trace_path(other.spec.subjects[0].path, motion.time_s)
        place = middle + reach * generator.uniform(-0.5, 0.5, size=2)
        walks.append((path, other.spec.subjects[0].kind, place - path.position_m.mean(axis=0)))
    anchor = motion.world_from_camera[spec.num_context_frames]
    positions, velocities, boxes = [], [], []
    for path, name, shift in walks:
        kind = subject_catalogue()[name]
        origin = ground_poses(path)[frames, :, 3] + np.array([*shift, 0.0])
        positions.append((origin - anchor[:, 3]) @ anchor[:, :3])
        velocities.append(ground_velocities(path)[frames] @ anchor[:, :3] / spec.fps)
        wide, high = (kind.length_m + kind.width_m) / 4 * scale, kind.height_m / 2 * scale
        boxes.append((0.0, -high, wide, high))
    poses = relative_poses(motion.world_from_camera[frames], anchor).reshape(1, -1, 12)
    return Walk(
        poses=torch.from_numpy(poses).float(), times=torch.from_numpy(frames)[None].float(),
        position=torch.from_numpy(np.stack(positions))[None].float(),
        velocity=torch.from_numpy(np.stack(velocities))[None].float(), box=torch.tensor(boxes)[None],
        intrinsics=torch.from_numpy(spec.intrinsics.normalized)[None], fps=spec.fps,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How well scenes are read. ``size``: rows and columns of tokens. ``noise``: error of a told place in one frame,
    all directions alike, as a share of the distance; the reading says so of itself. ``identity_noise``: length of
    what is added to a subject's identity in one frame (its own has length 1)."""

    size: tuple[int, int] = (12, 20)
    noise: float = 0.05
    identity_noise: float = 0.3
    seed: int = 0


def shares_of(walk: Walk, size: tuple[int, int]) -> Tensor:
    """Give the share of each token that each subject covers: [1, s, f, h, w]."""
    return shares_of_boxes(walk.position, walk.box, walk.poses, size, walk.intrinsics)


def random_identities(walk: Walk, width: int, seed: int = 0) -> Tensor:
    """Draw a unit vector for each subject, the same in all frames: [1, s, f, e]."""
    drawn = torch.randn(1, walk.num_subjects, 1, width, generator=torch.Generator().manual_seed(seed))
    return normalize(drawn, dim=-1).expand(-1, -1, walk.position.shape[2], -1)


class Prepared(NamedTuple):
    """What banks are shown of a batch of scenes: video tokens [b, f, h·w, d], what is read of them, cameras."""

    tokens: Tensor
    reading: SceneReading
    poses: Tensor
    times: Tensor
    intrinsics: Tensor
    grid: LatentGrid


def prepared(
    memory: TwoBankMemory, walks: Sequence[Walk], readers: Sequence[Reader], identities: Sequence[Tensor]
) -> Prepared:
    """Read scenes of equally many frames and subjects, all before the same camera, side by side in a batch.

    ``identities``: [1, s, f, e] of each scene.
    """
    reported = [_told(*scene) for scene in zip(walks, readers, identities, strict=True)]
    tokens = [
        tokens_of(shares, memory.dim, reader.seed)
        for (_, shares), reader in zip(reported, readers, strict=True)
    ]
    size = readers[0].size
    return Prepared(
        tokens=torch.cat(tokens),
        reading=SceneReading(
            *(torch.cat(parts) for parts in zip(*(one for one, _ in reported), strict=True))
        ),
        poses=torch.cat([walk.poses for walk in walks]),
        times=torch.cat([walk.times for walk in walks]),
        intrinsics=torch.cat([walk.intrinsics for walk in walks]),
        grid=LatentGrid(frames=1, height=size[0], width=size[1]),
    )


def observe(memory: TwoBankMemory, scenes: Prepared) -> tuple[Banks, Observed]:
    """Let empty banks see scenes. What they hold of one does not depend on the others of the batch."""
    with torch.no_grad():
        empty = memory.empty(len(scenes.tokens), scenes.grid)
        unread = torch.empty(0)  # latents, which the reading stands for
        return memory.observe(
            empty,
            scenes.tokens,
            unread,
            scenes.poses,
            scenes.times,
            scenes.intrinsics,
            reading=scenes.reading,
        )


def _told(walk: Walk, reader: Reader, identity: Tensor) -> tuple[SceneReading, Tensor]:
    """Make a reading with the reader's errors; also gives the shares [1, s, f, h, w] that are truly covered."""
    generator = torch.Generator().manual_seed(reader.seed)
    camera = walk.poses.unflatten(-1, (3, 4))[:, None, :, :, 3]
    distance = (walk.position - camera).norm(dim=-1, keepdim=True)
    wrong = walk.position + reader.noise * distance * torch.randn(walk.position.shape, generator=generator)
    blurred = torch.randn(identity.shape, generator=generator) / identity.shape[-1] ** 0.5
    reported = normalize(identity + reader.identity_noise * blurred, dim=-1)
    shares = shares_of(walk, reader.size)
    noise = max(reader.noise, 0.005)
    return reading_from_truth(wrong, reported, shares, walk.poses, walk.intrinsics, noise=noise), shares


def tokens_of(shares: Tensor, width: int, seed: int = 0) -> Tensor:
    """Make up video tokens [1, f, h·w, d]: a subject's own vector in proportion to its share, else the background's."""
    generator = torch.Generator().manual_seed(seed + 1)
    looks = torch.randn(shares.shape[1], width, generator=generator)
    ground = torch.randn(*shares.shape[-2:], width, generator=generator)
    free = (1 - shares.sum(dim=1)).clamp(min=0)
    tokens = torch.einsum("bsfhw,sd->bfhwd", shares, looks) + free[..., None] * ground
    return tokens.flatten(2, 3)


def held_of(observed: Observed, times: Tensor, scene: int = 0) -> TrackedSubjects:
    """Read what the tracker held after each frame of one scene of a batch."""
    return tracked_subjects(Tracks(*(part[scene] for part in observed.tracks)), times[0].double().numpy())


def truth_of(walk: Walk, size: tuple[int, int]) -> TrueSubjects:
    """Say where subjects truly are at each latent frame, and who is seen."""
    seen = shares_of(walk, size)[0].amax(dim=(-2, -1)) >= SEEN_SHARE  # [s, f]
    return TrueSubjects(
        position_m=walk.position[0].transpose(0, 1).double().numpy(), seen=seen.T.numpy(),
        velocity_m=walk.velocity[0].transpose(0, 1).double().numpy(),
    )  # fmt: skip


def last_seen(places: TrackedPositions, moment: int, subject: int) -> int:
    """Give the last moment before this one at which a subject was truly seen."""
    return int(np.flatnonzero(places.phases[:moment, subject] == SEEN)[-1])
