"""Jobs run in order, in this process, in others, or on the workers of a Dask cluster."""

import os

import pytest
from jobs import square

from dancerev.errors import InputError
from dancerev.model.corpus.parallel import cluster, in_parallel


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers):
    results = list(in_parallel(square, list(range(20)), workers, "squares"))
    assert [result for result, _ in results] == [number * number for number in range(20)]
    assert (os.getpid() in {process for _, process in results}) == (workers == 1)


@pytest.mark.slow
def test_a_cluster_of_two_workers_does_the_same():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
        cluster(local.scheduler_address),
    ):
        results = list(in_parallel(square, list(range(40)), 1, "squares"))
    assert [result for result, _ in results] == [number * number for number in range(40)]
    assert os.getpid() not in {process for _, process in results}


@pytest.mark.slow
def test_no_cluster_is_told_in_one_line():
    pytest.importorskip("distributed")
    with pytest.raises(InputError, match="no Dask cluster"), cluster("127.0.0.1:1"):
        pass
