"""What the jobs hold events against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.tables import table_schemas
from quality.rules import Rule
from quality.suite import load_suites
from schemas import Contract, load_contracts


@dataclass(frozen=True)
class Definitions:
    """Contracts, and by the topic of each the rules of its suite."""

    contracts: Sequence[Contract]
    rules: Mapping[str, Sequence[Rule]]

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains of the contracts, each once."""
        return tuple(dict.fromkeys(contract.domain for contract in self.contracts))

    def of_domain(self, domain: str) -> "Definitions":
        """Those of one domain."""
        return Definitions([contract for contract in self.contracts if contract.domain == domain], self.rules)


def definitions() -> Definitions:
    """Every contract and its rules.

    Raises:
        DefinitionError: a contract or suite is wrong.
    """
    contracts = load_contracts()
    suites = {suite.table: suite for suite in load_suites(table_schemas(contracts))}
    rules = {c.topic: suites[c.silver].rules if c.silver in suites else () for c in contracts}
    return Definitions(contracts, rules)
