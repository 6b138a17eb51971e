"""``HydraTransformer3DModel``: Wan's video transformer whose every block remembers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ModelMixin  # noqa: F401 - by its name here, diffusers knows how to load this component
from diffusers.configuration_utils import register_to_config
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.utils import BaseOutput
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from outofsight.backbone.attention import (
    BankKeys,
    ExtraTokens,
    HydraAttention,
    HydraAttnProcessor,
    RetrievalLog,
)
from outofsight.backbone.bank_memory import BankRemembering, two_bank_memory
from outofsight.backbone.embeddings import GuideSlot, MaskedPatchEmbedding, WideTimesteps
from outofsight.backbone.guides import attention_guide
from outofsight.backbone.inputs import check_inputs, frame_timesteps, known_intrinsics
from outofsight.backbone.kept_context import KeptContext, target_guide, target_sequence
from outofsight.backbone.loras import LoraLoading
from outofsight.backbone.rendered import (
    RenderedMemory,
    RenderedPatchEmbedding,
    checked_rendered,
    read_rendering_settings,
)
from outofsight.backbone.sequence import (
    Sequence,
    choose_sequence,
    kept_frames,
    mask_channel,
    older_frames,
    whole_again,
)
from outofsight.errors import CheckpointError, InputError
from outofsight.flow.matching import NUM_TRAIN_TIMESTEPS, round_to_bf16
from outofsight.memory.banks.state import Recall
from outofsight.memory.context_choice import ContextSettings, read_context_settings
from outofsight.memory.rivals import IdentityEncoder, StateMemory, identity_crops
from outofsight.memory.settings import MemorySettings, read_bank_settings, read_memory_settings
from outofsight.memory.state_space import has_state_space
from outofsight.memory.strategies import MEMORY_FIELDS, Strategy, check_without_training
from outofsight.types import LatentGrid


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

    Arguments are those of diffusers' ``WanTransformer3DModel`` and the memory's (see ``MemorySettings``).
    ``camera_ray_octaves``: above 0, every token also knows the ray it looks along (``nn.rope``; 0, as published: only
    its frame's pose); ``camera_fov_x_deg``: the field of view of clips whose lens is not told.
    ``banks``: what ``BankSettings`` are made of ({}: the defaults); then a two-bank memory reads the whole context.
    ``rendering``: what ``RenderingSettings`` are made of ({}: the defaults); then ``rendered`` memory is taken in.
    ``round_timestep_to_bf16``: round the time step as the published code does; set for published checkpoints.

    ``attention_frames_per_chunk`` (an attribute, not part of the configuration): query frames that attention
    gathers at a time; ``None`` is fastest, 1 needs least memory; the result is the same.

    Source: HyDRA, arXiv 2603.25716.
    """

    _keep_in_fp32_modules = [  # noqa: RUF012 - diffusers'
        *WanTransformer3DModel._keep_in_fp32_modules,
        "two_banks",
        "rendered_memory",
    ]
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
        local_window: int | None = 5,
        memory_affinity: str = "mean_pooled",
        memory_source: str = "all",
        camera_fov_x_deg: float = 90.0,
        camera_ray_octaves: int = 0,
        round_timestep_to_bf16: bool = False,
        memory_strategy: str = "hydra",
        context_rule: str = "all",
        context_first: int = 0,
        context_recent: int = 5,
        context_clips: int = 0,
        context_clip_frames: int = 1,
        context_duplicate_overlap: float = 0.95,
        context_times: str = "kept",
        state_grid: tuple[int, int] | None = None,
        state_width: int = 64,
        state_space_every: int | None = None,
        identity_grid: tuple[int, int] | None = None,
        subject_mask: str = "none",
        frame_noise: str = "shared",
        history_guidance: float = 1.0,
        banks: dict[str, Any] | None = None,
        rendering: dict[str, Any] | None = None,
    ) -> None:
        if patch_size[0] != 1:
            raise InputError(
                f"each latent frame has its own camera, so patch_size must begin with 1, got {patch_size}"
            )
        if image_dim is not None or added_kv_proj_dim is not None or pos_embed_seq_len is not None:
            raise InputError(
                "this is an image-to-video configuration; HyDRA is defined on Wan's text-to-video model"
            )
        if not 0 < camera_fov_x_deg < 180:
            raise InputError(f"camera_fov_x_deg must lie between 0 and 180, got {camera_fov_x_deg}")
        _check_choice("subject_mask", subject_mask, ("none", "extrapolated", "true"))
        _check_choice("frame_noise", frame_noise, ("shared", "independent"))
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
        # Read when first asked for; not functools.cached_property, whose lock torch.compile cannot trace.
        self._memory_settings: MemorySettings | None = None
        self._context_settings: ContextSettings | None = None
        self.rope = GuideSlot()
        self.condition_embedder.timesteps_proj = WideTimesteps(freq_dim)
        width = num_attention_heads * attention_head_dim
        for layer, block in enumerate(self.blocks):
            block.attn1 = HydraAttention(
                width, num_attention_heads, eps, self.memory_settings.kernel, camera_ray_octaves,
                reads_identity=identity_grid is not None,
                has_state_space=has_state_space(layer, state_space_every),
            )  # fmt: skip
            block.attn1.layer = layer
        self.state_memory = StateMemory(in_channels, state_width, state_grid, width) if state_grid else None
        self.identity_encoder = IdentityEncoder(in_channels, identity_grid, width) if identity_grid else None
        if subject_mask != "none":
            self.patch_embedding = MaskedPatchEmbedding(in_channels, width, (1, *patch_size[1:]))
        self.two_banks = two_bank_memory(self.config)
        self.rendered_memory = self._rendered_memory(width)
        self.attention_frames_per_chunk: int | None = None
        self._trained_memory = {name: self.config[name] for name in MEMORY_FIELDS}

    @property
    def memory_settings(self) -> MemorySettings:
        """The memory part of the configuration, validated."""
        if self._memory_settings is None:
            self._memory_settings = read_memory_settings(self.config)
        return self._memory_settings

    @property
    def context_settings(self) -> ContextSettings:
        """Which context frames enter the sequence, validated."""
        if self._context_settings is None:
            self._context_settings = read_context_settings(self.config)
        return self._context_settings

    @property
    def needs_subject_masks(self) -> str:
        """Of which frames forward must be told subjects' masks: ``none``, ``context`` or ``all``."""
        if self.config["subject_mask"] == "true":
            return "all"
        told = self.config["subject_mask"] != "none" or self.config["identity_grid"] is not None
        return "context" if told else "none"

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
        return self.shows_rendered and banks is not None and banks.shown == "history"

    @property
    def has_frame_noise(self) -> bool:
        """Whether each frame has a noise level of its own; clean context frames then have the time step 0."""
        return bool(self.config["frame_noise"] == "independent")

    def change_memory(self, name: str, settings: Mapping[str, Any]) -> None:
        """Remember in another way, with the weights as they are. ``settings``: of the configuration.

        Raises:
            InputError: a setting that is not the memory's, impossible, or that other weights are needed for.
        """
        check_without_training(Strategy(name=name, what="", settings=settings), self._trained_memory)
        wanted = {**self.config, **settings}
        read_context_settings(wanted)
        try:
            read_memory_settings(wanted)
        except ValueError as error:
            raise InputError(f"strategy {name!r}: {error}") from error
        read_bank_settings(wanted)
        self.register_to_config(**settings, memory_strategy=name)
        self._memory_settings = self._context_settings = None
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
        intrinsics: Float[Tensor, "b 4"] | None = None,
        subject_masks: Float[Tensor, "b s frames height width"] | None = None,
        rendered: Float[Tensor, "b n t height width"] | None = None,
        recall: Recall | None = None,
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
        ``None``: nothing is shown. ``recall``, ``bank_keys``: what the two banks recall for these target frames, or
        what it is to the layers; a model with banks makes what is not given, from the whole context. ``kept_context``:
        filled if it is empty; once made, the target alone goes through the layers (``backbone.kept_context``), and the
        context's velocity is zero.

        Raises:
            InputError: shapes that do not fit each other, or a video smaller than a memory token.
        """
        grid = check_inputs(self.config, hidden_states, context_cameras, target_cameras)
        assert context_cameras is not None
        assert target_cameras is not None
        if self.config["round_timestep_to_bf16"]:
            timestep = round_to_bf16(timestep)
        timestep = frame_timesteps(timestep, grid, hidden_states.shape[0])
        intrinsics = known_intrinsics(self.config, intrinsics, hidden_states)
        sequence = choose_sequence(
            hidden_states, timestep, context_cameras, target_cameras, intrinsics, grid, self.context_settings
        )
        log = RetrievalLog() if return_retrieval else None
        extra = self._extra(hidden_states, context_cameras, subject_masks, grid)
        if self.config["state_space_every"] is not None:
            extra = extra._replace(
                older=older_frames(self, hidden_states, context_cameras, intrinsics, grid, sequence.chosen)
            )
        history = rendered if rendered is not None and self.shows_history else None
        if self.two_banks is not None or recall is not None:
            bank_keys = self.keys_of_banks(
                hidden_states[:, :, : grid.context_frames], encoder_hidden_states, context_cameras, target_cameras,
                intrinsics, recall, bank_keys, history,
            )  # fmt: skip
        guide = attention_guide(
            self.config, self.memory_settings, sequence, target_cameras, intrinsics, extra, bank_keys
        )
        guide = guide._replace(
            frames_per_chunk=self.attention_frames_per_chunk, log=log, context=kept_context
        )
        alone = kept_context is not None and kept_context.is_made
        if alone:
            sequence, guide = target_sequence(sequence), target_guide(guide)
        self.rope.guide = guide
        if isinstance(self.patch_embedding, MaskedPatchEmbedding):
            form = self.config["subject_mask"]
            mask = mask_channel(subject_masks, grid, context_cameras, target_cameras, form, intrinsics)
            chosen = sequence.chosen
            mask = mask if chosen is None else kept_frames(mask, chosen, grid.context_frames)
            self.patch_embedding.mask = mask[:, :, -sequence.grid.frames :]
        if history is not None:
            rendered = None
        if rendered is not None:
            rendered = self._shown(checked_rendered(rendered, hidden_states, target_cameras.shape[1]))
        try:
            (sample,) = super().forward(
                sequence.latents,
                _token_timesteps(sequence.timestep, sequence.grid),
                encoder_hidden_states,
                return_dict=False,
                attention_kwargs=attention_kwargs,
            )
        finally:
            self.rope.guide = None
            if isinstance(self.patch_embedding, MaskedPatchEmbedding):
                self.patch_embedding.mask = None
            if isinstance(self.patch_embedding, RenderedPatchEmbedding):
                self.patch_embedding.shown = None
        if rendered is not None:
            sample = self._leaned(sample, sequence, rendered)
        if kept_context is not None:
            kept_context.is_made = True
        if alone:
            sample = pad(sample, (0, 0, 0, 0, grid.context_frames, 0))
        elif sequence.chosen is not None:
            sample = whole_again(sample, sequence.chosen, grid.context_frames)
        retrieved = log.stacked() if log is not None else None
        if return_dict:
            return HydraTransformerOutput(
                sample=sample,
                retrieved_slices=retrieved,
                context_frames=sequence.chosen,
                bank_keys=bank_keys,
            )
        return (sample,) if retrieved is None else (sample, retrieved)

    def _rendered_memory(self, width: int) -> RenderedMemory | None:
        """Make what takes rendered memory in, where the configuration asks for it."""
        settings = read_rendering_settings(self.config)
        if settings is None:
            return None
        if self.config["subject_mask"] != "none" or self.has_frame_noise:
            raise InputError("rendered memory goes with subject_mask='none' and frame_noise='shared' alone")
        channels, patch = self.config["in_channels"], (1, *self.config["patch_size"][1:])
        self.patch_embedding = RenderedPatchEmbedding(channels, width, patch)
        return RenderedMemory(settings, channels, width, patch)

    def _shown(self, rendered: Tensor) -> Tensor:
        """Let the patch embedding see rendered memory for the time of a forward."""
        if self.rendered_memory is None or not isinstance(self.patch_embedding, RenderedPatchEmbedding):
            raise InputError("this model is not shown rendered memory (its configuration has no `rendering`)")
        self.patch_embedding.shown = (rendered, self.rendered_memory.embed)
        return rendered

    def _leaned(self, sample: Tensor, sequence: Sequence, rendered: Tensor) -> Tensor:
        """Let the target's velocity lean towards the render."""
        assert self.rendered_memory is not None
        begins = sequence.grid.context_frames
        sigma = (sequence.timestep / NUM_TRAIN_TIMESTEPS).expand(len(sample)).float()
        noisy, velocity = sequence.latents[:, :, begins:], sample[:, :, begins:]
        return torch.cat(
            (sample[:, :, :begins], self.rendered_memory.lean(velocity, noisy, rendered, sigma)), dim=2
        )

    def _extra(
        self, latents: Tensor, context_cameras: Tensor, subject_masks: Tensor | None, grid: LatentGrid
    ) -> ExtraTokens:
        """Make the tokens of the memories beside the sequence, from the whole context."""
        if self.state_memory is None and self.identity_encoder is None:
            return ExtraTokens(None, None, None)
        context = latents[:, :, : grid.context_frames]
        state = self.state_memory(context, context_cameras) if self.state_memory is not None else None
        if self.identity_encoder is None:
            return ExtraTokens(state, None, None)
        if subject_masks is None or subject_masks.shape[2] < grid.context_frames:
            raise InputError(
                "this model is shown each subject's last visible crop: expected subject_masks [b, subjects, "
                f"{grid.context_frames}, height, width] (share of each latent pixel, 0 to 1)"
            )
        masks = subject_masks[:, :, : grid.context_frames]
        crops, seen = identity_crops(context, masks, tuple(self.config["identity_grid"]))
        return ExtraTokens(state, *self.identity_encoder(crops, seen))

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


MEMORY_PARTS = (
    "context_camera_encoder", "target_camera_encoder", "ray_encoder", "tokenizer", "projector", "identity_attention",
    "state_space",
)  # fmt: skip
MEMORY_MODULES = (
    "state_memory.",
    "identity_encoder.",
    "two_banks.",
    "rendered_memory.",
    "patch_embedding.mask_weight",
)


def is_memory_parameter(name: str) -> bool:
    """Tell whether a parameter is ours and not Wan's."""
    return name.startswith(MEMORY_MODULES) or any(f".attn1.{part}." in name for part in MEMORY_PARTS)


def _token_timesteps(timestep: Tensor, grid: LatentGrid) -> Tensor:
    """Repeat a time step for each frame [b, f] for the frame's tokens [b, s]; one for the whole video [b] stays."""
    return timestep if timestep.ndim == 1 else timestep.repeat_interleave(grid.tokens_per_frame, dim=1)


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
