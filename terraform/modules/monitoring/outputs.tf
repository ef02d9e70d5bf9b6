output "told" {
  description = "The channels by severity, for what else has something to tell."
  value       = local.told
}

output "dashboard" {
  description = "The dashboard's full name."
  value       = google_monitoring_dashboard.imagen.id
}
