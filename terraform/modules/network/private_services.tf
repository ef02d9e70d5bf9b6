# Where Cloud SQL and Memorystore live: networks of Google's that this one is connected with.

resource "google_compute_global_address" "private_services" {
  project       = var.project_id
  name          = "imagen-private-services"
  network       = google_compute_network.imagen.id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  address       = cidrhost(var.ranges.private_services, 0)
  prefix_length = tonumber(split("/", var.ranges.private_services)[1])
}

resource "google_service_networking_connection" "private_services" {
  network                 = google_compute_network.imagen.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.private_services.name]
  # The connection outlives a database that is being deleted, for hours; Google takes it away with the network.
  deletion_policy = "ABANDON"
}

# Workers hold no SQL and no rate limits (decision 22): what they cannot reach, a stolen pod cannot either.
resource "google_compute_firewall" "nodes_to_private_services" {
  project                 = var.project_id
  name                    = "imagen-nodes-to-private-services"
  network                 = google_compute_network.imagen.id
  description             = "No pod reaches Cloud SQL or Memorystore."
  direction               = "EGRESS"
  priority                = 900
  destination_ranges      = [var.ranges.private_services]
  target_service_accounts = [var.node_account]

  deny {
    protocol = "all"
  }
}
