# One network, one subnet for the cluster and Cloud Run, and nothing in it with an address of the internet.

resource "google_compute_network" "imagen" {
  project                 = var.project_id
  name                    = "imagen"
  auto_create_subnetworks = false
  routing_mode            = "REGIONAL"
}

resource "google_compute_subnetwork" "imagen" {
  project                  = var.project_id
  region                   = var.region
  name                     = "imagen"
  network                  = google_compute_network.imagen.id
  ip_cidr_range            = var.ranges.nodes
  private_ip_google_access = true

  dynamic "secondary_ip_range" {
    for_each = { pods = var.ranges.pods, services = var.ranges.services }

    content {
      range_name    = secondary_ip_range.key
      ip_cidr_range = secondary_ip_range.value
    }
  }

  log_config {
    # Enough to see who talked to whom; every packet would cost more than the rest of the network.
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

# Cloud Run takes an address for each instance and some more while one revision takes over from another. By itself, so
# that it and the cluster cannot take each other's.
resource "google_compute_subnetwork" "run" {
  project                  = var.project_id
  region                   = var.region
  name                     = "imagen-run"
  network                  = google_compute_network.imagen.id
  ip_cidr_range            = var.ranges.run
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}
