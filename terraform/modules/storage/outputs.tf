output "images" {
  description = "The bucket of the images: GCS_BUCKET."
  value       = google_storage_bucket.images.name
}

output "models" {
  description = "The bucket of the weights: what the model volume shows."
  value       = google_storage_bucket.models.name
}
