"""`make bench`: every benchmark, one after another, each printing its table."""

from bench import cloud, engines, page, platform_efficiency, submit, uploads, worker

for benchmark in (platform_efficiency, submit, worker, engines, page, cloud, uploads):
    benchmark.main()
