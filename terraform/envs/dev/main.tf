# The environment to try things in: small, and gone with one command.

module "imagen" {
  source = "../../modules/imagen"

  environment         = "dev"
  project_id          = var.project_id
  project_number      = var.project_number
  region              = var.region
  domain              = var.domain
  image_tag           = var.image_tag
  repository          = var.repository
  budget              = var.budget
  deletion_protection = false
}
