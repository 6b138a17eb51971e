"""How many frames a second does the engine make: the bare renderer, the renderer with its copies, end to end?

    python benchmarks/render.py                             # 96x160 and 480x832, 1 and 2x2 samples, 1 and 2 processes
    python benchmarks/render.py --device cuda:0 --clips 8   # the same on a GPU

The same worlds go through all three: *bare* is MuJoCo Warp's refit and render alone, on a context that stands;
*rendered* adds the context, the copies, the averaging and the masks; *end to end* adds planning, layout, model, body
animation, events, captions, mp4 and annotation files. One machine, one run: read the ratios, not the seconds. On a CPU
these three are timed in CPU seconds; whole builds by several processes in wall time, so leave the machine to them.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import mujoco_warp
import numpy as np
import torch
import warp
from rich.console import Console
from rich.table import Table

from outofsight.data.build import BuildConfig, build_dataset
from outofsight.data.dataset import SplitShares
from outofsight.data.sample import write_sample
from outofsight.worlds.clip import ClipMaker, render_clip
from outofsight.worlds.model import World, WorldPoses, build_world, pose_world
from outofsight.worlds.plan import plan_world
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.render import RenderSettings, batch_frames, render_world
from record import add_out, finish

QUESTION = (
    "frames a second of the bare renderer, of rendering, and end to end (masks, mp4, annotation), same worlds"
)
SIZES = {
    "96x160": (96, 160, 77, 77),
    "480x832": (480, 832, 8, 8),
}  # height, width, context and target frames


def clock(settings: RenderSettings) -> float:
    """Seconds of this process's own work on a CPU, where other programs cannot spoil them; wall time on a GPU."""
    on_cpu = str(settings.device or warp.get_preferred_device()) == "cpu"
    return time.process_time() if on_cpu else time.perf_counter()


def bare_seconds(world: World, poses: WorldPoses, settings: RenderSettings) -> float:
    """Time MuJoCo Warp's refit and render on one batch after another, with everything in place."""
    spec, factor = world.spec, settings.supersampling
    height, width = spec.height_px * factor, spec.width_px * factor
    batch = batch_frames(spec.num_frames, height * width)
    with warp.ScopedDevice(settings.device or warp.get_preferred_device()):
        model, data = mujoco_warp.put_model(world.model), mujoco_warp.make_data(world.model, nworld=batch)
        context = mujoco_warp.create_render_context(
            world.model, nworld=batch, cam_res=(width, height), render_rgb=True, render_seg=True, render_depth=False,
            use_shadows=settings.shadows, render_skybox=True,
        )  # fmt: skip
        data.light_xpos.assign(np.repeat(world.model.light_pos[None].astype(np.float32), batch, axis=0))
        data.light_xdir.assign(np.repeat(world.model.light_dir[None].astype(np.float32), batch, axis=0))
        seconds = 0.0
        for begin in range(0, spec.num_frames, batch):
            frames = np.minimum(np.arange(begin, begin + batch), spec.num_frames - 1)
            data.geom_xpos.assign(poses.geom_position_m[frames])
            data.geom_xmat.assign(poses.geom_rotation[frames])
            data.cam_xpos.assign(poses.camera_position_m[frames, None])
            data.cam_xmat.assign(poses.camera_rotation[frames, None])
            if begin == 0:
                mujoco_warp.render(model, data, context)  # the kernel is specialised and loaded
            warp.synchronize()
            start = clock(settings)
            mujoco_warp.refit_bvh(model, data, context)
            mujoco_warp.render(model, data, context)
            warp.synchronize()
            seconds += clock(settings) - start
    return seconds


def measure(plan: PlanConfig, settings: RenderSettings, num_clips: int) -> dict[str, float]:
    """Time the three stages in turn on each world, and the parts of the last one."""
    spent = dict.fromkeys(("bare", "rendered", "plan", "render_and_annotate", "write"), 0.0)
    for seed in range(num_clips):
        start = clock(settings)
        planned = plan_world(seed, plan)
        world = build_world(planned.spec, planned.layout)
        spent["plan"] += clock(settings) - start
        poses = pose_world(world)
        spent["bare"] += bare_seconds(world, poses, settings)
        start = clock(settings)
        render_world(world, poses, settings)
        spent["rendered"] += clock(settings) - start
        start = clock(settings)
        clip = render_clip("clip", world, settings, plan.rule)
        spent["render_and_annotate"] += clock(settings) - start
        with tempfile.TemporaryDirectory() as folder:
            start = clock(settings)
            write_sample(Path(folder) / "clip", clip)
            spent["write"] += clock(settings) - start
    frames = num_clips * plan.num_frames
    whole = spent["plan"] + spent["render_and_annotate"] + spent["write"]
    return {
        "bare_fps": frames / spent["bare"],
        "rendered_fps": frames / spent["rendered"],
        "end_to_end_fps": frames / whole,
        "rendered_over_bare": spent["bare"] / spent["rendered"],
        "end_to_end_over_bare": spent["bare"] / whole,
        **{f"share_{part}": spent[part] / whole for part in ("plan", "render_and_annotate", "write")},
    }


def build_fps(plan: PlanConfig, settings: RenderSettings, num_clips: int, workers: int) -> float:
    """Build a data set with so many processes and give frames a second of the whole, process start included."""
    recipe = json.loads(
        json.dumps({"plan": dataclasses.asdict(plan), "render": dataclasses.asdict(settings)})
    )
    config = BuildConfig(
        num_clips=num_clips,
        seed=0,
        recipe=recipe,
        shares=SplitShares(validation=0.0, test=0.0),
        workers=workers,
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        build_dataset(Path(folder) / "set", ClipMaker(plan=plan, render=settings), config)
        return num_clips * plan.num_frames / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="Warp device (default: its preferred one)")
    parser.add_argument("--clips", type=int, default=4, help="worlds for each case")
    parser.add_argument("--size", choices=list(SIZES), action="append", help="only this size (default: both)")
    parser.add_argument(
        "--processes", type=int, nargs="*", default=[1, 2], help="numbers of processes to build with"
    )
    add_out(parser)
    arguments = parser.parse_args()
    table = Table(
        "size", "samples", "bare", "rendered", "end to end", "end to end / bare", title="frames a second"
    )
    figures: list[dict[str, Any]] = []
    for size in arguments.size or SIZES:
        height, width, context, target = SIZES[size]
        few = (
            {}
            if context > 40
            else {"max_turn_deg_per_frame": 30.0, "min_hidden_frames": 3, "min_seen_frames": 3}
        )
        plan = PlanConfig(
            height_px=height, width_px=width, num_context_frames=context, num_target_frames=target, **few
        )
        for samples in (1, 2):
            settings = RenderSettings(supersampling=samples, device=arguments.device)
            row = measure(plan, settings, arguments.clips)
            builds = {n: build_fps(plan, settings, 2 * arguments.clips, n) for n in arguments.processes}
            figures.append({"size": size, "samples": samples**2, **row, "build_fps_by_processes": builds})
            cells = (f"{row[key]:.1f}" for key in ("bare_fps", "rendered_fps", "end_to_end_fps"))
            table.add_row(size, f"{samples}x{samples}", *cells, f"{row['end_to_end_over_bare']:.2f}")
    Console(width=100).print(table)
    device = str(arguments.device or warp.get_preferred_device())
    config = {"clips": arguments.clips, "device": device}
    versions = {"mujoco_warp": mujoco_warp.__version__, "warp": warp.__version__}
    finish("render", QUESTION, {**config, **versions}, figures, arguments.out, torch.device(device))


if __name__ == "__main__":
    main()
