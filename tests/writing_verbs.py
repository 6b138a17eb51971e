"""Every verb that writes: a command for each at toy size, and the inputs that they read."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import textured_room
from models import tiny_world
from outofsight.data.latent_cache import open_latent_cache
from outofsight.data.published_samples import write_published_sample
from outofsight.data.sample import write_sample
from outofsight.data.video import write_video
from outofsight.geometry.camera_files import write_cameras
from outofsight.geometry.path_expressions import make_path
from outofsight.training.config import to_dict
from outofsight.training.encoding import Encoder, encode_dataset
from outofsight.training.models import cast_for_export
from outofsight.training.recipes import recipe
from outofsight.types import Clip, Intrinsics
from small_films import film
from small_world import square_clip, write_small_dataset

Command = Callable[[Path], list[str]]

TRAINING = ("num_steps=6", "state.every_steps=1", "optimisation.warmup_steps=0", "optimisation.cooldown_steps=0",
            "batch.size=2", "batch.precision=no", "validation.every_steps=2", "validation.num_samples=2",
            "validation.videos_every_steps=3", "validation.num_videos=1", "task.size.num_heads=2",
            "task.size.head_dim=24", "task.size.num_layers=1", "task.size.ffn_dim=32", "task.size.freq_dim=32",
            "task.size.text_width=32", "task.size.text_layers=1", "task.size.text_heads=2", "task.size.memory_top_k=1",
            "task.size.local_window=3")  # fmt: skip
WALKING = ("--camera=pan:left:20", "--context-camera=still", "--prompt=A cat sits.", "--context-frames=9",
           "--latent-frames=2", "--steps=6", "--set=num_inference_steps=2", "--set=guidance_scale=1")  # fmt: skip
LORA = "lora_unet_blocks_0_self_attn_q"
MIND_CASE = "1st_data__mem_test__data-1"


def long_commands(inputs: Path) -> dict[str, Command]:
    """Give each verb's command for a folder of its own; of verbs that are killed and gone on with."""
    model, cases, data = f"--model={inputs / 'tiny'}", inputs / "cases", f"--data={inputs / 'data'}"
    quick = ("--steps=1", "--guidance=1")
    return {
        "data encode": lambda out: ["data", "encode", data, model, "--per-shard=1", f"--out={out}"],
        "generate": lambda out: ["generate", model, f"--video={cases}", "--frames=9+9", *quick, f"--out={out}"],
        "roll": lambda out: ["roll", model, f"--video={cases / '1.mp4'}", *WALKING, f"--out={out / 'w.mp4'}"],
        "evaluate": lambda out: ["evaluate", data, model, *quick, "--metrics=psnr", "--detector=none",
                                 "--features=none", f"--out={out}"],
        "train": lambda out: ["train", "--recipe=mini_world", f"--data={inputs / 'cache'}", f"--out={out}",
                              *(f"--set={each}" for each in (*TRAINING, f"task.vae={inputs / 'tiny' / 'vae'}"))],
        "world build": lambda out: ["world", "build", "--clips=3", "--seed=1", "--size=32x48", "--frames=21+21",
                                    "--set=render.supersampling=1", f"--out={out}"],
    }  # fmt: skip


