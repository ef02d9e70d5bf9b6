mock_provider "google" {}

variables {
  project_id     = "imagen-dev"
  project_number = "123456789012"
  region         = "europe-west4"
  domain         = "dev.imagen.example"
  image          = "europe-west4-docker.pkg.dev/imagen-dev/imagen/api"
  image_tag      = "0123abc"
  network        = "projects/imagen-dev/global/networks/imagen"
  subnetwork     = "projects/imagen-dev/regions/europe-west4/subnetworks/imagen-run"
  bucket         = "imagen-dev-imagen"

  secrets = {
    secret_key   = "projects/imagen-dev/secrets/secret-key"
    database_url = "projects/imagen-dev/secrets/database-url"
    redis_url    = "projects/imagen-dev/secrets/redis-url"
  }

  service_accounts = {
    web      = "imagen-web@imagen-dev.iam.gserviceaccount.com"
    webhooks = "imagen-webhooks@imagen-dev.iam.gserviceaccount.com"
    migrate  = "imagen-migrate@imagen-dev.iam.gserviceaccount.com"
    push     = "imagen-push@imagen-dev.iam.gserviceaccount.com"
  }

  access = {
    web      = { "roles/run.invoker" = { everybody = "allUsers" } }
    webhooks = { "roles/run.invoker" = { push = "serviceAccount:imagen-push@imagen-dev.iam.gserviceaccount.com" } }
  }
}

run "serves_people_by_the_load_balancer_alone" {
  command = plan

  assert {
    condition = (
      google_cloud_run_v2_service.site["web"].ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" &&
      google_cloud_run_v2_service.site["web"].default_uri_disabled
    )
    error_message = "A second door would have no Cloud Armor, and make X-Forwarded-For a lie."
  }

  assert {
    condition     = output.environments.web.TRUSTED_PROXIES == "2"
    error_message = "The load balancer adds who asked and itself; accounts/throttle.py counts from the end."
  }
}

run "runs_between_no_and_ten_instances_of_web" {
  command = plan

  assert {
    condition = (
      google_cloud_run_v2_service.site["web"].template[0].scaling[0].min_instance_count == 0 &&
      google_cloud_run_v2_service.site["web"].template[0].scaling[0].max_instance_count == 10
    )
    error_message = "The design's figures."
  }

  assert {
    condition     = output.client_connections == 140
    error_message = "Ten of web, three of webhooks and a migration, with ten connections each."
  }
}

run "keeps_a_websocket_for_an_hour_and_gives_it_a_processor" {
  command = plan

  assert {
    condition = (
      google_cloud_run_v2_service.site["web"].template[0].timeout == "3600s" &&
      !google_cloud_run_v2_service.site["web"].template[0].containers[0].resources[0].cpu_idle
    )
    error_message = "The streams from Firestore and the collector work between requests."
  }
}

run "has_memory_for_eight_of_the_largest_photos_at_once" {
  command = plan

  assert {
    condition = (
      google_cloud_run_v2_service.site["web"].template[0].containers[0].resources[0].limits.memory == "1Gi" &&
      google_cloud_run_v2_service.site["webhooks"].template[0].containers[0].resources[0].limits.memory == "512Mi"
    )
    error_message = "docs/benchmarks.md: a body that comes in lies in memory, and webhooks take none."
  }
}

run "lets_google_alone_call_the_webhooks" {
  command = plan

  assert {
    condition = (
      google_cloud_run_v2_service.site["webhooks"].ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY" &&
      google_cloud_run_v2_service_iam_member.access["webhooks roles/run.invoker push"].member == "serviceAccount:imagen-push@imagen-dev.iam.gserviceaccount.com" &&
      length(google_cloud_run_v2_service_iam_member.access) == 2
    )
    error_message = "Pub/Sub and Cloud Scheduler of this project, by one account."
  }
}

run "makes_tokens_out_to_the_address_that_is_called" {
  command = plan

  assert {
    condition = (
      output.webhooks_url == "https://webhooks-123456789012.europe-west4.run.app" &&
      output.environments.webhooks.PUSH_AUDIENCE == output.webhooks_url &&
      output.environments.webhooks.ALLOWED_HOSTS == "webhooks-123456789012.europe-west4.run.app"
    )
    error_message = "Cloud Run and jobs/push_auth.py both look at it."
  }
}

