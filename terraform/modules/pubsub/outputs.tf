output "topics" {
  description = "The names of all topics."
  value       = sort(concat(values(google_pubsub_topic.jobs)[*].name, values(google_pubsub_topic.pushed)[*].name))
}

output "job_subscriptions" {
  description = "The subscription of each job topic, by its topic."
  value       = { for topic, subscription in google_pubsub_subscription.jobs : topic => subscription.name }
}

output "push_subscriptions" {
  description = "The subscription of each topic that is pushed, by its topic."
  value       = { for topic, subscription in google_pubsub_subscription.pushes : topic => subscription.name }
}
