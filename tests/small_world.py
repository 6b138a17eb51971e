"""A tiny data set with a moving square for a subject, written to disk, for tests of evaluation."""

from pathlib import Path

import numpy as np

from outofsight.data.sample import write_sample
from outofsight.types import CameraPath, Clip, Intrinsics, SubjectTrack, Visibility

NUM_CONTEXT, NUM_TARGET, HEIGHT, WIDTH, FPS = 9, 9, 32, 48, 8.0
COLOURS = {"red cube": (220, 40, 40), "blue cube": (40, 60, 220)}


def square_clip(
    name: str, kind: str = "red cube", *, held_scene: bool = False, held_subject: bool = False
) -> Clip:
    """A square slides over a coloured ground, is hidden from frame 5 to frame 12, and is back at frame 13."""
    num_frames = NUM_CONTEXT + NUM_TARGET
    ids = np.zeros((num_frames, HEIGHT, WIDTH), dtype=np.uint8)
    boxes = np.full((num_frames, 4), np.nan, dtype=np.float32)
    visibility = np.full(num_frames, Visibility.OUT_OF_VIEW, dtype=np.int8)
    for frame in (*range(5), *range(13, num_frames)):
        x = 2 + 2 * frame
        ids[frame, 10:22, x : x + 10] = 1
        boxes[frame] = (x, 10, x + 10, 22)
        visibility[frame] = Visibility.VISIBLE
    ramp = np.linspace(60, 190, WIDTH).astype(np.uint8)[None, None, :, None] // np.array(
        [1, 2, 1], dtype=np.uint8
    )
    video = np.where(ids[..., None] > 0, np.array(COLOURS[kind], np.uint8), ramp.astype(np.uint8))
    poses = np.tile(np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.6]]), (num_frames, 1, 1))
    subject = SubjectTrack(
        subject_id=1, name=kind, category="robot", visibility=visibility,
        world_from_subject=np.tile(np.eye(4)[:3], (num_frames, 1, 1)), velocity_m_s=np.zeros((num_frames, 3)),
        box_px=boxes,
    )  # fmt: skip
    lens = Intrinsics.from_fov(width_px=WIDTH, height_px=HEIGHT, fov_x_rad=1.2)
    return Clip(
        name=name, video=video, num_context_frames=NUM_CONTEXT, fps=FPS,
        cameras=CameraPath(world_from_camera=poses, intrinsics=lens), caption=f"A {kind} slides by.", masks=ids,
        masks_are_instances=True, subjects=(subject,),
        extra={
            "scene": {"name": "void"}, "spec": {"camera": {"trajectory": "still"}},
            "held_out": {"scene": held_scene, "subjects": [kind] if held_subject else []},
        },
    )  # fmt: skip


def write_small_dataset(folder: Path) -> Path:
    """Write three test clips, one of each reason why it is one."""
    write_sample(folder / "test" / "clip_000000", square_clip("clip_000000", held_scene=True))
    write_sample(folder / "test" / "clip_000001", square_clip("clip_000001", "blue cube", held_subject=True))
    write_sample(folder / "test" / "clip_000002", square_clip("clip_000002"))
    return folder
