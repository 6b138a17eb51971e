"""What an evaluation leaves: summaries, tables, plots, a sheet, and one page with everything in it."""

import base64
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from textwrap import fill

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageFont
from rich.console import Console

from models import tiny_world
from outofsight.data.video import read_video, write_video
from outofsight.errors import InputError
from outofsight.evaluation.clips import dataset_clips
from outofsight.evaluation.methods import (
    BaselineMethod,
    ModelMethod,
    ModelSource,
    TruthMethod,
    VideosMethod,
)
from outofsight.evaluation.plots import all_plots, draw_intervals, draw_lines, sweeps, write_plots
from outofsight.evaluation.report import (
    first_methods,
    first_metrics,
    outcome,
    shown_clips,
    verdict,
    write_report,
)
from outofsight.evaluation.results import (
    Summary,
    format_number,
    gather,
    leading_method,
    paired_difference,
    print_tables,
    ranked_clips,
    ranking_metric,
    results_as_json,
    shown_metrics,
    summarise,
)
from outofsight.evaluation.run import EvalConfig, Evaluation, evaluate
from outofsight.evaluation.sheet import NAME_CHARACTERS, NAME_PX, chosen_clips, write_sheet
from outofsight.files import write_json
from outofsight.sampling.continuation import SamplingSettings
from small_world import write_small_dataset

HOSTILE = 'a<b>"&c'  # a name that must not become markup


def load_tiny(source):
    return tiny_world()


def model(steps):
    sampling = SamplingSettings(num_inference_steps=steps, guidance_scale=1.0)
    return ModelMethod(
        name=f"tiny-{steps}steps", source=ModelSource(path="tiny"), sampling=sampling, digest="0"
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two rows of a model, another system's videos with one missing, a baseline and an upper bound, on three clips."""
    data = write_small_dataset(tmp_path_factory.mktemp("data"))
    folder = tmp_path_factory.mktemp("videos")
    clips = dataset_clips(data, None)
    clips = (*clips[:2], replace(clips[2], group=HOSTILE))
    for clip in clips[:2]:
        write_video(folder / f"{clip.name}.mp4", clip.read().case.truth // 2, 8)
    rows = (
        model(1), model(2), VideosMethod(name="others", folder=folder), BaselineMethod(name="frozen"),
        TruthMethod(),
    )  # fmt: skip
    config = EvalConfig(
        out=tmp_path_factory.mktemp("out"), load_world=load_tiny, metrics=("psnr", "ssim", "fg_psnr")
    )
    whole = Evaluation(config=config, clips=clips, methods=rows)
    evaluate(whole)
    return whole


@pytest.fixture(scope="module")
def results(finished):
    return gather(finished)


def test_all_clips_come_before_the_groups(results):
    assert list(results.groups) == ["all clips", "held-out scene", "held-out subject", HOSTILE]
    one = replace(results, clips=results.clips[:1])
    assert list(one.groups) == ["held-out scene"]


def test_summaries_are_those_of_the_records(results):
    psnr = [record.value("psnr") for record in results.records["tiny-1steps"].values()]
    frozen = [record.value("psnr") for record in results.records["frozen"].values()]
    summary = results.summaries["all clips"]["tiny-1steps"]["psnr"]
    assert summary == replace(summarise(psnr), difference=paired_difference(psnr, frozen))
    assert results.summaries["all clips"]["frozen"]["psnr"].difference is None


def test_a_baseline_can_be_chosen(finished):
    assert gather(finished).baseline == "frozen"
    chosen = gather(finished, "others")
    assert chosen.summaries["all clips"]["frozen"]["psnr"].difference.n == 2
    with pytest.raises(InputError, match="--baseline: expected one of"):
        gather(finished, "nobody")


def test_cost_adds_the_stages(results):
    cost = results.cost("tiny-1steps")
    record = results.records["tiny-1steps"]["clip_000000"]
    assert set(cost.seconds) == {"text", "encode", "denoise", "decode"}
    totals = [
        sum(record.seconds.values()) / record.video_seconds
        for record in results.records["tiny-1steps"].values()
    ]
    assert cost.per_video_second.mean == pytest.approx(np.mean(totals))
    assert cost.peak_bytes["process"] >= record.peak_bytes["process"]
    assert results.cost("frozen") is None


def test_json_holds_everything_and_is_strict(results, tmp_path):
    write_json(
        tmp_path / "results.json", results_as_json(results, {"settings": {"seed": 1}, "commit": "abc"})
    )
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["commit"] == "abc"
    assert [row["name"] for row in content["methods"]] == [c.name for c in results.methods]
    assert content["summaries"]["all clips"]["others"]["psnr"]["n"] == 2
    assert content["summaries"]["all clips"]["others"]["psnr"]["n_undefined"] == 1
    assert content["summaries"]["all clips"]["others"]["psnr"]["coverage"] == pytest.approx(2 / 3)
    assert "no video of clip" in content["records"]["others"]["clip_000002"]["refused"]
    assert content["metrics"]["psnr"]["unit"] == "dB"
    assert content["cost"]["frozen"] is None


def test_the_worst_clips_come_first_and_the_unanswered_last(results):
    metric = ranking_metric(results)
    assert metric.name == "psnr"
    assert leading_method(results) == "tiny-1steps"
    ranked = ranked_clips(results, "others", metric)
    values = [results.records["others"][name].value("psnr") for name in ranked]
    assert values[0] <= values[1]
    assert values[2] is None
    downward = ranked_clips(results, "others", replace(metric, higher_is_better=False))
    assert downward[:2] == ranked[1::-1]


@pytest.mark.parametrize(
    ("number", "expected"), [(0, []), (1, ["a"]), (4, ["a", "b", "d", "g"]), (9, list("abcdefgh"))]
)
def test_half_of_the_clips_shown_are_the_worst(number, expected):
    assert shown_clips(list("abcdefgh"), number) == expected


def test_tables_are_printed_with_their_undefined_because(results):
    text = io.StringIO()
    print_tables(results, Console(file=text, width=160))
    for group in ("all clips (n = 3)", "held-out scene (n = 1)"):
        assert group in text.getvalue()
    assert "(1 not answered)" in text.getvalue()
    assert f"{format_number(results.summaries['all clips']['others']['psnr'].mean)} (2)" in text.getvalue()


def test_only_measures_with_numbers_are_shown(results):
    assert [metric.name for metric in shown_metrics(results)] == ["psnr", "ssim", "fg_psnr"]
    assert [metric.name for metric in shown_metrics(results, ["relative_motion"])] == [
        "psnr",
        "ssim",
        "fg_psnr",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.12345, "0.123"), (12.345, "12.35"), (-123.4, "-123")]
)
def test_figures(value, text):
    assert format_number(value) == text


