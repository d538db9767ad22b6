"""The errors that end a stage with one sentence instead of a traceback."""


class UserError(Exception):
    """A mistake in what the user handed in: its text is one sentence naming the thing and the fix."""


class Stopped(BaseException):
    """Somebody asked this job to end (SIGTERM). No `Exception`: no library's own handling must swallow it."""
