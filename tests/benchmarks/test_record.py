"""Seconds and memory are those of the device that works."""

import ast
from pathlib import Path

import pytest
import torch

import record

ROOT = Path(__file__).parents[2]
OF_A_DEVICE = {"synchronize", "max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved",
               "mem_get_info", "reset_peak_memory_stats", "get_device_name", "get_device_properties"}  # fmt: skip
"""Of ``torch.cuda``: without an argument they speak of the current device, which need not be the one in use."""


def test_the_device_that_works_is_waited_for(monkeypatch):
    done = []
    monkeypatch.setattr(torch.cuda, "synchronize", done.append)
    second = torch.device("cuda:1")
    seconds = record.interleaved_seconds({"work": lambda: done.append("work")}, second, rounds=1, warmup=1)
    assert done == [second, "work", second] * 2
    assert len(seconds["work"]) == 1


def test_the_record_names_the_gpu_that_worked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device}")
    assert record.hardware(torch.device("cuda:1"))["gpu"] == "GPU cuda:1"
    assert record.hardware(torch.device("cpu"))["gpu"] is None


@pytest.mark.parametrize("folder", ["src", "benchmarks"])
def test_no_figure_of_the_current_device(folder):
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py")}
    calls = [
        (path, node)
        for path, text in texts.items()
        if "torch.cuda" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("torch.cuda.")
        and ast.unparse(node.func).split(".")[-1] in OF_A_DEVICE
    ]  # fmt: skip
    assert calls
    assert [f"{path.name}:{node.lineno}" for path, node in calls if not (node.args or node.keywords)] == []