def test_plots_are_whole_files_of_their_own(finished, results, tmp_path):
    write_plots(tmp_path / "plots", all_plots(results))
    paths = {path.name for path in (tmp_path / "plots").iterdir()}
    assert {"psnr.svg", "psnr_by_frame.svg", "steps_psnr.svg", "retrieval_tiny-1steps.svg"} <= paths
    for name in paths:
        assert ElementTree.fromstring((tmp_path / "plots" / name).read_text()).tag.endswith("svg")
    intervals = (tmp_path / "plots" / "psnr.svg").read_text()
    assert all(f">{method.name}</text>" in intervals for method in results.methods)  # words stay words


def test_an_interval_is_drawn_from_low_to_high_and_the_mean_on_it(results):
    figure = Figure()
    draw_intervals(figure, results, next(metric for metric in results.metrics if metric.name == "psnr"))
    (axes,) = figure.axes
    summary = results.summaries["all clips"]["tiny-1steps"]["psnr"]
    interval, mean = axes.lines[:2]
    np.testing.assert_allclose(interval.get_xdata(), [summary.low, summary.high])
    np.testing.assert_allclose([*mean.get_xdata(), *mean.get_ydata()], [summary.mean, 1])
    assert axes.get_yticklabels()[1].get_text() == "tiny-1steps"


def test_nothing_measured_is_said():
    figure = Figure()
    draw_lines(figure, {}, "title", "frame")
    assert figure.axes[0].texts[0].get_text() == "nothing could be measured"


def test_a_sweep_has_a_point_for_each_number_of_steps(results):
    (curve,) = sweeps(results)["psnr"].values()
    assert [steps for steps, _ in curve] == [1, 2]
    assert "psnr" not in sweeps(replace(results, methods=results.methods[1:]))


def test_the_sheet_has_a_strip_for_every_row(finished, results, tmp_path):
    write_sheet(tmp_path / "sheet.png", results)
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[1] > 8 * 128
    assert (pixels == (217, 130, 43)).all(axis=-1).any()  # re-entered frames are marked
    assert list(tmp_path.iterdir()) == [tmp_path / "sheet.png"]


@pytest.mark.parametrize(
    "name", ["mini-hybrid+hydra-rendered", "camera_warped", "anonymous_baseline_of_mine"]
)
def test_a_method_s_name_stays_left_of_its_pictures(name):
    lines = fill(name, NAME_CHARACTERS).splitlines()
    assert "".join(lines) == name
    assert max(ImageFont.load_default(13).getlength(line) for line in lines) <= NAME_PX - 8


