"""`ftwiz demo`: a small video dataset, and three trainings that show what pretraining buys.

A network learns six motions from many clips. Then it is fine-tuned, its head replaced, on six other motions with few
clips; and the same is tried from scratch. Everything is real: videos, recipes to open and change, runs to watch.

    ftwiz-demo/
      demo.json                     what was made, so that a second time it need not be
      videos/pretraining/           {train,val}/CLASS/*.mp4
      videos/motions/
      pretrain.toml  fine-tune.toml  from-scratch.toml
      pretrained.pt                 the best checkpoint of the latest pretraining
      runs/
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from textwrap import wrap
from typing import Any

from engine.atomic import write_text
from engine.control import signals_kept
from engine.errors import DataError, ExitCode, FtwizError, RecipeError, TrainingError
from engine.events import RunFailed, RunFinished
from engine.recipe import load_recipe
from engine.run_folder import RunFolder, create_run_folder
from wizard.launch import start_engine
from wizard.progress import Progress, can_animate, follow
from wizard.run_words import resume_command
from wizard.words import count, duration, percent, quoted

VERSION = 1  # of the videos and recipes: a folder that another version made is left alone
STOPPING = 30.0  # seconds that an engine has for its checkpoint before it is killed


@dataclass(frozen=True)
class Scale:
    """How much of everything. *_clips: videos a class."""

    pretraining_clips: int = 250
    motion_clips: int = 12
    val_clips: int = 20
    pretraining_epochs: int = 6
    epochs: int = 12


@dataclass(frozen=True)
class Chapter:
    """One training of the story. name: of its recipe. line: what to know while it runs."""

    name: str
    line: str


CHAPTERS = (
    Chapter("pretrain", "1 of 3  Pretraining: a small network learns six motions from many clips."),
    Chapter("fine-tune", "2 of 3  Fine-tuning: the same network, a new head, six other motions, few clips."),
    Chapter("from-scratch", "3 of 3  From scratch: the same few clips and epochs, without the pretraining."),
)


def run_demo(
    folder: Path, seed: int = 0, plain: bool = False, as_json: bool = False, scale: Scale | None = None
) -> int:
    """Tell the whole story in `folder`; returns the exit code.

    On a terminal it shows the dashboard, unless `plain` or `as_json`; elsewhere it prints lines, on stderr. stdout has
    the result alone. Raises RecipeError for a folder that is not the demo's, and the FtwizError of a run that failed.
    """
    began = time.monotonic()
    scale = scale or Scale()
    _claim(folder, seed, scale)
    story = Story(folder)
    with _signals_interrupt():
        try:
            make_videos(folder, seed, scale)
            write_recipes(folder, seed, scale)
            if not (plain or as_json) and _can_draw():
                from wizard.demo_screen import tell_on_screen

                tell_on_screen(story)
            tell_in_lines(story)
        except KeyboardInterrupt:
            story.end_training()
            return _say_how_to_go_on(story)
        finally:
            story.end_training()
    result = story.result() | {"seed": seed, "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps(result, indent=2) if as_json else summary(story, result))
    return ExitCode.OK


def tell_in_lines(story: Story) -> None:
    """Show what is left of the story on stderr: progress bars on a terminal, lines elsewhere."""
    while story.go_on():
        assert story.engine
        _say(f"\n{story.chapter.line}")
        with Progress(sys.stderr) as progress:
            follow(story.run, story.engine, progress.show)


def _can_draw() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Whatever asks this process to end does what Ctrl-C does, so that no training is left behind."""
    names = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.getsignal(name) for name in names}
    for name, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup
            signal.signal(name, signal.default_int_handler)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _say_how_to_go_on(story: Story) -> int:
    """After an interruption; returns the exit code."""
    again = f"`ftwiz demo {quoted(story.folder)}` starts it again, with the videos that are there."
    if story.runs and (story.run.checkpoints / "last.pt").exists():
        _say(f"The demo was stopped. {again} Its {story.chapter.name} run alone: {resume_command(story.run)}")
        return ExitCode.INTERRUPTED_RESUMABLE
    _say(f"The demo was stopped. {again}")
    return ExitCode.INTERRUPTED


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- the folder -------------------------------------------------------------------------------------------------------


