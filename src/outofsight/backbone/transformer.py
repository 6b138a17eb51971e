"""``HydraTransformer3DModel``: Wan's video transformer whose every block remembers."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import radians
from typing import Any

import torch
from diffusers import ModelMixin  # noqa: F401 - by its name here, diffusers knows how to load this component
from diffusers.configuration_utils import register_to_config
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.utils import BaseOutput
from jaxtyping import Float, Int
from torch import Tensor, nn

from outofsight.backbone.attention import (
    CAMERA_DIM,
    AttentionGuide,
    HydraAttention,
    HydraAttnProcessor,
    RetrievalLog,
)
from outofsight.errors import CheckpointError, InputError
from outofsight.flow.schedule import round_to_bf16
from outofsight.memory.selectors import fov_affinity, local_window, slices_inside
from outofsight.memory.settings import MemorySettings
from outofsight.memory.tokenizer import memory_grid, memory_rotary_table, video_rotary_table
from outofsight.nn.rays import ray_features
from outofsight.types import LatentGrid


@dataclass
class HydraTransformerOutput(BaseOutput):
    """``sample``: predicted velocity of all frames, context included [b, channels, f, height, width] (only the
    target part is meant to be used). ``retrieved_slices``: [b, layers, f, k], if asked for."""

    sample: Tensor
    retrieved_slices: Int[Tensor, "b layers f k"] | None = None


class _GuideSlot(nn.Module):
    """Stands where ``WanTransformer3DModel`` computes rotary embeddings, and hands on the guide instead."""

    guide: AttentionGuide | None = None

    def forward(self, hidden_states: Tensor) -> AttentionGuide:
        if self.guide is None:
            raise InputError("call the model itself: its forward takes context_cameras and target_cameras")
        return self.guide


class _WideTimesteps(nn.Module):
    """Sinusoids of the time step, computed in float64 as Wan does.

    In float32, diffusers' own are off by up to 6e-5 at a time step of 1000, more than all the rest of the model.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.half_dim = dim // 2

    def forward(self, timestep: Float[Tensor, " n"]) -> Float[Tensor, "n dim"]:
        wide = torch.float32 if timestep.device.type == "mps" else torch.float64
        exponents = torch.arange(self.half_dim, device=timestep.device, dtype=wide) / self.half_dim
        angles = torch.outer(timestep.to(wide), 10000.0**-exponents)
        return torch.cat((angles.cos(), angles.sin()), dim=-1).float()