def short_commands(inputs: Path) -> dict[str, Command]:
    """Give the commands of the other verbs that write; they are too short to be gone on with."""
    tiny, data, lora = f"--model={inputs / 'tiny'}", inputs / "data", f"--lora={inputs / 'style.safetensors'}"
    natural, mind, quick = (
        inputs / "natural25",
        f"--cases={inputs / 'MIND-Data'}",
        ("--steps=1", "--guidance=1"),
    )
    return {
        "data to-samples": lambda out: ["data", "to-samples", f"--cache={inputs / 'states' / 'test'}", f"--out={out}"],
        "data from-samples": lambda out: ["data", "from-samples", f"--samples={inputs / 'samples'}", tiny,
                                          f"--out={out}"],
        "data import-hm-world": lambda out: ["data", "import-hm-world", str(inputs / "released"), f"--out={out}"],
        "convert to-official": lambda out: ["convert", "to-official", tiny, f"--out={out}"],
        "convert to-diffusers": lambda out: ["convert", "to-diffusers", f"--transformer={inputs / 'tiny/transformer'}",
                                             f"--vae={inputs / 'tiny/vae'}", f"--tokenizer={inputs / 'tiny/tokenizer'}",
                                             f"--text-encoder={inputs / 'tiny/text_encoder'}", f"--out={out}"],
        "convert lora": lambda out: ["convert", "lora", lora, tiny, f"--out={out / 'l.safetensors'}"],
        "convert merge-lora": lambda out: ["convert", "merge-lora", lora, tiny, f"--out={out}"],
        "cameras import": lambda out: ["cameras", "import", str(inputs / "vipe.npz"), f"--out={out / 'c.json'}"],
        "world pack": lambda out: ["world", "pack", str(data), "--split=test", f"--out={out}"],
        "world stats": lambda out: ["world", "stats", str(data), f"--out={out / 'drawing.png'}"],
        "world preview": lambda out: ["world", "preview", "--seed=1", "--size=32x48", "--frames=21+21", f"--out={out}"],
        "bundle": lambda out: ["bundle", f"--run={inputs / 'run'}", f"--data={inputs / 'clips'}", "--hardware=none",
                               *quick, f"--out={out}"],
        "push": lambda out: ["push", str(inputs / "tiny"), "--repo=me/tiny", f"--out={out}"],
        "exchange run": lambda out: ["exchange", "run", "wrbench", f"--cases={natural}", tiny, "--system=tiny",
                                     "--frames=5+5", *quick, "--camera=yaw_LR_60", f"--out={out}"],
        "exchange write": lambda out: ["exchange", "write", "mind", mind, f"--videos={inputs / 'made'}",
                                       "--system=theirs", f"--out={out}"],
        "exchange read": lambda out: ["exchange", "read", "mind", mind, f"--results={inputs / 'results'}",
                                      "--system=theirs", f"--out={out}"],
        "demo": lambda out: ["demo", *quick, f"--out={out}"],
        "cameras estimate": lambda out: ["cameras", "estimate", str(inputs / "pan.mp4"), "--fov=65",
                                         f"--out={out / 'c.json'}"],
        "data lens": lambda out: ["data", "lens", str(out)],
    }  # fmt: skip


FILLED = {"data lens": "turning"}
"""Verbs that write into what they read, and the input of which ``out`` is a copy."""


def make_inputs(folder: Path) -> None:
    """Make a tiny model, clips, caches, cases, and files of others."""
    world = tiny_world()
    world.save_pretrained(folder / "tiny")
    write_small_dataset(folder / "data")
    for part, number in (("train", 3), ("validation", 2)):
        for index in range(number):
            name = f"clip_{index:06d}"
            write_sample(folder / "clips" / part / name, square_clip(name))
    encode_dataset(Encoder(vae=world.vae), folder / "clips", folder / "cache")
    speaking = Encoder(vae=world.vae, text_encoder=world.text_encoder, tokenizer=world.tokenizer)
    encode_dataset(speaking, folder / "data", folder / "states")
    (folder / "samples").mkdir()
    for sample in open_latent_cache(folder / "states" / "test"):
        write_published_sample(folder / "samples" / f"{sample.name}.pth", sample)
    _make_cases(folder / "cases")
    _make_run(folder / "run", folder / "clips")
    make_exchange(folder)
    make_released(folder / "released")
    make_turning(folder)
    make_foreign(folder)


def make_foreign(folder: Path) -> None:
    """Make a LoRA and a camera path as other programs write them."""
    ones = {f"{LORA}.lora_down.weight": torch.ones(2, 48), f"{LORA}.lora_up.weight": torch.ones(48, 2)}
    save_file({**ones, f"{LORA}.alpha": torch.tensor(1.0)}, folder / "style.safetensors")
    np.savez(folder / "vipe.npz", data=make_path("truck:right:1", 5).world_from_camera, inds=np.arange(5))


