"""The one place that joins backbone, memory and codec: a diffusers pipeline folder, loaded as a world model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.hooks import remove_hook_from_module
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.codec.checkpoint_files import require_finite
from outofsight.codec.placement import work_device
from outofsight.codec.text import encode_prompts, max_text_tokens
from outofsight.codec.tiny_decoder import TinyVideoDecoder
from outofsight.codec.video_vae import (
    LatentTiling,
    VideoAutoencoder,
    VideoDecoder,
    check_decoder,
    decode_latents,
    encode_video,
    spatial_factor,
    temporal_factor,
)
from outofsight.errors import CheckpointError, first_line
from outofsight.model_folders import BUNDLED, find_model
from outofsight.nn.turns import takes_turns
from outofsight.types import LatentClock
from outofsight.whole_models import FOREIGN, NETWORKS, check_folder, check_whole

HUB_OPTIONS = ("cache_dir", "force_download", "proxies", "local_files_only", "token", "revision", "variant",
               "use_safetensors")  # fmt: skip


class WorldModelBase(DiffusionPipeline):
    """Backbone, video VAE and text encoder of one world model, in the diffusers folder layout.

    Everything diffusers offers a pipeline works: ``save_pretrained``, ``push_to_hub``, ``to``,
    ``enable_model_cpu_offload``, ``enable_sequential_cpu_offload``, quantisation.

    ``keep_text_encoder_on_device`` (an attribute): leave the text encoder, the largest part of the 1.3B model, on
    the GPU between calls; by default it goes back to the CPU after use. ``tiny_decoder`` (an attribute, of
    ``codec.tiny_decoder.load_tiny_decoder``): decodes in the VAE's place; it is no part of the model's folder.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"

    def __init__(
        self,
        transformer: HydraTransformer3DModel,
        vae: VideoAutoencoder,
        text_encoder: UMT5EncoderModel,
        tokenizer: PreTrainedTokenizerBase,
        scheduler: FlowMatchEulerDiscreteScheduler,
    ) -> None:
        super().__init__()
        if not isinstance(transformer, HydraTransformer3DModel):
            raise CheckpointError(FOREIGN.format(type(transformer).__name__))
        self.register_modules(
            transformer=transformer,
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=scheduler,
        )
        self.keep_text_encoder_on_device = False
        self.tiny_decoder: TinyVideoDecoder | None = None
        self._interrupt, self._num_timesteps = False, 0

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **kwargs: Any) -> "WorldModelBase":
        """Load a bundled model ("mini"), a model folder, or a hub id.

        ``kwargs``: diffusers' own options (``dtype``, ``device_map``, ...). Without ``dtype`` all parts are float32;
        with it all have it, but what diffusers keeps wide.

        Raises:
            CheckpointError: there is no such folder or hub id, or what is there is not a whole world model.
        """
        folder = Path(find_model(name_or_path))
        if "torch_dtype" not in kwargs:  # the older name, which diffusers warns of
            kwargs.setdefault("dtype", torch.float32)
        if folder.exists():
            check_folder(folder)
        try:
            variant = kwargs.get("variant")
            if not folder.exists():
                of_hub = {name: value for name, value in kwargs.items() if name in HUB_OPTIONS}
                check_whole(Path(cls.download(str(name_or_path), **of_hub)), variant=variant)
            else:
                check_whole(folder, variant=variant)
            world = super().from_pretrained(str(folder if folder.exists() else name_or_path), **kwargs)
            for part in NETWORKS:
                require_finite(getattr(world, part).named_parameters(), f"{name_or_path}/{part}")
            return world
        except (
            OSError,
            HFValidationError,
            HfHubHTTPError,
            SafetensorError,
            ValueError,
            RuntimeError,
        ) as error:
            reason = first_line(error)
            if not folder.exists():
                known = ", ".join(BUNDLED)
                reason = f"it is no folder here and no bundled model ({known}); from the hub: {reason}"
            raise CheckpointError(f"{name_or_path} could not be loaded as a world model: {reason}") from error

    def load_lora_weights(
        self, source: str | Mapping[str, Tensor], adapter_name: str | None = None, **options: Any
    ) -> None:
        """Add a LoRA file, or its tensors by name, to the transformer, as diffusers' pipelines do; any known layout.

        Raises:
            CheckpointError: it is no LoRA of this model, or also changes what no adapter can.
        """
        self.transformer.load_lora_adapter(source, adapter_name=adapter_name, **options)

    def unload_lora_weights(self) -> None:
        """Take all LoRAs off again."""
        self.transformer.unload_lora()

    def enable_sequential_cpu_offload(self, gpu_id: int | None = None, device: Any = None) -> None:
        """Keep weights on the CPU, each layer's until it works; banks and what renders them, small, stay on the GPU.

        They are asked outside ``forward``, where no hook would fetch their weights.
        """
        super().enable_sequential_cpu_offload(gpu_id, device)
        for part in (self.transformer.two_banks, self.transformer.rendered_memory):
            if part is not None:
                remove_hook_from_module(part, recurse=True)
                part.to(self.work_device)

    @property
    def decoder(self) -> VideoDecoder:
        """What turns latents into pixels: the tiny decoder where there is one, brought to where the VAE works.

        Raises:
            InputError: it decodes other latents than this model makes.
        """
        tiny = self.tiny_decoder
        if tiny is None:
            return self.vae
        check_decoder(tiny, self.vae)
        return tiny.to(work_device(self.vae), self.vae.dtype)

    @property
    def temporal_stride(self) -> int:
        """Video frames in one latent frame, the first excepted (4 in Wan's VAE)."""
        return temporal_factor(self.vae)

    @property
    def clock(self) -> LatentClock:
        """How its video frames and latent frames go together."""
        return LatentClock(self.temporal_stride)

    @property
    def size_step(self) -> int:
        """What height and width of a video must be divisible by: the VAE's factor times the transformer's patch."""
        return spatial_factor(self.vae) * max(self.transformer.config["patch_size"][1:])

    @property
    def shift(self) -> float:
        """How far the noise schedule is moved towards noise."""
        config = self.scheduler.config
        return float(config["shift"] if "shift" in config else config.get("flow_shift", 1.0))

    @property
    def interrupt(self) -> bool:
        """Whether sampling is to stop before its next step; a callback sets ``_interrupt``, as in diffusers."""
        return self._interrupt

    @property
    def num_timesteps(self) -> int:
        """Denoising steps of the run under way, or of the last one."""
        return self._num_timesteps

    @property
    def max_text_tokens(self) -> int:
        """How many tokens of a caption are read, and how many states the transformer sees."""
        return max_text_tokens(self.tokenizer)

    @property
    def work_device(self) -> torch.device:
        """The device that denoising runs on, also where offloading keeps the weights elsewhere."""
        return work_device(self.transformer)

    @takes_turns("text_encoder")
    @torch.no_grad()
    def encode_text(self, prompts: list[str], *, allow_empty: bool = False) -> Float[Tensor, "b l text_dim"]:
        """Return the text encoder's states on the work device, and let the encoder leave the GPU again."""
        offloaded = hasattr(self.text_encoder, "_hf_hook")
        if not offloaded:
            self.text_encoder.to(self.work_device)
        states = encode_prompts(
            self.text_encoder, self.tokenizer, prompts, self.max_text_tokens, allow_empty=allow_empty
        )
        if not offloaded and not self.keep_text_encoder_on_device and self.work_device.type == "cuda":
            self.text_encoder.to("cpu")
            torch.cuda.empty_cache()
        return states.to(self.work_device)

    @takes_turns("vae")
    @torch.no_grad()
    def encode_video(
        self, video: Float[Tensor, "b t 3 height width"], tiling: LatentTiling | None = None
    ) -> Float[Tensor, "b channels f h w"]:
        """Encode a video in [−1, 1] to normalised float32 latents on the work device."""
        return encode_video(self.vae, video.to(self.work_device), tiling)

    @takes_turns("vae")
    @torch.no_grad()
    def decode_latents(
        self, latents: Float[Tensor, "b channels f h w"], tiling: LatentTiling | None = None
    ) -> Float[Tensor, "b t 3 height width"]:
        """Decode normalised latents to a video in [−1, 1]."""
        return decode_latents(self.decoder, latents, tiling)
