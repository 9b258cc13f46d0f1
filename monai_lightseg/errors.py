"""The one exception for mistakes a user can mend: bad files, bad arguments, missing folders."""

__all__ = ["LightsegError"]


class LightsegError(ValueError):
    """A mistake in the input. The message names the file or argument and says what to do about it.

    The command line prints it as one line and exits with 1, without a traceback.
    """