def _claim(folder: Path, seed: int, scale: Scale) -> None:
    """Make the folder the demo's, or see that it is. Nothing that is in it is ever deleted."""
    made = folder / "demo.json"
    asked = {"version": VERSION, "seed": seed, **asdict(scale)}
    try:
        if not made.exists():
            if folder.exists() and any(folder.iterdir()):
                raise RecipeError(f"{folder} is not empty, and not from a demo; name another folder: `ftwiz demo DIR`.")
            folder.mkdir(parents=True, exist_ok=True)
            write_text(made, json.dumps({**asked, "complete": False}, indent=2) + "\n")
        before = json.loads(made.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{folder} cannot be used for the demo: {error.strerror}.") from None
    except ValueError:
        raise RecipeError(f"{made} cannot be read as JSON; name another folder: `ftwiz demo DIR`.") from None
    differing = [key for key, value in asked.items() if before.get(key) != value]
    if differing:
        was = ", ".join(f"{key} {before.get(key)}" for key in differing)
        raise RecipeError(f"{folder} holds a demo of another kind ({was}); name another folder: `ftwiz demo DIR`.")


def make_videos(folder: Path, seed: int, scale: Scale) -> None:
    """Make both datasets in a process of their own, unless they are there."""
    made = folder / "demo.json"
    facts = json.loads(made.read_text(encoding="utf-8"))
    videos = folder / "videos"
    total = 6 * (scale.pretraining_clips + scale.motion_clips + 2 * scale.val_clips)
    if facts["complete"] and sum(1 for _ in videos.rglob("*.mp4")) >= total:
        _say(f"The videos of an earlier demo are in {videos}; they are used again.")
        return
    _say(f"Making {count(total, 'video')} of things that move, in {videos}.")
    began = time.monotonic()
    _run_maker(videos, seed, scale, total)
    write_text(made, json.dumps({**facts, "complete": True}, indent=2) + "\n")
    _say(f"Made them in {duration(time.monotonic() - began)}.")


def _run_maker(videos: Path, seed: int, scale: Scale, total: int) -> None:
    command = [sys.executable, "-P", "-m", "engine.demo_clips", str(videos), "--seed", str(seed)]
    command += ["--pretraining", str(scale.pretraining_clips), "--motions", str(scale.motion_clips)]
    command += ["--val", str(scale.val_clips)]
    # A session of its own: Ctrl-C reaches this process alone, which then ends the maker.
    maker = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert maker.stdout and maker.stderr
    try:
        with _bar(total) as advance_to:
            for line in maker.stdout:
                advance_to(int(line.split()[0]))
        reason = maker.stderr.read().strip()
        if maker.wait():
            raise DataError(f"The demo's videos could not be made: {reason.splitlines()[-1] if reason else 'killed'}")
    finally:
        maker.kill()
        maker.wait()
        maker.stdout.close()
        maker.stderr.close()


@contextmanager
def _bar(total: int) -> Iterator[Any]:
    """A progress bar where one can be drawn; yields how to move it."""
    if not can_animate(sys.stderr):
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("videos", total=total)
        yield lambda done: bar.update(task, completed=done)


def write_recipes(folder: Path, seed: int, scale: Scale) -> None:
    """Write the three recipes; one that the reader has changed since stays as it is."""
    for chapter in CHAPTERS:
        path = folder / f"{chapter.name}.toml"
        text = _RECIPES[chapter.name].format(seed=seed, **asdict(scale))
        if path.exists():
            if path.read_text(encoding="utf-8", errors="replace") != text:
                _say(f"{path} has been changed since it was written; the demo follows it as it is now.")
            continue
        write_text(path, text)


_RECIPES = {
    "pretrain": """\
# A small network learns six motions: slides to the four sides, and circles both ways round.

name = "pretrain"

[model]
recognizer = "tsm"                  # frames see their neighbours: no single frame tells left from right
backbone = "resnet10_slim"          # 0.3 M parameters, a minute on two cores
segments = 8
shift_div = 4                       # small networks like a larger shift: half of the channels

[head]
num_classes = "auto"
dropout = 0.0
init_std = 0.1                      # the usual 0.01 lets so small a network wait long before it learns anything

[dataset]
format = "folders"
root = "videos/pretraining"
short_side = 46
frame_size = 40                     # the videos are 64 pixels wide
crop = "random"
flip = 0.0                          # a mirrored slide to the left is one to the right

[schedule]
epochs = {pretraining_epochs}
batch_size = 16
optimizer = "adamw"
lr = 0.002
lr_batch_size = 0                   # use lr as it is
weight_decay = 0.01
lr_policy = "cosine"
warmup_epochs = 1
checkpoint_interval = {pretraining_epochs}

[run]
device = "cpu"                      # small enough for any machine, and the same numbers everywhere; "auto" takes a GPU
workers = 1
seed = {seed}
""",
    "fine-tune": """\
# The four decisions of a fine-tuning, for six other motions: drifts to the four corners, swaying and bobbing.

extends = "pretrain.toml"
name = "fine-tune"

[head]
num_classes = "auto"                # six here too, but other ones: the last layer starts anew
init_std = 0.01                     # and starts small, so as not to disturb what is already known

[dataset]
root = "videos/motions"             # {motion_clips} clips a class, against {pretraining_clips}

[schedule]
epochs = {epochs}
batch_size = 8                      # few clips: more steps an epoch
lr = 0.0015                         # 0.002 in pretrain.toml
checkpoint_interval = {epochs}

[weights]
load_from = "pretrained.pt"         # the best checkpoint of pretrain.toml
""",
    "from-scratch": """\
# The same clips, epochs and rates as fine-tune.toml. The only difference is that nothing was learned before.

extends = "fine-tune.toml"
name = "from-scratch"

[weights]
load_from = ""
""",
}


# --- the story --------------------------------------------------------------------------------------------------------


class Story:
    """The three trainings, one after the other. Whoever shows them may change on the way: it only asks to go on."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.runs: list[RunFolder] = []  # of the chapters begun so far
        self.engine: subprocess.Popen[bytes] | None = None  # None: no chapter is under way

    @property
    def chapter(self) -> Chapter:
        return CHAPTERS[len(self.runs) - 1]

    @property
    def run(self) -> RunFolder:
        return self.runs[-1]

    def go_on(self) -> bool:
        """Begin the next chapter once the one before has ended; False after the last.

        Raises the FtwizError of a run that failed, and KeyboardInterrupt after one that was stopped from the dashboard.
        """
        if self.engine is not None:
            if self.engine.poll() is None:
                return True
            self._finish()
        if len(self.runs) == len(CHAPTERS):
            return False
        name = CHAPTERS[len(self.runs)].name
        recipe = load_recipe(self.folder / f"{name}.toml", {"run.output": str(self.folder / "runs")})
        self.runs.append(create_run_folder(recipe, None, datetime.now()))
        # Layers this small gain nothing from threads, and wait for each other on a busy machine.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        with signals_kept():
            self.engine = start_engine(self.run)
        return True

    def _finish(self) -> None:
        """See that the chapter came to its end; keep what pretraining learned."""
        assert self.engine is not None
        ended = self.run.state().ended
        if isinstance(ended, RunFailed):
            failure = FtwizError(f"The demo's {self.chapter.name} run failed: {ended.error}")
            failure.exit_code = ExitCode(ended.exit_code)
            raise failure
        if self.engine.returncode or not isinstance(ended, RunFinished):
            raise TrainingError(
                f"The demo's {self.chapter.name} run ended before its time; the reason may be in {self.run.log}."
            )
        if ended.stopped_early:
            raise KeyboardInterrupt
        self.engine = None
        if self.chapter.name == "pretrain":
            part = self.folder / ".pretrained.pt.part"
            shutil.copyfile(self.run.checkpoints / "best.pt", part)
            os.replace(part, self.folder / "pretrained.pt")

    def end_training(self) -> None:
        """End the training under way, if there is one; it saves a checkpoint first. An impatient Ctrl-C kills it."""
        if self.engine is None or self.engine.poll() is not None:
            return
        self.engine.terminate()
        try:
            self.engine.wait(STOPPING)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.engine.kill()
            self.engine.wait()

    def result(self) -> dict[str, Any]:
        """Accuracies on the validation clips after the last epoch, 0..1, and where everything is."""
        pretraining, fine_tuned, from_scratch = (run.state() for run in self.runs)
        assert fine_tuned.started
        return {
            "fine_tuned": fine_tuned.validations[-1].top1,
            "from_scratch": from_scratch.validations[-1].top1,
            "chance": fine_tuned.started.chance,
            "pretraining": pretraining.validations[-1].top1,
            "measured": "validation clips, last epoch",
            "folder": str(self.folder),
            "runs": {chapter.name: str(run.path) for chapter, run in zip(CHAPTERS, self.runs, strict=True)},
        }


# --- what came of it --------------------------------------------------------------------------------------------------


def summary(story: Story, result: Mapping[str, Any]) -> str:
    """The result for a person: three bars, what they mean, and what to try next."""
    rows = [("fine-tuned", "fine_tuned"), ("from scratch", "from_scratch"), ("chance", "chance")]
    bars = [f"  {title:<14}{percent(result[key]):>8}  {_drawn(result[key])}" for title, key in rows]
    state = story.runs[1].state()
    assert state.started
    clips, epochs = count(state.started.train_clips, "clip"), count(state.started.epochs, "epoch")
    next_steps = [
        ("its curves", f"ftwiz watch {quoted(story.runs[1].path)}"),
        ("its recipe in full", f"ftwiz show {quoted(story.folder / 'fine-tune.toml')}"),
        ("a recipe of yours", f"ftwiz new {quoted(story.folder / 'videos' / 'motions')}"),
    ]
    return "\n".join(
        [
            "",
            f"Accuracy on {count(state.started.val_clips, 'clip')} that no training saw, after the last epoch:",
            "",
            *bars,
            "",
            *wrap(
                f"Both runs had the same {clips} and {epochs}. {_what_it_bought(result)} "
                f"All of it took {duration(result['seconds'])}.",
                width=76,
            ),
            "",
            "Try next:",
            *(f"  {what:<20}{command}" for what, command in next_steps),
        ]
    )


def _what_it_bought(result: Mapping[str, Any]) -> str:
    gain = result["fine_tuned"] - result["from_scratch"]
    points = f"{100 * abs(gain):.0f} points"
    if gain < 0.05:
        return "This time pretraining bought next to nothing; the curves of the runs may say why."
    learned = "learned nothing yet" if result["from_scratch"] < result["chance"] + 0.1 else "learned less"
    return (
        f"Pretraining bought {points}: the fine-tuned network had seen other motions before and only had to name new "
        f"ones, while the one from scratch {learned}."
    )


def _drawn(share: float, width: int = 40) -> str:
    """A share as a bar; a full one is `width` wide."""
    return "█" * round(share * width)
