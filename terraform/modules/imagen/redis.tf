module "redis" {
  source = "../redis"

  project_id       = local.project_id
  region           = var.region
  network_id       = module.network.private_services
  private_range    = module.network.private_services_range
  redis_url_secret = local.secrets["redis-url"]
  # Raised by one when Redis has been given another password.
  url_version = 1
}
