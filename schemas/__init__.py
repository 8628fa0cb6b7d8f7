"""Data contracts: one YAML file per topic in the Open Data Contract Standard, and their loader."""

from schemas.contract import Contract, ContractField
from schemas.exceptions import ContractError, Problem
from schemas.loader import load_contract, load_contracts

__all__ = ["Contract", "ContractError", "ContractField", "Problem", "load_contract", "load_contracts"]
