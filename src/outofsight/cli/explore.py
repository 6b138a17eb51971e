"""``outofsight explore``: walk through a remembered world in the browser, and see what it remembers."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from outofsight.cli.options import Device, Model, RolloutSettings, StrategyName
from outofsight.cli.values import parse_settings, text_or_file
from outofsight.data.outputs import claimed
from outofsight.errors import InputError
from outofsight.model_folders import ModelSource, ModelUse, find_model, read_use

if TYPE_CHECKING:
    from outofsight.web.mind import ModelMind
    from outofsight.web.session import House
    from outofsight.web.walk import Walk
    from outofsight.worlds.plan_config import PlanConfig

SEED = 12
NEEDED = ("starlette", "uvicorn", "websockets")
RENDERING = ("mujoco", "mujoco_warp", "warp")
Seed = Annotated[int | None, typer.Option(help=f"a world of the engine, by its seed (default: {SEED})")]
ClipFolder = Annotated[Path | None, typer.Option(help="walk on from a clip's folder")]
Video = Annotated[
    Path | None, typer.Option(help="walk on from a video of your own, filmed without moving the camera")
]
Prompt = Annotated[str | None, typer.Option(help="caption of --video, or a text file that holds it")]
Fov = Annotated[
    float, typer.Option(min=10, max=150, help="lens of --video: horizontal field of view, degrees")
]
State = Annotated[Path | None, typer.Option(help="go on with a walk that was saved here, or by roll")]
LatentFrames = Annotated[
    int, typer.Option(min=1, max=16, help="latent frames of a step; each is 4 video frames")
]
Walks = Annotated[Path | None, typer.Option(help="where walks are kept (default: the user's cache)")]
Host = Annotated[
    str, typer.Option(help="address to listen on; any but this machine's own needs a token, printed")
]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="default: the first free one from 8765")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="do not open a browser")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="processor threads of the model (default: all cores but one)")
]


def explore(
    seed: Seed = None,
    clip: ClipFolder = None,
    video: Video = None,
    prompt: Prompt = None,
    fov: Fov = 70.0,
    state: State = None,
    model: Model = "mini",
    strategy: StrategyName = None,
    settings: RolloutSettings = None,
    latent_frames: LatentFrames = 2,
    walks: Walks = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    no_browser: NoBrowser = False,
    threads: Threads = None,
    device: Device = "auto",
) -> None:
    """Walk through a world in the browser; a map shows what the model remembers of what is out of sight."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(
            f"the explorer needs {', '.join(missing)}; install: pip install 'outofsight[explore]'"
        )
    begin = _beginning(seed, clip, video, prompt, state)
    caption = None if prompt is None else text_or_file(prompt, "--prompt")
    find_model(model)
    folder = walks or _cache()
    with claimed(folder, filled=True):
        pass  # it can be written; walks lie in folders of their own
    from outofsight.web.serve import address_of, doors_of, listen, open_browser, serve
    from outofsight.web.server import explorer_app

    use, console = read_use(model), Console(stderr=True)
    plan = _plan(model, use)
    if begin == "seed" and plan is None:
        raise InputError(
            "a world of the engine needs MuJoCo; install: pip install 'outofsight[worlds]', or --video"
        )
    asked = {"seed": SEED if seed is None else seed, "clip": clip, "video": video, "state": state,
             "prompt": caption, "fov": fov}  # fmt: skip
    listening = listen(host, port)
    with listening:
        mind = _mind(model, use, strategy, settings or [], device)
        house, offer = _house(mind, use, plan, folder, latent_frames, threads, {**asked, "begin": begin})
        doors = doors_of(host, listening)
        address = address_of(host, listening, doors)
        app = explorer_app(house, offer, doors)
        console.print(f"walk at {address} (Ctrl-C ends it)", soft_wrap=True, highlight=False)
        serve(app, listening, on_start=None if no_browser else lambda: open_browser(address))


