mock_provider "google" {}

variables {
  project_id          = "imagen-dev"
  region              = "europe-west4"
  deletion_protection = true
  secrets             = { secret-key = { web = "serviceAccount:imagen-web@imagen-dev.iam.gserviceaccount.com" } }
}

run "keeps_a_secret_in_the_region" {
  command = plan

  assert {
    condition     = google_secret_manager_secret.this["secret-key"].replication[0].user_managed[0].replicas[0].location == "europe-west4"
    error_message = "A secret stays where the data is."
  }
}

run "lets_its_readers_read_this_secret_alone" {
  command = plan

  assert {
    condition     = [for grant in google_secret_manager_secret_iam_member.access : "${grant.secret_id} ${grant.role}"] == ["secret-key roles/secretmanager.secretAccessor"]
    error_message = "Access is on the secret, and to read it."
  }
}

run "refuses_a_secret_without_a_reader" {
  command = plan

  variables {
    secrets = { secret-key = {} }
  }

  expect_failures = [var.secrets]
}
