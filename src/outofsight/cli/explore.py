"""``outofsight explore``: walk through a remembered world in the browser, and see what it remembers."""

import os
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from outofsight.cli import options as opt
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


@dataclass(frozen=True, kw_only=True)
class Explore:
    """What ``explore`` is asked for."""

    seed: Annotated[
        int | None, typer.Option(help=f"a world of the engine, by its seed (default: {SEED})")
    ] = None
    clip: Annotated[Path | None, typer.Option(help="walk on from a clip's folder")] = None
    video: Annotated[
        Path | None, typer.Option(help="walk on from a video of your own, filmed without moving the camera")
    ] = None
    prompt: Annotated[str | None, typer.Option(help="caption of --video, or a text file that holds it")] = (
        None
    )
    fov: Annotated[
        float, typer.Option(min=10, max=150, help="lens of --video: horizontal field of view, degrees")
    ] = 70.0
    state: Annotated[Path | None, typer.Option(help="go on with a walk that was saved here, or by roll")] = (
        None
    )
    model: opt.Model = "mini"
    strategy: opt.StrategyName = None
    settings: opt.RolloutSettings = None
    latent_frames: Annotated[
        int, typer.Option(min=1, max=16, help="latent frames of a step; each is 4 video frames")
    ] = 2
    walks: Annotated[Path | None, typer.Option(help="where walks are kept (default: the user's cache)")] = (
        None
    )
    host: Annotated[
        str, typer.Option(help="address to listen on; any but this machine's own needs a token, printed")
    ] = "127.0.0.1"
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="default: the first free one from 8765")
    ] = None
    no_browser: Annotated[bool, typer.Option("--no-browser", help="do not open a browser")] = False
    threads: Annotated[
        int | None, typer.Option(min=1, help="processor threads of the model (default: all cores but one)")
    ] = None
    device: opt.Device = "auto"

    @cached_property
    def begin(self) -> str:
        """What is begun with. Raises ``InputError`` where two things are named, or what they need is missing."""
        named = [name for name in ("seed", "clip", "video", "state") if getattr(self, name) is not None]
        if len(named) > 1:
            raise InputError(f"--{named[0]} and --{named[1]}: a walk begins with one of them; leave one out")
        if self.video is not None and self.prompt is None:
            raise InputError("--video needs --prompt: describe the scene and who is in it")
        if self.prompt is not None and self.video is None:
            raise InputError("--prompt goes with --video; other beginnings bring their caption")
        for name, path in (("clip", self.clip), ("video", self.video), ("state", self.state)):
            if path is not None and not path.exists():
                raise InputError(f"--{name}: {path} is not there")
        return named[0] if named else "seed"

    @cached_property
    def caption(self) -> str | None:
        return None if self.prompt is None else text_or_file(self.prompt, "--prompt")


@opt.takes(Explore)
def explore(asked: Explore) -> None:
    """Walk through a world in the browser; a map shows what the model remembers of what is out of sight."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(
            f"the explorer needs {', '.join(missing)}; install: pip install 'outofsight[explore]'"
        )
    begin, _ = asked.begin, asked.caption  # before anything is loaded
    find_model(asked.model)
    folder = asked.walks or _cache()
    with claimed(folder, filled=True):
        pass  # it can be written; walks lie in folders of their own
    from outofsight.web.serve import address_of, doors_of, listen, open_browser, serve
    from outofsight.web.server import explorer_app

    use = read_use(asked.model)
    plan = _plan(asked.model, use)
    if begin == "seed" and plan is None:
        raise InputError(
            "a world of the engine needs MuJoCo; install: pip install 'outofsight[worlds]', or --video"
        )
    with listen(asked.host, asked.port) as listening:
        house, offer = _house(asked, use, plan, folder)
        doors = doors_of(asked.host, listening)
        address = address_of(asked.host, listening, doors)
        app = explorer_app(house, offer, doors)
        Console(stderr=True).print(f"walk at {address} (Ctrl-C ends it)", soft_wrap=True, highlight=False)
        serve(app, listening, on_start=None if asked.no_browser else lambda: open_browser(address))


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "outofsight" / "walks"


def _plan(model: str, use: ModelUse) -> "PlanConfig | None":
    """Give the worlds that a model is at home in; ``None`` without the engine."""
    if any(find_spec(name) is None for name in RENDERING):
        return None
    from outofsight.web.own_worlds import own_worlds

    return own_worlds(model, use)


def _mind(asked: Explore, use: ModelUse) -> "ModelMind":
    from outofsight.cli.loading import load_world
    from outofsight.sampling.continuation import SamplingSettings
    from outofsight.web.mind import ModelMind

    own = {name: value for name, value in use.explore.items() if name != "strategy"}
    sampling = SamplingSettings(**{**use.sampling, **own, **parse_settings(asked.settings or [])})
    world = load_world(ModelSource(path=asked.model, device=asked.device))
    world.set_progress_bar_config(disable=True)
    name = "the mini" if asked.model == "mini" else Path(asked.model).name
    return ModelMind(name, world, use, sampling, strategy=asked.strategy or use.explore.get("strategy"))


def _house(asked: Explore, use: ModelUse, plan: "PlanConfig | None", folder: Path) -> "tuple[House, Any]":
    import torch

    from outofsight.web.engine import Engine
    from outofsight.web.own_worlds import choices_of
    from outofsight.web.server import Offer
    from outofsight.web.session import House
    from outofsight.web.store import WalkStore
    from outofsight.web.studio import Studio

    mind, studio = _mind(asked, use), Studio()
    count = asked.threads or max(1, (os.cpu_count() or 2) - 1)
    first = _first(mind, studio, plan, asked)
    house = House(
        mind=mind, engine=Engine(lambda: torch.set_num_threads(count)), studio=studio, store=WalkStore(folder),
        plan=plan, latent_frames=asked.latent_frames, first=first,
    )  # fmt: skip
    offer = Offer(
        choices=None if plan is None else choices_of(plan), num_context=use.num_context_frames, size=use.size,
        fps=use.fps,
    )  # fmt: skip
    return house, offer


def _first(mind: "ModelMind", studio: Any, plan: "PlanConfig | None", asked: Explore) -> Any:
    """Say how a new session begins; what it begins with is read or rendered once."""
    from outofsight.web.server import own_scene
    from outofsight.web.store import states_of
    from outofsight.web.studio import decode_apart

    use, begin, state = mind.use, asked.begin, asked.state

    @cache
    def scene() -> Any:
        from outofsight.web.scene import scene_of_clip

        if asked.video is not None and asked.caption is not None:
            video = decode_apart(asked.video, use.size, use.num_context_frames)
            return own_scene(video, asked.caption, asked.fov, use.fps, asked.video.name)
        if asked.clip is not None:
            from outofsight.data.sample import read_sample

            clip = read_sample(asked.clip, with_masks=False, with_depth=False)
            return scene_of_clip(clip, use.num_context_frames)
        seed = SEED if asked.seed is None else asked.seed
        return scene_of_clip(studio.ask("clip", plan, {"seed": seed}), use.num_context_frames, seed)

    def first(walk: "Walk") -> None:
        if state is None:
            walk.begin(scene())
        elif (state / "about.json").is_file():
            walk.resume(state)
        else:
            walk.resume_state(state, use.fps)

    if begin in ("clip", "video"):
        scene()  # say now if it cannot be read
    if state is not None:
        ours = (state / "about.json").is_file()
        for place in states_of(state) if ours else [state]:
            rollout, _ = mind.resume(place, lambda *_: None)
            rollout.close()
    return first
