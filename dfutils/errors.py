"""Exceptions that users see: each names the file and the reason."""

from __future__ import annotations

import os


class InputError(ValueError):
    """A file, folder or value from the user cannot be used.

    Parameters
    ----------
    subject : str or os.PathLike
        The file, folder or argument that is at fault.
    reason : str
        Why it cannot be used, in plain words.

    Attributes
    ----------
    subject, reason : str
        The two parts, kept apart for rejects tables.
    """

    def __init__(self, subject: str | os.PathLike, reason: str):
        self.subject = str(subject)
        self.reason = reason
        super().__init__(f"{self.subject}: {reason}")

    def __reduce__(self):  # two arguments: joblib's workers must be able to hand it back
        return type(self), (self.subject, self.reason)


class StorageError(InputError):
    """A file or folder cannot be written: the disk is full, read-only or not allowed.

    It says nothing about the sample that was being worked on, so it never becomes a reject.
    """


class IntegrityError(InputError):
    """A file is not the one that was recorded (its sha256 differs, or a part is missing)."""


class AbstainError(InputError):
    """A file can be read, but its picture or its voice cannot be judged."""


class ModelError(InputError):
    """There is no trained model to use, or it may not be used."""


class NoModelError(ModelError):
    """No model has been trained yet."""


class LeakError(InputError):
    """A person, a source recording or a file stands in more than one split."""
