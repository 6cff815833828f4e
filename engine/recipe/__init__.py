"""The recipe: the four decisions of a fine-tuning as typed, frozen data.

A recipe is a TOML file with one table a decision (`[head] [dataset] [schedule] [weights]`) and two more that complete
it (`[model] [run]`). It may extend a preset or another file; the deeper file wins key by key, lists replace. Nothing
here imports torch, so the wizard can use it.

    recipe = load_recipe("recipe.toml", {"schedule.lr": 0.01})
    recipe.schedule.lr

tables.py has the keys with their defaults, values.py what they may be; layers.py reads the files, loading.py puts them
together, sentences.py says what is wrong; saving.py writes.
"""

from engine.recipe.layers import nested, preset_names, preset_path
from engine.recipe.loading import Resolved, load_recipe, parse_override, recipe_from, resolve_recipe
from engine.recipe.saving import changes_from, document_of, recipe_schema, save_recipe, to_toml, with_absolute_paths
from engine.recipe.tables import (
    PATH_KEYS,
    QUARANTINE,
    TABLES,
    Dataset,
    Head,
    Model,
    Recipe,
    Run,
    Schedule,
    Table,
    Weights,
)
from engine.recipe.values import spelt_out

__all__ = [
    "PATH_KEYS", "QUARANTINE", "TABLES", "Dataset", "Head", "Model", "Recipe", "Resolved", "Run", "Schedule", "Table",
    "Weights", "changes_from", "document_of", "load_recipe", "nested", "parse_override", "preset_names", "preset_path",
    "recipe_from", "recipe_schema", "resolve_recipe", "save_recipe", "spelt_out", "to_toml", "with_absolute_paths",
]  # fmt: skip
