# How often our code wrote the lines that are worth counting: for the dashboard, and for alerts on many of them.

locals {
  counted = [
    "announce_failed",
    "announce_postponed",
    "job_broke",
    "ledger_disagrees",
    "model_server_lost_in_mid_job",
    "repair_failed",
    "socket_broke",
    "state_store_denied",
    "sweep_failed",
  ]
}

resource "google_logging_metric" "events" {
  project     = var.project_id
  name        = "imagen/events"
  description = "Lines of Imagen's logs by their event."
  filter      = "(${local.ours}) AND jsonPayload.event=(${join(" OR ", [for event in local.counted : "\"${event}\""])})"

  label_extractors = { event = "EXTRACT(jsonPayload.event)" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "event"
      value_type  = "STRING"
      description = "The constant name of the line."
    }
  }
}
