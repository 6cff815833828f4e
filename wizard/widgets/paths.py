"""Finding a folder: completion while its path is typed, and a tree to look around in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import DirectoryTree, Footer, Input, Static
from textual.widgets.directory_tree import DirEntry
from textual.widgets.tree import TreeNode

from engine.dataset.files import is_video
from wizard.words import count


def completions(text: str, folders_only: bool = True) -> list[str]:
    """The paths that begin with what was typed, sorted: folders, and files too where they are wanted."""
    head, tail = os.path.split(text)
    if not text or tail in (".", ".."):
        return []
    try:
        with os.scandir(os.path.expanduser(head) or ".") as entries:
            names = sorted(entry.name for entry in entries if _fits(entry, tail, folders_only))
    except (OSError, ValueError):
        return []
    return [os.path.join(head, name) for name in names]


def half_typed(text: str) -> list[str]:
    """What the path may become, where there is no such thing yet but there are folders that begin so."""
    return [] if not text or os.path.lexists(os.path.expanduser(text)) else completions(text)


def _fits(entry: os.DirEntry[str], start: str, folders_only: bool) -> bool:
    hidden = entry.name.startswith(".") and not start.startswith(".")
    return entry.name.startswith(start) and not hidden and (entry.is_dir() or not folders_only)


MOST_COUNTED = 500  # folders in a folder that one looks into
MOST_ENTRIES = 5000


class PathSuggester(Suggester):
    """Completes the last part of a path, once it is begun: folders, and files too where they are wanted."""

    def __init__(self, folders_only: bool = True) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.folders_only = folders_only

    async def get_suggestion(self, value: str) -> str | None:
        begun = bool(os.path.basename(value))
        return next(iter(completions(value, self.folders_only)), None) if begun else None


class PathInput(Input):
    """Tab completes as far as there is no doubt, as in a shell, and goes on to the next field where nothing is left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "complete", "Complete the path", show=False)]

    def action_complete(self) -> None:
        typed = self.value
        found = completions(typed, getattr(self.suggester, "folders_only", False))
        sure = os.path.commonprefix(found) or typed  # noqa: RUF071  letter by letter is what is meant
        if len(found) == 1 and os.path.isdir(os.path.expanduser(sure)):
            sure = os.path.join(sure, "")
        if sure == typed and found and not os.path.lexists(os.path.expanduser(typed)):
            sure = found[0]  # asked again: the first of them
        if sure == typed or not self.cursor_at_end:
            self.screen.focus_next()
        else:
            self.value = sure
            self.cursor_position = len(sure)


class FolderTree(DirectoryTree):
    """Folders only, each with what it holds; Enter takes the one under the cursor, the arrow keys open and close."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "open", "Open"),
        Binding("left", "shut", "Close"),
    ]
    ICON_NODE, ICON_NODE_EXPANDED = "▸ ", "▾ "
    auto_expand = False

    def __init__(self, path: Path) -> None:
        self._holds: dict[Path, str] = {}
        super().__init__(path)

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        """In a thread."""
        folders = [path for path in paths if not path.name.startswith(".") and _is_folder(path)]
        self._holds |= {folder: contents_of(folder) for folder in folders[:MOST_COUNTED]}
        return folders

    def render_label(self, node: TreeNode[DirEntry], base_style: Style, style: Style) -> Text:
        label = super().render_label(node, base_style, style)
        holds = self._holds.get(node.data.path, "") if node.data else ""
        return label.append(f"  {holds}", Style(dim=True)) if holds else label

    def action_open(self) -> None:
        if self.cursor_node:
            self.cursor_node.expand()

    def action_shut(self) -> None:
        if node := self.cursor_node:
            if node.is_expanded and not node.is_root:
                node.collapse()
            elif node.parent:
                self.move_cursor(node.parent)


def contents_of(folder: Path) -> str:
    """In a few words; of a very full folder "more than"."""
    videos = folders = 0
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, MOST_ENTRIES):
                videos += is_video(entry.name)
                folders += not entry.name.startswith(".") and entry.is_dir()
            more = "more than " if next(entries, None) else ""
    except OSError:
        return ""
    if videos:
        return more + count(videos, "video")
    return more + count(folders, "folder") if folders else ""


class FolderPicker(ModalScreen[Path | None]):
    """Choose a folder from a tree that begins at `start`; dismisses with None when nothing was chosen."""

    CSS = """
    FolderPicker {
        align: center middle;
        #picker { width: 90%; max-width: 90; height: 85%; background: $surface; border: round $primary; padding: 0 1; }
        #place { color: $text-muted; height: auto; margin-bottom: 1; }
        FolderTree { background: $surface; height: 1fr; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Cancel"),
        Binding("backspace", "parent", "Folder above"),
    ]

    def __init__(self, start: Path) -> None:
        super().__init__()
        self.start = next((folder for folder in (start, *start.parents) if _is_folder(folder)), Path.cwd())

    def compose(self) -> ComposeResult:
        with Vertical(id="picker"):
            yield Static(id="place", markup=False)
            yield FolderTree(self.start)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#picker").border_title = "Choose the folder: Enter takes it, → looks inside"
        self._say_place()

    def on_directory_tree_directory_selected(self, event: DirectoryTree.DirectorySelected) -> None:
        self.dismiss(event.path)

    def action_parent(self) -> None:
        self.start = self.start.absolute().parent
        self.query_one(FolderTree).path = self.start
        self._say_place()

    def _say_place(self) -> None:
        self.query_one("#place", Static).update(str(self.start.absolute()))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
