"""What can be wrong with a definition."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a file: where it is, what is wrong and how to mend it."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        """Render as ``file:line: message``, which editors can jump to."""
        return f"{self.path}:{self.line}: {self.message}"


class DefinitionError(Exception):
    """Definitions that cannot be used, with every problem that was found in them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class ContractError(DefinitionError):
    """Contracts, or any YAML files, that cannot be used."""


class SuiteError(DefinitionError):
    """Suites that cannot be used."""


class AssetError(DefinitionError):
    """Superset's assets that do not fit the lake."""
