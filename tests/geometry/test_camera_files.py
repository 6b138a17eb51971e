"""Camera files: what the published loader makes of them, round trips, and everything that can be wrong with one."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from safetensors.numpy import load_file

from geometry_strategies import paths
from outofsight.errors import CameraError, InputError, OutputError
from outofsight.geometry.camera_files import (
    camera_form,
    read_cameras,
    write_cameras,
    write_conditioning,
)
from outofsight.geometry.matrix_repairs import PUBLISHED_REPAIRS
from outofsight.geometry.poses import level_pose
from outofsight.types import CameraPath

ULP_AT_250_M = 2 * 2.0**-16
"""Two float32 steps at HM-World's coordinates: the published loader inverts absolute poses in float32."""

NO_FRAMES: tuple[int, ...] = ()


@pytest.fixture(scope="module")
def golden(fixtures_dir):
    return load_file(fixtures_dir / "golden" / "cameras.safetensors")


@pytest.fixture
def cameras_dir(fixtures_dir):
    return fixtures_dir / "cameras"


def straight(num_frames: int, first: int = 0) -> CameraPath:
    return CameraPath(
        world_from_camera=np.stack(
            [level_pose([frame, 1, 2], 0.1) for frame in range(first, first + num_frames)]
        )
    )


def written(tmp_path, content):
    path = tmp_path / "camera.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def unreal_content(num_context=5, num_target=5):
    """Frames as HM-World writes them: an Unreal camera that goes 10 cm ahead in each."""
    matrix = np.eye(4)
    halves = {}
    for name, count in (("cond_cam", num_context), ("tgt_cam", num_target)):
        halves[name] = {}
        for frame in range(count):
            matrix[0, 3] += 10
            halves[name][str(frame)] = matrix.tolist()
    return halves


def string_content(num_frames):
    columns = "[1 0 0 0] [0 1 0 0] [0 0 1 0] [{x} 0 160 1]"
    return {str(frame): columns.format(x=10 * frame) for frame in range(num_frames)}


@pytest.mark.parametrize("name", ["cam1", "cam2", "cam3", "cam4"])
def test_published_samples_as_the_published_loader_reads_them(name, golden, cameras_dir):
    cameras = read_cameras(cameras_dir / f"{name}.json")
    assert (cameras.form, len(cameras.context), len(cameras.target)) == ("unreal", 77, 77)
    conditioning = cameras.conditioning()
    for half in ("context", "target"):
        ours, theirs = getattr(conditioning, half), golden[f"{name}.{half}_20x12"]
        assert_allclose(ours.reshape(-1, 3, 4)[..., :3], theirs.reshape(-1, 3, 4)[..., :3], atol=2e-6)
        assert_allclose(ours, theirs, atol=ULP_AT_250_M * 1.1)
        assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs)


def test_their_absolute_poses_are_proper_ours_upright(cameras_dir):
    path = read_cameras(cameras_dir / "cam3.json").context.world_from_camera
    assert_allclose(np.linalg.det(path[:, :, :3]), 1, atol=1e-5)
    assert_allclose(path[:, 2, 1], -1, atol=1e-5)  # "down" in the picture is down in the world


def test_the_string_form_with_all_published_repairs(golden, cameras_dir):
    cameras = read_cameras(cameras_dir / "cam_strings149.json", repairs=PUBLISHED_REPAIRS)
    conditioning = cameras.conditioning()
    assert_allclose(conditioning.context, golden["strings149.context_20x12"], atol=3e-6)
    assert_allclose(conditioning.target, golden["strings149.target_20x12"], atol=3e-6)
    assert {repair.name: repair.frames for repair in cameras.repairs} == {
        "identity_for_malformed": (77,),
        "repeat_last": (40, 41, 100),
        "replace_first": (0,),
        "pad_halves": (0, 74, 75, 148),
    }
    assert "frames 40, 41, 100" in " ".join(map(str, cameras.repairs))


def test_the_relative_form_is_passed_on_as_it_is(golden, cameras_dir):
    cameras = read_cameras(cameras_dir / "cam_20x12.json")
    assert cameras.context is None
    assert cameras.target is None
    assert np.array_equal(cameras.conditioning().context, golden["cam_20x12.context_20x12"])
    assert np.array_equal(cameras.conditioning().target, golden["cam_20x12.target_20x12"])


