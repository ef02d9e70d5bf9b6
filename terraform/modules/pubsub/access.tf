# Dead letters need two grants, and without either of them they are kept back in silence: Pub/Sub publishes them to
# their topic, and takes them off the subscription that they come from.

resource "google_pubsub_topic_iam_member" "moves_dead_letters" {
  project = var.project_id
  topic   = google_pubsub_topic.pushed[var.dead_letter_topic].name
  role    = "roles/pubsub.publisher"
  member  = local.service_agent
}

resource "google_pubsub_subscription_iam_member" "takes_dead_letters" {
  for_each = google_pubsub_subscription.jobs

  project      = var.project_id
  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = local.service_agent
}

# Projects from before April 2021 lack it in the role of Pub/Sub's own account. It is for this one account.
resource "google_service_account_iam_member" "signs_pushes" {
  service_account_id = "projects/${var.project_id}/serviceAccounts/${var.push.service_account}"
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.service_agent
}

resource "google_pubsub_topic_iam_member" "publishes_jobs" {
  for_each = {
    for pair in setproduct(var.job_topics, keys(var.access.publish_jobs)) :
    "${pair[0]} ${pair[1]}" => { topic = pair[0], member = var.access.publish_jobs[pair[1]] }
  }

  project = var.project_id
  topic   = google_pubsub_topic.jobs[each.value.topic].name
  role    = "roles/pubsub.publisher"
  member  = each.value.member
}

resource "google_pubsub_subscription_iam_member" "works_on_jobs" {
  for_each = {
    for pair in setproduct(var.job_topics, keys(var.access.work_on_jobs)) :
    "${pair[0]} ${pair[1]}" => { topic = pair[0], member = var.access.work_on_jobs[pair[1]] }
  }

  project      = var.project_id
  subscription = google_pubsub_subscription.jobs[each.value.topic].name
  role         = "roles/pubsub.subscriber"
  member       = each.value.member
}

resource "google_pubsub_topic_iam_member" "announces_ends" {
  for_each = var.access.announce_ends

  project = var.project_id
  topic   = google_pubsub_topic.pushed[var.event_topic].name
  role    = "roles/pubsub.publisher"
  member  = each.value
}
