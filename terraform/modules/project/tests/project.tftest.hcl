mock_provider "google" {}

variables {
  project_id = "imagen-dev"
  services   = ["run.googleapis.com"]
}

run "leaves_the_services_on_when_it_goes" {
  command = plan

  assert {
    condition     = !google_project_service.this["run.googleapis.com"].disable_on_destroy
    error_message = "Taking Imagen away must not turn a service off under somebody else."
  }
}

run "refuses_a_service_without_its_host" {
  command = plan

  variables {
    services = ["run"]
  }

  expect_failures = [var.services]
}

run "refuses_a_role_over_everything" {
  command = plan

  variables {
    access = { "roles/editor" = { build = "serviceAccount:imagen-build@imagen-dev.iam.gserviceaccount.com" } }
  }

  expect_failures = [var.access]
}
