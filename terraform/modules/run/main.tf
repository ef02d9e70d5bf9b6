# The site on Cloud Run: web for people and programs, webhooks for what Google pushes. One image, and what each is told.

resource "google_cloud_run_v2_service" "site" {
  for_each = local.services

  project             = var.project_id
  location            = var.region
  name                = each.key
  ingress             = each.value.ingress
  deletion_protection = var.deletion_protection
  # People come by the load balancer and its Cloud Armor, and by no second door.
  default_uri_disabled = each.value.default_uri_disabled

  template {
    service_account                  = each.value.service_account
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = each.value.timeout
    max_instance_request_concurrency = each.value.size.concurrency
    # Any instance can answer anybody: what a socket shows comes from the state store.
    session_affinity = false

    scaling {
      min_instance_count = each.value.size.min_instances
      max_instance_count = each.value.size.max_instances
    }

    # To Cloud SQL and Redis. The world, and Google's own services, are reached without the network.
    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"

      network_interfaces {
        network    = var.network
        subnetwork = var.subnetwork
      }
    }

    containers {
      name  = "site"
      image = "${var.image}:${var.image_tag}"

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = each.value.size.cpu, memory = each.value.size.memory }
        cpu_idle          = !each.value.size.cpu_always
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = each.value.environment

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = each.value.secrets

        content {
          name = env.key

          value_source {
            secret_key_ref {
              secret = env.value
              # Read when an instance starts. A rotation is a new version and a new revision, and no change here.
              version = "latest"
            }
          }
        }
      }

      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 60

        http_get {
          path = "/livez"
        }
      }

      # Not /readyz: a database that is away is not made better by ending what could say so. A deployment asks that.
      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 3

        http_get {
          path = "/livez"
        }
      }
    }

    dynamic "containers" {
      for_each = each.value.size.cpu_always ? [var.collector_image] : []

      content {
        name       = "collector"
        image      = containers.value
        depends_on = ["site"]

        resources {
          limits   = { cpu = "200m", memory = "256Mi" }
          cpu_idle = false
        }

        volume_mounts {
          name       = "collector"
          mount_path = "/etc/rungmp"
        }
      }
    }

    dynamic "volumes" {
      for_each = each.value.size.cpu_always ? [google_secret_manager_secret_version.collector.secret] : []

      content {
        name = "collector"

        secret {
          secret = volumes.value

          items {
            path    = "config.yaml"
            version = google_secret_manager_secret_version.collector.version
          }
        }
      }
    }
  }

  lifecycle {
    # Cloud Build deploys, and moves the traffic back when a smoke test fails.
    ignore_changes = [template[0].containers[0].image, template[0].revision, template[0].labels, traffic, client, client_version]
  }

  depends_on = [google_secret_manager_secret_iam_member.collector, google_project_iam_member.writes_metrics]
}

resource "google_cloud_run_v2_service_iam_member" "access" {
  for_each = { for grant in local.service_grants : "${grant.service} ${grant.role} ${grant.name}" => grant }

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.site[each.value.service].name
  role     = each.value.role
  member   = each.value.member
}

locals {
  service_grants = flatten([
    for service, roles in var.access : [
      for role, members in roles : [
        for name, member in members : { service = service, role = role, name = name, member = member }
      ]
    ] if service != "migrate"
  ])
}
