# The environment that people use: nothing in it that holds data can be destroyed by mistake.

module "imagen" {
  source = "../../modules/imagen"

  environment         = "prod"
  project_id          = var.project_id
  project_number      = var.project_number
  region              = var.region
  domain              = var.domain
  image_tag           = var.image_tag
  repository          = var.repository
  budget              = var.budget
  deletion_protection = true
}
