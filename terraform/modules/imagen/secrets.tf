# Their values are put in by hand or by what makes them; docs/deploy.md says how, and how they are changed.
module "secrets" {
  source = "../secrets"

  project_id          = local.project_id
  region              = var.region
  deletion_protection = var.deletion_protection
  secrets = {
    secret-key   = [local.members.web, local.members.webhooks, local.members.migrate]
    database-url = [local.members.web, local.members.webhooks, local.members.migrate]
    redis-url    = [local.members.web]
  }
}
