"""Draw the contact sheets of docs/scenes.md: every place, and some in other layouts and lights.

python examples/scene_sheets.py --out docs/images
"""

import argparse
from pathlib import Path

import mujoco
import mujoco_warp
import numpy as np
import warp
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from outofsight.worlds.scenes import SceneLayout, add_scene, lay_out, scene_catalogue

WIDTH, HEIGHT, SAMPLES = 240, 144, 3  # a tile's pixels, and samples a pixel each way
TAN_HALF_FOV_X = np.tan(np.radians(40))
NUM_VIEWS = 8
BEST_VIEW = {  # of NUM_VIEWS directions, the one that shows best what the place is
    "street": 3, "plaza": 4, "park": 0, "car park": 4, "harbour": 4, "rooftop": 7, "warehouse": 1, "office": 5,
    "living room": 0, "museum": 4, "shop": 4, "forest": 4, "desert": 0, "snow village": 5, "farmyard": 5,
    "playground": 5, "table-top": 4,
}  # fmt: skip


def view(scene: str, seed: int, light: str, direction: int) -> NDArray[np.uint8]:
    """Render a place across its stage: uint8 [height, width, 3]."""
    layout = lay_out(scene, seed, light)
    spec = mujoco.MjSpec()
    add_scene(spec, layout)
    _add_camera(spec, layout, scene, 2 * np.pi * direction / NUM_VIEWS + 0.35)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    size = (WIDTH * SAMPLES, HEIGHT * SAMPLES)
    with warp.ScopedDevice("cpu"):
        context = mujoco_warp.create_render_context(
            model, cam_res=size, render_rgb=True, use_shadows=True, render_skybox=True
        )
        warp_model, warp_data = mujoco_warp.put_model(model), mujoco_warp.put_data(model, data)
        mujoco_warp.refit_bvh(warp_model, warp_data, context)
        mujoco_warp.render(warp_model, warp_data, context)
        picture = warp.zeros((1, size[1], size[0]), dtype=warp.vec3)
        mujoco_warp.get_rgb(context, 0, picture)
    samples = picture.numpy()[0].reshape(HEIGHT, SAMPLES, WIDTH, SAMPLES, 3)
    return np.round(255 * np.clip(samples.mean(axis=(1, 3)), 0, 1)).astype(np.uint8)


def _add_camera(spec: mujoco.MjSpec, layout: SceneLayout, scene: str, yaw_rad: float) -> None:
    """Stand at the stage's edge, at the place's usual height, and look across it."""
    x0, y0, x1, y1 = layout.stage
    away = np.array([np.cos(yaw_rad) * (x1 - x0), np.sin(yaw_rad) * (y1 - y0)])
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    height_m = sum(scene_catalogue()[scene].camera_height_m) / 2
    forward = np.array([np.cos(yaw_rad), np.sin(yaw_rad), -0.04])
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    camera = spec.worldbody.add_camera(name="camera", pos=(*(middle - 0.4 * away), height_m))
    camera.fovy = float(np.degrees(2 * np.arctan(TAN_HALF_FOV_X * HEIGHT / WIDTH)))
    camera.alt.type = mujoco.mjtOrientation.mjORIENTATION_XYAXES
    camera.alt.xyaxes = (*right, *np.cross(right, forward))


def tile(scene: str, seed: int, light: str, label: str) -> NDArray[np.uint8]:
    """Render a place and write its label into the corner."""
    picture = Image.fromarray(view(scene, seed, light, BEST_VIEW[scene]))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, HEIGHT - 15, 6.2 * len(label) + 8, HEIGHT), fill=(20, 22, 26))
    draw.text((4, HEIGHT - 13), label, fill=(240, 240, 235))
    return np.asarray(picture)


def save_sheet(tiles: list[NDArray[np.uint8]], path: Path, columns: int = 4) -> None:
    """Lay tiles side by side and save them."""
    blank = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
    tiles = [*tiles, *[blank] * (-len(tiles) % columns)]
    rows = [np.concatenate(tiles[start : start + columns], axis=1) for start in range(0, len(tiles), columns)]
    Image.fromarray(np.concatenate(rows)).save(path, quality=80, method=6)
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    scenes = scene_catalogue()
    places = [
        tile(name, 21, kind.lights[0], f"{name} (test only)" if kind.held_out else name)
        for name, kind in scenes.items()
    ]
    moods = (("park", 1, "night lamps"), ("snow village", 21, "dusk"), ("street", 5, "golden hour"))
    save_sheet([*places, *(tile(*mood, f"{mood[0]}, {mood[2]}") for mood in moods)], args.out / "scenes.webp")
    layouts = [
        tile(name, seed, scenes[name].lights[0], f"{name}, layout {seed}")
        for name in ("plaza", "playground", "living room", "table-top")
        for seed in (1, 2, 3, 4)
    ]
    lights = [
        tile(name, seed, light, f"{name}, {light}")
        for name, seed in (("street", 5), ("office", 21), ("harbour", 7))
        for light in scenes[name].lights
    ]
    save_sheet([*layouts, *lights], args.out / "scenes_layouts.webp")


if __name__ == "__main__":
    main()
