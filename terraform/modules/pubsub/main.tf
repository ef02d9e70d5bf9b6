# The queues: a topic and a subscription for each operation, what they give up on, and what is pushed to the webhooks.

locals {
  # Who moves dead letters and signs the tokens of pushes: Google's own account of Pub/Sub in this project.
  service_agent = "serviceAccount:service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  week          = "604800s"

  # Topic -> where the webhooks service takes its messages.
  pushes = {
    (var.dead_letter_topic) = "/push/dead-letter-jobs"
    (var.event_topic)       = "/push/job-events"
  }
}

resource "google_pubsub_topic" "jobs" {
  for_each = var.job_topics

  project = var.project_id
  name    = each.value
}

resource "google_pubsub_topic" "pushed" {
  for_each = local.pushes

  project = var.project_id
  name    = each.key
}

resource "google_pubsub_subscription" "jobs" {
  for_each = google_pubsub_topic.jobs

  project = var.project_id
  name    = "${each.key}-sub"
  topic   = each.value.id

  ack_deadline_seconds       = var.ack_deadline_seconds
  message_retention_duration = local.week
  # Two deliveries of one job are harmless, for the claim of a job lets one worker win. Exactly-once would cost every
  # acknowledgement a round trip, and order would hold a job back behind one that waits for its next try.
  enable_exactly_once_delivery = false
  enable_message_ordering      = false

  expiration_policy {
    # Never. By default a quiet month deletes the subscription, and with it the jobs that are published afterwards.
    ttl = ""
  }

  retry_policy {
    # A stopping worker hands its jobs back by this way too: they are to run elsewhere at once.
    minimum_backoff = "1s"
    maximum_backoff = "60s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.pushed[var.dead_letter_topic].id
    max_delivery_attempts = var.max_deliveries
  }
}

resource "google_pubsub_subscription" "pushes" {
  for_each = local.pushes

  project = var.project_id
  name    = "${each.key}-push"
  topic   = google_pubsub_topic.pushed[each.key].id

  # How long Pub/Sub waits for the answer to a push.
  ack_deadline_seconds       = 60
  message_retention_duration = local.week

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  push_config {
    push_endpoint = "${var.push.url}${each.value}"

    oidc_token {
      service_account_email = var.push.service_account
      audience              = var.push.audience
    }
  }

  # Or the first pushes are refused.
  depends_on = [google_service_account_iam_member.signs_pushes]
}
