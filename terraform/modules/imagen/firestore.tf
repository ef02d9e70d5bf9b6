module "firestore" {
  source = "../firestore"

  project_id             = local.project_id
  region                 = var.region
  point_in_time_recovery = var.size.firestore_recovery
  backup_days            = var.size.firestore_backup_days
  deletion_protection    = var.deletion_protection

  access = {
    "roles/datastore.user" = {
      web      = local.members.web
      webhooks = local.members.webhooks
      worker   = local.workloads.worker
    }
  }
}
