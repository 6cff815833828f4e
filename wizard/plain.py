"""The wizard line by line, for a screen reader or a bare terminal: the same decisions, asked by questionary."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import questionary

from engine.errors import DataError
from engine.learning_rate import lr_arithmetic
from wizard.decisions import DECISIONS, FRAMES, LOOKS_AGAIN, QUESTIONS, Question, shown
from wizard.draft import Draft, checked_overrides
from wizard.inference import free_path
from wizard.words import count, quoted

LONG_LIST = 12  # from here on, typing narrows a list down


def run_plain(
    data: Path | None, out: Path | None, overrides: Mapping[str, Any], answers: Mapping[str, str] | None = None
) -> None:
    """Ask what nobody has answered yet, show the recipe, and write it on yes.

    answers: by key, from the command line. Raises RecipeError; KeyboardInterrupt when the user gives up.
    """
    draft = Draft(given=dict(answers or {}), overrides=checked_overrides(overrides))
    if data is not None:
        draft.give("data", str(data))
    if out is not None:
        draft.give("out", str(free_path(out)))
    ask(draft)
    _say("", draft.toml())
    if not questionary.confirm(f"Write this to {draft.out}?", default=True).unsafe_ask():
        _say("Nothing was written.")
        return
    path = draft.save()
    print(path)
    _say(f"Wrote {path}. Train with: ftwiz run {quoted(path)}")


def ask(draft: Draft) -> Draft:
    """Ask what the four decisions ask, one question a line; Enter takes what is suggested. What is answered already, by
    an option or --set, is only said. Returns the same draft."""
    answered = {key for key in QUESTIONS if draft.answer(key).given}
    for decision in DECISIONS:
        _say("", f"{decision.title}. {decision.asks}")
        for question in decision.questions:
            if question.key == "data":
                _ask_for_data(draft, question)
            elif question.key in ("annotations", *FRAMES) or not question.applies(draft):
                continue
            elif question.key in answered and question.key not in draft.problems():
                _say(f"{question.label}: {_in_words(draft, question)}")
            else:
                _ask(draft, question)
        if decision.name == "schedule":
            _say(lr_arithmetic(draft.recipe_as_far_as_it_goes().schedule), draft.steps_sentence())
        _say(*(f"Note: {warning}" for warning in draft.warnings(decision.name)))
    return draft


def _ask_for_data(draft: Draft, question: Question) -> None:
    """Until a folder is understood. Its lists may lie elsewhere, so that is asked before giving a folder up."""
    is_named = bool(draft.data_path)
    while True:
        if is_named:  # on the command line
            _say(f"{question.label}: {draft.value('data')}")
        else:
            draft.give("data", _answer(draft, question))
        is_named = False
        if draft.data_path is None:
            _say("  Name a folder.")
            continue
        if _look(draft):
            break
        if draft.undecided and _settled(draft):
            break
        if not draft.data_path.is_dir():
            continue
        draft.give("annotations", _answer(draft, QUESTIONS["annotations"], "annotations, if they lie elsewhere"))
        if "annotations" in draft.given and _look(draft):
            break
        draft.give("annotations", "")
    assert draft.found
    _say(*(f"  {sentence}" for sentence in (*draft.found.why, *draft.found.notes)))
    for name in draft.found.classes:
        train, val = draft.found.train_counts.get(name, 0), draft.found.val_counts.get(name, 0)
        _say(f"  {name}: {count(train, 'training clip')}, {count(val, 'validation clip')}")


def _in_words(draft: Draft, question: Question) -> str:
    """The answer that holds, as it would be chosen or typed."""
    text = shown(draft.value(question.key))
    return question.choices(draft).get(text, text) if question.choices else text


def _settled(draft: Draft) -> bool:
    """Whether the data can be read once it is answered what they alone do not tell."""
    question = QUESTIONS[draft.undecided]
    draft.give(question.key, _answer(draft, question))
    return question.key in draft.given and _look(draft)


def _ask(draft: Draft, question: Question) -> None:
    """Until the validator has nothing against the answer."""
    while True:
        draft.give(question.key, _answer(draft, question))
        if question.key in LOOKS_AGAIN:
            _look(draft)
        problem = draft.problems().get(question.key)
        if not problem:
            return
        _say(f"  {problem}")
        draft.give(question.key, "")


def _look(draft: Draft) -> bool:
    try:
        draft.look()
    except DataError as error:
        _say(f"  {error}")
    return draft.found is not None


def _answer(draft: Draft, question: Question, label: str = "") -> str:
    """One prompt. The suggestion itself is no answer: it follows what is answered later, or is changed."""
    answer = draft.answer(question.key)
    suggestion = shown(answer.value)
    why = f" ({answer.why})" if answer.why and not answer.given else ""
    message = f"{label or question.label}{why}:"
    if question.choices:
        choices = [questionary.Choice(name, value) for value, name in question.choices(draft).items()]
        long = len(choices) > LONG_LIST
        text = questionary.select(
            message, choices, default=suggestion, use_search_filter=long, use_jk_keys=not long
        ).unsafe_ask()
    elif question.key in ("data", "annotations"):
        text = questionary.path(message, default=suggestion, only_directories=True).unsafe_ask()
    else:
        text = questionary.text(message, default=suggestion).unsafe_ask()
    if text == suggestion and not answer.given:
        return ""
    return str(text)


def _say(*lines: str) -> None:
    """For people: on stderr, so that stdout carries the recipe's path only."""
    for line in lines:
        print(line, file=sys.stderr)
