"""A small clip made by hand, for tests of files: no renderer needed."""

import time
from dataclasses import dataclass

import numpy as np

from outofsight.data.dataset import ClipJob
from outofsight.errors import WorldError
from outofsight.types import CameraPath, Clip, Intrinsics, SubjectTrack, Visibility

NUM_CONTEXT, NUM_TARGET, HEIGHT, WIDTH = 6, 5, 32, 48


def hand_made_clip(name="clip_000000", seed=0, depth=False) -> Clip:
    """A square that slides to the right over a grey gradient, leaves, and comes back."""
    num_frames = NUM_CONTEXT + NUM_TARGET
    generator = np.random.default_rng(seed)
    ids = np.zeros((num_frames, HEIGHT, WIDTH), dtype=np.uint8)
    boxes = np.full((num_frames, 4), np.nan, dtype=np.float32)
    visibility = np.full(num_frames, Visibility.OUT_OF_VIEW, dtype=np.int8)
    for frame in (0, 1, 2, 3, 8, 9, 10):
        x = 4 + 3 * frame
        ids[frame, 8:20, x : x + 10] = 1
        boxes[frame] = (x, 8, x + 10, 20)
        visibility[frame] = Visibility.VISIBLE
    grey = np.linspace(40, 200, WIDTH).astype(np.uint8)[None, None, :, None]
    video = np.where(ids[..., None] > 0, np.uint8(250), np.broadcast_to(grey, (num_frames, HEIGHT, WIDTH, 3)))
    cameras = np.tile(np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.6]]), (num_frames, 1, 1))
    cameras[:, 0, 3] = generator.uniform(-1, 1, num_frames)
    poses = np.tile(np.eye(4)[:3], (num_frames, 1, 1))
    poses[:, :, 3] = generator.uniform(-3, 3, (num_frames, 3))
    subject = SubjectTrack(
        subject_id=1, name="white square", category="robot", visibility=visibility, world_from_subject=poses,
        velocity_m_s=generator.normal(size=(num_frames, 3)), box_px=boxes,
    )  # fmt: skip
    return Clip(
        name=name, video=video, num_context_frames=NUM_CONTEXT, fps=15.0,
        cameras=CameraPath(
            world_from_camera=cameras, intrinsics=Intrinsics.from_fov(width_px=WIDTH, height_px=HEIGHT, fov_x_rad=1.2)
        ),
        caption="A white square slides by: it leaves, and returns.", masks=ids, masks_are_instances=True,
        depth_m=np.where(ids > 0, 2.0, np.inf).astype(np.float32) if depth else None, subjects=(subject,),
        extra={
            "scene": {"name": "void"}, "spec": {"camera": {"trajectory": "still"}},
            "held_out": {"scene": False, "subjects": []}, "acceptance": {"num_drawn": 4, "num_rendered": 1},
        },
    )  # fmt: skip


@dataclass(frozen=True)
class HandMaker:
    """A maker of hand-made clips: slow if asked, failing at one index if asked."""

    delay_s: float = 0.0
    fails_at: int | None = None

    def __call__(self, job: ClipJob) -> Clip:
        time.sleep(self.delay_s)
        if job.index == self.fails_at:
            raise WorldError(f"{job.name} cannot be made")
        return hand_made_clip(job.name, seed=job.seed)
