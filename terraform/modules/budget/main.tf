# Says when a month gets expensive. Google never stops anything by itself: what runs goes on running.

resource "google_billing_budget" "imagen" {
  billing_account = var.billing_account
  display_name    = "Imagen ${var.environment}"

  budget_filter {
    projects               = ["projects/${var.project_number}"]
    calendar_period        = "MONTH"
    credit_types_treatment = "EXCLUDE_ALL_CREDITS"
  }

  amount {
    specified_amount {
      currency_code = var.currency
      units         = tostring(var.monthly)
    }
  }

  dynamic "threshold_rules" {
    for_each = toset([0.5, 0.9, 1])

    content {
      threshold_percent = threshold_rules.value
      spend_basis       = "CURRENT_SPEND"
    }
  }

  threshold_rules {
    # While there is still time to do something.
    threshold_percent = 1
    spend_basis       = "FORECASTED_SPEND"
  }

  # Whoever may see the bill hears of it in any case; a rule that names nobody else is refused.
  dynamic "all_updates_rule" {
    for_each = length(var.channels) > 0 ? [var.channels] : []

    content {
      monitoring_notification_channels = all_updates_rule.value
      disable_default_iam_recipients   = false
    }
  }
}
