module "registry" {
  source = "../registry"

  project_id = local.project_id
  region     = var.region
}
