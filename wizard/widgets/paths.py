"""Finding a folder: completion while its path is typed, and a tree to look around in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import DirectoryTree, Footer, Static


class PathSuggester(Suggester):
    """Completes the last part of a path: folders, and files too where they are wanted."""

    def __init__(self, folders_only: bool = True) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.folders_only = folders_only

    async def get_suggestion(self, value: str) -> str | None:
        head, tail = os.path.split(value)
        if not value or tail in (".", ".."):
            return None
        try:
            with os.scandir(os.path.expanduser(head) or ".") as entries:
                names = sorted(entry.name for entry in entries if self._fits(entry, tail))
        except OSError:
            return None
        return os.path.join(head, names[0]) if names else None

    def _fits(self, entry: os.DirEntry[str], start: str) -> bool:
        hidden = entry.name.startswith(".") and not start.startswith(".")
        return entry.name.startswith(start) and not hidden and (entry.is_dir() or not self.folders_only)


class FolderTree(DirectoryTree):
    """Folders only; Enter takes the one under the cursor, the arrow keys open and close."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "open", "Open"),
        Binding("left", "shut", "Close"),
    ]
    ICON_NODE, ICON_NODE_EXPANDED = "▸ ", "▾ "
    auto_expand = False

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        return [path for path in paths if not path.name.startswith(".") and _is_folder(path)]

    def action_open(self) -> None:
        if self.cursor_node:
            self.cursor_node.expand()

    def action_shut(self) -> None:
        if node := self.cursor_node:
            if node.is_expanded and not node.is_root:
                node.collapse()
            elif node.parent:
                self.move_cursor(node.parent)


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
