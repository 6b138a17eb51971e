"""The page's list of messages is the server's, and the page uses no other."""

import json
import re
from importlib.resources import files
from typing import get_args

import pytest

from outofsight.errors import InputError
from outofsight.web import protocol
from outofsight.web.server import read_page

PAGE = {name: content.decode() for name, content in read_page().items()}
BEGIN = {"kind": "begin", "seed": 5}


def listed(name):
    block = re.search(rf"export const {name} = {{(.*?)\n}};", PAGE["messages.js"], re.DOTALL)[1]
    return {
        kind: set(re.findall(r'"(\w+)"', fields))
        for kind, fields in re.findall(r"(\w+): \[(.*?)\]", block, re.DOTALL)
    }


def fields_of(models):
    return {model.model_fields["kind"]: set(model.model_fields) - {"kind"} for model in models}


def test_the_page_knows_every_message_up():
    models = get_args(get_args(protocol.Up)[0])
    told = {
        get_args(model.model_fields["kind"].annotation)[0]: set(model.model_fields) - {"kind"}
        for model in models
    }
    assert listed("UP") == told


def test_the_page_knows_every_message_down():
    assert listed("DOWN") == {
        kind: set(model.model_fields) - {"kind"} for kind, model in protocol.DOWN.items()
    }


def test_versions_agree():
    assert f"VERSION = {protocol.VERSION};" in PAGE["messages.js"]


def test_nothing_is_shown_as_html():
    for name, content in PAGE.items():
        if name.endswith(".js"):
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", content
            ), name


def test_the_page_asks_no_other_server():
    for name, content in PAGE.items():
        assert not re.search(r"(src|href|from|import|url)\s*[=(]?\s*[\"']?(https?:)?//", content), name


def test_every_module_is_served():
    for name, content in PAGE.items():
        for other in re.findall(r'from "\./([\w.]+)"', content):
            assert other in PAGE, f"{name} imports {other}"
    assert {entry.name for entry in files("outofsight.web").joinpath("page").iterdir()} == set(PAGE)


@pytest.mark.parametrize(
    "message",
    [
        {"kind": "look", "number": 1, "yaw": 1.5},
        {"kind": "look", "number": 1, "yaw": "1"},
        {"kind": "look", "number": -1},
        {"kind": "look", "number": 1, "extra": 0},
        {"kind": "pause", "on": 1},
        {"kind": "prompt", "text": ""},
        {"kind": "prompt", "text": "x" * 1001},
        {"kind": "pin", "slot": 1, "subject": 1},
        {"kind": "pin"},
        {"kind": "edit", "subject": 0, "x_m": 1e9, "y_m": 0.0},
        {"kind": "load", "saved": "../../../../etc/passwd"},
        {"kind": "focus", "pane": 2},
        {**BEGIN, "seed": 10**6},
        {**BEGIN, "num_subjects": 5},
        {**BEGIN, "subjects": ["x" * 61]},
        {"kind": "shutdown"},
        [],
        "hello",
        None,
    ],
)
def test_wrong_messages_are_refused_in_a_line(message):
    with pytest.raises(InputError) as error:
        protocol.read_up(json.dumps(message))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) <= 200


def test_not_a_number_is_refused():
    with pytest.raises(InputError):
        protocol.read_up('{"kind": "edit", "subject": 0, "x_m": NaN, "y_m": 0.0}')


def test_pictures_carry_their_header():
    header = protocol.PictureHeader(pane=1, id="v3")
    told, jpeg = protocol.split_picture(protocol.with_picture(header, b"\xff\xd8abc"))
    assert told == {"kind": "picture", "pane": 1, "id": "v3"}
    assert jpeg == b"\xff\xd8abc"
