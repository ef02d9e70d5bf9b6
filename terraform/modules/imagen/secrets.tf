# Their values are put in by hand or by what makes them; docs/deploy.md says how, and how they are changed.
module "secrets" {
  source = "../secrets"

  project_id          = local.project_id
  region              = var.region
  deletion_protection = var.deletion_protection
  secrets = {
    secret-key   = local.site
    database-url = local.site
    redis-url    = { web = local.members.web }
    # A key of the account that a release's smoke test sends photos with; .ci/cloud/smoke.
    smoke-api-key = { build = local.members.build }
  }
}

locals {
  # What runs the site's image, and is told of SQL.
  site = { web = local.members.web, webhooks = local.members.webhooks, migrate = local.members.migrate }
  # By their full names, which is how their versions and Cloud Run ask for them.
  secrets = { for name, id in module.secrets.ids : name => "projects/${local.project_id}/secrets/${id}" }
}
