"""The demo from Python: a clip that training never saw, continued by the bundled mini, measured and drawn.

    python examples/demo.py --out out/demo --seed 5

`outofsight demo` does the same; here one sees the parts: the clip is a `types.Clip` as any other, the model a
`WorldModel`, and the table is made by the measures of `outofsight evaluate`.
"""

import argparse
from pathlib import Path

from outofsight import SamplingSettings, WorldModel
from outofsight.demo.moving_picture import SideBySide, write_moving_picture
from outofsight.demo.run import bounds, compare
from outofsight.demo.unseen_clip import UnseenRequest, unseen_clip
from outofsight.evaluation.case import case_from_clip
from outofsight.model_folders import read_use


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/demo"))
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--model", default="mini", help="mini, or a folder of a model of the mini's world")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    world, use = WorldModel.from_pretrained(args.model), read_use(args.model)
    clip = unseen_clip(UnseenRequest(seed=args.seed))
    split = clip.num_context_frames
    made = world.continue_video(
        clip.video[:split],
        clip.cameras[:split],
        clip.cameras[split:],
        clip.caption,
        SamplingSettings(num_inference_steps=use.num_inference_steps, guidance_scale=use.guidance_scale),
    )

    case = case_from_clip(clip)
    for row in compare(case, {"model": lambda: made.video, **bounds(case, world)}):
        print(row.name, {name: measured.value for name, measured in row.measured.items()})
    shown = SideBySide(case=case, generated=made.video, caption=clip.caption, maker="the model")
    write_moving_picture(shown, args.out / "demo.mp4", args.out / "demo.webp")
    print(args.out / "demo.mp4")


if __name__ == "__main__":
    main()
