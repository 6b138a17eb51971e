"""How far is the model from what the authors' code computed?

    python benchmarks/parity.py

Largest relative difference (largest absolute difference over the largest absolute value) of the golden cases that are
here, in float32 on the CPU. The tests hold these to fixed bounds; this prints what they are.
"""

import argparse
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from record import RESULTS, add_out, finish

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from golden import golden_path, hydra, load_golden, relative_difference
from outofsight.backbone.official import transformer_to_official
from outofsight.flow.matching import add_noise, target_loss, velocity_target

QUESTION = "largest relative difference to the authors' code, float32, CPU"
CASES = {  # case: the files of its weights and inputs
    "dit_A": ("dit_A", "dit_A"),
    "dit_A_topk2": ("dit_A", "dit_A"),
    "dit_B": ("dit_B_weights", "dit_B"),
    "dit_B_odd": ("dit_B_odd", "dit_B_odd"),
    "dit_B_oddframes": ("dit_B_oddframes", "dit_B_oddframes"),
    "dit_C": ("dit_C_weights", "dit_C"),
}
INPUTS = ("in.x", "in.timestep", "in.context", "in.cam_emb_con", "in.cam_emb_tgt")


def output_difference(name: str) -> float:
    """Compare the predicted velocity."""
    weights, inputs = (load_golden(file) for file in CASES[name])
    with torch.no_grad():
        out = hydra(load_golden(name), weights)(*(inputs[key] for key in INPUTS))
    return relative_difference(out.sample, load_golden(name)["out.model_output"])


def gradient_difference(name: str) -> float | None:
    """Compare the gradients of a training step, the worst parameter's."""
    case = load_golden(name)
    expected = case.under("grad.")
    if not expected:
        return None
    model, context = hydra(case, load_golden(CASES[name][0])), case.metadata["cfg"]["ctx"]
    latents, noise = case["train.latents"], case["train.noise"]
    noisy = add_noise(latents, noise, case["train.sigma"])
    noisy[:, :, :context] = latents[:, :, :context]
    predicted = model(noisy, case["train.timestep"], *(case[key] for key in INPUTS[2:])).sample
    target_loss(predicted, velocity_target(latents, noise), case["train.weight"], context).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.data = parameter.grad
    found = transformer_to_official(model)
    return max(relative_difference(found[key], value) for key, value in expected.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_out(parser)
    args = parser.parse_args()
    figures = [
        {"case": name, "output": output_difference(name), "gradients": gradient_difference(name)}
        for name, files in CASES.items()
        if all(golden_path(file) for file in (name, *files))
    ]
    table = Table("case", "output", "gradients", title=QUESTION)
    for figure in figures:
        gradients = "–" if figure["gradients"] is None else f"{figure['gradients']:.1e}"
        table.add_row(figure["case"], f"{figure['output']:.1e}", gradients)
    Console().print(table)
    finish("parity", QUESTION, {}, figures, args.out or RESULTS / "parity.json")


if __name__ == "__main__":
    main()
