"""docs/architecture.md is held against the code: its table of equations, its rooms, and its examples, which run."""

import ast
import pickle
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from models import tiny_inputs, tiny_transformer
from outofsight.cli.world import _configs
from outofsight.errors import InputError, WorldError
from outofsight.evaluation.case import ClipCase
from outofsight.evaluation.evidence import Metric
from outofsight.evaluation.metrics import METRICS, measure_clip, register_metric
from outofsight.memory.context_choice import CONTEXT_RULES
from outofsight.memory.strategies import STRATEGIES, strategy
from outofsight.training.recipes import recipe
from outofsight.worlds.clip import ClipMaker
from outofsight.worlds.plan import plan_world
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.render import RenderSettings
from outofsight.worlds.scenes import SceneKind, lay_out, places, register_scene
from outofsight.worlds.scenes.kinds import _CATALOGUE

PAGE = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
SOURCE = Path(__file__).parents[1] / "src" / "outofsight"
ROWS = re.findall(r"^\| ([\d, –]+) \| .+? \| `(.+?)` \| (.+?) \|$", PAGE, flags=re.MULTILINE)
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
MOST_LINES = 10


def definition(path: Path, dotted: str) -> str:
    """Return the source of a function, class or method."""
    text = path.read_text(encoding="utf-8")
    scope: ast.AST = ast.parse(text)
    for name in dotted.split("."):
        (scope,) = (node for node in ast.iter_child_nodes(scope) if getattr(node, "name", None) == name)
    return ast.get_source_segment(text, scope) or ""


def test_every_equation_stands_where_the_table_says():
    assert {number for numbers, _, _ in ROWS for number in re.findall(r"\d", numbers)} == set("23456")
    for numbers, file, functions in ROWS:
        for name in re.findall(r"`(.+?)`", functions):
            source = definition(SOURCE / file, name)
            for number in re.findall(r"\d", numbers):
                assert re.search(rf"eqs?\. [\d (a-z)]*(?:and )?{number}\b", source), (file, name, number)


def test_each_equations_number_is_at_its_line_of_the_layer():
    layer = definition(SOURCE / "backbone" / "attention.py", "HydraAttnProcessor.__call__")
    assert [number for number in "23456" if re.search(rf"# eqs?\. .*{number}", layer)] == list("23456")


def test_the_picture_of_the_rooms_is_that_of_the_house():
    from tests.test_house import LEVELS  # noqa: PLC0415 - it reads the whole package

    picture = re.findall(r"```\n(.*?)```", PAGE, flags=re.DOTALL)[0]
    shown = [set(re.split(r" {3,}", line)[0].split()) for line in picture.splitlines()]
    rooms = {room for level in LEVELS for room in level}
    assert set().union(*shown) == rooms
    order = {room: place for place, line in enumerate(shown) for room in line}
    level = {room: place for place, names in enumerate(LEVELS) for room in names}
    for one in rooms:
        assert all(order[one] <= order[other] for other in rooms if level[one] < level[other]), one


@pytest.fixture(scope="module")
def mine():
    """The page's blocks as one module, forgotten afterwards."""
    module = ModuleType("mine")
    sys.modules["mine"] = module
    exec(compile("\n".join(BLOCKS), "architecture.md", "exec"), module.__dict__)
    yield module
    del sys.modules["mine"], CONTEXT_RULES["every_other"], STRATEGIES["thinned"], METRICS["brightness"]
    del _CATALOGUE["court"], places._DRAWERS["court"]


def test_examples_are_short():
    assert len(BLOCKS) == 4
    for block in BLOCKS:
        lines = [line for line in block.splitlines() if line and not line.startswith(("import", "from"))]
        assert len(lines) <= MOST_LINES, block


def test_a_strategy_of_ones_own(mine):
    model = tiny_transformer(**strategy("mine:thinned").settings)
    assert model(**tiny_inputs(1, 5, 2)).context_frames.tolist() == [[1, 3]]


def test_a_metric_of_ones_own(mine):
    video = np.zeros((5, 8, 8, 3), np.uint8)
    case = ClipCase(name="a", context=video, truth=video, fps=15.0)
    assert measure_clip(case, video + 3, names=["mine:brightness"])["brightness"].value == 3.0
    with pytest.raises(InputError, match="is there already"):
        register_metric(Metric(**{**vars(METRICS["brightness"]), "what": "another"}))


def test_a_scene_of_ones_own_is_drawn_where_it_is_named_alone(mine):
    assert len(lay_out("court", 3, "noon").parts) > 0
    assert plan_world(2, PlanConfig(scenes=("court",))).spec.scene == "court"
    assert all(plan_world(seed, PlanConfig()).spec.scene != "court" for seed in range(3))
    with pytest.raises(WorldError, match="is there already"):
        register_scene(SceneKind(name="court", noun="another", indoors=True, lights=("noon",)), mine.court)


def test_the_command_line_finds_a_scene_of_ones_own(mine):
    assert _configs(None, None, ["plan.scenes=mine:court"])[0].scenes == ("court",)


def test_a_worker_that_is_sent_a_scene_of_ones_own_imports_its_module(mine, monkeypatch):
    sent = pickle.dumps(ClipMaker(plan=PlanConfig(scenes=("court",)), render=RenderSettings()))
    monkeypatch.delitem(sys.modules, "mine")
    with pytest.raises(ModuleNotFoundError, match="mine"):
        pickle.loads(sent)


def test_a_recipe_of_ones_own(mine):
    assert recipe("mine:short").num_steps == 2000
    with pytest.raises(InputError, match=r"--recipe mine:none: expected a function none"):
        recipe("mine:none")
    with pytest.raises(InputError, match=r"--recipe nowhere:short: nowhere cannot be imported"):
        recipe("nowhere:short")
