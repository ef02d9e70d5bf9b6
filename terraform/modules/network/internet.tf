# The one way out of the cluster to the internet: models-fetch gets weights from the model hub. Everything else that
# pods ask for is Google's, and reached without it. Cloud Run reaches the internet by itself.

resource "google_compute_router" "imagen" {
  count = var.internet ? 1 : 0

  project = var.project_id
  region  = var.region
  name    = "imagen"
  network = google_compute_network.imagen.id
}

resource "google_compute_router_nat" "imagen" {
  count = var.internet ? 1 : 0

  project                            = var.project_id
  region                             = var.region
  name                               = "imagen"
  router                             = google_compute_router.imagen[0].name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.imagen.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}
