import os

import pytest

from tests.kubernetes import cluster as clusters
from tests.kubernetes.cluster import IMAGES, Cluster


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster of ``SLUICE_TEST_KUBECONFIG``, which has the images, or one here that gets them."""
    if "SLUICE_TEST_KUBECONFIG" not in os.environ and not IMAGES.is_dir():
        pytest.skip(f"there are no images in {IMAGES}; `make images` makes them")
    started = clusters.start()
    if "SLUICE_TEST_KUBECONFIG" not in os.environ:
        clusters.load()
    return started
