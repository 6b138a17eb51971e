"""The open questions about a two-bank memory, one command each; pages in docs/studies/.

    python benchmarks/studies.py subjects    --out benchmarks/results/study_subjects.json
    python benchmarks/studies.py appearance  --out benchmarks/results/study_appearance.json
    python benchmarks/studies.py robot       --out benchmarks/results/study_robot.json
    python benchmarks/studies.py coats  --model MODEL --out benchmarks/results/study_coats.json
    python benchmarks/studies.py places --model MODEL --data DATA --out benchmarks/results/study_places.json
    python benchmarks/studies.py cost   --model mini --out benchmarks/results/study_cost.json

``subjects``, ``appearance`` and ``robot`` give the banks true readings of planned scenes, with the error asked for: so
they measure the tracker's rules, which need no training. With ``--model`` they also measure what the trained weights
make of the same readings. ``coats`` and ``places`` ask a trained model that reads pictures by itself; ``cost`` times
any model.
"""

import argparse
import sys

import torch

import study_appearance
import study_coats
import study_cost
import study_places
import study_robot
import study_subjects
from outofsight.errors import OutOfSightError
from record import add_out, finish

QUESTIONS = {
    "subjects": "What do more subjects cost, in memory, time, place and identity?",
    "appearance": "Does a slot follow a subject that changes its looks, how fast, and does it forget?",
    "robot": "How well are position and velocity of objects tracked that leave a moving camera's view?",
    "coats": "Does a trained model's slot follow a subject that sheds a part, how fast, and does it forget?",
    "places": "Where does a trained model's own tracker take subjects to be, against the truth?",
    "cost": "What do retrieval and writing cost, as a share of a step, against bank size?",
}
STUDIES = {
    "subjects": study_subjects.study, "appearance": study_appearance.study, "robot": study_robot.study,
    "coats": study_coats.study, "places": study_places.study, "cost": study_cost.study,
}  # fmt: skip
OWN_OPTIONS = {
    "subjects": study_subjects.add_options, "appearance": study_appearance.add_options,
    "coats": study_coats.add_options, "places": study_places.add_options, "cost": study_cost.add_options,
}  # fmt: skip
OF_RULES, OF_SCENES = ("subjects", "appearance", "robot"), ("subjects", "appearance", "robot", "coats")


def arguments() -> argparse.ArgumentParser:
    """Every study takes ``--model`` and ``--out``; the others' options are their own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    studies = parser.add_subparsers(dest="study", required=True)
    for name, question in QUESTIONS.items():
        own = studies.add_parser(name, help=question, description=question)
        own.add_argument("--model", default=None if name in OF_RULES else "mini", help=_model_help(name))
        if name in OF_SCENES:
            own.add_argument("--scenes", type=int, default=24, help="scenes to follow subjects in")
        if name in OF_RULES:
            own.add_argument(
                "--noise", type=float, default=0.05, help="error of a told place, as a share of its distance"
            )
            own.add_argument(
                "--identity-noise", type=float, default=0.3, help="error of a told identity of length 1"
            )
        if name in OWN_OPTIONS:
            OWN_OPTIONS[name](own)
        add_out(own)
    return parser


def _model_help(name: str) -> str:
    if name in OF_RULES:
        return "a model with banks, whose weights are measured beside untrained ones"
    return "any model" if name == "cost" else "a model with banks"


def main() -> None:
    options = arguments().parse_args()
    torch.set_num_threads(1)
    try:
        rows = STUDIES[options.study](options)
    except OutOfSightError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    config = {
        name: str(value) if name == "data" else value
        for name, value in vars(options).items()
        if name not in ("study", "out")
    }
    finish(f"study_{options.study}", QUESTIONS[options.study], config, rows, options.out)


if __name__ == "__main__":
    main()
