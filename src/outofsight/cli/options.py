"""Options that several verbs share, each with one meaning."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Option(help="mini (bundled), model folder or hub id")]
Camera = Annotated[
    str | None, typer.Option(help="camera file, or the path to come, such as pan:left:60,pan:right:60")
]
Prompt = Annotated[str | None, typer.Option(help="caption, or a text file that holds it")]
Fov = Annotated[
    float | None,
    typer.Option(help="the video's lens, in degrees across, where no camera file or clip says it"),
]
StrategyName = Annotated[
    str | None,
    typer.Option(help="remember by another strategy with the same weights (see `outofsight strategies`)"),
]
Resample = Annotated[bool, typer.Option("--resample", help="take the video's frames at the model's rate")]
Vae = Annotated[
    Path | None, typer.Option(help="decode by this tiny decoder (as taew2_1.pth): faster, softer")
]
TileVae = Annotated[bool, typer.Option(help="encode and decode in tiles: less memory, slower")]
AttentionChunk = Annotated[int | None, typer.Option(min=1, help="query frames at a time: less memory")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Dtype = Annotated[str | None, typer.Option(help="default: bfloat16 on a GPU, float32 on a CPU")]
Offload = Annotated[str, typer.Option(help="keep weights off the GPU: none, model or sequential")]
Quantize = Annotated[
    str, typer.Option(help="weights in none, int8 (torchao) or nf4 (bitsandbytes, on a GPU): less memory")
]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="leave out clips that cannot be read, and list them")
]
