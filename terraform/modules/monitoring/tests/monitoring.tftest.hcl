mock_provider "google" {}

variables {
  project_id  = "imagen-prod"
  environment = "prod"
  runbooks    = "https://example.com/imagen"
  measured    = true
  prices      = { triton_hour = 0.25, worker_hour = 0.01 }

  channels = {
    operators = { type = "email", labels = { email_address = "operators@example.com" } }
    morning   = { type = "email", labels = { email_address = "list@example.com" }, tells = ["ticket"] }
  }

  made_by_hand = { page = ["projects/imagen-prod/notificationChannels/42"] }
}

run "makes_a_policy_of_each_rule_of_the_cluster_and_of_its_own" {
  command = plan

  assert {
    condition     = alltrue([for name in ["TritonDown", "JobsWait", "QueueGrows", "SqlDown"] : contains(keys(google_monitoring_alert_policy.rules), name)])
    error_message = "Both files are read."
  }

  assert {
    condition = alltrue([
      for policy in google_monitoring_alert_policy.rules :
      policy.conditions[0].condition_prometheus_query_language[0].disable_metric_validation
    ])
    error_message = "The first failure may be months away; until then its metric is unknown."
  }

  assert {
    condition     = google_monitoring_alert_policy.rules["TritonDown"].conditions[0].condition_prometheus_query_language[0].duration == "900s"
    error_message = "for: 15m."
  }

  assert {
    condition     = google_monitoring_alert_policy.rules["DeadLetters"].conditions[0].condition_prometheus_query_language[0].duration == "0s"
    error_message = "for: 0m."
  }
}

run "leads_each_policy_to_its_runbook" {
  # Applied, since the names of objectives are known only then.
  command = apply

  assert {
    condition = alltrue([
      for policy in concat(
        values(google_monitoring_alert_policy.rules),
        values(google_monitoring_alert_policy.lines),
        values(google_monitoring_alert_policy.burns),
      ) : can(regex("https://example.com/imagen/docs/runbooks/[a-z-]+\\.md$", policy.documentation[0].content))
    ])
    error_message = "Whoever is woken needs a page to read."
  }
}

run "writes_labels_in_cloud_monitorings_words" {
  command = plan

  assert {
    condition     = startswith(google_monitoring_alert_policy.rules["JobsWait"].documentation[0].content, "One in twenty $${metric_or_resource.label.operation} jobs waits")
    error_message = "Prometheus' own templates mean nothing there."
  }
}

run "wakes_only_those_who_are_told_of_pages" {
  command = apply

  assert {
    condition     = length(google_monitoring_alert_policy.rules["TritonDown"].notification_channels) == 2
    error_message = "The operators and the channel made by hand."
  }

  assert {
    condition     = length(google_monitoring_alert_policy.rules["DeadLetters"].notification_channels) == 2
    error_message = "The operators and the list."
  }

  assert {
    condition     = google_monitoring_alert_policy.rules["TritonDown"].severity == "CRITICAL" && google_monitoring_alert_policy.rules["DeadLetters"].severity == "WARNING"
    error_message = "page is critical, ticket a warning."
  }
}

run "tells_of_costs_by_mail_alone" {
  command = apply

  variables {
    channels = {
      operators = { type = "email", labels = { email_address = "operators@example.com" } }
      phone     = { type = "sms", labels = { number = "+31600000000" } }
      night     = { type = "email", labels = { email_address = "night@example.com" }, tells = ["page"] }
    }
  }

  assert {
    condition     = output.mailed == [google_monitoring_notification_channel.told["operators"].name]
    error_message = "A budget refuses every other kind of channel."
  }
}

run "says_at_once_when_the_ledger_disagrees_or_firestore_refuses" {
  command = plan

  assert {
    condition = alltrue([
      for name in ["ledger_disagrees", "state_store_denied"] :
      google_monitoring_alert_policy.lines[name].severity == "CRITICAL" &&
      endswith(google_monitoring_alert_policy.lines[name].conditions[0].condition_matched_log[0].filter, "AND jsonPayload.event=\"${name}\"")
    ])
    error_message = "Money, and every job at once."
  }
}

