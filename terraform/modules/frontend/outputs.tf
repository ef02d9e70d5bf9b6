output "address" {
  description = "The address that the domain's A record points to."
  value       = google_compute_global_address.this.address
}

output "certificate" {
  description = "The certificate, by its name: it is issued some time after the A record is there."
  value       = google_compute_managed_ssl_certificate.this.name
}
