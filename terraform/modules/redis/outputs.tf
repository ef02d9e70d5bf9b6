output "instance" {
  description = "The instance, by its name: what gcloud redis asks for."
  value       = google_redis_instance.this.name
}

output "redis_url_version" {
  description = "The version of the secret that the present address is in."
  value       = google_secret_manager_secret_version.redis_url.name
}
