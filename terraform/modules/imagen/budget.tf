module "budget" {
  source = "../budget"
  # The right to make one is the billing account's to give; without it the rest goes on.
  count = var.budget == null ? 0 : 1

  environment     = var.environment
  project_number  = var.project_number
  billing_account = var.budget.billing_account
  monthly         = var.budget.monthly
  currency        = var.budget.currency
  # A budget tells five at most.
  channels = slice(module.monitoring.mailed, 0, min(5, length(module.monitoring.mailed)))
}
