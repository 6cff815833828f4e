"""The rows of the weights table: what they say, how they are found and ordered."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.recipe import preset_names, recipe_from, save_recipe
from engine.weights.published import PUBLISHED
from wizard.draft import Draft
from wizard.inference import preset_named_by
from wizard.offers import COLUMNS, best_first, families, matching, model_offers, offer_of, ordered, published_offers
from wizard.starts import OWN, file_of, published_for, start_keys


def test_every_published_checkpoint_has_a_row_with_what_its_publisher_says() -> None:
    rows = {offer.preset: offer for modality in ("rgb", "flow") for offer in published_offers(modality)}
    assert set(rows) == {published.preset for published in PUBLISHED}
    row = rows["slowfast-r50-kinetics400"]
    assert (row.name, row.family, row.trained_on) == ("SlowFast ResNet-50", "SlowFast", "Kinetics-400")
    assert (row.frames, row.top1, row.size_mb) == ("32 × 2", 76.8, 138)
    assert rows["tsn-r50-kinetics400-flow"].frames == "8 × 5"
    assert offer_of("tsm-r50-kinetics400").frames == "8"


def test_every_preset_is_a_model_for_weights_of_ones_own() -> None:
    names = [offer.preset for modality in ("rgb", "flow") for offer in model_offers(modality)]
    assert sorted(names) == preset_names()


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("slowfast", "slowfast-r50-kinetics400"),
        ("RESNET-50 imagenet", "tsn-r50-imagenet"),
        ("mae", "videomae-b-kinetics400"),
    ],
)
def test_a_search_finds_rows_by_all_its_words_in_any_order(words: str, name: str) -> None:
    offers = published_offers("rgb")
    assert name in {offer.preset for offer in matching(offers, words)}
    assert matching(offers, words) == matching(offers, " ".join(reversed(words.split())))
    assert matching(offers, f"{words} nonsense") == []
    assert matching(offers, " ") == offers


@pytest.mark.parametrize("column", COLUMNS)
def test_sorting_by_a_column_loses_no_row_and_puts_the_unknown_last(column: str) -> None:
    offers = published_offers("rgb")
    rows = ordered(offers, column)
    assert sorted(row.preset for row in rows) == sorted(row.preset for row in offers)
    unknown = [COLUMNS[column].value(row) is None for row in rows]
    assert unknown == sorted(unknown)


def test_small_files_and_high_accuracies_come_first() -> None:
    offers = published_offers("rgb")
    sizes = [row.size_mb for row in ordered(offers, "size")]
    assert sizes == sorted(sizes, key=lambda size: size or 0)
    accuracies = [row.top1 for row in ordered(offers, "top1") if row.top1]
    assert accuracies == sorted(accuracies, reverse=True)


def test_the_suggestion_is_first_and_what_does_not_fit_is_last() -> None:
    offers = published_offers("rgb")
    rows = best_first(offers, "tsm-r50-kinetics400", {"videomae-b-kinetics400"})
    assert (rows[0].preset, rows[-1].preset) == ("tsm-r50-kinetics400", "videomae-b-kinetics400")


def test_where_motion_counts_what_learned_from_motions_stands_behind_the_suggestion() -> None:
    rows = best_first(published_offers("rgb"), "tsm-r50-kinetics400", set(), of_motion=True)
    assert rows[0].preset == "tsm-r50-kinetics400"
    assert rows[1].trained_on.startswith(("Something-Something", "Jester"))
    usual = best_first(published_offers("rgb"), "tsm-r50-kinetics400", set())
    assert usual[1].trained_on == "Kinetics-400"


def test_families_count_their_networks() -> None:
    counts = families(published_offers("rgb"))
    assert sum(counts.values()) == len(start_keys()) - 2
    assert counts["X3D"] >= 1


def test_a_downloaded_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = published_for("x3d-m-kinetics400")
    assert published and not offer_of(published.preset).is_here
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints" / file_of(published)).touch()
    assert offer_of(published.preset).is_here
    assert ordered(published_offers("rgb"), "here")[0].preset == published.preset


@pytest.mark.parametrize(
    ("source", "preset"),
    [
        ("downloads/" + file_of(PUBLISHED[1]), PUBLISHED[1].preset),
        (PUBLISHED[3].load_from, PUBLISHED[3].preset),
        ("my tsm_r50_gestures.pth", "tsm-r50-kinetics400"),
        ("https://example.org/x3d_m_mine.pth?raw=1", "x3d-m-kinetics400"),
        ("C:\\weights\\slowonly.pth", "slowonly-r50-kinetics400"),
    ],
)
def test_a_files_name_tells_its_model(source: str, preset: str) -> None:
    answer = preset_named_by(source)
    assert answer and answer.value == preset


@pytest.mark.parametrize("source", ["", "mine.pth", "best.pt", "epoch-005.pt", "transmission.pth"])
def test_a_name_that_says_nothing_is_taken_for_nothing(source: str) -> None:
    assert preset_named_by(source) is None


def test_the_model_of_a_run_is_what_its_recipe_says(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "my first"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "best.pt").write_bytes(b"PK\x03\x04")
    trained = recipe_from(
        {"model": {"backbone": "resnet18", "segments": 5}, "dataset": {"frame_size": 64}}, "tsm-r50-kinetics400"
    )
    save_recipe(trained, run / "recipe.toml")
    for name in ("jump", "run"):
        (tmp_path / "clips" / name).mkdir(parents=True)
        for number in range(30):
            (tmp_path / "clips" / name / f"{number}.mp4").touch()
    draft = Draft({"data": str(tmp_path / "clips"), "start": OWN})
    draft.look()
    for source in (run, f"{run}:best", run / "checkpoints" / "best.pt"):
        draft.give("source", str(source))
        recipe = draft.recipe()
        assert recipe.model == trained.model
        assert recipe.dataset.frame_size == 64
        assert recipe.weights.load_from == str(source)
    draft.give("preset", "slowonly-r50-kinetics400")  # the user has the last word
    assert draft.recipe().model.backbone == "resnet50"
