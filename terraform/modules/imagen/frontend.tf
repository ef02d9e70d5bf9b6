module "frontend" {
  source = "../frontend"

  project_id          = local.project_id
  region              = var.region
  domain              = var.domain
  service             = module.run.web
  attacks_only_logged = var.attacks_only_logged
}
