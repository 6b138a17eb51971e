"""Trains in a process of its own: worker.py CONFIG_JSON DATA OUT. Leaves which engine did it in engine.json."""

import json
import sys
from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from outofsight.training.config import from_dict
from outofsight.training.loop import train

if __name__ == "__main__":
    torch.set_num_threads(1)
    out = Path(sys.argv[3])
    train(from_dict(json.loads(sys.argv[1])), Path(sys.argv[2]), out)
    state = AcceleratorState()
    engine = "fsdp2" if state.distributed_type == DistributedType.FSDP and state.is_fsdp2 else "ddp"
    if state.is_main_process:
        (out / "engine.json").write_text(json.dumps({"processes": state.num_processes, "engine": engine}))
