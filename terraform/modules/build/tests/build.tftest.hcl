mock_provider "google" {}

variables {
  project_id    = "imagen-dev"
  region        = "europe-west4"
  account       = "imagen-build@imagen-dev.iam.gserviceaccount.com"
  approval      = false
  repository    = "projects/imagen-dev/locations/europe-west4/connections/github/repositories/imagen"
  substitutions = { _ENVIRONMENT = "dev" }
}

run "releases_one_branch_as_an_account_of_its_own" {
  command = plan

  assert {
    condition     = google_cloudbuild_trigger.main[0].repository_event_config[0].push[0].branch == "^main$"
    error_message = "Without ^ and $ a branch called not-main is released too."
  }

  assert {
    condition     = google_cloudbuild_trigger.main[0].service_account == "projects/imagen-dev/serviceAccounts/imagen-build@imagen-dev.iam.gserviceaccount.com"
    error_message = "Without one the build runs as an account that may change the project."
  }
}

run "waits_until_a_repository_is_connected" {
  command = plan

  variables {
    repository = null
  }

  assert {
    condition     = length(google_cloudbuild_trigger.main) == 0
    error_message = "The first apply comes before anybody has connected a repository."
  }
}

run "refuses_the_address_of_a_repository_for_its_name" {
  command = plan

  variables {
    repository = "https://github.com/example/imagen"
  }

  expect_failures = [var.repository]
}

run "refuses_a_pattern_of_branches" {
  command = plan

  variables {
    branch = ".*"
  }

  expect_failures = [var.branch]
}

run "refuses_a_substitution_that_cloud_build_would" {
  command = plan

  variables {
    substitutions = { ENVIRONMENT = "dev" }
  }

  expect_failures = [var.substitutions]
}
