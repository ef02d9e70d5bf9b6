mock_provider "google" {}

variables {
  project_id          = "imagen-dev"
  project_number      = "123456789012"
  region              = "europe-west4"
  network             = "projects/imagen-dev/global/networks/imagen"
  subnet              = "projects/imagen-dev/regions/europe-west4/subnetworks/imagen"
  node_account        = "imagen-nodes@imagen-dev.iam.gserviceaccount.com"
  deletion_protection = true
  workloads           = { worker = { namespace = "imagen" } }
}

run "shows_the_internet_no_node_and_no_control_plane" {
  command = plan

  assert {
    condition = (
      google_container_cluster.imagen.private_cluster_config[0].enable_private_nodes &&
      !google_container_cluster.imagen.control_plane_endpoints_config[0].ip_endpoints_config[0].enabled
    )
    error_message = "Nodes have private addresses, and the control plane has none but its name."
  }
}

run "runs_nodes_as_an_account_of_their_own" {
  command = plan

  assert {
    condition     = google_container_cluster.imagen.cluster_autoscaling[0].auto_provisioning_defaults[0].service_account == "imagen-nodes@imagen-dev.iam.gserviceaccount.com"
    error_message = "Without one nodes run as Compute Engine's own account, which may change the project."
  }
}

run "has_what_the_manifests_build_on" {
  command = plan

  assert {
    condition     = google_container_cluster.imagen.enable_autopilot
    error_message = "The manifests choose cards by compute classes of Autopilot."
  }

  assert {
    condition     = google_container_cluster.imagen.addons_config[0].gcs_fuse_csi_driver_config[0].enabled
    error_message = "The model volume is a bucket."
  }

  assert {
    condition     = google_container_cluster.imagen.monitoring_config[0].managed_prometheus[0].enabled
    error_message = "Autoscaling and alerts read what Google's Prometheus collects."
  }

  assert {
    condition     = google_container_cluster.imagen.datapath_provider == "ADVANCED_DATAPATH"
    error_message = "Nobody else would keep the network policies."
  }
}

run "gives_a_workload_what_has_no_smaller_place_than_the_project" {
  # Applied, since the pool of identities is known only then.
  command = apply

  variables {
    workloads = {
      worker  = { namespace = "imagen" }
      adapter = { namespace = "metrics", roles = ["roles/monitoring.viewer"] }
    }
  }

  assert {
    condition     = [for grant in google_project_iam_member.workloads : "${grant.role} ${grant.member == output.members["adapter"]}"] == ["roles/monitoring.viewer true"]
    error_message = "The one that asks for a right gets it, and no other."
  }
}

run "names_a_workload_as_google_does" {
  command = plan

  assert {
    condition     = output.members["worker"] == "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/imagen-dev.svc.id.goog/subject/ns/imagen/sa/worker"
    error_message = "A pod is named by its namespace and its service account in Kubernetes; no account of Google stands between."
  }
}

run "refuses_a_cluster_without_a_channel" {
  command = plan

  variables {
    release_channel = "NONE"
  }

  expect_failures = [var.release_channel]
}

run "refuses_a_time_that_no_clock_shows" {
  command = plan

  variables {
    maintenance = { start = "2am" }
  }

  expect_failures = [var.maintenance]
}

run "refuses_a_day_that_no_week_has" {
  command = plan

  variables {
    maintenance = { days = ["Monday"] }
  }

  expect_failures = [var.maintenance]
}

run "refuses_less_maintenance_than_google_insists_on" {
  command = plan

  variables {
    maintenance = { start = "02:00", end = "06:00", days = ["SU"] }
  }

  expect_failures = [var.maintenance]
}
