"""The one exception that the lab shows to its user, and its exit codes."""

DONE = 0
FAILED = 1
USAGE = 2
REFUSED = 3


class LabError(Exception):
    """What is wrong, where, and what to do about it; carries the exit code."""

    def __init__(self, what: str, where: str = "", todo: str = "", code: int = FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.todo = todo
        self.code = code

    def __str__(self) -> str:
        text = self.what
        if self.where:
            text = f"{self.where}: {text}"
        if self.todo:
            text = f"{text}\n  to do: {self.todo}"
        return text


def refused(what: str, where: str = "", todo: str = "") -> LabError:
    return LabError(what, where, todo, REFUSED)


def usage(what: str, where: str = "", todo: str = "") -> LabError:
    return LabError(what, where, todo, USAGE)