class HydraTransformer3DModel(WanTransformer3DModel):
    """Predict the flow velocity of a video from its clean context, its noisy target, all cameras and a caption.

    Arguments are those of diffusers' ``WanTransformer3DModel`` and the memory's (see ``MemorySettings``).
    ``camera_ray_octaves``: above 0, every token also knows the ray it looks along (``nn.rays``; 0, as published: only
    its frame's pose); ``camera_fov_x_deg``: the field of view of those rays and of the affinity ``fov_overlap``.
    ``round_timestep_to_bf16``: round the time step as the published code does; set for published checkpoints.

    ``attention_frames_per_chunk`` (an attribute, not part of the configuration): query frames that attention
    gathers at a time; ``None`` is fastest, 1 needs least memory; the result is the same.

    Source: HyDRA, arXiv 2603.25716.
    """

    _cp_plan = (
        None  # a frame's keys lie all over the sequence: splitting it among devices would change the result
    )

    @register_to_config
    def __init__(
        self,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        num_attention_heads: int = 12,
        attention_head_dim: int = 128,
        in_channels: int = 16,
        out_channels: int = 16,
        text_dim: int = 4096,
        freq_dim: int = 256,
        ffn_dim: int = 8960,
        num_layers: int = 30,
        cross_attn_norm: bool = True,
        qk_norm: str | None = "rms_norm_across_heads",
        eps: float = 1e-6,
        image_dim: int | None = None,
        added_kv_proj_dim: int | None = None,
        rope_max_seq_len: int = 1024,
        pos_embed_seq_len: int | None = None,
        memory_kernel: tuple[int, int, int] = (2, 2, 2),
        memory_top_k: int = 10,
        local_window: int = 5,
        memory_affinity: str = "mean_pooled",
        memory_source: str = "all",
        camera_fov_x_deg: float = 90.0,
        camera_ray_octaves: int = 0,
        round_timestep_to_bf16: bool = False,
    ) -> None:
        if patch_size[0] != 1:
            raise InputError(
                f"each latent frame has its own camera, so patch_size must begin with 1, got {patch_size}"
            )
        if image_dim is not None or added_kv_proj_dim is not None or pos_embed_seq_len is not None:
            raise InputError(
                "this is an image-to-video configuration; HyDRA is defined on Wan's text-to-video model"
            )
        super().__init__(
            patch_size=tuple(patch_size),
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            in_channels=in_channels,
            out_channels=out_channels,
            text_dim=text_dim,
            freq_dim=freq_dim,
            ffn_dim=ffn_dim,
            num_layers=num_layers,
            cross_attn_norm=cross_attn_norm,
            qk_norm=qk_norm,
            eps=eps,
            rope_max_seq_len=rope_max_seq_len,
        )
        self.rope = _GuideSlot()
        self.condition_embedder.timesteps_proj = _WideTimesteps(freq_dim)
        width = num_attention_heads * attention_head_dim
        for block in self.blocks:
            block.attn1 = HydraAttention(
                width, num_attention_heads, eps, self.memory_settings.kernel, camera_ray_octaves
            )
        self.attention_frames_per_chunk: int | None = None

    @cached_property
    def memory_settings(self) -> MemorySettings:
        """The memory part of the configuration, validated."""
        config = self.config
        return MemorySettings(
            kernel=tuple(config["memory_kernel"]),
            top_k=config["memory_top_k"],
            local_window=config["local_window"],
            affinity=config["memory_affinity"],
            source=config["memory_source"],
            fov_x_deg=config["camera_fov_x_deg"],
        )

    def forward(
        self,
        hidden_states: Float[Tensor, "b channels f height width"],
        timestep: Tensor,
        encoder_hidden_states: Float[Tensor, "b l text_dim"],
        context_cameras: Float[Tensor, "b c 12"] | None = None,
        target_cameras: Float[Tensor, "b t 12"] | None = None,
        *,
        return_retrieval: bool = False,
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> HydraTransformerOutput | tuple[Tensor, ...]:
        """Predict the velocity of all frames.

        ``hidden_states``: clean context latents, then noisy target latents. ``timestep``: 0 to 1000, one for the
        whole video [b] (or [1], shared by the batch), or one for each frame [b, f]. ``context_cameras`` and
        ``target_cameras``: 3×4 poses relative to the first target frame, in metres, rows flattened to 12; their
        lengths say where the context ends.

        Raises:
            InputError: shapes that do not fit each other, or a video smaller than a memory token.
        """
        grid = self._grid(hidden_states, context_cameras, target_cameras)
        assert context_cameras is not None
        assert target_cameras is not None
        log = RetrievalLog() if return_retrieval else None
        self.rope.guide = self._guide(grid, context_cameras, target_cameras, hidden_states, log)
        try:
            (sample,) = super().forward(
                hidden_states,
                self._token_timesteps(timestep, grid, hidden_states.shape[0]),
                encoder_hidden_states,
                return_dict=False,
                attention_kwargs=attention_kwargs,
            )
        finally:
            self.rope.guide = None
        retrieved = log.stacked() if log is not None else None
        if return_dict:
            return HydraTransformerOutput(sample=sample, retrieved_slices=retrieved)
        return (sample,) if retrieved is None else (sample, retrieved)

    def _grid(
        self, latents: Tensor, context_cameras: Tensor | None, target_cameras: Tensor | None
    ) -> LatentGrid:
        """Check the inputs against each other and return the token grid."""
        if context_cameras is None or target_cameras is None:
            raise InputError(
                "expected context_cameras [b, c, 12] and target_cameras [b, f - c, 12], got none; "
                "geometry.conditioning.camera_conditioning makes them from camera paths"
            )
        if latents.ndim != 5 or latents.shape[1] != self.config["in_channels"]:
            raise InputError(
                f"expected latents [b, {self.config['in_channels']}, f, height, width], got {list(latents.shape)}"
            )
        batch, _, frames, height, width = latents.shape
        for name, cameras in (("context_cameras", context_cameras), ("target_cameras", target_cameras)):
            if cameras.ndim != 3 or cameras.shape[0] != batch or cameras.shape[2] != CAMERA_DIM:
                raise InputError(
                    f"expected {name} [{batch}, frames, {CAMERA_DIM}], got {list(cameras.shape)}"
                )
        if context_cameras.shape[1] + target_cameras.shape[1] != frames:
            raise InputError(
                f"{context_cameras.shape[1]} context and {target_cameras.shape[1]} target cameras do not make up the "
                f"{frames} latent frames; give one for each"
            )
        _, patch_rows, patch_columns = self.config["patch_size"]
        if height % patch_rows or width % patch_columns:
            raise InputError(
                f"a latent picture must be divisible by the patch {patch_rows}×{patch_columns}, got {height}×{width}"
            )
        return LatentGrid(
            frames=frames,
            height=height // patch_rows,
            width=width // patch_columns,
            context_frames=context_cameras.shape[1],
        )

    def _token_timesteps(self, timestep: Tensor, grid: LatentGrid, batch: int) -> Tensor:
        """Return the time step of each batch element [b], or of each of its tokens [b, s]."""
        if self.config["round_timestep_to_bf16"]:
            timestep = round_to_bf16(timestep)
        if timestep.ndim == 1 and timestep.shape[0] in (1, batch):
            return timestep.expand(batch)
        if timestep.ndim == 2 and timestep.shape == (batch, grid.frames):
            return timestep.repeat_interleave(grid.tokens_per_frame, dim=1)
        raise InputError(
            f"expected a timestep of shape [1], [{batch}] or [{batch}, {grid.frames}], got {list(timestep.shape)}"
        )

    def _guide(
        self,
        grid: LatentGrid,
        context_cameras: Tensor,
        target_cameras: Tensor,
        latents: Tensor,
        log: RetrievalLog | None,
    ) -> AttentionGuide:
        """Compute once what every layer needs."""
        settings, device = self.memory_settings, latents.device
        frames_per_slice = settings.kernel[0]
        source = grid if settings.source == "all" else replace(grid, frames=grid.context_frames)
        num_slices = memory_grid(source, settings.kernel).frames
        windows = local_window(grid.frames, settings.local_window, device)
        poses = torch.cat((context_cameras, target_cameras), dim=1)
        fov_x_rad, octaves = radians(settings.fov_x_deg), self.config["camera_ray_octaves"]
        rays = ray_features(poses, grid, fov_x_rad, octaves).to(latents.dtype) if octaves else None
        camera_scores = None
        if settings.affinity == "fov_overlap":
            camera_scores = fov_affinity(poses, grid, num_slices, frames_per_slice, fov_x_rad)
        head_dim = self.config["attention_head_dim"]
        return AttentionGuide(
            grid=grid,
            memory_source=source,
            settings=settings,
            rotary=video_rotary_table(grid, head_dim, device),
            memory_rotary=memory_rotary_table(source, settings.kernel, head_dim, device),
            context_cameras=context_cameras.to(latents.dtype),
            target_cameras=target_cameras.to(latents.dtype),
            windows=windows,
            excluded=slices_inside(windows, num_slices, frames_per_slice),
            camera_scores=camera_scores,
            rays=rays,
            frames_per_chunk=self.attention_frames_per_chunk,
            log=log,
        )

    def set_attn_processor(self, processor: object) -> None:
        """Set attention processors as diffusers does, but refuse what would drop the memory; nothing is then changed.

        Raises:
            InputError: some self-attention would get a processor that is not a ``HydraAttnProcessor``.
        """
        chosen = processor if isinstance(processor, dict) else dict.fromkeys(self.attn_processors, processor)
        dropped = [
            name
            for name, value in chosen.items()
            if ".attn1." in name and not isinstance(value, HydraAttnProcessor)
        ]
        if dropped:
            raise InputError(
                f"{type(chosen[dropped[0]]).__name__} would silently drop HyDRA's memory from {dropped[0]} and "
                f"{len(dropped) - 1} more; give a dict that keeps a HydraAttnProcessor for every attn1"
            )
        super().set_attn_processor(processor)

    @classmethod
    def from_wan(cls, wan: WanTransformer3DModel, **memory: Any) -> "HydraTransformer3DModel":
        """Start from a plain Wan text-to-video model: its weights, and a memory that is yet to be trained.

        ``memory``: this class's own arguments, such as ``memory_top_k``.

        Raises:
            CheckpointError: the model has parts that this one lacks (an image-to-video model).
        """
        config = {key: value for key, value in wan.config.items() if not key.startswith("_")}
        model = cls.from_config({**config, **memory})
        missing, unexpected = model.load_state_dict(wan.state_dict(), strict=False)
        foreign = [name for name in missing if not is_memory_parameter(name)]
        if foreign or unexpected:
            raise CheckpointError(
                f"this Wan model does not fit: missing {foreign[:3]}, unexpected {unexpected[:3]}"
            )
        return model.to(wan.dtype)


MEMORY_PARTS = ("context_camera_encoder", "target_camera_encoder", "ray_encoder", "tokenizer", "projector")


def is_memory_parameter(name: str) -> bool:
    """Tell whether a parameter is HyDRA's own and not Wan's."""
    return any(f".attn1.{part}." in name for part in MEMORY_PARTS)
