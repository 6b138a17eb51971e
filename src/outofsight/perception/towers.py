"""Image towers that others published, as feature networks: CLIP, DINOv2, DINO."""

from collections.abc import Iterator

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from outofsight.errors import InputError
from outofsight.perception.borrowed import (
    CONFIG_FILE,
    Preparation,
    Source,
    centre_crop_told,
    preparation_of,
)
from outofsight.perception.centre_crop import CentreCrop
from outofsight.perception.seeing import Frames, PictureFeatures, check_frames

TOWER_CLASSES = {
    "clip": "CLIPVisionModelWithProjection",
    "clip_vision_model": "CLIPVisionModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "vit": "ViTModel",
}
"""The class of transformers for each ``model_type``."""


class ImageTower:
    """A vision transformer that describes pictures.

    Patches are its last hidden state without class and register tokens (what DSC publishes for CLIP). A picture's
    vector is the projected class token of CLIP, as its image embedding, where the folder holds the projection; else
    the class token. The whole picture is brought to the tower's square, so that patches cover it; sides are not kept
    in proportion. ``centre_crop``: the crop that its own processor would make, for measures published with it. None of
    the vectors are brought to length 1.
    """

    def __init__(
        self,
        network: nn.Module,
        preparation: Preparation,
        patch_px: int,
        num_extra_tokens: int,
        batch: int = 16,
        centre_crop: CentreCrop | None = None,
    ) -> None:
        self.network, self.preparation, self.patch_px = network, preparation, patch_px
        self.num_extra_tokens, self.batch, self.centre_crop = num_extra_tokens, batch, centre_crop

    @classmethod
    def load(cls, source: Source, device: str | torch.device) -> "ImageTower":
        """Load a tower. Raises ``InputError`` or ``CheckpointError`` in one line."""
        config = source.read_json(CONFIG_FILE)
        model_type = config.get("model_type")
        if model_type == "clip" and "CLIPVisionModel" in (config.get("architectures") or ()):
            model_type = "clip_vision_model"
        projected = "CLIPVisionModelWithProjection" in (config.get("architectures") or ())
        name = TOWER_CLASSES["clip"] if projected else TOWER_CLASSES.get(str(model_type))
        if name is None:
            raise InputError(
                f"{source.what} {source.name!r}: model_type {model_type!r} is not an image tower that is known here; "
                f"known are {', '.join(TOWER_CLASSES)}"
            )
        # Published DINO weights have no pooling layer; one made here would be random.
        settings = {"add_pooling_layer": False} if name == "ViTModel" else {}
        network, told = source.load(getattr(transformers, name), **settings)
        preparation = preparation_of(source, keeps_aspect=False)
        extra = 1 + int(getattr(told, "num_register_tokens", 0))
        crop = centre_crop_told(source)
        return cls(network.to(device), preparation, int(told.patch_size), extra, centre_crop=crop)

    def features(self, frames: Frames) -> PictureFeatures:
        """Describe frames [n, height, width, 3]."""
        check_frames(frames, "feature network")
        patches, pictures = [], []
        for pixels in self._prepared(frames):
            rows, columns = (side // self.patch_px for side in pixels.shape[-2:])
            tokens, picture = self._tokens(pixels)
            grid = tokens[:, self.num_extra_tokens :].unflatten(1, (rows, columns))
            patches.append(grid.float().cpu().numpy())
            pictures.append(picture.float().cpu().numpy())
        return PictureFeatures(patches=np.concatenate(patches), pictures=np.concatenate(pictures))

    def _prepared(self, frames: Frames) -> Iterator[Tensor]:
        device = next(self.network.parameters()).device
        for start in range(0, len(frames), self.batch):
            yield self.preparation.prepared(frames[start : start + self.batch], device)

    @torch.no_grad()
    def _tokens(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return all tokens of the last hidden state, and one vector a picture."""
        told = self.network(pixel_values=pixels)
        tokens: Tensor = told.last_hidden_state
        embedding = getattr(told, "image_embeds", None)
        return tokens, tokens[:, 0] if embedding is None else embedding
