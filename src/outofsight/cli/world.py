"""``outofsight world``: look at worlds, build clips of them, and look through what was built."""

import dataclasses
import json
import os
from collections.abc import Iterable
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from outofsight.cli.options import DryRun, group
from outofsight.cli.progress import shown_progress
from outofsight.cli.values import parse_frames, parse_settings, parse_size
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import InputError, OutputError, in_words
from outofsight.plugins import own_name

if TYPE_CHECKING:
    from outofsight.worlds.plan import PlanConfig
    from outofsight.worlds.render import RenderSettings
    from outofsight.worlds.spec import WorldSpec

SET_HELP = (
    "KEY=VALUE for plan.* and render.*, such as plan.max_subjects=8 or render.depth=true; may be repeated"
)

Sets = Annotated[list[str] | None, typer.Option("--set", help=SET_HELP)]
Size = Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of the pictures (default: 96x160)")]
Frames = Annotated[str | None, typer.Option(help="CONTEXT+TARGET frames (default: 77+77)")]
Preset = Annotated[
    str | None, typer.Option(help="a named world, such as mini: what the bundled model was trained in")
]


def build_world() -> typer.Typer:
    """Gather the verbs of ``outofsight world``."""
    about = "Worlds whose subjects leave, move on unseen, and return."
    return group(
        about, list=list_parts, preview=preview, build=build_clips, check=check, stats=stats, pack=pack
    )


def list_parts() -> None:
    """List the scenes, subjects, subject paths and camera trajectories."""
    _choose_gl()
    from outofsight.worlds.cameras import camera_starts, camera_trajectories
    from outofsight.worlds.paths import subject_paths
    from outofsight.worlds.scenes import scene_catalogue
    from outofsight.worlds.subjects import subject_catalogue

    console = Console(width=120)
    scenes, subjects = scene_catalogue().values(), subject_catalogue().values()
    _show(
        console, f"{len(scenes)} scenes (* held out for the test part)", ("name", "what", "lights"),
        ((_starred(s.name, s.held_out), s.noun, ", ".join(s.lights)) for s in scenes),
    )  # fmt: skip
    _show(
        console, f"{len(subjects)} subjects (* held out for the test part)",
        ("name", "category", "height, m", "walks, runs, m/s", "can take off"),
        (
            (_starred(s.name, s.held_out), s.category, f"{s.height_m:.2f}",
             f"{s.walk_speed_m_s:.1f}, {s.run_speed_m_s:.1f}", ", ".join(s.removable))
            for s in subjects
        ),
    )  # fmt: skip
    paths, cameras = subject_paths().values(), camera_trajectories().values()
    _show(console, f"{len(paths)} subject paths", ("name", "walks"), ((p.name, p.noun) for p in paths))
    starts = ", ".join(camera_starts())
    _show(
        console, f"{len(cameras)} camera trajectories, each begun {starts}", ("name", "the camera"),
        ((c.name, c.noun.format(subject="a subject")) for c in cameras),
    )  # fmt: skip


def _starred(name: str, held_out: bool) -> str:
    return f"{name} *" if held_out else name


