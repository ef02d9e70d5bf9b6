# The environment that people use: nothing in it that holds data can be destroyed by mistake.

module "imagen" {
  source = "../../modules/imagen"

  environment               = "prod"
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
  deletion_protection       = true

  size = {
    # One is always there, so that nobody waits for a start.
    web                   = { min_instances = 1 }
    database              = { tier = "db-custom-1-3840", highly_available = true }
    database_backups      = 30
    firestore_recovery    = true
    firestore_backup_days = 7
  }
}
