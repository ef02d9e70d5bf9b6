# The cluster: workers and Triton. Autopilot, so nodes with their cards come and go with the pods that ask for them.
# Some of what it always does the provider refuses to be told, such as visibility of traffic inside a node.

resource "google_container_cluster" "imagen" {
  project          = var.project_id
  location         = var.region
  name             = "imagen"
  description      = "Imagen's workers and model servers."
  enable_autopilot = true
  network          = var.network
  subnetwork       = var.subnet

  deletion_protection = var.deletion_protection

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes = true
  }

  # Only by name, with a token and a permission: no address of the control plane answers anybody.
  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = true
    }

    ip_endpoints_config {
      enabled = false
    }
  }

  workload_identity_config {
    workload_pool = "${var.project_id}.svc.id.goog"
  }

  cluster_autoscaling {
    auto_provisioning_defaults {
      service_account = var.node_account
      oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    }
  }

  # With dataplane V2 the policies of k8s/ are kept by the nodes themselves.
  datapath_provider = "ADVANCED_DATAPATH"

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  addons_config {
    # The model volume is a bucket.
    gcs_fuse_csi_driver_config {
      enabled = true
    }
  }

  monitoring_config {
    enable_components = ["SYSTEM_COMPONENTS", "HPA", "POD", "DEPLOYMENT"]

    managed_prometheus {
      enabled = true
    }
  }

  logging_config {
    enable_components = ["SYSTEM_COMPONENTS", "WORKLOADS"]
  }

  release_channel {
    channel = var.release_channel
  }

  maintenance_policy {
    # A Triton that moves takes minutes to load again: while few people are waiting.
    recurring_window {
      start_time = "2026-01-01T${var.maintenance.start}:00Z"
      end_time   = "2026-01-01T${var.maintenance.end}:00Z"
      recurrence = "FREQ=WEEKLY;BYDAY=${join(",", var.maintenance.days)}"
    }
  }

  security_posture_config {
    # Pods' settings; their images are looked through in the registry.
    mode = "BASIC"
  }

  cost_management_config {
    enabled = true
  }

  resource_labels = { app = "imagen" }
}

resource "google_project_iam_member" "workloads" {
  for_each = { for grant in local.grants : "${grant.role} ${grant.name}" => grant }

  project = var.project_id
  role    = each.value.role
  member  = local.members[each.value.name]
}

locals {
  grants = flatten([
    for name, workload in var.workloads : [for role in workload.roles : { role = role, name = name }]
  ])

  members = {
    for name, workload in var.workloads :
    name => "${local.principals}/${local.pool}/subject/ns/${workload.namespace}/sa/${name}"
  }

  principals = "principal://iam.googleapis.com/projects/${var.project_number}/locations/global/workloadIdentityPools"
  # Asked of the cluster, since a grant to an identity fails before there is a pool for it.
  pool = google_container_cluster.imagen.workload_identity_config[0].workload_pool
}
