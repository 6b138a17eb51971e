"""From spec to pictures: one small world, rendered for real; the two renderers against each other."""

import os
import subprocess
import sys
from dataclasses import replace

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from outofsight.data.check import box_iou, mask_box_px
from outofsight.errors import OutputError, WorldError
from outofsight.types import Visibility
from outofsight.worlds.captions import NUM_PHRASINGS, captions
from outofsight.worlds.clip import ClipMaker, clip_from_spec, render_clip
from outofsight.worlds.model import build_world, geom_ids, instance_table, pose_world, surface_points
from outofsight.worlds.plan import plan_world
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.preview import contact_sheet, draw_map, save_picture
from outofsight.worlds.render import (
    RenderSettings,
    average_colours,
    batch_frames,
    nearest_depth,
    render_world,
    vote_ids,
)
from outofsight.worlds.spec import CameraSpec, PathSpec, SubjectSpec, WorldSpec, spec_to_json

QUICK = PlanConfig(
    scenes=("desert",), kinds=("cow", "businessman"), num_context_frames=12, num_target_frames=12, height_px=48,
    width_px=80, max_turn_deg_per_frame=25.0, min_hidden_frames=3, min_seen_frames=2,
    trajectories=("pan_left_right", "pan_right_left"), max_subjects=2,
)  # fmt: skip
ONE_SAMPLE = RenderSettings(supersampling=1, depth=True)


@pytest.fixture(scope="module")
def world():
    plan = plan_world(4, QUICK)
    return build_world(plan.spec, plan.layout)


@pytest.fixture(scope="module")
def poses(world):
    return pose_world(world)


@pytest.fixture(scope="module")
def rendering(world, poses):
    return render_world(world, poses, ONE_SAMPLE)


@pytest.fixture(scope="module")
def clip(world):
    return render_clip("a clip", world, RenderSettings(supersampling=1), QUICK.rule)


def still_world(distance_m: float) -> WorldSpec:
    """A car that stands across the view of a still camera at eye height, so far ahead of it, in the desert."""
    path = PathSpec(
        name="straight", start_m=(distance_m - 3.0, 0.0), heading_rad=np.pi / 2, size_m=5.0, speed_m_s=0.0
    )
    camera = CameraSpec(
        trajectory="handheld_hold", start="near", position_m=(-3.0, 0.0, 1.5), yaw_rad=0.0, pitch_rad=0.0,
        fov_x_rad=np.pi / 2, keys=((0.0, 0.0), (1.0, 0.0)),
    )  # fmt: skip
    car = SubjectSpec(kind="car", look_seed=1, path=path)
    return WorldSpec(
        seed=0, scene="desert", layout_seed=1, light="noon", subjects=(car,),
        camera=camera, num_context_frames=1, num_target_frames=1, height_px=48, width_px=80,
    )  # fmt: skip


def test_a_car_of_known_size_at_a_known_distance():
    """A focal length of 40 px shows a car of 4.25 m, 8 m away to its side 0.9 m nearer, about 24 px long."""
    clip = clip_from_spec("car", still_world(8.0), ONE_SAMPLE)
    box = mask_box_px(clip.masks[0] == 1)
    assert box[2] - box[0] == pytest.approx(40 * 4.25 / 7.1, abs=2)
    nearest = clip.depth_m[0][clip.masks[0] == 1].min()
    assert nearest == pytest.approx(8.0 - 0.9, abs=0.3)
    (car,) = clip.subjects
    assert car.visibility.tolist() == [Visibility.VISIBLE] * 2
    assert car.velocity_m_s.tolist() == [[0, 0, 0]] * 2
    assert car.world_from_subject[0, :, 3] == pytest.approx([5.0, 0.0, 0.0])


def test_the_ground_is_as_deep_as_geometry_says(rendering, world):
    """A ray through pixel row v of a camera at height h meets z = 0 at depth h·f/(v − cy), pitch and roll aside."""
    frame = 0
    pose, camera = world.motion.world_from_camera[frame], world.spec.intrinsics
    rows, columns = np.mgrid[0 : world.spec.height_px, 0 : world.spec.width_px] + 0.5
    rays = np.stack(
        [(columns - camera.cx_px) / camera.fx_px, (rows - camera.cy_px) / camera.fy_px, np.ones_like(rows)],
        -1,
    )
    falls = (rays @ pose[:, :3].T)[..., 2]
    expected = np.where(falls < -0.05, -pose[2, 3] / np.minimum(falls, -1e-9), np.nan)
    near = (expected < 5) & (rendering.ids[frame] == 0)
    error = np.abs(rendering.depth_m[frame] - expected)[near]
    assert near.sum() > 50
    assert np.median(error) < 0.03


