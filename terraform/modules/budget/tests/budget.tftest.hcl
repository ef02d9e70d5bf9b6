mock_provider "google" {}

variables {
  environment     = "dev"
  project_number  = "123456789012"
  billing_account = "012345-6789AB-CDEF01"
  monthly         = 200
}

run "counts_this_project_and_forgives_no_credit" {
  command = plan

  assert {
    condition     = google_billing_budget.imagen.budget_filter[0].projects == toset(["projects/123456789012"])
    error_message = "The bill of everything else is somebody else's matter."
  }

  assert {
    condition     = google_billing_budget.imagen.budget_filter[0].credit_types_treatment == "EXCLUDE_ALL_CREDITS"
    error_message = "With credits counted in nobody hears of the costs until the credits are used up."
  }
}

run "warns_before_the_money_is_spent" {
  command = plan

  assert {
    condition     = contains([for rule in google_billing_budget.imagen.threshold_rules : rule.spend_basis], "FORECASTED_SPEND")
    error_message = "A forecast comes while something can be done."
  }
}

run "names_nobody_where_nobody_is_named" {
  command = plan

  assert {
    condition     = length(google_billing_budget.imagen.all_updates_rule) == 0
    error_message = "The provider refuses a rule without a channel and without a topic."
  }
}

run "tells_those_who_are_named_beside_those_who_see_the_bill" {
  command = plan

  variables {
    channels = ["projects/imagen-dev/notificationChannels/42"]
  }

  assert {
    condition     = google_billing_budget.imagen.all_updates_rule[0].monitoring_notification_channels == tolist(["projects/imagen-dev/notificationChannels/42"]) && !google_billing_budget.imagen.all_updates_rule[0].disable_default_iam_recipients
    error_message = "Both hear of it."
  }
}

run "refuses_an_account_by_its_name" {
  command = plan

  variables {
    billing_account = "My Billing Account"
  }

  expect_failures = [var.billing_account]
}

run "refuses_a_budget_of_nothing" {
  command = plan

  variables {
    monthly = 0
  }

  expect_failures = [var.monthly]
}

run "refuses_a_sign_for_a_currency" {
  command = plan

  variables {
    currency = "$"
  }

  expect_failures = [var.currency]
}

run "refuses_more_channels_than_google_does" {
  command = plan

  variables {
    channels = ["1", "2", "3", "4", "5", "6"]
  }

  expect_failures = [var.channels]
}
