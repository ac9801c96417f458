"""The collector's root exception. Subclasses say what could not be done, to whom, and what to do next."""


class CollectorError(Exception):
    """Cannot go on; ``str()`` is one line for a person."""


class NotFoundError(CollectorError):
    """The named thing does not exist, or the caller's scope does not reach it (which must look the same)."""


class ConflictError(CollectorError):
    """The change does not fit the present state (an alert already closed, a name already taken)."""