@pytest.mark.parametrize(
    ("name", "form"), [("cam1", "unreal"), ("cam_strings149", "strings"), ("cam_20x12", "relative")]
)
def test_forms_are_told_apart(name, form, cameras_dir):
    assert camera_form(cameras_dir / f"{name}.json") == form


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(paths(), paths(), st.sampled_from(["unreal", "strings"]))
def test_what_is_written_is_read_back(tmp_path, context, target, form):
    halves = CameraPath(world_from_camera=context), CameraPath(world_from_camera=target)
    write_cameras(tmp_path / "c.json", *halves, form=form)
    cameras = read_cameras(tmp_path / "c.json", num_context_frames=len(context))
    assert cameras.form == form
    assert_allclose(cameras.context.world_from_camera, context, rtol=1e-15, atol=1e-13)
    assert_allclose(cameras.target.world_from_camera, target, rtol=1e-15, atol=1e-13)


def test_conditioning_is_written_and_read_back(tmp_path, cameras_dir):
    conditioning = read_cameras(cameras_dir / "cam2.json").conditioning()
    write_conditioning(tmp_path / "c.json", conditioning)
    again = read_cameras(tmp_path / "c.json").conditioning()
    assert np.array_equal(again.context, conditioning.context)
    assert np.array_equal(again.target, conditioning.target)


def test_unequal_halves_of_any_length(tmp_path):
    cameras = read_cameras(written(tmp_path, unreal_content(9, 5)))
    conditioning = cameras.conditioning()
    assert (len(conditioning.context), len(conditioning.target)) == (3, 2)
    assert_allclose(
        conditioning.context[0, [3, 7, 11]], [0, 0, -0.9], atol=1e-6
    )  # nine frames of 10 cm before


def test_a_half_that_has_no_latent_frames_is_named(tmp_path):
    path = written(tmp_path, unreal_content(8, 5))
    with pytest.raises(
        CameraError, match=rf"{path}: context camera path: expected 4·k \+ 1 video frames, got 8"
    ):
        read_cameras(path).conditioning()


def test_strings_are_columns_and_can_be_split_anywhere(tmp_path):
    cameras = read_cameras(written(tmp_path, string_content(14)), num_context_frames=9)
    assert (len(cameras.context), len(cameras.target), cameras.repairs) == (9, 5, ())
    assert_allclose(cameras.target.world_from_camera[0], level_pose([0.9, 0, 1.6]), atol=1e-12)


def test_unnecessary_repairs_change_nothing_and_are_not_reported(tmp_path):
    path = written(tmp_path, string_content(10))
    permitted = read_cameras(path, num_context_frames=5, repairs=["repeat_last", "identity_for_malformed"])
    assert permitted.repairs == ()
    assert np.array_equal(
        permitted.target.world_from_camera, read_cameras(path, num_context_frames=5).target.world_from_camera
    )


def test_each_repair_alone(tmp_path):
    content = string_content(6)
    content["0"], content["3"] = "[9 9 9 9] [9 9 9 9] [9 9 9 9] [9 9 9 9]", "[1 2 3]"
    del content["2"]
    path = written(tmp_path, content)
    cameras = read_cameras(
        path, num_context_frames=1, repairs=["replace_first", "repeat_last", "identity_for_malformed"]
    )
    x = [0.1, *cameras.target.world_from_camera[:, 0, 3]]
    assert_allclose(cameras.context.world_from_camera[0], level_pose([0.1, 0, 1.6]), atol=1e-12)
    assert_allclose(x, [0.1, 0.1, 0.1, 0.0, 0.4, 0.5], atol=1e-12)
    for left_out, frame in (("replace_first", 0), ("repeat_last", 2), ("identity_for_malformed", 3)):
        repairs = [name for name in PUBLISHED_REPAIRS[:3] if name != left_out]
        with pytest.raises(CameraError, match=f"frame {frame}"):
            read_cameras(path, num_context_frames=1, repairs=repairs)


