module "scheduler" {
  source = "../scheduler"

  project_id = local.project_id
  region     = var.region
  push       = local.push
}
