"""`make bench`: every benchmark, one after another, each printing its table."""

from bench import engines, grpc_http, models, page, platform_efficiency, server_memory, submit, uploads, worker
from bench.cloud import __main__ as cloud

for benchmark in (platform_efficiency, submit, worker, engines, server_memory, models, page, cloud, uploads, grpc_http):
    benchmark.main()
