output "images" {
  description = "What the names of the images begin with."
  value       = module.registry.url
}

output "cluster" {
  description = "The cluster's name."
  value       = module.gke.name
}

output "source_bucket" {
  description = "Where what is built by hand is put."
  value       = module.build.source_bucket
}

output "address" {
  description = "What the A record of the domain points to."
  value       = module.frontend.address
}

output "certificate" {
  description = "The certificate, by its name: gcloud compute ssl-certificates describe says whether it is issued."
  value       = module.frontend.certificate
}

output "buckets" {
  description = "The buckets of images and models, by what they hold."
  value       = { images = module.storage.images, models = module.storage.models }
}

output "webhooks_url" {
  description = "Where Pub/Sub and Cloud Scheduler call."
  value       = module.run.webhooks_url
}

output "environments" {
  description = "What web, webhooks and migrate are told, without their secrets."
  value       = module.run.environments
}

output "topics" {
  description = "The topics of Pub/Sub."
  value       = module.pubsub.topics
}

output "subscriptions" {
  description = "The subscriptions, by their topics: of jobs, and those that are pushed."
  value       = { jobs = module.pubsub.job_subscriptions, pushes = module.pubsub.push_subscriptions }
}
