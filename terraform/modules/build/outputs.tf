output "source_bucket" {
  description = "The bucket for what is built by hand: gcloud builds submit --gcs-source-staging-dir=gs://BUCKET/source."
  value       = google_storage_bucket.source.name
}