def test_instance_masks_lie_in_the_projected_boxes():
    """One subject alone, so that nobody stands in front of it: the projected box is the mask's."""
    plan = plan_world(4, replace(QUICK, max_subjects=1, kinds=("cow",)))
    clip = render_clip("cow", build_world(plan.spec, plan.layout), ONE_SAMPLE, QUICK.rule)
    (cow,) = clip.subjects
    frames = np.flatnonzero(cow.visibility == Visibility.VISIBLE)
    ious = [box_iou(cow.box_px[frame], mask_box_px(clip.masks[frame] == 1)) for frame in frames]
    assert len(ious) > 3
    assert np.mean(ious) > 0.8  # at 80 px across, a pixel is a good part of a box


def test_the_same_world_gives_the_same_pixels(world, poses, rendering):
    again = render_world(world, poses, ONE_SAMPLE)
    assert (again.rgb == rendering.rgb).all()
    assert (again.ids == rendering.ids).all()
    assert (again.depth_m == rendering.depth_m).all()
    assert render_world(world, poses, replace(ONE_SAMPLE, depth=False)).depth_m is None


def test_more_samples_change_edges_alone(world, poses, rendering):
    smooth = render_world(world, poses, RenderSettings(supersampling=2))
    assert smooth.rgb.shape == rendering.rgb.shape
    difference = np.abs(smooth.rgb.astype(int) - rendering.rgb)
    assert difference.mean() < 12
    assert (smooth.ids == rendering.ids).mean() > 0.985


def test_shadows_darken(world, poses, rendering):
    unshaded = render_world(world, poses, replace(ONE_SAMPLE, shadows=False))
    assert unshaded.rgb.mean() >= rendering.rgb.mean()


def test_only_the_instances_are_in_the_masks(world, rendering):
    assert set(np.unique(rendering.ids)) <= {0, *(subject.subject_id for subject in world.subjects)}
    table = instance_table(world)
    assert len(table) == world.model.ngeom + 1
    assert table[-1] == 0  # nothing hit


def test_bodies_are_posed_where_their_paths_are(world, poses):
    for subject, path in zip(world.subjects, world.motion.paths, strict=True):
        points = surface_points(world, poses, subject)
        middle = (points.min(axis=1) + points.max(axis=1)) / 2
        assert np.hypot(*(middle[:, :2] - path.position_m).T).max() < subject.kind.radius_m
        assert np.abs(points[:, :, 2].min(axis=1)).max() < 0.12
        assert points[:, :, 2].max() < subject.kind.height_m * 1.2


def test_a_coat_is_off_from_its_frame_on(world):
    spec = world.spec
    index = (
        next(i for i, s in enumerate(spec.subjects) if s.kind == "businessman")
        if any(s.kind == "businessman" for s in spec.subjects)
        else 0
    )
    shed = replace(spec.subjects[index], kind="businessman", sheds="coat", sheds_at_frame=10)
    dressed = build_world(replace(spec, subjects=(shed,)))
    poses = pose_world(dressed)
    (subject,) = dressed.subjects
    height = poses.geom_position_m[:, :, 2]
    before, after = geom_ids(dressed.model, subject.before), geom_ids(dressed.model, subject.after)
    assert (height[:10, before] > -1).all()
    assert (height[10:, before] < -100).all()
    assert (height[:10, after] < -100).all()
    assert (height[10:, after] > -1).all()
    record = render_clip("c", dressed, ONE_SAMPLE, QUICK.rule).extra["subjects"][0]
    assert record["appearance_change"]["frame"] == 10
    assert record["appearance_change"]["noun"] != record["noun"]


def test_captions_name_what_is_there(world):
    said = captions(world)
    assert len(set(said)) == NUM_PHRASINGS
    for caption in said:
        assert caption[0].isupper()
        assert caption.endswith(".")
        assert "desert" in caption
        assert "camera" in caption.lower()
        for subject in world.subjects:
            assert subject.before.noun.lower() in caption.lower()
    assert captions(replace(world, spec=replace(world.spec, seed=world.spec.seed + 1)))[0] != said[0]


def test_a_maker_depends_on_the_request_alone():
    class Request:
        name, seed, casting = "clip_000007", 7, "anyone"

    maker = ClipMaker(plan=QUICK, render=RenderSettings(supersampling=1))
    one, two = maker(Request()), maker(Request())
    assert (one.video == two.video).all()
    assert one.extra == two.extra
    assert one.extra["acceptance"]["num_rendered"] >= 1
    assert any(record["reentries"] for record in one.extra["subjects"])
    assert one.extra["held_out"] == {"scene": False, "subjects": []}