def _make_cases(folder: Path) -> None:
    folder.mkdir()
    context = make_path("pan:left:30", 9)
    for name in ("1", "2", "3"):
        generator = np.random.default_rng(int(name))
        frames = generator.integers(0, 256, (9, 48, 64, 3), dtype=np.uint8)
        write_video(folder / f"{name}.mp4", frames, 15)
        target = make_path("pan:right:30", 10, start=context.world_from_camera[-1])[1:]
        write_cameras(folder / f"cam{name}.json", context, target)
    (folder / "caption.txt").write_text("A cat.\nA dog.\nA bus.\n")


def _make_run(folder: Path, clips: Path) -> None:
    """Lay a finished run down as training leaves it, without its states; and the card of its clips."""
    world = tiny_world()
    for network in (world.transformer, world.vae, world.text_encoder):
        cast_for_export(network, torch.bfloat16)
    world.save_pretrained(folder / "export")
    config = to_dict(recipe("mini_world"))
    content = {
        "config": config,
        "data": "clips",
        "provenance": {"versions": {}, "commit": "none"},
        "changes": [],
    }
    (folder / "config.json").write_text(json.dumps(content))
    log = [{"step": step, "loss": 1 / step, "samples_per_second": 1.0} for step in (10, 20)]
    log.append({"step": 20, "validation/loss": 0.5})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    identity = {"version": 1, "seed": 1, "shares": {"validation": 0.1, "test": 0.0}}
    plan = Path(__file__).parent / "fixtures" / "mini" / "recipe.json"
    (clips / "dataset.json").write_text(json.dumps({**identity, "recipe": json.loads(plan.read_text())}))


def make_exchange(folder: Path) -> None:
    """Make a case to run, a case with a truth, somebody's video of it, and that video where it belongs."""
    natural, case, made = (
        folder / "natural25",
        folder / "MIND-Data/1st_data/test/mem_test/data-1",
        folder / "made",
    )
    for each in (natural, case, made, folder / "results" / "theirs" / "1st_data" / "mem_test" / "data-1"):
        each.mkdir(parents=True)
    row = {
        "variant_id": "cup__T0__none",
        "family_id": "cup",
        "oov_gap": "none",
        "world_state_prompt": "A cup falls.",
    }
    (natural / "variants.jsonl").write_text(json.dumps(row) + "\n")
    Image.fromarray(film(1)[0]).save(natural / "cup.png")
    write_video(case / "video.mp4", film(12), 24)
    pose = {"actor_pos": {"x": 0, "y": 0, "z": 160}, "actor_rpy": {"x": 0, "y": 0, "z": 0}}
    reported = {
        "mark_time": 7,
        "caption": "A street.",
        "data": [{"time": time, **pose} for time in range(12)],
    }
    (case / "action.json").write_text(json.dumps(reported))
    write_video(made / f"{MIND_CASE}.mp4", film(12)[7:], 24)
    shutil.copy(made / f"{MIND_CASE}.mp4", folder / "results/theirs/1st_data/mem_test/data-1/video.mp4")


def make_turning(folder: Path) -> None:
    """Film a room by a camera that turns in its place: a video, and a clip whose lens is not known."""
    lens = Intrinsics.from_fov(width_px=200, height_px=144, fov_x_rad=np.radians(65))
    path = make_path("pan:left:20", 10, intrinsics=lens)
    frames = textured_room.film(path)
    write_video(folder / "pan.mp4", frames, 15)
    clip = Clip(name="turn", video=frames, num_context_frames=5, fps=15, cameras=path, caption="A room.",
                masks=np.zeros(frames.shape[:3], np.uint8), masks_are_instances=True)  # fmt: skip
    write_sample(folder / "turning" / "turn", clip)


def make_released(folder: Path) -> None:
    """Make HM-World's archive of one sample in two parts."""
    whole = io.BytesIO()
    write_sample(folder.with_name("sample"), square_clip("0001_park"))
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for path in sorted(folder.with_name("sample").iterdir()):
            if path.suffix in (".mp4", ".json") and path.name != "annotation.json":
                archive.add(path, f"HM-World/videos/0001_park/{path.name}")
    folder.mkdir()
    middle = len(whole.getvalue()) // 2
    (folder / "HM-World_aa").write_bytes(whole.getvalue()[:middle])
    (folder / "HM-World_ab").write_bytes(whole.getvalue()[middle:])
