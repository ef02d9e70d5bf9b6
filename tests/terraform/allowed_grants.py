"""
Every right that an environment gives, by who has it: its role and the one thing that it is for.

Whoever grants something writes it here too, and so looks at the whole. PROJECT is the environment's project. Members are
named by what they are: a Google account of ours, a service account of the cluster with its namespace, a service of
Google's by the domain of its accounts.
"""

ALLOWED: dict[str, set[str]] = {
    "allUsers": {
        "roles/run.invoker on cloud_run_v2_service web",
    },
    "custom-metrics/custom-metrics-stackdriver-adapter": {
        "roles/monitoring.viewer on the project",
    },
    "gcp-sa-pubsub": {
        "roles/iam.serviceAccountTokenCreator on service_account imagen-push",
        "roles/pubsub.publisher on pubsub_topic dead-letter-jobs",
        "roles/pubsub.subscriber on pubsub_subscription background-remove-jobs-sub",
        "roles/pubsub.subscriber on pubsub_subscription enhance-jobs-sub",
        "roles/pubsub.subscriber on pubsub_subscription style-aged-jobs-sub",
        "roles/pubsub.subscriber on pubsub_subscription style-comic-jobs-sub",
        "roles/pubsub.subscriber on pubsub_subscription upscale-jobs-sub",
    },
    "imagen-build": {
        "roles/artifactregistry.writer on artifact_registry_repository imagen",
        "roles/container.developer on the project",
        "roles/iam.serviceAccountUser on service_account imagen-migrate",
        "roles/iam.serviceAccountUser on service_account imagen-web",
        "roles/iam.serviceAccountUser on service_account imagen-webhooks",
        "roles/logging.logWriter on the project",
        "roles/ondemandscanning.admin on the project",
        "roles/run.developer on cloud_run_v2_job migrate",
        "roles/run.developer on cloud_run_v2_service web",
        "roles/run.developer on cloud_run_v2_service webhooks",
        "roles/run.viewer on the project",
        "roles/secretmanager.secretAccessor on secret_manager_secret smoke-api-key",
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
    "imagen-push": {
        "roles/run.invoker on cloud_run_v2_service webhooks",
    },
    "imagen-web": {
        'roles/datastore.user on the project if resource.name == "projects/PROJECT/databases/(default)"',
        "roles/iam.serviceAccountTokenCreator on service_account imagen-web",
        "roles/monitoring.metricWriter on the project",
        "roles/pubsub.publisher on pubsub_topic background-remove-jobs",
        "roles/pubsub.publisher on pubsub_topic enhance-jobs",
        "roles/pubsub.publisher on pubsub_topic style-aged-jobs",
        "roles/pubsub.publisher on pubsub_topic style-comic-jobs",
        "roles/pubsub.publisher on pubsub_topic upscale-jobs",
        "roles/secretmanager.secretAccessor on secret_manager_secret database-url",
        "roles/secretmanager.secretAccessor on secret_manager_secret metrics-collector",
        "roles/secretmanager.secretAccessor on secret_manager_secret redis-url",
        "roles/secretmanager.secretAccessor on secret_manager_secret secret-key",
        "roles/storage.objectUser on storage_bucket PROJECT-imagen",
    },
    "imagen-webhooks": {
        'roles/datastore.user on the project if resource.name == "projects/PROJECT/databases/(default)"',
        "roles/monitoring.metricWriter on the project",
        "roles/pubsub.publisher on pubsub_topic background-remove-jobs",
        "roles/pubsub.publisher on pubsub_topic enhance-jobs",
        "roles/pubsub.publisher on pubsub_topic style-aged-jobs",
        "roles/pubsub.publisher on pubsub_topic style-comic-jobs",
        "roles/pubsub.publisher on pubsub_topic upscale-jobs",
        "roles/secretmanager.secretAccessor on secret_manager_secret database-url",
        "roles/secretmanager.secretAccessor on secret_manager_secret metrics-collector",
        "roles/secretmanager.secretAccessor on secret_manager_secret secret-key",
        "roles/storage.objectUser on storage_bucket PROJECT-imagen",
    },
    "imagen/models-fetch": {
        "roles/storage.objectUser on storage_bucket PROJECT-imagen-models",
    },
    "imagen/triton": {
        "roles/storage.objectViewer on storage_bucket PROJECT-imagen-models",
    },
    "imagen/worker": {
        'roles/datastore.user on the project if resource.name == "projects/PROJECT/databases/(default)"',
        "roles/pubsub.publisher on pubsub_topic job-events",
        "roles/pubsub.subscriber on pubsub_subscription background-remove-jobs-sub",
        "roles/pubsub.subscriber on pubsub_subscription enhance-jobs-sub",
        "roles/pubsub.subscriber on pubsub_subscription style-aged-jobs-sub",
        "roles/pubsub.subscriber on pubsub_subscription style-comic-jobs-sub",
        "roles/pubsub.subscriber on pubsub_subscription upscale-jobs-sub",
        "roles/storage.legacyBucketReader on storage_bucket PROJECT-imagen",
        'roles/storage.objectUser on storage_bucket PROJECT-imagen if resource.name.startsWith("projects/_/buckets/PROJECT-imagen/objects/outputs/")',
        'roles/storage.objectViewer on storage_bucket PROJECT-imagen if resource.name.startsWith("projects/_/buckets/PROJECT-imagen/objects/inputs/")',
    },
}