run "promises_that_jobs_complete_begin_soon_and_end_in_time_by_operation" {
  command = plan

  assert {
    condition     = google_monitoring_slo.completed[0].goal == 0.995 && strcontains(google_monitoring_slo.completed[0].request_based_sli[0].good_total_ratio[0].bad_service_filter, "fault=\"ours\"")
    error_message = "Only failures of ours break the promise."
  }

  assert {
    condition     = toset(keys(google_monitoring_slo.timed)) == toset(["first-progress", "end-to-end-upscale", "end-to-end-enhance", "end-to-end-style-comic", "end-to-end-style-aged", "end-to-end-background-remove"])
    error_message = "One for the begin, one for the end of each operation."
  }

  assert {
    condition     = google_monitoring_slo.timed["end-to-end-upscale"].request_based_sli[0].distribution_cut[0].range[0].max == 60
    error_message = "Seconds from acceptance to completion."
  }
}

run "promises_nothing_of_metrics_that_google_does_not_know_yet" {
  command = plan

  variables {
    measured = false
  }

  assert {
    condition     = length(google_monitoring_slo.completed) + length(google_monitoring_slo.timed) + length(google_monitoring_alert_policy.burns) == 0
    error_message = "Google refuses the objectives, and with them the first apply."
  }

  assert {
    condition     = length(google_monitoring_alert_policy.rules) > 0
    error_message = "The alerts wait for nothing."
  }
}

run "asks_each_burn_over_a_long_window_and_a_short_one" {
  command = apply

  assert {
    condition = alltrue([
      for policy in google_monitoring_alert_policy.burns : policy.combiner == "AND" && length(policy.conditions) == 2
    ])
    error_message = "The long one says that it matters, the short one that it goes on."
  }

  assert {
    condition     = length(google_monitoring_alert_policy.burns) == 2 * (1 + length(google_monitoring_slo.timed))
    error_message = "Fast and slow, for each objective."
  }
}

run "draws_panels_beside_each_other_and_none_over_another" {
  command = plan

  assert {
    condition = length(distinct([
      for tile in jsondecode(google_monitoring_dashboard.imagen.dashboard_json).mosaicLayout.tiles : "${tile.xPos} ${tile.yPos}"
    ])) == length(jsondecode(google_monitoring_dashboard.imagen.dashboard_json).mosaicLayout.tiles)
    error_message = "Each has a place of its own."
  }

  assert {
    condition = alltrue([
      for tile in jsondecode(google_monitoring_dashboard.imagen.dashboard_json).mosaicLayout.tiles : tile.xPos + tile.width <= 48
    ])
    error_message = "None is beyond the edge."
  }
}

run "puts_the_prices_into_the_cost_panel" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_dashboard.imagen.dashboard_json, "* 0.25")
    error_message = "What a card's node costs an hour."
  }
}

run "refuses_a_channel_whose_token_would_be_in_the_state" {
  command = plan

  variables {
    channels = { chat = { type = "slack", labels = { channel_name = "#imagen" } } }
  }

  expect_failures = [var.channels]
}

run "refuses_a_severity_that_there_is_not" {
  command = plan

  variables {
    channels = { me = { type = "email", labels = { email_address = "me@example.com" }, tells = ["panic"] } }
  }

  expect_failures = [var.channels]
}

run "refuses_an_address_of_runbooks_that_is_none" {
  command = plan

  variables {
    runbooks = "example.com/imagen/"
  }

  expect_failures = [var.runbooks]
}

run "refuses_a_negative_price" {
  command = plan

  variables {
    prices = { triton_hour = -1, worker_hour = 0 }
  }

  expect_failures = [var.prices]
}

run "refuses_a_promise_that_nobody_keeps" {
  command = plan

  variables {
    objectives = { completed = { goal = 1 } }
  }

  expect_failures = [var.objectives]
}
