mock_provider "google" {}

variables {
  project_id          = "imagen-dev"
  region              = "europe-west4"
  network_id          = "projects/imagen-dev/global/networks/imagen"
  client_connections  = 130
  password            = "0123456789abcdef0123456789abcdef"
  database_url_secret = "projects/imagen-dev/secrets/database-url"
}

run "answers_inside_the_network_alone_and_encrypted" {
  command = plan

  assert {
    condition = (
      !google_sql_database_instance.this.settings[0].ip_configuration[0].ipv4_enabled &&
      google_sql_database_instance.this.settings[0].ip_configuration[0].ssl_mode == "ENCRYPTED_ONLY"
    )
    error_message = "It has no address that the world knows."
  }
}

run "can_go_back_to_any_moment_of_a_week" {
  command = plan

  assert {
    condition = (
      google_sql_database_instance.this.settings[0].backup_configuration[0].point_in_time_recovery_enabled &&
      google_sql_database_instance.this.settings[0].backup_configuration[0].transaction_log_retention_days == 7
    )
    error_message = "Credits are money."
  }
}

run "keeps_the_password_out_of_its_state" {
  command = apply

  assert {
    condition = (
      google_sql_user.imagen.password_wo == null &&
      google_sql_user.imagen.password == null &&
      google_secret_manager_secret_version.database_url.secret_data_wo == null &&
      google_secret_manager_secret_version.database_url.secret_data == null
    )
    error_message = "Whoever reads the state must not have read the password."
  }
}

run "asks_for_the_password_only_when_it_is_to_change" {
  command = plan

  variables {
    password = null
  }

  assert {
    condition     = google_sql_user.imagen.password_wo_version == 1
    error_message = "An apply without it leaves the password as it is."
  }
}

run "lets_nobody_delete_it_by_default" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.deletion_protection && google_sql_database_instance.this.settings[0].deletion_protection_enabled
    error_message = "Neither Terraform nor a person."
  }
}

run "logs_no_statement" {
  command = plan

  assert {
    condition = alltrue([
      for name, value in { log_min_duration_statement = "-1", log_min_error_statement = "panic" } :
      contains([for flag in google_sql_database_instance.this.settings[0].database_flags : "${flag.name}=${flag.value}"], "${name}=${value}")
    ])
    error_message = "A statement carries its values: prompts, addresses."
  }
}

run "refuses_fewer_connections_than_its_clients_open" {
  command = plan

  variables {
    max_connections = 100
  }

  expect_failures = [google_sql_database_instance.this]
}

run "refuses_a_password_that_breaks_an_address" {
  command = plan

  variables {
    password = "p@ss/word-that-is-long-enough"
  }

  expect_failures = [var.password]
}

run "refuses_a_version_that_ends_soon" {
  command = plan

  variables {
    postgres_version = "POSTGRES_12"
  }

  expect_failures = [var.postgres_version]
}

run "refuses_more_connections_than_it_has_memory_for" {
  command = plan

  variables {
    max_connections = 5000
  }

  expect_failures = [var.max_connections]
}

run "refuses_backups_of_a_day" {
  command = plan

  variables {
    backups = 1
  }

  expect_failures = [var.backups]
}

run "refuses_a_disk_that_is_larger_than_its_limit" {
  command = plan

  variables {
    size = { disk_gb = 200, disk_limit_gb = 100 }
  }

  expect_failures = [var.size]
}