def test_padding_needs_149_matrices(tmp_path):
    path = written(tmp_path, string_content(148))
    with pytest.raises(CameraError, match="frame 148: missing"):
        read_cameras(path, repairs=["pad_halves"])
    path = written(tmp_path, string_content(150))
    with pytest.raises(CameraError, match="frame 149: expected frames 0 to 148 only"):
        read_cameras(path, repairs=["pad_halves"])
    cameras = read_cameras(written(tmp_path, string_content(149)), repairs=["pad_halves"])
    frames = [
        np.rint(half.world_from_camera[:, 0, 3] * 10).astype(int).tolist()
        for half in (cameras.context, cameras.target)
    ]
    assert frames[0] == [0, *range(75), 74]
    assert frames[1] == [75, *range(75, 149), 148, 148]


def test_an_unknown_repair_is_refused(cameras_dir):
    with pytest.raises(InputError, match="unknown camera repair 'guess'; known are identity_for_malformed"):
        read_cameras(cameras_dir / "cam1.json", repairs=["guess"])


def test_where_the_target_begins(tmp_path, cameras_dir):
    path = written(tmp_path, string_content(10))
    with pytest.raises(CameraError, match="does not say where the target begins"):
        read_cameras(path)
    with pytest.raises(CameraError, match="more than 10 poses"):
        read_cameras(path, num_context_frames=10)
    with pytest.raises(CameraError, match="expected 73 context frames, the file has 77"):
        read_cameras(cameras_dir / "cam1.json", num_context_frames=73)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "not a readable JSON camera file"),
        ('{"cond_cam": {', "not a readable JSON camera file"),
        ("[" * 100_000, "not a readable JSON camera file"),
        ('{"0": "a", "0": "b"}', "key '0' is given twice"),
        ("[1, 2]", "expected cond_cam and tgt_cam.*got a list"),
        ("{}", "got an object with the keys none"),
        ('{"frames": 3}', "got an object with the keys 'frames'"),
        ('{"cond_cam": {}}', "has 'cond_cam' but no 'tgt_cam'"),
        ('{"video_camera": []}', "has 'video_camera' but no 'context_camera'"),
        ('{"cond_cam": [], "tgt_cam": []}', "cond_cam: expected an object of frame"),
        ('{"cond_cam": {}, "tgt_cam": {}}', "cond_cam: no frames"),
        ('{"context_camera": [], "video_camera": []}', "context_camera: expected a list of 12 numbers"),
        (
            '{"context_camera": [[1, 2]], "video_camera": []}',
            "context_camera, latent frame 0: expected 12 numbers",
        ),
        ('{"first": "[1 0 0 0]"}', "expected frame numbers .* got 'first'"),
        ('{"0": "[1 0 0 0] [0 1 0 0]"}', "frame 0: expected four brackets of four numbers"),
        ('{"0": "[1 0 0 0] [0 1 0 0] [0 0 1 0] [0 0 x 1]"}', "frame 0: expected four brackets.*'x'"),
        ('{"0": "[1 0 0 0] [0 1 0 0] [0 0 1 0] [0 0 0 1] and more"}', "frame 0: expected four brackets"),
        ('{"0": "[1 0 0 0] [0 1 0 0] [0 0 1 0] [0 0 nan 1]"}', "frame 0: .*NaN"),
        (
            '{"0": "[1 0 0 5] [0 1 0 0] [0 0 1 0] [0 0 0 1]"}',
            "frame 0: expected the bottom row 0 0 0 1, got 5 0 0 1",
        ),
        ('{"0": "[1 0 0 0] [0 1 0 0] [0 0 1 0] [0 0 0 1]", "1": 7}', "frame 1: expected a string"),
    ],
)
def test_files_that_are_no_camera_files(tmp_path, content, complaint):
    path = written(tmp_path, content)
    with pytest.raises(CameraError, match=complaint) as caught:
        read_cameras(path, num_context_frames=1)
    assert str(path) in str(caught.value)


def damaged_matrix(change):
    matrix = np.eye(4).tolist()
    change(matrix)
    return matrix


