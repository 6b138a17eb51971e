"""``HydraTransformer3DModel``: Wan's transformer whose every block remembers; its forward is the paper's figure."""

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from diffusers import ModelMixin  # noqa: F401 - by its name here, diffusers knows how to load this component
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.utils import BaseOutput
from jaxtyping import Float, Int
from torch import Tensor, nn

from outofsight.backbone.attention import HydraAttention, HydraAttnProcessor
from outofsight.backbone.bank_memory import BankRemembering, two_bank_memory
from outofsight.backbone.extra_keys import BankKeys, ExtraTokens
from outofsight.backbone.kept_context import KeptContext
from outofsight.backbone.loras import LoraLoading, scaled_loras
from outofsight.backbone.patches import WiderPatchEmbedding
from outofsight.backbone.rendered import RenderedMemory, check_rendered
from outofsight.backbone.sequence import (
    Inputs,
    Sequence,
    attention_context,
    checked_grid,
    checked_timestep,
    choose_sequence,
    kept_frames,
    known_intrinsics,
    mask_channel,
    older_frames,
    target_context,
    target_sequence,
    whole_again,
)
from outofsight.errors import CheckpointError, InputError
from outofsight.flow.matching import NUM_TRAIN_TIMESTEPS, round_to_bf16
from outofsight.memory.banks.state import RetrievedMemory
from outofsight.memory.context_choice import ContextSettings
from outofsight.memory.rivals import IdentityEncoder, StateMemory, identity_crops
from outofsight.memory.settings import (
    FLAT_NAMES,
    GROUPS,
    CameraSettings,
    MemorySettings,
    RivalSettings,
    check_banks_are_used,
    check_memory,
    flattened,
    read_bank_settings,
    read_group,
    read_rendering_settings,
)
from outofsight.memory.state_space import has_state_space
from outofsight.memory.strategies import MEMORY_FIELDS, Strategy, check_without_training
from outofsight.nn.cameras import Lenses
from outofsight.types import LatentGrid

