"""Step 2, the head: how many classes, and a picture of what is reused and what is new."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.content import Content

from engine.errors import RecipeError
from wizard.decisions import shown
from wizard.draft import Draft
from wizard.inference import several_classes
from wizard.starts import SCRATCH, published_for
from wizard.steps.step import Step
from wizard.widgets.reuse_words import knows
from wizard.widgets.words import Words
from wizard.words import frames_of

# What the last layer of a torchvision ResNet sees.
FEATURES = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048, "resnet152": 2048}

MOST_NAMES = 100


class HeadStep(Step):
    """Short on purpose: the data have answered it."""

    DEFAULT_CSS = """
    HeadStep {
        #knows { height: auto; margin-top: 1; }
        #network { height: auto; margin-top: 1; }
        #class-names { height: auto; margin-top: 1; color: $text-muted; }
    }
    """
    name_of_decision = "head"

    def compose_rest(self) -> ComposeResult:
        yield Words(id="knows")
        yield Words(id="network")
        yield Words(id="class-names")

    def show_rest(self, draft: Draft) -> None:
        knows_line, report = self.query_one("#knows", Words), draft.reuse.report
        knows_line.say(Content.assemble(("✓ ", "$text-success"), knows(report)) if report else "")
        knows_line.display = bool(report and report.known_classes)
        self.query_one("#network", Words).say(network(draft))
        names = draft.found.classes if draft.found else ()
        listed = [f"{number} {name}" for number, name in enumerate(names)]
        if len(listed) > MOST_NAMES:
            listed[MOST_NAMES:] = [f"… and {len(names) - MOST_NAMES} more"]
        self.query_one("#class-names", Words).say("Classes by id:  " + "  ·  ".join(listed) if listed else "")


def network(draft: Draft) -> Content:
    """The network in a few lines, each with where its parameters come from."""
    try:
        model = draft.recipe_as_far_as_it_goes().model
    except RecipeError:
        model = draft.base.model  # an impossible answer is told at its own field
    backbone = model.backbone
    features, classes = FEATURES.get(backbone), shown(draft.value("head.num_classes"))
    from_scratch = draft.value("start") == SCRATCH
    kept = "new, random" if from_scratch else f"reused from {draft.summary('weights')}"
    last = f"{features:,} → {classes}" if features else f"→ {classes}"
    size = ""
    if features and classes.isdigit():
        size = f", {features * int(classes) + int(classes):,} parameters"
    was = published_for(str(draft.value("start")))
    before = draft.base.head.num_classes
    instead = f" in place of {before}" if was and was.load_from and before != "auto" else ""
    rows = [
        ("frames", frames_of(model), "from each clip"),
        ("backbone", backbone, kept),
        ("dropout", shown(draft.value("head.dropout")), "while training"),
        ("last layer", f"{last} classes", _of_last_layer(draft) or f"new{instead}{size}"),
        answer(draft),
    ]
    return Content("\n").join(
        Content.assemble(
            (f"{'└' if row == rows[-1] else '├' if row != rows[0] else '┌'}─ ", "$primary"),
            f"{row[0]:<12}",
            (f"{row[1]:<22}", "bold"),
            (row[2], "$foreground 60%"),
        )
        for row in rows
    )


def _of_last_layer(draft: Draft) -> str:
    """What is kept of the source's; "" where all is new, or nothing is known yet."""
    report = draft.reuse.report
    if report and not report.head_change:
        return "kept: the source knows these classes"
    if report and report.head_rows:
        kept, every = len(report.head_rows), len(report.classes)
        return f"kept for {kept} of {every} classes, the rest new"
    return ""


def answer(draft: Draft) -> tuple[str, str, str]:
    """What becomes of the last layer's numbers, and why."""
    if draft.value("head.multi_label") is not True:
        return "answer", "one class a clip", "softmax"
    several = several_classes(draft.found.notes).partition(",")[0] if draft.found else ""
    return "answer", "several classes", "; ".join(["a sigmoid for each", *filter(None, [several])])
