module "network" {
  source = "../network"

  project_id   = local.project_id
  region       = var.region
  node_account = module.identity.emails["imagen-nodes"]
}
