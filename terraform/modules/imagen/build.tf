module "build" {
  source = "../build"

  project_id = local.project_id
  region     = var.region
  account    = module.identity.emails["imagen-build"]
  repository = var.repository
  # Into prod goes what somebody has said yes to.
  approval = var.environment == "prod"
  substitutions = {
    _ENVIRONMENT = var.environment
    _REGION      = var.region
    _SITE_URL    = "https://${var.domain}"
  }
}
