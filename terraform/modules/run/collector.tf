# The collector beside a service, which asks it for its metrics and brings them to Managed Service for Prometheus.
# What it is to do it reads from a file, and Cloud Run has no file but a secret's; there is nothing secret in it.

locals {
  metrics_port = 9100
  measured_by  = { for service in ["web", "webhooks"] : service => "serviceAccount:${var.service_accounts[service]}" }
}

resource "google_secret_manager_secret" "collector" {
  project   = var.project_id
  secret_id = "metrics-collector"

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

resource "google_secret_manager_secret_version" "collector" {
  secret = google_secret_manager_secret.collector.id

  secret_data = yamlencode({
    apiVersion = "monitoring.googleapis.com/v1beta"
    kind       = "RunMonitoring"
    metadata   = { name = "imagen" }
    spec       = { endpoints = [{ port = local.metrics_port, path = "/metrics", interval = "30s" }] }
  })
}

resource "google_secret_manager_secret_iam_member" "collector" {
  for_each = local.measured_by

  project   = var.project_id
  secret_id = google_secret_manager_secret.collector.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value
}

# Cloud Monitoring has grants on the project alone.
resource "google_project_iam_member" "writes_metrics" {
  for_each = local.measured_by

  project = var.project_id
  role    = "roles/monitoring.metricWriter"
  member  = each.value
}
