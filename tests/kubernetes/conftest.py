import os
from collections.abc import Iterator

import pytest

from tests.kubernetes import cluster as clusters
from tests.kubernetes.cluster import IMAGES, Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A real cluster that has the images."""
    if "SLUICE_TEST_KUBECONFIG" not in os.environ and not IMAGES.is_dir():
        pytest.skip(f"there are no images in {IMAGES}; `make images` makes them")
    with clusters.running() as found:
        yield found
