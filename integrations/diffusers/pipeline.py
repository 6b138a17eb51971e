"""outofsight as a diffusers custom pipeline: ``DiffusionPipeline.from_pretrained(MODEL, custom_pipeline=THIS_FOLDER)``.

It needs the installed package. diffusers takes the one pipeline class that this file defines.
"""

import outofsight


class OutOfSightPipeline(outofsight.WorldModel):
    """A world model, called with diffusers' arguments and a video, its cameras and those to come (docs/pipeline.md)."""
