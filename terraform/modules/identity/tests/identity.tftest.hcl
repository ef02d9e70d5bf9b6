mock_provider "google" {}

variables {
  project_id = "imagen-dev"
  accounts   = { imagen-web = "The site." }
}

run "names_a_member_before_there_is_an_account" {
  command = plan

  assert {
    condition     = output.members["imagen-web"] == "serviceAccount:imagen-web@imagen-dev.iam.gserviceaccount.com"
    error_message = "A plan that does not know its members cannot be reviewed."
  }
}

run "lets_an_account_sign_with_itself" {
  command = plan

  variables {
    access = { imagen-web = { "roles/iam.serviceAccountTokenCreator" = { web = "serviceAccount:imagen-web@imagen-dev.iam.gserviceaccount.com" } } }
  }

  assert {
    condition     = [for grant in google_service_account_iam_member.access : grant.service_account_id] == ["projects/imagen-dev/serviceAccounts/imagen-web@imagen-dev.iam.gserviceaccount.com"]
    error_message = "The grant is on the account, not on the project: there it would sign with every account."
  }
}

run "refuses_an_account_that_nobody_would_recognise" {
  command = plan

  variables {
    accounts = { web = "The site." }
  }

  expect_failures = [var.accounts]
}
