mock_provider "google" {}

variables {
  project_id     = "imagen-dev"
  project_number = "123456789012"

  push = {
    url             = "https://webhooks-123456789012.europe-west4.run.app"
    audience        = "https://webhooks-123456789012.europe-west4.run.app"
    service_account = "imagen-push@imagen-dev.iam.gserviceaccount.com"
  }

  access = {
    publish_jobs  = { web = "serviceAccount:imagen-web@imagen-dev.iam.gserviceaccount.com" }
    work_on_jobs  = { worker = "principal://worker" }
    announce_ends = { worker = "principal://worker" }
  }
}

run "brings_an_unheld_message_back_after_a_minute_and_keeps_it_a_week" {
  command = plan

  assert {
    condition = alltrue([
      for subscription in google_pubsub_subscription.jobs :
      subscription.ack_deadline_seconds == 60 && subscription.message_retention_duration == "604800s"
    ])
    error_message = "Decision 0027."
  }
}

run "deletes_no_subscription_that_nobody_used" {
  command = plan

  assert {
    condition = alltrue([
      for subscription in concat(values(google_pubsub_subscription.jobs), values(google_pubsub_subscription.pushes)) :
      subscription.expiration_policy[0].ttl == ""
    ])
    error_message = "A quiet month must not delete the queue."
  }
}

run "hands_a_job_that_is_given_back_to_the_next_worker_at_once" {
  command = plan

  assert {
    condition     = alltrue([for subscription in google_pubsub_subscription.jobs : subscription.retry_policy[0].minimum_backoff == "1s"])
    error_message = "Every Spot machine that goes hands jobs back."
  }
}

run "gives_a_message_up_after_a_hundred_deliveries" {
  command = apply

  assert {
    condition = alltrue([
      for subscription in google_pubsub_subscription.jobs :
      subscription.dead_letter_policy[0].max_delivery_attempts == 100 &&
      subscription.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.pushed["dead-letter-jobs"].id
    ])
    error_message = "Dead letters are looked at again; a job has five attempts."
  }
}

run "lets_pubsub_move_dead_letters_which_takes_two_grants" {
  command = plan

  assert {
    condition = (
      google_pubsub_topic_iam_member.moves_dead_letters.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com" &&
      google_pubsub_topic_iam_member.moves_dead_letters.topic == "dead-letter-jobs" &&
      google_pubsub_topic_iam_member.moves_dead_letters.role == "roles/pubsub.publisher"
    )
    error_message = "It publishes them."
  }

  assert {
    condition = (
      length(google_pubsub_subscription_iam_member.takes_dead_letters) == 5 &&
      alltrue([
        for topic, grant in google_pubsub_subscription_iam_member.takes_dead_letters :
        grant.subscription == "${topic}-sub" && grant.role == "roles/pubsub.subscriber" &&
        grant.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
      ])
    )
    error_message = "And it takes each off its subscription."
  }
}

run "signs_its_pushes_for_the_webhooks_service" {
  command = plan

  assert {
    condition = alltrue([
      for subscription in google_pubsub_subscription.pushes :
      subscription.push_config[0].oidc_token[0].service_account_email == "imagen-push@imagen-dev.iam.gserviceaccount.com" &&
      subscription.push_config[0].oidc_token[0].audience == var.push.audience
    ])
    error_message = "jobs/push_auth.py takes no other."
  }

  assert {
    condition = (
      google_pubsub_subscription.pushes["job-events"].push_config[0].push_endpoint == "${var.push.url}/push/job-events" &&
      google_pubsub_subscription.pushes["dead-letter-jobs"].push_config[0].push_endpoint == "${var.push.url}/push/dead-letter-jobs"
    )
    error_message = "imagen_site/urls_webhooks.py."
  }
}

run "lets_each_do_its_part_and_no_more" {
  command = plan

  assert {
    condition = (
      length(google_pubsub_topic_iam_member.publishes_jobs) == 5 &&
      length(google_pubsub_subscription_iam_member.works_on_jobs) == 5 &&
      length(google_pubsub_topic_iam_member.announces_ends) == 1 &&
      google_pubsub_topic_iam_member.announces_ends["worker"].topic == "job-events"
    )
    error_message = "Grants are on topics and subscriptions, never on the project."
  }
}

run "refuses_a_deadline_that_pubsub_does_not_grant" {
  command = plan

  variables {
    ack_deadline_seconds = 900
  }

  expect_failures = [var.ack_deadline_seconds]
}

run "refuses_a_deadline_shorter_than_the_lease_of_a_job" {
  command = plan

  variables {
    ack_deadline_seconds = 10
  }

  expect_failures = [var.ack_deadline_seconds]
}

run "refuses_to_give_up_before_a_job_has_had_its_attempts" {
  command = plan

  variables {
    max_deliveries = 5
  }

  expect_failures = [var.max_deliveries]
}

run "refuses_a_topic_that_is_no_operations" {
  command = plan

  variables {
    job_topics = ["upscale"]
  }

  expect_failures = [var.job_topics]
}

run "refuses_to_push_in_the_clear" {
  command = plan

  variables {
    push = {
      url             = "http://webhooks"
      audience        = "https://webhooks"
      service_account = "imagen-push@imagen-dev.iam.gserviceaccount.com"
    }
  }

  expect_failures = [var.push]
}
