"""What can go wrong, as one tree.

    TpcStreamError                 what this package raises on purpose; the command line: one line, exit code 2
    +-- InputError (ValueError)            an option or an array has a value that cannot be used
    +-- MediaError (OSError)               a file, URL or device cannot be read or written
    |   +-- SourceError                    ... on the way in
    |   +-- SinkError                      ... on the way out
    +-- PoseError (RuntimeError)           the pose estimator cannot run
    +-- PortraitError (ValueError)       the reference picture cannot be used (no person, several, no mask)
    +-- BundleError (ValueError)           an engine bundle is not what its manifest says
    +-- CheckpointError (ValueError)       a checkpoint is not what its system asks for, or cannot be read safely
    +-- BackendError (RuntimeError)        a backend cannot run here, or not this graph
    +-- EngineError (RuntimeError)         a graph ran and gave something unusable (NaN, wrong shape)
    +-- ClusterError (RuntimeError)        a Ray cluster cannot be reached, or has no room for a chunk

Every message says what was wrong, with the value, and what to do next.
"""

from __future__ import annotations


class TpcStreamError(Exception):
    """Base of every error that tpc-stream raises on purpose."""


class InputError(TpcStreamError, ValueError):
    """An option or an array has a value that cannot be used."""


class MediaError(TpcStreamError, OSError):
    """A file, URL or device cannot be read or written."""


class SourceError(MediaError):
    """The reference or the driving motion cannot be read."""


class SinkError(MediaError):
    """The output cannot be written."""


class PoseError(TpcStreamError, RuntimeError):
    """The pose estimator cannot run."""


class PortraitError(TpcStreamError, ValueError):
    """The reference picture cannot be used: no person in it, several, or no usable mask."""


class BundleError(TpcStreamError, ValueError):
    """An engine bundle is not what its manifest says."""


class CheckpointError(TpcStreamError, ValueError):
    """A checkpoint is not what its system asks for: a file or key is missing, wrong or unsafe to read."""


class BackendError(TpcStreamError, RuntimeError):
    """A backend cannot run here, or cannot run this graph."""


class EngineError(TpcStreamError, RuntimeError):
    """A graph ran and gave something unusable, such as NaN."""


class ClusterError(TpcStreamError, RuntimeError):
    """A Ray cluster cannot be reached, or has no room for a chunk."""
