"""The one exception that is the user's to read."""


class UserError(Exception):
    """A mistake the user can mend: shown as one line, exit code 2.

    The message says what was wrong, where, and what to do about it.
    """
