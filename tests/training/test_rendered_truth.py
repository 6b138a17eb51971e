"""What a clip's context leaves in memory, and the targets rendered from it to learn from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from outofsight.errors import DatasetError
from outofsight.geometry.poses import level_pose
from outofsight.memory.banks.mask_reader import MaskReader
from outofsight.memory.rendering import PlacedSubjects, Rendered
from outofsight.training.rendered_truth import PlaceErrors, clip_memory, context_frames, misplaced
from outofsight.types import CameraPath, Clip, Intrinsics, SubjectTrack, Visibility

HALF, HEIGHT, WIDTH = 9, 32, 64
LENS = Intrinsics(width_px=WIDTH, height_px=HEIGHT, fx_px=40, fy_px=40, cx_px=32, cy_px=16)
TRUE = PlaceErrors(near_m=0, missing_share=0, astray_share=0)
COLUMNS = (4, 44)
"""The left edge of the square in the context, and in the target."""


def standing(columns=COLUMNS) -> Clip:
    """A still camera, 5 m before a square 1.25 m wide (10 pixels) that jumps when the target begins. 8 pixels are a
    metre; the subject's origin is at the square's middle."""
    frames = 2 * HALF
    generator = np.random.default_rng(0)
    ground = np.kron(generator.integers(0, 256, (4, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    ids, places = np.zeros((frames, HEIGHT, WIDTH), np.uint8), np.tile(np.eye(4)[:3], (frames, 1, 1))
    for frame in range(frames):
        left = columns[frame >= HALF]
        ids[frame, 11:21, left : left + 10] = 1
        places[frame, :, 3] = (5, -(left + 5 - 32) / 8, 0)  # world y is to the left
    video = np.where(ids[..., None] > 0, np.uint8(255), ground[None])
    cameras = np.repeat(level_pose([0, 0, 0])[None], frames, axis=0)
    subject = SubjectTrack(
        subject_id=1, name="square", category="robot", visibility=np.full(frames, Visibility.VISIBLE, np.int8),
        world_from_subject=places, velocity_m_s=np.zeros((frames, 3)),
    )  # fmt: skip
    return Clip(
        name="standing", video=video, num_context_frames=HALF, fps=15.0,
        cameras=CameraPath(world_from_camera=cameras, intrinsics=LENS), caption="A square.", masks=ids,
        masks_are_instances=True, subjects=(subject,),
    )  # fmt: skip


def drawn_of(clip: Clip, errors: PlaceErrors) -> Rendered:
    memory = clip_memory(clip)
    return memory.rendered(memory.scenery(), errors, np.random.default_rng(0))


def pictures(rendered) -> np.ndarray:
    return ((rendered.pixels[0] + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def test_memory_renders_the_subject_where_it_truly_is():
    """Nobody ever saw what is behind its old place; all else is as it truly is."""
    clip = standing()
    drawn = drawn_of(clip, TRUE)
    assert drawn.pixels.shape == (1, HALF, 3, HEIGHT, WIDTH)
    never = np.zeros((HEIGHT, WIDTH), bool)
    never[9:23, 2:16] = True  # the old place and its margin
    shown, subject = drawn.coverage[0].numpy() > 0.5, drawn.subject[0].numpy() > 0.5
    assert not shown[:, never].any()
    assert shown[:, ~never].all()
    assert np.array_equal(subject, clip.masks[HALF:] > 0)
    edge = np.zeros((HEIGHT, WIDTH), bool)
    edge[10:22, 43:55] = True
    edge[12:20, 45:53] = False
    apart = np.abs(pictures(drawn).astype(int) - clip.video[HALF:])[:, ~never & ~edge]
    assert apart.max() <= 1


def test_who_was_seen_elsewhere_uncovers_the_ground():
    clip = standing((4, 4))
    ids = clip.masks.copy()
    ids[4:HALF], ids[4:HALF, 11:21, 44:54] = (
        0,
        1,
    )  # in the context's last two latent frames it stands on the right
    ground = standing((44, 4)).video
    video = np.where(
        ids[..., None] > 0, np.uint8(255), np.where(clip.masks[..., None] > 0, ground[:1], clip.video)
    )
    moved = replace(clip, masks=ids, video=video)
    drawn = drawn_of(moved, replace(TRUE, missing_share=1.0))
    assert not drawn.subject.any()
    assert (drawn.coverage > 0.99).all()
    assert np.abs(pictures(drawn)[0, 11:21, 4:14].astype(int) - ground[0, 11:21, 4:14]).max() <= 1


def test_a_mask_that_is_read_counts_near_the_subject_alone():
    class Everywhere(MaskReader):
        def shares(self, evidence):
            return torch.ones_like(evidence[:, 0])

    memory = clip_memory(standing(), Everywhere(4))
    assert (memory.views.static == 0).all()  # it takes everything for a subject
    width = memory.cutouts.box[0, 0, :, 2] * memory.intrinsics[0, 0] * WIDTH / 5
    assert float(width.max()) < 10 / 2 + 9 + 2
    half = MaskReader(4)
    assert clip_memory(standing(), half).views.static.float().mean() > 100


def test_errors_of_places():
    there = PlacedSubjects(torch.zeros(1, 5, 400, 3), torch.zeros(1, 5, 400, 3), torch.ones(1, 5, 400))
    errors = PlaceErrors(near_m=0.2, missing_share=0.2, astray_share=0.1, astray_m=3.0)
    off = misplaced(there, errors, np.random.default_rng(0))
    assert (off.position == off.position[:, :1]).all()  # one error for all times
    assert (off.position[..., 1] == 0).all()  # level
    distance = off.position[0, 0].norm(dim=-1)
    assert float((distance > 1.0).float().mean()) == pytest.approx(0.1, abs=0.05)
    assert float((off.shown[0, 0] == 0).float().mean()) == pytest.approx(0.2, abs=0.06)
    assert float(off.position[0, 0, :, 0][distance < 1].std()) == pytest.approx(0.2, abs=0.03)
    again = misplaced(there, errors, np.random.default_rng(0))
    assert torch.equal(again.position, off.position)
    assert torch.equal(misplaced(there, TRUE, np.random.default_rng(0)).position, there.position)


def test_frames_that_stand_for_latent_frames():
    seen = context_frames(standing())
    assert seen.numbers.tolist() == [0, 4, 8]
    assert seen.times.tolist() == [[0, 4, 8]]
    torch.testing.assert_close(seen.intrinsics, torch.tensor([[40 / 64, 40 / 32, 0.5, 0.5]]))
    torch.testing.assert_close(seen.poses[0, 0], torch.eye(3, 4).flatten(), atol=1e-6, rtol=0)


def test_a_clip_without_subjects_is_scenery_alone():
    clip = replace(standing(), subjects=(), masks=np.zeros((2 * HALF, HEIGHT, WIDTH), np.uint8))
    drawn = drawn_of(clip, PlaceErrors())
    assert not drawn.subject.any()
    assert (drawn.coverage == 1).all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"cameras": CameraPath(world_from_camera=standing().cameras.world_from_camera)},
            "has no intrinsics, which",
        ),
        ({"masks_are_instances": False}, "has no instance masks, which"),
        ({"masks": None}, "has no instance masks, which"),
        (
            {
                "subjects": (replace(standing().subjects[0], world_from_subject=None),),
                "masks_are_instances": False,
            },
            "has no instance masks and no subjects' places",
        ),
    ],
)
def test_what_is_lacking_is_named(changes, says):
    with pytest.raises(DatasetError, match=f"clip 'standing' {says}") as caught:
        clip_memory(replace(standing(), **changes))
    assert "\n" not in str(caught.value)
