module "project" {
  source = "../project"

  project_id = var.project_id
  services = [
    "artifactregistry.googleapis.com",
    "billingbudgets.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudscheduler.googleapis.com",
    "cloudtrace.googleapis.com",
    "compute.googleapis.com",
    "container.googleapis.com",
    "containerscanning.googleapis.com",
    "firebaserules.googleapis.com",
    "firestore.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "ondemandscanning.googleapis.com",
    "pubsub.googleapis.com",
    "redis.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "servicenetworking.googleapis.com",
    "sqladmin.googleapis.com",
    "storage.googleapis.com",
  ]

  access = {
    "roles/container.defaultNodeServiceAccount" = { nodes = local.members.nodes }
    # Clusters have no policy of their own. There is one in the project.
    "roles/container.developer" = { build = local.members.build }
    "roles/logging.logWriter"   = { build = local.members.build }
    # Has images looked through for known holes before they are pushed.
    "roles/ondemandscanning.admin" = { build = local.members.build }
    # Waits for the migrations to end: an execution of a job is looked at in the project, whatever the job allows.
    "roles/run.viewer" = { build = local.members.build }
  }
}

locals {
  # Modules name the project by this, and so wait for its services.
  project_id = module.project.project_id
}
