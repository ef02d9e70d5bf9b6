# The environment to try things in: small, and gone with one command.

module "imagen" {
  source = "../../modules/imagen"

  environment               = "dev"
  project_id                = var.project_id
  project_number            = var.project_number
  region                    = var.region
  domain                    = var.domain
  image_tag                 = var.image_tag
  repository                = var.repository
  budget                    = var.budget
  database_password         = var.database_password
  database_password_version = var.database_password_version
  alerts                    = var.alerts
  deletion_protection       = false

  size = {
    # The clock calls the webhooks every minute: with a processor of its own it would be the dearest part of dev.
    web                  = { max_instances = 2 }
    webhooks             = { max_instances = 1, cpu_always = false }
    database             = { tier = "db-g1-small", disk_limit_gb = 20 }
    database_connections = 60
  }
}
