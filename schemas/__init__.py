"""Data contracts: one YAML file per topic in the Open Data Contract Standard, and their loader."""

from schemas.contract import Contract, ContractField
from schemas.evolution import broken_promises, earlier_contracts
from schemas.exceptions import AssetError, ContractError, DefinitionError, Problem, SuiteError
from schemas.loader import load_contract, load_contracts, load_files

__all__ = [
    "AssetError",
    "Contract",
    "ContractError",
    "ContractField",
    "DefinitionError",
    "Problem",
    "SuiteError",
    "broken_promises",
    "earlier_contracts",
    "load_contract",
    "load_contracts",
    "load_files",
]
