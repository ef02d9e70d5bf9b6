mock_provider "google" {}

variables {
  project_id = "imagen-dev"
  region     = "europe-west4"
}

run "never_moves_a_tag" {
  command = plan

  assert {
    condition     = google_artifact_registry_repository.images.docker_config[0].immutable_tags
    error_message = "A tag that moves makes a rollback a guess."
  }
}

run "names_the_images_as_the_manifests_do" {
  command = plan

  assert {
    condition     = output.url == "europe-west4-docker.pkg.dev/imagen-dev/imagen"
    error_message = "The overlays write this name out."
  }
}

run "grants_on_the_repository_and_on_nothing_wider" {
  command = plan

  variables {
    access = { "roles/artifactregistry.reader" = { nodes = "serviceAccount:imagen-nodes@imagen-dev.iam.gserviceaccount.com" } }
  }

  assert {
    condition     = google_artifact_registry_repository_iam_member.access["roles/artifactregistry.reader nodes"].repository == "imagen"
    error_message = "The nodes pull from this repository alone."
  }
}

run "refuses_to_keep_nothing_to_roll_back_to" {
  command = plan

  variables {
    keep_versions = 1
  }

  expect_failures = [var.keep_versions]
}

run "refuses_to_delete_what_is_being_deployed" {
  command = plan

  variables {
    keep_days = 0
  }

  expect_failures = [var.keep_days]
}
