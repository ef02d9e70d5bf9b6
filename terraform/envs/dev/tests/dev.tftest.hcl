mock_provider "google" {}

variables {
  project_id     = "imagen-dev"
  project_number = "123456789012"
  domain         = "images.example.com"
  image_tag      = "0123abc"
  budget         = { billing_account = "012345-6789AB-CDEF01", monthly = 500 }
}

run "is_whole" {
  assert {
    condition     = output.imagen.images == "europe-west4-docker.pkg.dev/imagen-dev/imagen"
    error_message = "Images are pulled from this environment's own project."
  }
}
