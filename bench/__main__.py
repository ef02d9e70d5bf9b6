"""`make bench`: every benchmark, one after another, each printing its table."""

from bench import cloud, engines, page, platform_efficiency, submit, worker

for benchmark in (platform_efficiency, submit, worker, engines, page, cloud):
    benchmark.main()
