"""
Every right that an environment gives, by who has it: its role and the one thing that it is for.

Whoever grants something writes it here too, and so looks at the whole. PROJECT is the environment's project. Members are
named by what they are: a Google account of ours, a service account of the cluster with its namespace, a service of
Google's by the domain of its accounts.
"""

ALLOWED: dict[str, set[str]] = {
    "custom-metrics/custom-metrics-stackdriver-adapter": {
        "roles/monitoring.viewer on the project",
    },
    "imagen-build": {
        "roles/artifactregistry.writer on artifact_registry_repository imagen",
        "roles/container.developer on the project",
        "roles/iam.serviceAccountUser on service_account imagen-migrate",
        "roles/iam.serviceAccountUser on service_account imagen-web",
        "roles/iam.serviceAccountUser on service_account imagen-webhooks",
        "roles/logging.logWriter on the project",
        "roles/ondemandscanning.admin on the project",
        "roles/storage.objectViewer on storage_bucket PROJECT-imagen-source",
    },
    "imagen-migrate": {
        "roles/secretmanager.secretAccessor on secret_manager_secret database-url",
        "roles/secretmanager.secretAccessor on secret_manager_secret secret-key",
    },
    "imagen-nodes": {
        "roles/artifactregistry.reader on artifact_registry_repository imagen",
        "roles/container.defaultNodeServiceAccount on the project",
    },
    "imagen-web": {
        "roles/iam.serviceAccountTokenCreator on service_account imagen-web",
        "roles/secretmanager.secretAccessor on secret_manager_secret database-url",
        "roles/secretmanager.secretAccessor on secret_manager_secret redis-url",
        "roles/secretmanager.secretAccessor on secret_manager_secret secret-key",
    },
    "imagen-webhooks": {
        "roles/secretmanager.secretAccessor on secret_manager_secret database-url",
        "roles/secretmanager.secretAccessor on secret_manager_secret redis-url",
        "roles/secretmanager.secretAccessor on secret_manager_secret secret-key",
    },
}
