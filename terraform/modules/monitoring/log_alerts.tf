# Lines of which a single one is news. A policy matches the line itself, so that the notification shows it.

locals {
  ours = "(resource.type=\"k8s_container\" AND resource.labels.namespace_name=\"imagen\") OR resource.type=\"cloud_run_revision\" OR resource.type=\"cloud_run_job\""

  lines = {
    ledger_disagrees = {
      severity = "page"
      filter   = "(${local.ours}) AND jsonPayload.event=\"ledger_disagrees\""
      summary  = "Credits of a settled job moved otherwise than its end says."
      runbook  = "docs/runbooks/double-settlement.md"
      shown    = ["job_id", "status"]
    }
    state_store_denied = {
      severity = "page"
      filter   = "(${local.ours}) AND jsonPayload.event=\"state_store_denied\""
      summary  = "Firestore refuses our rights. No job can be begun or finished."
      runbook  = "docs/runbooks/firestore-denied.md"
      shown    = ["error"]
    }
    job_broke = {
      severity = "ticket"
      filter   = "(${local.ours}) AND jsonPayload.event=\"job_broke\""
      summary  = "A bug: a job failed as internal."
      runbook  = "docs/runbooks/jobs-fail.md"
      shown    = ["job_id"]
    }
    metrics_not_served = {
      severity = "ticket"
      filter   = "(${local.ours}) AND jsonPayload.event=\"metrics_not_served\""
      summary  = "A process answers no metrics, so that alerts about it are blind."
      runbook  = "docs/runbooks/site-errors.md"
      shown    = ["port"]
    }
    out_of_stock = {
      severity = "ticket"
      filter   = "log_id(\"container.googleapis.com/cluster-autoscaler-visibility\") AND jsonPayload.resultInfo.results.errorMsg.messageId=(\"scale.up.error.out.of.resources\" OR \"scale.up.error.quota.exceeded\")"
      summary  = "The cluster found no machine to add: none in stock, or our quota is used up."
      runbook  = "docs/runbooks/out-of-gpu-stock.md"
      shown    = []
    }
  }
}

resource "google_monitoring_alert_policy" "lines" {
  for_each = local.lines

  project               = var.project_id
  display_name          = "Imagen ${var.environment}: ${each.key}"
  combiner              = "OR"
  severity              = local.severities[each.value.severity]
  notification_channels = local.told[each.value.severity]

  conditions {
    display_name = each.key

    condition_matched_log {
      filter           = each.value.filter
      label_extractors = { for field in each.value.shown : field => "EXTRACT(jsonPayload.${field})" }
    }
  }

  documentation {
    subject   = "Imagen ${var.environment}: ${each.key}"
    mime_type = "text/markdown"
    content   = "${each.value.summary}\n\nWhat to do: ${local.runbook_prefix}${each.value.runbook}"
  }

  alert_strategy {
    auto_close = "3600s"

    # Google wants a limit; a trouble that lasts is said once in this time.
    notification_rate_limit {
      period = "1800s"
    }
  }
}
