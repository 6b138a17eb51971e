"""Every verb × every kind of bad value: one line, exit code 0 or 2, inputs as they were, nothing half written."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import tiny_world
from outofsight.cli import main
from outofsight.codec.checkpoint_files import load_state_dict, save_state_dict
from outofsight.data.latent_cache import open_latent_cache
from outofsight.data.video import read_video, write_video
from outofsight.errors import InputError
from outofsight.geometry.camera_files import write_cameras
from outofsight.geometry.path_expressions import make_path
from outofsight.geometry.pose_files import write_poses
from outofsight.training.encoding import Encoder, encode_dataset
from small_world import write_small_dataset
from writing_verbs import make_exchange, make_foreign, make_released

FRAMES, HEIGHT, WIDTH = 21, 48, 64
PATHS = (
    "missing.mp4", "missing/", "", ".", "/", "/dev/null", "empty.mp4", "noise.mp4", "cut.mp4", "noise.json",
    "utf16.txt", "latin.txt", "empty_folder", "folder.mp4", "a" * 300, "x/" * 2500, "nul\0byte", "\udcff\udcfe.mp4",
    "10:30.mp4", "%d.mp4", "-", "http://x.invalid/v.mp4", "pipe:0", "[bold]", "~", "loop", "half",
)  # fmt: skip
NUMBERS = (
    "",
    "x",
    "-1",
    "0",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "9" * 30,
    "1.5",
    "٣",
    "0x10",
    "1,2",
    "true",
    "1" * 5000,
)
WORDS = ("", " ", "nope", "a" * 5000, "犬" * 200, "\udcff", "\x1b[31m", "[bold]", "a\nb", "none", "=", "k=", "=v",
         "../x")  # fmt: skip
SIZES = ("", "0x0", "-1x5", "48", "axb", "99999999x99999999", "47x63", "1x1", "9" * 5000 + "x1")
SPANS = ("", "0+0", "9", "9+", "8+8", "9+9+9", "999999999+9", "-5+5", "9+999999")
SETS = ("x", "=1", "shift=nan", "num_steps=0", "nope=1", "seed=1", "shift=-1", "plan.x=1", "task.nope=1",
        "batch.size=0", "a.b.c.d=1", "num_steps=[[[[", "render.depth=7", "batch=3", "task=null")  # fmt: skip

VERBS: dict[str, tuple[str, dict[str, str]]] = {
    "generate": (
        "--model=tiny --video=1.mp4 --camera=cam1.json --prompt=dog --frames=9+9 --steps=1 --guidance=1 --dry-run",
        {"model": "path", "video": "path", "camera": "path", "context-camera": "path", "prompt": "word", "size": "size",
         "frames": "span", "steps": "number", "guidance": "number", "seed": "number", "strategy": "word",
         "mask": "path", "set": "set", "repair": "word", "attention-chunk": "number", "device": "word",
         "dtype": "word", "offload": "word", "quantize": "word", "out": "path"},
    ),
    "roll": (
        "--model=tiny --video=1.mp4 --camera=pan:left:20 --context-camera=still --prompt=dog --context-frames=9 "
        "--latent-frames=2 --steps=1 --dry-run",
        {"model": "path", "video": "path", "camera": "path", "context-camera": "path", "prompt": "word",
         "steps": "number", "latent-frames": "number", "loop-frames": "number", "prompt-at": "word", "size": "size",
         "context-frames": "number", "seed": "number", "set": "set", "strategy": "word", "memory-pictures": "path",
         "save-every": "number", "device": "word", "dtype": "word", "offload": "word", "quantize": "word",
         "out": "path"},
    ),
    "evaluate": (
        "--data=data --model=tiny --steps=1 --guidance=1 --metrics=psnr --detector=none --features=none --dry-run",
        {"data": "path", "split": "word", "limit": "number", "model": "path", "videos": "path", "truth": "path",
         "contexts": "path", "context-frames": "number", "steps": "number", "strategy": "word", "guidance": "number",
         "seed": "number",
         "set": "set", "roll": "number", "metrics": "word", "detector": "path", "features": "path", "lpips": "word",
         "baseline": "word", "workers": "number", "device": "word", "dtype": "word", "offload": "word",
         "quantize": "word", "out": "path"},
    ),
    "train": (
        "--recipe=mini_world --data=cache --set=task.vae=tiny/vae --dry-run",
        {"recipe": "word", "data": "path", "strategy": "word", "set": "set", "max-minutes": "number",
         "state-shard-mb": "number", "out": "path"},
    ),
    "data encode": (
        "--data=data --model=tiny",
        {"data": "path", "model": "path", "text": "word", "dtype": "word", "per-shard": "number", "device": "word",
         "out": "path"},
    ),
    "data to-samples": ("--cache=cache/train", {"cache": "path", "form": "word", "out": "path"}),
    "data from-samples": (
        "--samples=samples --model=tiny",
        {"samples": "path", "model": "path", "dtype": "word", "per-shard": "number", "out": "path"},
    ),
    "world build": (
        "--clips=1 --dry-run",
        {"clips": "number", "preset": "word", "size": "size", "frames": "span", "seed": "number", "workers": "number",
         "splits": "word", "set": "set", "out": "path"},
    ),
    "world preview": ("--seed=-1", {"spec": "path", "preset": "word", "size": "size", "frames": "span", "set": "set"}),
    "world check": ("", {"": "path"}),
    "world stats": ("", {"": "path"}),
    "world pack": ("data --split=test", {"split": "word", "per-shard": "number"}),
    "convert to-diffusers": (
        "--transformer=hydra.safetensors --vae=tiny/vae --text-encoder=tiny/text_encoder --tokenizer=missing",
        {"transformer": "path", "vae": "path", "text-encoder": "path", "tokenizer": "path", "set": "set"},
    ),
    "convert to-official": ("--model=half", {"model": "path"}),
    "bundle": (
        "--run=run --data=data --hardware=x --steps=1 --guidance=1",
        {"run": "path", "data": "path", "steps": "number", "guidance": "number", "before": "path", "vae-run": "path",
         "results": "path", "most-mb": "number"},
    ),
    "demo": ("--steps=0", {"model": "path", "casting": "word", "device": "word", "guidance": "number"}),
    "info": ("", {"": "path"}),
    "push": ("tiny --repo=me/tiny", {"1": "path", "repo": "word", "license": "word", "out": "path"}),
    "convert lora": ("--lora=style.safetensors --model=tiny", {"lora": "path", "model": "path", "out": "path"}),
    "convert merge-lora": (
        "--lora=style.safetensors --model=tiny",
        {"lora": "weighted", "model": "path", "out": "path"},
    ),
    "cameras import": (
        "vipe.npz",
        {"1": "path", "camera": "word", "metres-per-unit": "number", "out": "path"},
    ),
    "cameras estimate": (
        "1.mp4 --num-frames=8",
        {"1": "path", "fov": "number", "masks": "path", "detector": "path", "height-m": "number",
         "num-frames": "number", "out": "path"},
    ),
    "data import-hm-world": ("released", {"1": "path", "captions": "path", "limit": "number", "out": "path"}),
    "data lens": ("data --dry-run", {"1": "path", "enough": "number"}),
    "exchange list": (
        "wrbench --cases=natural25 --camera=yaw_LR_60",
        {"1": "word", "cases": "path", "sources": "path", "camera": "word", "limit": "number"},
    ),
    "exchange run": (
        "wrbench --cases=natural25 --camera=yaw_LR_60 --model=tiny --system=tiny --frames=5+5 --steps=1 --guidance=1 "
        "--dry-run",
        {"1": "word", "cases": "path", "model": "path", "system": "word", "sources": "path", "camera": "word",
         "limit": "number", "strategy": "word", "size": "size", "frames": "span", "fov": "number", "steps": "number",
         "guidance": "number", "seed": "number", "device": "word", "dtype": "word", "out": "path"},
    ),
    "exchange write": (
        "mind --cases=MIND-Data --videos=made --system=theirs",
        {"1": "word", "cases": "path", "videos": "path", "system": "word", "sources": "path", "camera": "word",
         "limit": "number", "context-frames": "number", "out": "path"},
    ),
    "exchange read": (
        "mind --cases=MIND-Data --results=results --system=theirs",
        {"1": "word", "cases": "path", "results": "path", "system": "word", "sources": "path", "limit": "number",
         "out": "path"},
    ),
    "exchange cameras": ("poses.json poses.json", {"1": "path", "2": "path"}),
    "explore": (
        "--video=1.mp4 --prompt=dog --model=tiny --no-browser",
        {"seed": "number", "clip": "path", "video": "path", "prompt": "word", "fov": "number", "state": "path",
         "model": "path", "strategy": "word", "set": "set", "latent-frames": "number", "walks": "place",
         "port": "number", "threads": "number", "device": "word"},
    ),
    "strategies": ("nope", {"model": "path", "size": "size", "frames": "span"}),
}  # fmt: skip
WEIGHTED = (*PATHS, *(f"style.safetensors:{text}" for text in ("", "x", "nan", "1e400", "1:1", "٣")), ":1")
ENDINGS = {"generate": ".mp4", "roll": ".mp4", "cameras": ".json"}
WITHOUT_OUT = (["info"], ["strategies"], ["explore"], ["world", "check"], ["world", "stats"], ["data", "lens"],
               ["exchange", "list"], ["exchange", "cameras"])  # fmt: skip
PLACES = tuple(path for path in PATHS if path != "/")  # which may be written
VALUES = {"path": PATHS, "place": PLACES, "weighted": WEIGHTED, "number": NUMBERS, "word": WORDS, "size": SIZES,
          "span": SPANS, "set": SETS}  # fmt: skip
BY_HAND = [
    (verb, option, value)
    for verb, (_, options) in VERBS.items()
    for option, kind in options.items()
    for value in VALUES[kind]
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with something of every kind, good and bad."""
    folder = tmp_path_factory.mktemp("inputs")
    world = tiny_world()
    world.save_pretrained(folder / "tiny")
    shutil.copytree(folder / "tiny", folder / "half")
    weights = folder / "half" / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_state_dict(weights)
    del state[next(iter(state))]
    save_state_dict(weights, state)
    video = np.random.default_rng(0).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
    write_video(folder / "1.mp4", video, 15)
    shutil.copy(folder / "1.mp4", folder / "10:30.mp4")
    (folder / "cut.mp4").write_bytes((folder / "1.mp4").read_bytes()[:9000])
    context = make_path("pan:left:30", FRAMES)
    target = make_path("pan:right:30", FRAMES, start=context.world_from_camera[-1])
    write_cameras(folder / "cam1.json", context, target)
    write_small_dataset(folder / "data")
    encode_dataset(Encoder(vae=world.vae), folder / "data", folder / "cache")
    (folder / "cache" / "train").mkdir(exist_ok=True)
    if not any((folder / "cache" / "train").iterdir()):
        shutil.copytree(folder / "cache" / "test", folder / "cache" / "train", dirs_exist_ok=True)
    assert len(open_latent_cache(folder / "cache" / "train"))
    (folder / "empty.mp4").write_bytes(b"")
    for name in ("noise.mp4", "noise.json"):
        (folder / name).write_bytes(np.random.default_rng(1).bytes(500))
    (folder / "utf16.txt").write_text("A dog.", encoding="utf-16")
    (folder / "latin.txt").write_bytes("Ein Mädchen.".encode("latin-1"))
    (folder / "empty_folder").mkdir()
    (folder / "folder.mp4").mkdir()
    (folder / "samples").mkdir()
    (folder / "loop").symlink_to("loop")
    make_foreign(folder)
    make_exchange(folder)
    make_released(folder / "released")
    write_poses(folder / "poses.json", context)
    return folder


