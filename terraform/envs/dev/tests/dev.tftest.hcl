mock_provider "google" {
  # The provider's schema says of this one only that it is something.
  mock_resource "google_redis_instance" {
    defaults = { server_ca_certs = [{ cert = "-----BEGIN CERTIFICATE-----" }] }
  }
}

variables {
  project_id        = "imagen-dev"
  project_number    = "123456789012"
  domain            = "images.example.com"
  image_tag         = "0123abc"
  repository        = "projects/imagen-dev/locations/europe-west4/connections/github/repositories/imagen"
  budget            = { billing_account = "012345-6789AB-CDEF01", monthly = 500 }
  database_password = "not-a-password-of-anything"
  alerts            = { objectives = true }
}

run "is_whole" {
  assert {
    condition     = output.imagen.images == "europe-west4-docker.pkg.dev/imagen-dev/imagen"
    error_message = "Images are pulled from this environment's own project."
  }
}

run "tells_each_service_its_own_name" {
  command = plan

  assert {
    condition     = output.imagen.environments.web.ALLOWED_HOSTS == "images.example.com" && output.imagen.environments.webhooks.PUSH_AUDIENCE == output.imagen.webhooks_url
    error_message = "Each service is told its own name."
  }
}
