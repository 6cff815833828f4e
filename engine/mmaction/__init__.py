"""MMAction2's configs as recipes: read as data, never executed. All of it is torch-free."""
