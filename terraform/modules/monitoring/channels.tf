# Whom alerts are sent to.

resource "google_monitoring_notification_channel" "told" {
  for_each = var.channels

  project      = var.project_id
  display_name = "Imagen ${var.environment}: ${each.key}"
  type         = each.value.type
  labels       = each.value.labels
}

locals {
  # Severity -> the channels that are told of it.
  told = {
    for severity in ["page", "ticket"] : severity => concat(
      [for name, channel in var.channels : google_monitoring_notification_channel.told[name].name if contains(channel.tells, severity)],
      tolist(var.made_by_hand[severity]),
    )
  }

  severities = { page = "CRITICAL", ticket = "WARNING" }
}