def checksum(folder: Path) -> str:
    """Digest a folder: every name, and every file's bytes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(os.fsencode(path))
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def ask(inputs, tmp_path_factory):
    """Run a command in this process and hold it to what is promised."""
    before, known = checksum(inputs), set(inputs.rglob("*"))
    place = tmp_path_factory.mktemp("outs")
    patch = pytest.MonkeyPatch()
    patch.chdir(inputs)
    patch.setattr("outofsight.demo.run.run_demo", _no_demo)
    patch.setattr("outofsight.web.serve.serve", lambda *_arguments, **_settings: None)
    patch.setattr("outofsight.web.studio.decode_apart", _decoded)
    patch.setattr("outofsight.cli.explore._cache", lambda: place / "out" / "walks")

    def run(arguments: list[str], out: str | None = None) -> int:
        suffix = ENDINGS.get(arguments[0], "")
        if not any(arguments[: len(words)] == words for words in WITHOUT_OUT):
            given = place / "out" / f"o{suffix}" if out is None else out
            at = arguments.index("--") if "--" in arguments else len(arguments)
            arguments = [*arguments[:at], f"--out={given}", *arguments[at:]]
        patch.setattr("sys.argv", ["outofsight", *arguments])
        said, shown = StringIO(), StringIO()
        with redirect_stderr(said), redirect_stdout(shown), pytest.raises(SystemExit) as stopped:
            main()
        code, words = stopped.value.code or 0, said.getvalue()
        if arguments[:2] == ["world", "check"] and code == 1:
            code = 0  # findings
        assert code in (0, 2), (arguments, code, words[-400:])
        assert "Traceback" not in words, (arguments, words[-1000:])
        assert "pydantic" not in words, (arguments, words)
        if code == 2:
            assert words.splitlines()[-1].startswith("outofsight: "), (arguments, words)
            said_so = [line for line in words.splitlines() if line.startswith("outofsight: ")]
            assert len([line for line in said_so if not line.startswith("outofsight: note: ")]) == 1, words
            assert not (place / "out").exists(), (arguments, list((place / "out").rglob("*")))
        shutil.rmtree(place / "out", ignore_errors=True)
        placed = out is not None or any(part.startswith("--walks=") for part in arguments)
        made = inputs.rglob("*") if placed and code == 0 else ()  # where it was asked for
        for path in [path for path in made if path not in known]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        return code

    yield run
    patch.undo()
    assert checksum(inputs) == before


def _no_demo(*_arguments: object) -> None:
    raise InputError("the demo would begin")


def _decoded(path: Path, size: tuple[int, int] | None, num_frames: int) -> np.ndarray:
    return read_video(path, num_frames=num_frames, size=size).frames


def command(verb: str, option: str, value: str) -> tuple[list[str], str | None]:
    """Put a bad value into a command that would otherwise work. ``option``: "1", "2": of the arguments; "" adds one."""
    base = [part for part in VERBS[verb][0].split() if not part.startswith(f"--{option}=") or option == "set"]
    places = [part for part in base if not part.startswith("--")]
    words = [*verb.split(), *(part for part in base if part.startswith("--"))]
    if option.isdecimal():
        places[int(option) - 1] = value
    elif not option:
        places.append(value)
    elif option != "out":
        words.append(f"--{option}={value}")
    return [*words, *(["--", *places] if places else [])], value if option == "out" else None


def chunks() -> Iterator[tuple[str, str]]:
    for verb, (_, options) in VERBS.items():
        for option in options:
            yield verb, option


@pytest.mark.parametrize("verb", VERBS)
def test_a_bad_value_in_every_option(ask, verb):
    for number, (option, kind) in enumerate(VERBS[verb][1].items()):
        ask(*command(verb, option, VALUES[kind][number % len(VALUES[kind])]))


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "option"), list(chunks()))
def test_every_bad_value_in_every_option(ask, verb, option):
    for value in VALUES[VERBS[verb][1][option]]:
        ask(*command(verb, option, value))


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(("generate", "roll", "train", "world build")),
    st.data(),
    st.text(max_size=40).filter(lambda text: "\0" not in text),
)
def test_any_text_in_any_option(ask, verb, data, text):
    option = data.draw(st.sampled_from(sorted(VERBS[verb][1].keys() - {"out", "memory-pictures"})))
    ask(*command(verb, option, text))


def test_there_are_enough():
    assert len(BY_HAND) >= 500
