"""`make bench`: every benchmark, one after another, each printing its table."""

from bench import engines, platform_efficiency, submit, worker

for benchmark in (platform_efficiency, submit, worker, engines):
    benchmark.main()
