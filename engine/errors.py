"""Errors a user can act on, and the exit code each one ends the program with.

Every message is one plain sentence that says what is wrong, where (file, key, line) and what to do. Code that raises
one of these has thought about the reader; any other exception is a bug of ours and keeps its traceback.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns; scripts and schedulers rely on these numbers."""

    OK = 0
    TRAINING = 1
    RECIPE = 2
    DATA = 3
    WEIGHTS = 4
    DEVICE = 5
    INTERRUPTED_RESUMABLE = 75  # EX_TEMPFAIL: a checkpoint is saved, run again with --resume
    INTERRUPTED = 130  # nothing to save


class FtwizError(Exception):
    """Base of every error that is shown without a traceback."""

    exit_code = ExitCode.TRAINING


class TrainingError(FtwizError):
    """The run cannot go on, e.g. the loss is not finite."""

    exit_code = ExitCode.TRAINING


class DiskFullError(TrainingError):
    """There is no room for what has to be written; once there is, it can be tried again."""


class RecipeError(FtwizError):
    """The recipe or the command line is wrong. Carries all problems found, one a line."""

    exit_code = ExitCode.RECIPE


class DataError(FtwizError):
    """A dataset, an annotation file or a video is missing or wrong. code: the kind of trouble, for `ftwiz check`."""

    exit_code = ExitCode.DATA

    def __init__(self, text: str, code: str = "dataset"):
        super().__init__(text)
        self.code = code


class UndecidedError(DataError):
    """The data can be read in two ways, and only their owner knows which. key: the recipe's key that says it."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


class WeightsError(FtwizError):
    """Pretrained weights or a checkpoint cannot be fetched, trusted or matched."""

    exit_code = ExitCode.WEIGHTS


class DeviceError(FtwizError):
    """The device asked for is not there, or its memory is too small."""

    exit_code = ExitCode.DEVICE
