"""Video world models that remember what is out of sight.

``WorldModel`` and ``HydraTransformer3DModel`` are imported when they are first asked for: torch takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outofsight.backbone.transformer import HydraTransformer3DModel
    from outofsight.sampling.continuation import SamplingSettings
    from outofsight.sampling.world import WorldModel

__all__ = ["HydraTransformer3DModel", "SamplingSettings", "WorldModel"]

_HOMES = {
    "HydraTransformer3DModel": "outofsight.backbone.transformer",
    "SamplingSettings": "outofsight.sampling.continuation",
    "WorldModel": "outofsight.sampling.world",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'outofsight' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
