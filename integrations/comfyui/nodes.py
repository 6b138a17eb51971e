"""World models in ComfyUI: load one, draw a camera path, continue a video, walk on step by step.

ComfyUI's IMAGE is a float tensor [frames, height, width, 3] in [0, 1]; cameras, models and walks are types of our own.
A node leaves what it is given as it is, since ComfyUI keeps it for the next run.
"""

from typing import Any

import torch

from outofsight import SamplingSettings
from outofsight.cli.loading import load_world
from outofsight.geometry.path_expressions import make_path
from outofsight.model_folders import ModelSource

CATEGORY = "outofsight"
MODEL, CAMERAS, WALK = "OUTOFSIGHT_MODEL", "OUTOFSIGHT_CAMERAS", "OUTOFSIGHT_WALK"


class LoadWorldModel:
    """Load a bundled model, a model folder or a hub id; optionally remembering by another strategy."""

    CATEGORY = CATEGORY
    RETURN_TYPES = (MODEL,)
    RETURN_NAMES = ("model",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("STRING", {"default": "mini"}),
                "device": (["auto", "cpu", "cuda"],),
            },
            "optional": {
                "strategy": ("STRING", {"default": "", "tooltip": "as `outofsight strategies` names them"})
            },
        }

    def load(self, model: str, device: str, strategy: str = "") -> tuple[Any]:
        world = load_world(ModelSource(path=model, device=device, strategy=strategy.strip() or None))
        world.set_progress_bar_config(disable=True)
        return (world,)


class CameraPathFromExpression:
    """Draw cameras from an expression such as ``pan:left:30,back``; with ``after`` the path goes on from its end."""

    CATEGORY = CATEGORY
    RETURN_TYPES = (CAMERAS,)
    RETURN_NAMES = ("cameras",)
    FUNCTION = "draw"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "expression": ("STRING", {"default": "pan:left:30,pan:right:30"}),
                "frames": ("INT", {"default": 41, "min": 1, "max": 100_000}),
                "fps": ("FLOAT", {"default": 15.0, "min": 0.1, "max": 240.0, "step": 0.1}),
            },
            "optional": {"after": (CAMERAS,)},
        }

    def draw(self, expression: str, frames: int, fps: float, after: Any = None) -> tuple[Any]:
        if after is None:
            return (make_path(expression, frames, fps=fps),)
        start = after.world_from_camera[-1]
        return (make_path(expression, frames + 1, start=start, fps=fps, intrinsics=after.intrinsics)[1:],)


SAMPLING = {
    "steps": ("INT", {"default": 8, "min": 1, "max": 1000}),
    "guidance": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 30.0, "step": 0.1}),
    "strength": ("FLOAT", {"default": 1.0, "min": 0.01, "max": 1.0, "step": 0.01}),
    "seed": ("INT", {"default": 0, "min": 0, "max": 2**63 - 1}),
}


class ContinueVideo:
    """Show what follows a video along coming cameras, all at once; ``rendered``: the same as memory renders it."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("IMAGE", "IMAGE")
    RETURN_NAMES = ("video", "rendered")
    FUNCTION = "continue_video"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": (MODEL,),
                "context": ("IMAGE",),
                "context_cameras": (CAMERAS,),
                "target_cameras": (CAMERAS,),
                "prompt": ("STRING", {"multiline": True, "default": ""}),
                **SAMPLING,
            }
        }

    def continue_video(
        self, model: Any, context: torch.Tensor, context_cameras: Any, target_cameras: Any, prompt: str,
        steps: int, guidance: float, strength: float, seed: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        made = model.continue_video(
            to_bytes(context), context_cameras, target_cameras, prompt,
            settings_of(steps, guidance, strength, seed), on_progress=lambda *_: None,
        )  # fmt: skip
        return to_image(made.video), to_image(made.video if made.rendered is None else made.rendered)


class BeginWalk:
    """Begin a walk through what a video shows; ``WalkStep`` goes on with it, as often as one likes."""

    CATEGORY = CATEGORY
    RETURN_TYPES = (WALK,)
    RETURN_NAMES = ("walk",)
    FUNCTION = "begin"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": (MODEL,),
                "context": ("IMAGE",),
                "context_cameras": (CAMERAS,),
                "prompt": ("STRING", {"multiline": True, "default": ""}),
                **SAMPLING,
            }
        }

    def begin(
        self, model: Any, context: torch.Tensor, context_cameras: Any, prompt: str,
        steps: int, guidance: float, strength: float, seed: int,
    ) -> tuple[Any]:  # fmt: skip
        settings = settings_of(steps, guidance, strength, seed)
        return (model.start(to_bytes(context), context_cameras, prompt, settings=settings),)


class WalkStep:
    """Show the coming cameras' view: 4·(k − 1) + 1 cameras in a walk's first step, 4·k later. The walk is forked, so
    that two steps from one moment are two futures."""

    CATEGORY = CATEGORY
    RETURN_TYPES = (WALK, "IMAGE")
    RETURN_NAMES = ("walk", "video")
    FUNCTION = "step"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"walk": (WALK,), "cameras": (CAMERAS,)}}

    def step(self, walk: Any, cameras: Any) -> tuple[Any, torch.Tensor]:
        forked = walk.fork()
        return forked, to_image(forked.step(cameras))


def settings_of(steps: int, guidance: float, strength: float, seed: int) -> Any:
    return SamplingSettings(num_inference_steps=steps, guidance_scale=guidance, strength=strength, seed=seed)


def to_bytes(image: torch.Tensor) -> Any:
    return (image[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def to_image(frames: Any) -> torch.Tensor:
    return torch.from_numpy(frames).float() / 255


NODE_CLASS_MAPPINGS = {
    "OutOfSightLoadModel": LoadWorldModel,
    "OutOfSightCameraPath": CameraPathFromExpression,
    "OutOfSightContinueVideo": ContinueVideo,
    "OutOfSightBeginWalk": BeginWalk,
    "OutOfSightWalkStep": WalkStep,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "OutOfSightLoadModel": "Load world model",
    "OutOfSightCameraPath": "Camera path",
    "OutOfSightContinueVideo": "Continue video",
    "OutOfSightBeginWalk": "Begin walk",
    "OutOfSightWalkStep": "Walk step",
}