def test_the_sheets_clips_are_best_median_and_worst(results):
    chosen = chosen_clips(results, "tiny-1steps", ranking_metric(results))
    values = {word: results.records["tiny-1steps"][name].value("psnr") for word, name in chosen.items()}
    assert values["best"] >= values["median"] >= values["worst"]
    assert set(chosen_clips(results, "others", ranking_metric(results))) == {"best", "worst"}


class Tags(HTMLParser):
    """Gathers the tags of a page and checks that they close as they open."""

    VOID = ("meta", "br", "img")

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(finished, results, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    plots = all_plots(results)
    write_report(path, results, {"settings": {"note": "</script><b>"}}, plots, num_shown=3)
    parsed = Tags()
    parsed.feed(path.read_text(encoding="utf-8"))
    assert parsed.open == []
    return path.read_text(encoding="utf-8"), parsed


def test_the_page_needs_no_network_and_no_other_file(page):
    text, tags = page
    assert not re.search(r"https?://", text)
    assert not tags.all("link")
    assert all("src" not in attributes for attributes in tags.all("script"))
    videos = [attributes["src"] for attributes in tags.all("video") if "src" in attributes]
    assert videos
    assert all(source.startswith("data:video/mp4;base64,") for source in videos)
    images = [attributes["src"] for attributes in tags.all("img")]
    assert images
    assert all(source.startswith("data:image/svg+xml;base64,") for source in images)
    assert all(attributes["href"].startswith("#clip-") for attributes in tags.all("a"))


def test_the_pages_videos_play(page, tmp_path, finished):
    _, tags = page
    context, truth = (video for video in tags.all("video")[:8] if "src" in video)
    assert (context["data-part"], truth["data-part"]) == ("context", "target")
    (tmp_path / "truth.mp4").write_bytes(base64.b64decode(truth["src"].partition(",")[2]))
    frames = read_video(tmp_path / "truth.mp4").frames
    first = ranked_clips(gather(finished), "tiny-1steps", ranking_metric(gather(finished)))[0]
    true = next(clip for clip in finished.clips if clip.name == first).read().case.truth
    assert frames.shape == (9, 128, 192, 3)
    shrunk = frames.reshape(9, 32, 4, 48, 4, 3).mean(axis=(2, 4))
    assert np.abs(shrunk - true).mean() < 4


def test_every_answer_of_a_clip_is_beside_the_truth_or_says_why_not(page):
    _, tags = page
    # context, truth, two rows of the model, the others (two of three clips), the baseline
    assert sum("src" in video for video in tags.all("video")) == 3 * 5 + 2
    assert "no video of clip clip_000002" in tags.text


def test_the_table_of_clips_can_be_sorted_by_any_measure(page, results):
    text, tags = page
    assert {"class": "sortable", "id": "clips"} in tags.all("table")
    bodies = [attributes for attributes in tags.all("tbody") if "data-method" in attributes]
    assert [body["data-method"] for body in bodies] == [c.name for c in results.methods]
    assert ["hidden" in body for body in bodies] == [False, True, True, True, True]
    value = results.records["tiny-1steps"]["clip_000000"].value("psnr")
    assert f'data-value="{value!r}"' in text


def test_phases_stand_on_the_timeline(page):
    _, tags = page
    titles = [attributes.get("title") for attributes in tags.all("i")]
    assert titles.count("hidden: target frames 0 to 3") == 3
    assert titles.count("re-entered: target frames 4 to 8") == 3
    assert titles.count("context") == 3


def test_names_and_settings_cannot_become_markup(page):
    text, tags = page
    assert HOSTILE not in text
    assert HOSTILE in tags.text
    assert "</script><b>" in tags.text
    assert len(tags.all("script")) == 1


def test_the_first_screen_says_who_is_better_and_plays_three_clips(page, results):
    text, tags = page
    first = text.index('id="first"')
    assert first < text.index("<h2>")
    assert verdict(results).startswith(f"{first_methods(results)[0].name} is ")
    assert [method.name for method in first_methods(results)][-1] == "frozen"
    assert "on 3 clips" in verdict(results)
    copies = [video["data-copy"] for video in tags.all("video") if "data-copy" in video]
    shown = {video["id"] for video in tags.all("video") if "id" in video}
    assert len(copies) == 6  # the truth and the leading model, of the worst, the median and the best clip
    assert set(copies) <= shown


def test_better_worse_or_not_told_apart(results):
    psnr, _ = first_metrics(results)[:2]
    difference = Summary(n=3, n_undefined=0, mean=2.0, median=2.0, low=1.0, high=3.0)
    summary = replace(difference, difference=difference)
    assert outcome(summary, psnr) == "better"
    assert outcome(summary, replace(psnr, higher_is_better=False)) == "worse"
    assert outcome(replace(summary, difference=replace(difference, low=-1.0)), psnr) == "not significant"
    assert outcome(replace(summary, difference=None), psnr) == "not comparable"
