# The job that brings the database up to date before a new version is deployed.

resource "google_cloud_run_v2_job" "migrate" {
  project             = var.project_id
  location            = var.region
  name                = "migrate"
  deletion_protection = var.deletion_protection

  template {
    template {
      service_account       = var.service_accounts.migrate
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      timeout               = "1800s"
      # A migration that failed half-way is for a person to look at, not to be run again.
      max_retries = 0

      vpc_access {
        egress = "PRIVATE_RANGES_ONLY"

        network_interfaces {
          network    = var.network
          subnetwork = var.subnetwork
        }
      }

      containers {
        name    = "migrate"
        image   = "${var.image}:${var.image_tag}"
        command = ["python", "manage.py"]
        args    = ["migrate", "--noinput"]

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }

        dynamic "env" {
          for_each = local.web

          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "env" {
          for_each = { SECRET_KEY = var.secrets.secret_key, DATABASE_URL = var.secrets.database_url }

          content {
            name = env.key

            value_source {
              secret_key_ref {
                secret  = env.value
                version = "latest"
              }
            }
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [template[0].template[0].containers[0].image, client, client_version]
  }
}

resource "google_cloud_run_v2_job_iam_member" "access" {
  for_each = { for grant in local.job_grants : "${grant.role} ${grant.name}" => grant }

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_job.migrate.name
  role     = each.value.role
  member   = each.value.member
}

locals {
  job_grants = flatten([
    for role, members in lookup(var.access, "migrate", {}) : [
      for name, member in members : { role = role, name = name, member = member }
    ]
  ])
}
