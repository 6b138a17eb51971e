"""``outofsight push`` without a hub: what would be sent, read by the hub's own library; what would be refused."""

import json

import pytest
from huggingface_hub import DatasetCard, ModelCard, metadata_load

from outofsight import WorldModel
from outofsight.bundling import hub


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    (folder / "train" / "clip_000000").mkdir(parents=True)
    (folder / "dataset.json").write_text("{}")
    (folder / "train" / "clip_000000" / "annotation.json").write_text("{}")
    (folder / ".lock").write_text("")
    (folder / "README.md").write_text("# Clips\n\nWhat they show.\n")
    return folder


def test_a_model_is_laid_out_and_loads_again(in_process, model_folder, tmp_path):
    out = tmp_path / "staged"
    code, said, error = in_process("push", model_folder, "--repo", "me/tiny", "--out", out)
    assert code == 0, error
    assert "holds the model as me/tiny would get it" in said
    card = ModelCard.load(out / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "diffusers"
    assert card.data.pipeline_tag == "image-to-video"
    assert WorldModel.from_pretrained(out).transformer.config["memory_strategy"] == "hydra"


def test_a_data_set_gets_its_metadata_and_keeps_its_own_words(in_process, clips, tmp_path):
    out = tmp_path / "staged"
    code, said, error = in_process(
        "push", clips, "--repo", "me/clips", "--out", out, "--license", "cc-by-4.0"
    )
    assert code == 0, error
    assert "holds the dataset" in said
    assert metadata_load(out / "README.md")["size_categories"] == ["n<1K"]
    card = DatasetCard.load(out / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert card.text.strip() == "# Clips\n\nWhat they show."
    assert not (out / ".lock").exists()
    assert (out / "train" / "clip_000000" / "annotation.json").is_file()
    again = tmp_path / "again"
    assert in_process("push", out, "--repo", "me/clips", "--out", again)[0] == 0
    assert (again / "README.md").read_text() == (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("card", "repo", "says"),
    [
        ("---\nlicense: [a\n---\n", "me/clips", "could not read it"),
        ("---\ntags: x\n---\n", "me/clips", "expected `license`"),
        ("---\nlicense: mit\ntags: {a: b}\n---\n", "me/clips", "expected `tags` to be a list of words"),
        (
            "---\nlicense: mit\nsize_categories: many\n---\n",
            "me/clips",
            "size_categories: expected one of n<1K",
        ),
        ("# Mädchen\n".encode("latin-1"), "me/clips", "README.md: expected text in UTF-8"),
        ("# Clips\n", "clips", "expected OWNER/NAME, got 'clips'"),
        ("# Clips\n", "me/cl ips", "--repo: "),
    ],
)
def test_what_the_hub_would_refuse_is_refused_here(in_process, clips, tmp_path, card, repo, says):
    (clips / "README.md").write_bytes(card if isinstance(card, bytes) else card.encode())
    code, _, error = in_process("push", clips, "--repo", repo, "--out", tmp_path / "staged")
    assert code == 2
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "staged").exists()


def test_what_is_neither_and_what_is_there(in_process, clips, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, error = in_process("push", tmp_path / "empty", "--repo", "me/x", "--out", tmp_path / "staged")
    assert code == 2
    assert "expected a model folder (model_index.json) or a data set (dataset.json)" in error
    code, _, error = in_process("push", clips, "--repo", "me/x", "--out", clips)
    assert code == 2
    assert json.loads((clips / "dataset.json").read_text()) == {}


def test_sending_validates_first(in_process, clips, monkeypatch):
    """The hub itself is a stand-in here: its answers are those that its library turns into errors."""

    def refuse(self, repo_type):
        raise ValueError(f"- Error: no such license ({repo_type})")

    monkeypatch.setattr(DatasetCard, "validate", refuse)
    monkeypatch.setattr(hub.HfApi, "create_repo", lambda *_, **__: pytest.fail("nothing is to be made"))
    code, _, error = in_process("push", clips, "--repo", "me/x")
    assert code == 2
    assert "me/x: the hub did not take it (- Error: no such license (dataset))" in error