@pytest.mark.parametrize(
    ("matrix", "complaint"),
    [
        (np.eye(3).tolist(), "expected 4×4 numbers"),
        ("[1 0 0 0]", "expected 4×4 numbers"),
        (None, "expected 4×4 numbers, got null"),
        (damaged_matrix(lambda m: m[1].pop()), "expected 4×4 numbers"),
        (damaged_matrix(lambda m: m[1].__setitem__(1, "1")), "expected 4×4 numbers"),
        (damaged_matrix(lambda m: m[1].__setitem__(1, True)), "expected 4×4 numbers"),
        (damaged_matrix(lambda m: m[1].__setitem__(1, float("nan"))), "NaN or infinity"),
        (damaged_matrix(lambda m: m[0].__setitem__(3, float("inf"))), "NaN or infinity"),
        (damaged_matrix(lambda m: m[0].__setitem__(3, 10**400)), "NaN or infinity"),
        (damaged_matrix(lambda m: m[3].__setitem__(0, 5.0)), "bottom row"),
        (damaged_matrix(lambda m: m[1].__setitem__(1, 1.01)), "expected a rotation"),
        (damaged_matrix(lambda m: m[1].__setitem__(1, -1)), "determinant -1"),
        (np.zeros((4, 4)).tolist(), "bottom row"),
    ],
)
@pytest.mark.parametrize("half", ["cond_cam", "tgt_cam"])
def test_a_bad_matrix_is_an_error_that_names_file_half_and_frame(tmp_path, half, matrix, complaint):
    content = unreal_content()
    content[half]["3"] = matrix
    path = written(tmp_path, content)
    with pytest.raises(CameraError, match=complaint) as caught:
        read_cameras(
            path, repairs=PUBLISHED_REPAIRS
        )  # never an identity, whatever is permitted for other forms
    assert f"{path}: {half}, frame 3" in str(caught.value)


def test_missing_and_odd_frames_are_named(tmp_path):
    content = unreal_content()
    del content["tgt_cam"]["2"]
    with pytest.raises(CameraError, match="tgt_cam, frame 2: missing"):
        read_cameras(written(tmp_path, content), repairs=PUBLISHED_REPAIRS)
    for key in ("-1", "01", "1.0", "٣", "five"):
        content = unreal_content()
        content["cond_cam"][key] = np.eye(4).tolist()
        with pytest.raises(CameraError, match="cond_cam: expected frame numbers"):
            read_cameras(written(tmp_path, content))


def test_the_noise_of_real_files_is_tolerated_but_not_more(tmp_path):
    content = unreal_content()
    content["cond_cam"]["0"][0][0] = 1.0003
    assert len(read_cameras(written(tmp_path, content)).context) == 5
    content["cond_cam"]["0"][0][0] = 1.003
    with pytest.raises(CameraError, match="cond_cam, frame 0: expected a rotation"):
        read_cameras(written(tmp_path, content))


def test_relative_poses_must_be_relative_and_rotations(tmp_path):
    rows = [list(np.eye(3, 4).ravel()), list(np.eye(3, 4).ravel())]
    rows[1][3] = 2.0
    path = written(tmp_path, {"context_camera": rows, "video_camera": rows[::-1]})
    with pytest.raises(CameraError, match="video_camera, latent frame 0: expected the identity"):
        read_cameras(path)
    rows[1][0] = 3.0
    path = written(tmp_path, {"context_camera": rows, "video_camera": rows})
    with pytest.raises(CameraError, match="context_camera, frame 1: expected a rotation"):
        read_cameras(path)


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(CameraError, match=r"nothing\.json: no such camera file"):
        read_cameras(tmp_path / "nothing.json")
    with pytest.raises(CameraError, match="cannot be read: Is a directory"):
        read_cameras(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CameraError, match="not a readable JSON"):
        read_cameras(tmp_path / "binary.json")


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    half = straight(5)
    with pytest.raises(OutputError, match="could not be written: No such file or directory"):
        write_cameras(tmp_path / "nowhere" / "c.json", half, half)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(OutputError, match="could not be written"):
        write_cameras(tmp_path / "folder.json", half, half)
    with pytest.raises(InputError, match="unreal or strings"):
        write_cameras(tmp_path / "c.json", half, half, form="relative")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.json"]


def test_writing_replaces_an_older_file(tmp_path):
    for length in (9, 5):
        write_cameras(tmp_path / "c.json", straight(length), straight(length, first=length))
    assert len(read_cameras(tmp_path / "c.json").context) == 5
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.json"]
