# docs/deploy.md begins with these: what images and secrets are put into, before the whole can be.

mock_provider "google" {}

variables {
  project_id     = "imagen-dev"
  project_number = "123456789012"
  domain         = "images.example.com"
  image_tag      = "0123abc"
  budget         = null
}

run "begins_with_places" {
  command = plan

  plan_options {
    target = [module.imagen.module.registry, module.imagen.module.secrets]
  }
}
