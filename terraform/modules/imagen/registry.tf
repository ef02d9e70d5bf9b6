module "registry" {
  source = "../registry"

  project_id = local.project_id
  region     = var.region
  access = {
    "roles/artifactregistry.reader" = { nodes = local.members.nodes }
    "roles/artifactregistry.writer" = { build = local.members.build }
  }
}
