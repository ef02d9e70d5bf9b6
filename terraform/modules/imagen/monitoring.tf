module "monitoring" {
  source = "../monitoring"

  project_id   = local.project_id
  environment  = var.environment
  channels     = var.alerts.channels
  made_by_hand = var.alerts.made_by_hand
  runbooks     = var.alerts.runbooks

  # A T4 with n1-standard-4 by Spot ($166 a month), and 250m with 512Mi on Autopilot by Spot; what they cost today says
  # docs/costs.md.
  prices = {
    triton_hour = 0.227
    worker_hour = 0.005
  }
}