run "tells_each_service_what_it_is_by_variables_and_secrets_by_reference" {
  command = plan

  assert {
    condition = toset([
      for each in google_cloud_run_v2_service.site["web"].template[0].containers[0].env : each.name if length(each.value_source) == 1
    ]) == toset(["SECRET_KEY", "DATABASE_URL", "REDIS_URL"])
    error_message = "Of secrets it gets the name."
  }

  assert {
    condition = toset([
      for each in google_cloud_run_v2_service.site["webhooks"].template[0].containers[0].env : each.name if length(each.value_source) == 1
    ]) == toset(["SECRET_KEY", "DATABASE_URL"])
    error_message = "It limits no rates."
  }
}

run "is_asked_whether_it_lives_and_not_whether_its_database_does" {
  command = plan

  assert {
    condition = alltrue([
      for service in google_cloud_run_v2_service.site :
      service.template[0].containers[0].liveness_probe[0].http_get[0].path == "/livez" &&
      service.template[0].containers[0].startup_probe[0].http_get[0].path == "/livez"
    ])
    error_message = "An outage of the database must not end every instance."
  }
}

run "collects_metrics_beside_the_site" {
  command = plan

  assert {
    condition = (
      google_cloud_run_v2_service.site["web"].template[0].containers[1].name == "collector" &&
      output.environments.web.METRICS_PORT == "9100" &&
      yamldecode(google_secret_manager_secret_version.collector.secret_data).spec.endpoints[0].port == 9100
    )
    error_message = "Where the site answers is where the collector asks."
  }
}

run "collects_none_where_a_processor_is_only_lent" {
  command = plan

  variables {
    webhooks = { cpu_always = false }
  }

  assert {
    condition = (
      length(google_cloud_run_v2_service.site["webhooks"].template[0].containers) == 1 &&
      google_cloud_run_v2_service.site["webhooks"].template[0].containers[0].resources[0].cpu_idle &&
      !contains(keys(output.environments.webhooks), "METRICS_PORT")
    )
    error_message = "A collector that is asleep measures nothing."
  }
}

run "reaches_the_database_and_not_the_world_through_the_network" {
  command = plan

  assert {
    condition = alltrue([
      for service in google_cloud_run_v2_service.site : service.template[0].vpc_access[0].egress == "PRIVATE_RANGES_ONLY"
    ])
    error_message = "Receivers of webhooks and photos by address are in the world."
  }
}

run "migrates_once_and_as_itself" {
  command = plan

  assert {
    condition = (
      google_cloud_run_v2_job.migrate.template[0].template[0].max_retries == 0 &&
      google_cloud_run_v2_job.migrate.template[0].template[0].service_account == "imagen-migrate@imagen-dev.iam.gserviceaccount.com" &&
      google_cloud_run_v2_job.migrate.template[0].template[0].containers[0].command == tolist(["python", "manage.py"])
    )
    error_message = "A migration that failed half-way is looked at."
  }
}

run "refuses_to_open_the_webhooks_to_everybody" {
  command = plan

  variables {
    access = { webhooks = { "roles/run.invoker" = { everybody = "allUsers" } } }
  }

  expect_failures = [var.access]
}

run "refuses_access_to_what_is_not_there" {
  command = plan

  variables {
    access = { worker = { "roles/run.invoker" = { web = "serviceAccount:web" } } }
  }

  expect_failures = [var.access]
}

run "refuses_less_than_a_processor" {
  command = plan

  variables {
    web      = { cpu = "0.5" }
    webhooks = { cpu = "0.5" }
  }

  expect_failures = [var.web, var.webhooks]
}

run "refuses_more_instances_than_the_database_has_connections_for" {
  command = plan

  variables {
    web      = { max_instances = 100 }
    webhooks = { max_instances = 100 }
  }

  expect_failures = [var.web, var.webhooks]
}

run "refuses_one_page_for_each_instance" {
  command = plan

  variables {
    web = { concurrency = 1 }
  }

  expect_failures = [var.web]
}

run "refuses_an_address_for_a_domain" {
  command = plan

  variables {
    domain = "https://imagen.example/"
  }

  expect_failures = [var.domain]
}

run "refuses_a_name_for_a_number" {
  command = plan

  variables {
    project_number = "imagen-dev"
  }

  expect_failures = [var.project_number]
}

run "refuses_an_image_that_moves" {
  command = plan

  variables {
    image_tag = "latest"
  }

  expect_failures = [var.image_tag]
}
