"""Pictures of the dashboard: a change of looks is seen in review, not by accident."""

from __future__ import annotations

import pytest

from engine.events import RunFinished
from tests.runs import BEGIN, history, make_run, started
from wizard.dashboard import WatchApp

START = started()


@pytest.mark.parametrize("size", [(80, 24), (140, 40)], ids=["80x24", "140x40"])
def test_a_running_dashboard(tmp_path, snap_compare, size):
    run = make_run(tmp_path / "tsn-ucf101-1", history(200, START), log="Decoding with decord on 4 workers.\n")
    run.claim()
    assert snap_compare(WatchApp(run), terminal_size=size)


def test_a_finished_dashboard_smoothed_on_a_log_axis(tmp_path, snap_compare):
    events = [*history(320, START), RunFinished(BEGIN + 321, 0.85, 8, 321.0)]
    run = make_run(tmp_path / "tsn-ucf101-1", events, log="Done.\n")
    assert snap_compare(WatchApp(run), press=["l", "m"], terminal_size=(140, 40))
