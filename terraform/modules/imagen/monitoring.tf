module "monitoring" {
  source = "../monitoring"

  project_id   = local.project_id
  environment  = var.environment
  channels     = var.alerts.channels
  made_by_hand = var.alerts.made_by_hand
  runbooks     = var.alerts.runbooks
  measured     = var.alerts.objectives

  # A T4 with its machine by Spot, and a worker's pod by Spot, in europe-west4: imagen_site/cost/prices.toml.
  prices = {
    triton_hour = 0.2826
    worker_hour = 0.0041
  }
}