def _show(console: Console, title: str, heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    table = Table(*heads, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def preview(
    out: Annotated[Path, typer.Option(help="folder for sheet.png, map.png, clip.mp4 and spec.json")],
    seed: Annotated[int, typer.Option(min=0, help="seed of the world")] = 0,
    spec: Annotated[Path | None, typer.Option(help="a spec.json to show instead of drawing a world")] = None,
    preset: Preset = None,
    size: Size = None,
    frames: Frames = None,
    settings: Sets = None,
    dry_run: DryRun = False,
) -> None:
    """Draw one world: a contact sheet of its frames, and a map with camera views and subjects' ways."""
    _choose_gl(settings)
    from outofsight.data.video import write_video
    from outofsight.files import write_text
    from outofsight.worlds.clip import render_clip
    from outofsight.worlds.model import build_world
    from outofsight.worlds.plan import plan_world
    from outofsight.worlds.preview import contact_sheet, draw_map, save_picture
    from outofsight.worlds.render import check_rendering
    from outofsight.worlds.spec import spec_to_json

    plan, render = _configs(size, frames, settings, preset)
    sheet, drawing, film, spec_file = (
        out / name for name in ("sheet.png", "map.png", "clip.mp4", "spec.json")
    )
    check_outputs([sheet, drawing, film, spec_file], [spec], ours=_is_spec(spec_file))
    drawn = _read_spec(spec) if spec is not None else plan_world(seed, plan).spec
    world = build_world(drawn)
    check_rendering(render)
    if dry_run:
        print(f"would write {sheet}, {drawing.name}, {film.name} and {spec_file.name}")
        return
    with claimed(out, filled=True):
        clip = render_clip(f"seed_{seed}", world, render, plan.rule)
        write_text(spec_file, spec_to_json(drawn) + "\n")  # first: by it the others are known to be ours
        save_picture(contact_sheet(clip, zoom=max(1, 240 // clip.video.shape[2])), sheet)
        draw_map(world, clip.subjects, drawing)
        write_video(film, clip.video, fps=clip.fps)
    print(clip.caption)
    for record in clip.extra["subjects"]:
        for span in record["reentries"]:
            print(
                f"{record['noun']}: hidden from frame {span['exit_frame']}, back at frame {span['entry_frame']}"
            )
    print(f"{out}/sheet.png {out}/map.png {out}/clip.mp4 {out}/spec.json")


def _read_spec(path: Path) -> "WorldSpec":
    from outofsight.files import read_text
    from outofsight.worlds.spec import spec_from_json

    return spec_from_json(read_text(path), str(path))


def _is_spec(path: Path) -> bool:
    try:
        return bool(_read_spec(path))
    except InputError:
        return False


def build_clips(
    out: Annotated[Path, typer.Option(help="folder of the data set; an unfinished one is gone on with")],
    clips: Annotated[int, typer.Option(max=10_000_000, help="number of clips, all parts together")],
    preset: Preset = None,
    size: Size = None,
    frames: Frames = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of the data set")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="processes on this machine")] = 1,
    ray: Annotated[bool, typer.Option("--ray", help="build on the Ray cluster at hand")] = False,
    splits: Annotated[str, typer.Option(help="shares VALIDATION,TEST; the rest is training")] = "0.1,0.1",
    settings: Sets = None,
    dry_run: DryRun = False,
) -> None:
    """Build a data set of clips in which subjects leave and return. Stop it when you like; run it again to go on."""
    _choose_gl(settings)
    from outofsight.data.build import BuildConfig, build_dataset, check_dataset_place
    from outofsight.data.dataset import clip_job
    from outofsight.worlds.clip import ClipMaker, cast_plan
    from outofsight.worlds.render import check_rendering

    plan, render = _configs(size, frames, settings, preset)
    recipe = {"plan": dataclasses.asdict(plan), "render": dataclasses.asdict(render)}
    config = BuildConfig(
        num_clips=clips, seed=seed, recipe=json.loads(json.dumps(recipe)), shares=_shares(splits), workers=workers,
        cluster=ray,
    )  # fmt: skip
    check_dataset_place(out, config)
    for casting in {clip_job(index, seed, config.shares).casting for index in range(clips)}:
        cast_plan(plan, casting)
    check_rendering(render)
    if dry_run:
        print(json.dumps(config.identity, indent=2))
        return
    with shown_progress(Console(stderr=True), "clips", clips) as show:
        report = build_dataset(out, ClipMaker(plan=plan, render=render), config, progress=show)
    print(f"{out}: {report.num_clips} clips, {report.num_found} of them were there already; see README.md")
    print(
        f"accepted by geometry: {report.num_rendered} of {report.num_drawn} drawn worlds; "
        f"confirmed by masks: {report.num_clips} of {report.num_rendered} rendered"
    )


def _shares(text: str) -> Any:
    from outofsight.data.dataset import SplitShares

    try:
        validation, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--splits: expected VALIDATION,TEST such as 0.1,0.1, got {text!r}") from error
    return SplitShares(validation=validation, test=test)


def check(
    folder: Annotated[Path, typer.Argument(help="a data set of ours or a folder of HM-World samples")],
) -> None:
    """Read every sample in full and name what is wrong. Exit code 1 if anything is."""
    from outofsight.data.check import check_dataset

    report = check_dataset(folder)
    for finding in report.findings:
        print(f"{finding.sample}: {finding.message}")
    boxes = f"; boxes agree with masks at a mean IoU of {report.mean_box_iou:.3f} (n={report.num_boxes})"
    print(f"{report.num_samples} samples, {len(report.findings)} findings{boxes if report.num_boxes else ''}")
    if report.findings:
        raise typer.Exit(1)


def stats(
    folder: Annotated[Path, typer.Argument(help="a data set of ours or a folder of HM-World samples")],
    out: Annotated[Path | None, typer.Option(help="PNG file for the drawing")] = None,
    dry_run: DryRun = False,
) -> None:
    """Count what is in a folder: absences, returns, subjects, scenes, cameras."""
    from outofsight.data.card import dataset_stats, draw_stats, is_drawing, summary

    if out is not None:
        check_outputs([out], [folder], ours=is_drawing(out))
    counted = dataset_stats(folder)
    print(json.dumps(summary(counted), indent=2, ensure_ascii=False))
    if out is not None and dry_run:
        print(f"would write {out}")
    elif out is not None:
        with claimed(out):
            draw_stats(counted, out)


def pack(
    folder: Annotated[Path, typer.Argument(help="a data set of ours")],
    out: Annotated[Path, typer.Option(help="folder for the tar shards; must not exist")],
    split: Annotated[str, typer.Option(help="part to pack: train, validation or test")] = "train",
    per_shard: Annotated[int, typer.Option(min=1, help="samples in a shard")] = 256,
    dry_run: DryRun = False,
) -> None:
    """Pack a part into tar shards in WebDataset form."""
    from outofsight.data.dataset import open_dataset
    from outofsight.data.shards import write_shards

    if out.exists():
        raise OutputError(f"{out}: is there already; choose another --out for the shards")
    check_outputs([out], [folder])
    entries = open_dataset(folder, split).entries
    if dry_run:
        print(f"would write {out}: {ceil(len(entries) / per_shard)} shards")
        return
    with claimed(out):
        shards = write_shards(entries, out, per_shard)
    print(f"{out}: {len(shards)} shards")


def _choose_gl(settings: list[str] | None = None) -> None:
    """MuJoCo picks its OpenGL platform when it is imported: without a display, EGL is the one that can work."""
    wants_opengl = any(pair.replace(" ", "") == "render.renderer=opengl" for pair in settings or [])
    if wants_opengl and "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")


def _configs(
    size: str | None, frames: str | None, pairs: list[str] | None, preset_name: str | None = None
) -> tuple["PlanConfig", "RenderSettings"]:
    """Gather what to plan and how to render.

    Raises:
        InputError: a setting that is not there, of another type, or other than the preset's.
    """
    from outofsight.worlds.plan import PlanConfig
    from outofsight.worlds.presets import preset
    from outofsight.worlds.render import RenderSettings

    plan, render = _chosen(size, frames, pairs)
    render_settings = _typed(RenderSettings, "render", render)
    if preset_name is None:
        return _typed(PlanConfig, "plan", plan), render_settings
    named = preset(preset_name)
    asked = _typed(PlanConfig, "plan", {**dataclasses.asdict(named), **plan})
    for name in plan:
        its, other = getattr(named, name), getattr(asked, name)
        if its != other:
            raise InputError(
                f"--preset {preset_name} has {name} = {its}, but {other} was asked for; leave out one of the two"
            )
    return named, render_settings


def _chosen(
    size: str | None, frames: str | None, pairs: list[str] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sort what was given on the command line into settings of the plan and of the rendering."""
    chosen: dict[str, dict[str, Any]] = {"plan": {}, "render": {}}
    if size is not None:
        chosen["plan"].update(zip(("height_px", "width_px"), parse_size(size), strict=True))
    if frames is not None:
        halves = ("num_context_frames", "num_target_frames")
        chosen["plan"].update(zip(halves, parse_frames(frames), strict=True))
    for key, value in parse_settings(pairs or []).items():
        owner, _, name = key.partition(".")
        if owner not in chosen:
            raise InputError(f"--set: expected plan.NAME=VALUE or render.NAME=VALUE, got {key!r}")
        chosen[owner][name] = value
    return chosen["plan"], chosen["render"]


def _typed(kind: Any, owner: str, values: dict[str, Any]) -> Any:
    """Make a config of settings, each of the type of the field's default. Raises ``InputError`` for any other."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    checked = {}
    for name, value in values.items():
        if name not in fields:
            raise InputError(f"--set {owner}.{name}: no such setting; known are {', '.join(fields)}")
        default = fields[name].default
        if isinstance(default, tuple):
            value = tuple(value if isinstance(value, list | tuple) else str(value).split(","))
            if name == "scenes":
                value = tuple(own_name(str(scene), "--set plan.scenes") for scene in value)
        elif isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        elif default is not None and type(value) is not type(default):
            raise InputError(f"--set {owner}.{name}: expected {in_words(type(default))}, got {value!r}")
        checked[name] = value
    return kind(**checked)
