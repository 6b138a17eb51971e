"""Each benchmark's cases are read, results written and found again; and what is not as documented is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from outofsight.errors import CameraError, DatasetError, InputError, VideoError
from outofsight.exchange import benchmark
from outofsight.exchange.case import Ask, context_of, frames_of, resampled
from outofsight.exchange.stevo import keyed_path
from outofsight.exchange.wrbench import score_system
from outofsight.exchange.wrbench_cameras import worded_poses
from outofsight.geometry.path_expressions import make_path
from small_films import film


def cases_of(name, request):
    folder = request.getfixturevalue(name)
    ask = Ask(sources=folder / "prompts.csv") if name == "memobench" else Ask()
    return folder, benchmark(name).read_cases(folder, ask)


@pytest.mark.parametrize(("name", "count"), [("wrbench", 4), ("mind", 2), ("memobench", 2), ("stevo", 1)])
def test_round_trip(name, count, request, tmp_path):
    _, cases = cases_of(name, request)
    found = benchmark(name)
    assert len(cases) == count
    out = tmp_path / "results"
    for case in cases:
        found.write(out, "ours", case, film(5, 3), 15)
    found.finish(out, "ours", cases)
    there = found.results(out, "ours", cases)
    assert list(there) == [case.name for case in cases]
    assert frames_of(there[cases[0].name]).shape == (5, 48, 64, 3)


def test_what_each_case_says(request, tmp_path):
    cases = {name: cases_of(name, request)[1] for name in ("wrbench", "mind", "memobench", "stevo")}
    turn, still = cases["wrbench"][0], cases["memobench"][1]
    assert (turn.name, turn.context.suffix) == ("cup__T0__none__yaw_LR_60", ".mp4")
    assert cases["wrbench"][2].context.suffix == ".png"  # no clip of its own: its family's first frame
    assert (len(turn.cameras), still.cameras) == (81, None)
    first, third = cases["mind"]
    path = make_path("pan:left:20,truck:right:1", 12).world_from_camera
    for case in (first, third):
        read = np.concatenate([case.context_cameras.world_from_camera, case.cameras.world_from_camera])
        assert read == pytest.approx(path, abs=1e-6)
    assert cases["memobench"][0].cameras.intrinsics.fx_px == 60
    assert cases["memobench"][0].cameras.world_from_camera[-1, 0, 3] == pytest.approx(0.6)
    assert len(cases["stevo"][0].cameras) == 4 * 5 + 1


def test_layouts(request, tmp_path):
    _, cases = cases_of("wrbench", request)
    out = tmp_path / "results"
    benchmark("wrbench").write(out, "ours", cases[0], film(4), 15)
    benchmark("wrbench").finish(out, "ours", cases)
    (row,) = json.loads((out / "ours" / "eval_manifest.json").read_text())
    assert (row["path"], row["camera_type"]) == ("videos/cup__T0__none__yaw_LR_60.mp4", "yaw_LR")
    _, memo = cases_of("memobench", request)
    benchmark("memobench").write(out, "ours", memo[0], film(2), 15)
    frames = out / "ours" / "Synthetic" / "Barnyard" / "Barnyard_001" / "frames"
    assert sorted(path.name for path in frames.iterdir()) == ["00000.png", "00001.png"]
    _, tasks = cases_of("stevo", request)
    benchmark("stevo").write(out, "other", tasks[0], film(2), 15)
    benchmark("stevo").finish(out, "other", tasks)
    assert json.loads((out / "other" / "output_map.json").read_text()) == {"fizz_05": "fizz_05.mp4"}


def written(request, tmp_path, camera, context=2):
    """Write a result of six frames, of which the first ones are context; return its path, and the case."""
    folder = request.getfixturevalue("wrbench")
    case = benchmark("wrbench").read_cases(folder, Ask(cameras=(camera,)))[0]
    reported = replace(case, facts={**case.facts, "condition_frame_count": context})
    benchmark("wrbench").write(tmp_path / "results", "ours", reported, film(6), 15)
    return benchmark("wrbench").results(tmp_path / "results", "ours", [case])[case.name], case


def test_wrbench_sidecars_are_of_the_generated_frames(request, tmp_path):
    path, _ = written(request, tmp_path, "yaw_LR_60")
    poses = np.load(path.with_name(path.name + ".target_c2w.npy"))
    whole = worded_poses("yaw_LR_60")
    assert poses.shape == (4, 4, 4)
    assert poses[[0, -1], :3] == pytest.approx(whole[[0, -1]], abs=1e-6)
    reported = json.loads(path.with_name(path.name + ".camera.json").read_text())
    for name in ("target_pose_path", "camera_trajectory_path"):
        assert (path.parents[1] / reported[name]).is_file()  # from the system's folder
    kinds = ("control_direction", "control_family", "target_coordinate_convention")
    assert [reported[name] for name in kinds] == ["yaw_LR", "rotation", "opencv_c2w"]
    assert [reported[name] for name in ("condition_frame_count", "num_frames", "image_size")] == [
        2,
        4,
        [64, 48],
    ]
    assert benchmark("wrbench").context_in(path) == 2
    track = json.loads(path.with_name(path.name + ".camera_trajectory.json").read_text())
    assert np.shape(track["c2w"]) == (4, 4, 4)
    assert track["intrinsics"][0][0][0] == pytest.approx(32 / np.tan(np.radians(30)))


@pytest.mark.parametrize(
    ("camera", "profile"),
    [("static", "canonical_static"), ("yaw_LR_60", "canonical_60deg"), ("yaw_RL_30", "diagnostic_30deg")],
)
def test_wrbench_profiles(request, tmp_path, camera, profile):
    folder = request.getfixturevalue("wrbench")
    case = benchmark("wrbench").read_cases(folder, Ask(cameras=(camera,)))[0]
    benchmark("wrbench").write(tmp_path / "results", "ours", case, film(4), 15)
    reported = json.loads(next((tmp_path / "results" / "ours" / "videos").glob("*.camera.json")).read_text())
    assert reported["control_profile"] == profile


def test_wrbench_results_are_scored_by_a_pose_cache(request, tmp_path):
    path, _ = written(request, tmp_path, "yaw_LR_60")
    cache, system = tmp_path / "cache" / "pose" / path.stem, path.parents[1]
    with pytest.raises(DatasetError, match="expected poses of results"):
        score_system(system, tmp_path / "cache")
    cache.mkdir(parents=True)
    target = np.load(path.with_name(path.name + ".target_c2w.npy"))
    np.save(cache / "poses.npy", np.concatenate([target[:1], target[:1], target]))  # of the context too
    other = path.with_name("other.mp4")
    other.write_bytes(b"a video")
    found = score_system(system, tmp_path / "cache")
    assert found["missing"] == ["other"]
    assert found["cameras"]["yaw_LR"] == pytest.approx({"videos": 1, "cam_prec": 1, "cam_align": 1}, abs=1e-3)
    np.save(cache / "poses.npy", target[:2])
    with pytest.raises(InputError, match=r"poses\.npy: the target has 4 poses, the estimate 2"):
        score_system(system, tmp_path / "cache")
    with pytest.raises(DatasetError, match="expected WRBench results"):
        score_system(tmp_path, tmp_path)
    path.with_name(path.name + ".camera.json").write_text("[]")
    with pytest.raises(DatasetError, match="expected condition_frame_count"):
        benchmark("wrbench").context_in(path)


def test_a_source_clip_is_the_truth_of_a_still_camera(request, tmp_path):
    _, case = written(request, tmp_path, "static")
    assert (case.truth, case.truth_from, case.context_frames) == (case.context, 77, (0, 77))
    assert cases_of("wrbench", request)[1][0].truth is None


def test_contexts(request):
    _, cases = cases_of("wrbench", request)
    frames, cameras = context_of(cases[0], 5, (48, 64))
    assert (frames.shape, cameras) == ((5, 48, 64, 3), None)
    assert (context_of(cases[2], 5, None)[0] == context_of(cases[2], 1, None)[0]).all()
    with pytest.raises(VideoError, match="9 frames of context, 13"):
        context_of(cases[0], 13, None)
    _, long = cases_of("mind", request)
    frames, cameras = context_of(long[0], 5, None)
    assert (len(frames), len(cameras)) == (5, 5)
    assert cameras.world_from_camera[-1] == pytest.approx(long[0].context_cameras.world_from_camera[-1])


def test_resampling_keeps_the_ends():
    path = make_path("pan:left:60,truck:right:2", 81)
    shorter = resampled(path, 21)
    assert len(shorter) == 21
    assert shorter.world_from_camera[[0, -1]] == pytest.approx(path.world_from_camera[[0, -1]])
    assert shorter.world_from_camera[10] == pytest.approx(path.world_from_camera[40])


def test_keys():
    assert keyed_path("right-20, left-20", "x").world_from_camera[-1, :, :3] == pytest.approx(
        make_path("still", 2).world_from_camera[0, :, :3], abs=1e-9
    )
    for wrong in ("jump-3", "right", "right-0", ""):
        with pytest.raises(CameraError, match="KEY-FRAMES"):
            keyed_path(wrong, "x")


def spoil_wrbench(folder):
    (folder / "variants.jsonl").write_text('{"variant_id": "a"}\n')


def spoil_wrbench_row(folder):
    (folder / "variants.jsonl").write_text('{"variant_id": "a", ')


def spoil_wrbench_source(folder):
    (folder / "cup.png").unlink()


def spoil_mind(folder):
    path = next(folder.rglob("action.json"))
    path.write_text(path.read_text().replace("mark_time", "mark"))


def spoil_mind_mark(folder):
    path = next(folder.rglob("action.json"))
    path.write_text(path.read_text().replace('"mark_time": 6', '"mark_time": 12'))


def spoil_mind_nan(folder):
    path = next(folder.rglob("action.json"))
    reported = json.loads(path.read_text())
    reported["data"][3]["actor_pos"]["x"] = reported["data"][3].get("camera_pos", {})["x"] = float("nan")
    path.write_text(json.dumps(reported))


def spoil_mind_cut(folder):
    path = next(folder.rglob("action.json"))
    path.write_text(path.read_text()[:200])


def spoil_memobench(folder):
    np.save(next(folder.rglob("poses.npy")), np.full((7, 4, 4), np.nan))


def spoil_memobench_shape(folder):
    np.save(next(folder.rglob("poses.npy")), np.zeros((7, 7)))


def spoil_memobench_prompts(folder):
    (folder / "prompts.csv").write_text("a,b\n1,2\n")


def spoil_stevo(folder):
    next(folder.rglob("*.yaml")).write_text("id: [")


def spoil_stevo_frame(folder):
    next(folder.rglob("*.png")).unlink()


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("wrbench", spoil_wrbench, "lacks world_state_prompt"),
        ("wrbench", spoil_wrbench_row, "line 1: expected JSON"),
        ("wrbench", spoil_wrbench_source, "found neither"),
        ("mind", spoil_mind, "expected mark_time"),
        ("mind", spoil_mind_mark, "leaves no context or no target"),
        ("mind", spoil_mind_nan, r"action\.json.*NaN"),
        ("mind", spoil_mind_cut, "damaged"),
        ("memobench", spoil_memobench, r"poses\.npy: .*NaN"),
        ("memobench", spoil_memobench_shape, "expected poses"),
        ("memobench", spoil_memobench_prompts, "columns"),
        ("stevo", spoil_stevo, "expected a task"),
        ("stevo", spoil_stevo_frame, "no first frame"),
    ],
)
def test_bad_cases_are_one_line(name, spoil, said, request):
    folder = request.getfixturevalue(name)
    spoil(folder)
    with pytest.raises((DatasetError, CameraError), match=said) as caught:
        cases_of(name, request)
    assert "\n" not in str(caught.value)


def test_foreign_results(request, tmp_path):
    _, tasks = cases_of("stevo", request)
    folder = tmp_path / "results" / "theirs"
    folder.mkdir(parents=True)
    with pytest.raises(DatasetError, match="exactly one"):
        benchmark("stevo").results(tmp_path / "results", "theirs", tasks)
    (folder / "map.json").write_text('{"fizz_05": "../../elsewhere.mp4"}')
    with pytest.raises(DatasetError, match="not in the folder"):
        benchmark("stevo").results(tmp_path / "results", "theirs", tasks)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(VideoError, match="no picture"):
        frames_of(tmp_path / "broken.png")
    (tmp_path / "frames").mkdir()
    for number, size in enumerate(((8, 8), (8, 16))):
        Image.new("RGB", size).save(tmp_path / "frames" / f"{number}.png")
    with pytest.raises(VideoError, match="different sizes"):
        frames_of(tmp_path / "frames")
