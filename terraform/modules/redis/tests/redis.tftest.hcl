mock_provider "google" {
  mock_resource "google_redis_instance" {
    defaults = {
      host            = "10.0.0.3"
      port            = 6378
      auth_string     = "secret"
      server_ca_certs = [{ cert = "-----BEGIN CERTIFICATE-----" }]
    }
  }
}

variables {
  project_id       = "imagen-dev"
  region           = "europe-west4"
  network_id       = "projects/imagen-dev/global/networks/imagen"
  redis_url_secret = "projects/imagen-dev/secrets/redis-url"
}

run "asks_for_a_password_and_encrypts" {
  command = apply

  assert {
    condition = (
      google_redis_instance.this.auth_enabled &&
      google_redis_instance.this.transit_encryption_mode == "SERVER_AUTHENTICATION" &&
      google_redis_instance.this.connect_mode == "PRIVATE_SERVICE_ACCESS"
    )
    error_message = "Whoever is in the network must not be in Redis for that."
  }

  assert {
    condition     = google_secret_manager_secret_version.redis_url.secret_data == null
    error_message = "The address with its password goes to the secret alone."
  }
}

run "forgets_the_window_that_ends_first" {
  command = plan

  assert {
    condition     = google_redis_instance.this.redis_configs["maxmemory-policy"] == "volatile-ttl"
    error_message = "A full Redis must not refuse every call of the API."
  }
}

run "refuses_to_become_a_store" {
  command = plan

  variables {
    memory_gb = 100
  }

  expect_failures = [var.memory_gb]
}
