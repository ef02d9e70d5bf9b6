output "web" {
  description = "The service that the load balancer asks, by its name."
  value       = google_cloud_run_v2_service.site["web"].name
}

output "webhooks_url" {
  description = "Where Pub/Sub and Cloud Scheduler call, and what their tokens are made out to: PUSH_AUDIENCE."
  value       = local.webhooks_url
}

output "migrate" {
  description = "The job that brings the database up to date, by its name."
  value       = google_cloud_run_v2_job.migrate.name
}

output "client_connections" {
  description = "How many connections to the database are reckoned with for all instances together."
  value       = var.connections_per_instance * (var.web.max_instances + var.webhooks.max_instances + 1)
}

output "environments" {
  description = "What web, webhooks and migrate are told, without their secrets."
  value       = { web = local.services.web.environment, webhooks = local.services.webhooks.environment, migrate = local.web }
}
