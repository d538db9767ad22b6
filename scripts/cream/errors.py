"""The one error type a user is meant to see."""


class UserError(Exception):
    """A mistake in what the user handed in: its text is one sentence naming the thing and the fix."""
