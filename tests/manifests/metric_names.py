"""The metrics that are not ours, by the names under which others export them."""

# tests/triton/test_traps.py asks a real server for them.
TRITONS_REQUESTS = {
    "nv_inference_request_success",
    "nv_inference_exec_count",
    "nv_inference_queue_duration_us",
    "nv_inference_pending_request_count",
}
# Only where there is a card:
# https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html
TRITONS_CARDS = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes"}
# What Prometheus itself says of each target, and GKE's packages POD (terraform/modules/gke).
CLUSTER_METRICS = {"up", "kube_pod_status_phase"}
# https://cloud.google.com/monitoring/api/metrics_gcp and metrics_kubernetes, as they are named there.
GOOGLES = {
    "cloudsql.googleapis.com/database/cpu/utilization",
    "cloudsql.googleapis.com/database/disk/utilization",
    "cloudsql.googleapis.com/database/up",
    "kubernetes.io/container/restart_count",
    "pubsub.googleapis.com/subscription/dead_letter_message_count",
    "pubsub.googleapis.com/subscription/num_undelivered_messages",
    "pubsub.googleapis.com/subscription/oldest_unacked_message_age",
    "run.googleapis.com/container/instance_count",
    "run.googleapis.com/request_count",
    "run.googleapis.com/request_latencies",
}
