"""``load_lora_adapter`` for every layout of LoRA: what is understood is added, what is not is refused by name."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from outofsight.backbone.lora_files import check_widths, parse_lora, read_lora, to_peft
from outofsight.errors import InputError


class LoraLoading:
    """A mixin before diffusers' own adapters, which say nothing of names that they do not know."""

    def load_lora_adapter(
        self, source: str | Mapping[str, Tensor], prefix: str | None = None, **options: Any
    ) -> None:
        """Add a LoRA file, or its tensors by name, as an adapter; ``options`` are diffusers' own.

        ``prefix`` is not asked for: every layout is told by its names.

        Raises:
            CheckpointError: it is no LoRA of this transformer, or also changes what no adapter can.
        """
        del prefix
        try:
            import peft  # noqa: F401, PLC0415
        except ImportError as error:
            raise InputError("LoRA adapters need peft; install it: pip install 'outofsight[lora]'") from error
        own: Any = self
        # Adapters that are there already put their own parts beside the weights, and those below ``base_layer``.
        shapes = {
            name.replace(".base_layer.", "."): tuple(weight.shape)
            for name, weight in own.named_parameters()
            if ".lora_" not in name
        }
        lora = parse_lora(source, shapes) if isinstance(source, Mapping) else read_lora(source, shapes)
        check_widths(lora, shapes)
        super().load_lora_adapter(to_peft(lora), prefix=None, **options)  # type: ignore[misc]
