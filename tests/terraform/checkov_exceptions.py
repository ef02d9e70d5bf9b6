"""
What checkov asks for and Terraform does not do, each with the reason; and what it asks for without seeing that it is done.

By the check and the resource: an exception for one bucket is none for the next.
"""

from __future__ import annotations

_CLUSTER = "google_container_cluster.imagen"
_DATABASE = "google_sql_database_instance.this"
_LOGS_VALUES = "A statement carries its values, and so prompts and addresses. Query Insights has them without."
_LOOP = "Done in a loop that checkov does not follow; TestTheDatabase looks at what comes out."
_OWN_KEYS = "Google encrypts everything; a key of our own is one more thing to lose all of it by."
_ACCESS_LOGS = "Every photo would be logged twice. Data Access audit logs are one switch where somebody needs them."

EXCEPTIONS: dict[tuple[str, str], str] = {
    # The cluster.
    (
        "CKV_GCP_12",
        _CLUSTER,
    ): "Dataplane V2 keeps network policies by itself; the add-on that is asked for is the old way.",
    (
        "CKV_GCP_20",
        _CLUSTER,
    ): "No address of the control plane answers at all; its name wants a token and a permission.",
    ("CKV_GCP_61", _CLUSTER): "Autopilot has both, and the provider takes no word on it beside enable_autopilot.",
    ("CKV_GCP_65", _CLUSTER): "Needs groups of an organisation. Who may what in the cluster is said by IAM here.",
    ("CKV_GCP_66", _CLUSTER): "Worth it with signed images, which cloudbuild.yaml does not make yet.",
    ("CKV_GCP_69", _CLUSTER): "Autopilot has no nodes without the metadata server.",
    # The database.
    ("CKV_GCP_6", _DATABASE): "ssl_mode says the same as the old require_ssl, which the provider no longer has.",
    ("CKV_GCP_51", _DATABASE): _LOOP,
    ("CKV_GCP_52", _DATABASE): _LOOP,
    ("CKV_GCP_53", _DATABASE): _LOOP,
    ("CKV_GCP_54", _DATABASE): _LOOP,
    ("CKV_GCP_79", _DATABASE): "The version is chosen and tested, not the newest that checkov has heard of.",
    ("CKV_GCP_108", _DATABASE): "Behind Direct VPC egress every client has a name that says nothing.",
    ("CKV_GCP_109", _DATABASE): _LOGS_VALUES,
    ("CKV_GCP_110", _DATABASE): _LOGS_VALUES,
    ("CKV_GCP_111", _DATABASE): _LOGS_VALUES,
    ("CKV2_GCP_13", _DATABASE): _LOGS_VALUES,
    # The front.
    ("CKV_GCP_73", "google_compute_security_policy.this"): "Log4j is Java's, and nothing here runs Java.",
    # Buckets.
    ("CKV_GCP_62", "google_storage_bucket.images"): _ACCESS_LOGS,
    ("CKV_GCP_62", "google_storage_bucket.models"): _ACCESS_LOGS,
    ("CKV_GCP_62", "google_storage_bucket.source"): _ACCESS_LOGS,
    ("CKV_GCP_78", "google_storage_bucket.images"): "A photo that is deleted must be gone: a version would keep it.",
    ("CKV_GCP_78", "google_storage_bucket.source"): "Nothing in it is older than a day.",
    # Keys.
    ("CKV_GCP_83", "google_pubsub_topic.jobs"): _OWN_KEYS,
    ("CKV_GCP_83", "google_pubsub_topic.pushed"): _OWN_KEYS,
    ("CKV_GCP_84", "google_artifact_registry_repository.images"): _OWN_KEYS,
}
