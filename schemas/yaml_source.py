"""YAML that remembers on which line each value stands."""

from pathlib import Path
from typing import Any

import yaml

from schemas.exceptions import ContractError, Problem

Location = tuple[str | int, ...]


class YamlSource:
    """A YAML file: its content as plain Python values, and the line of every value by its path of keys."""

    def __init__(self, path: Path) -> None:
        """Read a file.

        Raises:
            ContractError: the file is not YAML, or repeats a key.
        """
        self.path = path
        self._lines: dict[Location, int] = {(): 1}
        try:
            text = path.read_text(encoding="utf-8")
            root = yaml.compose(text, Loader=yaml.CSafeLoader)
            self.content: Any = yaml.load(text, Loader=yaml.CSafeLoader)
        except UnicodeDecodeError as error:
            raise ContractError([Problem(path, 1, f"is not UTF-8 ({error.reason}); save it as UTF-8")]) from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ContractError([Problem(path, line, f"is not valid YAML: {error.problem}")]) from error
        if root is not None:
            self._walk(root, ())

    def line(self, location: Location) -> int:
        """The line of the value at this path of keys, or of the nearest value around it."""
        while location not in self._lines:
            location = location[:-1]
        return self._lines[location]

    def problem(self, location: Location, message: str) -> Problem:
        """A problem with the value at this path of keys."""
        return Problem(self.path, self.line(location), message)

    def _walk(self, node: yaml.Node, location: Location) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                place = (*location, key.value)
                line = key.start_mark.line + 1
                if place in self._lines:
                    message = f"the key '{key.value}' stands here again; remove one of the two"
                    raise ContractError([Problem(self.path, line, message)])
                self._lines[place] = line
                self._walk(value, place)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._lines[(*location, index)] = value.start_mark.line + 1
                self._walk(value, (*location, index))
