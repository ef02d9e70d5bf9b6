output "instance" {
  description = "The instance, by its name: what gcloud sql asks for."
  value       = google_sql_database_instance.this.name
}

output "private_ip_address" {
  description = "Where it answers, inside the network."
  value       = google_sql_database_instance.this.private_ip_address
}

output "database_url_version" {
  description = "The version of the secret that the present password is in."
  value       = google_secret_manager_secret_version.database_url.name
}