WAN_1_3B: Mapping[str, Any] = MappingProxyType(
    {"num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960, "text_dim": 4096}
)
"""Sizes of Wan2.1-T2V-1.3B where diffusers' own defaults are another model's."""

FLOAT32_PARTS = ("two_banks", "rendered_memory")


@dataclass
class HydraTransformerOutput(BaseOutput):
    """``sample``: predicted velocity of all frames, context included [b, channels, f, height, width] (only the
    target part is meant to be used). ``retrieved_slices``: [b, layers, f, k], if asked for. ``context_frames``: those
    that the strategy let in, or ``None`` for all; frames f are then these and the target's. ``bank_keys``: what the two
    banks gave, to be reused in the other denoising steps."""

    sample: Tensor
    retrieved_slices: Int[Tensor, "b layers f k"] | None = None
    context_frames: Int[Tensor, "b c"] | None = None
    bank_keys: BankKeys | None = None


class HydraTransformer3DModel(LoraLoading, BankRemembering, WanTransformer3DModel):
    """Predict the flow velocity of a video from its clean context, its noisy target, all cameras and a caption.

    ``memory``, ``context``, ``cameras``, ``rivals``: groups of settings (``memory.settings``). ``banks``: what
    ``BankSettings`` are made of ({}: the defaults); then a two-bank memory reads the whole context. ``rendering``: what
    ``RenderingSettings`` are made of ({}: the defaults); then ``rendered`` memory is taken in. ``memory_strategy``: the
    name of all that. ``round_timestep_to_bf16``: round the time step as the published code does; set for published
    checkpoints. ``wan``: arguments of diffusers' ``WanTransformer3DModel``; defaults are those of Wan2.1-T2V-1.3B.

    The configuration that is saved, and that ``from_config`` takes, has the groups' settings by flat names
    (``memory_top_k``, ``context_rule``, ...), which are also those of a ``Strategy``.

    ``attention_frames_per_chunk`` (an attribute, not part of the configuration): query frames that attention
    gathers at a time; ``None`` is fastest, 1 needs least memory; the result is the same.

    Source: HyDRA, arXiv 2603.25716.
    """

    _keep_in_fp32_modules = [*WanTransformer3DModel._keep_in_fp32_modules, *FLOAT32_PARTS]  # noqa: RUF012
    # Asked outside forward, where no hook casts weights back.
    _skip_layerwise_casting_patterns = [  # noqa: RUF012
        *WanTransformer3DModel._skip_layerwise_casting_patterns, *FLOAT32_PARTS,
    ]  # fmt: skip
    # A frame's keys lie all over the sequence: splitting it among devices would change the result.
    _cp_plan = None

    def __init__(
        self,
        *,
        memory: MemorySettings | None = None,
        context: ContextSettings | None = None,
        cameras: CameraSettings | None = None,
        rivals: RivalSettings | None = None,
        banks: Mapping[str, Any] | None = None,
        rendering: Mapping[str, Any] | None = None,
        memory_strategy: str = "hydra",
        round_timestep_to_bf16: bool = False,
        **wan: Any,
    ) -> None:
        memory, context = memory or MemorySettings(), context or ContextSettings()
        cameras, rivals = cameras or CameraSettings(), rivals or RivalSettings()
        wan = {**WAN_1_3B, **wan}
        _check_wan(wan)
        super().__init__(**wan)
        self.register_to_config(
            **flattened(memory=memory, context=context, cameras=cameras, rivals=rivals),
            banks=banks, rendering=rendering, memory_strategy=memory_strategy,
            round_timestep_to_bf16=round_timestep_to_bf16,
        )  # fmt: skip
        in_channels, heads, eps = (
            self.config[name] for name in ("in_channels", "num_attention_heads", "eps")
        )
        width, patch = heads * self.config["attention_head_dim"], (1, *self.config["patch_size"][1:])
        self.memory_settings, self.context_settings = memory, context
        del self.rope  # rotations are part of what the attention layers share
        self.condition_embedder.timesteps_proj = WideTimesteps(self.config["freq_dim"])
        for layer, block in enumerate(self.blocks):
            block.attn1 = HydraAttention(
                width, heads, eps, memory.kernel, cameras.ray_octaves,
                reads_identity=rivals.identity_grid is not None,
                has_state_space=has_state_space(layer, rivals.state_space_every),
            )  # fmt: skip
            block.attn1.layer = layer
        self.state_memory, self.identity_encoder = None, None
        if rivals.state_grid is not None:
            self.state_memory = StateMemory(in_channels, rivals.state_width, rivals.state_grid, width)
        if rivals.identity_grid is not None:
            self.identity_encoder = IdentityEncoder(in_channels, rivals.identity_grid, width)
        if rivals.subject_mask != "none":
            self.patch_embedding = WiderPatchEmbedding(in_channels, width, patch, num_masks=1)
        self.two_banks = None if self.config["banks"] is None else two_bank_memory(self.config)
        self.rendered_memory = self._rendered_memory(width, patch)
        self.attention_frames_per_chunk: int | None = None
        self._trained_memory = {name: self.config[name] for name in MEMORY_FIELDS}

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        """Tell diffusers which settings a saved configuration has: those by flat names, and Wan's."""
        keys: set[str] = WanTransformer3DModel._get_init_keys(input_class)
        if not issubclass(input_class, HydraTransformer3DModel):
            return keys
        wan: set[str] = WanTransformer3DModel._get_init_keys(WanTransformer3DModel)
        return keys - {*GROUPS, "wan"} | FLAT_NAMES | wan

    @classmethod
    def extract_init_dict(
        cls, config_dict: Mapping[str, Any], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Put the settings of a saved configuration into their groups."""
        given, unused, hidden = super().extract_init_dict(config_dict, **kwargs)
        groups = {name: read_group(name, given) for name in GROUPS}
        others = {name: value for name, value in given.items() if name not in FLAT_NAMES}
        return {**others, **groups}, unused, hidden

    @property
    def needs_subject_masks(self) -> str:
        """Of which frames forward must be given subjects' masks: ``none``, ``context`` or ``all``."""
        if self.config["subject_mask"] == "true":
            return "all"
        needed = self.config["subject_mask"] != "none" or self.config["identity_grid"] is not None
        return "context" if needed else "none"

    @property
    def shows_rendered(self) -> bool:
        """Whether the memory in force is rendered, and the model is shown it."""
        banks = read_bank_settings(self.config)
        if banks is None or banks.rendered == "none":
            return False
        return self.rendered_memory is not None or banks.shown == "history"

    @property
    def shows_history(self) -> bool:
        """Whether rendered memory is shown as history tokens, not as channels."""
        banks = read_bank_settings(self.config)
        return banks is not None and banks.rendered != "none" and banks.shown == "history"

    @property
    def has_frame_noise(self) -> bool:
        """Whether each frame has a noise level of its own; clean context frames then have the time step 0."""
        return bool(self.config["frame_noise"] == "independent")

    def set_memory(self, name: str, settings: Mapping[str, Any]) -> None:
        """Remember in another way, with the weights as they are. ``settings``: of the configuration.

        Raises:
            InputError: a setting that is not the memory's, impossible, or that other weights are needed for.
        """
        check_without_training(Strategy(name=name, what="", settings=settings), self._trained_memory)
        wanted = {**self.config, **settings}
        check_memory(wanted)
        check_banks_are_used(name, wanted)
        self.register_to_config(**settings, memory_strategy=name)
        self.memory_settings, self.context_settings = (
            read_group(name, self.config) for name in ("memory", "context")
        )
        if self.has_banks:
            self.resize_banks()

    def forward(
        self,
        hidden_states: Float[Tensor, "b channels f height width"],
        timestep: Tensor,
        encoder_hidden_states: Float[Tensor, "b l text_dim"],
        context_cameras: Float[Tensor, "b c 12"] | None = None,
        target_cameras: Float[Tensor, "b t 12"] | None = None,
        *,
        intrinsics: Lenses | None = None,
        subject_masks: Float[Tensor, "b s frames height width"] | None = None,
        rendered: Float[Tensor, "b n t height width"] | None = None,
        retrieved: RetrievedMemory | None = None,
        bank_keys: BankKeys | None = None,
        kept_context: KeptContext | None = None,
        return_retrieval: bool = False,
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> HydraTransformerOutput | tuple[Tensor, ...]:
        """Predict the velocity of all frames.

        ``hidden_states``: clean context latents, then noisy target latents. ``timestep``: 0 to 1000, one for the whole
        video [b] (or [1], shared by the batch), or one for each frame [b, f]. ``context_cameras`` and
        ``target_cameras``: 3×4 poses relative to the first target frame, in metres, rows flattened to 12; their lengths
        say where the context ends. ``intrinsics``: fx, fy, cx, cy in shares of width and height; ``None``: as
        configured (``camera_fov_x_deg``); published models do not look. ``subject_masks``: where
        ``needs_subject_masks`` asks for them, the share (0 to 1) of each latent pixel that each subject covers, in the
        context frames or in all. ``rendered``: rendered memory of the target, its latents and ``condition_masks``;
        ``None``: nothing is shown. ``retrieved``, ``bank_keys``: what the two banks give for these target frames, or
        what it is to the layers; a model with banks makes what is not given, from the whole context. ``kept_context``:
        filled if it is empty; once made, the target alone goes through the layers (``backbone.kept_context``), and the
        context's velocity is zero.

        Raises:
            InputError: shapes that do not fit each other, or a video smaller than a memory token.
        """
        given = self._checked(
            hidden_states, timestep, context_cameras, target_cameras, intrinsics, subject_masks, rendered
        )
        sequence = choose_sequence(given, self.context_settings)
        if self.two_banks is not None or retrieved is not None:
            bank_keys = self.keys_of_banks(given, encoder_hidden_states, retrieved, bank_keys)
        log: deque[Tensor] | None = deque() if return_retrieval else None
        context = attention_context(self.config, self.memory_settings, given, sequence)._replace(
            extra=self._extra_tokens(given, sequence), banks=bank_keys, log=log, kept=kept_context,
            frames_per_chunk=self.attention_frames_per_chunk,
        )  # fmt: skip
        if kept_context is not None and kept_context.is_made:
            sequence, context = target_sequence(sequence), target_context(context)
        with scaled_loras(self, attention_kwargs) if attention_kwargs else nullcontext():
            tokens = self._patches(given, sequence)
            time, modulation, text = self._conditions(sequence, encoder_hidden_states)
            for block in self.blocks:
                tokens = self.checkpointed(block, tokens, text, modulation, context)
            sample = self._velocity(tokens, time, sequence.grid)
        sample = self._leaned(sample, sequence, given.rendered)
        if kept_context is not None:
            kept_context.is_made = True
        sample = whole_again(sample, sequence, given.grid)
        slices = None if log is None else torch.stack([each.to(log[0].device) for each in log], dim=1)
        if return_dict:
            return HydraTransformerOutput(
                sample=sample, retrieved_slices=slices, context_frames=sequence.chosen, bank_keys=bank_keys
            )
        return (sample,) if slices is None else (sample, slices)

    def _checked(
        self,
        latents: Tensor,
        timestep: Tensor,
        context_cameras: Tensor | None,
        target_cameras: Tensor | None,
        intrinsics: Tensor | None,
        subject_masks: Tensor | None,
        rendered: Tensor | None,
    ) -> Inputs:
        """Check what forward is given against each other, and fill in what is not."""
        if context_cameras is None or target_cameras is None:
            raise InputError(
                "expected context_cameras [b, c, 12] and target_cameras [b, f - c, 12], got none; "
                "geometry.conditioning.camera_conditioning makes them from camera paths"
            )
        grid = checked_grid(self.config, latents, context_cameras, target_cameras)
        if self.config["round_timestep_to_bf16"]:
            timestep = round_to_bf16(timestep)
        timestep = checked_timestep(timestep, grid, len(latents))
        lens = known_intrinsics(self.config, intrinsics, len(latents), latents.shape[-2:], latents.device)
        history = None
        if rendered is not None:
            if self.rendered_memory is None and not self.shows_history:
                raise InputError(
                    "this model is not shown rendered memory (its configuration has no `rendering`)"
                )
            check_rendered(rendered, latents, target_cameras.shape[1])
            if self.shows_history:
                history, rendered = rendered, None
        return Inputs(
            latents, timestep, context_cameras, target_cameras, lens, subject_masks, rendered, history, grid
        )

    def _patches(self, given: Inputs, sequence: Sequence) -> Float[Tensor, "b s d"]:
        """Embed patches, with subjects' masks or rendered memory as further channels where there are some."""
        if self.config["subject_mask"] != "none":
            masks = mask_channel(given, self.config["subject_mask"])
            masks = kept_frames(masks, sequence.chosen, given.grid.context_frames)
            patches = self.patch_embedding(sequence.latents, masks[:, :, -sequence.grid.frames :])
        elif given.rendered is not None and self.rendered_memory is not None:
            patches = self.patch_embedding(sequence.latents, given.rendered, self.rendered_memory.embed)
        else:
            patches = self.patch_embedding(sequence.latents)
        tokens: Tensor = patches.flatten(2).transpose(1, 2).contiguous()
        return tokens

    def _conditions(self, sequence: Sequence, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embed time step and caption: for the last layer [b, d], for each block [b, 6, d], and text states.

        A time step for each frame is one for each of its tokens: [b, s, d] and [b, s, 6, d].
        """
        timestep, per_token = sequence.timestep, None
        if timestep.ndim == 2:
            timestep = timestep.repeat_interleave(sequence.grid.tokens_per_frame, dim=1)
            timestep, per_token = timestep.flatten(), timestep.shape[1]
        time, modulation, text, _ = self.condition_embedder(timestep, text, None, timestep_seq_len=per_token)
        return time, modulation.unflatten(-1, (6, -1)), text

    def _velocity(
        self, tokens: Float[Tensor, "b s d"], time: Tensor, grid: LatentGrid
    ) -> Float[Tensor, "b channels f height width"]:
        """Apply Wan's last norm and projection, and put patches back to their places."""
        time = time if time.ndim == 3 else time[:, None]
        table = self.scale_shift_table.to(time.device)
        shift, scale = ((table[:, index] + time).to(tokens.device) for index in (0, 1))
        normed = self.norm_out(tokens.float()) * (1 + scale) + shift
        patches = self.proj_out(normed.type_as(tokens))
        _, rows, columns = self.config["patch_size"]
        patches = patches.unflatten(1, (grid.frames, grid.height, grid.width)).unflatten(
            -1, (rows, columns, -1)
        )
        velocity: Tensor = patches.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)
        return velocity

    def checkpointed(self, function: Callable[..., Any], *given: Any) -> Any:
        """Call a function; where gradients are checkpointed, so that backward calls it again."""
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            return self._gradient_checkpointing_func(function, *given)
        return function(*given)

    def _rendered_memory(self, width: int, patch: tuple[int, int, int]) -> RenderedMemory | None:
        """Make what takes rendered memory in, where the configuration asks for it."""
        settings = read_rendering_settings(self.config)
        if settings is None:
            return None
        if self.config["subject_mask"] != "none" or self.has_frame_noise:
            raise InputError("rendered memory goes with subject_mask='none' and frame_noise='shared' alone")
        channels = self.config["in_channels"]
        self.patch_embedding = WiderPatchEmbedding(channels, width, patch)
        return RenderedMemory(settings, channels, width, patch)

    def _leaned(self, sample: Tensor, sequence: Sequence, rendered: Tensor | None) -> Tensor:
        """Let the target's velocity lean towards the render, where one is shown."""
        if rendered is None or self.rendered_memory is None:
            return sample
        begins = sequence.grid.context_frames
        sigma = (sequence.timestep / NUM_TRAIN_TIMESTEPS).expand(len(sample)).float()
        noisy, velocity = sequence.latents[:, :, begins:], sample[:, :, begins:]
        leaned = self.rendered_memory.lean(velocity, noisy, rendered, sigma)
        return torch.cat((sample[:, :, :begins], leaned), dim=2)

    def _extra_tokens(self, given: Inputs, sequence: Sequence) -> ExtraTokens:
        """Make the tokens of the rivals' memories, from the whole context."""
        frames, masks, state, older = given.grid.context_frames, given.subject_masks, None, None
        context = given.latents[:, :, :frames]
        if self.config["state_space_every"] is not None:
            older = older_frames(self, given, sequence.chosen)
        if self.state_memory is not None:
            state = self.state_memory(context, given.context_cameras)
        if self.identity_encoder is None:
            return ExtraTokens(state, older=older)
        if masks is None or masks.shape[2] < frames:
            raise InputError(
                "this model is shown each subject's last visible crop: expected subject_masks [b, subjects, "
                f"{frames}, height, width] (share of each latent pixel, 0 to 1)"
            )
        crops, seen = identity_crops(context, masks[:, :, :frames], tuple(self.config["identity_grid"]))
        identity, known = self.identity_encoder(crops, seen)
        return ExtraTokens(state, identity, known, older)

    def set_attn_processor(self, processor: object) -> None:
        """Set attention processors as diffusers does, but refuse what would drop the memory; nothing is then changed.

        Raises:
            InputError: some self-attention would get a processor that is not a ``HydraAttnProcessor``.
        """
        chosen = processor if isinstance(processor, dict) else dict.fromkeys(self.attn_processors, processor)
        of_memory = [name for name in chosen if ".attn1." in name]
        dropped = [name for name in of_memory if not isinstance(chosen[name], HydraAttnProcessor)]
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


MEMORY_PARTS = (
    "context_camera_encoder", "target_camera_encoder", "ray_encoder", "tokenizer", "projector", "identity_attention",
    "state_space",
)  # fmt: skip
MEMORY_MODULES = (
    "state_memory.", "identity_encoder.", "two_banks.", "rendered_memory.", "patch_embedding.mask_weight",
)  # fmt: skip


def is_memory_parameter(name: str) -> bool:
    """Tell whether a parameter is ours and not Wan's."""
    return name.startswith(MEMORY_MODULES) or any(f".attn1.{part}." in name for part in MEMORY_PARTS)


class WideTimesteps(nn.Module):
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


def _check_wan(wan: Mapping[str, Any]) -> None:
    """Refuse what no model with a memory can be made of."""
    if flat := sorted(FLAT_NAMES & wan.keys()):
        raise InputError(
            f"{flat[0]} is a name of the saved configuration; give it in its group, such as "
            "memory=MemorySettings(top_k=5), or make the model by from_config"
        )
    patch = wan.get("patch_size", (1, 2, 2))
    if patch[0] != 1:
        raise InputError(
            f"each latent frame has its own camera, so patch_size must begin with 1, got {patch}"
        )
    if any(wan.get(name) is not None for name in ("image_dim", "added_kv_proj_dim", "pos_embed_seq_len")):
        raise InputError(
            "this is an image-to-video configuration; HyDRA is defined on Wan's text-to-video model"
        )
