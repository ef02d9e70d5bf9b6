# How fast an objective's budget of failures is used up: over a long window, so that it matters, and over a short one,
# so that it still goes on. Tickets: with few jobs a single failure burns days, and what must wake somebody is asked by
# the rules, which want a number of jobs too (docs/decisions/0046).

locals {
  objectives = merge(
    { for slo in google_monitoring_slo.completed : "jobs-complete" => { name = slo.name, title = slo.display_name, runbook = "docs/runbooks/jobs-fail.md" } },
    { for id, slo in google_monitoring_slo.timed : id => { name = slo.name, title = slo.display_name, runbook = "docs/runbooks/queue-grows.md" } },
  )

  # A fifth of the budget of 28 days in an hour is 14 times too fast; a tenth of it in six hours is 6 times.
  burns = {
    fast = { rate = 14, windows = ["3600s", "300s"] }
    slow = { rate = 6, windows = ["21600s", "1800s"] }
  }

  burning = merge([
    for id, objective in local.objectives : {
      for speed, burn in local.burns : "${id}-${speed}" => merge(objective, burn, { id = id, speed = speed })
    }
  ]...)
}

resource "google_monitoring_alert_policy" "burns" {
  for_each = local.burning

  project               = var.project_id
  display_name          = "Imagen ${var.environment}: SLO ${each.value.id} burns ${each.value.speed}"
  combiner              = "AND"
  severity              = local.severities.ticket
  notification_channels = local.told.ticket

  dynamic "conditions" {
    for_each = each.value.windows

    content {
      display_name = "over ${conditions.value}"

      condition_threshold {
        filter          = "select_slo_burn_rate(\"${each.value.name}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.rate
        duration        = "0s"
      }
    }
  }

  documentation {
    subject   = "Imagen ${var.environment}: SLO ${each.value.id} burns ${each.value.speed}"
    mime_type = "text/markdown"
    content   = "The promise \"${each.value.title}\" is being broken ${each.value.rate} times faster than it may be.\n\nWhat to do: ${local.runbook_prefix}${each.value.runbook}"
  }

  alert_strategy {
    auto_close = "86400s"
  }
}
