mock_provider "google" {}

variables {
  environment         = "dev"
  project_id          = "imagen-dev"
  project_number      = "123456789012"
  region              = "europe-west4"
  domain              = "images.example.com"
  image_tag           = "0123abc"
  deletion_protection = false
  budget              = null
}

run "refuses_an_environment_that_nobody_has_described" {
  command = plan

  variables {
    environment = "staging"
  }

  expect_failures = [var.environment]
}

run "refuses_the_name_of_a_project_for_its_id" {
  command = plan

  variables {
    project_id = "Imagen Development"
  }

  expect_failures = [var.project_id]
}

run "refuses_a_project_id_for_its_number" {
  command = plan

  variables {
    project_number = "imagen-dev"
  }

  expect_failures = [var.project_number]
}

run "refuses_a_region_without_the_cards" {
  command = plan

  variables {
    region = "europe-north1"
  }

  expect_failures = [var.region]
}

run "refuses_an_address_for_a_domain" {
  command = plan

  variables {
    domain = "https://images.example.com/"
  }

  expect_failures = [var.domain]
}

run "refuses_a_tag_that_moves" {
  command = plan

  variables {
    image_tag = "latest"
  }

  expect_failures = [var.image_tag]
}

run "refuses_half_a_day" {
  command = plan

  variables {
    retention_days = 0.5
  }

  expect_failures = [var.retention_days]
}
