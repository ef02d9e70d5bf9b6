output "instance" {
  description = "The instance, by its name: what gcloud sql asks for."
  value       = google_sql_database_instance.this.name
}

output "private_ip_address" {
  description = "Where it answers, inside the network."
  value       = google_sql_database_instance.this.private_ip_address
}

output "database_url_secret" {
  description = "The secret, once it has a value: what reads it as it starts waits for that."
  value       = var.database_url_secret

  depends_on = [google_secret_manager_secret_version.database_url]
}
