"""Trains in a process of its own: worker.py CONFIG_JSON DATA OUT. Leaves their number in processes.txt."""

import json
import sys
from pathlib import Path

import torch
from accelerate.state import PartialState

from outofsight.training.config import from_dict
from outofsight.training.loop import train

if __name__ == "__main__":
    torch.set_num_threads(1)
    out = Path(sys.argv[3])
    train(from_dict(json.loads(sys.argv[1])), Path(sys.argv[2]), out)
    state = PartialState()
    if state.is_main_process:
        (out / "processes.txt").write_text(str(state.num_processes))
