module "sql" {
  source = "../sql"

  project_id          = local.project_id
  region              = var.region
  network_id          = module.network.private_services
  private_range       = module.network.private_services_range
  size                = var.size.database
  max_connections     = var.size.database_connections
  client_connections  = module.run.client_connections
  backups             = var.size.database_backups
  password            = var.database_password
  password_version    = var.database_password_version
  database_url_secret = local.secrets["database-url"]
  deletion_protection = var.deletion_protection
}
