# A policy of each alert in Prometheus' form: those of the cluster, which are also Rules objects there, and those of
# what no Rules object sees. Cloud Monitoring evaluates them and knows whom to tell (docs/decisions/0045).

locals {
  rule_groups = concat(
    yamldecode(file("${path.module}/../../../k8s/monitoring/alerts.yaml")).spec.groups,
    yamldecode(file("${path.module}/alerts.yaml")).groups,
  )

  rules = merge([
    for group in local.rule_groups : { for rule in group.rules : rule.alert => merge(rule, { group = group.name }) }
  ]...)
}

resource "google_monitoring_alert_policy" "rules" {
  for_each = local.rules

  project               = var.project_id
  display_name          = "Imagen ${var.environment}: ${each.key}"
  combiner              = "OR"
  severity              = local.severities[each.value.labels.severity]
  notification_channels = local.told[each.value.labels.severity]

  conditions {
    display_name = each.key

    condition_prometheus_query_language {
      query               = each.value.expr
      duration            = "${tonumber(trimsuffix(each.value.for, "m")) * 60}s"
      evaluation_interval = "30s"
      rule_group          = each.value.group
      alert_rule          = each.key
      labels              = each.value.labels
      # A metric is known to Cloud Monitoring from its first sample on, and the first failure may be months away.
      disable_metric_validation = true
    }
  }

  documentation {
    subject   = "Imagen ${var.environment}: ${each.key}"
    mime_type = "text/markdown"
    content   = "${replace(each.value.annotations.summary, "/\\{\\{ *\\$labels\\.(\\w+) *\\}\\}/", "$${metric_or_resource.label.$1}")}\n\nWhat to do: ${local.runbook_prefix}${each.value.annotations.runbook_url}"
  }

  alert_strategy {
    auto_close = "3600s"
  }
}

locals {
  runbook_prefix = var.runbooks == "" ? "" : "${var.runbooks}/"
}
