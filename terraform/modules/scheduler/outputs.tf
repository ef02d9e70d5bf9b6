output "sweep" {
  description = "The job of Cloud Scheduler, by its name: gcloud scheduler jobs pause."
  value       = google_cloud_scheduler_job.sweep.name
}
