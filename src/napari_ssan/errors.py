"""The two ways in which work ends early, apart from a defect of the program."""


class BadInput(ValueError):
    """What the user gave cannot be worked with.

    The message is one sentence that says what is wrong and what to do. The
    command line prints it and exits with 2, the dock shows it as a
    notification; nothing has been changed when it is raised.
    """


class Cancelled(Exception):
    """The user asked to stop. What was finished before is kept."""
