output "name" {
  description = "The cluster's name."
  value       = google_container_cluster.imagen.name
}

output "members" {
  description = "Each workload as a member of a policy, by the name of its service account in Kubernetes."
  value       = local.members
}
