output "instance" {
  description = "The instance, by its name: what gcloud redis asks for."
  value       = google_redis_instance.this.name
}

output "redis_url_secret" {
  description = "The secret, once it has a value: what reads it as it starts waits for that."
  value       = var.redis_url_secret

  depends_on = [google_secret_manager_secret_version.redis_url]
}