def test_pictures_for_people(tmp_path, world, clip):
    sheet = contact_sheet(clip, columns=4, rows=2)
    assert sheet.shape == (2 * (48 + 12) + 4, 4 * (80 + 4) + 4, 3)
    assert (sheet[4:52, 4:84] == clip.video[0])[:40].all()
    save_picture(sheet, tmp_path / "sheet.png")
    draw_map(world, clip.subjects, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(OutputError, match="could not be written"):
        save_picture(sheet, tmp_path / "nowhere" / "sheet.png")


def test_averaging_and_voting_by_hand():
    block = np.array([[[[0, 0, 0], [1, 10, 100]], [[2, 20, 200], [3, 30, 255]]]], dtype=np.uint8)
    assert average_colours(block, 2).tolist() == [[[[2, 15, 139]]]]
    assert vote_ids(np.array([[[0, 0], [0, 1]]], dtype=np.uint8), 2).tolist() == [[[0]]]
    assert vote_ids(np.array([[[0, 1], [0, 1]]], dtype=np.uint8), 2).tolist() == [[[1]]]
    assert vote_ids(np.array([[[2, 1], [0, 1]]], dtype=np.uint8), 2).tolist() == [[[1]]]
    depth = np.array([[[0.0, 4.0], [2.0, 9.0]], [[0.0, 0.0], [0.0, 0.0]]], dtype=np.float32)
    assert nearest_depth(depth, 2).ravel().tolist() == [2.0, np.inf]


@given(hnp.arrays(np.uint8, (2, 6, 9), elements={"min_value": 0, "max_value": 3}))
def test_voting_equals_counting(ids):
    voted = vote_ids(ids, 3)
    for frame, row, column in np.ndindex(voted.shape):
        block = ids[frame, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3].ravel()
        counts = np.bincount(block, minlength=4)
        assert voted[frame, row, column] == np.flatnonzero(counts == counts.max()).max()


def test_batches_are_even_and_bounded():
    assert batch_frames(154, 96 * 160) == 154
    assert batch_frames(154, 960 * 1664) == 3
    assert batch_frames(10, 10**9) == 1


def test_wrong_settings_are_refused():
    with pytest.raises(WorldError, match="renderer: expected one of warp, opengl"):
        RenderSettings(renderer="blender")
    with pytest.raises(WorldError, match="supersampling: expected 1 to 4"):
        RenderSettings(supersampling=0)
    spec = still_world(8.0)
    with pytest.raises(WorldError, match="unknown subject 'unicorn'"):
        build_world(replace(spec, subjects=(replace(spec.subjects[0], kind="unicorn"),)))


AGREEMENT = """
import sys
import numpy as np
from outofsight.worlds.model import build_world, pose_world
from outofsight.worlds.render import RenderSettings, opengl_available, render_world
from outofsight.worlds.spec import spec_from_json
if not opengl_available():
    sys.exit(77)
world = build_world(spec_from_json(open(sys.argv[1]).read()))
poses = pose_world(world)
traced, drawn = (render_world(world, poses, RenderSettings(renderer=name, depth=True)) for name in ("warp", "opengl"))
ious = []
for frame in range(len(traced.ids)):
    for subject in world.subjects:
        a, b = traced.ids[frame] == subject.subject_id, drawn.ids[frame] == subject.subject_id
        if min(a.sum(), b.sum()) > 60:
            ious.append((a & b).sum() / (a | b).sum())
both = np.isfinite(traced.depth_m) & np.isfinite(drawn.depth_m) & (traced.depth_m < 20)
print(np.mean(ious), len(ious), np.median(np.abs(traced.depth_m - drawn.depth_m)[both]))
"""


def test_the_two_renderers_agree(tmp_path, world):
    """In a process of its own: MuJoCo chooses its OpenGL platform when it is imported."""
    larger = replace(world.spec, height_px=96, width_px=160, num_context_frames=4, num_target_frames=4)
    (tmp_path / "spec.json").write_text(spec_to_json(larger))
    environment = {**os.environ, "MUJOCO_GL": "egl"}
    run = subprocess.run(
        [sys.executable, "-c", AGREEMENT, str(tmp_path / "spec.json")], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if run.returncode == 77:
        pytest.skip("MuJoCo's OpenGL renderer cannot run here")
    assert run.returncode == 0, run.stderr[-2000:]
    iou, count, depth_m = (float(part) for part in run.stdout.split()[-3:])
    assert count > 2
    assert iou > 0.95
    assert depth_m < 0.05


def test_without_opengl_it_is_said(world, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("no display")

    monkeypatch.setattr(mujoco, "Renderer", refuse)
    with pytest.raises(WorldError, match=r"cannot start here.*set MUJOCO_GL=egl"):
        render_world(world, None, RenderSettings(renderer="opengl"))