def _beginning(
    seed: int | None, clip: Path | None, video: Path | None, prompt: str | None, state: Path | None
) -> str:
    """Say what is begun with. Raises ``InputError`` where two things are named, or what they need is missing."""
    given = {"seed": seed, "clip": clip, "video": video, "state": state}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise InputError(f"--{named[0]} and --{named[1]}: a walk begins with one of them; leave one out")
    if video is not None and prompt is None:
        raise InputError("--video needs --prompt: describe the scene and who is in it")
    if prompt is not None and video is None:
        raise InputError("--prompt goes with --video; other beginnings bring their caption")
    for name, path in (("clip", clip), ("video", video), ("state", state)):
        if path is not None and not path.exists():
            raise InputError(f"--{name}: {path} is not there")
    return named[0] if named else "seed"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "outofsight" / "walks"


def _plan(model: str, use: ModelUse) -> "PlanConfig | None":
    """Give the worlds that a model is at home in; ``None`` without the engine."""
    if any(find_spec(name) is None for name in RENDERING):
        return None
    from outofsight.web.own_worlds import own_worlds

    return own_worlds(model, use)


def _mind(model: str, use: ModelUse, strategy: str | None, pairs: list[str], device: str) -> "ModelMind":
    from outofsight.cli.loading import load_world
    from outofsight.sampling.continuation import SamplingSettings
    from outofsight.web.mind import ModelMind

    own = {name: value for name, value in use.explore.items() if name != "strategy"}
    sampling = SamplingSettings(**{**use.sampling, **own, **parse_settings(pairs)})
    world = load_world(ModelSource(path=model, device=device))
    world.set_progress_bar_config(disable=True)
    name = "the mini" if model == "mini" else Path(model).name
    return ModelMind(name, world, use, sampling, strategy=strategy or use.explore.get("strategy"))


def _house(
    mind: "ModelMind", use: ModelUse, plan: "PlanConfig | None", folder: Path, latent_frames: int,
    threads: int | None, asked: dict[str, Any],
) -> "tuple[House, Any]":  # fmt: skip
    import torch

    from outofsight.web.engine import Engine
    from outofsight.web.own_worlds import choices_of
    from outofsight.web.server import Offer
    from outofsight.web.session import House
    from outofsight.web.store import WalkStore
    from outofsight.web.studio import Studio

    count = threads or max(1, (os.cpu_count() or 2) - 1)
    studio = Studio()
    first = _first(mind, studio, plan, asked)
    house = House(
        mind=mind, engine=Engine(lambda: torch.set_num_threads(count)), studio=studio, store=WalkStore(folder),
        plan=plan, latent_frames=latent_frames, first=first,
    )  # fmt: skip
    offer = Offer(
        choices=None if plan is None else choices_of(plan), num_context=use.num_context_frames, size=use.size,
        fps=use.fps,
    )  # fmt: skip
    return house, offer


def _first(mind: "ModelMind", studio: Any, plan: "PlanConfig | None", asked: dict[str, Any]) -> Any:
    """Say how a new session begins; what it begins with is read or rendered once."""
    from functools import cache

    from outofsight.web.server import own_scene
    from outofsight.web.store import states_of
    from outofsight.web.studio import decode_apart

    use, begin = mind.use, asked["begin"]

    @cache
    def scene() -> Any:
        from outofsight.web.scene import scene_of_clip

        if begin == "video":
            video = decode_apart(asked["video"], use.size, use.num_context_frames)
            return own_scene(video, asked["prompt"], asked["fov"], use.fps, asked["video"].name)
        if begin == "clip":
            from outofsight.data.sample import read_sample

            clip = read_sample(asked["clip"], with_masks=False, with_depth=False)
            return scene_of_clip(clip, use.num_context_frames)
        clip = studio.ask("clip", plan, {"seed": asked["seed"]})
        return scene_of_clip(clip, use.num_context_frames, asked["seed"])

    def first(walk: "Walk") -> None:
        if begin != "state":
            walk.begin(scene())
        elif (asked["state"] / "about.json").is_file():
            walk.resume(asked["state"])
        else:
            walk.resume_state(asked["state"], use.fps)

    if begin in ("clip", "video"):
        scene()  # say now if it cannot be read
    if begin == "state":
        ours = (asked["state"] / "about.json").is_file()
        for place in states_of(asked["state"]) if ours else [asked["state"]]:
            rollout, _ = mind.resume(place, lambda *_: None)
            rollout.close()
    return first
