"""What to do where several applications commit to a table at the same time."""

from deltalake.exceptions import CommitFailedError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

beside_others = retry(
    retry=retry_if_exception_type(CommitFailedError),
    wait=wait_random_exponential(multiplier=0.02, max=1),
    stop=stop_after_attempt(20),
    reraise=True,
)
"""Tries again what lost a race against the commit of another application, twenty times."""
