output "network" {
  description = "The network."
  value       = google_compute_network.imagen.id
}

output "cluster_subnet" {
  description = "The cluster's subnet, whose secondary ranges are pods and services."
  value       = google_compute_subnetwork.imagen.id
}

output "run_subnet" {
  description = "The subnet that Cloud Run's instances take addresses from."
  value       = google_compute_subnetwork.run.id
}

output "private_services" {
  description = "The network again, once Cloud SQL and Memorystore can be put beside it."
  value       = google_compute_network.imagen.id

  depends_on = [google_service_networking_connection.private_services]
}

output "private_services_range" {
  description = "The name of the addresses that Cloud SQL and Memorystore take theirs from."
  value       = google_compute_global_address.private_services.name
}
