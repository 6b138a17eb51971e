"""What is said of an error: one line, in words of users."""

import ast
import json
from pathlib import Path

import pytest

import outofsight
from outofsight.errors import InputError, first_line, in_words
from outofsight.sampling.continuation import SamplingSettings
from outofsight.training.config import changed
from outofsight.training.recipes import recipe
from outofsight.types import Intrinsics

FOR_PYTHON = {
    "backbone/attention.py", "backbone/transformer.py", "codec/video_vae.py", "sampling/continuation.py",
    "sampling/inputs.py", "sampling/rollout_files.py", "world_model.py",
}  # fmt: skip
"""Files whose errors tell who writes Python which of our classes to use; no command raises these."""


@pytest.mark.parametrize(
    ("provoke", "says"),
    [
        (lambda: {}["fps"], "'fps' is missing"),
        (lambda: [].get("fps"), "it is of another form"),
        (lambda: json.loads("[0]")["fps"], "it is of another form"),
        (lambda: json.loads("null")["fps"], "it is of another form"),
        (lambda: Intrinsics(**{"a": 1}), "got an unexpected keyword argument 'a'"),
        (lambda: int("x"), "invalid literal for int() with base 10: 'x'"),
    ],
)
def test_python_says_it_in_our_words(provoke, says):
    with pytest.raises(Exception) as raised:
        provoke()
    assert first_line(raised.value) == says


def test_an_error_without_words_and_kinds_of_values():
    assert first_line(OSError()) == "no reason was given"
    assert (in_words(int), in_words(set)) == ("a whole number", "another kind")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("batch.size", "x", "batch.size: expected a whole number, got 'x'"),
        ("batch.size", 1.5, "batch.size: expected a whole number, got 1.5"),
        ("batch", 3, "batch: expected an object, got 3"),
        ("task.num_samples", None, "no such setting"),
    ],
)
def test_settings_are_refused_in_our_words(key, value, says):
    with pytest.raises(InputError) as raised:
        changed(recipe("mini_world"), {key: value})
    assert says in str(raised.value)
    with pytest.raises(InputError, match=r"^sampling settings: seed: expected a whole number, got 'x'$"):
        SamplingSettings(seed="x")


def test_no_message_names_our_classes_or_is_a_repr_of_an_error():
    root = Path(outofsight.__file__).parent
    trees = {str(path.relative_to(root)): ast.parse(path.read_text()) for path in root.rglob("*.py")}
    ours = {node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    raised = [
        (file, node)
        for file, tree in trees.items() if file not in FOR_PYTHON
        for statement in ast.walk(tree) if isinstance(statement, ast.Raise)
        for node in ast.walk(statement)
    ]  # fmt: skip
    assert len(raised) > 1000
    faults = []
    for file, node in raised:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = {word.strip(".,:;()'`") for word in node.value.split()}
            named = {word for word in words & ours if word.lower() != word and not word.istitle()}
        elif isinstance(node, ast.FormattedValue):
            text = ast.unparse(node.value)
            reprs = node.conversion == ord("r") and text in ("error", "exception")
            named = {text} if ".__name__" in text or reprs else set()
        else:
            continue
        faults += [f"{file}:{node.lineno}: {name}" for name in sorted(named)]
    assert not faults


def test_no_text_but_a_mistake_of_ours_names_the_class_of_an_error():
    """Also where it is sent to a page, not raised."""
    root = Path(outofsight.__file__).parent
    texts = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.py")}
    naming = {file for file, text in texts.items() if "type(error).__name__" in text}
    assert naming == {"cli/failures.py", "cli/__init__.py"}
